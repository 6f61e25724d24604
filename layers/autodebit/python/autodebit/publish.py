"""Publish what the tables' streams bring: each record's new events onto the bus, at least once.

What may fail, and what comes of it:

1. The process dies: the stream brings the whole batch again, and copies are equal to the byte.
2. The bus is busy, or takes nothing: it is tried again while there is time, then the stream brings the records again,
   for as long as the template lets it.
3. The bus takes others but not this one, or it is too large, or its row cannot be read: it goes to the dead letters.
4. The bus does not take the only event there is. Nothing tells whose fault that is, and trying for ever would keep the
   records behind it waiting: it goes to the dead letters when time is up.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from autodebit import telemetry
from autodebit.errors import DeadLetterFault
from autodebit.event_bus import BATCH_BYTES_MAX, BATCH_MAX, Refusal, batches, size_of
from autodebit.events import Event, Telling, events
from autodebit.telemetry import logger

PUTS_MAX = 4
"""Calls for one event before it is to blame, if the bus took another after it had refused this one."""

PAUSE_MAX_S = 5.0
"""Between two rounds of calls; the first pause is a tenth of a second, each further one three times as long."""

MARGIN_MS = 10_000
"""No call is begun when the function has less time than this left: dead letters must still be kept."""

type Image = dict[str, Any]


class Bus(Protocol):
    """Where events are put."""

    def put(self, batch: Sequence[Event], /) -> list[Refusal | None]: ...


class Letters(Protocol):
    """Where is kept what cannot be put. Raises DeadLetterFault."""

    def keep(self, letter: dict[str, Any], /) -> None: ...


@dataclass(slots=True)
class _Pending:
    """An event that is not on the bus yet, and the record that brought it."""

    event: Event
    record: dict[str, Any]
    refusal: Refusal
    puts: int = 0
    overtaken: bool = False
    """True: the bus took another event after it had refused this one."""

    @property
    def to_blame(self) -> bool:
        """Whether trying again is no use, and the bus is not to blame."""
        return self.overtaken and self.puts >= PUTS_MAX and not self.refusal.throttled


class Publisher:
    """`read` has a reader of images for each table, by the name of its key; `pause` sleeps so many seconds."""

    def __init__(
        self,
        bus: Bus,
        letters: Letters,
        read: Mapping[str, Callable[[Image], Telling]],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bus = bus
        self._letters = letters
        self._read = read
        self._pause = pause

    def publish(self, records: Sequence[dict[str, Any]], more: Callable[[], bool]) -> list[str]:
        """The sequence numbers of the records that must come again. It gives up trying when `more` says no."""
        again: list[str] = []
        pending: list[_Pending] = []
        for record in records:
            try:
                pending += self._pending(record)
            except DeadLetterFault:
                again.append(_number(record))
        told = len(pending)
        pending = self._put(pending, more)
        telemetry.count("EventsPut", told - len(pending))
        for one in pending:
            alone = told == 1 and one.puts >= PUTS_MAX and not one.refusal.throttled
            if not (one.to_blame or alone):
                again.append(_number(one.record))
                continue
            try:
                self._bury(one.record, one.refusal.reason, one.event)
            except DeadLetterFault:
                again.append(_number(one.record))
        if again:
            telemetry.count("EventsDelayed", len(again))
            logger.warning(
                "events delayed", records=len(again), reasons=sorted({one.refusal.reason for one in pending})
            )
        return again

    def _pending(self, record: dict[str, Any]) -> list[_Pending]:
        """The events of one record that can be put. Raises DeadLetterFault."""
        try:
            told = self._told(record)
        except Exception as error:  # whatever a row is like, it must not stop the others
            self._bury(record, f"row cannot be read: {type(error).__name__}")
            return []
        pending = []
        for event in told:
            if size_of(event) > BATCH_BYTES_MAX:
                self._bury(record, "too large", event)
            else:
                pending.append(_Pending(event, record, Refusal("not tried", throttled=False)))
        return pending

    def _told(self, record: dict[str, Any]) -> list[Event]:
        change = record["dynamodb"]
        [key] = change["Keys"]
        read = self._read[key]
        return events(read(change["OldImage"]) if "OldImage" in change else None, read(change["NewImage"]))

    def _put(self, pending: list[_Pending], more: Callable[[], bool]) -> list[_Pending]:
        """Put them in rounds until none is left, each one left is to blame, or time is up; what is left."""
        wait_s, most = 0.1, BATCH_MAX
        while pending and more():
            pending = self._pass(pending, most, more)
            if all(one.to_blame for one in pending):
                break
            most = 1  # one that is never taken must not take others with it
            self._pause(wait_s)
            wait_s = min(wait_s * 3, PAUSE_MAX_S)
        return pending

    def _pass(self, pending: list[_Pending], most: int, more: Callable[[], bool]) -> list[_Pending]:
        left: list[_Pending] = []
        waiting = iter(pending)
        for batch in batches([one.event for one in pending], most):
            tried = [next(waiting) for _ in batch]
            if not more():
                return [*left, *tried, *waiting]
            for one, refusal in zip(tried, refusals := self._bus.put(batch), strict=True):
                if refusal is not None:
                    one.refusal, one.puts = refusal, one.puts + 1
                    left.append(one)
            if None in refusals:
                for one in pending:
                    one.overtaken |= one.puts > 0
        return left

    def _bury(self, record: dict[str, Any], reason: str, event: Event | None = None) -> None:
        """Keep a letter of it, and call a person by the queue's alarm. Raises DeadLetterFault."""
        letter: dict[str, Any] = {
            "keys": {name: key["S"] for name, key in record["dynamodb"]["Keys"].items()},
            "reason": reason,
        }
        if event:
            letter |= {"eventId": event.event_id, "detail-type": event.kind}
        self._letters.keep(letter)
        telemetry.count("EventsBuried")
        logger.error("event cannot be put", **letter)


def _number(record: dict[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])
