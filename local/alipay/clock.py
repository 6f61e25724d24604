"""Alipay's time: the machine's, moved by as much as a test wants."""

import time
from datetime import UTC, datetime, timedelta, timezone

ZONE = timezone(timedelta(hours=8))
"""The offset of Alipay's days: https://docs.antom.com/ac/reconcile/transaction_details"""

_CANCEL_WINDOW_ENDS = timedelta(days=1, minutes=15)


class Clock:
    """Epoch seconds. `ahead_s` moves every deadline that Alipay keeps, and every time that it states."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        """Epoch seconds on Alipay's clock."""
        return time.time() + self.ahead_s


def cancel_window_ends(paid_at: float) -> float:
    """When a payment of this instant can no longer be cancelled: 00:15 UTC+8 of the following day.

    Epoch seconds. https://docs.antom.com/ac/tokenized/cancel
    """
    day = datetime.fromtimestamp(paid_at, UTC).astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + _CANCEL_WINDOW_ENDS).timestamp()
