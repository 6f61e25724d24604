"""Observe refunds that nobody asked for here: made in the merchant portal, seen in an inquiry.

They count against what is left of the payment. https://docs.antom.com/ac/ams/paymentri_online
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from autodebit import telemetry
from autodebit.alipay.amount import Amount
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import result_of
from autodebit.alipay.strict_json import text_at
from autodebit.errors import GatewayError
from autodebit.payment.naming import naming_body
from autodebit.payment.order import Order
from autodebit.payment.order_table import OrderTable
from autodebit.refund.adopt import Seen, adopt
from autodebit.refund.refund_table import RefundTable

_DIGITS = re.compile(r"[1-9][0-9]{0,15}")


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
                adopt(self._orders, self._refunds, order.payment_request_id, seen, now)


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
