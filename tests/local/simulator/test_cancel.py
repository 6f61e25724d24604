"""payments/cancel: an unpaid payment closes, a paid one is given back whole, and nothing of it is kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from local.alipay.clock import cancel_window_ends
from tests.kit.waiting import eventually

from .kit import GatewayClient, Receiver, in_seconds, outcome, payment, rejection

CANCELLED = ("S", "SUCCESS")


def paid(merchant: GatewayClient, **changed: Any) -> dict[str, str]:
    """A payment that succeeded; what names it."""
    request = payment(**changed)
    assert outcome(merchant.answer("pay", request)) == ("S", "SUCCESS")
    return {"paymentRequestId": request["paymentRequestId"]}


def unpaid(merchant: GatewayClient, **plan: Any) -> dict[str, Any]:
    """A payment that stays open; its request."""
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=["U"], expires=False, **plan)
    assert outcome(merchant.answer("pay", request))[0] == "U"
    return request


def test_an_unpaid_payment_closes_and_is_never_debited(merchant: GatewayClient) -> None:
    request = unpaid(merchant, result={"status": "SUCCESS", "after": 1800})
    name = {"paymentRequestId": request["paymentRequestId"]}
    answer = merchant.answer("cancel", name)
    assert outcome(answer) == CANCELLED
    assert answer["paymentId"] and answer["cancelTime"]
    ledger = merchant.ledger(name["paymentRequestId"])
    assert (ledger["status"], ledger["debits"], ledger["kept"]) == ("CANCELLED", 0, "0")
    merchant.control("clock", ahead=3600)
    try:
        assert merchant.ledger(name["paymentRequestId"])["debits"] == 0
    finally:
        merchant.control("clock", ahead=0)


def test_a_paid_payment_is_given_back_whole(merchant: GatewayClient) -> None:
    name = paid(merchant)
    assert merchant.ledger(name["paymentRequestId"])["kept"] == "1990"
    assert outcome(merchant.answer("cancel", name)) == CANCELLED
    ledger = merchant.ledger(name["paymentRequestId"])
    assert (ledger["debits"], ledger["refunds"], ledger["kept"]) == (1, 1, "0")
    inquiry = merchant.answer("inquiryPayment", name)
    assert (inquiry["paymentStatus"], inquiry["paymentResultCode"]) == ("CANCELLED", "ORDER_IS_CANCELED")


def test_a_repeated_cancel_has_the_same_answer_and_gives_nothing_back_twice(merchant: GatewayClient) -> None:
    name = paid(merchant)
    first = merchant.answer("cancel", name)
    assert merchant.answer("cancel", {"paymentId": first["paymentId"]}) == first
    assert merchant.ledger(name["paymentRequestId"])["refunds"] == 1


def test_a_pay_after_the_cancel_finds_the_order_cancelled(merchant: GatewayClient) -> None:
    request = unpaid(merchant)
    name = {"paymentRequestId": request["paymentRequestId"]}
    assert outcome(merchant.answer("cancel", name)) == CANCELLED
    merchant.plan(request["paymentRequestId"])
    assert outcome(merchant.answer("pay", request)) == ("F", "ORDER_IS_CANCELED")
    assert merchant.ledger(name["paymentRequestId"])["debits"] == 0


def test_nobody_is_told_of_a_cancel(merchant: GatewayClient, receiver: Receiver) -> None:
    request = payment(paymentNotifyUrl=receiver.url)
    merchant.plan(request["paymentRequestId"], pay=["U"], expires=False)
    merchant.answer("pay", request)
    merchant.answer("cancel", {"paymentRequestId": request["paymentRequestId"]})
    merchant.control("clock", ahead=3600)
    merchant.control("clock", ahead=0)
    assert merchant.view(f"notifications?paymentRequestId={request['paymentRequestId']}")["notifications"] == []


def test_what_never_arrived_does_not_exist_and_may_still_be_paid(merchant: GatewayClient) -> None:
    request = payment()
    name = {"paymentRequestId": request["paymentRequestId"]}
    assert outcome(merchant.answer("cancel", name)) == ("F", "ORDER_NOT_EXIST")
    assert outcome(merchant.answer("pay", request)) == ("S", "SUCCESS")


def test_a_planned_success_closes_even_what_never_arrived(merchant: GatewayClient) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], cancel="S")
    assert outcome(merchant.answer("cancel", {"paymentRequestId": request["paymentRequestId"]})) == CANCELLED
    assert outcome(merchant.answer("pay", request)) == ("F", "ORDER_IS_CANCELED")
    assert merchant.ledger(request["paymentRequestId"])["debits"] == 0


def test_a_failed_payment_has_no_status_to_cancel(merchant: GatewayClient) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay="F:USER_BALANCE_NOT_ENOUGH")
    merchant.answer("pay", request)
    name = {"paymentRequestId": request["paymentRequestId"]}
    assert outcome(merchant.answer("cancel", name)) == ("F", "ORDER_STATUS_INVALID")


@pytest.mark.parametrize(
    ("paid_at", "ends"),
    [
        ("2026-11-22T00:00:00+08:00", "2026-11-23T00:15:00+08:00"),
        ("2026-11-22T23:59:59+08:00", "2026-11-23T00:15:00+08:00"),
        ("2026-11-22T16:00:00+00:00", "2026-11-24T00:15:00+08:00"),
    ],
)
def test_the_window_ends_a_quarter_past_the_next_midnight(paid_at: str, ends: str) -> None:
    given, expected = datetime.fromisoformat(paid_at), datetime.fromisoformat(ends)
    assert cancel_window_ends(given.timestamp()) == expected.timestamp()


def test_after_the_window_a_payment_cannot_be_cancelled(merchant: GatewayClient) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    merchant.control("clock", at=f"{tomorrow}T12:00:00+08:00")
    try:
        inside, outside = paid(merchant), paid(merchant)
        merchant.control("clock", at=f"{tomorrow + timedelta(days=1)}T00:14:00+08:00")
        assert outcome(merchant.answer("cancel", inside)) == CANCELLED
        merchant.control("clock", at=f"{tomorrow + timedelta(days=1)}T00:15:00+08:00")
        assert outcome(merchant.answer("cancel", outside)) == ("F", "CANCEL_WINDOW_EXCEED")
        assert merchant.answer("cancel", inside)["result"]["resultStatus"] == "S"
    finally:
        merchant.control("clock", ahead=0)
    assert merchant.ledger(outside["paymentRequestId"])["kept"] == "1990"


def test_some_wallets_do_not_take_back_what_was_paid(merchant: GatewayClient) -> None:
    rupiah = {"currency": "IDR", "value": "199000"}
    method = {"paymentMethodType": "DANA", "paymentMethodId": "sim:paid:1"}
    name = paid(merchant, paymentAmount=rupiah, paymentMethod=method)
    assert outcome(merchant.answer("cancel", name)) == ("F", "PAYMENT_METHOD_NOT_SUPPORTED")
    assert merchant.ledger(name["paymentRequestId"])["status"] == "SUCCESS"


@pytest.mark.parametrize(("behaviour", "given_back"), [("reset-before", False), ("reset-after", True), ("hang", True)])
def test_a_cancel_without_an_answer_is_done_or_not(merchant: GatewayClient, behaviour: str, given_back: bool) -> None:
    name = paid(merchant)
    merchant.plan(name["paymentRequestId"], cancel=[behaviour, "normal"])
    with pytest.raises((requests.ConnectionError, requests.Timeout)):
        merchant.call("cancel", name, timeout=0.5)
    kept = "0" if given_back else "1990"
    eventually(lambda: merchant.ledger(name["paymentRequestId"])["kept"] == kept, "what is kept")
    assert outcome(merchant.answer("cancel", name)) == CANCELLED
    assert merchant.ledger(name["paymentRequestId"])["refunds"] == 1


@pytest.mark.parametrize("processed", [False, True])
def test_an_unknown_result_of_a_cancel_may_be_either(merchant: GatewayClient, processed: bool) -> None:
    name = paid(merchant)
    merchant.plan(name["paymentRequestId"], cancel=[{"answer": "U:UNKNOWN_EXCEPTION", "processed": processed}])
    assert outcome(merchant.answer("cancel", name)) == ("U", "UNKNOWN_EXCEPTION")
    assert merchant.answer("inquiryPayment", name)["paymentStatus"] == ("CANCELLED" if processed else "SUCCESS")


@pytest.mark.parametrize(
    "code",
    ["CANCEL_WINDOW_EXCEED", "MERCHANT_BALANCE_NOT_ENOUGH", "PROCESS_FAIL", "SYSTEM_ERROR", "USER_STATUS_ABNORMAL"],
)
def test_a_planned_refusal_cancels_nothing(merchant: GatewayClient, code: str) -> None:
    name = paid(merchant)
    merchant.plan(name["paymentRequestId"], cancel=[f"F:{code}", "normal"])
    assert outcome(merchant.answer("cancel", name)) == ("F", code)
    assert merchant.ledger(name["paymentRequestId"])["status"] == "SUCCESS"
    assert outcome(merchant.answer("cancel", name)) == CANCELLED


def test_unsigned_and_forged_answers_to_a_cancel(merchant: GatewayClient) -> None:
    name = paid(merchant)
    forged = {"answer": "otherkey:S", "processed": False}
    merchant.plan(name["paymentRequestId"], cancel=["unsigned:F:KEY_NOT_FOUND", forged])
    assert rejection(merchant.call("cancel", name)) == "KEY_NOT_FOUND"
    response = merchant.call("cancel", name)
    assert outcome(response.json()) == CANCELLED
    path = "/ams/api/v1/payments/cancel"
    assert not merchant.verifies(path, response.headers, "response-time", response.content)
    assert merchant.ledger(name["paymentRequestId"])["kept"] == "1990"


def test_a_success_notified_across_the_cancel_keeps_no_money(merchant: GatewayClient, receiver: Receiver) -> None:
    request = payment(paymentNotifyUrl=receiver.url)
    merchant.plan(request["paymentRequestId"], notify={"delay": 0.6})
    merchant.answer("pay", request)
    merchant.answer("cancel", {"paymentRequestId": request["paymentRequestId"]})
    eventually(lambda: len(receiver.arrived) == 1, "the notifications")
    assert outcome(receiver.bodies()[0]) == ("S", "SUCCESS")
    assert merchant.ledger(request["paymentRequestId"])["kept"] == "0"


def test_an_expired_payment_is_already_closed(merchant: GatewayClient) -> None:
    request = payment(paymentExpiryTime=in_seconds(50))
    merchant.plan(request["paymentRequestId"], pay=["U"])
    merchant.answer("pay", request)
    merchant.control("clock", ahead=60)
    try:
        name = {"paymentRequestId": request["paymentRequestId"]}
        assert outcome(merchant.answer("cancel", name)) == ("F", "ORDER_STATUS_INVALID")
    finally:
        merchant.control("clock", ahead=0)
