"""The merchant's request for a refund, and the bytes of `refund` that are made from it.

https://docs.antom.com/ac/ams/refund_online
"""

import re
from dataclasses import dataclass
from typing import Any

from autodebit.alipay.amount import POSITIVE, Amount, amount_fields, multiple_fault
from autodebit.alipay.fields import Fields, Text, check
from autodebit.alipay.strict_json import JsonInvalid, canonical, parse_request
from autodebit.errors import FieldError, RequestInvalid
from autodebit.payment.order import Order

REFUND_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

REFUND_REQUEST = Fields(
    {
        "refundRequestId": Text(
            64, required=True, pattern=REFUND_REQUEST_ID, rule="must be 1 to 64 characters of A-Z a-z 0-9 _ -"
        ),
        "refundAmount": amount_fields(POSITIVE, required=True),
        "refundReason": Text(256),
        "referenceRefundId": Text(64),
        "metadata": Text(2048),
    }
)

OWNED = ("paymentId", "refundNotifyUrl")
"""Fields of the refund API that the bundle fills in."""


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What the merchant asks for: fields of Alipay's refund API but those the bundle fills in."""

    fields: dict[str, Any]

    @property
    def refund_request_id(self) -> str:
        return str(self.fields["refundRequestId"])

    @property
    def amount(self) -> Amount:
        return Amount.of(self.fields["refundAmount"])

    def faults(self, order: Order) -> list[FieldError]:
        """What is wrong with the amount for this payment."""
        if self.amount.currency != order.amount.currency:
            return [FieldError("refundAmount.currency", f"must be the payment's, {order.amount.currency}")]
        return multiple_fault(self.amount, "refundAmount", order.payment_method_type)

    def body(self, payment_id: str, notify_url: str) -> bytes:
        """The body of `refund`; the same fields give the same bytes, in whatever order they came."""
        return canonical(self.fields | {"paymentId": payment_id, "refundNotifyUrl": notify_url})


def parse_refund_request(body: bytes) -> RefundRequest:
    """The merchant's request, checked. Raises RequestInvalid with every fault."""
    try:
        fields = parse_request(body)
    except JsonInvalid as error:
        raise RequestInvalid([FieldError("body", str(error))]) from None
    if errors := check(REFUND_REQUEST, fields, OWNED):
        raise RequestInvalid(errors)
    return RefundRequest(fields)
