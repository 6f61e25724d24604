"""What goes wrong with one payment, drawn from the soak's seed and the payment's number alone.

The words of the plans are the simulated Alipay's: docs/simulator.md lists them.
"""

import random
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

OTHER_AMOUNT = {"currency": "HKD", "value": "1"}
"""No payment of the soak has it."""

ANSWERS: dict[str, tuple[float, Any]] = {
    "cut before it arrives": (1, "reset-before"),
    "cut after it was done": (2, "reset-after"),
    "500": (1, "http:500"),
    "503, not done": (1, {"answer": "http:503", "processed": False}),
    "HTML": (1, "html"),
    "truncated": (1, "truncated"),
    "half the JSON, signed": (1, "broken"),
    "unsigned success": (1, "unsigned:S"),
    "unsigned failure": (1, "unsigned:F:INVALID_SIGNATURE"),
    "success with a random signature": (1, "badsig:S"),
    "success signed by somebody else": (1, "otherkey:S"),
    "altered after it was signed": (1, {"answer": "normal", "alterByte": True}),
    "another amount, signed": (1, {"answer": "normal", "amount": OTHER_AMOUNT}),
    "unknown": (2, "U"),
    "late": (0.5, {"answer": "normal", "delay": 1}),
    "later than patience": (0.1, {"answer": "normal", "delay": 11}),
}
"""A call's faulty answers, whichever call it is: weight and behaviour."""

PAY = ANSWERS | {"speaks of another payment": (1, "F:ORDER_IS_CLOSED")}
INQUIRY = ANSWERS | {
    "no such order": (1, "ORDER_NOT_EXIST"),
    "still processing": (2, {"answer": "normal", "paymentStatus": "PROCESSING"}),
    "fails": (1, "F:SYSTEM_ERROR"),
}

NOTIFICATION_FIRST: dict[str, tuple[float, Json]] = {
    "forged success first": (2, {"first": "forged"}),
    "random signature first": (1, {"first": "badsig"}),
    "unsigned first": (1, {"first": "unsigned"}),
    "pending first": (1, {"pending": True}),
}
NOTIFICATION_DELIVERED: dict[str, tuple[float, Json]] = {
    "lost once": (1, {"lose": 1}),
    "lost twice": (1, {"lose": 2}),
    "lost for ever": (2, {"lost": True}),
    "three at once": (1, {"times": 3}),
    "delayed": (1, {"delay": 1.5}),
}
NOTIFICATION_AFTER: dict[str, tuple[float, Json]] = {
    "another amount": (2, {"then": [{"amount": OTHER_AMOUNT}]}),
    "forged success afterwards": (1, {"then": [{"key": "otherkey", "resultStatus": "S", "resultCode": "SUCCESS"}]}),
    "pending after the result": (1, {"then": [{"notifyType": "PAYMENT_PENDING", "delay": 0.3}]}),
    "again, later": (1, {"then": [{"delay": 1}]}),
}
NOTIFICATION = NOTIFICATION_FIRST | NOTIFICATION_DELIVERED | NOTIFICATION_AFTER

REFUND_ANSWERS = ANSWERS | {
    "another amount, signed": (1, {"answer": "normal", "set": {"refundAmount": OTHER_AMOUNT}}),
    "later than patience": (0.4, {"answer": "normal", "delay": 11}),  # there are fewer refunds
}
REFUND = REFUND_ANSWERS | {
    "unknown": (1, "U:UNKNOWN_EXCEPTION"),
    "in process": (2, "U:REFUND_IN_PROCESS"),
    "turned away": (0.5, {"answer": "U:REQUEST_TRAFFIC_EXCEED_LIMIT", "processed": False}),
    "refused": (3, "F:ORDER_NOT_EXIST"),  # of a call that repeats another one it says nothing of the refund
}
INQUIRY_REFUND = REFUND_ANSWERS | {
    "no such refund": (1, "ORDER_NOT_EXIST"),
    "still processing": (2, {"answer": "normal", "refundStatus": "PROCESSING"}),
    "fails": (1, "F:SYSTEM_ERROR"),
}
REFUND_NOTIFICATION: dict[str, tuple[float, Json]] = {
    **{name: kind for name, kind in NOTIFICATION_FIRST.items() if name != "pending first"},
    **NOTIFICATION_DELIVERED,
    **{name: kind for name, kind in NOTIFICATION_AFTER.items() if name != "pending after the result"},
    "in process after the result": (1, {"then": [{"resultStatus": "U", "delay": 0.3}]}),
}
"""A refund's notifications: there is none that says pending."""

GIVES_UP, TWICE_AT_ONCE, AGAIN = "gives up and repeats", "asks twice at once", "repeats an answered request"
CALLER: dict[str, tuple[float, str]] = {
    GIVES_UP: (2, GIVES_UP),
    TWICE_AT_ONCE: (1, TWICE_AT_ONCE),
    AGAIN: (1, AGAIN),
}

TRUTHS: tuple[tuple[float, Json], ...] = (
    (86, {"status": "SUCCESS"}),
    (9, {"status": "FAIL", "code": "USER_BALANCE_NOT_ENOUGH"}),
    (3, {"status": "FAIL", "code": "RISK_REJECT"}),
    (1, {"status": "CANCELLED"}),
    (1, {"status": "PROCESSING"}),
)
REFUND_TRUTHS: tuple[tuple[float, Json], ...] = (
    (88, {"status": "SUCCESS"}),
    (5, {"status": "FAIL", "code": "MERCHANT_BALANCE_NOT_ENOUGH"}),
    (3, {"status": "FAIL", "code": "ORDER_STATUS_INVALID"}),  # it hints at the portal: the payment is inquired
    (2, {"status": "FAIL", "code": "REFUND_NOT_SUPPORTED"}),
    (2, {"status": "PROCESSING"}),
)
KNOWN_LATER = 0.2
"""The share of results that Alipay itself does not know at once."""

LOOKED_UP = 0.1
"""The share of orders and refunds that their callers look up once they are answered."""

GIVEN_BACK = 0.25
"""The share of payments whose truth is SUCCESS that are given back, at least in part."""

IN_PART, WHOLLY, TWICE_WITHIN, TOO_MUCH = "in part", "wholly", "in two parts", "in two parts, more than was paid"
WAYS: dict[str, float] = {IN_PART: 4, WHOLLY: 2, TWICE_WITHIN: 2, TOO_MUCH: 2}
"""How much is asked back. What would be more than was paid must be refused, and only that."""

KILLED, REFUSED = 1 / 25, 1 / 40
"""How much rarer than any other fault these are, which hit every payment of that moment."""

REFUND_KILLED = 1 / 10
"""The same for the functions of refunds, of which there are fewer."""

PAY_CALLS, INQUIRY_CALLS, REQUESTS = 6, 8, 4
"""As many are drawn; whatever comes after them is as it should be."""


@dataclass(frozen=True, kw_only=True)
class _Asking:
    """What is true at Alipay of what is asked for, and each fault it meets, by name; an empty name is none."""

    payment_request_id: str
    amount: Json
    result: Json
    inquiry: tuple[str, ...]
    notification: str
    requests: tuple[str, ...]
    patience_s: float
    """Of a caller who gives up."""
    looks_up: bool
    killed: str
    """The function of which one process is killed while this is asked for."""
    killed_after_s: float


@dataclass(frozen=True, kw_only=True)
class RefundFate(_Asking):
    """One refund."""

    refund_request_id: str
    refund: tuple[str, ...]

    @property
    def faults(self) -> dict[str, tuple[str, ...]]:
        """The faults that its calls meet, by the call's name."""
        return {"refund": self.refund, "inquiryRefund": self.inquiry}

    @property
    def plan(self) -> Json:
        """For the simulated Alipay."""
        return {
            "refund": _behaviours(REFUND, self.refund),
            "inquiryRefund": _behaviours(INQUIRY_REFUND, self.inquiry),
            "result": self.result,
            "notify": REFUND_NOTIFICATION[self.notification][1] if self.notification else "normal",
        }


@dataclass(frozen=True, kw_only=True)
class Fate(_Asking):
    """One payment."""

    pay: tuple[str, ...]
    refused: bool
    """Whether Alipay refuses connections when this payment is asked for."""
    refunds: tuple[RefundFate, ...]
    """What is asked back of it, once its caller was told that it is SUCCESS."""
    refunds_at_once: bool

    @property
    def faults(self) -> dict[str, tuple[str, ...]]:
        """The faults that its calls meet, by the call's name."""
        return {"pay": self.pay, "inquiry": self.inquiry}

    @property
    def plan(self) -> Json:
        """For the simulated Alipay."""
        return {
            "pay": _behaviours(PAY, self.pay),
            "inquiry": _behaviours(INQUIRY, self.inquiry),
            "result": self.result,
            "expires": False,
            "notify": NOTIFICATION[self.notification][1] if self.notification else "normal",
        }


class _Chance(random.Random):
    """What one payment's fate is drawn from. The order of the draws is part of what a seed means."""

    def __init__(self, seed: int, number: int, probability: float) -> None:
        super().__init__(f"{seed} {number}")
        self._probability = probability

    def fault(self, kinds: dict[str, tuple[float, Any]]) -> str:
        """The name of a fault, or of none."""
        if self.random() >= self._probability:
            return ""
        return self.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]

    def truth(self, truths: tuple[tuple[float, Json], ...]) -> Json:
        """A result, and perhaps after how many seconds Alipay knows it."""
        result = dict(self.choices([truth for _, truth in truths], [weight for weight, _ in truths])[0])
        if self.random() < KNOWN_LATER:
            result["after"] = round(self.uniform(0.05, 1.5), 3)
        return result

    def killed(self, functions: list[str], rarer: float) -> str:
        """The name of a function, or of none."""
        return self.choice(functions) if self.random() < self._probability * rarer else ""

    def patience_s(self) -> float:
        return round(self.uniform(0.05, 0.4), 3)

    def killed_after_s(self) -> float:
        return round(self.uniform(0, 0.2), 3)


def draw(seed: int, number: int, probability: float) -> Fate:
    """The fate of the payment with this number: the same in every run of this seed."""
    chance = _Chance(seed, number, probability)
    result = chance.truth(TRUTHS)
    payment_request_id = f"{prefix(seed)}{number:06d}"
    amount = {"currency": "HKD", "value": str(chance.randrange(100, 1_000_000))}
    return Fate(
        payment_request_id=payment_request_id,
        amount=amount,
        result=result,
        pay=tuple(chance.fault(PAY) for _ in range(PAY_CALLS)),
        inquiry=tuple(chance.fault(INQUIRY) for _ in range(INQUIRY_CALLS)),
        notification=chance.fault(NOTIFICATION),
        requests=tuple(chance.fault(CALLER) for _ in range(REQUESTS)),
        patience_s=chance.patience_s(),
        looks_up=chance.random() < LOOKED_UP,
        killed=chance.killed(["InitiatePay", "InitiatePay", "Notify", "Inquiry"], KILLED),
        killed_after_s=chance.killed_after_s(),
        refused=chance.random() < probability * REFUSED,
        refunds=_refunds(chance, payment_request_id, amount, result),
        refunds_at_once=chance.random() < 0.5,
    )


def _refunds(chance: _Chance, payment_request_id: str, amount: Json, result: Json) -> tuple[RefundFate, ...]:
    if result["status"] != "SUCCESS" or chance.random() >= GIVEN_BACK:
        return ()
    return tuple(
        RefundFate(
            payment_request_id=payment_request_id,
            refund_request_id=f"{payment_request_id}-r{number}",
            amount=amount | {"value": str(value)},
            result=chance.truth(REFUND_TRUTHS),
            refund=tuple(chance.fault(REFUND) for _ in range(PAY_CALLS)),
            inquiry=tuple(chance.fault(INQUIRY_REFUND) for _ in range(INQUIRY_CALLS)),
            notification=chance.fault(REFUND_NOTIFICATION),
            requests=tuple(chance.fault(CALLER) for _ in range(REQUESTS)),
            patience_s=chance.patience_s(),
            looks_up=chance.random() < LOOKED_UP,
            killed=chance.killed(["Refund", "Refund", "NotifyRefund", "InquireRefund"], REFUND_KILLED),
            killed_after_s=chance.killed_after_s(),
        )
        for number, value in enumerate(_values(chance, int(amount["value"])), 1)
    )


def _values(chance: _Chance, paid: int) -> tuple[int, ...]:
    """How much each refund asks back, in minor units; never OTHER_AMOUNT."""
    way = chance.choices(list(WAYS), list(WAYS.values()))[0]
    if way == WHOLLY:
        return (paid,)
    first = chance.randrange(2, paid - 2)
    if way == IN_PART:
        return (first,)
    left = paid - first
    return first, chance.randrange(2, left + 1) if way == TWICE_WITHIN else chance.randrange(left + 1, paid + 1)


def _behaviours(kinds: dict[str, tuple[float, Any]], faults: tuple[str, ...]) -> list[Any]:
    return [*(kinds[fault][1] if fault else "normal" for fault in faults), "normal"]


def prefix(seed: int) -> str:
    """What every paymentRequestId of this seed begins with; six digits follow."""
    return f"soak-{seed}-"
