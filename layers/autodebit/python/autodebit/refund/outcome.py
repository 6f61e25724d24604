"""What an authentic message says about a refund. One reader for each witness.

https://docs.antom.com/ac/ams/refund_online · https://docs.antom.com/ac/ams/ir_online
"""

from dataclasses import dataclass
from typing import Any

from autodebit.alipay.mismatch import mismatch, unnamed
from autodebit.alipay.reading import TRAFFIC, Contradiction, Final, Reading, Undecided, final, result_of
from autodebit.alipay.strict_json import text_at
from autodebit.refund.refund import Refund, Status

SAYS_NOTHING_OF_IT = frozenset({"REPEAT_REQ_INCONSISTENT"})
"""An F with this speaks of an earlier refund under the same id, and not of its result."""

ALREADY_GIVEN_BACK = frozenset({"REFUND_AMOUNT_EXCEED", "ORDER_STATUS_INVALID", "ORDER_IS_CANCELED"})
"""Refusals that say that somebody else gave money back, or cancelled: look at the payment."""


@dataclass(frozen=True, slots=True)
class InProcess(Undecided):
    """Alipay has the refund, without a result: it is inquired, and never sent again."""


def read_refund(refund: Refund, answer: dict[str, Any], *, first_call: bool) -> Reading[Status]:
    """What the answer of `refund` says. `first_call`: no earlier call for this refund is unaccounted for."""
    status, code = result_of(answer)
    if against := _mismatch(refund, answer):
        return Contradiction(f"refund {status}/{code}: {against}")
    if status == "S":
        return _given_back(refund, answer, "refund", code, text_at(answer, "result", "resultMessage"))
    if status == "F" and first_call and code not in SAYS_NOTHING_OF_IT:
        return _final(Status.FAIL, answer, code, text_at(answer, "result", "resultMessage"))
    if (status, code) == ("U", "REFUND_IN_PROCESS"):
        return InProcess(f"refund {status}/{code}")
    return Undecided(f"refund {status}/{code}", call_again=(status, code) == ("U", TRAFFIC))


def read_inquiry(refund: Refund, answer: dict[str, Any]) -> Reading[Status]:
    """What the answer of inquiryRefund says. Its `result` speaks of the call; `refundStatus` of the refund."""
    call, code = result_of(answer)
    if against := _mismatch(refund, answer):
        return Contradiction(f"inquiry {call}/{code}: {against}")
    if call != "S":
        return Undecided(f"inquiry {call}/{code}")
    refund_status = text_at(answer, "refundStatus")
    if refund_status == "SUCCESS":
        return _given_back(refund, answer, "inquiry", code, text_at(answer, "result", "resultMessage"))
    if refund_status == "FAIL":
        reason = text_at(answer, "refundResultCode")
        return _final(Status.FAIL, answer, reason, text_at(answer, "refundResultMessage"))
    if refund_status == "PROCESSING":
        return InProcess(f"inquiry {call}: {refund_status}")
    return Undecided(f"inquiry {call}: {(refund_status or 'without refundStatus')[:64]}")


def read_notification(refund: Refund, notification: dict[str, Any]) -> Reading[Status]:
    """What a notifyRefund message says; only S with refundStatus SUCCESS, and F with FAIL, are final.

    https://docs.antom.com/ac/ams/notify_refund
    """
    status, code = result_of(notification)
    refund_status = text_at(notification, "refundStatus")
    if against := _mismatch(refund, notification):
        return Contradiction(f"notify {status}/{code}: {against}")
    message = text_at(notification, "result", "resultMessage")
    if (status, refund_status) == ("S", "SUCCESS"):
        return _given_back(refund, notification, "notify", code, message)
    if status == "F" and refund_status == "FAIL":
        return _final(Status.FAIL, notification, code, message)
    return Undecided(f"notify {status}/{code} {(refund_status or 'without refundStatus')[:64]}")


def _mismatch(refund: Refund, message: dict[str, Any]) -> str | None:
    """What the message says that is not the refund's. Not every one names the payment."""
    if refund.payment_id is not None and message.get("paymentId", refund.payment_id) != refund.payment_id:
        return "another paymentId"
    return mismatch(message, "refundRequestId", refund.refund_request_id, "refundAmount", refund.amount)


def _given_back(
    refund: Refund, message: dict[str, Any], witness: str, code: str | None, text: str | None
) -> Reading[Status]:
    """A success counts only if it names id, amount and currency; that they are the refund's was checked before."""
    if missing := unnamed(message, "refundRequestId", "refundAmount"):
        return Contradiction(f"{witness} {missing}")
    return _final(Status.SUCCESS, message, code, text)


def _final(status: Status, message: dict[str, Any], code: str | None, text: str | None) -> Final[Status]:
    return final(
        status,
        code=code,
        message=text,
        transaction_id=text_at(message, "refundId"),
        transaction_time=text_at(message, "refundTime") if status is Status.SUCCESS else None,
        is_token=lambda word: False,
    )
