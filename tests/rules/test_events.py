"""What is told of a row: the entries that are new, the same to the byte however often they are derived."""

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from autodebit.events import Acknowledgement, Event, Told, events, replay, shown_json
from autodebit.payment.order import Order, Status, Witness, order_document
from autodebit.payment.transitions import CONTRADICTED, TOLD, TRANSITIONS, UNRESOLVED
from hypothesis import given
from hypothesis import strategies as st

from ops.story import awaits_a_person
from tests.kit.samples import ID, NOW, PAYMENT_ID, order

LATER = NOW + timedelta(seconds=3)


def settled(status: Status = Status.SUCCESS, *told: Told) -> Order:
    return order(
        status=status,
        settled_by=Witness.NOTIFY,
        settled_at=LATER,
        payment_id=PAYMENT_ID,
        result_code="SUCCESS",
        told=told or (Told(TOLD[status], LATER),),
    )


def contradiction(row: Order, said: str) -> Told:
    return Told(CONTRADICTED, LATER, shown_json({**row.shown, "contradiction": said}))


def test_what_an_event_shows_is_json_without_spaces_and_in_its_own_characters() -> None:
    assert shown_json({"order": {"name": "電影", "count": 1}}) == '{"order":{"name":"電影","count":1}}'


@pytest.mark.parametrize("status", sorted({to for _, to in TRANSITIONS}))
def test_an_order_that_left_init_is_told_as_get_shows_it(status: Status) -> None:
    [event] = events(order(), settled(status))
    assert event == Event(f"{ID}:1", TOLD[status], LATER, event.detail)
    assert json.loads(event.detail) == {
        "eventId": f"{ID}:1",
        "sequence": 1,
        "occurredAt": "2026-11-22T09:30:03Z",
        "order": order_document(settled(status)),
    }


def test_a_change_that_is_not_told_makes_no_event() -> None:
    assert events(None, order()) == []
    assert events(order(), order(inquiries=1)) == []
    assert events(settled(), replace(settled(), contradictions=frozenset({"a"}))) == []


def test_a_contradiction_shows_the_order_as_it_was_then() -> None:
    row = settled(Status.SUCCESS, contradiction(order(), "notify S/SUCCESS: HKD 1"), Told("PaymentSucceeded", LATER))
    told, success = replay(row)
    assert (told.event_id, told.kind) == (f"{ID}:1", "PaymentContradicted")
    detail = json.loads(told.detail)
    assert (detail["order"]["status"], detail["contradiction"]) == ("INIT", "notify S/SUCCESS: HKD 1")
    assert (success.event_id, json.loads(success.detail)["order"]["status"]) == (f"{ID}:2", "SUCCESS")


def test_a_row_that_is_new_and_told_already_is_told_from_the_first() -> None:
    assert events(None, settled()) == replay(settled())


@st.composite
def histories(draw: st.DrawFn) -> list[Order]:
    """The versions of one row: contradictions before and after it is settled, and writes that tell nothing."""
    versions, row = [order()], order()
    status = draw(st.sampled_from([Status.SUCCESS, Status.FAIL, Status.CANCELLED]))
    for step in draw(st.lists(st.sampled_from(["settle", "contradict", "look"]), max_size=8)):
        if step == "settle" and row.is_init:
            row = replace(settled(status), told=(*row.told, Told(TOLD[status], LATER)))
        elif step == "contradict":
            row = replace(row, told=(*row.told, contradiction(row, f"令 {len(row.told)}")))
        else:
            row = replace(row, inquiries=row.inquiries + 1)
        versions.append(row)
    return versions


@given(versions=histories())
def test_a_replay_sends_what_was_sent_without_a_gap(versions: list[Order]) -> None:
    sent = [event for old, new in itertools.pairwise(versions) for event in events(old, new)]
    assert sent == replay(versions[-1])
    assert [json.loads(event.detail)["sequence"] for event in sent] == list(range(1, len(sent) + 1))


@given(versions=histories(), data=st.data())
def test_a_batch_that_comes_again_makes_equal_copies(versions: list[Order], data: Any) -> None:
    number = data.draw(st.integers(0, len(versions) - 1))
    old, new = versions[max(0, number - 1)], versions[number]
    assert events(old, new) == events(old, new) == replay(new)[len(old.told) :]


ADA = Acknowledgement(1, "ada", LATER, "refunded by hand")


@pytest.mark.parametrize(
    ("row", "awaits"),
    [
        (order(), False),
        (settled(), False),
        (order(told=(Told(UNRESOLVED, NOW),)), True),
        (settled(Status.FAIL, Told(UNRESOLVED, NOW), Told("PaymentFailed", LATER)), False),
        (settled(Status.SUCCESS, Told("PaymentSucceeded", NOW), Told(CONTRADICTED, LATER)), True),
        (order(told=(Told(UNRESOLVED, NOW),), acknowledged=(ADA,)), False),
        (order(told=(Told(CONTRADICTED, NOW),), acknowledged=(ADA,)), False),
        (order(told=(Told(CONTRADICTED, NOW), Told(CONTRADICTED, LATER)), acknowledged=(ADA,)), True),
    ],
)
def test_an_order_awaits_a_person_until_what_is_told_of_it_is_acknowledged(row: Order, awaits: bool) -> None:
    assert awaits_a_person(row) is awaits
