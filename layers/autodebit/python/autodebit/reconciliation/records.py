"""Our orders and refunds, as the comparison takes them. Nothing here writes."""

from collections.abc import Iterable, Iterator

from autodebit.payment.order import Order
from autodebit.payment.order_table import OrderTable
from autodebit.reconciliation.compare import Ours
from autodebit.reconciliation.reports import Line
from autodebit.rows.days import settled_day


class Records:
    """Reads the tables. Every method raises TableFault."""

    def __init__(self, orders: OrderTable) -> None:
        self._orders = orders

    def of_days(self, days: Iterable[str]) -> Iterator[Ours]:
        """Whatever has its result on one of these UTC+8 days."""
        for day in days:
            for order in self._orders.settled_on(day):
                yield Ours(
                    *("PAYMENT", order.payment_request_id, order.payment_request_id, order.payment_id or "", ""),
                    *(order.amount.currency, int(order.amount.value), order.status.value, day),
                )

    def look_up(self, lines: list[Line]) -> Iterator[Ours]:
        """Our records of these lines, read one by one: orders that are INIT, or have their result on another day."""
        wanted = {line.payment_request_id for line in lines if line.type in ("PAYMENT", "CANCEL")}
        yield from map(_ours, self._orders.get_many(sorted(wanted)))


def _ours(order: Order) -> Ours:
    day = ""
    if order.settled_at:
        day = settled_day(order.payment_request_id, order.settled_at, order.payment_time).partition("#")[0]
    return Ours(
        *("PAYMENT", order.payment_request_id, order.payment_request_id, order.payment_id or "", ""),
        *(order.amount.currency, int(order.amount.value), order.status.value, day),
    )
