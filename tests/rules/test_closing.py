"""When an order is closed, what a look has to do for it, and when the next one comes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from autodebit.alipay.reading import Contradiction, Final, Undecided
from autodebit.payment.closing import (
    ABSENCE_LOST_S,
    ABSENT_EVERY_S,
    CANCEL_EVERY_S,
    CANCEL_UNDER_WAY_S,
    CANCELS_MAX,
    CLOSE_GRACE_S,
    CancelSent,
    NextLook,
    absences,
    cancel_due,
    cancel_sent,
    close_time,
    is_under_way,
    is_unresolved,
    look_at,
    never_placed,
    next_look,
    overdue_from,
)
from autodebit.payment.order import Order, Status
from autodebit.payment.outcome import Absent, Present
from autodebit.polling import DEFAULT_SCHEDULE, GRACE_S, NEVER, overdue_at
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.samples import NOW, order

MIDNIGHT = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
"""00:00 UTC+8 of 2026-11-23."""

WINDOW = timedelta(minutes=15)
"""How long after midnight a payment of the day before can be cancelled."""

CLOSE_AT = NOW + timedelta(seconds=55 + 900)
REFUSED: dict[str, Any] = {"cancel_refused_at": CLOSE_AT + timedelta(seconds=1)}


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def created(at: datetime, expiry_s: int = 55) -> Order:
    expires_at = (at + seconds(expiry_s)).isoformat()
    return order(created_at=at, attempted_at=at, payment_expiry_time=expires_at)


# --- The close time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", range(-120, 31))
@pytest.mark.parametrize("expiry_s", [1, 55, 59])
def test_an_order_around_midnight_is_closed_inside_its_cancel_window(second: int, expiry_s: int) -> None:
    """From 23:58:00 to 00:00:30 UTC+8: before midnight the window ends in a quarter of an hour, after it in a day."""
    at = MIDNIGHT + seconds(second)
    close_at = close_time(created(at, expiry_s), 900)
    by_expiry = at + seconds(expiry_s + 900)
    last = MIDNIGHT + timedelta(minutes=14)
    assert close_at == (min(by_expiry, last) if second < 0 else by_expiry)
    window_ends = MIDNIGHT + WINDOW + (timedelta(days=1) if second >= 0 else timedelta(0))
    assert close_at + seconds(60) <= window_ends, "a minute of cancels fits into the window"
    assert close_at > at + seconds(expiry_s), "the payment has expired by then"


@pytest.mark.parametrize("close_after_s", [1, 60, 900, 86_400])
def test_an_order_of_the_day_is_closed_so_long_after_its_expiry(close_after_s: int) -> None:
    by_expiry = NOW + seconds(55 + close_after_s)
    assert close_time(order(), close_after_s) == min(by_expiry, MIDNIGHT + timedelta(minutes=14))


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), st.integers(0, 59))
def test_close_after_0_closes_never(at: datetime, expiry_s: int) -> None:
    assert close_time(created(at, expiry_s), 0) is None


@given(
    at=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    expiry_s=st.integers(1, 59),
    close_after_s=st.integers(1, 86_400),
)
def test_whenever_an_order_is_made_it_is_closed_after_its_expiry_and_in_its_window(
    at: datetime, expiry_s: int, close_after_s: int
) -> None:
    close_at = close_time(created(at, expiry_s), close_after_s)
    there = at + timedelta(hours=8)
    window_ends = datetime(there.year, there.month, there.day, 0, 15, tzinfo=UTC) + timedelta(days=1, hours=-8)
    assert close_at is not None
    assert at + seconds(expiry_s) < close_at <= at + seconds(expiry_s + close_after_s)
    assert close_at <= window_ends - seconds(60)


def test_an_order_that_had_not_left_for_days_is_closed_by_the_day_on_which_it_is_sent() -> None:
    late = created(NOW)
    sent = replace(late, payment_expiry_time=(NOW + timedelta(days=3, seconds=55)).isoformat())
    assert close_time(sent, 900) == NOW + timedelta(days=3, seconds=955)


# --- What a look has to do ---------------------------------------------------------------------------------------


def test_before_the_close_time_nothing_is_cancelled_that_nobody_asked_to_cancel() -> None:
    assert cancel_due(order(), CLOSE_AT - seconds(0.001), CLOSE_AT) is False
    assert cancel_due(order(), NOW + timedelta(days=400), None) is False


def test_at_the_close_time_it_is() -> None:
    assert cancel_due(order(), CLOSE_AT, CLOSE_AT)


@pytest.mark.parametrize("close_at", [None, CLOSE_AT])
def test_a_cancel_that_is_noted_is_sent_whatever_the_time(close_at: datetime | None) -> None:
    assert cancel_due(order(cancel_requested_at=NOW), NOW, close_at)


def test_a_cancel_that_was_refused_before_the_close_time_is_not_repeated_before_it_and_is_then() -> None:
    refused = order(cancel_code="PROCESS_FAIL", cancel_refused_at=CLOSE_AT - seconds(1))
    assert not cancel_due(refused, CLOSE_AT - seconds(0.001), CLOSE_AT)
    assert cancel_due(refused, CLOSE_AT, CLOSE_AT)


@pytest.mark.parametrize("code", ["PAYMENT_METHOD_NOT_SUPPORTED", "CANCEL_WINDOW_EXCEED", "ORDER_STATUS_INVALID", "X"])
def test_closing_that_was_refused_is_not_repeated(code: str) -> None:
    refused = order(cancel_code=code, **REFUSED)
    assert not cancel_due(refused, CLOSE_AT + timedelta(days=1), CLOSE_AT)


def test_a_refusal_that_passes_is_tried_again_with_each_look() -> None:
    assert cancel_due(order(cancel_code="MERCHANT_BALANCE_NOT_ENOUGH", **REFUSED), CLOSE_AT + seconds(9), CLOSE_AT)


def test_a_payment_that_alipay_did_not_have_is_cancelled_again_once_it_may_have_it() -> None:
    absent = order(cancel_code="ORDER_NOT_EXIST", absences=2, absent_at=CLOSE_AT, **REFUSED)
    assert not cancel_due(absent, CLOSE_AT + seconds(9), CLOSE_AT)
    assert cancel_due(replace(absent, absences=0, absent_at=None), CLOSE_AT + seconds(9), CLOSE_AT)


# --- What never reached Alipay -----------------------------------------------------------------------------------

PLACED = order(cancel_code="ORDER_NOT_EXIST", absences=3, absent_at=CLOSE_AT, **REFUSED)


def test_a_refused_cancel_and_three_inquiries_prove_that_a_payment_was_never_placed() -> None:
    assert never_placed(PLACED, CLOSE_AT)
    assert never_placed(replace(PLACED, cancel_refused_at=CLOSE_AT), CLOSE_AT)


@pytest.mark.parametrize(
    ("changes", "close_at"),
    [
        ({"absences": 2}, CLOSE_AT),
        ({"absences": 0, "absent_at": None}, CLOSE_AT),
        ({"cancel_code": "PROCESS_FAIL"}, CLOSE_AT),
        ({"cancel_code": None, "cancel_refused_at": None}, CLOSE_AT),
        ({"cancel_refused_at": CLOSE_AT - seconds(0.001)}, CLOSE_AT),
        ({}, None),
    ],
    ids=["two inquiries", "none", "another code", "no cancel", "a cancel before the close time", "CloseAfter 0"],
)
def test_nothing_less_proves_it(changes: dict[str, Any], close_at: datetime | None) -> None:
    assert not never_placed(replace(PLACED, **changes), close_at)


EXPIRY = order().expires_at
ABSENT = Absent("inquiry F/ORDER_NOT_EXIST")


def heard(row: Order, reading: Any, asked_at: datetime) -> tuple[int, datetime | None]:
    return absences(row, reading, asked_at, asked_at + seconds(2))


def test_an_absence_counts_if_it_was_asked_for_after_the_expiry() -> None:
    assert heard(order(), ABSENT, EXPIRY) == (0, None)
    assert heard(order(), ABSENT, EXPIRY - seconds(1)) == (0, None), "answered after it is not enough"
    assert heard(order(), ABSENT, EXPIRY + seconds(0.001)) == (1, EXPIRY + seconds(2.001))


def test_absences_count_if_they_are_15_seconds_apart() -> None:
    once = order(absences=1, absent_at=EXPIRY + seconds(10))
    assert heard(once, ABSENT, EXPIRY + seconds(24.999)) == (1, EXPIRY + seconds(10))
    assert heard(once, ABSENT, EXPIRY + seconds(25)) == (2, EXPIRY + seconds(27))
    assert ABSENT_EVERY_S == 15


def test_a_payment_that_alipay_knows_is_not_absent_any_more() -> None:
    assert heard(order(absences=2, absent_at=EXPIRY), Present("inquiry S: PROCESSING"), CLOSE_AT) == (0, None)


@pytest.mark.parametrize("reading", [Undecided("inquiry U/"), Contradiction("x"), Final(Status.SUCCESS)])
def test_what_says_neither_leaves_the_count_as_it_is(reading: Any) -> None:
    assert heard(order(absences=2, absent_at=EXPIRY), reading, CLOSE_AT) == (2, EXPIRY)


# --- When a person is called -------------------------------------------------------------------------------------

AFTER = CLOSE_AT + seconds(60)
SENT = CancelSent(1, refused_anew=False)
REFUSED_NOW = CancelSent(1, refused_anew=True)


def unresolved(*of: Any, scheduled: bool = True) -> bool:
    return is_unresolved(*of, scheduled=scheduled)


def test_a_person_is_called_after_a_minute_of_cancels_without_an_answer_and_not_before_the_close_time() -> None:
    noted = order(cancel_requested_at=NOW)
    assert not unresolved(noted, AFTER, CLOSE_AT, CANCELS_MAX - 1, SENT)
    assert unresolved(noted, AFTER, CLOSE_AT, CANCELS_MAX, SENT)
    assert unresolved(noted, CLOSE_AT, CLOSE_AT, CANCELS_MAX, SENT)
    assert unresolved(noted, CLOSE_AT - seconds(0.001), CLOSE_AT, CANCELS_MAX, SENT) is False
    assert not unresolved(noted, AFTER, None, CANCELS_MAX, SENT)
    assert CANCELS_MAX * CANCEL_EVERY_S == 60


def test_an_order_that_is_never_closed_by_itself_has_until_the_end_of_its_schedule() -> None:
    noted = order(cancel_requested_at=NOW)
    assert not unresolved(noted, AFTER, None, CANCELS_MAX, SENT)
    assert unresolved(noted, AFTER, None, 1, SENT, scheduled=False)
    assert not unresolved(order(), AFTER, None, 0, None, scheduled=False), "told as spent"


def test_a_person_is_called_when_the_cancel_found_no_payment_and_inquiries_say_something_else() -> None:
    absent = order(cancel_code="ORDER_NOT_EXIST", absences=1, absent_at=AFTER, **REFUSED)
    lost = AFTER + seconds(ABSENCE_LOST_S)
    assert not unresolved(absent, lost - seconds(1), CLOSE_AT, 0, None)
    assert unresolved(absent, lost, CLOSE_AT, 0, None)
    known = replace(absent, absences=0, absent_at=None)
    assert not unresolved(known, AFTER, CLOSE_AT, 0, REFUSED_NOW)
    assert unresolved(known, AFTER, CLOSE_AT, 0, SENT)


@pytest.mark.parametrize("code", ["PAYMENT_METHOD_NOT_SUPPORTED", "MERCHANT_BALANCE_NOT_ENOUGH"])
def test_a_person_is_called_when_closing_was_refused_and_the_next_inquiry_brought_no_result(code: str) -> None:
    refused = order(cancel_code=code, **REFUSED)
    assert not unresolved(refused, AFTER, CLOSE_AT, 0, REFUSED_NOW)
    assert unresolved(refused, AFTER, CLOSE_AT, 0, None)
    assert unresolved(refused, AFTER, CLOSE_AT, 0, SENT)


def test_nobody_is_called_for_a_payment_that_alipay_does_not_have_or_a_refusal_before_the_close_time() -> None:
    assert not unresolved(replace(PLACED, absences=1, absent_at=AFTER), AFTER, CLOSE_AT, 0, None)
    early = order(cancel_code="PROCESS_FAIL", cancel_refused_at=CLOSE_AT - seconds(1))
    assert not unresolved(early, AFTER, CLOSE_AT, 0, None)
    assert not unresolved(order(), AFTER, CLOSE_AT, 0, None)


# --- The next look -----------------------------------------------------------------------------------------------

SCHEDULE = (3, 10, 600)


def following(row: Order, looks: int = 1, *, at: datetime = NOW, cancels: int = 0, sent: Any = None) -> NextLook:
    return next_look(row, at, CLOSE_AT, SCHEDULE, looks, cancels, sent)


def test_without_a_cancel_the_schedule_says_when_to_look() -> None:
    assert following(order(), 1) == NextLook(10)
    assert following(order(), 2) == NextLook(600)
    assert following(order(), 1, at=CLOSE_AT) == NextLook(10)
    assert following(order(), 1, at=CLOSE_AT + seconds(1)) == NextLook(10)


def test_there_is_a_look_at_the_close_time_whether_the_schedule_has_one_or_not() -> None:
    before = CLOSE_AT - seconds(400)
    assert following(order(), 2, at=before) == NextLook(at=CLOSE_AT, additional=True)
    assert following(order(), 3, at=before) == NextLook(at=CLOSE_AT, additional=True)
    assert following(order(), 1, at=before) == NextLook(10)
    assert following(order(), 2, at=CLOSE_AT - seconds(600)) == NextLook(600), "the schedule's own look is then"


def test_two_looks_are_three_seconds_apart_at_least() -> None:
    at = CLOSE_AT - seconds(0.5)
    assert following(order(), 2, at=at) == NextLook(at=at + seconds(3), additional=True)


def test_after_the_close_time_the_schedule_is_gone_on_with_and_then_it_is_spent() -> None:
    refused = order(cancel_code="PROCESS_FAIL", **REFUSED)
    assert following(refused, 2, at=AFTER) == NextLook(600)
    assert following(refused, 3, at=AFTER) == NextLook()


def test_a_cancel_without_an_answer_is_repeated_every_six_seconds_for_a_minute_and_then_with_each_look() -> None:
    noted = order(cancel_requested_at=AFTER)
    waits = [following(noted, 2, at=AFTER, cancels=made, sent=CancelSent(2, False)) for made in range(1, 12)]
    assert waits == [NextLook(4, additional=True)] * 9 + [NextLook(600)] * 2
    assert following(noted, 2, at=AFTER, cancels=1, sent=CancelSent(30, False)) == NextLook(1, additional=True)
    assert following(noted, 2, at=AFTER, cancels=1) == NextLook(6, additional=True)


def test_a_cancel_without_an_answer_is_not_given_up_at_the_end_of_the_schedule() -> None:
    noted = order(cancel_requested_at=AFTER)
    assert following(noted, 3, at=AFTER, cancels=CANCELS_MAX) == NextLook(600, additional=True)


def test_the_close_time_of_an_order_whose_cancel_has_no_answer_is_not_missed() -> None:
    noted = order(cancel_requested_at=NOW)
    at = CLOSE_AT - seconds(100)
    assert following(noted, 2, at=at, cancels=CANCELS_MAX) == NextLook(at=CLOSE_AT, additional=True)
    assert following(noted, 3, at=at, cancels=CANCELS_MAX) == NextLook(at=CLOSE_AT, additional=True)


def test_a_cancel_that_another_is_sending_is_looked_after_when_that_attempt_has_ended() -> None:
    sending = order(cancel_requested_at=NOW, cancel_attempted_at=AFTER - seconds(5))
    ended = AFTER + seconds(CANCEL_UNDER_WAY_S - 5)
    assert following(sending, 2, at=AFTER) == NextLook(at=ended, additional=True)
    assert following(sending, 2, at=ended) == NextLook(at=ended + seconds(3), additional=True)


def test_after_a_first_refusal_comes_a_look_that_hears_what_had_crossed_the_cancel() -> None:
    refused = order(cancel_code="ORDER_STATUS_INVALID", **REFUSED)
    assert following(refused, 2, at=AFTER, sent=REFUSED_NOW) == NextLook(CANCEL_EVERY_S, additional=True)
    assert following(refused, 2, at=AFTER, sent=SENT) == NextLook(600)


def test_while_alipay_has_no_such_payment_it_is_asked_again_as_soon_as_that_counts() -> None:
    absent = order(cancel_code="ORDER_NOT_EXIST", absences=1, absent_at=AFTER - seconds(5), **REFUSED)
    assert following(absent, 2, at=AFTER, sent=REFUSED_NOW) == NextLook(at=AFTER + seconds(10), additional=True)
    assert following(absent, 3, at=AFTER) == NextLook(at=AFTER + seconds(10), additional=True)


def test_an_absence_before_any_cancel_was_refused_changes_no_look() -> None:
    assert following(order(absences=1, absent_at=AFTER - seconds(5)), 2, at=AFTER) == NextLook(600)


def test_inquiries_that_say_something_else_are_not_repeated_every_three_seconds_for_ever() -> None:
    absent = order(cancel_code="ORDER_NOT_EXIST", absences=1, absent_at=AFTER, **REFUSED)
    late = AFTER + seconds(ABSENT_EVERY_S + 2)
    assert following(absent, 2, at=late) == NextLook(at=late + seconds(3), additional=True)
    lost = AFTER + seconds(ABSENCE_LOST_S)
    assert following(absent, 2, at=lost) == NextLook(600)
    assert following(absent, 3, at=lost) == NextLook()


def test_a_refusal_counts_as_the_first_if_there_was_none_since_the_close_time() -> None:
    refused = order(cancel_code="X", **REFUSED)
    early = replace(refused, cancel_refused_at=CLOSE_AT - seconds(1))
    assert cancel_sent(order(), refused, CLOSE_AT, 1.9) == CancelSent(1, refused_anew=True)
    assert cancel_sent(early, refused, CLOSE_AT, 1) == CancelSent(1, refused_anew=True)
    assert cancel_sent(refused, refused, CLOSE_AT, 1) == CancelSent(1, refused_anew=False)
    assert cancel_sent(order(), refused, None, 1) == CancelSent(1, refused_anew=True)
    assert cancel_sent(refused, refused, None, 1) == CancelSent(1, refused_anew=True), "it has no close time"
    assert cancel_sent(order(), order(cancel_requested_at=NOW), CLOSE_AT, 1) == CancelSent(1, refused_anew=False)
    assert cancel_sent(order(), order(status=Status.CANCELLED), CLOSE_AT, 1) == CancelSent(1, refused_anew=False)


# --- Who takes over ----------------------------------------------------------------------------------------------


def test_the_sweep_takes_over_a_look_that_is_late_and_one_at_the_close_time_sooner() -> None:
    at_close = NextLook(at=CLOSE_AT, additional=True)
    assert overdue_from(at_close, NOW, CLOSE_AT) == CLOSE_AT + seconds(CLOSE_GRACE_S)
    assert overdue_from(NextLook(10), NOW, CLOSE_AT) == overdue_at(NOW, 10)
    assert overdue_from(NextLook(10), CLOSE_AT - seconds(50), CLOSE_AT) == CLOSE_AT + seconds(CLOSE_GRACE_S)
    assert overdue_from(NextLook(10), CLOSE_AT - seconds(5), CLOSE_AT) == CLOSE_AT + seconds(5 + CLOSE_GRACE_S)
    assert overdue_from(NextLook(10), CLOSE_AT, CLOSE_AT) == overdue_at(CLOSE_AT, 10)
    assert overdue_from(NextLook(10), AFTER, CLOSE_AT) == overdue_at(AFTER, 10)
    assert overdue_from(NextLook(), NOW, CLOSE_AT) == NEVER
    assert overdue_from(NextLook(10), NOW, None) == overdue_at(NOW, 10)


@given(wait_s=st.integers(3, 2000), before_s=st.integers(1, 2000))
def test_whatever_the_look_before_it_does_the_look_at_the_close_time_is_taken_over_in_time(
    wait_s: int, before_s: int
) -> None:
    """The sweep comes every minute and starts an execution whose first look comes after some seconds."""
    now = CLOSE_AT - seconds(before_s)
    late = overdue_from(NextLook(wait_s), now, CLOSE_AT)
    assert late <= overdue_at(now, wait_s)
    assert late >= now + seconds(wait_s), "not before the look itself is due"
    if wait_s <= before_s:
        assert late + seconds(60 + max(DEFAULT_SCHEDULE[0], 5)) <= CLOSE_AT + seconds(75)
    assert GRACE_S == 60


def test_a_look_is_at_its_instant_or_after_its_wait() -> None:
    assert look_at(NextLook(at=CLOSE_AT), NOW) == CLOSE_AT
    assert look_at(NextLook(10), NOW) == NOW + seconds(10)
    assert look_at(NextLook(), NOW) is None


def test_a_cancel_is_over_before_another_may_be_under_way() -> None:
    """Its call has 10 s."""
    sending = order(cancel_requested_at=NOW, cancel_attempted_at=NOW)
    assert is_under_way(sending, NOW + seconds(11.999)) is True
    assert is_under_way(sending, NOW + seconds(12)) is False
    assert is_under_way(order(cancel_requested_at=NOW), NOW) is False
