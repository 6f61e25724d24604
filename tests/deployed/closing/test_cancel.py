"""POST /payments/{paymentRequestId}/cancel: every answer, and what it leaves behind."""

import pytest

from tests.kit.books import NEVER
from tests.kit.merchant import new_id, payment
from tests.kit.stacks import Deployment, nowhere


def test_a_payment_without_a_result_is_cancelled(fast: Deployment) -> None:
    payment_request_id, _ = fast.pay("cancel", **NEVER)
    answer = fast.merchant.cancel(payment_request_id)
    assert (answer.status, answer.json["status"], answer.json["settledBy"]) == (200, "CANCELLED", "cancel")
    ledger = fast.alipay.payment(payment_request_id)
    assert ledger
    assert (ledger["status"], ledger["kept"]) == ("CANCELLED", "0")
    assert fast.merchant.order(payment_request_id).json == answer.json


def test_a_second_cancel_is_told_of_the_first_and_asks_nothing(fast: Deployment) -> None:
    payment_request_id, _ = fast.pay("cancel-twice", **NEVER)
    first = fast.merchant.cancel(payment_request_id)
    second = fast.merchant.cancel(payment_request_id, "{}")
    assert (second.status, second.json) == (200, first.json)
    assert len(fast.alipay.calls(payment_request_id, "cancel")) == 1


@pytest.mark.parametrize(
    ("pay", "status", "says"), [("normal", "SUCCESS", "Refund"), ("F:USER_BALANCE_NOT_ENOUGH", "FAIL", "not debited")]
)
def test_a_payment_that_has_its_result_is_not_cancelled(fast: Deployment, pay: str, status: str, says: str) -> None:
    payment_request_id, _ = fast.pay("cancel-late", pay=[pay])
    fast.seen.settled(payment_request_id)
    answer = fast.merchant.cancel(payment_request_id)
    assert (answer.status, answer.headers["content-type"]) == (409, "application/problem+json")
    assert status in answer.json["detail"]
    assert says in answer.json["detail"]
    assert fast.alipay.calls(payment_request_id, "cancel") == []


@pytest.mark.parametrize("payment_request_id", ["nobody-1", "ü", "x" * 65])
def test_there_is_nothing_to_cancel_without_an_order(fast: Deployment, payment_request_id: str) -> None:
    assert fast.merchant.cancel(payment_request_id).status == 404


@pytest.mark.parametrize("body", ["x", "[]", "null", '"{}"', '{"reason":"no"}', "{", '{"a":1}'])
def test_a_cancel_has_no_body_to_speak_of(fast: Deployment, body: str) -> None:
    payment_request_id, _ = fast.pay("cancel-body", **NEVER)
    answer = fast.merchant.cancel(payment_request_id, body)
    assert (answer.status, [fault["field"] for fault in answer.json["errors"]]) == (400, ["body"])
    assert fast.merchant.order(payment_request_id).json["status"] == "INIT"
    assert fast.alipay.calls(payment_request_id, "cancel") == []
    assert fast.merchant.cancel(payment_request_id, " {} ").status == 200


@pytest.mark.fault("F42")
@pytest.mark.parametrize("code", ["PAYMENT_METHOD_NOT_SUPPORTED", "CANCEL_WINDOW_EXCEED", "ORDER_STATUS_INVALID"])
def test_a_cancel_that_is_refused_leaves_the_payment_to_go_on(fast: Deployment, code: str) -> None:
    payment_request_id, _ = fast.pay("refused", **NEVER, cancel=[f"F:{code}"])
    answer = fast.merchant.cancel(payment_request_id)
    assert (answer.status, answer.json["status"]) == (202, "INIT")
    assert answer.headers["location"].endswith(f"/payments/{payment_request_id}")
    assert int(answer.headers["retry-after"]) > 0
    assert "cancelRequestedAt" not in answer.json
    row = fast.seen.row(payment_request_id)
    assert row
    assert row["cancelCode"] == code
    fast.alipay.plan(payment_request_id, result={"status": "SUCCESS"}, notify="lost")
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    assert len(fast.alipay.calls(payment_request_id, "cancel")) == 1


def test_what_never_left_is_cancelled_without_a_call(fast: Deployment) -> None:
    request = payment(new_id("unsent"))
    payment_request_id = request["paymentRequestId"]
    with nowhere() as url, fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=url):
        assert fast.merchant.pay(request).status == 503
    answer = fast.merchant.cancel(payment_request_id)
    assert (answer.status, answer.json["status"], answer.json["settledBy"]) == (200, "CANCELLED", "cancel")
    assert fast.merchant.pay(request).json["status"] == "CANCELLED"
    assert fast.alipay.calls(payment_request_id) == []


def test_the_orders_of_a_reference_are_found_newest_first(fast: Deployment) -> None:
    reference = new_id("ref")
    order = payment()["order"] | {"referenceOrderId": reference}
    asked = [fast.pay("listed", {"order": order})[0] for _ in range(3)]
    found = fast.merchant.payments(reference)
    assert found.status == 200
    assert [row["paymentRequestId"] for row in found.json["payments"]] == asked[::-1]
    assert found.json["payments"] == [
        fast.merchant.order(payment_request_id).json for payment_request_id in asked[::-1]
    ]
    assert fast.merchant.payments(new_id("nobody")).json == {"payments": []}
    assert fast.merchant.payments("x" * 3000).json == {"payments": []}


@pytest.mark.parametrize("query", ["", "?referenceOrderId=", "?reference=x"])
def test_a_list_without_a_reference_is_refused(fast: Deployment, query: str) -> None:
    answer = fast.merchant.call("GET", f"/payments{query}")
    assert (answer.status, [fault["field"] for fault in answer.json["errors"]]) == (400, ["referenceOrderId"])
