"""Observe a payment of which somebody else gave money back: one inquiry of it, and what follows for our rows.

https://docs.antom.com/ac/ams/paymentri_online
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from autodebit import telemetry
from autodebit.alipay.amount import POSITIVE_VALUE, Amount
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Contradiction, Final, Reading, result_of
from autodebit.alipay.strict_json import text_at
from autodebit.errors import GatewayError
from autodebit.payment.naming import naming_body
from autodebit.payment.order import Order
from autodebit.payment.order import Witness as PaymentWitness
from autodebit.payment.order_table import OrderTable
from autodebit.payment.outcome import read_inquiry
from autodebit.refund.adopt import Seen, adopt
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.settle import settle


class Observer:
    """Looks at one payment once."""

    def __init__(self, orders: OrderTable, refunds: RefundTable, gateway: AlipayGateway) -> None:
        self._orders = orders
        self._refunds = refunds
        self._gateway = gateway

    def look(self, order: Order, now: datetime, deadline: float) -> None:
        """Ask Alipay what became of a payment that is SUCCESS, and adopt the refunds that are unknown here.

        What speaks against our rows is kept with them for a person. A call that brings no authentic answer by
        `deadline`, on time.monotonic's clock, changes nothing. Raises TableFault.
        """
        try:
            answer = self._gateway.call("payments/inquiryPayment", naming_body(order), deadline)
        except GatewayError as error:
            telemetry.call_failed("inquiryPayment", error)
            return
        reading = read_inquiry(order, answer)
        settle(self._orders, order, reading, PaymentWitness.INQUIRY, now)
        if isinstance(reading, Contradiction):
            return
        for seen in refunds_in(answer):
            if seen.amount.currency == order.amount.currency:
                refund = adopt(self._refunds, order.payment_request_id, seen, now)
                if refund is not None and not refund.is_init:  # one that is INIT is left to inquiryRefund
                    settle(self._refunds, refund, _read(refund, order, seen), Witness.INQUIRY, now)


def refunds_in(answer: dict[str, Any]) -> Iterator[Seen]:
    """The refunds that succeeded, as the answer of inquiryPayment lists them in `transactions`."""
    transactions = answer.get("transactions")
    if result_of(answer)[0] != "S" or not isinstance(transactions, list):
        return
    for transaction in transactions:
        if not isinstance(transaction, dict):
            continue
        kind, status = text_at(transaction, "transactionType"), text_at(transaction, "transactionStatus")
        currency = text_at(transaction, "transactionAmount", "currency")
        value = text_at(transaction, "transactionAmount", "value") or ""
        refund_id = text_at(transaction, "transactionId")
        refund_request_id = text_at(transaction, "transactionRequestId") or refund_id
        if (
            (kind, status) == ("REFUND", "SUCCESS")
            and refund_request_id
            and currency
            and POSITIVE_VALUE.fullmatch(value)
        ):
            yield Seen(refund_request_id[:64], refund_id[:64] if refund_id else None, Amount(currency, value))


def _read(refund: Refund, order: Order, seen: Seen) -> Reading[Status]:
    """What the payment's list says of a refund that stands here under the same id."""
    if (refund.payment_request_id, refund.amount) != (order.payment_request_id, seen.amount):
        return Contradiction(f"inquiry of {order.payment_request_id}: refund of {seen.amount.value}")
    return Final(Status.SUCCESS, transaction_id=seen.refund_id)
