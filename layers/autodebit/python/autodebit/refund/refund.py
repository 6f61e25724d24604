"""The refund: money given back of one payment, its states, and how it is shown."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.events import Acknowledgement, Told
from autodebit.instants import utc_text
from autodebit.polling import NEVER, next_look_at
from autodebit.refund.advice import RELEASED_ADVICE, refund_advice


class Status(StrEnum):
    """INIT is left once, for one of the others, and never again."""

    INIT = "INIT"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


class Witness(StrEnum):
    """Who may report a result."""

    REFUND = "refund"
    NOTIFY = "notify"
    INQUIRY = "inquiry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """A row of the refund table. Times are aware UTC."""

    kind: ClassVar[str] = "refund"

    refund_request_id: str
    payment_request_id: str
    status: Status
    amount: Amount
    merchant_account_id: str | None = None
    """Which of the merchant's accounts was paid; inquiries name it as those of the payment do."""
    created_at: datetime
    observed: bool = False
    """True: somebody else asked for it, in the portal; it was seen in an inquiry or a report."""

    # The attempt to send it.
    body: str
    """The bytes of the first call, as text: whoever repeats it sends these. Empty for one that was observed."""
    attempt: str
    """Token of the POST that may be sending; each takeover puts its own here."""
    attempted_at: datetime
    never_sent: bool = False
    """True: no byte of any call ever left, the next identical request may start afresh."""

    in_process: str | None = None
    """What told that Alipay has it in process, the first time: it is not sent again."""

    # The polling that watches over it.
    overdue_at: datetime | None = None
    """By when somebody must have looked; None while nobody waits for the refund."""
    polling_round: int = 0
    inquiries: int = 0
    last_inquiry: str | None = None

    # The result; all None while INIT.
    settled_by: Witness | None = None
    settled_at: datetime | None = None
    settle_token: str | None = None
    """Token of the attempt whose write settled it: an attempt whose answer was lost recognizes its own write."""
    refund_id: str | None = None
    result_code: str | None = None
    result_message: str | None = None
    refund_time: str | None = None

    contradictions: frozenset[str] = frozenset()
    """Authentic messages that contradict the refund; a person has to look at them."""

    told: tuple[Told, ...] = ()
    """What the merchant's systems are told of it, in order."""

    acknowledged: tuple[Acknowledgement, ...] = ()
    """Who looked at what waited for a person, and why it may rest."""

    @property
    def payment_id(self) -> str | None:
        """Alipay's id of the payment, as it was sent; None for one that was observed."""
        return json.loads(self.body).get("paymentId") if self.body else None

    @property
    def is_init(self) -> bool:
        """Whether it has no result yet."""
        return self.status is Status.INIT

    @property
    def is_spent(self) -> bool:
        """Whether its polling schedule has ended without a result: nobody looks any more."""
        return self.overdue_at == NEVER

    @property
    def next_look_at(self) -> datetime | None:
        """When it will be inquired next, at the latest; None if it will not."""
        return next_look_at(self.overdue_at, self.attempted_at) if self.is_init else None

    @property
    def key(self) -> str:
        """Its key in the table, and in the ids of its events."""
        return self.refund_request_id

    @property
    def shown(self) -> dict[str, Any]:
        """What the event of its result shows of it: always the same."""
        return {"refund": refund_document(self)}

    @property
    def shown_now(self) -> dict[str, Any]:
        """What an event shows that keeps what it shows."""
        return self.shown

    @property
    def log_keys(self) -> dict[str, Any]:
        """What identifies the refund in a log line."""
        return {
            "refundRequestId": self.refund_request_id,
            "paymentRequestId": self.payment_request_id,
            "refundId": self.refund_id,
        }

    def disputes(self, final: Final[Status]) -> bool:
        """Whether a final result contradicts the one the refund already has."""
        return final.disputes(self.status is Status.SUCCESS, self.refund_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRefund:
    """What the index of days holds of a refund that has its result."""

    refund_request_id: str
    payment_request_id: str
    refund_id: str | None
    status: Status
    amount: Amount


def refund_document(refund: Refund) -> dict[str, Any]:
    """The refund as the API shows it; what is not known yet is left out."""
    document = {
        "refundRequestId": refund.refund_request_id,
        "paymentRequestId": refund.payment_request_id,
        "status": refund.status.value,
        "refundAmount": refund.amount.document,
        "refundId": refund.refund_id,
        "resultCode": refund.result_code,
        "resultMessage": refund.result_message,
        "advice": _advice(refund) if refund.status is Status.FAIL else None,
        "settledBy": refund.settled_by.value if refund.settled_by else None,
        "createdAt": utc_text(refund.created_at),
        "settledAt": utc_text(refund.settled_at) if refund.settled_at else None,
        "refundTime": refund.refund_time,
        "observed": refund.observed or None,
        "neverSent": True if refund.is_init and refund.never_sent else None,
        "nextLookAt": utc_text(refund.next_look_at) if refund.next_look_at else None,
    }
    return {name: value for name, value in document.items() if value is not None}


def _advice(refund: Refund) -> str:
    return RELEASED_ADVICE if refund.never_sent else refund_advice(refund.result_code)
