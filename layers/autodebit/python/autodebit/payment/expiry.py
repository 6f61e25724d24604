"""When a payment expires: less than a minute after it is sent, by the caller's own time or by ours.

https://docs.antom.com/ac/ams/payment_agreement
"""

import re
from datetime import datetime, timedelta

from autodebit.alipay.fields import Text
from autodebit.errors import FieldError
from autodebit.instants import utc_text

DEFAULT_EXPIRY_S = 55
"""An auto debit lives one minute by Alipay's clock; some seconds less are safe from ours being another."""

EXPIRY_MAX_S = 60
"""`paymentExpiryTime` must be less than a minute ahead."""

EXPIRY_TIME = Text(
    64,
    pattern=re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:[0-5]\d)", re.ASCII),
    rule="must be ISO 8601 with an offset, such as 2026-11-22T17:30:55+08:00",
)


def default_expiry(now: datetime) -> str:
    """The `paymentExpiryTime` of a request that brings none."""
    return utc_text(now + timedelta(seconds=DEFAULT_EXPIRY_S))


def calendar_fault(payment_expiry_time: str | None) -> list[FieldError]:
    """The fault of a time that no calendar has."""
    try:
        if payment_expiry_time is not None:
            datetime.fromisoformat(payment_expiry_time)
    except ValueError:
        return [FieldError("paymentExpiryTime", "must be a date and time that exists")]
    return []


def window_fault(payment_expiry_time: str | None, now: datetime) -> FieldError | None:
    """The fault of a time that is past or too far ahead; it matters in a new payment, not in a replay."""
    if payment_expiry_time is None:
        return None
    ahead = datetime.fromisoformat(payment_expiry_time) - now
    if timedelta(0) < ahead < timedelta(seconds=EXPIRY_MAX_S):
        return None
    return FieldError(
        "paymentExpiryTime", "must be in the future and less than 60 s ahead; leave it out and one is set"
    )
