"""The simulated Alipay, over HTTP: what it accepts, signs, gets wrong on purpose, and keeps in its ledger.

The merchant's side here signs and verifies with `cryptography` alone; the simulator uses the official SDK.
"""

import errno
import hashlib
import itertools
import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import hashes

from tests.kit.waiting import eventually

from .kit import ACKNOWLEDGEMENT, TOKEN, GatewayClient, Receiver, in_seconds, outcome, payment, rejection, start

# Requests


def test_a_signed_payment_is_paid_and_its_answer_is_signed(merchant: GatewayClient) -> None:
    request = payment()
    answer = merchant.answer("pay", request)
    assert outcome(answer) == ("S", "SUCCESS")
    assert answer["paymentAmount"] == request["paymentAmount"]
    ledger = merchant.ledger(request["paymentRequestId"])
    assert (ledger["status"], ledger["debits"], ledger["paymentId"]) == ("SUCCESS", 1, answer["paymentId"])


def test_a_body_changed_after_signing_is_rejected(merchant: GatewayClient) -> None:
    request = payment()
    other = merchant.signature("/ams/api/v1/payments/pay", "1795339800412", b"{}")
    header = f"algorithm=RSA256,keyVersion=1,signature={other}"
    assert rejection(merchant.call("pay", request, Signature=header)) == "INVALID_SIGNATURE"
    assert requests.get(f"{merchant.url}/_sim/payments/{request['paymentRequestId']}", timeout=5).status_code == 404


def test_sha1_is_rejected_though_the_sdk_would_take_it(merchant: GatewayClient) -> None:
    body, now, path = payment(), "1795339800412", "/ams/api/v1/payments/pay"
    value = merchant.signature(path, now, json.dumps(body).encode(), hashes.SHA1())
    header = f"algorithm=RSA256,keyVersion=1,signature={value}"
    response = merchant.call("pay", body, Signature=header, Request_Time=now)
    assert rejection(response) == "INVALID_SIGNATURE"


@pytest.mark.parametrize(
    ("headers", "path", "code"),
    [
        ({"client_id": "SOMEBODY"}, "", "CLIENT_INVALID"),
        ({}, "/ams/sandbox/api/v1/payments/pay", "CLIENT_INVALID"),
        ({"Request_Time": "yesterday"}, "", "PARAM_ILLEGAL"),
        ({"Signature": "algorithm=RSA256,keyVersion=1"}, "", "INVALID_SIGNATURE"),
        ({"Signature": "algorithm=RSA256,keyVersion=9,signature=AA%3D%3D"}, "", "KEY_NOT_FOUND"),
        ({"Signature": "algorithm=RSA256,signature=%%%"}, "", "INVALID_SIGNATURE"),
        ({"Content_Type": "text/plain"}, "", "MEDIA_TYPE_NOT_ACCEPTABLE"),
        ({}, "/ams/api/v1/payments/nothing", "NO_INTERFACE_DEF"),
    ],
)
def test_the_gateway_rejects(merchant: GatewayClient, headers: dict[str, Any], path: str, code: str) -> None:
    assert rejection(merchant.call("pay", payment(), path=path, **headers)) == code


def test_only_post_is_served(merchant: GatewayClient) -> None:
    response = requests.get(f"{merchant.url}/ams/api/v1/payments/pay", timeout=5)
    assert rejection(response) == "METHOD_NOT_SUPPORTED"


@pytest.mark.parametrize(
    "changed",
    [
        {"productCode": "CASHIER_PAYMENT"},
        {"paymentRequestId": "x" * 65},
        {"paymentAmount": {"currency": "HKD", "value": 1990}},
        {"paymentAmount": {"currency": "HKD", "value": "19.90"}},
        {"paymentAmount": {"currency": "HKD", "value": "0"}},
        {"paymentAmount": {"currency": "IDR", "value": "1990"}},
        {"paymentMethod": {"paymentMethodType": "ALIPAY_HK"}},
        {"order": {"referenceOrderId": "1"}},
        {"order": None},
        {"paymentExpiryTime": "2020-01-01T00:00:00Z"},
        {"paymentExpiryTime": "soon"},
        {"paymentExpiryTime": {"at": "noon"}},
        {"metadata": True},
    ],
)
def test_an_illegal_parameter_is_refused_with_a_signature(merchant: GatewayClient, changed: dict[str, Any]) -> None:
    assert outcome(merchant.answer("pay", payment(**changed))) == ("F", "PARAM_ILLEGAL")


def test_an_expiry_of_a_minute_or_more_is_refused(merchant: GatewayClient) -> None:
    assert outcome(merchant.answer("pay", payment(paymentExpiryTime=in_seconds(61)))) == (
        "F",
        "PARAM_ILLEGAL",
    )


def test_an_unknown_order_does_not_exist(merchant: GatewayClient) -> None:
    assert outcome(merchant.answer("inquiryPayment", {"paymentRequestId": "nobody"})) == (
        "F",
        "ORDER_NOT_EXIST",
    )
    assert merchant.ledger("nobody")["calls"]["inquiry"] == 1
    assert merchant.ledger("nobody")["known"] is False


# One payment, many calls


def test_a_repeated_payment_returns_the_same_result(merchant: GatewayClient) -> None:
    request = payment()
    first = merchant.answer("pay", request)
    second = merchant.answer("pay", request | {"paymentExpiryTime": "2020-01-01T00:00:00Z"})
    assert second == first
    assert merchant.ledger(request["paymentRequestId"])["debits"] == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"paymentAmount": {"currency": "HKD", "value": "1991"}},
        {"paymentMethod": {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": "another"}},
    ],
)
def test_another_payment_under_the_same_id_is_inconsistent(merchant: GatewayClient, changed: dict[str, Any]) -> None:
    request = payment()
    merchant.answer("pay", request)
    assert outcome(merchant.answer("pay", request | changed)) == ("F", "REPEAT_REQ_INCONSISTENT")


def test_a_repeated_call_pushes_an_open_payment_to_completion(merchant: GatewayClient) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=["U", "normal"])
    assert outcome(merchant.answer("pay", request)) == ("U", "PAYMENT_IN_PROCESS")
    assert outcome(merchant.answer("pay", request)) == ("S", "SUCCESS")


def test_32_concurrent_payments_are_one_debit(merchant: GatewayClient) -> None:
    request = payment()
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: merchant.call("pay", request).json(), range(32)))
    assert {outcome(answer) for answer in answers} == {("S", "SUCCESS")}
    assert len({answer["paymentId"] for answer in answers}) == 1
    ledger = merchant.ledger(request["paymentRequestId"])
    assert (ledger["debits"], ledger["calls"]["pay"]) == (1, 32)
    events = merchant.view(f"events?paymentRequestId={request['paymentRequestId']}")["events"]
    assert sum(event["event"] == "debited" for event in events) == 1


def test_an_open_payment_closes_at_its_expiry(merchant: GatewayClient) -> None:
    request = payment(paymentExpiryTime=in_seconds(1))
    payment_request_id = request["paymentRequestId"]
    merchant.plan(payment_request_id, pay=["U"])
    merchant.answer("pay", request)
    eventually(lambda: bool(merchant.ledger(payment_request_id)["status"] == "FAIL"), "the status")
    answer = merchant.answer("inquiryPayment", {"paymentRequestId": payment_request_id})
    assert (outcome(answer)[0], answer["paymentStatus"]) == ("S", "FAIL")
    assert answer["paymentResultCode"] == "ORDER_IS_CLOSED"
    assert merchant.ledger(payment_request_id)["debits"] == 0


def test_a_plan_may_keep_it_open_and_settle_it_late(merchant: GatewayClient) -> None:
    request = payment(paymentExpiryTime=in_seconds(0.5))
    payment_request_id = request["paymentRequestId"]
    merchant.plan(payment_request_id, pay=["U"], result={"status": "PROCESSING"}, expires=False)
    merchant.answer("pay", request)
    time.sleep(0.8)
    answer = merchant.answer("inquiryPayment", {"paymentRequestId": payment_request_id})
    assert answer["paymentStatus"] == "PROCESSING"
    merchant.plan(payment_request_id, result={"status": "SUCCESS"})
    assert merchant.ledger(payment_request_id)["debits"] == 1


def test_cancel_closes_the_unpaid_and_refunds_the_paid(merchant: GatewayClient) -> None:
    unpaid, paid = payment(), payment()
    merchant.plan(unpaid["paymentRequestId"], pay=["U"])
    for request in (unpaid, paid):
        merchant.answer("pay", request)
        name = {"paymentRequestId": request["paymentRequestId"]}
        assert outcome(merchant.answer("cancel", name)) == ("S", "SUCCESS")
        assert merchant.answer("inquiryPayment", name)["paymentStatus"] == "CANCELLED"
    assert outcome(merchant.answer("pay", paid)) == ("F", "ORDER_IS_CANCELED")
    assert [merchant.ledger(r["paymentRequestId"])["refunds"] for r in (unpaid, paid)] == [0, 1]


@pytest.mark.parametrize(("name", "status"), [("paid", "S"), ("declined", "F"), ("never", "U")])
def test_the_access_token_names_a_preset(merchant: GatewayClient, name: str, status: str) -> None:
    method = {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": f"sim:{name}:anything"}
    assert outcome(merchant.answer("pay", payment(paymentMethod=method)))[0] == status


def test_a_token_that_names_no_plan_does_not_pay(merchant: GatewayClient) -> None:
    request = payment(paymentMethod={"paymentMethodType": "ALIPAY_HK", "paymentMethodId": "sim:decline:1"})
    answer = merchant.answer("pay", request)
    assert outcome(answer) == ("F", "PARAM_ILLEGAL")
    assert "'decline'" in answer["result"]["resultMessage"] and "declined" in answer["result"]["resultMessage"]
    response = requests.get(f"{merchant.url}/_sim/payments/{request['paymentRequestId']}", timeout=5)
    assert response.status_code == 404


def test_a_plan_may_be_named_and_a_name_may_be_new(merchant: GatewayClient) -> None:
    merchant.control("plans", kind="payment", name="risky", plan={"pay": "F:RISK_REJECT"})
    request = payment(paymentMethod={"paymentMethodType": "ALIPAY_HK", "paymentMethodId": "sim:risky:1"})
    assert outcome(merchant.answer("pay", request)) == ("F", "RISK_REJECT")
    request = payment()
    merchant.control("plans", paymentRequestId=request["paymentRequestId"], plan="declined")
    assert outcome(merchant.answer("pay", request)) == ("F", "USER_BALANCE_NOT_ENOUGH")


def test_a_prefix_plans_many_payments(merchant: GatewayClient) -> None:
    merchant.control("plans", paymentRequestIdPrefix="poor-", plan={"pay": "F:USER_BALANCE_NOT_ENOUGH"})
    assert outcome(merchant.answer("pay", payment("poor-1"))) == ("F", "USER_BALANCE_NOT_ENOUGH")


def test_a_plan_with_a_mistake_is_refused(merchant: GatewayClient) -> None:
    mistakes: list[Any] = [
        {"pay": ["maybe"]},
        {"payy": []},
        {"pay": {"answer": "F"}},
        {"notify": "loud"},
        {"notify": {"first": "othrkey"}},
        {"notify": {"then": [{"key": "othrkey", "delay": 1}]}},
        {"notify": {"then": [{"delay": "soon"}]}},
        "decline",
    ]
    for plan in mistakes:
        response = requests.post(f"{merchant.url}/_sim/plans", json={"paymentRequestId": "x", "plan": plan}, timeout=5)
        assert response.status_code == 400


# Misbehaviour of pay


@pytest.mark.parametrize(("behaviour", "debits"), [("reset-before", 0), ("reset-after", 1)])
def test_a_cut_connection(merchant: GatewayClient, behaviour: str, debits: int) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=[behaviour, "normal"])
    with pytest.raises(requests.ConnectionError):
        merchant.call("pay", request)
    assert merchant.ledger(request["paymentRequestId"])["debits"] == debits
    assert outcome(merchant.answer("pay", request)) == ("S", "SUCCESS")
    assert merchant.ledger(request["paymentRequestId"])["debits"] == 1


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_an_answer_that_never_ends(merchant: GatewayClient, behaviour: str) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=behaviour, result={"status": "FAIL", "code": "RISK_REJECT"})
    with pytest.raises(requests.RequestException):
        merchant.call("pay", request, timeout=0.3)  # the drip is slower than that too
    assert merchant.ledger(request["paymentRequestId"])["status"] == "FAIL"


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [("unsigned:S", "S"), ("unsigned:F:INVALID_SIGNATURE", "F"), ("badsig:S", "S"), ("otherkey:S", "S")],
)
def test_an_answer_nobody_should_believe(merchant: GatewayClient, behaviour: str, status: str) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=behaviour, result={"status": "FAIL", "after": 60})
    response = merchant.call("pay", request)
    assert outcome(response.json())[0] == status
    path = "/ams/api/v1/payments/pay"
    assert not merchant.verifies(path, response.headers, "response-time", response.content)
    assert ("signature" in response.headers) == (not behaviour.startswith("unsigned"))
    ledger = merchant.ledger(request["paymentRequestId"])
    assert (ledger["status"], ledger["debits"]) == ("PROCESSING", 0)


def test_an_unsigned_failure_without_a_planned_result_never_reached_the_wallet(merchant: GatewayClient) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay="unsigned:F:KEY_NOT_FOUND")
    assert rejection(merchant.call("pay", request)) == "KEY_NOT_FOUND"
    assert merchant.ledger(request["paymentRequestId"])["known"] is False


def test_one_byte_altered_after_signing(merchant: GatewayClient) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay={"answer": "S", "alterByte": True})
    response = merchant.call("pay", request)
    assert response.json() and "signature" in response.headers
    path = "/ams/api/v1/payments/pay"
    assert not merchant.verifies(path, response.headers, "response-time", response.content)


def test_an_authentic_answer_about_another_amount(merchant: GatewayClient) -> None:
    request = payment()
    other = {"currency": "HKD", "value": "1"}
    behaviour = {
        "answer": "S",
        "amount": other,
        "omit": ["paymentTime"],
        "paymentRequestId": "x",
        "delay": 0.2,
    }
    merchant.plan(request["paymentRequestId"], pay=[behaviour])
    started = time.monotonic()
    answer = merchant.answer("pay", request)
    assert time.monotonic() - started >= 0.2
    assert (answer["paymentAmount"], answer["paymentRequestId"]) == (other, "x")
    assert "paymentTime" not in answer
    assert merchant.ledger(request["paymentRequestId"])["debits"] == 1


def test_a_conflict_on_a_repeated_call_changes_no_truth(merchant: GatewayClient) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=["reset-after", "F:ORDER_IS_CLOSED"])
    with pytest.raises(requests.ConnectionError):
        merchant.call("pay", request)
    assert outcome(merchant.answer("pay", request)) == ("F", "ORDER_IS_CLOSED")
    assert merchant.ledger(request["paymentRequestId"])["status"] == "SUCCESS"


@pytest.mark.parametrize("status", [500, 502, 429, 302])
def test_other_http_statuses(merchant: GatewayClient, status: int) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=[f"http:{status}", "normal"])
    response = merchant.call("pay", request)
    assert response.status_code == status
    assert merchant.ledger(request["paymentRequestId"])["known"] is False
    if status == 302:
        requests.get(merchant.url + response.headers["Location"], timeout=5)
        assert merchant.ledger(request["paymentRequestId"])["redirectsFollowed"] == 1
    assert outcome(merchant.answer("pay", request)) == ("S", "SUCCESS")


def test_an_error_status_with_a_signed_body(merchant: GatewayClient) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay={"answer": "S", "httpStatus": 500})
    response = merchant.call("pay", request)
    assert (response.status_code, outcome(response.json())[0]) == (500, "S")


def test_answers_that_are_no_json(merchant: GatewayClient) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=["html", "broken", "truncated"])
    assert merchant.call("pay", request).headers["Content-Type"].startswith("text/html")
    broken = merchant.call("pay", request)
    path = "/ams/api/v1/payments/pay"
    assert merchant.verifies(path, broken.headers, "response-time", broken.content)
    with pytest.raises(ValueError):
        broken.json()
    with pytest.raises(requests.RequestException):
        merchant.call("pay", request)


@pytest.mark.parametrize(("behaviour", "size"), [("huge", 50 << 20), ("gzipbomb", 100 << 20)])
def test_answers_out_of_all_proportion(merchant: GatewayClient, behaviour: str, size: int) -> None:
    request = payment()
    merchant.plan(request["paymentRequestId"], pay=behaviour)
    assert len(merchant.call("pay", request, timeout=30).content) == size


def test_connections_are_refused_while_it_refuses_and_taken_again_afterwards(merchant: GatewayClient) -> None:
    request = payment()
    assert outcome(merchant.answer("pay", request))[0] == "S"
    port = urlsplit(merchant.url).port

    def refused() -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED

    with requests.Session() as kept:  # a connection from before the door was closed can close it once more
        for _ in range(2):
            kept.post(f"{merchant.url}/_sim/refuse", json={"seconds": 0.5}, timeout=5).raise_for_status()
            eventually(refused, "the door closed")
            eventually(lambda: not refused(), "the door open")
    # The connection that stood, and a new one, know the same payment.
    assert outcome(merchant.answer("pay", request))[0] == "S"
    assert requests.get(f"{merchant.url}/_sim/payments/{request['paymentRequestId']}", timeout=1).json()["debits"] == 1


def test_the_dark_cuts_everything(merchant: GatewayClient) -> None:
    merchant.control("dark", on=True)
    with pytest.raises(requests.ConnectionError):
        merchant.call("pay", payment())
    merchant.control("dark", on=False)
    assert outcome(merchant.answer("pay", payment()))[0] == "S"


# Misbehaviour of inquiryPayment


def test_inquiries_that_tell_nothing_or_lies(merchant: GatewayClient) -> None:
    request = payment()
    name = {"paymentRequestId": request["paymentRequestId"]}
    steps = ["F:SYSTEM_ERROR", "U:UNKNOWN_EXCEPTION", "ORDER_NOT_EXIST", "unsigned:S", "html", "reset"]
    merchant.plan(
        request["paymentRequestId"],
        pay=["U"],
        inquiry=[*steps, {"paymentStatus": "PENDING", "amount": {"currency": "HKD", "value": "2"}}, "normal"],
    )
    merchant.answer("pay", request)
    assert outcome(merchant.answer("inquiryPayment", name)) == ("F", "SYSTEM_ERROR")
    assert outcome(merchant.answer("inquiryPayment", name)) == ("U", "UNKNOWN_EXCEPTION")
    assert outcome(merchant.answer("inquiryPayment", name)) == ("F", "ORDER_NOT_EXIST")
    unsigned = merchant.call("inquiryPayment", name)
    assert unsigned.json()["paymentStatus"] == "SUCCESS" and "signature" not in unsigned.headers
    assert "html" in merchant.call("inquiryPayment", name).text
    with pytest.raises(requests.ConnectionError):
        merchant.call("inquiryPayment", name)
    pending = merchant.answer("inquiryPayment", name)
    assert (pending["paymentStatus"], pending["paymentAmount"]["value"]) == ("PENDING", "2")
    assert merchant.answer("inquiryPayment", name)["paymentStatus"] == "PROCESSING"
    assert merchant.ledger(request["paymentRequestId"])["calls"]["inquiry"] == 8


# Notifications


def test_a_notification_is_signed_and_sent_once_when_acknowledged(merchant: GatewayClient, receiver: Receiver) -> None:
    request = payment(paymentNotifyUrl=receiver.url)
    merchant.answer("pay", request)
    eventually(
        lambda: merchant.ledger(request["paymentRequestId"])["notifications"]["acknowledgedAt"] is not None,
        "the acknowledgement",
    )
    time.sleep(0.4)
    [(_, path, headers, body)] = receiver.arrived
    assert merchant.verifies(path, headers, "Request-Time", body)
    document = json.loads(body)
    assert (document["notifyType"], outcome(document)) == ("PAYMENT_RESULT", ("S", "SUCCESS"))
    assert document["paymentAmount"] == request["paymentAmount"]


def test_it_is_delivered_again_until_exactly_acknowledged(merchant: GatewayClient, receiver: Receiver) -> None:
    longer = json.dumps(ACKNOWLEDGEMENT | {"more": "x"}).encode()
    receiver.answers = [
        (500, b""),
        (200, b"<html>"),
        (200, longer),
        (202, json.dumps(ACKNOWLEDGEMENT).encode()),
    ]
    request = payment(paymentNotifyUrl=receiver.url)
    merchant.answer("pay", request)
    url = f"notifications?paymentRequestId={request['paymentRequestId']}"
    eventually(lambda: any(sent["acknowledged"] for sent in merchant.view(url)["notifications"]), "the acknowledgement")
    sent = merchant.view(url)["notifications"]
    assert [entry["attempt"] for entry in sent] == [1, 2, 3, 4, 5]
    assert [entry["acknowledged"] for entry in sent] == [False, False, False, False, True]
    waits = [later["at"] - earlier["at"] for earlier, later in itertools.pairwise(sent)]
    for wait, scheduled in zip(waits, (0.12, 0.6, 0.6, 3.6), strict=True):
        assert wait >= scheduled - 0.01


def test_the_first_ones_get_lost(merchant: GatewayClient, receiver: Receiver) -> None:
    request = payment(paymentNotifyUrl=receiver.url)
    merchant.plan(request["paymentRequestId"], notify={"lose": 2, "times": 5})
    merchant.answer("pay", request)
    eventually(lambda: len(receiver.arrived) == 5, "the notifications")
    sent = merchant.view(f"notifications?paymentRequestId={request['paymentRequestId']}")["notifications"]
    assert [entry["lost"] for entry in sent[:2]] == [True, True]


def test_a_forged_success_comes_first_and_the_real_failure_later(merchant: GatewayClient, receiver: Receiver) -> None:
    request = payment(paymentNotifyUrl=receiver.url)
    merchant.plan(
        request["paymentRequestId"],
        pay=["U"],
        result={"status": "FAIL", "code": "USER_BALANCE_NOT_ENOUGH", "after": 0.5},
        notify={"first": "forged", "pending": True, "then": [{"resultStatus": "S", "delay": 0.2}]},
    )
    merchant.answer("pay", request)
    eventually(lambda: len(receiver.arrived) == 4, "the notifications")
    genuine = [merchant.verifies(path, headers, "Request-Time", body) for _, path, headers, body in receiver.arrived]
    kinds = [(body["notifyType"], *outcome(body)) for body in receiver.bodies()]
    told = set(zip(genuine[:2], kinds[:2], strict=True))
    assert told == {
        (False, ("PAYMENT_RESULT", "S", "SUCCESS")),
        (True, ("PAYMENT_PENDING", "S", "SUCCESS")),
    }
    assert genuine[2:] == [True, True]
    assert kinds[2:] == [
        ("PAYMENT_RESULT", "F", "USER_BALANCE_NOT_ENOUGH"),
        ("PAYMENT_RESULT", "S", "SUCCESS"),
    ]
    assert merchant.ledger(request["paymentRequestId"])["debits"] == 0


def test_a_notification_on_demand_with_everything_wrong(merchant: GatewayClient, receiver: Receiver) -> None:
    request = payment(paymentNotifyUrl=receiver.url)
    payment_request_id = request["paymentRequestId"]
    merchant.plan(payment_request_id, notify="lost")
    merchant.answer("pay", request)
    receiver.answers = [(401, b"no"), (200, b"a"), (200, b"b"), (200, b"c")]
    sent = merchant.control("notify", paymentRequestId=payment_request_id, key="otherkey")
    assert (sent["status"], sent["body"], sent["acknowledged"]) == (401, "no", False)
    merchant.control(
        "notify", paymentRequestId=payment_request_id, key="none", amount={"currency": "HKD", "value": "1"}
    )
    merchant.control("notify", paymentRequestId=payment_request_id, alterByte=True, headers={"X-Odd": "1"})
    merchant.control("notify", paymentRequestId=payment_request_id, encoding="plain", set={"more": "x"})
    assert merchant.control("notify", paymentRequestId=payment_request_id)["acknowledged"] is True
    verified = [merchant.verifies(path, headers, "Request-Time", body) for _, path, headers, body in receiver.arrived]
    assert verified == [False, False, False, True, True]
    assert receiver.arrived[1][2].get("Signature") is None
    assert receiver.bodies()[1]["paymentAmount"]["value"] == "1"
    assert receiver.bodies()[3]["more"] == "x"


@pytest.mark.parametrize(
    ("message", "known"),
    [
        ({"key": "othrkey"}, "signed, otherkey, badsig, none"),
        ({"encoding": "uper"}, "lower, upper, plain"),
        ({"kee": "otherkey"}, "alterByte, headers"),
        ({"refundStatus": "FAIL"}, "notifyType, amount, paymentId"),
        ({"newCode": True}, "notifyType, amount, paymentId"),
        ({"omit": "paymentAmount"}, "a list"),
        ({"set": ["paymentAmount"]}, "an object"),
    ],
    ids=json.dumps,
)
def test_a_message_with_a_mistake_is_refused_and_nothing_is_sent(
    merchant: GatewayClient, receiver: Receiver, message: dict[str, Any], known: str
) -> None:
    request = payment(paymentNotifyUrl=receiver.url)
    merchant.plan(request["paymentRequestId"], notify="lost")
    merchant.answer("pay", request)
    body = {"paymentRequestId": request["paymentRequestId"], **message}
    response = requests.post(f"{merchant.url}/_sim/notify", json=body, timeout=5)
    assert (response.status_code, known in response.json()["error"]) == (400, True)
    assert receiver.arrived == []


@pytest.mark.parametrize(
    ("route", "about"),
    [
        *(("notify", {name: "nope"}) for name in ("paymentRequestId", "refundRequestId", "authState", "qrCode")),
        *(("buyer", {name: "nope", "do": "approve"}) for name in ("authState", "qrCode")),
        ("portal", {"paymentRequestId": "nope", "amount": {"currency": "HKD", "value": "1"}}),
        ("bounce", {"refundRequestId": "nope"}),
    ],
    ids=json.dumps,
)
def test_what_the_control_api_does_not_know_is_named(
    merchant: GatewayClient, route: str, about: dict[str, Any]
) -> None:
    response = requests.post(f"{merchant.url}/_sim/{route}", json=about, timeout=5)
    assert (response.status_code, response.json()) == (404, {"error": f"no {next(iter(about))} nope"})


def test_a_route_that_there_is_not_is_answered_with_those_that_there_are(merchant: GatewayClient) -> None:
    response = requests.post(f"{merchant.url}/_sim/byer", json={}, timeout=5)
    assert (response.status_code, response.json()["error"]) == (404, "no route POST /_sim/byer")
    assert "POST /_sim/buyer" in response.json()["routes"]


# The ledger


def test_requests_are_remembered_without_the_access_token(merchant: GatewayClient, keys: tuple[Path, Path]) -> None:
    request = payment()
    merchant.session.close()
    merchant.answer("pay", request)
    merchant.answer("pay", request)
    seen = merchant.view(f"requests?paymentRequestId={request['paymentRequestId']}")["requests"]
    assert len(seen) == 2
    assert len({entry["connection"] for entry in seen}) == 1
    assert seen[0]["bodySha256"] == hashlib.sha256(json.dumps(request).encode()).hexdigest()
    assert seen[0]["paymentMethodIdSha256"] == hashlib.sha256(TOKEN.encode()).hexdigest()
    assert seen[0]["answered"]["resultStatus"] == "S"
    assert TOKEN not in json.dumps(merchant.view("requests"))
    assert TOKEN not in keys[0].with_name("ledger.jsonl").read_text()


def test_half_a_request_is_none(merchant: GatewayClient) -> None:
    """A caller that hangs up in the middle of its body, as one whose process is killed, has sent no payment."""
    path, at = "/ams/api/v1/payments/pay?half", urlsplit(merchant.url)
    with socket.create_connection((at.hostname, at.port), timeout=5) as caller:
        caller.sendall(f'POST {path} HTTP/1.1\r\nHost: sim\r\nContent-Length: 1000\r\n\r\n{{"pay'.encode())
        caller.shutdown(socket.SHUT_WR)
        assert caller.recv(1) == b"", "hung up without an answer"
    assert path not in {entry["path"] for entry in merchant.view("requests")["requests"]}


def test_events_come_in_one_numbered_stream_and_before_what_follows_from_them(merchant: GatewayClient) -> None:
    since = merchant.view("events?since=0")["next"]
    request = payment()
    merchant.answer("pay", request)
    answered_at = time.time()
    seen: list[dict[str, Any]] = []

    def all_there() -> bool:
        stream = merchant.view(f"events?since={since}")["events"]
        seen[:] = [event for event in stream if event["paymentRequestId"] == request["paymentRequestId"]]
        return "payAnswered" in [event["event"] for event in seen]

    eventually(all_there, "the answer's event")
    assert [event["event"] for event in seen] == ["payReceived", "accepted", "debited", "concluded", "payAnswered"]
    instants = [*(event["at"] for event in seen), answered_at]
    assert instants == sorted(instants)


def test_https_with_the_certificate_given(keys: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    process, url = start(keys[0], "--tls-cert", str(certificate), "--tls-key", str(key))
    try:
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{url}/_sim/health", timeout=5)
        assert requests.get(f"{url}/_sim/health", timeout=5, verify=str(certificate)).status_code == 200
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, "")


def test_reset_forgets(merchant: GatewayClient) -> None:
    merchant.control("reset")
    assert merchant.view("payments") == {"payments": []}
    assert merchant.view("requests") == {"requests": []}
