"""What an authentic message says about an order: a final result, nothing final, or a contradiction.

One reader for each witness. They know no clock, no network and no table; whether a message is authentic was decided
before (`signature`), whether it may change the order is decided after (`order_table`, by the INIT guard).
"""

import re
from dataclasses import dataclass
from typing import Any

from autodebit.messages import text_at
from autodebit.order import Order, Status


@dataclass(frozen=True, slots=True)
class Final:
    """The payment has its result."""

    status: Status
    result_code: str | None = None
    result_message: str | None = None
    payment_id: str | None = None
    payment_time: str | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """Nothing final; `said` is what was heard, for the operator."""

    said: str


@dataclass(frozen=True, slots=True)
class Contradiction:
    """It speaks of another id, amount or currency than the order's, or reports a success without them."""

    said: str


Reading = Final | Open | Contradiction

DECIDED_BY_INQUIRY = frozenset({"REPEAT_REQ_INCONSISTENT", "ORDER_IS_CLOSED", "ORDER_IS_CANCELED"})
"""An F with one of these speaks of an earlier payment under the same id, and not of its result.

https://docs.antom.com/ac/ams/idempotency
"""


_TOKEN = re.compile(r"(?=[\w.+/=~-]*\d)[\w.+/=~-]{16,}")
"""Whatever looks like an access token, should a message ever quote what it complains of: it would be kept and shown."""


def read_pay(order: Order, answer: dict[str, Any], *, first_call: bool) -> Reading:
    """What the answer of `pay` says. `first_call`: no earlier `pay` for this order is unaccounted for.

    https://docs.antom.com/ac/ams/payment_agreement
    """
    status, code = _result(answer)
    if against := _contradicts(order, answer):
        return Contradiction(f"pay {status}/{code}: {against}")
    if status == "S":
        return _paid(order, answer, "pay", code, text_at(answer, "result", "resultMessage"))
    if status == "F" and first_call and code not in DECIDED_BY_INQUIRY:
        return _final(Status.FAIL, answer, code, text_at(answer, "result", "resultMessage"))
    return Open(f"pay {status}/{code}")


def read_inquiry(order: Order, answer: dict[str, Any]) -> Reading:
    """What the answer of inquiryPayment says. Its `result` speaks of the call; `paymentStatus` of the payment.

    https://docs.antom.com/ac/ams/paymentri_online
    """
    call, code = _result(answer)
    if against := _contradicts(order, answer):
        return Contradiction(f"inquiry {call}/{code}: {against}")
    if call != "S":
        return Open(f"inquiry {call}/{code}")
    payment_status = text_at(answer, "paymentStatus")
    reason, message = text_at(answer, "paymentResultCode"), text_at(answer, "paymentResultMessage")
    if payment_status == "SUCCESS":
        return _paid(order, answer, "inquiry", reason, message)
    if payment_status == "FAIL":
        return _final(Status.FAIL, answer, reason, message)
    if payment_status == "CANCELLED":
        return _final(Status.CANCELLED, answer, reason, message)
    return Open(f"inquiry {call}: {(payment_status or 'without paymentStatus')[:64]}")


def read_notification(order: Order, notification: dict[str, Any]) -> Reading:
    """What a notifyPayment message says; only PAYMENT_RESULT with S or F is final.

    https://docs.antom.com/ac/ams/paymentrn_online
    """
    status, code = _result(notification)
    if against := _contradicts(order, notification):
        return Contradiction(f"notify {status}/{code}: {against}")
    if notification["notifyType"] == "PAYMENT_RESULT":
        message = text_at(notification, "result", "resultMessage")
        if status == "S":
            return _paid(order, notification, "notify", code, message)
        if status == "F":
            return _final(Status.FAIL, notification, code, message)
    return Open(f"notify {notification['notifyType']} {status}/{code}")


def disputes(order: Order, final: Final) -> bool:
    """Whether a final result contradicts the one the order already has: money moved by one account, not by the other,
    or moved as two payments. FAIL and CANCELLED agree: nothing was kept.
    """
    paid, says_paid = order.status is Status.SUCCESS, final.status is Status.SUCCESS
    both_known = order.payment_id is not None and final.payment_id is not None
    return paid != says_paid or (paid and both_known and order.payment_id != final.payment_id)


def _result(message: dict[str, Any]) -> tuple[str, str]:
    status, code = text_at(message, "result", "resultStatus"), text_at(message, "result", "resultCode")
    return (status or "")[:8], (code or "")[:64]


def _contradicts(order: Order, message: dict[str, Any]) -> str | None:
    """What the message says of id, amount or currency that is not the order's; None if it contradicts nothing."""
    if "paymentRequestId" in message and message["paymentRequestId"] != order.payment_request_id:
        return "another paymentRequestId"
    if "paymentAmount" in message:
        currency, value = text_at(message, "paymentAmount", "currency"), text_at(message, "paymentAmount", "value")
        if (currency, value) != (order.amount.currency, order.amount.value):
            return f"paymentAmount {_quoted(currency)} {_quoted(value)}"
    return None


def _quoted(text: str | None) -> str:
    return "missing" if text is None else text[:16]


def _paid(order: Order, message: dict[str, Any], witness: str, code: str | None, text: str | None) -> Reading:
    """A success counts only if it names id, amount and currency; that they are the order's was checked before."""
    if "paymentRequestId" not in message or "paymentAmount" not in message:
        return Contradiction(f"{witness} success without paymentRequestId and paymentAmount")
    return _final(Status.SUCCESS, message, code, text)


def _final(status: Status, message: dict[str, Any], code: str | None, text: str | None) -> Final:
    return Final(
        status,
        result_code=code[:64] if code else None,
        result_message=_TOKEN.sub("***", text[:256]) if text else None,
        payment_id=_short(text_at(message, "paymentId")),
        payment_time=_short(text_at(message, "paymentTime")) if status is Status.SUCCESS else None,
    )


def _short(text: str | None) -> str | None:
    return text[:64] if text else None
