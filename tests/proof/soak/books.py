"""What is known of the payments and refunds at the end, and how it is said that something of it must not be."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

FINAL = ("SUCCESS", "FAIL", "CANCELLED")


@dataclass(frozen=True)
class Answer:
    """What one request of a caller was answered. Status 0: the caller gave up, or the connection broke."""

    method: str
    status: int
    shown: Json = field(default_factory=dict)
    """The order or the refund; the problem, of a 409."""


@dataclass(frozen=True)
class Asked:
    """One payment, or one refund of it, as its caller knows it."""

    payment_request_id: str
    amount: Json
    answers: list[Answer]


@dataclass(frozen=True)
class Side:
    """All payments or all refunds, by the id that the merchant gave them."""

    asked: dict[str, Asked]
    rows: dict[str, Json]
    versions: dict[str, list[Json]]
    """Each row after every write."""
    ledger: dict[str, Json]
    """Alipay's: those that a pay, or a refund, has reached."""
    bodies: dict[str, list[str]]
    """The SHA-256 of every pay, or refund, that arrived."""

    @property
    def keys(self) -> list[str]:
        """Whatever anybody knows of."""
        return sorted(self.asked.keys() | self.rows.keys() | self.ledger.keys())


@dataclass(frozen=True)
class Books:
    """Everything."""

    payments: Side
    refunds: Side


@dataclass(frozen=True)
class Difference:
    """Something that must not be. `said` names the refund, where it is about one."""

    payment_request_id: str
    kind: str
    said: str


def number(value: Any) -> int | None:
    """An amount in minor units; None for what is none, which equals nothing."""
    try:
        return int(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        return None


def by_kind(differences: Iterable[Difference]) -> dict[str, set[str]]:
    """The payments at fault."""
    payments: dict[str, set[str]] = defaultdict(set)
    for difference in differences:
        payments[difference.kind].add(difference.payment_request_id)
    return payments
