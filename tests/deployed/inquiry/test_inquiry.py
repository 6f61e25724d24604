"""The inquiry polling: when it looks, what it believes, and how it ends."""

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.kit import alarms, books
from tests.kit.faults import UPDATE_ITEM
from tests.kit.merchant import new_id, payment
from tests.kit.real_time import INQUIRY_FAILS, RealTime
from tests.kit.schedule import EARLY_S, FIRST_MINUTE, SCHEDULE
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

Json = dict[str, Any]


def inquired_at(deployment: Deployment, payment_request_id: str) -> list[float]:
    return [call["at"] for call in deployment.alipay.calls(payment_request_id, "inquiryPayment")]


def started_at(deployment: Deployment, payment_request_id: str) -> float:
    execution = deployment.seen.execution(payment_request_id)
    assert execution
    return float(execution["startDate"].timestamp())


def waiting_states(deployment: Deployment, payment_request_id: str) -> list[Json]:
    """What the order's execution knew each time when it began to wait."""
    return [
        json.loads(event["stateEnteredEventDetails"]["input"])
        for event in deployment.seen.history(payment_request_id)
        if event["type"] == "WaitStateEntered"
    ]


def waits(deployment: Deployment, payment_request_id: str) -> tuple[int, ...]:
    """The seconds that the order's execution waited before each look, as it was told."""
    return tuple(state["waitSeconds"] for state in waiting_states(deployment, payment_request_id))


@pytest.mark.fault("F16")
def test_in_the_first_minute_inquiries_come_when_the_schedule_says(real_time: RealTime) -> None:
    here = real_time.deployment
    late = []
    for payment_request_id in real_time.minute.result().without_result:
        started = started_at(here, payment_request_id)
        times = inquired_at(here, payment_request_id)[: len(FIRST_MINUTE)]
        assert len(times) == len(FIRST_MINUTE)
        assert waits(here, payment_request_id)[: len(FIRST_MINUTE)] == FIRST_MINUTE
        for wait_s, (before, at) in zip(FIRST_MINUTE, pairwise([started, *times]), strict=True):
            assert at - before > wait_s - EARLY_S, f"{at - before:.3f} s instead of {wait_s}"
            late.append(at - before - wait_s)
        books.agree(here, payment_request_id)
    print(f"  inquiries late by {sorted(late)[len(late) // 2] * 1000:.0f} ms, at worst {max(late) * 1000:.0f} ms")


def test_an_inquiry_names_the_account_that_pay_named(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("account"), pay=["U"], **books.PAID_IN_SILENCE)
    fast.merchant.pay(payment(payment_request_id, merchantAccountId="shop-7"))
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    for call in fast.alipay.calls(payment_request_id, "inquiryPayment"):
        assert call["body"] == {"paymentRequestId": payment_request_id, "merchantAccountId": "shop-7"}


@pytest.mark.fault("F19")
def test_with_every_notification_lost_the_next_inquiry_settles_and_is_the_last(real_time: RealTime) -> None:
    here = real_time.deployment
    ids = real_time.minute.result().notifications_lost
    for payment_request_id in ids:
        row = here.seen.settled(payment_request_id)
        assert (row["status"], row["settledBy"]) == ("SUCCESS", "inquiry")
        known = here.alipay.payment(payment_request_id)
        assert known
        times = inquired_at(here, payment_request_id)
        assert [at >= known["knownAt"] for at in times].count(True) == 1, (known, times)
        assert times[-1] - started_at(here, payment_request_id) > sum(FIRST_MINUTE[: len(times)]) - EARLY_S
        assert here.seen.ended(payment_request_id)["status"] == "SUCCEEDED"
        books.agree(here, payment_request_id)


@pytest.mark.fault("F19")
def test_with_polling_scaled_an_inquiry_settles_and_is_the_last(fast: Deployment) -> None:
    payment_request_id, _ = fast.pay("lost", pay=["U"], result={"status": "SUCCESS", "after": 1}, notify="lost")
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    assert fast.seen.ended(payment_request_id)["status"] == "SUCCEEDED"
    known = fast.alipay.payment(payment_request_id)
    assert known
    assert [at >= known["knownAt"] for at in inquired_at(fast, payment_request_id)].count(True) == 1
    books.agree(fast, payment_request_id)


@pytest.mark.fault("F16")
def test_the_polling_waits_as_the_schedule_says_then_fails_and_a_late_notification_settles(fast: Deployment) -> None:
    scale = fast.scale / 4
    with fast.polling_at(scale):
        never_settled, _ = fast.pay("never", **books.NEVER)
        fast.seen.ended(never_settled)
    alarms.polling_failed(fast, never_settled, "PollingSpent")
    states = waiting_states(fast, never_settled)
    assert [(state["inquiry"], state["waitSeconds"]) for state in states] == list(enumerate(SCHEDULE))
    passed_on = {"paymentRequestId", "round", "inquiry", "cancels", "waitSeconds", "status", "heard"}
    assert all(set(state) <= passed_on for state in states)

    times = [started_at(fast, never_settled), *inquired_at(fast, never_settled)]
    assert len(times) == 1 + len(SCHEDULE)
    for wait_s, (before, at) in zip(SCHEDULE, pairwise(times), strict=True):
        scaled = wait_s * scale
        assert at - before > scaled - EARLY_S, f"{at - before:.3f} s instead of {scaled}"

    assert fast.merchant.order(never_settled).json["status"] == "INIT"
    eventually(lambda: fast.seen.lines("polling schedule spent", never_settled), "the line an operator reads")
    row = fast.seen.row(never_settled)
    assert row
    assert row["watchShard"], "the order must stay where the count of orders INIT for too long finds it"
    fast.alipay.plan(never_settled, result={"status": "SUCCESS"}, notify={"delay": 0})
    assert fast.seen.settled(never_settled)["settledBy"] == "notify"
    books.agree(fast, never_settled)


@pytest.mark.fault("F17")
def test_an_order_not_found_at_first_and_paid_later_is_paid(fast: Deployment) -> None:
    payment_request_id, _ = fast.pay(
        "not-exist",
        pay=["U"],
        inquiry=["ORDER_NOT_EXIST", "ORDER_NOT_EXIST", "ORDER_NOT_EXIST", "normal"],
        result={"status": "SUCCESS"},
        notify="lost",
    )
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    assert len(inquired_at(fast, payment_request_id)) == 4
    books.agree(fast, payment_request_id)


@pytest.mark.fault("F18")
def test_after_an_inquiry_that_fails_or_hangs_the_next_one_waits_as_long_as_ever(real_time: RealTime) -> None:
    here, payment_request_id = real_time.deployment, real_time.minute.result().inquiry_fails
    row = here.seen.settled(payment_request_id)
    assert (row["status"], row["settledBy"]) == ("SUCCESS", "inquiry")
    calls = here.alipay.calls(payment_request_id, "inquiryPayment")
    assert len(calls) == len(INQUIRY_FAILS) + 1
    waited = [later["at"] - before["at"] for before, later in pairwise(calls)]
    print(f"  {waited} s between the inquiries")
    hung_s = [10 if isinstance(answer, dict) else 0 for answer in INQUIRY_FAILS]
    for wait_s, more_s, waited_s in zip(SCHEDULE[1 : len(calls)], hung_s, waited, strict=True):
        assert waited_s > wait_s + more_s - EARLY_S
    books.agree(here, payment_request_id)


@pytest.mark.fault("F18")
def test_an_inquiry_call_that_fails_says_nothing_about_the_payment(fast: Deployment) -> None:
    failures = [
        *("F:SYSTEM_ERROR", "F:PROCESS_FAIL", "U:REQUEST_TRAFFIC_EXCEED_LIMIT", "U:UNKNOWN_EXCEPTION"),
        *("http:429", "reset", "html", "unsigned:S", "otherkey:S", "unsigned:F:INVALID_SIGNATURE"),
    ]
    payment_request_id, _ = fast.pay(
        "inquiry-fails", pay=["U"], inquiry=[*failures, "normal"], result={"status": "SUCCESS"}, notify="lost"
    )
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    assert len(inquired_at(fast, payment_request_id)) == len(failures) + 1
    books.agree(fast, payment_request_id)


@pytest.mark.parametrize(
    "claim",
    [
        {"answer": "S", "amount": {"currency": "HKD", "value": "1"}},
        {"answer": "S", "amount": {"currency": "USD", "value": "1990"}},
        {"answer": "S", "paymentRequestId": "another"},
        {"answer": "S", "omit": ["paymentAmount"]},
        {"answer": "S", "omit": ["paymentRequestId"]},
    ],
)
def test_an_inquiry_about_something_else_does_not_pay_the_order(fast: Deployment, claim: Json) -> None:
    payment_request_id, _ = fast.pay("inquiry-other", **books.NEVER | {"inquiry": [claim]})
    eventually(lambda: (fast.seen.row(payment_request_id) or {}).get("contradictions"), "the contradiction is stored")
    eventually(lambda: fast.seen.metric("Contradiction", payment_request_id) > 0, "Contradiction is counted")
    books.agree(fast, payment_request_id)
    row = fast.seen.row(payment_request_id)
    assert row
    assert row["status"] == "INIT"


@pytest.mark.fault("F33", "F26")
def test_an_order_that_settles_while_it_is_inquired_is_not_inquired_again(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("settles-meanwhile"), pay=["U"], **books.PAID_IN_SILENCE)
    with fast.faults.injected({"op": UPDATE_ITEM, "match": payment_request_id, "hold": True}):
        fast.merchant.pay(payment(payment_request_id))
        eventually(fast.faults.holds, "the inquiry has heard of the success, and is about to write it")
        assert fast.alipay.notify(payment_request_id)["status"] == 200
        assert books.row_of(fast, payment_request_id)["settledBy"] == "notify"
    assert fast.seen.ended(payment_request_id)["status"] == "SUCCEEDED"
    assert len(inquired_at(fast, payment_request_id)) == 1
    row = fast.seen.settled(payment_request_id)
    assert (row["settledBy"], "contradictions" in row) == ("notify", False)
    books.agree(fast, payment_request_id)


def test_a_look_at_a_settled_order_inquires_nothing(fast: Deployment) -> None:
    payment_request_id, _ = fast.pay("settled", notify="lost")
    state = fast.functions.invoke("Inquiry", {"paymentRequestId": payment_request_id, "inquiry": 0})
    assert state["status"] == "SUCCESS"
    assert inquired_at(fast, payment_request_id) == []
