"""Adopt a refund that nobody asked for here: somebody made it in the merchant portal, and Alipay tells of it.

It counts against what is left of the payment.
"""

from datetime import datetime
from uuid import uuid4

from autodebit import telemetry
from autodebit.contradiction import contradicted
from autodebit.errors import TableFault
from autodebit.payment.order import Order
from autodebit.payment.order import Status as OrderStatus
from autodebit.payment.order_table import OrderTable
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.refund.seen import Seen
from autodebit.telemetry import logger

TRIES = 5
"""Each further one because the payment got another refund meanwhile."""


def adopt(
    orders: OrderTable, refunds: RefundTable, payment_request_id: str, seen: Seen, now: datetime
) -> Refund | None:
    """The refund as it stands here now; one that is known, or in doubt, is left as it is. None if nothing is booked.

    One that is INIT has to be inquired. More than is left is a contradiction. Raises OrderNotFound and TableFault.
    """
    for _ in range(TRIES):
        order = orders.get(payment_request_id)
        if order.status is not OrderStatus.SUCCESS or order.amount.currency != seen.amount.currency:
            return None
        seen = seen.of(order)
        if known := seen.among(refunds.of_order(order)):
            return known
        if seen.key is None:
            logger.warning("refund seen without an id", paymentRequestId=payment_request_id)
            return None
        if int(seen.amount.value) > int(order.amount.value) - (order.refunded or 0):
            contradicted(orders, order, f"refund {seen.key} of {seen.amount.value}: more than was paid", now)
            return None
        attempt = uuid4().hex
        stored = refunds.observe(_observed(order, seen, seen.key, attempt, now), order)
        if stored is None:
            continue
        if stored.attempt == attempt:
            telemetry.count("RefundObserved")
            logger.warning("refund observed", **stored.log_keys)
        return stored
    raise TableFault("the payment gets other refunds all the time")


def _observed(order: Order, seen: Seen, key: str, attempt: str, now: datetime) -> Refund:
    return Refund(
        refund_request_id=key,
        payment_request_id=order.payment_request_id,
        status=Status.SUCCESS,
        amount=seen.amount,
        created_at=now,
        observed=True,
        body="",
        attempt=attempt,
        attempted_at=now,
        settled_by=Witness.INQUIRY,
        refund_id=seen.refund_id,
        refund_time=seen.refund_time,
    )
