"""F55 to F62: what goes wrong with refunds, with the simulated Alipay and the fault proxy."""

import json
from functools import partial
from typing import Any

import pytest

from tests.kit import books
from tests.kit.crash_points import Scene, count, crash, crash_rules
from tests.kit.faults import START_EXECUTION
from tests.kit.merchant import new_id
from tests.kit.refunding import PAID, Refunds
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]

TRANSACT = "DynamoDB_20120810.TransactWriteItems"
ACKNOWLEDGEMENT = '{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}'
IN_PROCESS: Json = {"refund": ["U:REFUND_IN_PROCESS"], "result": {"status": "PROCESSING"}, "notify": "lost"}
"""A plan: Alipay never knows the result. Tests notify by hand."""


def waiting(refunds: Refunds, value: str = "990") -> tuple[str, str]:
    """A payment, and a refund of it that stays INIT whatever happens."""
    payment = refunds.paid("by-hand")
    refund, answer = refunds.ask(payment, value, refunds.plan(IN_PROCESS))
    assert (answer.status, answer.json["status"]) == (202, "INIT")
    return payment, refund


def left(refunds: Refunds, payment: str) -> int:
    row = refunds.here.seen.row(payment)
    assert row
    return int(row["refundable"])


# --- F55: it dies --------------------------------------------------------------------------------------------------


@pytest.mark.fault("F55")
@pytest.mark.parametrize("plan", ["refunded", "refused", "in-process", "no-answer"])
def test_a_refund_killed_at_any_effect_is_one_at_alipay_at_most(refunds: Refunds, fast: Deployment, plan: str) -> None:
    """The merchant heard nothing, and asks again once nobody can be sending it any more."""
    payments: dict[str, str] = {}

    def prepare(refund: str) -> None:
        payments[refund] = refunds.paid()
        refunds.plan(plan, refund)

    def ask(refund: str) -> Any:
        return refunds.ask(payments[refund], "990", refund)[1].status

    def done(refund: str) -> bool:
        row = refunds.row(refund)
        return bool(row and (row["status"] != "INIT" or row["inquiries"]))

    scene = Scene(plan, ask, prepare, done)
    wheres = []
    with fast.faults_of("Refund") as faults:
        for step, rule in crash_rules(count(fast, "Refund", faults, scene)):
            crashed = crash(fast, "Refund", faults, scene, rule, f"Refund, {plan}: {step}")
            wheres.append(crashed.where)
            refund = crashed.payment_request_id
            if (row := refunds.row(refund)) and row["status"] == "INIT":
                assert left(refunds, payments[refund]) == PAID - 990, "reserved until a final F"
                assert books.is_watched(row), "somebody looks"
                refunds.set_instant(refund, "attemptedAt")
    for refund, payment in payments.items():
        assert refunds.ask(payment, "990", refund)[1].status in (200, 202)
        assert refunds.settled(refund)["status"] == ("FAIL" if plan == "refused" else "SUCCESS")
        assert len({call["bodySha256"] for call in refunds.calls(refund)}) == 1
        refunds.agree(payment)
    assert len(wheres) >= 5, wheres


# --- F56: transactions ---------------------------------------------------------------------------------------------


@pytest.mark.fault("F56")
@pytest.mark.parametrize("skip", [0, 1], ids=["reserving", "settling"])
def test_a_transaction_whose_answer_is_lost_is_recognized(refunds: Refunds, fast: Deployment, skip: int) -> None:
    payment, refund = refunds.paid(), new_id("ref")
    rule = {"op": TRANSACT, "match": refund, "skip": skip, "drop": "after"}
    with fast.faults.injected(rule):
        _, answer = refunds.ask(payment, "990", refund)
        assert fast.faults.used_up()
    assert (answer.status, answer.json["status"], answer.json["settledBy"]) == (200, "SUCCESS", "refund")
    refunds.agree(payment)


@pytest.mark.fault("F56")
@pytest.mark.parametrize("skip", [0, 1], ids=["reserving", "settling"])
def test_a_transaction_that_meets_another_is_tried_again(refunds: Refunds, fast: Deployment, skip: int) -> None:
    payment, refund = refunds.paid(), new_id("ref")
    cancelled = {"error": "TransactionCanceledException", "reasons": ["None", "TransactionConflict"]}
    with fast.faults.injected({"op": TRANSACT, "match": refund, "skip": skip, "times": 3, **cancelled}):
        _, answer = refunds.ask(payment, "990", refund)
        assert fast.faults.used_up()
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")
    refunds.agree(payment)


@pytest.mark.fault("F56")
def test_a_result_that_cannot_be_stored_is_heard_again_by_an_inquiry(refunds: Refunds, fast: Deployment) -> None:
    payment, refund = refunds.paid(), new_id("ref")
    rule = {"op": TRANSACT, "match": refund, "skip": 1, "times": 2, "error": "InternalServerError", "status": 500}
    with fast.faults.injected(rule):
        _, answer = refunds.ask(payment, "990", refund)
    assert answer.status == 202
    assert refunds.settled(refund)["settledBy"] == "inquiry"
    refunds.agree(payment)


# --- F57: unknown --------------------------------------------------------------------------------------------------

UNKNOWN: dict[str, tuple[Json, str]] = {
    "U": ({"refund": ["U"], "result": {"status": "SUCCESS", "after": 1}}, "SUCCESS"),
    "in process": ({"refund": ["U:REFUND_IN_PROCESS"], "result": {"status": "SUCCESS", "after": 1}}, "SUCCESS"),
    "in process, then F": ({"refund": ["U"], "result": {"status": "FAIL", "code": "PROCESS_FAIL"}}, "FAIL"),
    "no answer": ({"refund": ["reset-after"], "result": {"status": "SUCCESS"}}, "SUCCESS"),
    "an unsigned F": ({"refund": ["unsigned:F:PROCESS_FAIL"], "result": {"status": "SUCCESS"}}, "SUCCESS"),
    "an F by a stranger": ({"refund": ["otherkey:F:PROCESS_FAIL"], "result": {"status": "SUCCESS"}}, "SUCCESS"),
    "an unsigned S": ({"refund": ["unsigned:S"], "result": {"status": "FAIL", "code": "PROCESS_FAIL"}}, "FAIL"),
    "HTTP 500": ({"refund": ["http:500"], "result": {"status": "SUCCESS"}}, "SUCCESS"),
    "half an answer": ({"refund": ["truncated"], "result": {"status": "SUCCESS"}}, "SUCCESS"),
    "an F on a repetition": ({"refund": ["reset-after", "F:PROCESS_FAIL"], "result": {"status": "SUCCESS"}}, "SUCCESS"),
}


@pytest.mark.fault("F57")
@pytest.mark.parametrize(("plan", "status"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_certain_stays_init_and_is_inquired(refunds: Refunds, plan: Json, status: str) -> None:
    payment = refunds.paid()
    refund, answer = refunds.ask(payment, "990", refunds.plan({"notify": "lost", **plan}))
    assert answer.status == 202, answer
    row = refunds.settled(refund)
    assert (row["status"], row["settledBy"]) == (status, "inquiry")
    assert len({call["bodySha256"] for call in refunds.calls(refund)}) == 1
    refunds.agree(payment)


@pytest.mark.fault("F57")
def test_no_answer_is_followed_by_the_very_same_bytes(refunds: Refunds) -> None:
    payment = refunds.paid()
    refund, answer = refunds.ask(payment, "990", refunds.plan("no-answer"))
    assert (answer.status, answer.json["status"], answer.json["settledBy"]) == (200, "SUCCESS", "refund")
    calls = refunds.calls(refund)
    assert len(calls) == 2
    assert len({call["bodySha256"] for call in calls}) == 1
    refunds.agree(payment)


@pytest.mark.fault("F57")
def test_what_alipay_never_heard_of_stays_init_calls_a_person_and_can_still_be_sent(
    refunds: Refunds, fast: Deployment
) -> None:
    shop = fast.shop
    payment = refunds.paid()
    refund, answer = refunds.ask(payment, "990", refunds.plan("never-arrived"))
    assert answer.status == 202
    [event] = shop.heard(refund, within_s=300)
    assert (event["detail-type"], event["detail"]["refund"]["status"]) == ("RefundUnresolved", "INIT")
    row = refunds.row(refund)
    assert row
    assert (row["status"], row["lastInquiry"]) == ("INIT", "inquiry F/ORDER_NOT_EXIST")
    assert left(refunds, payment) == PAID - 990
    refunds.plan("refunded", refund)
    refunds.set_instant(refund, "attemptedAt")
    _, answer = refunds.ask(payment, "990", refund)
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")
    assert len({call["bodySha256"] for call in refunds.calls(refund)}) == 1
    refunds.agree(payment)


@pytest.mark.fault("F57")
def test_a_polling_that_did_not_start_is_taken_on_by_the_sweep(refunds: Refunds, fast: Deployment) -> None:
    payment, refund = refunds.paid(), refunds.plan({"refund": ["U"], "result": {"status": "SUCCESS"}, "notify": "lost"})
    with fast.faults.injected({"op": START_EXECUTION, "match": refund, "times": -1, "error": "ThrottlingException"}):
        assert refunds.ask(payment, "990", refund)[1].status == 202
    row = refunds.row(refund)
    assert row
    assert row["status"] == "INIT"
    refunds.set_instant(refund, "overdueAt")
    fast.functions.invoke("SweepRefunds")
    assert refunds.settled(refund)["settledBy"] == "inquiry"
    refunds.agree(payment)


# --- F58: no balance -----------------------------------------------------------------------------------------------


@pytest.mark.fault("F58")
def test_a_refund_without_balance_fails_and_a_new_one_succeeds_once_funded(refunds: Refunds) -> None:
    payment = refunds.paid()
    refunds.sim("balance", {"currency": "HKD", "value": "0"})
    try:
        poor, answer = refunds.ask(payment, "1990")
    finally:
        refunds.sim("balance", {"currency": "HKD", "value": "100000000"})
    shown = answer.json
    assert (shown["status"], shown["resultCode"], shown["advice"]) == (
        *("FAIL", "MERCHANT_BALANCE_NOT_ENOUGH"),
        "RETRY_LATER",
    )
    assert left(refunds, payment) == PAID
    _, answer = refunds.ask(payment, "1990", poor)
    assert answer.json == shown, "the same id stays what it is"
    _, answer = refunds.ask(payment, "1990")
    assert answer.json["status"] == "SUCCESS"
    refunds.agree(payment)


# --- F59: the portal -----------------------------------------------------------------------------------------------


@pytest.mark.fault("F59")
def test_what_somebody_gave_back_in_the_portal_counts_after_one_refusal(refunds: Refunds, fast: Deployment) -> None:
    shop = fast.shop
    payment = refunds.paid()
    refunds.portal(payment, "500")
    inquiries = len(fast.alipay.calls(payment, "inquiryPayment"))
    refund, answer = refunds.ask(payment, "1990")
    assert (answer.json["status"], answer.json["resultCode"]) == ("FAIL", "REFUND_AMOUNT_EXCEED")
    assert len(fast.alipay.calls(payment, "inquiryPayment")) == inquiries + 1
    [observed] = [row for row in refunds.rows_of(payment) if row["refundRequestId"] != refund]
    portal = observed["refundRequestId"]
    shown = refunds.get(payment, portal).json
    assert (shown["status"], shown["observed"], shown["refundAmount"]["value"]) == ("SUCCESS", True, "500")
    assert fast.merchant.order(payment).json["refundedAmount"]["value"] == "500"
    [event] = shop.heard(portal)
    assert (event["detail-type"], event["detail"]["refund"]) == ("RefundObserved", shown)
    assert refunds.ask(payment, "1491")[1].status == 409
    assert refunds.ask(payment, "1490")[1].json["status"] == "SUCCESS"
    refunds.agree(payment)


# --- F60: notifications --------------------------------------------------------------------------------------------


@pytest.mark.fault("F60")
def test_a_notification_settles_and_is_acknowledged_as_often_as_it_comes(refunds: Refunds) -> None:
    payment, refund = waiting(refunds)
    before = left(refunds, payment)
    sent = at_once([lambda: refunds.notify(refund, resultStatus="S") for _ in range(8)])
    assert {(one["status"], one["body"]) for one in sent} == {(200, ACKNOWLEDGEMENT)}
    row = refunds.row(refund)
    assert row
    assert (row["status"], row["settledBy"]) == ("SUCCESS", "notify")
    assert left(refunds, payment) == before
    assert refunds.here.merchant.order(payment).json["refundedAmount"]["value"] == "990"


@pytest.mark.fault("F60")
def test_a_notified_failure_gives_back_once_what_was_reserved(refunds: Refunds) -> None:
    payment, refund = waiting(refunds)
    sent = at_once([lambda: refunds.notify(refund, resultStatus="F", resultCode="PROCESS_FAIL") for _ in range(8)])
    assert {one["status"] for one in sent} == {200}
    row = refunds.row(refund)
    assert row
    assert (row["status"], row["resultCode"]) == ("FAIL", "PROCESS_FAIL")
    assert left(refunds, payment) == PAID


@pytest.mark.fault("F60")
def test_a_notification_that_overtakes_the_answer_settles_it(refunds: Refunds) -> None:
    payment = refunds.paid()
    slow = {"refund": {"answer": "S", "delay": 3}, "notify": {"delay": 0}}
    refund, answer = refunds.ask(payment, "990", refunds.plan(slow))
    assert (answer.status, answer.json["status"], answer.json["settledBy"]) == (200, "SUCCESS", "notify")
    assert not refunds.row(refund).get("contradictions")  # type: ignore[union-attr]
    refunds.agree(payment)


@pytest.mark.fault("F60")
@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"key": "none"}, 401),
        ({"key": "otherkey"}, 401),
        ({"alterByte": True}, 401),
        ({"keyVersion": "7"}, 401),
        ({"clientId": "5Y00SOMEBODYELSE0"}, 401),
        ({"body": "refund"}, 400),
        ({"notifyType": "PAYMENT_RESULT"}, 400),
        ({"omit": ["refundAmount"]}, 400),
        ({"omit": ["refundStatus"]}, 400),
        ({"set": {"refundRequestId": "nobody"}}, 404),
        ({"amount": {"currency": "HKD", "value": "991"}}, 409),
        ({"amount": {"currency": "USD", "value": "990"}}, 409),
    ],
    ids=json.dumps,
)
def test_a_notification_that_proves_nothing_is_refused_and_changes_nothing(
    refunds: Refunds, message: Json, status: int
) -> None:
    payment, refund = waiting(refunds)
    sent = refunds.notify(refund, resultStatus="S", **message)
    assert (sent["status"], '"resultStatus":"F"' in sent["body"]) == (status, True), sent
    row = refunds.row(refund)
    assert row
    assert row["status"] == "INIT"
    assert left(refunds, payment) == PAID - 990


@pytest.mark.fault("F60")
@pytest.mark.parametrize(
    "message",
    [
        {"resultStatus": "S", "refundStatus": "PROCESSING"},
        {"resultStatus": "S", "refundStatus": "FAIL"},
        {"resultStatus": "F", "refundStatus": "SUCCESS", "resultCode": "PROCESS_FAIL"},
        {"resultStatus": "U", "refundStatus": "SUCCESS", "resultCode": "REFUND_IN_PROCESS"},
    ],
)
def test_only_a_result_and_a_status_that_agree_are_a_result(refunds: Refunds, message: Json) -> None:
    _, refund = waiting(refunds)
    assert refunds.notify(refund, **message)["status"] == 200
    row = refunds.row(refund)
    assert row
    assert row["status"] == "INIT"


@pytest.mark.fault("F60")
def test_each_endpoint_refuses_the_notifications_of_the_other_without_a_change(
    refunds: Refunds, fast: Deployment
) -> None:
    payment, refund = waiting(refunds)
    order = fast.merchant.order(payment).json
    url = fast.description["notifyUrl"]
    sent = refunds.notify(refund, resultStatus="S", url=url)
    assert sent["status"] == 400, sent
    sent = fast.alipay.notify(payment, url=url.removesuffix("payment") + "refund")
    assert sent["status"] == 400, sent
    row = refunds.row(refund)
    assert row
    assert row["status"] == "INIT"
    assert fast.merchant.order(payment).json == order


# --- F61: too late -------------------------------------------------------------------------------------------------


@pytest.mark.fault("F61")
def test_a_success_after_the_release_is_a_contradiction_kept_and_told_once(refunds: Refunds, fast: Deployment) -> None:
    shop = fast.shop
    payment, refund = waiting(refunds)
    assert refunds.notify(refund, resultStatus="F", resultCode="PROCESS_FAIL")["status"] == 200
    counted = fast.seen.metric("Contradiction")
    for _ in range(3):
        assert refunds.notify(refund, resultStatus="S")["body"] == ACKNOWLEDGEMENT
    told = shop.heard(refund, 2)
    assert [event["detail-type"] for event in told] == ["RefundFailed", "RefundContradicted"]
    assert told[1]["detail"]["refund"]["status"] == "FAIL"
    row = refunds.row(refund)
    assert row
    assert (row["status"], len(row["told"]), len(row["contradictions"])) == ("FAIL", 2, 1)
    assert left(refunds, payment) == PAID
    eventually(lambda: fast.seen.metric("Contradiction") > counted, "counted where an alarm hears it")


# --- F62: cancel and refund ----------------------------------------------------------------------------------------


@pytest.mark.fault("F62")
@pytest.mark.parametrize("number", range(6))
def test_of_a_cancel_and_a_refund_at_once_one_succeeds(refunds: Refunds, fast: Deployment, number: int) -> None:
    """The payment is notified while both are asked for."""
    payment, _ = fast.pay("crossed", pay=["U"], result={"status": "SUCCESS"}, inquiry=["U"], notify="lost")
    notify = partial(fast.alipay.notify, payment)
    cancel = partial(fast.merchant.cancel, payment)
    refund = partial(refunds.ask, payment, "1990")
    calls: list[Any] = [notify, cancel, refund, refund]
    done = at_once(calls[number % 3 :] + calls[: number % 3])
    refunded = [one[1] for one in done if isinstance(one, tuple)]
    row = fast.seen.settled(payment)
    given = [answer for answer in refunded if answer.status in (200, 202)]
    assert (len(given) == 1) if row["status"] == "SUCCESS" and given else not given
    if row["status"] == "CANCELLED":
        assert {answer.status for answer in refunded} == {409}
    ledger = fast.alipay.payment(payment)
    assert ledger
    assert ledger["kept"] in ("0", str(PAID))
    assert ledger["refunds"] == (1 if ledger["kept"] == "0" else 0), "money went back once at most"
