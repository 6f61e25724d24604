"""Which faults really came about, counted where they were made or seen."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.kit.faults import GET_SECRET, START_EXECUTION
from tests.kit.stacks import Deployment

from .fates import (
    CALLER,
    INQUIRY,
    INQUIRY_REFUND,
    NOTIFICATION,
    NOTIFICATION_DELIVERED,
    PAY,
    REFUND,
    REFUND_NOTIFICATION,
    Fate,
    RefundFate,
    prefix,
)

Json = dict[str, Any]

TABLE = "DynamoDB_20120810."
THROTTLED: Json = {"error": "ThrottlingException"}
BROKEN: Json = {"error": "InternalServerError", "status": 500}
NOT_DONE: Json = {"drop": "before"}
ANSWER_LOST: Json = {"drop": "after"}

AWS: dict[str, tuple[str, Json]] = {
    "table: throttled": (TABLE, {"error": "ProvisionedThroughputExceededException"}),
    "table: 500": (TABLE, BROKEN),
    "table: cut before it arrives": (TABLE, NOT_DONE),
    "table: done, answer lost": (TABLE, ANSWER_LOST),
    "start of polling: throttled": (START_EXECUTION, THROTTLED),
    "start of polling: cut before it arrives": (START_EXECUTION, NOT_DONE),
    "start of polling: done, answer lost": (START_EXECUTION, ANSWER_LOST),
    "secret: throttled": (GET_SECRET, THROTTLED),
    "secret: 500": (GET_SECRET, BROKEN),
    "secret: cut": (GET_SECRET, NOT_DONE),
}
"""What the fault proxy does to calls of AWS, and to which."""

KILLED = tuple(
    f"{function} killed" for function in ("InitiatePay", "Notify", "Inquiry", "Refund", "NotifyRefund", "InquireRefund")
)
REFUSED = "connection refused"

KINDS = (
    *(f"pay: {kind}" for kind in PAY),
    *(f"inquiry: {kind}" for kind in INQUIRY),
    *(f"notification: {kind}" for kind in NOTIFICATION),
    *(f"refund: {kind}" for kind in REFUND),
    *(f"inquiryRefund: {kind}" for kind in INQUIRY_REFUND),
    *(f"refund notification: {kind}" for kind in REFUND_NOTIFICATION),
    *AWS,
    *(f"refund caller: {kind}" for kind in CALLER),
    *(f"caller: {kind}" for kind in CALLER),
    *KILLED,
    REFUSED,
)
"""Every kind of fault; in a long soak each must have come about."""


def rules(seed: int, probability: float) -> list[Json]:
    """The proxy's rules: together those for one call take it with this probability, each with an equal part of it."""
    payment = f"({prefix(seed)}[0-9]{{6}})"
    about = {TABLE: f"{payment}|watched", START_EXECUTION: payment, GET_SECRET: ""}
    found = []
    for name, (op, effect) in AWS.items():
        siblings = [sibling for sibling, (called, _) in AWS.items() if called == op]
        part = probability / len(siblings)
        # A rule sees only what those before it have left over.
        share = part / (1 - siblings.index(name) * part)
        chosen = {"op": op, "match": about[op], "times": -1, "share": share, "seed": str(seed)}
        found.append({"name": name, **chosen, **effect})
    return found


class Tally:
    """Follows Alipay's events: the nth call about a payment or a refund met the nth fault of its fate."""

    def __init__(self, deployment: Deployment, fates: Mapping[str, Fate]) -> None:
        self._deployment = deployment
        self._fates: dict[str, Fate | RefundFate] = {**fates}
        self._fates |= {refund.refund_request_id: refund for fate in fates.values() for refund in fate.refunds}
        self._since = 0
        self._calls: Counter[tuple[str, str]] = Counter()
        self._at_alipay: Counter[str] = Counter()
        self._aws: Counter[str] = Counter()
        self._lock = threading.Lock()

    def follow(self) -> Counter[str]:
        """The faults of Alipay's and AWS's making so far, by kind."""
        with self._lock:
            self._follow()
            return self._at_alipay + self._aws

    def _follow(self) -> None:
        while True:
            page = self._deployment.alipay.events(self._since)
            self._since = page["next"]
            for event in page["events"]:
                # Calls and notifications are about one of them; what Alipay notes of a refund names both.
                key = event.get("refundRequestId") or event["paymentRequestId"]
                for kind in self._met(event, key, self._fates[key]) if key in self._fates else ():
                    self._at_alipay[kind] += 1
            if not page["events"]:
                break
        # The rules are gone when the faults are over, and their count with them.
        self._aws |= Counter({rule["name"]: rule["applied"] for rule in self._deployment.faults.rules()})

    def _met(self, event: Json, key: str, fate: Fate | RefundFate) -> list[str]:
        """The faults that this event shows."""
        name = event["event"]
        call = name.removesuffix("Received")
        if call != name and call in fate.faults:
            faults = fate.faults[call]
            number = self._calls[key, call]
            self._calls[key, call] += 1
            return [f"{call}: {faults[number]}"] if number < len(faults) and faults[number] else []
        if not fate.notification or name not in ("notificationSent", "notificationLost"):
            return []
        scheduled, lost = event["attempt"] > 0, name == "notificationLost"
        if fate.notification not in NOTIFICATION_DELIVERED:
            happened = not scheduled  # a message besides those of the schedule
        elif fate.notification.startswith("lost"):
            happened = lost
        else:
            happened = scheduled and event["attempt"] == 1
        told = "refund notification" if isinstance(fate, RefundFate) else "notification"
        return [f"{told}: {fate.notification}"] if happened else []
