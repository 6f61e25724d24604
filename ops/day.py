"""The payments of a day as CSV. Pure.

A day is Alipay's: 00:00:00 to 23:59:59 UTC+8. A payment belongs to the day of its result, or as long as it has none to
the day on which it was asked for.
"""

import csv
from collections.abc import Iterable
from datetime import datetime
from typing import TextIO

from autodebit.instants import alipay_day, utc_text
from autodebit.payment.order import Order, Status
from autodebit.rows.days import settled_day

COLUMNS = (
    *("paymentRequestId", "referenceOrderId", "status", "currency", "value", "refunded", "paymentMethodType"),
    *("agreementId", "paymentId", "resultCode", "settledBy", "createdAt", "settledAt", "paymentTime"),
)
"""`value` and `refunded` are in the currency's minor unit."""


def day_of(order: Order) -> str:
    """The day (`2026-11-22`) that a payment belongs to."""
    if order.settled_at is None:
        return alipay_day(order.created_at)
    paid_at = order.payment_time if order.status is Status.SUCCESS else None
    return settled_day(order.key, order.settled_at, paid_at).partition("#")[0]


def write(orders: Iterable[Order], out: TextIO) -> None:
    """One line a payment, in the order in which they were asked for."""
    lines = csv.writer(out)
    lines.writerow(COLUMNS)
    for order in sorted(orders, key=lambda order: (order.created_at, order.key)):
        lines.writerow([_harmless(text) for text in _line(order)])


def _line(order: Order) -> tuple[str | None, ...]:
    return (
        order.key,
        order.reference_order_id,
        order.status.value,
        order.amount.currency,
        order.amount.value,
        str(order.refunded or 0) if order.status is Status.SUCCESS else None,
        order.payment_method_type,
        order.agreement_id,
        order.payment_id,
        order.result_code,
        order.settled_by.value if order.settled_by else None,
        _instant(order.created_at),
        _instant(order.settled_at),
        order.payment_time,
    )


def _instant(instant: datetime | None) -> str | None:
    return utc_text(instant) if instant else None


def _harmless(text: str | None) -> str:
    """No spreadsheet takes it for a formula. https://owasp.org/www-community/attacks/CSV_Injection"""
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text or ""
