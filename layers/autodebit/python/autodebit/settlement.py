"""Settle an order by what a witness says: the one road into a final state, for pay, notify and inquiry alike."""

from datetime import datetime

from autodebit import telemetry
from autodebit.order import Order, Status, Witness
from autodebit.order_table import OrderTable
from autodebit.outcome import Contradiction, Final, Reading, disputes
from autodebit.telemetry import logger


def apply(table: OrderTable, order: Order, reading: Reading, witness: Witness, at: datetime) -> Order:
    """The order as it is stored after `witness` was heard.

    The first final result settles it; a later one changes nothing, and is kept for a person if it disputes the first.
    Raises TableFault, and then nothing may be concluded or acknowledged.
    """
    if isinstance(reading, Contradiction):
        _contradicted(table, order, reading.said)
        return order
    if not isinstance(reading, Final):
        return order
    if order.status is Status.INIT:
        written = table.settle(order, reading, witness, at)
        if written.won:
            telemetry.settled(written.order)
            return written.order
        order = written.order
    if disputes(order, reading):
        _contradicted(table, order, f"{witness} {reading.status} {reading.payment_id or ''}".rstrip())
    return order


def _contradicted(table: OrderTable, order: Order, said: str) -> None:
    """Keep it with the order and call a person: money may have moved otherwise than the order says."""
    table.note_contradiction(order, said)
    telemetry.count("Contradiction")
    logger.error(
        "authentic message contradicts the order",
        paymentRequestId=order.payment_request_id,
        status=order.status.value,
        said=said,
    )
