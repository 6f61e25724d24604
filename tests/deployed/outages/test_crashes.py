"""The process of every function is killed at each of its effects; what each run comes to when the world goes on."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.kit import alarms, books
from tests.kit.crash_points import FUNCTIONS, Crash
from tests.kit.faults import PUT_ITEM
from tests.kit.merchant import new_id, payment
from tests.kit.real_time import RealTime
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually


@pytest.fixture(scope="module")
def crashes(real_time: RealTime) -> list[Crash]:
    return real_time.crashes.result()


@pytest.mark.fault("F01", "F02", "F03", "F04", "F23", "F30")
def test_a_function_killed_at_any_effect_leaves_an_order_that_is_settled_or_watched(
    real_time: RealTime, crashes: list[Crash], record_property: Callable[[str, object], None]
) -> None:
    here = real_time.deployment
    ends = []
    for crash in crashes:
        # A sweep that died had put the next look off for a minute; the next run of the sweep may be as far away.
        ends.append(
            eventually(
                partial(end_of, real_time, crash), crash.where, every_s=0.2, show=partial(seen_of, real_time, crash)
            )
        )
        books.agree(here, *([crash.payment_request_id] if ends[-1] != "never stored" else []))
    print(*(f"  {end}: {crash.where}" for crash, end in zip(crashes, ends, strict=True)), sep="\n")
    assert {crash.function for crash in crashes} == set(FUNCTIONS)
    assert Counter(ends)["never stored"] == 3, "each scene of initiate pay begins with storing the order"
    for crash, end in zip(crashes, ends, strict=True):
        if crash.function == "InitiatePay" and end.startswith("SUCCESS"):
            # Its own witness is pay, which counts only if the process died after that write; nobody notifies.
            wrote = "after" in crash.where and crash.where.endswith("UpdateItem")
            assert end == f"SUCCESS by {'pay' if wrote else 'inquiry'}", crash.where
    in_hand = [
        end
        for crash, end in zip(crashes, ends, strict=True)
        if crash.where.startswith("InitiatePay, pay succeeds: before") and crash.where.endswith("UpdateItem")
    ]
    assert in_hand == ["SUCCESS by inquiry"], "Alipay's S was in hand, unwritten"
    record_property("crashPoints", f"{len(ends)}/{len(crashes)}")


def end_of(real_time: RealTime, crash: Crash) -> str | None:
    """How the order ended, None if it has not yet: as Alipay says, or, without a word of it, INIT and polled on."""
    here, key = real_time.deployment, crash.payment_request_id
    row, known = here.seen.row(key), here.alipay.payment(key)
    if row is None:
        return None if known else "never stored"
    if known and known["debits"]:
        return f"{row['status']} by {row['settledBy']}" if row["status"] == "SUCCESS" else None
    assert row["status"] == "INIT", crash.where
    # The kills of other crashes may hit this order's looks, too, until its round fails: the sweep opens the next.
    execution = here.seen.execution(key, row["pollingRound"])
    polled = execution and execution["status"] == "RUNNING" and row["inquiries"]
    return f"INIT, polled: {row['lastInquiry']}" if polled and books.is_watched(row) else None


def seen_of(real_time: RealTime, crash: Crash) -> tuple[object, ...]:
    """What there is to see of an order that does not end: its row, and the execution of each round."""
    seen, key = real_time.deployment.seen, crash.payment_request_id
    row = seen.row(key)
    return row, *(seen.execution(key, number) for number in range((row or {}).get("pollingRound", 0) + 1))


def test_no_crash_was_answered_as_if_all_was_well(real_time: RealTime, crashes: list[Crash]) -> None:
    here = real_time.deployment
    # Where the schedule's own run was the one that died, ours found nothing left to do: that happens now and then.
    unharmed = [crash for crash in crashes if crash.function == "Sweep" and crash.answer is None]
    assert len(unharmed) <= 3, unharmed
    for crash in crashes:
        key = crash.payment_request_id
        if crash in unharmed:
            continue
        if crash.function == "InitiatePay":
            assert crash.answer.status in (500, 502, 504), (crash.where, crash.answer)
        elif crash.function == "Sweep":
            assert crash.answer == "Unhandled", crash
        elif crash.function == "Inquiry":
            failed = any(event["type"] in ("TaskFailed", "LambdaFunctionFailed") for event in here.seen.history(key))
            # Whose look reads the secret nobody can say: it may be another order's that dies there.
            assert failed or "GetSecretValue" in crash.where, crash.where
        else:
            first, *_ = [delivery for delivery in here.alipay.notifications(key) if not delivery["lost"]]
            assert not first["acknowledged"], (crash.where, first)


def test_after_a_crash_a_notification_that_contradicts_is_kept_once_and_alarms(
    real_time: RealTime, crashes: list[Crash]
) -> None:
    here = real_time.deployment
    ids = [crash.payment_request_id for crash in crashes if "contradicts" in crash.where]
    assert ids
    for key in ids:
        sent = here.alipay.notify(key, resultStatus="F", resultCode="RISK_REJECT")
        assert sent["acknowledged"]
        row: Any = here.seen.row(key)
        assert (row["status"], len(row["contradictions"])) == ("SUCCESS", 1)
        alarms.counted(here, "Contradiction", key)
        books.agree(here, key)


@pytest.mark.fault("F01", "F02")
def test_an_order_that_a_crash_left_in_init_is_counted_where_an_alarm_hears_it(
    real_time: RealTime, crashes: list[Crash]
) -> None:
    """The functions' clock cannot be moved on by 15 minutes: the orders are made older instead."""
    here = real_time.deployment
    still_init = here.seen.still_init()
    left = [crash.payment_request_id for crash in crashes if crash.payment_request_id in still_init]
    unsent = [crash for crash in crashes if crash.function == "InitiatePay" and crash.payment_request_id in left]
    assert unsent, "some died before anything was sent"
    for crash in unsent:
        said = {version.get("lastInquiry") for version in here.seen.versions(crash.payment_request_id)}
        assert "inquiry F/ORDER_NOT_EXIST" in said, crash.where
    heard = here.seen.metric("OrdersInitTooLong")
    for key in left:
        here.set_attempted_at(key, datetime.now(UTC) - timedelta(minutes=16))
    counted = books.counted_as_init(here, "OrdersInitTooLong")
    assert counted >= set(left)
    eventually(lambda: here.seen.metric("OrdersInitTooLong") >= heard + len(counted), "the count is published")
    alarms.counted(here, "OrdersInitTooLong")
    for key in left:
        assert books.row_of(here, key)["status"] == "INIT"
    books.agree(here, *left)


@pytest.mark.fault("F01")
def test_a_replay_goes_on_with_the_order_of_a_post_that_died_before_it_sent_anything(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("died"), notify="lost")
    request = payment(payment_request_id)
    with fast.polling_at(1), ThreadPoolExecutor(1) as pool:
        with fast.faults.injected({"op": PUT_ITEM, "match": payment_request_id, "withhold": True, "drop": "after"}):
            died = pool.submit(fast.merchant.pay, request)
            eventually(fast.faults.holds, "the order is stored")
            fast.functions.kill("InitiatePay")
        assert died.result().status in (500, 502, 504)
        stored = books.row_of(fast, payment_request_id)
        assert books.is_watched(stored)
        # Whether the first POST has died nobody knows before API Gateway would have hung up on it.
        assert fast.merchant.pay(request).status == 202
        assert fast.alipay.payment(payment_request_id) is None
        fast.set_attempted_at(payment_request_id, datetime.now(UTC) - timedelta(seconds=31))
        answer = fast.merchant.pay(request)
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")
    row = books.row_of(fast, payment_request_id)
    assert [row[name] for name in ("createdAt", "payBodySha256")] == [
        stored[name] for name in ("createdAt", "payBodySha256")
    ]


@pytest.mark.fault("F03")
def test_a_replay_after_the_first_post_died_repeats_the_identical_pay(fast: Deployment) -> None:
    """As if the first process had been killed while pay was on its way: 29 s later nothing of it can be left."""
    with fast.polling_at(1):
        payment_request_id = fast.alipay.plan(new_id("died"), pay=["U", "normal"], notify="lost", inquiry=["U"])
        first = fast.merchant.pay(payment(payment_request_id))
        assert first.status == 202
        assert fast.merchant.pay(payment(payment_request_id)).status == 202
        assert len(fast.alipay.calls(payment_request_id, "pay")) == 1
        fast.set_attempted_at(payment_request_id, datetime.now(UTC) - timedelta(seconds=31))
        answers = at_once([lambda: fast.merchant.pay(payment(payment_request_id))] * 8)
        assert {answer.status for answer in answers} <= {200, 202}
        fast.seen.settled(payment_request_id)
    calls = fast.alipay.calls(payment_request_id, "pay")
    assert len(calls) == 2
    assert len({call["bodySha256"] for call in calls}) == 1


@pytest.mark.fault("F30")
def test_an_inquiry_function_that_fails_ends_the_round_and_the_sweep_opens_the_next(real_time: RealTime) -> None:
    here, payment_request_id = real_time.deployment, real_time.broken.result()
    alarms.polling_failed(here, payment_request_id, "InquiryBroken")
    row = here.seen.settled(payment_request_id)
    assert (row["status"], row["settledBy"], row["pollingRound"]) == ("SUCCESS", "inquiry", 1)
    assert here.seen.ended(payment_request_id, 1)["status"] == "SUCCEEDED"
    books.agree(here, payment_request_id)


@pytest.mark.fault("F08", "F15")
@pytest.mark.parametrize("plan", ["after 12 s", "never", "byte by byte"])
def test_an_answer_that_outlasts_patience_is_answered_202_in_time_and_inquired(real_time: RealTime, plan: str) -> None:
    here = real_time.deployment
    payment_request_id, answer = real_time.slow.result()[plan]
    assert answer.status == 202, answer
    calls = here.alipay.calls(payment_request_id, "pay")
    assert len(calls) == 3
    assert len({call["bodySha256"] for call in calls}) == 1
    row = here.seen.settled(payment_request_id)
    assert (row["status"], row["settledBy"]) == ("SUCCESS", "inquiry")
    books.agree(here, payment_request_id)
