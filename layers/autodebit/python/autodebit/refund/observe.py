"""Observe a payment of which somebody else gave money back: one inquiry of it, and what follows for our rows.

https://docs.antom.com/ac/ams/paymentri_online
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from autodebit.alipay.amount import POSITIVE_VALUE, Amount
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Contradiction, Final, Reading, result_of
from autodebit.alipay.strict_json import text_at
from autodebit.payment.naming import naming_body
from autodebit.payment.order import Order
from autodebit.payment.order import Witness as PaymentWitness
from autodebit.payment.order_table import OrderTable
from autodebit.payment.outcome import read_inquiry
from autodebit.refund.adopt import adopt
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.refund.seen import Seen
from autodebit.settle import settle


class Observer:
    """Reads what inquiryPayment says of a payment that is SUCCESS here."""

    def __init__(self, orders: OrderTable, refunds: RefundTable, gateway: AlipayGateway) -> None:
        self._orders = orders
        self._refunds = refunds
        self._gateway = gateway

    def look(self, order: Order, now: datetime, deadline: float) -> dict[str, Any]:
        """Ask Alipay what became of the payment, and adopt the refunds that are unknown here: the answer.

        What speaks against our rows is kept with them for a person. Raises TableFault; and GatewayError if there is no
        authentic answer by `deadline`, on time.monotonic's clock.
        """
        answer = self._gateway.call("payments/inquiryPayment", naming_body(order), deadline)
        reading = read_inquiry(order, answer)
        settle(self._orders, order, reading, PaymentWitness.INQUIRY, now)
        if isinstance(reading, Contradiction):
            return answer
        for seen in refunds_in(answer):
            refund = adopt(self._orders, self._refunds, order.key, seen, now)
            if refund is not None and not refund.is_init:  # one that is INIT is left to inquiryRefund
                settle(self._refunds, refund, _read(refund, order, seen), Witness.INQUIRY, now)
        return answer


def adopt_listed(orders: OrderTable, refunds: RefundTable, order: Order, answer: dict[str, Any], now: datetime) -> None:
    """Adopt the refunds that an answer lists of a payment which has just become SUCCESS here: no others can be ours."""
    for seen in refunds_in(answer):
        adopt(orders, refunds, order.key, seen, now)


def refunds_in(answer: dict[str, Any]) -> Iterator[Seen]:
    """The refunds that succeeded, as the answer of inquiryPayment lists them in `transactions`."""
    transactions = answer.get("transactions")
    if result_of(answer)[0] != "S" or not isinstance(transactions, list):
        return
    for transaction in transactions:
        kind, status = text_at(transaction, "transactionType"), text_at(transaction, "transactionStatus")
        currency = text_at(transaction, "transactionAmount", "currency")
        value = text_at(transaction, "transactionAmount", "value")
        refund_id = text_at(transaction, "transactionId")
        request_id = text_at(transaction, "transactionRequestId")
        if (
            (kind, status) == ("REFUND", "SUCCESS")
            and (request_id or refund_id)
            and currency
            and value
            and POSITIVE_VALUE.fullmatch(value)
        ):
            yield Seen(_id(request_id), _id(refund_id), Amount(currency, value))


def _id(text: str | None) -> str | None:
    """An id in the length that is kept."""
    return text[:64] if text else None


def _read(refund: Refund, order: Order, seen: Seen) -> Reading[Status]:
    """What the payment's list says of a refund that stands here under the same id."""
    if (refund.payment_request_id, refund.amount) != (order.payment_request_id, seen.amount):
        return Contradiction(f"inquiry of {order.payment_request_id}: refund of {seen.amount.value}")
    return Final(Status.SUCCESS, transaction_id=seen.refund_id)
