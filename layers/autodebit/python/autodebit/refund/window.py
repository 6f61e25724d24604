"""How long a payment can be given back, counted from the moment at which it was paid.

https://docs.antom.com/ac/ams/refund_online, and each wallet's page
"""

from datetime import datetime, timedelta

WINDOW = timedelta(days=365)

WINDOWS: dict[str | None, timedelta] = {"PAYPAY": timedelta(days=90)}
"""Wallets that give back for a shorter time."""


def window_over(paid_at: datetime, wallet: str | None, now: datetime) -> bool:
    """Whether it is too late to give back what this wallet paid then."""
    return now > paid_at + WINDOWS.get(wallet, WINDOW)
