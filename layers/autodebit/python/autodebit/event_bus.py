"""The bus that events are put on, and the queue that keeps the ones which cannot be put.

https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from autodebit import aws
from autodebit.errors import DeadLetterFault
from autodebit.events import Event

SOURCE = "autodebit"

BATCH_MAX = 10
"""Events in one call."""

BATCH_BYTES_MAX = 256 * 1024
"""Of one call, and so of one event."""

_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1})
"""One try: what failed is put again with what else failed, and the stream brings again what is given up here."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event was not put. `throttled`: the bus is busy, and the event is not to blame."""

    reason: str
    throttled: bool


class EventBus:
    """Puts events on the bus of this name."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _client(self) -> Any:
        return aws.session().create_client("events", config=_CONFIG)

    def put(self, batch: Sequence[Event]) -> list[Refusal | None]:
        """What came of each event, None if it is on the bus. One call; a batch that fails as a whole fails each."""
        try:
            answer = self._client.put_events(Entries=[self._entry(event) for event in batch])
        except ClientError as error:
            return [_refusal(error.response["Error"]["Code"])] * len(batch)
        except BotoCoreError as error:
            return [_refusal(type(error).__name__)] * len(batch)
        return [_refusal(entry["ErrorCode"]) if "ErrorCode" in entry else None for entry in answer["Entries"]]

    def _entry(self, event: Event) -> dict[str, Any]:
        return {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": event.kind,
            "Time": event.at,
            "Detail": event.detail,
        }


class DeadLetters:
    """The queue of what cannot be put. A letter names the row and the event, and holds nothing of them."""

    def __init__(self, queue_url: str) -> None:
        self._queue_url = queue_url

    @cached_property
    def _client(self) -> Any:
        return aws.session().create_client("sqs", config=_CONFIG)

    def keep(self, letter: dict[str, Any]) -> None:
        """Raises DeadLetterFault; then the record must come again."""
        try:
            self._client.send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(letter))
        except (BotoCoreError, ClientError) as error:
            raise DeadLetterFault(type(error).__name__) from error


def size_of(event: Event) -> int:
    """Its bytes as EventBridge counts them.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
    """
    return 14 + len(SOURCE) + len(event.kind.encode()) + len(event.detail.encode())


def batches(events: Iterable[Event], most: int) -> Iterator[list[Event]]:
    """The events in order, in batches that one call may hold; none is larger than a call by itself."""
    batch: list[Event] = []
    for event in events:
        if batch and (len(batch) == most or sum(map(size_of, [*batch, event])) > BATCH_BYTES_MAX):
            yield batch
            batch = []
        batch.append(event)
    if batch:
        yield batch


def _refusal(code: str) -> Refusal:
    return Refusal(code, "Throttl" in code)
