"""What polls at its worst: executions that do not start, stop, or outlive their time; somebody always looks again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.kit import alarms, books
from tests.kit.clock import clock_wrong
from tests.kit.faults import GET_ITEM, START_EXECUTION
from tests.kit.merchant import new_id, payment
from tests.kit.schedule import EARLY_S, SCHEDULE
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]


@pytest.mark.fault("F29")
@pytest.mark.parametrize(
    "fault",
    [{"error": "ThrottlingException"}, {"drop": "before"}, {"drop": "after"}, {"delay": 4, "drop": "before"}],
    ids=["throttled", "cut off", "started, answer lost", "not answered"],
)
def test_polling_that_does_not_start_fails_no_request_and_the_sweep_starts_it(fast: Deployment, fault: Json) -> None:
    payment_request_id = fast.alipay.plan(
        new_id("not-started"), pay=["U"], result={"status": "SUCCESS", "after": 0.5}, notify="lost"
    )
    with fast.faults.injected({"op": START_EXECUTION, "match": payment_request_id, "times": 2, **fault}):
        answer = fast.merchant.pay(payment(payment_request_id))
        assert fast.faults.used_up()
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    if fault.get("drop") != "after":
        assert fast.seen.execution(payment_request_id) is None
        assert books.is_watched(books.row_of(fast, payment_request_id))
        fast.make_overdue(payment_request_id)
        assert fast.functions.invoke("Sweep")["taken"] >= 1
    row = fast.seen.settled(payment_request_id)
    assert (row["settledBy"], row.get("pollingRound", 0)) == ("inquiry", 0)
    assert fast.seen.execution(payment_request_id, 1) is None


@pytest.mark.fault("F29")
def test_the_sweep_leaves_an_order_to_the_execution_that_polls_it(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay("polled", **books.NEVER)
        fast.make_overdue(payment_request_id)
        fast.functions.invoke("Sweep")
        row = books.row_of(fast, payment_request_id)
        assert row["overdueAt"] > datetime.now(UTC).isoformat()
        assert row["pollingRound"] == 0
        assert fast.seen.execution(payment_request_id, 1) is None
    books.comes_right(fast, payment_request_id)


@pytest.mark.fault("F29")
def test_a_polling_execution_that_was_stopped_is_followed_by_the_next_round(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay("stopped", pay=["U"], result={"status": "SUCCESS", "after": 1}, notify="lost")
        execution = fast.seen.execution(payment_request_id)
        assert execution
        fast.aws("stepfunctions").stop_execution(executionArn=execution["executionArn"])
    fast.make_overdue(payment_request_id)
    at_once([lambda: fast.functions.invoke("Sweep")] * 3)
    row = fast.seen.settled(payment_request_id)
    assert (row["settledBy"], row["pollingRound"]) == ("inquiry", 1)
    assert fast.seen.execution(payment_request_id, 2) is None


def test_the_sweep_takes_nothing_on_that_is_not_overdue(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay("not-overdue", **books.NEVER)
        before = books.row_of(fast, payment_request_id)
        fast.functions.invoke("Sweep")
        assert books.row_of(fast, payment_request_id) == before
    books.comes_right(fast, payment_request_id)


def failed_looks(fast: Deployment, payment_request_id: str) -> list[Json]:
    failures = ("TaskFailed", "LambdaFunctionFailed")
    return [event for event in fast.seen.history(payment_request_id) if event["type"] in failures]


@pytest.mark.fault("F30")
def test_a_throttled_inquiry_function_is_tried_again_until_it_answers(fast: Deployment) -> None:
    with fast.functions.throttled("Inquiry"):
        payment_request_id, answer = fast.pay("throttled", pay=["U"], result={"status": "SUCCESS"}, notify="lost")
        assert answer.status == 202
        eventually(lambda: failed_looks(fast, payment_request_id), "a look was throttled")
        assert books.row_of(fast, payment_request_id)["status"] == "INIT"
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    assert fast.seen.ended(payment_request_id)["status"] == "SUCCEEDED"


@pytest.mark.fault("F16")
def test_an_order_that_passes_15_minutes_is_counted_where_an_alarm_hears_it_which_ends(fast: Deployment) -> None:
    """The functions' clock cannot be scaled as the polling's waits are: the order is made older instead."""
    payment_request_id, _ = fast.pay("too-long", **books.NEVER)
    for age, old, new in (
        (timedelta(minutes=5), False, False),
        (timedelta(minutes=15, seconds=1), True, True),
        (timedelta(minutes=17), True, True),
        (timedelta(minutes=21), True, False),
        (timedelta(days=2), True, False),
    ):
        fast.set_attempted_at(payment_request_id, datetime.now(UTC) - age)
        assert (payment_request_id in books.counted_as_init(fast, "OrdersInitOld")) is old, age
        assert (payment_request_id in books.counted_as_init(fast, "OrdersInitTooLong")) is new, age
    alarms.counted(fast, "OrdersInitTooLong")
    eventually(lambda: fast.seen.lines("orders INIT for more than 15 minutes"), "the line an operator reads")
    books.comes_right(fast, payment_request_id)
    assert payment_request_id not in books.counted_as_init(fast, "OrdersInitOld")


@pytest.mark.fault("F16")
def test_a_result_that_comes_after_14_minutes_or_an_hour_is_found_by_the_next_inquiry(fast: Deployment) -> None:
    scale = 0.002
    with fast.polling_at(scale):
        known_after_s = {
            fast.pay("late", pay=["U"], result={"status": "SUCCESS", "after": after_s * scale}, notify="lost")[
                0
            ]: after_s
            for after_s in (14 * 60, 3600)
        }
        for payment_request_id in known_after_s:
            row = fast.seen.settled(payment_request_id)
            assert (row["status"], row["settledBy"]) == ("SUCCESS", "inquiry")
            times, known = fast.alipay.inquired()[payment_request_id], fast.alipay.payment(payment_request_id)
            assert known
            assert [at >= known["knownAt"] for at in times].count(True) == 1, (known, times)
            for wait_s, (before, at) in zip(SCHEDULE[1:], pairwise(times), strict=False):
                assert at - before > wait_s * scale - EARLY_S


@pytest.mark.fault("F30")
def test_an_inquiry_function_that_takes_too_long_is_tried_again(fast: Deployment) -> None:
    with fast.functions.limited_to("Inquiry", seconds=2):
        payment_request_id, _ = fast.pay(
            "times-out",
            pay=["U"],
            result={"status": "SUCCESS"},
            inquiry=[{"answer": "normal", "delay": 4}, "normal"],
            notify="lost",
        )
        assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    assert failed_looks(fast, payment_request_id)
    first, second = fast.alipay.inquired()[payment_request_id]
    assert second - first > 4, "what may have inquired is repeated after 4 s"
    assert fast.seen.ended(payment_request_id)["status"] == "SUCCEEDED"


@pytest.mark.fault("F26")
def test_a_stale_read_is_served_neither_to_the_poller_nor_to_get(fast: Deployment) -> None:
    """DynamoDB serves what was true a moment ago to reads that do not ask to be consistent; these ask."""
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay("stale", **books.UNDECIDED | {"pay": ["U"]})
        look = {"paymentRequestId": payment_request_id, "inquiry": 0}
        assert fast.merchant.order(payment_request_id).json["status"] == "INIT"
        assert fast.functions.invoke("Inquiry", look)["status"] == "INIT"
        with fast.faults.injected({"op": GET_ITEM, "match": payment_request_id, "stale": True, "times": -1}):
            books.comes_right(fast, payment_request_id)
            assert fast.merchant.order(payment_request_id).json["status"] == "SUCCESS"
            assert fast.functions.invoke("Inquiry", look)["status"] == "SUCCESS"
    assert len(fast.alipay.calls(payment_request_id, "inquiryPayment")) == 1


@pytest.mark.fault("F26")
@pytest.mark.parametrize("reader", ["Inquiry", "GetOrder"])
def test_what_was_read_before_the_order_settled_and_heard_after_it_takes_nothing_back(
    fast: Deployment, reader: str
) -> None:
    with fast.polling_at(1), ThreadPoolExecutor(1) as pool:
        payment_request_id, _ = fast.pay("stale", pay=["U"], result={"status": "SUCCESS"}, notify="lost")
        with fast.faults.injected({"op": GET_ITEM, "match": payment_request_id, "withhold": True}):
            look = {"paymentRequestId": payment_request_id, "inquiry": 0}
            polls = reader == "Inquiry"
            read = pool.submit(
                (lambda: fast.functions.invoke("Inquiry", look)["status"])
                if polls
                else (lambda: fast.merchant.order(payment_request_id).json["status"])
            )
            eventually(fast.faults.holds, "the read was done")
            assert fast.alipay.notify(payment_request_id)["status"] == 200
        assert read.result() == ("SUCCESS" if polls else "INIT")
        assert len(fast.alipay.calls(payment_request_id, "inquiryPayment")) == polls
        row = fast.seen.settled(payment_request_id)
        assert (row["settledBy"], "contradictions" in row) == ("notify", False)
        assert fast.merchant.order(payment_request_id).json["status"] == "SUCCESS"


@pytest.mark.fault("F26")
def test_a_sweep_by_an_index_that_lags_behind_starts_a_polling_that_inquires_nothing(fast: Deployment) -> None:
    """The index cannot be read consistently: the order settles while the sweep acts on what it read."""
    with fast.polling_at(1), ThreadPoolExecutor(1) as pool:
        with fast.faults.injected({"op": START_EXECUTION, "error": "ThrottlingException"}):
            payment_request_id, _ = fast.pay("stale", **books.UNDECIDED | {"pay": ["U"]})
        fast.make_overdue(payment_request_id)
        with fast.faults.injected({"op": START_EXECUTION, "match": payment_request_id, "hold": True}):
            swept = pool.submit(fast.functions.invoke, "Sweep")
            eventually(fast.faults.holds, "the sweep takes the order on")
            assert fast.alipay.notify(payment_request_id)["status"] == 200
            settled = books.row_of(fast, payment_request_id)
        assert swept.result()["taken"] >= 1
        assert fast.seen.ended(payment_request_id)["status"] == "SUCCEEDED"
    assert fast.alipay.calls(payment_request_id, "inquiryPayment") == []
    assert books.row_of(fast, payment_request_id) == settled
    assert settled["settledBy"] == "notify"


@pytest.mark.fault("F32")
@pytest.mark.parametrize("ahead_s", [600, -600], ids=["ahead", "behind"])
@pytest.mark.parametrize("function", ["InitiatePay", "Notify", "Inquiry", "Sweep"])
def test_a_clock_that_is_ten_minutes_wrong_concludes_nothing(fast: Deployment, function: str, ahead_s: int) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay("clock", **books.NEVER)
        stored = books.row_of(fast, payment_request_id)
        look = {"paymentRequestId": payment_request_id, "inquiry": 0}
        with clock_wrong(fast, function, ahead_s):
            assert fast.merchant.pay(payment(payment_request_id)).status == 202
            assert fast.functions.invoke("Inquiry", look)["status"] == "INIT"
            fast.functions.invoke("Sweep")
            assert fast.alipay.notify(payment_request_id, notifyType="PAYMENT_PENDING")["acknowledged"]
            row = books.row_of(fast, payment_request_id)
            assert row["status"] == "INIT"
            assert books.is_watched(row)
            books.comes_right(fast, payment_request_id)
    assert len(fast.alipay.calls(payment_request_id, "pay")) == 1
    assert {version["paymentExpiryTime"] for version in fast.seen.versions(payment_request_id)} == {
        stored["paymentExpiryTime"]
    }


@pytest.mark.fault("F32")
@pytest.mark.parametrize("ahead_s", [600, -600], ids=["ahead", "behind"])
def test_a_payment_begun_by_a_wrong_clock_is_refused_by_alipay_and_debits_nothing(
    fast: Deployment, ahead_s: int
) -> None:
    with clock_wrong(fast, "InitiatePay", ahead_s):
        payment_request_id, answer = fast.pay("clock")
    assert (answer.status, answer.json["status"], answer.json["resultCode"]) == (200, "FAIL", "PARAM_ILLEGAL")
    refused = fast.alipay.payment(payment_request_id)
    assert refused
    assert (refused["known"], refused["debits"]) == (False, 0)
