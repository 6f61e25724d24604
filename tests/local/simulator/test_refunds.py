"""refund, inquiryRefund, notifyRefund; the merchant's balance, the portal's hand, and refunds that bounce."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.kit.waiting import eventually

from .kit import GatewayClient, Receiver, api_path, outcome, payment, rejection

DONE = ("S", "SUCCESS")
DAY_S = 86_400
numbers = itertools.count(1)


def hkd(value: int | str) -> dict[str, str]:
    return {"currency": "HKD", "value": str(value)}


class Payer:
    """A payment that succeeded, and what is given back of it."""

    def __init__(self, merchant: GatewayClient, **changed: Any) -> None:
        self.merchant = merchant
        request = payment(**changed)
        answer = merchant.answer("pay", request)
        assert outcome(answer) == DONE
        self.payment_request_id, self.payment_id = request["paymentRequestId"], answer["paymentId"]

    def request(self, value: int | str = 990, plan: str = "", **changed: Any) -> dict[str, Any]:
        reason = {"refundReason": f"sim:{plan}:1"} if plan else {}
        return {
            "refundRequestId": f"ref-{next(numbers):06d}",
            "paymentId": self.payment_id,
            "refundAmount": hkd(value),
            **reason,
            **changed,
        }

    def refund(self, value: int | str = 990, plan: str = "", **changed: Any) -> dict[str, Any]:
        return self.merchant.answer("refund", self.request(value, plan, **changed))

    def plan(self, **plan: Any) -> str:
        name = f"test-{next(numbers):06d}"
        self.merchant.control("plans", kind="refund", name=name, plan=plan)
        return name

    @property
    def kept(self) -> int:
        return int(self.merchant.ledger(self.payment_request_id)["kept"])

    def inquire(self, refund_request_id: str) -> dict[str, Any]:
        return self.merchant.answer("inquiryRefund", {"refundRequestId": refund_request_id})

    def payment_shows(self) -> list[dict[str, Any]]:
        inquiry = self.merchant.answer("inquiryPayment", {"paymentRequestId": self.payment_request_id})
        transactions: list[dict[str, Any]] = inquiry["transactions"]
        return transactions


@pytest.fixture
def payer(merchant: GatewayClient) -> Payer:
    return Payer(merchant)


@contextmanager
def ahead(merchant: GatewayClient, seconds: float) -> Iterator[None]:
    merchant.control("clock", ahead=seconds)
    try:
        yield
    finally:
        merchant.control("clock", ahead=0)


def test_a_part_is_given_back_and_the_payment_shows_it(payer: Payer) -> None:
    request = payer.request(990)
    answer = payer.merchant.answer("refund", request)
    assert outcome(answer) == DONE
    assert (answer["refundRequestId"], answer["paymentId"]) == (request["refundRequestId"], payer.payment_id)
    assert answer["refundAmount"] == hkd(990) and answer["refundId"] and answer["refundTime"]
    assert payer.kept == 1000
    [shown] = payer.payment_shows()
    assert (shown["transactionType"], shown["transactionStatus"]) == ("REFUND", "SUCCESS")
    assert (shown["transactionId"], shown["transactionAmount"]) == (answer["refundId"], hkd(990))


def test_a_repeated_refund_is_one_and_another_amount_is_inconsistent(payer: Payer) -> None:
    request = payer.request(990)
    first = payer.merchant.answer("refund", request)
    assert payer.merchant.answer("refund", request) == first
    assert payer.kept == 1000
    assert outcome(payer.merchant.answer("refund", request | {"refundAmount": hkd(1)})) == (
        "F",
        "REPEAT_REQ_INCONSISTENT",
    )
    other = Payer(payer.merchant)
    assert outcome(payer.merchant.answer("refund", request | {"paymentId": other.payment_id})) == (
        "F",
        "REPEAT_REQ_INCONSISTENT",
    )


def test_refunds_never_sum_to_more_than_was_paid(payer: Payer) -> None:
    bodies = [payer.request(500) for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: payer.merchant.call("refund", body).json(), bodies))
    codes = sorted(outcome(answer)[1] for answer in answers)
    assert codes == ["REFUND_AMOUNT_EXCEED"] * 13 + ["SUCCESS"] * 3
    assert payer.kept == 490
    assert outcome(payer.refund(490)) == DONE
    assert payer.kept == 0


def test_what_is_in_process_counts_too(payer: Payer) -> None:
    assert outcome(payer.refund(1500, "never")) == ("U", "REFUND_IN_PROCESS")
    assert outcome(payer.refund(500)) == ("F", "REFUND_AMOUNT_EXCEED")
    assert payer.kept == 1990


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"refundAmount": hkd(0)}, "PARAM_ILLEGAL"),
        ({"refundAmount": hkd("9.90")}, "PARAM_ILLEGAL"),
        ({"refundAmount": None}, "PARAM_ILLEGAL"),
        ({"refundRequestId": "x" * 65}, "PARAM_ILLEGAL"),
        ({"refundReason": "x" * 257}, "PARAM_ILLEGAL"),
        ({"refundReason": "sim:refuned:1"}, "PARAM_ILLEGAL"),
        ({"paymentId": "nobody's"}, "ORDER_NOT_EXIST"),
        ({"refundAmount": {"currency": "USD", "value": "990"}}, "CURRENCY_NOT_SUPPORT"),
        ({"refundAmount": hkd(1991)}, "REFUND_AMOUNT_EXCEED"),
    ],
)
def test_a_refund_that_is_wrong_is_refused(payer: Payer, changed: dict[str, Any], code: str) -> None:
    assert outcome(payer.merchant.answer("refund", payer.request() | changed)) == ("F", code)
    assert payer.kept == 1990


@pytest.mark.parametrize(("plan", "code"), [("declined", "ORDER_STATUS_INVALID"), ("never", "ORDER_STATUS_INVALID")])
def test_only_what_was_paid_is_refunded(merchant: GatewayClient, plan: str, code: str) -> None:
    request = payment()
    merchant.control("plans", paymentRequestId=request["paymentRequestId"], plan=plan)
    merchant.answer("pay", request)
    payment_id = merchant.ledger(request["paymentRequestId"])["paymentId"]
    body = {"refundRequestId": f"ref-{next(numbers):06d}", "paymentId": payment_id, "refundAmount": hkd(1)}
    assert outcome(merchant.answer("refund", body)) == ("F", code)


def test_cancel_and_refund_exclude_each_other(payer: Payer) -> None:
    name = {"paymentRequestId": payer.payment_request_id}
    assert outcome(payer.refund(1)) == DONE
    assert outcome(payer.merchant.answer("cancel", name)) == ("F", "PROCESS_FAIL")
    other = Payer(payer.merchant)
    other.merchant.answer("cancel", {"paymentRequestId": other.payment_request_id})
    assert outcome(other.refund(1)) == ("F", "ORDER_IS_CANCELED")
    assert other.kept == 0


def test_the_window_is_365_days_and_90_with_paypay(payer: Payer) -> None:
    yen = {"currency": "JPY", "value": "1990"}
    method = {"paymentMethodType": "PAYPAY", "paymentMethodId": "sim:paid:1"}
    paypay = Payer(payer.merchant, paymentAmount=yen, paymentMethod=method)
    with ahead(payer.merchant, 90 * DAY_S):
        assert outcome(paypay.refund(refundAmount=yen)) == ("F", "REFUND_WINDOW_EXCEED")
    with ahead(payer.merchant, 365 * DAY_S - 3600):
        assert outcome(payer.refund()) == DONE
    with ahead(payer.merchant, 365 * DAY_S):
        assert outcome(payer.refund()) == ("F", "REFUND_WINDOW_EXCEED")


def test_some_wallets_give_back_the_whole_or_nothing(merchant: GatewayClient) -> None:
    yen = {"currency": "JPY", "value": "1990"}
    method = {"paymentMethodType": "PAYPAY", "paymentMethodId": "sim:paid:1"}
    paypay = Payer(merchant, paymentAmount=yen, paymentMethod=method)
    part = {"currency": "JPY", "value": "1"}
    assert outcome(paypay.refund(refundAmount=part)) == ("F", "PARTIAL_REFUND_NOT_SUPPORTED")
    assert outcome(paypay.refund(refundAmount=yen)) == DONE


def test_a_wallet_has_a_least_amount_and_rupiah_are_whole(merchant: GatewayClient) -> None:
    rupiah = {"currency": "IDR", "value": "9900000"}
    method = {"paymentMethodType": "DANA", "paymentMethodId": "sim:paid:1"}
    dana = Payer(merchant, paymentAmount=rupiah, paymentMethod=method)
    for value in ("29900", "30050"):
        assert outcome(dana.refund(refundAmount=rupiah | {"value": value})) == ("F", "PARAM_ILLEGAL")
    assert outcome(dana.refund(refundAmount=rupiah | {"value": "30000"})) == DONE


def test_a_refund_is_paid_from_the_balance_and_another_id_succeeds_once_it_is_funded(merchant: GatewayClient) -> None:
    baht = {"currency": "THB", "value": "1990"}
    method = {"paymentMethodType": "TRUEMONEY", "paymentMethodId": "sim:paid:1"}
    payer = Payer(merchant, paymentAmount=baht, paymentMethod=method)
    merchant.control("balance", currency="THB", value="0")
    request = payer.request(refundAmount=baht)
    for _ in range(2):
        assert outcome(merchant.answer("refund", request)) == ("F", "MERCHANT_BALANCE_NOT_ENOUGH")
    assert outcome(merchant.answer("cancel", {"paymentId": payer.payment_id})) == ("F", "MERCHANT_BALANCE_NOT_ENOUGH")
    merchant.control("balance", currency="THB", value="2000")
    assert outcome(merchant.answer("refund", request)) == ("F", "MERCHANT_BALANCE_NOT_ENOUGH")
    assert outcome(payer.refund(refundAmount=baht)) == DONE
    assert merchant.view("balance")["balance"]["THB"] == "10"


# In process


def test_a_refund_in_process_is_inquired_until_it_ends(payer: Payer) -> None:
    plan = payer.plan(refund="U:REFUND_IN_PROCESS", result={"status": "SUCCESS", "after": 60})
    request = payer.request(plan=plan)
    assert outcome(payer.merchant.answer("refund", request)) == ("U", "REFUND_IN_PROCESS")
    inquiry = payer.inquire(request["refundRequestId"])
    assert (outcome(inquiry), inquiry["refundStatus"]) == (DONE, "PROCESSING")
    assert "refundTime" not in inquiry
    assert [one["transactionStatus"] for one in payer.payment_shows()] == ["PROCESSING"]
    with ahead(payer.merchant, 61):
        inquiry = payer.inquire(request["refundRequestId"])
        assert (inquiry["refundStatus"], inquiry["refundAmount"]) == ("SUCCESS", hkd(990))
    by_id = payer.merchant.answer("inquiryRefund", {"refundId": inquiry["refundId"]})
    assert by_id == inquiry
    assert payer.kept == 1000


def test_a_refund_that_fails_in_the_end_leaves_the_money_with_the_merchant(payer: Payer) -> None:
    request = payer.request(1990, "in-process-then-failed")
    payer.merchant.answer("refund", request)
    with ahead(payer.merchant, 5):
        assert payer.inquire(request["refundRequestId"])["refundStatus"] == "FAIL"
    assert payer.kept == 1990
    assert outcome(payer.refund(1990)) == DONE


def test_an_unknown_refund_does_not_exist(payer: Payer) -> None:
    assert outcome(payer.inquire("nobody")) == ("F", "ORDER_NOT_EXIST")
    assert outcome(payer.merchant.answer("inquiryRefund", {"refundId": "nobody"})) == ("F", "ORDER_NOT_EXIST")
    assert outcome(payer.merchant.answer("inquiryRefund", {})) == ("F", "PARAM_ILLEGAL")
    assert payer.merchant.view("refunds/nobody")["calls"]["inquiryRefund"] == 1


# Misbehaviour


@pytest.mark.parametrize(("behaviour", "kept"), [("reset-before", 1990), ("reset-after", 1000), ("hang", 1000)])
def test_a_refund_without_an_answer_is_done_or_not(payer: Payer, behaviour: str, kept: int) -> None:
    request = payer.request(plan=payer.plan(refund=[behaviour, "normal"]))
    with pytest.raises((requests.ConnectionError, requests.Timeout)):
        payer.merchant.call("refund", request, timeout=0.5)
    eventually(lambda: payer.kept == kept, "what is kept")
    assert outcome(payer.merchant.answer("refund", request)) == DONE
    assert payer.kept == 1000


def test_an_unknown_refund_is_pushed_on_by_its_repetition(payer: Payer) -> None:
    request = payer.request(plan=payer.plan(refund=["U:UNKNOWN_EXCEPTION", "normal"]))
    assert outcome(payer.merchant.answer("refund", request)) == ("U", "UNKNOWN_EXCEPTION")
    assert payer.kept == 1990
    assert outcome(payer.merchant.answer("refund", request)) == DONE


@pytest.mark.parametrize("code", ["REFUND_NOT_SUPPORTED", "MULTIPLE_REFUNDS_NOT_SUPPORTED", "SYSTEM_ERROR"])
def test_a_planned_refusal_is_the_truth(payer: Payer, code: str) -> None:
    request = payer.request(plan=payer.plan(refund=[f"F:{code}", "normal"]))
    for _ in range(2):
        assert outcome(payer.merchant.answer("refund", request)) == ("F", code)
    assert payer.inquire(request["refundRequestId"])["refundStatus"] == "FAIL"
    assert payer.kept == 1990


def test_unsigned_and_forged_answers_to_a_refund(payer: Payer) -> None:
    forged = {"answer": "otherkey:S", "processed": False}
    request = payer.request(plan=payer.plan(refund=["unsigned:F:KEY_NOT_FOUND", forged, "normal"]))
    assert rejection(payer.merchant.call("refund", request)) == "KEY_NOT_FOUND"
    response = payer.merchant.call("refund", request)
    assert outcome(response.json()) == DONE
    assert not payer.merchant.verifies(api_path("refund"), response.headers, "response-time", response.content)
    assert payer.kept == 1990
    assert outcome(payer.merchant.answer("refund", request)) == DONE


def test_inquiries_of_a_refund_that_tell_nothing_or_lie(payer: Payer) -> None:
    steps = ["F:SYSTEM_ERROR", "U", "ORDER_NOT_EXIST", "reset", {"refundStatus": "FAIL"}, "normal"]
    request = payer.request(plan=payer.plan(inquiryRefund=steps))
    payer.merchant.answer("refund", request)
    name = {"refundRequestId": request["refundRequestId"]}
    seen = [outcome(payer.merchant.answer("inquiryRefund", name)) for _ in range(3)]
    assert seen == [("F", "SYSTEM_ERROR"), ("U", "UNKNOWN_EXCEPTION"), ("F", "ORDER_NOT_EXIST")]
    with pytest.raises(requests.ConnectionError):
        payer.merchant.call("inquiryRefund", name)
    assert [payer.merchant.answer("inquiryRefund", name)["refundStatus"] for _ in range(2)] == ["FAIL", "SUCCESS"]


def test_nothing_is_in_process_that_alipay_does_not_have(payer: Payer) -> None:
    request = payer.request()
    name = {"refundRequestId": request["refundRequestId"]}
    payer.merchant.control("plans", **name, plan={"inquiryRefund": {"refundStatus": "PROCESSING"}})
    assert outcome(payer.merchant.answer("inquiryRefund", name)) == ("F", "ORDER_NOT_EXIST")
    payer.merchant.answer("refund", request)
    assert payer.merchant.answer("inquiryRefund", name)["refundStatus"] == "PROCESSING"


# Notifications


def test_a_refund_is_notified_and_redelivered(payer: Payer, receiver: Receiver) -> None:
    receiver.answers = [(500, b"")]
    request = payer.request(refundNotifyUrl=receiver.url)
    answer = payer.merchant.answer("refund", request)
    eventually(lambda: len(receiver.arrived) == 2, "the notifications")
    for _, path, headers, body in receiver.arrived:
        assert payer.merchant.verifies(path, headers, "Request-Time", body)
    told = receiver.bodies()[0]
    assert (told["notifyType"], told["refundStatus"], outcome(told)) == ("REFUND_RESULT", "SUCCESS", DONE)
    assert (told["refundId"], told["refundAmount"]) == (answer["refundId"], hkd(990))
    assert "paymentId" not in told


def test_a_failure_is_told_if_it_was_not_answered(payer: Payer, receiver: Receiver) -> None:
    result = {"status": "FAIL", "code": "PROCESS_FAIL", "after": 0.3}
    payer.refund(plan=payer.plan(refund="U:REFUND_IN_PROCESS", result=result), refundNotifyUrl=receiver.url)
    payer.refund(plan="refused", refundNotifyUrl=receiver.url)
    eventually(lambda: len(receiver.arrived) == 1, "the notifications")
    told = receiver.bodies()[0]
    assert (told["refundStatus"], outcome(told)) == ("FAIL", ("F", "PROCESS_FAIL"))


def test_a_notification_of_a_refund_on_demand(payer: Payer, receiver: Receiver) -> None:
    plan = payer.plan(notify={"first": "forged", "lost": True}, refund="F:PROCESS_FAIL")
    request = payer.request(plan=plan, refundNotifyUrl=receiver.url)
    payer.merchant.answer("refund", request)
    eventually(lambda: len(receiver.arrived) == 1, "the notifications")
    payer.merchant.control("notify", refundRequestId=request["refundRequestId"], resultStatus="S", amount=hkd(1))
    verified = [
        payer.merchant.verifies(path, headers, "Request-Time", body) for _, path, headers, body in receiver.arrived
    ]
    assert verified == [False, True]
    told = receiver.bodies()[1]
    assert (told["refundStatus"], told["refundAmount"]) == ("SUCCESS", hkd(1))


# What nobody called


def test_the_portal_refunds_what_nobody_asked_for(payer: Payer) -> None:
    made = payer.merchant.control("portal", paymentRequestId=payer.payment_request_id, amount=hkd(1500))
    [shown] = payer.payment_shows()
    assert (shown["transactionId"], shown["transactionStatus"]) == (made["refundId"], "SUCCESS")
    assert outcome(payer.refund(500)) == ("F", "REFUND_AMOUNT_EXCEED")
    body = {"paymentRequestId": payer.payment_request_id, "amount": hkd(500)}
    response = requests.post(f"{payer.merchant.url}/_sim/portal", json=body, timeout=5)
    assert (response.status_code, "REFUND_AMOUNT_EXCEED" in response.text) == (409, True)


@pytest.mark.parametrize("how", ["plan", "hand"])
def test_a_refund_that_bounces_is_the_merchants_again(payer: Payer, how: str) -> None:
    request = payer.request(1990, payer.plan(bouncesAfter=60) if how == "plan" else "")
    payer.merchant.answer("refund", request)
    assert payer.kept == 0
    if how == "hand":
        payer.merchant.control("bounce", refundRequestId=request["refundRequestId"])
    with ahead(payer.merchant, 61):
        eventually(lambda: payer.kept == 1990, "the money back")
    assert payer.inquire(request["refundRequestId"])["refundStatus"] == "SUCCESS"
    assert outcome(payer.refund(1990)) == DONE


def test_the_ledger_is_asked_by_refund(payer: Payer) -> None:
    request = payer.request()
    payer.merchant.answer("refund", request)
    payer.inquire(request["refundRequestId"])
    query = f"refundRequestId={request['refundRequestId']}"
    paths = [one["path"].rpartition("/")[2] for one in payer.merchant.view(f"requests?{query}")["requests"]]
    assert paths == ["refund", "inquiryRefund"]
    names = [one["event"] for one in payer.merchant.view(f"events?{query}")["events"]]
    assert names[:4] == ["refundReceived", "refundAccepted", "refundConcluded", "refundAnswered"]
    [of_payment] = [
        one
        for one in payer.merchant.view(f"events?paymentRequestId={payer.payment_request_id}")["events"]
        if one["event"] == "refundConcluded"
    ]
    assert of_payment["refundRequestId"] == request["refundRequestId"]
