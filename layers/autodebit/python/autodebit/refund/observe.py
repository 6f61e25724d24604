"""Observe refunds that nobody asked for here: made in the merchant portal, seen in an inquiry or a report.

They count against what is left of the payment. https://docs.antom.com/ac/ams/paymentri_online
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from autodebit import telemetry
from autodebit.alipay.amount import Amount
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import result_of
from autodebit.alipay.strict_json import text_at
from autodebit.errors import GatewayError
from autodebit.payment.naming import naming_body
from autodebit.payment.order import Order
from autodebit.payment.order_table import OrderTable
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger

_DIGITS = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Seen:
    """A refund that Alipay knows; `refund_request_id` is of whoever asked for it."""

    refund_request_id: str
    refund_id: str | None
    amount: Amount
    refund_time: str | None = None


class Observer:
    """Finds what others gave back of a payment, and books it."""

    def __init__(self, orders: OrderTable, refunds: RefundTable, gateway: AlipayGateway) -> None:
        self._orders = orders
        self._refunds = refunds
        self._gateway = gateway

    def look(self, order: Order, now: datetime) -> None:
        """Ask Alipay what became of the payment, and adopt the refunds that are unknown here. Raises TableFault.

        A call that brings no authentic answer adopts nothing.
        """
        try:
            answer = self._gateway.call("payments/inquiryPayment", naming_body(order))
        except GatewayError as error:
            telemetry.call_failed("inquiryPayment", error)
            return
        if answer.get("paymentRequestId") != order.payment_request_id:
            return
        for seen in refunds_in(answer):
            if seen.amount.currency == order.amount.currency:
                self.adopt(order.payment_request_id, seen, now)

    def adopt(self, payment_request_id: str, seen: Seen, now: datetime) -> Refund:
        """The refund as it is booked; one that is known here already changes nothing.

        Raises OrderNotFound and TableFault.
        """
        while True:
            order = self._orders.get(payment_request_id)
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
            stored = self._refunds.observe(observed, order)
            if stored is None:  # the order has changed since it was read
                continue
            if stored.attempt == observed.attempt:
                telemetry.count("RefundObserved")
                logger.warning("refund observed", **stored.log_keys)
            return stored


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
        if (kind, status) == ("REFUND", "SUCCESS") and refund_request_id and currency and _DIGITS.fullmatch(value):
            yield Seen(
                refund_request_id[:64], refund_id, Amount(currency, value), text_at(transaction, "transactionTime")
            )
