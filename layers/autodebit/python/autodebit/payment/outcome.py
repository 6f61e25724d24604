"""What an authentic message says about an order. One reader for each witness.

They know no clock, no network and no table; whether a message is authentic was decided before (`alipay.signature`),
whether it may change the order is decided after (`payment.order_table`, by the INIT guard).
"""

from dataclasses import dataclass
from typing import Any

from autodebit.alipay.mismatch import mismatch, unnamed
from autodebit.alipay.reading import TRAFFIC, Contradiction, Final, Reading, Undecided, final, result_of
from autodebit.alipay.strict_json import text_at
from autodebit.payment.order import Order, Status

DECIDED_BY_INQUIRY = frozenset({"REPEAT_REQ_INCONSISTENT", "ORDER_IS_CLOSED", "ORDER_IS_CANCELED"})
"""An F with one of these speaks of an earlier payment under the same id, and not of its result.

https://docs.antom.com/ac/ams/idempotency
"""


@dataclass(frozen=True, slots=True)
class Absent(Undecided):
    """Alipay has no such payment; it may still be on its way."""


@dataclass(frozen=True, slots=True)
class Present(Undecided):
    """Alipay has the payment, without a result."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Alipay does not cancel the payment."""

    code: str


def read_pay(order: Order, answer: dict[str, Any], *, first_call: bool) -> Reading[Status]:
    """What the answer of `pay` says. `first_call`: no earlier `pay` for this order is unaccounted for.

    https://docs.antom.com/ac/ams/payment_agreement
    """
    status, code = result_of(answer)
    if against := _mismatch(order, answer):
        return Contradiction(f"pay {status}/{code}: {against}")
    if status == "S":
        return _paid(order, answer, "pay", code, text_at(answer, "result", "resultMessage"))
    if status == "F" and first_call and code not in DECIDED_BY_INQUIRY:
        return _final(Status.FAIL, order, answer, code, text_at(answer, "result", "resultMessage"))
    return Undecided(f"pay {status}/{code}", call_again=(status, code) == ("U", TRAFFIC))


def read_inquiry(order: Order, answer: dict[str, Any]) -> Reading[Status]:
    """What the answer of inquiryPayment says. Its `result` speaks of the call; `paymentStatus` of the payment.

    https://docs.antom.com/ac/ams/paymentri_online
    """
    call, code = result_of(answer)
    if against := _mismatch(order, answer):
        return Contradiction(f"inquiry {call}/{code}: {against}")
    if (call, code) == ("F", "ORDER_NOT_EXIST"):
        return Absent(f"inquiry {call}/{code}")
    if call != "S":
        return Undecided(f"inquiry {call}/{code}")
    payment_status = text_at(answer, "paymentStatus")
    reason, message = text_at(answer, "paymentResultCode"), text_at(answer, "paymentResultMessage")
    if payment_status == "SUCCESS":
        return _paid(order, answer, "inquiry", reason, message)
    if payment_status == "FAIL":
        return _final(Status.FAIL, order, answer, reason, message)
    if payment_status == "CANCELLED":
        return _final(Status.CANCELLED, order, answer, reason, message)
    if payment_status is None:
        return Undecided(f"inquiry {call}: without paymentStatus")
    return Present(f"inquiry {call}: {payment_status[:64]}")


def read_cancel(order: Order, answer: dict[str, Any]) -> Reading[Status] | Refused:
    """What the answer of cancel says. With S the payment is closed, or its money is given back.

    https://docs.antom.com/ac/ams/paymentc_online
    """
    status, code = result_of(answer)
    if against := _mismatch(order, answer):
        return Contradiction(f"cancel {status}/{code}: {against}")
    if status == "S":
        # Its code and message speak of the call.
        return _final(Status.CANCELLED, order, answer, None, None)
    if status == "F":
        return Refused(code)
    return Undecided(f"cancel {status}/{code}")


def read_notification(order: Order, notification: dict[str, Any]) -> Reading[Status]:
    """What a notifyPayment message says; only PAYMENT_RESULT with S or F is final.

    https://docs.antom.com/ac/ams/paymentrn_online
    """
    status, code = result_of(notification)
    if against := _mismatch(order, notification):
        return Contradiction(f"notify {status}/{code}: {against}")
    if notification["notifyType"] == "PAYMENT_RESULT":
        message = text_at(notification, "result", "resultMessage")
        if status == "S":
            return _paid(order, notification, "notify", code, message)
        if status == "F":
            return _final(Status.FAIL, order, notification, code, message)
    return Undecided(f"notify {notification['notifyType']} {status}/{code}")


def _mismatch(order: Order, message: dict[str, Any]) -> str | None:
    return mismatch(message, "paymentRequestId", order.payment_request_id, "paymentAmount", order.amount)


def _paid(order: Order, message: dict[str, Any], witness: str, code: str | None, text: str | None) -> Reading[Status]:
    """A success counts only if it names id, amount and currency; that they are the order's was checked before."""
    if missing := unnamed(message, "paymentRequestId", "paymentAmount"):
        return Contradiction(f"{witness} {missing}")
    return _final(Status.SUCCESS, order, message, code, text)


def _final(status: Status, order: Order, message: dict[str, Any], code: str | None, text: str | None) -> Final[Status]:
    return final(
        status,
        code=code,
        message=text,
        transaction_id=text_at(message, "paymentId"),
        transaction_time=text_at(message, "paymentTime") if status is Status.SUCCESS else None,
        is_token=order.is_token,
    )
