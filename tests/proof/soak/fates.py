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
KNOWN_LATER = 0.2
"""The share of results that Alipay itself does not know at once."""

LOOKED_UP = 0.1
"""The share of orders that their callers look up once they are answered."""

KILLED, REFUSED = 1 / 25, 1 / 40
"""How much rarer than any other fault these are, which hit every payment of that moment."""

PAY_CALLS, INQUIRY_CALLS, REQUESTS = 6, 8, 4
"""As many are drawn; whatever comes after them is as it should be."""


@dataclass(frozen=True)
class Fate:
    """One payment: what is true of it at Alipay, and each fault it meets, by name; an empty name is none."""

    payment_request_id: str
    amount: Json
    result: Json
    pay: tuple[str, ...]
    inquiry: tuple[str, ...]
    notification: str
    requests: tuple[str, ...]
    patience_s: float
    """Of a caller who gives up."""
    looks_up: bool
    killed: str
    """The function of which one process is killed while this payment is asked for."""
    killed_after_s: float
    refused: bool
    """Whether Alipay refuses connections when this payment is asked for."""

    @property
    def plan(self) -> Json:
        """For the simulated Alipay."""
        return {
            "pay": [*(PAY[kind][1] if kind else "normal" for kind in self.pay), "normal"],
            "inquiry": [*(INQUIRY[kind][1] if kind else "normal" for kind in self.inquiry), "normal"],
            "result": self.result,
            "expires": False,
            "notify": NOTIFICATION[self.notification][1] if self.notification else "normal",
        }


def draw(seed: int, number: int, probability: float) -> Fate:
    """The fate of the payment with this number: the same in every run of this seed."""
    chance = random.Random(f"{seed} {number}")

    def fault(kinds: dict[str, tuple[float, Any]]) -> str:
        if chance.random() >= probability:
            return ""
        return chance.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]

    result = dict(chance.choices([truth for _, truth in TRUTHS], [weight for weight, _ in TRUTHS])[0])
    if chance.random() < KNOWN_LATER:
        result["after"] = round(chance.uniform(0.05, 1.5), 3)
    return Fate(
        payment_request_id=f"{prefix(seed)}{number:06d}",
        amount={"currency": "HKD", "value": str(chance.randrange(100, 1_000_000))},
        result=result,
        pay=tuple(fault(PAY) for _ in range(PAY_CALLS)),
        inquiry=tuple(fault(INQUIRY) for _ in range(INQUIRY_CALLS)),
        notification=fault(NOTIFICATION),
        requests=tuple(fault(CALLER) for _ in range(REQUESTS)),
        patience_s=round(chance.uniform(0.05, 0.4), 3),
        looks_up=chance.random() < LOOKED_UP,
        killed=chance.choice(["InitiatePay", "InitiatePay", "Notify", "Inquiry"])
        if chance.random() < probability * KILLED
        else "",
        killed_after_s=round(chance.uniform(0, 0.2), 3),
        refused=chance.random() < probability * REFUSED,
    )


def prefix(seed: int) -> str:
    """What every paymentRequestId of this seed begins with; six digits follow."""
    return f"soak-{seed}-"
