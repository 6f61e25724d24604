"""When an agreement is looked at again: within the minute of a code, and long before a token ends."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

import pytest
from autodebit.agreement.agreement import Status
from autodebit.agreement.schedule import (
    ATTEMPT_S,
    CODE_LOOKS,
    EXCHANGE_S,
    REVOKE_AGAIN_S,
    Due,
    due,
    due_once_told,
    exchange_is_over,
    exchange_overdue_at,
    first_due_at,
    is_dead,
    is_ending,
    next_exchange_wait,
    refresh_again_at,
    refresh_at,
    wait,
)

from tests.kit.agreements import EXPIRES_AT, agreement, linked
from tests.kit.samples import NOW
from tests.kit.template import FUNCTIONS


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def looks(call_s: float) -> list[float]:
    """When each look of one execution begins, in seconds after the code came; each call takes so long."""
    times, at, made = [0.0], 0.0, 0
    while (wait_s := next_exchange_wait(made, NOW, after(at + call_s))) is not None:
        at += call_s + wait_s
        made += 1
        times.append(at)
    return times


def test_a_code_is_looked_at_often_at_first_and_until_its_minute_is_nearly_over() -> None:
    times = looks(0)
    assert times[:6] == [0, 1, 3, 6, 10, 15]
    assert EXCHANGE_S <= max(times) < EXCHANGE_S + 2
    assert all(later - earlier <= 5 for earlier, later in pairwise(times))


@pytest.mark.parametrize("fraction_s", [0, 0.001, 0.999])
def test_the_machine_waits_for_an_instant_in_a_codes_minute_and_never_less_than_was_meant(fraction_s: float) -> None:
    state = wait(agreement(), 5, after(fraction_s))
    assert state.keys() == {"waitUntil"}
    assert 5 <= (datetime.fromisoformat(state["waitUntil"]) - after(fraction_s)).total_seconds() <= 6


def test_the_machine_waits_for_seconds_between_the_calls_of_a_revocation() -> None:
    assert wait(linked(status=Status.UNLINKING), 5, NOW) == {"waitSeconds": 5}


@pytest.mark.parametrize("call_s", [0, 0.1, 1, 5, 10])
def test_the_last_call_begins_within_55_s_and_the_last_look_after_them(call_s: float) -> None:
    times = looks(call_s)
    calling = [at for at in times if not exchange_is_over(NOW, after(at))]
    assert max(calling) < 55
    assert exchange_is_over(NOW, after(max(times)))
    assert len(times) <= 14


def test_a_code_is_over_at_55_s() -> None:
    assert not exchange_is_over(NOW, after(54.9))
    assert exchange_is_over(NOW, after(55))


def test_an_announced_code_is_looked_for_five_times_and_a_revocation_taken_on_again_each_day() -> None:
    assert (CODE_LOOKS, REVOKE_AGAIN_S) == (5, 86_400)


def test_a_look_at_a_code_is_overdue_5_s_after_its_wait() -> None:
    assert exchange_overdue_at(NOW, 3) == after(8)


def test_an_attempt_is_dead_when_the_function_that_made_it_must_be() -> None:
    assert is_dead(agreement(attempt=None), NOW)
    assert not is_dead(agreement(), after(20))
    assert is_dead(agreement(), after(20.1))
    assert FUNCTIONS["ApplyTokenFunction"]["Timeout"] <= ATTEMPT_S


@pytest.mark.parametrize("share", range(0, 100, 7))
def test_a_token_is_first_refreshed_between_45_and_31_days_before_its_end(share: int) -> None:
    """So a wallet that refuses is told 30 days before, and one that answers is long before the 10 days asked for."""
    ahead = EXPIRES_AT - refresh_at(f"agr-{share}", EXPIRES_AT)
    assert timedelta(days=31) <= ahead <= timedelta(days=45)


def test_a_token_that_was_refreshed_is_not_refreshed_again_each_hour() -> None:
    year, month, hours = (NOW + timedelta(days=days) for days in (365, 30, 0.5))
    assert refresh_again_at("agr", year, NOW) == refresh_at("agr", year)
    assert refresh_again_at("agr", month, NOW) == NOW + timedelta(days=1)
    assert refresh_again_at("agr", hours, NOW) == hours, "its end is to be noted"


def test_ten_thousand_tokens_that_end_on_one_day_are_spread_over_a_fortnight() -> None:
    hours = Counter(
        int((EXPIRES_AT - refresh_at(f"agr-{number}", EXPIRES_AT)) / timedelta(hours=1)) for number in range(10_000)
    )
    assert len(hours) == 14 * 24
    assert max(hours.values()) < 60, "some thirty in each hour"


def test_what_is_due_first_after_a_link() -> None:
    assert first_due_at("agr", EXPIRES_AT, refreshable=True) == refresh_at("agr", EXPIRES_AT)
    assert first_due_at("agr", EXPIRES_AT, refreshable=False) == EXPIRES_AT - timedelta(days=30)
    assert first_due_at("agr", None, refreshable=True) is None


@pytest.mark.parametrize(
    ("changes", "when", "what"),
    [
        ({}, timedelta(days=12), Due.NOTHING),
        ({}, timedelta(days=11), Due.REFRESH),
        ({}, timedelta(0), Due.END),
        ({"refresh_token": None}, timedelta(days=11), Due.TELL),
        ({"refresh_refused": "INVALID_REFRESH_TOKEN"}, timedelta(days=11), Due.TELL),
        ({"refresh_token": None, "expiring_told": True}, timedelta(days=11), Due.NOTHING),
        ({"refresh_token": None, "expiring_told": True}, timedelta(0), Due.END),
        ({"due_at": None}, timedelta(0), Due.NOTHING),
        ({"status": Status.UNLINKING}, timedelta(0), Due.NOTHING),
        ({"status": Status.UNLINKED}, timedelta(0), Due.NOTHING),
    ],
)
def test_what_is_due(changes: dict[str, object], when: timedelta, what: Due) -> None:
    assert due(linked(**changes), EXPIRES_AT - when) is what


def test_a_run_counts_what_it_did_under_these_words() -> None:
    assert [what.value for what in Due] == ["nothing", "refresh", "tell", "end"]


@pytest.mark.parametrize(
    ("changes", "left", "ending"),
    [
        ({}, timedelta(days=10, seconds=1), False),
        ({}, timedelta(days=10), True),
        ({}, timedelta(seconds=1), True),
        ({}, timedelta(0), False),
        ({"expiring_told": True}, timedelta(days=1), False),
        ({"token_expires_at": None}, timedelta(days=1), False),
        ({"status": Status.UNLINKING}, timedelta(days=1), False),
    ],
)
def test_the_last_days_are_told_once(changes: dict[str, object], left: timedelta, ending: bool) -> None:
    assert is_ending(linked(**changes), EXPIRES_AT - left) is ending


def test_once_it_is_told_the_refreshes_go_on_or_next_is_the_end() -> None:
    assert due_once_told(linked()) == linked().due_at
    assert due_once_told(linked(refresh_token=None)) == EXPIRES_AT
    assert due_once_told(linked(refresh_refused="INVALID_REFRESH_TOKEN")) == EXPIRES_AT


@pytest.mark.parametrize("seconds", [54.1, 55, 70])
def test_the_last_look_at_a_code_comes_a_second_later_at_the_least(seconds: float) -> None:
    assert next_exchange_wait(12, NOW, after(seconds)) == 1


def test_the_waits_of_an_exchange_are_few_and_short() -> None:
    until = list(accumulate([1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5]))
    assert [round(at) for at in looks(0)[1:13]] == until
