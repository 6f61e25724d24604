"""What arrives on the stack's bus."""

import json
import threading
from collections.abc import Callable
from typing import Any

from .waiting import eventually

Json = dict[str, Any]


class Listener:
    """A queue on a bus, and all that its rule has delivered since. `pattern` says which events; empty: all."""

    def __init__(self, aws: Callable[[str], Any], bus: str, name: str, pattern: Json) -> None:
        self._sqs = aws("sqs")
        self._events: list[Json] = []
        self._lock = threading.Lock()
        self._url = self._sqs.create_queue(QueueName=f"heard-{name}")["QueueUrl"]
        queue = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        events = aws("events")
        rule = json.dumps({"source": ["autodebit"]} | pattern)
        events.put_rule(Name=f"heard-{name}", EventBusName=bus, EventPattern=rule)
        target = {"Id": "queue", "Arn": queue["QueueArn"]}
        events.put_targets(Rule=f"heard-{name}", EventBusName=bus, Targets=[target])

    def all(self) -> list[Json]:
        """Every event so far, in the order of arrival, copies among them."""
        with self._lock:
            while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
                for message in messages:
                    self._events.append(json.loads(message["Body"]))
                    self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
            return list(self._events)

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
