"""The schedule, the names of executions, and the promise that somebody looks."""

from datetime import timedelta

import pytest
from autodebit.polling import (
    GRACE_S,
    INIT_ALARM_S,
    NEVER,
    execution_name,
    next_look_at,
    next_wait,
    overdue_at,
    parse_schedule,
    sending_overdue_at,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.samples import NOW

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


@pytest.mark.parametrize(("text", "waits"), [("3", (3,)), ("3,3,6", (3, 3, 6)), ("54000", (54000,)), ("3, 4", (3, 4))])
def test_a_schedule_is_a_list_of_whole_seconds(text: str, waits: tuple[int, ...]) -> None:
    assert parse_schedule(text) == waits


@pytest.mark.parametrize("text", ["", ",", "3,", "3;3", "three", "3.5", "3,2", "0", "-3", "1e3", "NaN", "3,,3"])
def test_a_schedule_is_nothing_else_and_never_shorter_than_three_seconds(text: str) -> None:
    with pytest.raises(ValueError, match=r"waits are at least 3 s|invalid literal"):
        parse_schedule(text)


@given(st.lists(st.integers(3, 100_000), min_size=1, max_size=20))
def test_the_waits_are_taken_in_order_and_then_there_is_none(waits: list[int]) -> None:
    schedule = parse_schedule(",".join(map(str, waits)))
    assert [next_wait(made, schedule) for made in range(len(waits) + 3)] == [*waits, None, None, None]


def test_an_execution_is_named_after_its_order_and_round() -> None:
    assert execution_name("ord-1", 0) == "ord-1-0"


@given(one=IDS, other=IDS, one_round=st.integers(0, 99), other_round=st.integers(0, 99))
def test_two_rounds_never_share_a_name(one: str, other: str, one_round: int, other_round: int) -> None:
    same = (one, one_round) == (other, other_round)
    assert (execution_name(one, one_round) == execution_name(other, other_round)) is same


@given(order=st.sampled_from(["a", "a-1", "a-1-0", "-", "--", "a-"]), polling_round=st.integers(0, 9))
def test_an_id_that_looks_like_a_name_shares_none(order: str, polling_round: int) -> None:
    name = execution_name(order, polling_round)
    assert name.rpartition("-")[::2] == (order, str(polling_round))


def test_the_longest_name_is_one_that_step_functions_takes() -> None:
    assert len(execution_name("x" * 64, 999_999)) <= 80


def test_the_first_look_is_due_when_the_post_can_no_longer_run() -> None:
    assert sending_overdue_at(NOW) - NOW == timedelta(seconds=30)


@pytest.mark.parametrize("wait_s", [3, 54_000])
def test_a_look_is_overdue_a_minute_after_its_wait(wait_s: int) -> None:
    assert overdue_at(NOW, wait_s) - NOW == timedelta(seconds=wait_s + GRACE_S)
    assert GRACE_S == 60


@pytest.mark.parametrize(
    ("overdue_s", "look_s", "due_s"),
    [(100, None, 40), (100, 7, 7), (61, None, 1), (60, None, 60), (30, None, 30), (30, 0, 30), (None, 7, None)],
)
def test_the_next_look_is_when_the_last_one_said_or_a_minute_before_it_is_overdue(
    overdue_s: int | None, look_s: int | None, due_s: int | None
) -> None:
    """By what has the sending overdue, nobody has said when to look."""
    overdue, look, due = (None if s is None else NOW + timedelta(seconds=s) for s in (overdue_s, look_s, due_s))
    assert next_look_at(overdue, NOW, look) == due


def test_a_row_whose_schedule_is_spent_is_looked_at_no_more() -> None:
    assert next_look_at(NEVER, NOW) is None


def test_a_person_is_called_after_a_quarter_of_an_hour() -> None:
    assert INIT_ALARM_S == 900
