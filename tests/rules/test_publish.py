"""Publishing: what is put, what comes again, what goes to the dead letters, and that neighbours do not wait for it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock, call

import pytest
from autodebit import telemetry
from autodebit.errors import DeadLetterFault
from autodebit.event_bus import BATCH_BYTES_MAX, Refusal, batches, size_of
from autodebit.events import Event, Told, replay
from autodebit.publish import MARGIN_MS, Publisher

from tests.kit.samples import NOW

Json = dict[str, Any]

FAULT = Refusal("InternalFailure", throttled=False)
THROTTLED = Refusal("ThrottlingException", throttled=True)


@dataclass(frozen=True)
class Row:
    """A row as the publisher knows it."""

    key: str
    told: tuple[Told, ...]
    shown: Json = field(default_factory=dict)


def read(image: Json) -> Row:
    told = tuple(Told("Kind", NOW, entry) for entry in image["told"])
    return Row(image["id"], told, {"row": {"id": image["id"]}})


def record(key: str, *told: str | None, before: int = 0) -> Json:
    images = {"OldImage": {"id": key, "told": told[:before]}, "NewImage": {"id": key, "told": told}}
    return {"dynamodb": {"Keys": {"id": {"S": key}}, "SequenceNumber": f"number-{key}", **images}}


@dataclass
class Bus:
    """Refuses what `refuses` names, always or as often as it says; `whole`: and all that is in the same call."""

    refuses: dict[str, list[Refusal] | Refusal] = field(default_factory=dict)
    whole: bool = False
    calls: list[list[str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def put(self, batch: Sequence[Event]) -> list[Refusal | None]:
        self.calls.append([event.event_id for event in batch])
        refusals = [self._refusal(event.event_id) for event in batch]
        if self.whole and any(refusals):
            refusals = [next(filter(None, refusals))] * len(batch)
        self.taken += [event.event_id for event, refusal in zip(batch, refusals, strict=True) if not refusal]
        return refusals

    def _refusal(self, event_id: str) -> Refusal | None:
        planned = self.refuses.get(event_id)
        if isinstance(planned, list):
            return planned.pop(0) if planned else None
        return planned


@dataclass
class Letters:
    """The dead letters."""

    kept: list[Json] = field(default_factory=list)
    faulty: bool = False

    def keep(self, letter: Json) -> None:
        if self.faulty:
            raise DeadLetterFault("EndpointConnectionError")
        self.kept.append(letter)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Mock:
    counting = Mock(spec=telemetry.count)
    monkeypatch.setattr(telemetry, "count", counting)
    return counting


def publish(bus: Bus, letters: Letters, *records: Json, tries: int = 1000) -> tuple[list[str], list[float]]:
    """What comes again, and the pauses that were made. Time is up after `tries` looks at it."""
    pauses: list[float] = []
    left = iter(range(tries))
    publisher = Publisher(bus, letters, {"id": read}, pauses.append)
    return publisher.publish(records, lambda: next(left, None) is not None), pauses


pytestmark = pytest.mark.usefixtures("counted")


def test_what_is_new_is_put_in_order_and_in_tens(counted: Mock) -> None:
    bus, letters = Bus(), Letters()
    records = [record(f"r{number}", None) for number in range(23)] + [record("s", None, "{}", "{}", before=1)]
    assert publish(bus, letters, *records) == ([], [])
    assert [len(call) for call in bus.calls] == [10, 10, 5]
    assert bus.taken == [f"r{number}:1" for number in range(23)] + ["s:2", "s:3"]
    assert letters.kept == []
    counted.assert_called_once_with("EventsPut", 25)


def test_a_record_that_tells_nothing_makes_no_call() -> None:
    bus = Bus()
    assert publish(bus, Letters(), record("r", None, before=1)) == ([], [])
    assert bus.calls == []


def test_a_row_that_is_new_tells_all_that_it_holds() -> None:
    bus, new = Bus(), record("r", None, "{}")
    del new["dynamodb"]["OldImage"]
    assert publish(bus, Letters(), new) == ([], [])
    assert bus.taken == ["r:1", "r:2"]


def test_what_failed_in_passing_is_put_again_alone_and_nothing_else_is() -> None:
    bus = Bus({"r1:1": [FAULT, FAULT]})
    again, pauses = publish(bus, Letters(), *(record(f"r{number}", None) for number in range(3)))
    assert again == []
    assert bus.calls == [["r0:1", "r1:1", "r2:1"], ["r1:1"], ["r1:1"]]
    assert pauses == pytest.approx([0.1, 0.3])


@pytest.mark.parametrize("whole", [False, True], ids=["refused by itself", "refused with its whole call"])
@pytest.mark.parametrize("place", [0, 4, 9])
def test_one_that_is_never_taken_goes_to_the_dead_letters_and_its_neighbours_arrive(whole: bool, place: int) -> None:
    bus, letters = Bus({f"r{place}:1": FAULT}, whole), Letters()
    again, pauses = publish(bus, letters, *(record(f"r{number}", None) for number in range(10)))
    assert again == []
    assert sorted(bus.taken) == sorted(f"r{number}:1" for number in range(10) if number != place)
    assert letters.kept == [
        {"keys": {"id": f"r{place}"}, "reason": "InternalFailure", "eventId": f"r{place}:1", "detail-type": "Kind"}
    ]
    assert sum(pauses) < 5


def test_the_only_one_goes_to_the_dead_letters_when_time_is_up_for_others_wait_behind_it() -> None:
    bus, letters = Bus({"r0:1": FAULT}), Letters()
    again, _ = publish(bus, letters, record("r0", None), tries=8)
    assert (again, [letter["eventId"] for letter in letters.kept]) == ([], ["r0:1"])
    assert len(bus.calls) == 4


def test_the_only_one_is_not_blamed_for_being_throttled_or_before_it_was_really_tried() -> None:
    for refusal, tries in ((THROTTLED, 100), (FAULT, 7)):
        bus, letters = Bus({"r0:1": refusal}), Letters()
        again, _ = publish(bus, letters, record("r0", None), tries=tries)
        assert (again, letters.kept) == (["number-r0"], [])


def test_nothing_is_blamed_for_a_bus_that_takes_nothing() -> None:
    keys = [f"r{number}" for number in range(12)]
    bus, letters = Bus({f"{key}:1": FAULT for key in keys}), Letters()
    again, _ = publish(bus, letters, *(record(key, None) for key in keys), tries=100)
    assert (again, letters.kept) == ([f"number-{key}" for key in keys], [])


def test_nothing_is_blamed_because_the_bus_took_others_before_it() -> None:
    bus, letters = Bus({"r10:1": FAULT}), Letters()
    again, _ = publish(bus, letters, *(record(f"r{number}", None) for number in range(11)), tries=100)
    assert (again, letters.kept) == (["number-r10"], [])


def test_nothing_is_blamed_for_being_throttled() -> None:
    bus, letters = Bus({"r0:1": THROTTLED}), Letters()
    again, _ = publish(bus, letters, record("r0", None), record("r1", None), tries=30)
    assert (again, letters.kept, bus.taken) == (["number-r0"], [], ["r1:1"])


def test_a_row_that_cannot_be_read_goes_to_the_dead_letters_at_once() -> None:
    bus, letters = Bus(), Letters()
    poison = record("poison", None)
    del poison["dynamodb"]["NewImage"]["told"]
    again, pauses = publish(bus, letters, record("r0", None), poison, record("r1", None))
    assert (again, pauses, bus.taken) == ([], [], ["r0:1", "r1:1"])
    assert letters.kept == [{"keys": {"id": "poison"}, "reason": "row cannot be read: KeyError"}]


def test_an_event_that_no_call_holds_goes_to_the_dead_letters_at_once_and_empty() -> None:
    bus, letters = Bus(), Letters()
    large = json.dumps({"row": "x" * BATCH_BYTES_MAX})
    again, pauses = publish(bus, letters, record("r0", None), record("large", large), record("r1", None))
    assert (again, pauses, bus.taken) == ([], [], ["r0:1", "r1:1"])
    assert letters.kept == [
        {"keys": {"id": "large"}, "reason": "too large", "eventId": "large:1", "detail-type": "Kind"}
    ]


def test_an_event_that_just_fits_into_a_call_is_put() -> None:
    def of_length(length: int) -> str:
        return json.dumps({"row": "x" * length})

    [empty] = replay(Row("r0", (Told("Kind", NOW, of_length(0)),)))
    most = BATCH_BYTES_MAX - size_of(empty)
    bus, letters = Bus(), Letters()
    publish(bus, letters, record("r0", of_length(most)), record("r1", of_length(most + 1)))
    assert (bus.taken, [letter["eventId"] for letter in letters.kept]) == (["r0:1"], ["r1:1"])


def test_a_record_whose_letter_cannot_be_kept_comes_again() -> None:
    bus, letters = Bus({"r2:1": FAULT}), Letters(faulty=True)
    large = json.dumps({"row": "x" * BATCH_BYTES_MAX})
    again, _ = publish(bus, letters, record("r0", None), record("r1", large), record("r2", None), record("r3", None))
    assert (sorted(again), bus.taken) == (["number-r1", "number-r2"], ["r0:1", "r3:1"])


def test_no_call_is_begun_when_time_is_up() -> None:
    bus = Bus()
    again, _ = publish(bus, Letters(), *(record(f"r{number}", None) for number in range(30)), tries=2)
    assert len(bus.calls) == 1
    assert again == [f"number-r{number}" for number in range(10, 30)]


def test_a_call_is_as_large_as_it_may_be_and_no_larger() -> None:
    third = [Event(f"r:{number}", "Kind", NOW, "令" * (BATCH_BYTES_MAX // 9)) for number in range(7)]
    split = list(batches(third, 10))
    assert [event for batch in split for event in batch] == third
    assert all(sum(map(size_of, batch)) <= BATCH_BYTES_MAX for batch in split)
    assert [len(batch) for batch in split] == [2, 2, 2, 1]


def test_blame_takes_four_calls() -> None:
    bus = Bus({"r0:1": FAULT})
    publish(bus, Letters(), record("r0", None), record("r1", None))
    assert sum("r0:1" in call for call in bus.calls) == 4


def test_pauses_grow_to_five_seconds() -> None:
    _, pauses = publish(Bus({"r0:1": THROTTLED}), Letters(), record("r0", None), tries=14)
    assert pauses == pytest.approx([0.1, 0.3, 0.9, 2.7, 5.0, 5.0, 5.0])


def test_the_time_that_is_left_holds_a_call_and_its_letter() -> None:
    """Either ends within 4 s."""
    assert MARGIN_MS == 10_000


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Mock:
    logger = Mock()
    monkeypatch.setattr("autodebit.publish.logger", logger)
    return logger


def test_what_comes_again_is_counted_and_logged_with_its_reasons(counted: Mock, logger: Mock) -> None:
    bus = Bus({"r0:1": THROTTLED, "r1:1": FAULT, "r2:1": THROTTLED})
    again, _ = publish(bus, Letters(), *(record(f"r{number}", None) for number in range(3)), tries=6)
    assert len(again) == 3
    assert counted.call_args_list == [call("EventsPut", 0), call("EventsDelayed", 3)]
    assert logger.warning.call_args.kwargs == {"records": 3, "reasons": ["InternalFailure", "ThrottlingException"]}


def test_what_is_buried_is_counted_and_logged(counted: Mock, logger: Mock) -> None:
    letters = Letters()
    publish(Bus({"r0:1": FAULT}), letters, record("r0", None), record("r1", None))
    assert counted.call_args_list == [call("EventsPut", 1), call("EventsBuried")]
    assert logger.error.call_args.kwargs == letters.kept[0]
