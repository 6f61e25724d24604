"""Alipay's official SDK and the simulator understand each other, request by request and answer by answer."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kit.waiting import eventually

from .kit import PYTHON, ROOT, GatewayClient, Receiver, outcome, payment

SDK = Path(__file__).with_name("sdk_models.py")
DONE = ("S", "SUCCESS")


def sdk(what: str, given: dict[str, Any]) -> dict[str, Any]:
    command = [str(PYTHON), str(SDK), what]
    ran = subprocess.run(command, input=json.dumps(given), cwd=ROOT, capture_output=True, text=True, check=True)
    answered: dict[str, Any] = json.loads(ran.stdout)
    return answered


REQUESTS: dict[str, dict[str, Any]] = {
    "auth.alipay_auth_consult": {
        "customer_belongs_to": "ALIPAY_HK",
        "auth_redirect_url": "https://shop.example/linked",
        "scopes": ["AGREEMENT_PAY"],
        "auth_state": "sdk",
        "terminal_type": "WEB",
        "auth_notify_url": "{notifyUrl}",
        "extend_info": "sim:waiting:1",
    },
    "auth.alipay_auth_apply_token": {
        "grant_type": "AUTHORIZATION_CODE",
        "customer_belongs_to": "ALIPAY_HK",
        "auth_code": "{authCode}",
    },
    "auth.alipay_auth_query_token": {"access_token": "{accessToken}"},
    "auth.alipay_auth_revoke_token": {"access_token": "{accessToken}"},
    "pay.alipay_refund": {
        "refund_request_id": "sdk",
        "payment_id": "{paymentId}",
        "refund_amount": {"currency": "HKD", "value": "990"},
        "refund_notify_url": "{notifyUrl}",
    },
    "pay.alipay_inquiry_refund": {"refund_request_id": "sdk"},
    "pay.alipay_pay_cancel": {"payment_request_id": "sdk-cancelled"},
}


class Everything:
    """One agreement, one payment by it, one refund of it, written by the SDK; every message that came of them."""

    def __init__(self, merchant: GatewayClient, receiver: Receiver) -> None:
        self.merchant, self.receiver = merchant, receiver
        self.answers: dict[str, dict[str, Any]] = {}
        # Importing the SDK takes seconds: it writes all requests at once, and what is not known yet is filled in.
        self.written = sdk("write", {f"request.{name}_request": given for name, given in REQUESTS.items()})
        self.known = {"notifyUrl": receiver.url}
        self.ask("authorizations/consult", "auth.alipay_auth_consult")
        merchant.control("buyer", authState="sdk", do="approve")
        eventually(lambda: len(receiver.arrived) == 1, "the notifications")
        self.known["authCode"] = receiver.bodies()[0]["authCode"]
        self.known["accessToken"] = self.ask("authorizations/applyToken", "auth.alipay_auth_apply_token")["accessToken"]
        self.ask("authorizations/query", "auth.alipay_auth_query_token")
        method = {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": self.known["accessToken"]}
        self.known["paymentId"] = merchant.answer("pay", payment("sdk", paymentMethod=method))["paymentId"]
        self.ask("payments/refund", "pay.alipay_refund")
        self.ask("payments/inquiryRefund", "pay.alipay_inquiry_refund")
        merchant.answer("pay", payment("sdk-cancelled"))
        self.ask("payments/cancel", "pay.alipay_pay_cancel")
        self.ask("authorizations/revoke", "auth.alipay_auth_revoke_token")
        eventually(lambda: len(receiver.arrived) == 2, "the notifications")

    def ask(self, api: str, name: str) -> dict[str, Any]:
        body = self.written[f"request.{name}_request"]
        for known, value in self.known.items():
            body = body.replace("{" + known + "}", value)
        answer = self.merchant.answer(api, json.loads(body))
        assert outcome(answer) == DONE, answer
        self.answers[f"response.{name}_response"] = answer
        return answer


@pytest.fixture
def everything(merchant: GatewayClient, receiver: Receiver) -> Everything:
    return Everything(merchant, receiver)


def test_the_sdk_reads_every_field_of_every_message(everything: Everything) -> None:
    messages = {name: json.dumps(answer) for name, answer in everything.answers.items()}
    told = [body.decode() for *_, body in everything.receiver.arrived]
    messages |= {"request.notify.alipay_auth_notify": told[0], "request.notify.alipay_refund_notify": told[1]}
    assert len(messages) == 9
    assert sdk("read", messages) == {name: [] for name in messages}
