"""What is told of a row, and the events it makes: pure, for orders, agreements and refunds alike.

The row is its own outbox. A write whose change is to be told appends one entry to the row's list `told`; the table's
stream brings the row as it was and as it is, and the entries that are new become events. So nothing is told that was
not stored, nothing stored goes untold, and a replay from the row sends again what was sent.
docs/decisions/events-outbox.md says why it is done so.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from autodebit.instants import utc_text


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of a row's `told`. `at` is aware UTC.

    `detail` is what the event shows, as JSON. None: the row shows it, now and for ever, as a settled row does.
    """

    kind: str
    at: datetime
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A person has seen the first `told` entries of a row's `told`. `by` and `why` are that person's own words."""

    told: int
    by: str
    at: datetime
    why: str


def unseen(told: tuple[Told, ...], acknowledged: tuple[Acknowledgement, ...]) -> set[str]:
    """The kinds of what is told that no person has acknowledged."""
    seen = max((entry.told for entry in acknowledged), default=0)
    return {entry.kind for entry in told[seen:]}


class Telling(Protocol):
    """A row of which something is told."""

    @property
    def key(self) -> str: ...
    @property
    def told(self) -> tuple[Told, ...]: ...
    @property
    def shown(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `detail` is JSON and the same to the byte in every copy, however often it is sent."""

    event_id: str
    kind: str
    at: datetime
    detail: str


def shown_json(shown: dict[str, Any]) -> str:
    """What an event shows, as `Told.detail` keeps it."""
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def events(old: Telling | None, new: Telling) -> list[Event]:
    """What `new` tells and `old`, the same row before, did not. `old` is None for a row that is new."""
    return replay(new)[len(old.told) if old else 0 :]


def replay(row: Telling) -> list[Event]:
    """Everything that is told of the row, in order. An event's `sequence` is its entry's position, from 1."""
    return [_event(row, sequence, told) for sequence, told in enumerate(row.told, 1)]


def event(key: str, sequence: int, kind: str, at: datetime, shown: dict[str, Any]) -> Event:
    """The event of this `sequence`, from 1, of what has this key."""
    event_id = f"{key}:{sequence}"
    detail = {"eventId": event_id, "sequence": sequence, "occurredAt": utc_text(at), **shown}
    return Event(event_id, kind, at, shown_json(detail))


def _event(row: Telling, sequence: int, told: Told) -> Event:
    shown = row.shown if told.detail is None else json.loads(told.detail)
    return event(row.key, sequence, told.kind, told.at, shown)
