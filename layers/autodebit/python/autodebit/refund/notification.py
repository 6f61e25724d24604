"""An authentic notifyRefund message, and the fields it must have.

https://docs.antom.com/ac/ams/notify_refund
"""

from typing import Any

from autodebit.alipay.notification import parse_result_notification


def parse_notification(body: bytes) -> dict[str, Any]:
    """An authentic notifyRefund message. Raises NotificationMalformed."""
    return parse_result_notification(
        body,
        about="refund",
        id_name="refundRequestId",
        needed=[("refundStatus",), ("refundAmount", "currency"), ("refundAmount", "value")],
        notify_types=("REFUND_RESULT",),
    )
