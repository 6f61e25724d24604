"""Orders are closed at their close time, and a cancel that meets a death, silence or a success ends as it must."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.kit import alarms, books
from tests.kit.books import NEVER, PAID_IN_SILENCE, row_of
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]

CANCEL = "POST /ams/api/v1/payments/cancel"

CLOSE_AFTER_S = 1

EXPIRY_S = 4

ACTS_WITHIN_S = 75
"""How late closing may be, whatever died."""

BUSY_S = 60
"""What a busy machine may add to it."""

REFUSALS = ["PAYMENT_METHOD_NOT_SUPPORTED", "CANCEL_WINDOW_EXCEED", "ORDER_STATUS_INVALID"]


@pytest.fixture(scope="module")
def closing(fast: Deployment) -> Iterator[Deployment]:
    """The stack, closing orders soon after their expiry."""
    with fast.closing_after(CLOSE_AFTER_S):
        yield fast


def expiring(here: Deployment, label: str, **plan: Any) -> str:
    """A payment that expires in some seconds."""
    expiry = (datetime.now(UTC) + timedelta(seconds=EXPIRY_S)).isoformat()
    payment_request_id, answer = here.pay(label, {"paymentExpiryTime": expiry}, **plan)
    assert answer.status == 202, answer
    return payment_request_id


def closes_at(row: Json) -> datetime:
    return datetime.fromisoformat(row["paymentExpiryTime"]) + timedelta(seconds=CLOSE_AFTER_S)


def cancels(here: Deployment, payment_request_id: str) -> list[Json]:
    return here.alipay.calls(payment_request_id, "cancel")


def was_cancelled(here: Deployment, payment_request_id: str) -> Json:
    """The row of an order that Alipay has cancelled, money and all."""
    row = here.seen.settled(payment_request_id)
    ledger = here.alipay.payment(payment_request_id)
    assert ledger
    assert (row["status"], ledger["status"], ledger["kept"]) == ("CANCELLED", "CANCELLED", "0")
    return row


def unresolved(here: Deployment, payment_request_id: str) -> Json:
    """The row once a person was called."""
    return eventually(
        lambda: row if "unresolvedAt" in (row := row_of(here, payment_request_id)) else None, "a person is called"
    )


# --- At the close time -------------------------------------------------------------------------------------------


def test_an_order_without_a_result_is_inquired_and_cancelled_at_its_close_time(closing: Deployment) -> None:
    payment_request_id = expiring(closing, "closed", **NEVER)
    row = was_cancelled(closing, payment_request_id)
    assert row["settledBy"] == "cancel"
    late = datetime.fromisoformat(row["settledAt"]) - closes_at(row)
    assert timedelta(0) <= late <= timedelta(seconds=ACTS_WITHIN_S + BUSY_S)
    calls = [call["path"].rpartition("/")[2] for call in closing.alipay.calls(payment_request_id)]
    assert calls[-2:] == ["inquiryPayment", "cancel"]
    assert calls.count("cancel") == 1


def test_closing_acts_though_the_execution_that_polled_the_order_died(closing: Deployment) -> None:
    payment_request_id = expiring(closing, "closed-dead", **NEVER)
    eventually(lambda: row_of(closing, payment_request_id)["inquiries"], "a first look")
    execution = closing.seen.execution(payment_request_id)
    assert execution
    closing.aws("stepfunctions").stop_execution(executionArn=execution["executionArn"])
    row = was_cancelled(closing, payment_request_id)
    assert datetime.fromisoformat(row["settledAt"]) - closes_at(row) <= timedelta(seconds=ACTS_WITHIN_S + BUSY_S)


def test_an_order_that_was_paid_in_silence_is_found_by_the_inquiry_and_not_cancelled(closing: Deployment) -> None:
    payment_request_id = expiring(closing, "closed-paid", pay=["U"], inquiry=["U"], **PAID_IN_SILENCE)
    closing.alipay.plan(payment_request_id, **PAID_IN_SILENCE)
    assert closing.seen.settled(payment_request_id)["status"] == "SUCCESS"
    assert cancels(closing, payment_request_id) == []


@pytest.mark.fault("F42")
@pytest.mark.parametrize("code", REFUSALS)
def test_closing_that_is_refused_calls_a_person_once_and_the_polling_goes_on(closing: Deployment, code: str) -> None:
    payment_request_id = expiring(closing, "closed-refused", **NEVER, cancel=[f"F:{code}"])
    row = unresolved(closing, payment_request_id)
    assert (row["status"], row["cancelCode"]) == ("INIT", code)
    assert "cancelRequestedAt" not in row
    alarms.counted(closing, "Unresolved", payment_request_id)
    closing.alipay.plan(payment_request_id, **PAID_IN_SILENCE)
    if closing.seen.execution(payment_request_id)["status"] != "RUNNING":  # type: ignore[index]
        closing.merchant.cancel(payment_request_id)
    settled = closing.seen.settled(payment_request_id)
    kinds = [entry["kind"] for entry in settled["told"]]
    assert (kinds.index("PaymentUnresolved"), kinds.count("PaymentUnresolved")) == (0, 1)


@pytest.mark.fault("F40")
def test_a_minute_of_cancels_without_an_answer_calls_a_person_and_they_go_on(closing: Deployment) -> None:
    payment_request_id = expiring(closing, "closed-silent", **NEVER, cancel=["U"])
    row = unresolved(closing, payment_request_id)
    assert row["status"] == "INIT"
    assert "cancelRequestedAt" in row
    assert len(cancels(closing, payment_request_id)) >= 10
    closing.alipay.plan(payment_request_id, **NEVER)
    was_cancelled(closing, payment_request_id)
    assert len({call["bodySha256"] for call in cancels(closing, payment_request_id)}) == 1


@pytest.mark.fault("F43")
def test_what_alipay_never_had_fails_and_its_late_success_is_a_contradiction(closing: Deployment) -> None:
    """The payment is there all the time: Alipay only says otherwise, so that it can be notified in the end."""
    nobody = {"inquiry": ["ORDER_NOT_EXIST"], "cancel": ["F:ORDER_NOT_EXIST"]}
    payment_request_id = expiring(closing, books.BY_HAND, pay=["U"], **PAID_IN_SILENCE, **nobody)
    row = closing.seen.settled(payment_request_id)
    assert (row["status"], row["settledBy"], row["resultCode"]) == ("FAIL", "cancel", "ORDER_NOT_EXIST")
    assert datetime.fromisoformat(row["settledAt"]) >= closes_at(row)
    assert closing.merchant.order(payment_request_id).json["advice"] == "RETRY_LATER"
    asked = [call["at"] for call in closing.alipay.calls(payment_request_id, "inquiryPayment")]
    expired = datetime.fromisoformat(row["paymentExpiryTime"]).timestamp()
    assert asked[-1] - min(at for at in asked if at > expired) >= 30
    for _ in range(3):
        assert closing.alipay.notify(payment_request_id)["acknowledged"]
    row = row_of(closing, payment_request_id)
    assert (row["status"], len(row["contradictions"])) == ("FAIL", 1)
    assert [entry["kind"] for entry in row["told"]] == ["PaymentFailed", "PaymentContradicted"]
    alarms.counted(closing, "Contradiction", payment_request_id)


def test_with_close_after_0_nothing_is_closed_and_a_person_is_called_at_the_end(fast: Deployment) -> None:
    with fast.closing_after(0):
        payment_request_id = expiring(fast, "never-closed", **NEVER)
        row = unresolved(fast, payment_request_id)
        assert row["status"] == "INIT"
        assert fast.seen.ended(payment_request_id)["status"] == "FAILED"
    assert cancels(fast, payment_request_id) == []


# --- Silence and death -------------------------------------------------------------------------------------------


@pytest.mark.fault("F40")
@pytest.mark.parametrize(
    "silence", ["reset-after", "reset-before", "U", "unsigned:F:ACCESS_DENIED", "badsig:S", "http:500", "html"]
)
def test_a_cancel_without_an_answer_is_repeated_until_it_has_one(fast: Deployment, silence: str) -> None:
    payment_request_id, _ = fast.pay("unanswered", **NEVER, cancel=[silence, silence, "normal"])
    answer = fast.merchant.cancel(payment_request_id)
    # On a busy machine a look may have its answer before this one is given: it says what is stored then.
    assert (answer.status, answer.json["status"]) in [(202, "INIT"), (200, "CANCELLED")]
    assert "cancelRequestedAt" in answer.json
    was_cancelled(fast, payment_request_id)
    assert len({call["bodySha256"] for call in cancels(fast, payment_request_id)}) == 1
    versions = fast.seen.versions(payment_request_id)
    assert {version["status"] for version in versions} == {"INIT", "CANCELLED"}
    assert any(version["status"] == "INIT" and "cancelRequestedAt" in version for version in versions)


@pytest.mark.fault("F39")
def test_when_the_merchants_cancel_dies_with_the_cancel_noted_the_sweep_has_it_sent(fast: Deployment) -> None:
    payment_request_id, _ = fast.pay("noted", **NEVER)
    with fast.faults_of("CancelPayment") as faults, ThreadPoolExecutor(1) as pool:
        faults.add({"op": CANCEL, "match": payment_request_id, "hold": True, "drop": "before"})
        answer = pool.submit(fast.merchant.cancel, payment_request_id)
        eventually(faults.holds, "the cancel is on its way")
        fast.functions.kill("CancelPayment")
        faults.clear()
        assert answer.result().status >= 500
    row = row_of(fast, payment_request_id)
    assert (row["status"], row["pollingRound"]) == ("INIT", 1)
    assert "cancelRequestedAt" in row
    assert cancels(fast, payment_request_id) == []
    fast.make_overdue(payment_request_id)
    fast.functions.invoke("Sweep")
    was_cancelled(fast, payment_request_id)


@pytest.mark.fault("F39")
def test_when_closing_dies_with_the_cancel_noted_the_next_look_sends_it(closing: Deployment) -> None:
    with closing.faults_of("Inquiry") as faults:
        payment_request_id = expiring(closing, "closing-dies", **NEVER)
        faults.add({"op": CANCEL, "match": payment_request_id, "hold": True, "drop": "before"})
        eventually(faults.holds, "the cancel is on its way")
        closing.functions.kill("Inquiry")
        faults.clear()
        assert "cancelRequestedAt" in row_of(closing, payment_request_id)
        was_cancelled(closing, payment_request_id)


# --- A success that crosses the cancel ---------------------------------------------------------------------------


@pytest.mark.fault("F41")
@pytest.mark.parametrize("road", ["notified", "inquired"])
def test_a_success_while_the_cancel_is_unanswered_is_kept_and_the_cancel_gives_the_money_back(
    fast: Deployment, road: str
) -> None:
    with fast.polling_at(1000 if road == "notified" else fast.scale):
        payment_request_id, _ = fast.pay("crossed", pay=["U"], inquiry=["U"], cancel=["U"] * 3, **PAID_IN_SILENCE)
        assert fast.merchant.cancel(payment_request_id).status == 202
        if road == "notified":
            assert fast.alipay.notify(payment_request_id)["acknowledged"]
        else:
            fast.alipay.plan(payment_request_id, cancel=["U"] * 3 + ["normal"], **PAID_IN_SILENCE)
            eventually(lambda: row_of(fast, payment_request_id).get("crossed"), "an inquiry says SUCCESS")
        row = row_of(fast, payment_request_id)
        assert row["status"] == "INIT" or road == "inquired"
        assert len(row["crossed"]) == 1
        if road == "notified":
            fast.alipay.plan(payment_request_id, **PAID_IN_SILENCE)
            assert fast.merchant.cancel(payment_request_id).status == 200
    row = was_cancelled(fast, payment_request_id)
    assert "contradictions" not in row
    ledger = fast.alipay.payment(payment_request_id)
    assert ledger
    assert (ledger["debits"], ledger["refunds"]) == (1, 1)


@pytest.mark.fault("F41")
def test_a_success_that_crossed_a_refused_cancel_counts_at_the_next_look(fast: Deployment) -> None:
    with fast.polling_at(1000):
        payment_request_id, _ = fast.pay(
            "crossed-refused", pay=["U"], cancel=["U", "F:PAYMENT_METHOD_NOT_SUPPORTED"], **PAID_IN_SILENCE
        )
        fast.merchant.cancel(payment_request_id)
        assert fast.alipay.notify(payment_request_id)["acknowledged"]
    assert fast.merchant.cancel(payment_request_id).json["status"] == "INIT"
    row = fast.seen.settled(payment_request_id)
    assert (row["status"], row["settledBy"]) == ("SUCCESS", "inquiry")
    books.agree(fast, payment_request_id)


@pytest.mark.fault("F35")
@pytest.mark.parametrize("first", ["cancel", "success"])
def test_a_cancel_that_races_a_success_ends_as_alipays_ledger_says(
    fast: Deployment, first: str, pytestconfig: pytest.Config, record_property: Any
) -> None:
    """Half of them each: the payment succeeds a moment before the cancel is asked for, or a moment after it."""
    chance, races = random.Random(first), pytestconfig.getoption("--races")
    ends = at_once(
        [lambda: race(fast, first, chance.uniform(0, 0.2), chance.uniform(0, 0.4)) for _ in range(max(1, races // 2))],
        4,
    )
    record_property("races", len(ends))
    print(f"  {first} first: {dict(Counter(ends))}")
    assert set(ends) <= {"CANCELLED", "SUCCESS"}


def race(here: Deployment, first: str, apart_s: float, notified_s: float) -> str:
    """One payment that succeeds, is notified and is cancelled at about the same time; how it ended on both sides."""
    planned = {"status": "SUCCESS", "after": 0.1 if first == "success" else 0.1 + apart_s}
    blind = ["U"] * 9 + ["normal"]
    payment_request_id, _ = here.pay("race", pay=["U"], result=planned, inquiry=blind, notify={"delay": notified_s})
    time.sleep(0.1 + (apart_s if first == "success" else 0))
    answer = here.merchant.cancel(payment_request_id)
    row = here.seen.settled(payment_request_id)
    ledger = here.alipay.payment(payment_request_id)
    assert ledger
    amount = row["amountValue"] if row["status"] == "SUCCESS" else "0"
    assert (ledger["status"], ledger["kept"]) == (row["status"], amount), (row, ledger)
    assert ledger["debits"] <= 1
    assert answer.status in ((409, 202) if row["status"] == "SUCCESS" else (200, 202))
    assert "contradictions" not in row
    books.left_init_at_most_once(here.seen.versions(payment_request_id))
    return str(row["status"])
