"""What every part of the simulation shares: the lock, the ledger, the clock, and what plans are about."""

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.alipay.clock import Clock
from local.alipay.ledger import Ledger
from local.alipay.plans import Behaviour, Plan
from local.alipay.timetable import Timetable

Json = dict[str, Any]


class NotPossible(Exception):
    """The buyer, the portal or the bank cannot do that as things stand."""


class World:
    """Hold `lock` to look at something and act on what was seen."""

    def __init__(self, ledger: Ledger) -> None:
        self.lock = threading.RLock()
        self.ledger = ledger
        self.clock = Clock()
        self.timetable = Timetable(self.clock)
        self.dark = False
        self.balance: Counter[str] = Counter()
        """What Alipay holds for the merchant, by currency, in minor units: refunds and cancels are paid from it."""

    def later(self, due: float, subject: "Subject[Any]", job: Any) -> None:
        """Run `job` at this instant of Alipay's clock, unless a reset has come between."""

        def run() -> None:
            with self.lock:
                if not subject.forgotten:
                    job()

        self.timetable.at(due, run)

    def clear(self) -> None:
        self.timetable.clear()
        self.timetable.set_clock(0.0)
        self.balance.clear()
        self.dark = False
        self.ledger.clear()


@dataclass(slots=True, kw_only=True)
class Subject[P: Plan](ABC):
    """A payment, an agreement or a refund: it has a plan, is asked about, and is told of."""

    plan: P
    notify_url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)
    notifications_sent: int = 0
    notifications_lost: int = 0
    acknowledged_at: float | None = None
    forgotten: bool = False

    @property
    @abstractmethod
    def name(self) -> Json:
        """The field that names it, for the ledger."""

    @abstractmethod
    def notification(self, message: Mapping[str, Any]) -> Json:
        """What a notification about it says, with what `message` wants otherwise."""

    def next_behaviour(self, call: str) -> Behaviour:
        """How this call is to be answered; the call is counted."""
        self.calls[call] += 1
        self.steps[call] += 1
        return self.plan.behaviour(call, self.steps[call] - 1)

    def replan(self, plan: P) -> None:
        """Start this plan from its beginning."""
        self.plan = plan
        self.steps.clear()

    def counts(self) -> Json:
        """What the control API shows of every subject."""
        return {
            "calls": {call: self.calls[call] for call in self.plan.calls},
            "notifyUrl": self.notify_url,
            "notifications": {
                "sent": self.notifications_sent,
                "lost": self.notifications_lost,
                "acknowledgedAt": self.acknowledged_at,
            },
        }
