"""Adopt a refund that nobody asked for here: somebody made it in the merchant portal, and Alipay tells of it.

It counts against what is left of the payment.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from autodebit import telemetry
from autodebit.alipay.amount import Amount
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger


@dataclass(frozen=True, slots=True)
class Seen:
    """A refund that succeeded at Alipay, in an inquiry of its payment or in a report.

    `refund_request_id` is of whoever asked for it, `amount` in the payment's currency.
    """

    refund_request_id: str
    refund_id: str | None
    amount: Amount
    refund_time: str | None = None


def adopt(table: RefundTable, payment_request_id: str, seen: Seen, now: datetime) -> Refund | None:
    """The refund of this id as it stands now; one that is known here is left as it is. None, and nothing is booked, if
    the payment is not SUCCESS here. Raises TableFault.
    """
    attempt = uuid4().hex
    stored = table.observe(
        Refund(
            refund_request_id=seen.refund_request_id,
            payment_request_id=payment_request_id,
            status=Status.SUCCESS,
            amount=seen.amount,
            created_at=now,
            observed=True,
            body="",
            attempt=attempt,
            attempted_at=now,
            settled_by=Witness.INQUIRY,
            settled_at=now,
            refund_id=seen.refund_id,
            refund_time=seen.refund_time,
        )
    )
    if stored is not None and stored.attempt == attempt:
        telemetry.count("RefundObserved")
        logger.warning("refund observed", **stored.log_keys)
    return stored
