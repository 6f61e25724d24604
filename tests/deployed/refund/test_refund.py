"""POST and GET of refunds through the deployed template: every answer, and what it leaves behind."""

import json
from functools import partial
from typing import Any

import pytest

from tests.kit import books
from tests.kit.event_schemas import faults
from tests.kit.merchant import new_id
from tests.kit.refunding import Refunds
from tests.kit.stacks import Deployment, nowhere
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]


# --- What it comes to ----------------------------------------------------------------------------------------------


def test_a_partial_refund_and_the_rest_are_given_back_and_shown(refunds: Refunds, fast: Deployment) -> None:
    shop = fast.shop
    payment = refunds.paid()
    assert refunds.get(payment).json == {"refunds": []}
    first, answer = refunds.ask(payment, "990", refundReason="a seat was broken", referenceRefundId="r-1")
    assert answer.status == 200, answer
    ledger = refunds.at_alipay(first)
    assert ledger
    assert answer.json == {
        "refundRequestId": first,
        "paymentRequestId": payment,
        "status": "SUCCESS",
        "refundAmount": {"currency": "HKD", "value": "990"},
        "refundId": ledger["refundId"],
        "resultCode": "SUCCESS",
        "resultMessage": answer.json["resultMessage"],
        "settledBy": "refund",
        "createdAt": answer.json["createdAt"],
        "settledAt": answer.json["settledAt"],
        "refundTime": answer.json["refundTime"],
    }
    assert refunds.get(payment, first).json == answer.json
    assert fast.merchant.order(payment).json["refundedAmount"] == {"currency": "HKD", "value": "990"}

    second, answer = refunds.ask(payment, "1000")
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")
    listed = eventually(lambda: (found := refunds.get(payment).json["refunds"])[1:] and found, "both are listed")
    assert [one["refundRequestId"] for one in listed] == [first, second]
    assert listed == [refunds.get(payment, one).json for one in (first, second)]
    assert fast.merchant.order(payment).json["refundedAmount"]["value"] == "1990"
    refunds.agree(payment)

    [event] = shop.heard(first)
    assert (event["detail-type"], event["detail"]["eventId"]) == ("RefundSucceeded", f"{first}:1")
    assert event["detail"]["refund"] == refunds.get(payment, first).json
    assert faults(event) == []
    [paid] = shop.heard(payment)
    assert "refundedAmount" not in paid["detail"]["order"]


def test_what_is_sent_is_what_was_asked_and_what_the_stack_fills_in(refunds: Refunds, fast: Deployment) -> None:
    payment = refunds.paid()
    refund, _ = refunds.ask(payment, "1", refundReason="é電", metadata="free", referenceRefundId="r-2")
    [call] = refunds.calls(refund)
    assert call["body"] == {
        "refundRequestId": refund,
        "refundAmount": {"currency": "HKD", "value": "1"},
        "refundReason": "é電",
        "metadata": "free",
        "referenceRefundId": "r-2",
        "paymentId": fast.merchant.order(payment).json["paymentId"],
        "refundNotifyUrl": fast.description["notifyUrl"].removesuffix("payment") + "refund",
    }


@pytest.mark.parametrize(
    ("code", "advice"),
    [("REFUND_NOT_SUPPORTED", "DO_NOT_RETRY"), ("MERCHANT_BALANCE_NOT_ENOUGH", "RETRY_LATER")],
)
def test_a_refusal_is_a_failure_with_advice_and_the_amount_is_free_again(
    refunds: Refunds, fast: Deployment, code: str, advice: str
) -> None:
    shop = fast.shop
    payment = refunds.paid()
    refund, answer = refunds.ask(payment, "1990", refunds.plan({"refund": [f"F:{code}"]}))
    assert answer.status == 200
    shown = answer.json
    assert (shown["status"], shown["resultCode"], shown["advice"]) == ("FAIL", code, advice)
    assert "refundedAmount" not in fast.merchant.order(payment).json
    _, answer = refunds.ask(payment, "1990")
    assert answer.json["status"] == "SUCCESS"
    refunds.agree(payment)
    [event] = shop.heard(refund)
    assert (event["detail-type"], event["detail"]["refund"]) == ("RefundFailed", shown)


# --- Replays -------------------------------------------------------------------------------------------------------


def test_a_replay_shows_the_same_refund_and_sends_nothing(refunds: Refunds) -> None:
    payment = refunds.paid()
    refund, first = refunds.ask(payment)
    _, again = refunds.ask(payment, refund_request_id=refund, refundReason="another", metadata="m")
    assert (again.status, again.json) == (200, first.json)
    assert len(refunds.calls(refund)) == 1


def test_another_refund_under_the_same_id_is_a_conflict_that_names_what_differs(refunds: Refunds) -> None:
    payment, other = refunds.paid(), refunds.paid()
    refund, _ = refunds.ask(payment)
    for to, changes, fields in (
        (payment, {"value": "991"}, ["refundAmount.value"]),
        (payment, {"refundAmount": {"currency": "USD", "value": "990"}}, ["refundAmount.currency"]),
        (other, {}, ["paymentRequestId"]),
    ):
        _, answer = refunds.ask(to, refund_request_id=refund, **changes)
        assert (answer.status, answer.json["title"]) == (409, "This refundRequestId stands for another refund")
        assert [error["field"] for error in answer.json["errors"]] == fields
    assert len(refunds.calls(refund)) == 1
    refunds.agree(payment)
    refunds.agree(other)


def test_a_refund_without_a_result_is_answered_202_with_where_and_when_to_look(refunds: Refunds) -> None:
    payment = refunds.paid()
    refund, answer = refunds.ask(payment, "990", refunds.plan("never"))
    assert (answer.status, answer.json["status"]) == (202, "INIT")
    assert answer.headers["location"].endswith(f"/v1/payments/{payment}/refunds/{refund}")
    assert int(answer.headers["retry-after"]) > 0
    assert len(refunds.calls(refund)) == 1, "in process: inquired, not repeated"
    shown = refunds.get(payment, refund)
    assert (shown.status, shown.json["status"]) == (200, "INIT")
    assert int(shown.headers["retry-after"]) > 0
    refunds.agree(payment)


def test_many_identical_requests_at_once_are_one_refund(refunds: Refunds) -> None:
    payment, refund = refunds.paid(), new_id("ref")
    answers = at_once([lambda: refunds.ask(payment, "1990", refund)[1] for _ in range(16)])
    assert {answer.status for answer in answers} <= {200, 202, 503}
    assert {answer.json["refundRequestId"] for answer in answers if answer.status != 503} == {refund}
    assert len(refunds.calls(refund)) == 1
    refunds.settled(refund)
    refunds.agree(payment)


def test_many_refunds_at_once_never_exceed_and_none_is_refused_while_enough_is_left(refunds: Refunds) -> None:
    payment = refunds.paid()

    def insist(refund: str) -> int:
        """Ask again whenever a busy machine sent nothing."""
        return eventually(
            lambda: status if (status := refunds.ask(payment, "99", refund)[1].status) < 500 else None, "an answer"
        )

    statuses = at_once([partial(insist, new_id("ref")) for _ in range(32)])
    assert set(statuses) <= {200, 202, 409}, statuses
    assert statuses.count(409) == 12, "20 times 99 is 1980, and 10 are left"
    for row in refunds.rows_of(payment):
        assert refunds.settled(row["refundRequestId"])["status"] == "SUCCESS"
    refunds.agree(payment)


# --- Nothing sent --------------------------------------------------------------------------------------------------


def test_what_never_left_is_a_503_and_the_same_request_may_come_again(refunds: Refunds, fast: Deployment) -> None:
    payment, refund = refunds.paid(), new_id("ref")
    with nowhere() as url, fast.functions.configured("Refund", ALIPAY_GATEWAY_URL=url):
        _, answer = refunds.ask(payment, refund_request_id=refund, refundReason="first")
        assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
        shown = refunds.get(payment, refund).json
        assert (shown["status"], shown["neverSent"]) == ("INIT", True)
    _, answer = refunds.ask(payment, refund_request_id=refund, refundReason="another")
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")
    [call] = refunds.calls(refund)
    assert call["body"]["refundReason"] == "first"
    refunds.agree(payment)


# --- Refused before anything is sent -------------------------------------------------------------------------------

MALFORMED: dict[str, tuple[Any, list[str]]] = {
    "no amount": ({"refundAmount": None}, ["refundAmount"]),
    "zero": ({"refundAmount": {"currency": "HKD", "value": "0"}}, ["refundAmount.value"]),
    "not whole": ({"refundAmount": {"currency": "HKD", "value": "9.90"}}, ["refundAmount.value"]),
    "another currency": ({"refundAmount": {"currency": "USD", "value": "1"}}, ["refundAmount.currency"]),
    "an id of other characters": ({"refund_request_id": "a b"}, ["refundRequestId"]),
    "a reason too long": ({"refundReason": "x" * 257}, ["refundReason"]),
    "a reference too long": ({"referenceRefundId": "x" * 65}, ["referenceRefundId"]),
    "a field of the stack's": ({"refundNotifyUrl": "https://a"}, ["refundNotifyUrl"]),
}


@pytest.mark.parametrize(("changes", "fields"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_a_400_that_names_the_fields(refunds: Refunds, changes: Json, fields: list[str]) -> None:
    payment = refunds.paid()
    _, answer = refunds.ask(payment, **changes)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert [error["field"] for error in answer.json["errors"]] == fields
    assert refunds.rows_of(payment) == []


@pytest.mark.parametrize("body", ["", "{", "[]", '{"refundRequestId":"a","refundRequestId":"b"}'])
def test_what_is_no_json_object_is_a_400(refunds: Refunds, body: str) -> None:
    answer = refunds.post(refunds.paid(), body)
    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (400, ["body"])


def test_rupiah_move_whole_or_not_at_all(refunds: Refunds, fast: Deployment) -> None:
    wallet = {"paymentMethodType": "DANA", "paymentMethodId": "token-of-dana"}
    amount = {"currency": "IDR", "value": "1000000"}
    payment, paid = fast.pay("idr", {"paymentAmount": amount, "paymentMethod": wallet})
    assert paid.json["status"] == "SUCCESS", paid.text
    _, answer = refunds.ask(payment, refundAmount={"currency": "IDR", "value": "100050"})
    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (400, ["refundAmount.value"])
    _, answer = refunds.ask(payment, refundAmount={"currency": "IDR", "value": "100000"})
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS")


def test_more_than_is_left_is_a_409_by_the_unit(refunds: Refunds) -> None:
    payment = refunds.paid()
    assert refunds.ask(payment, "1991")[1].status == 409
    assert refunds.ask(payment, "990")[1].status == 200
    refund, answer = refunds.ask(payment, "1001")
    assert (answer.status, answer.json["title"]) == (409, "More than is left of the payment")
    assert refunds.row(refund) is None
    assert refunds.calls(refund) == []
    assert refunds.ask(payment, "1000")[1].status == 200
    refunds.agree(payment)


@pytest.mark.parametrize(("plan", "status"), [(books.NEVER, "INIT"), ({"pay": ["F:RISK_REJECT"]}, "FAIL")])
def test_a_payment_that_is_not_success_is_a_409_that_says_so(
    refunds: Refunds, fast: Deployment, plan: Json, status: str
) -> None:
    payment, _ = fast.pay("not-success", **plan)
    refund, answer = refunds.ask(payment)
    assert (answer.status, answer.json["title"], answer.json["orderStatus"]) == (
        *(409, "The payment is not SUCCESS"),
        status,
    )
    assert refunds.row(refund) is None


def test_a_cancelled_payment_is_a_409_too(refunds: Refunds, fast: Deployment) -> None:
    payment, _ = fast.pay("cancelled", **books.NEVER)
    assert fast.merchant.cancel(payment).json["status"] == "CANCELLED"
    _, answer = refunds.ask(payment)
    assert (answer.status, answer.json["orderStatus"]) == (409, "CANCELLED")


def test_a_window_that_is_over_is_a_409(refunds: Refunds, fast: Deployment) -> None:
    payment = refunds.paid(books.ROW_BY_HAND)
    key = {"paymentRequestId": {"S": payment}}
    for value, status in (("2020-01-01T00:00:00+08:00", 409), ("2999-01-01T00:00:00+08:00", 200)):
        fast.aws("dynamodb").update_item(
            TableName=fast.description["ordersTable"],
            Key=key,
            UpdateExpression="SET paymentTime = :time",
            ExpressionAttributeValues={":time": {"S": value}},
        )
        _, answer = refunds.ask(payment)
        assert answer.status == status
        assert status == 200 or answer.json["title"] == "The time for refunds is over"


@pytest.mark.parametrize("payment", ["nobody-1", "x" * 65, "ü", "%2F"])
def test_there_are_no_refunds_of_an_unknown_payment(refunds: Refunds, payment: str) -> None:
    assert refunds.ask(payment)[1].status == 404
    assert refunds.get(payment).status == 404
    assert refunds.get(payment, "ref-1").status == 404


@pytest.mark.parametrize("refund", ["nobody", "x" * 65, "ü"])
def test_an_unknown_refund_is_a_404(refunds: Refunds, refund: str) -> None:
    assert refunds.get(refunds.paid(), refund).status == 404


def test_a_refund_of_another_payment_is_a_404(refunds: Refunds) -> None:
    payment, other = refunds.paid(), refunds.paid()
    refund, _ = refunds.ask(payment)
    answer = refunds.get(other, refund)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert refund not in json.dumps(refunds.get(other).json)
