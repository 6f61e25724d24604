"""The process that initiates a payment is killed at each of its effects, and every notification is lost."""

import time
from datetime import datetime

import pytest

from . import books
from .real_time import Crash, RealTime
from .waiting import eventually

SWEPT_WITHIN_S = 30 + 60 + 3 + 20
"""30 s until an order is overdue, a minute until the sweep's next run, the polling's first wait, and some patience."""


@pytest.fixture(scope="module")
def crashes(real_time: RealTime) -> list[Crash]:
    return real_time.crashes.result(240)


def test_every_effect_was_reached_and_no_crash_was_answered_as_if_all_was_well(crashes: list[Crash]) -> None:
    print(*(f"  {crash.answer.status} {crash.where}" for crash in crashes), sep="\n")
    assert len(crashes) >= 9
    assert {crash.answer.status for crash in crashes} <= {500, 502, 504}


def test_what_alipay_knows_is_settled_by_inquiry_and_what_it_does_not_stays_watched(
    real_time: RealTime, crashes: list[Crash]
) -> None:
    here = real_time.deployment
    not_stored, not_sent, longest_s = 0, 0, 0.0
    for crash in crashes:
        key, row = crash.payment_request_id, here.seen.row(crash.payment_request_id)
        known = here.alipay.payment(key)
        if row is None:
            not_stored += 1
            assert known is None, crash.where
        elif known and known["known"]:
            patience_s = datetime.fromisoformat(row["sentAt"]).timestamp() + SWEPT_WITHIN_S - time.time()
            row = here.seen.settled(key, max(patience_s, 1))
            assert row["status"] == "SUCCESS", crash.where
            assert row["settledBy"] == ("pay" if "after UpdateItem" in crash.where else "inquiry"), crash.where
            took = datetime.fromisoformat(row["settledAt"]) - datetime.fromisoformat(row["sentAt"])
            longest_s = max(longest_s, took.total_seconds())
        else:
            not_sent += 1
            eventually(lambda key=key: (here.seen.row(key) or {})["inquiries"] > 0, f"{crash.where}: inquired", 120)
            row, execution = here.seen.row(key), here.seen.execution(key)
            assert row
            assert execution
            assert (row["status"], row["lastInquiry"]) == ("INIT", "inquiry F/ORDER_NOT_EXIST"), crash.where
            assert execution["status"] == "RUNNING", crash.where
        if row:
            books.agree(here, key)
    assert (not_stored, not_sent) == (2, 3), (not_stored, not_sent)
    print(f"  {len(crashes)} crashes, settled after {longest_s:.0f} s at the latest")


def test_an_inquiry_function_that_fails_ends_the_round_and_the_sweep_opens_the_next(real_time: RealTime) -> None:
    here, payment_request_id = real_time.deployment, real_time.broken.result(30)
    execution = here.seen.ended(payment_request_id, within_s=90)
    assert (execution["status"], execution["error"]) == ("FAILED", "InquiryBroken")
    row = here.seen.settled(payment_request_id, 90)
    assert (row["status"], row["settledBy"], row["pollingRound"]) == ("SUCCESS", "inquiry", 1)
    assert here.seen.ended(payment_request_id, 1)["status"] == "SUCCEEDED"
    books.agree(here, payment_request_id)


@pytest.mark.parametrize("plan", ["after 12 s", "never", "byte by byte"])
def test_an_answer_that_outlasts_patience_is_answered_202_in_time_and_inquired(real_time: RealTime, plan: str) -> None:
    here = real_time.deployment
    payment_request_id, answer = real_time.slow.result(240)[plan]
    assert answer.status == 202, answer
    assert answer.seconds < 29
    calls = here.alipay.calls(payment_request_id, "pay")
    assert len(calls) == 3
    assert len({call["bodySha256"] for call in calls}) == 1
    row = here.seen.settled(payment_request_id, 20)
    assert (row["status"], row["settledBy"]) == ("SUCCESS", "inquiry")
    books.agree(here, payment_request_id)
