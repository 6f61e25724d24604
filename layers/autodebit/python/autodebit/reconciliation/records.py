"""Our orders and refunds, as the comparison takes them. Nothing here writes."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import batched

from autodebit.payment.order import Order
from autodebit.payment.order_table import OrderTable
from autodebit.reconciliation.compare import Ours
from autodebit.reconciliation.reports import Line
from autodebit.refund.refund import Refund, SettledRefund
from autodebit.refund.refund_table import RefundTable
from autodebit.rows.days import settled_day

READ_AT_ONCE = 100
"""Rows that one call reads: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"""


class Records:
    """Reads the tables. Every method raises TableFault."""

    def __init__(self, orders: OrderTable, refunds: RefundTable) -> None:
        self._orders = orders
        self._refunds = refunds

    def of_days(self, days: Iterable[str]) -> Iterator[Ours]:
        """Whatever has its result on one of these UTC+8 days."""
        for day in days:
            for order in self._orders.settled_on(day):
                yield Ours(
                    *("PAYMENT", order.payment_request_id, order.payment_request_id, order.payment_id or "", ""),
                    *(order.amount.currency, int(order.amount.value), order.status.value, day),
                )
            yield from self._refunded((refund, day) for refund in self._refunds.settled_on(day))

    def look_up(self, lines: list[Line]) -> Iterator[Ours]:
        """Our records of these lines, read one by one: those that are INIT, or have their result on another day."""
        wanted = {line.payment_request_id for line in lines if line.type in ("PAYMENT", "CANCEL")}
        yield from map(_ordered, self._orders.get_many(sorted(wanted)))
        wanted = {line.request_id for line in lines if line.type in ("REFUND", "REFUND_REVERSAL")}
        found = list(self._refunds.get_many(sorted(wanted)))
        # An older file's refund may carry its payment's request id: then it is one of that payment's.
        payments = wanted - {refund.refund_request_id for refund in found} if _has_refund_ids(lines) else set()
        for order in self._orders.get_many(sorted(payments)):
            found += self._refunds.of_order(order)
        yield from self._refunded((refund, _day_of(refund)) for refund in found)

    def _refunded(self, refunds: Iterable[tuple[Refund | SettledRefund, str]]) -> Iterator[Ours]:
        """Refunds with their payments' ids, by which they are compared; the orders have those."""
        for some in batched(refunds, READ_AT_ONCE, strict=False):
            ids = sorted({refund.payment_request_id for refund, _ in some})
            payment_ids = {order.payment_request_id: order.payment_id for order in self._orders.get_many(ids)}
            for refund, day in some:
                payment_id = payment_ids.get(refund.payment_request_id) or ""
                yield Ours(
                    *("REFUND", refund.refund_request_id, refund.payment_request_id, payment_id),
                    *(refund.refund_id or "", refund.amount.currency, int(refund.amount.value)),
                    *(refund.status.value, day),
                )


def _day_of(refund: Refund) -> str:
    """A refund that was observed came from Alipay: it is of no day here, and is not looked for there."""
    return "" if refund.observed else _day(refund.key, refund.settled_at, refund.refund_time)


def _has_refund_ids(lines: Iterable[Line]) -> bool:
    return any(line.refund_id for line in lines)


def _ordered(order: Order) -> Ours:
    return Ours(
        *("PAYMENT", order.payment_request_id, order.payment_request_id, order.payment_id or "", ""),
        *(order.amount.currency, int(order.amount.value), order.status.value),
        _day(order.key, order.settled_at, order.payment_time),
    )


def _day(key: str, settled_at: datetime | None, transaction_time: str | None) -> str:
    return settled_day(key, settled_at, transaction_time).partition("#")[0] if settled_at else ""
