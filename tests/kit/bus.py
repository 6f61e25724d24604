"""What arrives on the stack's bus."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from .waiting import eventually

Json = dict[str, Any]


class Listener:
    """A queue on a bus, as a merchant would have one, and all that its rule has delivered since."""

    def __init__(self, aws: Callable[[str], Any], bus: str, name: str) -> None:
        self._sqs = aws("sqs")
        self._events: list[Json] = []
        self._copies: dict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()
        self._url = self._sqs.create_queue(QueueName=f"heard-{name}")["QueueUrl"]
        queue = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        events = aws("events")
        events.put_rule(Name=f"heard-{name}", EventBusName=bus, EventPattern=json.dumps({"source": ["autodebit"]}))
        target = {"Id": "queue", "Arn": queue["QueueArn"]}
        events.put_targets(Rule=f"heard-{name}", EventBusName=bus, Targets=[target])

    def all(self) -> list[Json]:
        """Every event so far, in the order of arrival, copies among them."""
        with self._lock:
            while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
                for message in messages:
                    event = json.loads(message["Body"])
                    self._events.append(event)
                    self._copies[event["detail"]["eventId"]].add(self.details(event))
                    self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
            return list(self._events)

    @staticmethod
    def details(event: Json) -> str:
        """The detail as it was put: the envelope keeps the order of its names."""
        return json.dumps(event["detail"], ensure_ascii=False, separators=(",", ":"))

    def differing_copies(self) -> dict[str, set[str]]:
        """The details of every event of which not all copies are the same, by `eventId`."""
        self.all()
        return {event_id: details for event_id, details in self._copies.items() if len(details) > 1}

    def about(self, key: str) -> list[Json]:
        """Those of one row, copies among them."""
        return [event for event in self.all() if event["detail"]["eventId"].rpartition(":")[0] == key]

    def heard(self, key: str, count: int = 1, within_s: float = 30.0) -> list[Json]:
        """The events of one row once there are so many different ones, by `sequence`."""

        def enough() -> dict[int, Json] | None:
            found = {event["detail"]["sequence"]: event for event in self.about(key)}
            return found if len(found) >= count else None

        found = eventually(enough, f"{count} events of {key}", within_s, every_s=0.2, show=lambda: self.about(key))
        assert found
        return [found[sequence] for sequence in sorted(found)]


class Queue:
    """A queue that a test looks into without taking anything out."""

    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self._url = url
        self._receipts: dict[str, str] = {}

    @property
    def name(self) -> str:
        """As metrics name it."""
        return self._url.rpartition("/")[2]

    def texts(self) -> list[str]:
        """The messages."""
        self.about("")
        return list(self._receipts)

    def about(self, key: str) -> list[Json]:
        """The messages that name this, as JSON."""
        self._receipts = {}
        while found := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, VisibilityTimeout=2).get(
            "Messages"
        ):
            new = {message["Body"]: message["ReceiptHandle"] for message in found}
            if new.keys() <= self._receipts.keys():
                break
            self._receipts |= new
        return [json.loads(body) for body in self._receipts if key in body]

    def awaited(self, key: str) -> list[Json]:
        """The messages that name this, once there are any."""
        return eventually(lambda: self.about(key), f"messages about {key}", 90, every_s=0.5)
