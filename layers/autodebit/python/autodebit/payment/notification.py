"""An authentic notifyPayment message, and the fields it must have.

https://docs.antom.com/ac/ams/paymentrn_online
"""

from typing import Any

from autodebit.alipay.strict_json import JsonInvalid, parse_message, text_at
from autodebit.errors import NotificationMalformed

NOTIFY_TYPES = ("PAYMENT_RESULT", "PAYMENT_PENDING")


def parse_notification(body: bytes) -> dict[str, Any]:
    """An authentic notifyPayment message with the fields without which nothing can be concluded from it.

    Others are missing in some editions. Raises NotificationMalformed.
    """
    try:
        notification = parse_message(body)
    except JsonInvalid as error:
        raise NotificationMalformed(str(error)) from None
    for path in (
        ("notifyType",),
        ("result", "resultCode"),
        ("result", "resultStatus"),
        ("paymentRequestId",),
        ("paymentAmount", "currency"),
        ("paymentAmount", "value"),
    ):
        if text_at(notification, *path) is None:
            raise NotificationMalformed(f"{'.'.join(path)} is missing or is no string")
    if not 1 <= len(notification["paymentRequestId"]) <= 64:
        raise NotificationMalformed("paymentRequestId must have 1 to 64 characters")
    if notification["notifyType"] not in NOTIFY_TYPES:
        raise NotificationMalformed("notifyType is not one of a payment")
    return notification
