"""The order: one payment attempt, its states, and how it is shown."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.events import Acknowledgement, Told
from autodebit.instants import utc_text
from autodebit.payment.advice import advice
from autodebit.payment.heard import Heard, with_heard
from autodebit.payment.identity import digest
from autodebit.polling import NEVER, next_look_at


class Status(StrEnum):
    """INIT is left once, for one of the others, and never again."""

    INIT = "INIT"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"
    CANCELLED = "CANCELLED"


class Witness(StrEnum):
    """Who may report a result."""

    PAY = "pay"
    NOTIFY = "notify"
    INQUIRY = "inquiry"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A row of the order table. Times are aware UTC; `payment_expiry_time` is the very string sent to Alipay."""

    kind: ClassVar[str] = "payment"

    payment_request_id: str
    status: Status
    amount: Amount
    reference_order_id: str
    merchant_account_id: str | None = None
    """Which of the merchant's accounts; inquiries name it as `pay` did."""
    payment_method_type: str | None = None
    """The wallet, which decides how long and how finely it gives back."""
    agreement_id: str | None = None
    """The agreement that it was debited by, if it named one."""
    created_at: datetime
    payment_expiry_time: str

    # The request it stands for, and the attempt to send it.
    identity: str
    """What a replay must agree in (`payment.identity`)."""
    token_digest: str | None = None
    """Digest of the access token that was sent, so that it is recognized should a message quote it."""
    pay_body_sha256: str
    attempt: str
    """Token of the POST that may be sending `pay`; each takeover puts its own here."""
    attempted_at: datetime
    """When that POST took it on."""
    never_sent: bool = False
    """True: no byte of any `pay` ever left, the next identical request may start afresh."""

    # The polling that watches over it.
    overdue_at: datetime | None = None
    """By when somebody must have looked; None while nobody waits for the order."""
    look_at: datetime | None = None
    """When the next look is due, as the last one said."""
    polling_round: int = 0
    inquiries: int = 0
    last_inquiry: str | None = None
    heard: tuple[Heard, ...] = ()
    """What inquiries and cancels heard that gave no result; two at once may keep the words of one of them."""

    # The cancel (`payment.closing` has the rules).
    cancel_requested_at: datetime | None = None
    """Since when a cancel is noted. A refusal takes it away; whatever else ends the order leaves it."""
    cancel_attempt: str | None = None
    """Token of the latest attempt to send the cancel."""
    cancel_attempted_at: datetime | None = None
    """When that attempt began; None once it has ended and said so."""
    last_cancel: str | None = None
    """What the latest attempt heard."""
    cancel_code: str | None = None
    """The `resultCode` of the latest refusal."""
    cancel_refused_at: datetime | None = None
    cancel_doubted: bool = False
    """True: the cancel was repeated, and what became of an earlier call nobody knows, whatever a later one heard."""
    absences: int = 0
    """How many inquiries in a row, spaced and after the expiry, were answered ORDER_NOT_EXIST."""
    absent_at: datetime | None = None
    """When the last of them was answered."""
    crossed: frozenset[str] = frozenset()
    """Successes that crossed a cancel (`payment.crossing`)."""
    unresolved_at: datetime | None = None
    """When a person was told that the order has no result."""

    # The result; all None while INIT.
    settled_by: Witness | None = None
    settled_at: datetime | None = None
    settle_token: str | None = None
    """Token of the attempt whose write settled it: an attempt whose answer was lost recognizes its own write."""
    payment_id: str | None = None
    result_code: str | None = None
    result_message: str | None = None
    payment_time: str | None = None

    # Refunds; amounts in minor units.
    refundable: int | None = None
    """What no refund has given back or reserved; None until the order is SUCCESS."""
    refunded: int | None = None
    """What was given back; None while that is nothing."""
    refunds: frozenset[str] = frozenset()
    """The keys of its refunds, whatever became of them."""

    contradictions: frozenset[str] = frozenset()
    """Authentic messages that contradict the order; a person has to look at them."""

    told: tuple[Told, ...] = ()
    """What the merchant's systems are told of it, in order."""
    acknowledged: tuple[Acknowledgement, ...] = ()
    """Who has looked at what a person had to look at."""

    @property
    def expires_at(self) -> datetime:
        """When Alipay closes the payment if it is still open."""
        return datetime.fromisoformat(self.payment_expiry_time)

    @property
    def is_init(self) -> bool:
        """Whether it has no result yet."""
        return self.status is Status.INIT

    @property
    def key(self) -> str:
        """Its key in the table, and in the ids of its events."""
        return self.payment_request_id

    @property
    def shown(self) -> dict[str, Any]:
        """What the event of its result shows of it: always the same, whatever is given back later."""
        return {"order": order_document(replace(self, refunded=None))}

    @property
    def shown_now(self) -> dict[str, Any]:
        """What an event shows that keeps what it shows."""
        return {"order": order_document(self)}

    @property
    def is_spent(self) -> bool:
        """Whether its polling schedule has ended without a result: nobody looks any more."""
        return self.overdue_at == NEVER

    @property
    def next_look_at(self) -> datetime | None:
        """When it will be inquired next, at the latest; None if it will not."""
        return next_look_at(self.overdue_at, self.attempted_at, self.look_at) if self.is_init else None

    def hears(self, said: str, at: datetime) -> "Order":
        """The order once this was heard of it, for the write that notes it."""
        return replace(self, heard=with_heard(self.heard, said, at))

    def is_token(self, text: str) -> bool:
        """Whether the text is the access token that was sent."""
        return digest(self.payment_request_id, text) == self.token_digest

    @property
    def log_keys(self) -> dict[str, Any]:
        """What identifies the payment in a log line."""
        return {"paymentRequestId": self.payment_request_id, "paymentId": self.payment_id}

    def is_crossed_by(self, final: Final[Status]) -> bool:
        """Whether a final result is a success that crosses a cancel: once Alipay has accepted the cancel it gives the
        money back, whatever is heard of the payment. https://docs.antom.com/ac/scantopay_zh-cn/cancel
        """
        cancelling = self.cancel_requested_at is not None or self.cancel_doubted
        return cancelling and self.status in (Status.INIT, Status.CANCELLED) and final.status is Status.SUCCESS

    def disputes(self, final: Final[Status]) -> bool:
        """Whether a final result contradicts the one the order already has. FAIL and CANCELLED agree."""
        if self.is_init or self.is_crossed_by(final):
            return False
        return final.disputes(self.status is Status.SUCCESS, self.payment_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledOrder:
    """What the index of days holds of an order that has its result."""

    payment_request_id: str
    status: Status
    amount: Amount
    payment_id: str | None


def order_document(order: Order) -> dict[str, Any]:
    """The order as the API shows it; what is not known yet is left out."""
    document = {
        "paymentRequestId": order.payment_request_id,
        "status": order.status.value,
        "paymentAmount": order.amount.document,
        "referenceOrderId": order.reference_order_id,
        "paymentId": order.payment_id,
        "resultCode": order.result_code,
        "resultMessage": order.result_message,
        "settledBy": order.settled_by.value if order.settled_by else None,
        "createdAt": utc_text(order.created_at),
        "expiresAt": utc_text(order.expires_at),
        "settledAt": utc_text(order.settled_at) if order.settled_at else None,
        "paymentTime": order.payment_time,
        "refundedAmount": Amount(order.amount.currency, str(order.refunded)).document if order.refunded else None,
        "neverSent": True if order.is_init and order.never_sent else None,
        "nextLookAt": utc_text(order.next_look_at) if order.next_look_at else None,
        "cancelRequestedAt": utc_text(order.cancel_requested_at) if order.cancel_requested_at else None,
        "advice": advice(order.result_code).value if order.status is Status.FAIL else None,
    }
    return {name: value for name, value in document.items() if value is not None}
