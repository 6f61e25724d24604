"""An authentic notifyPayment message, and the fields it must have.

https://docs.antom.com/ac/ams/paymentrn_online
"""

from typing import Any

from autodebit.alipay.notification import parse_result_notification

NOTIFY_TYPES = ("PAYMENT_RESULT", "PAYMENT_PENDING")


def parse_notification(body: bytes) -> dict[str, Any]:
    """An authentic notifyPayment message. Raises NotificationMalformed."""
    return parse_result_notification(
        body,
        about="payment",
        id_name="paymentRequestId",
        needed=[("paymentAmount", "currency"), ("paymentAmount", "value")],
        notify_types=NOTIFY_TYPES,
    )
