"""Adopt a refund that nobody asked for here: made in the merchant portal, seen in an inquiry or in a report."""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from autodebit import telemetry
from autodebit.alipay.amount import Amount
from autodebit.payment.order_table import OrderTable
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger


@dataclass(frozen=True, slots=True)
class Seen:
    """A refund that Alipay knows; `refund_request_id` is of whoever asked for it."""

    refund_request_id: str
    refund_id: str | None
    amount: Amount
    refund_time: str | None = None


def adopt(orders: OrderTable, refunds: RefundTable, payment_request_id: str, seen: Seen, now: datetime) -> Refund:
    """The refund as it is booked; one that is known here already changes nothing.

    Raises OrderNotFound and TableFault.
    """
    while True:
        order = orders.get(payment_request_id)
        observed = Refund(
            refund_request_id=seen.refund_request_id,
            payment_request_id=payment_request_id,
            status=Status.SUCCESS,
            amount=seen.amount,
            created_at=now,
            observed=True,
            body="",
            attempt=uuid4().hex,
            attempted_at=now,
            settled_by=Witness.INQUIRY,
            settled_at=now,
            refund_id=seen.refund_id,
            refund_time=seen.refund_time,
        )
        stored = refunds.observe(observed, order)
        if stored is None:  # the order has changed since it was read
            continue
        if stored.attempt == observed.attempt:
            telemetry.count("RefundObserved")
            logger.warning("refund observed", **stored.log_keys)
        return stored
