"""Linking: consult, the buyer's hand, notifyAuthorization, applyToken, revoke, query, and paying by the token."""

import hashlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from tests.kit.waiting import eventually

from .kit import GatewayClient, Receiver, api_path, outcome, payment, rejection

DONE = ("S", "SUCCESS")
YEAR_S = 365 * 86_400
numbers = itertools.count(1)


def consulting(plan: str = "waiting", wallet: str = "ALIPAY_HK", **changed: Any) -> dict[str, Any]:
    """The body of a consult whose agreement follows this plan."""
    return {
        "customerBelongsTo": wallet,
        "authRedirectUrl": "https://shop.example/linked",
        "scopes": ["AGREEMENT_PAY"],
        "authState": f"state-{next(numbers):06d}",
        "terminalType": "WEB",
        "extendInfo": f"sim:{plan}:1",
        **changed,
    }


def qr_code_of(answer: dict[str, Any]) -> str:
    texts = [one["codeValue"] for one in answer["authCodeForm"]["codeDetails"] if one["displayType"] == "TEXT"]
    return str(texts[0])


class Shop:
    """A merchant that links wallets."""

    def __init__(self, merchant: GatewayClient, receiver: Receiver) -> None:
        self.merchant, self.receiver = merchant, receiver

    def consult(self, plan: str = "waiting", **changed: Any) -> dict[str, Any]:
        """A consult that shows a QR code: `authState`, `qrCode`, and the request."""
        request = consulting(plan, authNotifyUrl=self.receiver.url, **changed)
        answer = self.merchant.answer("authorizations/consult", request)
        assert outcome(answer) == DONE
        return {"authState": request["authState"], "qrCode": qr_code_of(answer), "request": request, "answer": answer}

    def plan(self, **plan: Any) -> str:
        """The name of a plan made for one test."""
        name = f"test-{next(numbers):06d}"
        self.merchant.control("plans", kind="agreement", name=name, plan=plan)
        return name

    def approve(self, plan: str = "waiting", **changed: Any) -> dict[str, str]:
        """What the notification said after the buyer approved."""
        shown, before = self.consult(plan, **changed), len(self.receiver.arrived)
        self.merchant.control("buyer", qrCode=shown["qrCode"], do="approve")
        eventually(lambda: len(self.receiver.arrived) > before, "the notifications")
        told: dict[str, str] = self.receiver.bodies()[-1]
        return told

    def exchange(self, code: str, wallet: str = "ALIPAY_HK") -> dict[str, Any]:
        request = {"grantType": "AUTHORIZATION_CODE", "customerBelongsTo": wallet, "authCode": code}
        return self.merchant.answer("authorizations/applyToken", request)

    def refresh(self, token: str, wallet: str = "ALIPAY_HK") -> dict[str, Any]:
        request = {"grantType": "REFRESH_TOKEN", "customerBelongsTo": wallet, "refreshToken": token}
        return self.merchant.answer("authorizations/applyToken", request)

    def link(self, plan: str = "waiting", **changed: Any) -> dict[str, Any]:
        """The answer to applyToken, with `authState` besides."""
        told = self.approve(plan, **changed)
        answer = self.exchange(told["authCode"], changed.get("wallet", "ALIPAY_HK"))
        assert outcome(answer) == DONE
        return answer | {"authState": told["authState"]}

    def pay(self, token: str, wallet: str = "ALIPAY_HK", **changed: Any) -> tuple[str, str]:
        method = {"paymentMethodType": wallet, "paymentMethodId": token}
        return outcome(self.merchant.answer("pay", payment(paymentMethod=method, **changed)))

    def revoke(self, token: str) -> tuple[str, str]:
        return outcome(self.merchant.answer("authorizations/revoke", {"accessToken": token}))

    def agreement(self, auth_state: str, secrets: bool = False) -> dict[str, Any]:
        return self.merchant.view(f"agreements/{auth_state}" + ("?secrets=true" if secrets else ""))

    @contextmanager
    def ahead(self, seconds: float) -> Iterator[None]:
        """Alipay's clock is so far ahead."""
        self.merchant.control("clock", ahead=seconds)
        try:
            yield
        finally:
            self.merchant.control("clock", ahead=0)


@pytest.fixture
def shop(merchant: GatewayClient, receiver: Receiver) -> Shop:
    return Shop(merchant, receiver)


# consult


def test_consult_shows_one_qr_code_as_text_and_as_picture(shop: Shop) -> None:
    shown = shop.consult()
    details = shown["answer"]["authCodeForm"]["codeDetails"]
    assert [(one["displayType"], one["codeValueType"]) for one in details] == [
        ("TEXT", "QRCODE"),
        ("MIDDLEIMAGE", "QRCODE"),
    ]
    assert all(one["codeValue"].startswith("https://") for one in details)
    agreement = shop.agreement(shown["authState"])
    assert agreement["status"] == "WAITING"
    assert agreement["expiresAt"] - agreement["createdAt"] == pytest.approx(900, abs=1)


def test_the_same_consult_again_shows_the_same_code_and_another_is_refused(shop: Shop) -> None:
    shown = shop.consult()
    again = shop.merchant.answer("authorizations/consult", shown["request"])
    assert qr_code_of(again) == shown["qrCode"]
    other = shown["request"] | {"authRedirectUrl": "https://shop.example/elsewhere"}
    assert outcome(shop.merchant.answer("authorizations/consult", other)) == ("F", "PARAM_ILLEGAL")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"scopes": ["AGREEEMENT_PAY"]}, "PARAM_ILLEGAL"),
        ({"scopes": "AGREEMENT_PAY"}, "PARAM_ILLEGAL"),
        ({"authState": ""}, "PARAM_ILLEGAL"),
        ({"authState": "x" * 257}, "PARAM_ILLEGAL"),
        ({"authRedirectUrl": "http://shop.example"}, "PARAM_ILLEGAL"),
        ({"terminalType": None}, "PARAM_ILLEGAL"),
        ({"authNotifyUrl": "ftp://shop.example"}, "PARAM_ILLEGAL"),
        ({"customerBelongsTo": "ZALOPAY"}, "NO_PAY_OPTIONS"),
        ({"customerBelongsTo": "NOBODY"}, "NO_PAY_OPTIONS"),
        ({"extendInfo": "sim:aproved:1"}, "PARAM_ILLEGAL"),
    ],
)
def test_a_consult_that_is_wrong_is_refused(merchant: GatewayClient, changed: dict[str, Any], code: str) -> None:
    assert outcome(merchant.answer("authorizations/consult", consulting() | changed)) == ("F", code)


def test_an_unknown_plan_is_refused_by_its_name(merchant: GatewayClient) -> None:
    answer = merchant.answer("authorizations/consult", consulting("aproved"))
    assert "'aproved'" in answer["result"]["resultMessage"] and "approved" in answer["result"]["resultMessage"]


def test_a_consult_may_be_lost_refused_or_forged(shop: Shop) -> None:
    merchant = shop.merchant
    forged = {"answer": "otherkey:S", "processed": False}
    steps = ["reset-before", "reset-after", "U", "F:PROCESS_FAIL", "unsigned:F:KEY_NOT_FOUND", forged, "normal"]
    request = consulting(shop.plan(consult=steps))
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            merchant.call("authorizations/consult", request)
    assert outcome(merchant.answer("authorizations/consult", request)) == ("U", "UNKNOWN_EXCEPTION")
    assert outcome(merchant.answer("authorizations/consult", request)) == ("F", "PROCESS_FAIL")
    assert rejection(merchant.call("authorizations/consult", request)) == "KEY_NOT_FOUND"
    response = merchant.call("authorizations/consult", request)
    path = api_path("authorizations/consult")
    assert outcome(response.json()) == DONE
    assert not merchant.verifies(path, response.headers, "response-time", response.content)
    assert outcome(merchant.answer("authorizations/consult", request)) == DONE
    assert shop.agreement(request["authState"])["calls"]["consult"] == 7


# The buyer's hand


def test_an_approval_is_told_with_a_code_that_is_exchanged_for_tokens(shop: Shop) -> None:
    told = shop.approve()
    _, path, headers, body = shop.receiver.arrived[0]
    assert shop.merchant.verifies(path, headers, "Request-Time", body)
    assert (told["authorizationNotifyType"], outcome(told)) == ("AUTHCODE_CREATED", DONE)
    answer = shop.exchange(told["authCode"])
    assert outcome(answer) == DONE
    assert answer["accessTokenExpiryTime"] == "2037-12-31T08:00:00-08:00"
    assert answer["userLoginId"] == "852-****1234"
    assert len(answer["accessToken"]) <= 128 and len(answer["refreshToken"]) <= 128 and len(told["authCode"]) <= 64
    agreement = shop.agreement(told["authState"])
    assert (agreement["status"], agreement["exchanges"]) == ("LINKED", 1)
    assert agreement["tokens"][0]["accessTokenSha256"] == hashlib.sha256(answer["accessToken"].encode()).hexdigest()


def test_a_qr_code_is_used_once(shop: Shop) -> None:
    shown = shop.consult()
    shop.merchant.control("buyer", qrCode=shown["qrCode"], do="approve")
    response = requests.post(
        f"{shop.merchant.url}/_sim/buyer", json={"qrCode": shown["qrCode"], "do": "approve"}, timeout=5
    )
    assert (response.status_code, "APPROVED" in response.text) == (409, True)
    again = shop.merchant.answer("authorizations/consult", shown["request"])
    assert outcome(again) == ("F", "PARAM_ILLEGAL")


def test_a_declined_qr_code_is_told_nobody(shop: Shop) -> None:
    shown = shop.consult("declined")
    eventually(lambda: bool(shop.agreement(shown["authState"])["status"] == "DECLINED"), "the status")
    assert shop.merchant.view(f"notifications?authState={shown['authState']}")["notifications"] == []


@pytest.mark.parametrize("how", ["clock", "hand"])
def test_a_qr_code_lives_for_15_minutes(shop: Shop, how: str) -> None:
    shown = shop.consult()
    if how == "hand":
        shop.merchant.control("buyer", qrCode=shown["qrCode"], do="expire")
    with shop.ahead(900 if how == "clock" else 0):
        assert shop.agreement(shown["authState"])["status"] == "EXPIRED"
        response = requests.post(
            f"{shop.merchant.url}/_sim/buyer", json={"qrCode": shown["qrCode"], "do": "approve"}, timeout=5
        )
        assert response.status_code == 409


def test_a_buyer_may_approve_without_a_hand(shop: Shop) -> None:
    shop.consult("approved")
    eventually(lambda: len(shop.receiver.arrived) == 1, "the notifications")


def test_a_link_without_an_exchange(shop: Shop) -> None:
    told = shop.approve("token-created")
    assert told["authorizationNotifyType"] == "TOKEN_CREATED"
    assert "authCode" not in told and "refreshToken" not in told
    assert shop.pay(told["accessToken"]) == DONE


def test_code_and_token_of_one_consent_are_one_link(shop: Shop) -> None:
    told = shop.approve(shop.plan(announces=["TOKEN_CREATED", {"authorizationNotifyType": "AUTHCODE_CREATED"}]))
    eventually(lambda: len(shop.receiver.arrived) == 2, "the notifications")
    by_kind = {body["authorizationNotifyType"]: body for body in shop.receiver.bodies()}
    answer = shop.exchange(by_kind["AUTHCODE_CREATED"]["authCode"])
    assert answer["accessToken"] == by_kind["TOKEN_CREATED"]["accessToken"]
    assert len(shop.agreement(told["authState"])["tokens"]) == 1


def test_sixteen_copies_at_once_and_a_forged_one_before(shop: Shop) -> None:
    shop.approve(shop.plan(notify={"times": 16, "first": "forged"}))
    eventually(lambda: len(shop.receiver.arrived) == 17, "the notifications")
    genuine = [
        shop.merchant.verifies(path, headers, "Request-Time", body) for _, path, headers, body in shop.receiver.arrived
    ]
    assert genuine.count(False) == 1
    assert len({body["authCode"] for body in shop.receiver.bodies()}) == 1


def test_a_notification_of_an_authorization_is_delivered_again(shop: Shop) -> None:
    shop.receiver.answers = [(500, b"")]
    told = shop.approve()
    eventually(lambda: len(shop.receiver.arrived) == 2, "the notifications")
    assert shop.receiver.bodies()[1]["authCode"] == told["authCode"]


def test_a_notification_on_demand_may_be_odd(shop: Shop) -> None:
    told = shop.approve()
    state = told["authState"]
    rename = {"result": "resultInfo", "authState": "authState "}
    shop.merchant.control("notify", authState=state, rename=rename)
    odd = shop.receiver.bodies()[-1]
    assert "resultInfo" in odd and odd["authState "] == state and "result" not in odd
    shop.merchant.control("notify", authState=state, newCode=True)
    another = shop.receiver.bodies()[-1]["authCode"]
    assert another != told["authCode"]
    assert outcome(shop.exchange(another)) == DONE


# applyToken


def test_a_code_lives_for_a_minute(shop: Shop) -> None:
    told = shop.approve()
    with shop.ahead(61):
        assert outcome(shop.exchange(told["authCode"])) == ("F", "INVALID_AUTHCODE")


@pytest.mark.parametrize("code", ["281SIMC0000", "nobody's"])
def test_an_unknown_code_is_invalid(shop: Shop, code: str) -> None:
    assert outcome(shop.exchange(code)) == ("F", "INVALID_AUTHCODE")


def test_a_code_belongs_to_its_wallet(shop: Shop) -> None:
    assert outcome(shop.exchange(shop.approve()["authCode"], "GCASH")) == ("F", "INVALID_AUTHCODE")


@pytest.mark.parametrize("request_", [{"grantType": "PASSWORD"}, {"grantType": "AUTHORIZATION_CODE"}])
def test_an_exchange_needs_what_its_grant_type_says(merchant: GatewayClient, request_: dict[str, str]) -> None:
    body = {"customerBelongsTo": "ALIPAY_HK"} | request_
    assert outcome(merchant.answer("authorizations/applyToken", body)) == ("F", "PARAM_ILLEGAL")


@pytest.mark.parametrize("again", ["same", "another", "spent"])
def test_an_exchange_whose_answer_was_lost(shop: Shop, again: str) -> None:
    told = shop.approve(shop.plan(applyToken=["reset-after", "normal"], exchangeAgain=again))
    with pytest.raises(requests.ConnectionError):
        shop.exchange(told["authCode"])
    first = shop.agreement(told["authState"], secrets=True)["tokens"][0]["accessToken"]
    answer = shop.exchange(told["authCode"])
    if again == "spent":
        assert outcome(answer) == ("F", "INVALID_AUTHCODE")
        return
    assert outcome(answer) == DONE
    assert (answer["accessToken"] == first) is (again == "same")
    assert shop.pay(answer["accessToken"]) == DONE
    assert shop.pay(first) == (DONE if again == "same" else ("F", "INVALID_ACCESS_TOKEN"))


def test_an_exchange_that_was_not_done_can_be_repeated(shop: Shop) -> None:
    told = shop.approve(shop.plan(applyToken=["reset-before", "U:AUTH_IN_PROCESS", "normal"]))
    with pytest.raises(requests.ConnectionError):
        shop.exchange(told["authCode"])
    assert outcome(shop.exchange(told["authCode"])) == ("U", "AUTH_IN_PROCESS")
    assert outcome(shop.exchange(told["authCode"])) == DONE


def test_a_refused_code_is_spent(shop: Shop) -> None:
    told = shop.approve(shop.plan(applyToken=["F:OAUTH_FAILED", "normal"]))
    assert outcome(shop.exchange(told["authCode"])) == ("F", "OAUTH_FAILED")
    assert outcome(shop.exchange(told["authCode"])) == ("F", "INVALID_AUTHCODE")


def test_a_forged_exchange_carries_tokens_that_debit_nobody(shop: Shop) -> None:
    told = shop.approve(shop.plan(applyToken=[{"answer": "otherkey:S", "processed": False}]))
    body = {"grantType": "AUTHORIZATION_CODE", "customerBelongsTo": "ALIPAY_HK", "authCode": told["authCode"]}
    response = shop.merchant.call("authorizations/applyToken", body)
    path = api_path("authorizations/applyToken")
    assert not shop.merchant.verifies(path, response.headers, "response-time", response.content)
    assert shop.pay(response.json()["accessToken"]) == ("F", "INVALID_ACCESS_TOKEN")


def test_sixteen_concurrent_exchanges_issue_one_token(shop: Shop) -> None:
    told = shop.approve()
    body = {"grantType": "AUTHORIZATION_CODE", "customerBelongsTo": "ALIPAY_HK", "authCode": told["authCode"]}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: shop.merchant.call("authorizations/applyToken", body).json(), range(16)))
    assert sorted(outcome(answer)[0] for answer in answers) == ["F"] * 15 + ["S"]
    assert len(shop.agreement(told["authState"])["tokens"]) == 1


@pytest.mark.parametrize(
    ("wallet", "lives_s", "refreshes"),
    [("DANA", 10 * YEAR_S, True), ("GCASH", 2 * YEAR_S, True), ("BOOST", YEAR_S, True), ("KAKAOPAY", None, False)],
)
def test_validity_by_wallet(shop: Shop, wallet: str, lives_s: int | None, refreshes: bool) -> None:
    answer = shop.link(wallet=wallet)
    token = shop.agreement(answer["authState"])["tokens"][0]
    assert ("refreshToken" in answer) is refreshes
    if lives_s is not None:
        assert token["expiresAt"] - time.time() == pytest.approx(lives_s, abs=60)
    else:
        assert answer["accessTokenExpiryTime"] == "2120-08-24T07:00:00-08:00"


# Refreshing


def test_a_refresh_brings_new_tokens_and_the_old_one_lives_on(shop: Shop) -> None:
    old = shop.link()
    new = shop.refresh(old["refreshToken"])
    assert outcome(new) == DONE
    assert new["accessToken"] != old["accessToken"] and new["refreshToken"] != old["refreshToken"]
    assert shop.pay(old["accessToken"]) == DONE
    assert shop.pay(new["accessToken"]) == DONE


def test_an_old_token_may_die_with_the_refresh(shop: Shop) -> None:
    old = shop.link(shop.plan(oldToken="dies"))
    shop.refresh(old["refreshToken"])
    assert shop.pay(old["accessToken"]) == ("F", "INVALID_ACCESS_TOKEN")


def test_a_wallet_may_keep_its_refresh_token(shop: Shop) -> None:
    old = shop.link(shop.plan(rotates=False))
    new = shop.refresh(old["refreshToken"])
    assert new["refreshToken"] == old["refreshToken"]
    assert shop.refresh(old["refreshToken"])["accessToken"] not in (old["accessToken"], new["accessToken"])


@pytest.mark.parametrize("again", ["same", "another", "spent"])
def test_a_refresh_whose_answer_was_lost(shop: Shop, again: str) -> None:
    old = shop.link(shop.plan(refresh=["reset-after", "normal"], refreshAgain=again))
    with pytest.raises(requests.ConnectionError):
        shop.refresh(old["refreshToken"])
    lost = shop.agreement(old["authState"], secrets=True)["tokens"][1]["accessToken"]
    answer = shop.refresh(old["refreshToken"])
    if again == "spent":
        assert outcome(answer) == ("F", "INVALID_REFRESH_TOKEN")
        assert shop.pay(old["accessToken"]) == DONE
    else:
        assert (answer["accessToken"] == lost) is (again == "same")


def test_a_token_expires_and_cannot_be_refreshed_then(shop: Shop) -> None:
    linked = shop.link(shop.plan(tokenLives=3600))
    with shop.ahead(3601):
        assert shop.pay(linked["accessToken"]) == ("F", "INVALID_ACCESS_TOKEN")
        assert outcome(shop.refresh(linked["refreshToken"])) == ("F", "INVALID_REFRESH_TOKEN")
    assert shop.pay(linked["accessToken"]) == DONE


# Paying


def test_a_payment_by_a_dead_token_fails_for_good(shop: Shop) -> None:
    linked = shop.link()
    assert shop.revoke(linked["accessToken"]) == DONE
    request = payment(paymentMethod={"paymentMethodType": "ALIPAY_HK", "paymentMethodId": linked["accessToken"]})
    assert outcome(shop.merchant.answer("pay", request)) == ("F", "INVALID_ACCESS_TOKEN")
    name = {"paymentRequestId": request["paymentRequestId"]}
    inquiry = shop.merchant.answer("inquiryPayment", name)
    assert (inquiry["paymentStatus"], inquiry["paymentResultCode"]) == ("FAIL", "INVALID_ACCESS_TOKEN")
    assert shop.merchant.ledger(request["paymentRequestId"])["debits"] == 0


def test_a_payment_repeated_with_a_refreshed_token_is_inconsistent(shop: Shop) -> None:
    old = shop.link()
    new = shop.refresh(old["refreshToken"])
    method = {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": old["accessToken"]}
    request = payment(paymentMethod=method)
    assert outcome(shop.merchant.answer("pay", request)) == DONE
    again = request | {"paymentMethod": method | {"paymentMethodId": new["accessToken"]}}
    assert outcome(shop.merchant.answer("pay", again)) == ("F", "REPEAT_REQ_INCONSISTENT")


def test_a_payment_that_was_paid_is_still_so_when_the_token_died_since(shop: Shop) -> None:
    linked = shop.link()
    request = payment(paymentMethod={"paymentMethodType": "ALIPAY_HK", "paymentMethodId": linked["accessToken"]})
    first = shop.merchant.answer("pay", request)
    shop.revoke(linked["accessToken"])
    assert shop.merchant.answer("pay", request) == first


def test_a_token_debits_its_own_wallet_only(shop: Shop) -> None:
    linked = shop.link()
    assert shop.pay(linked["accessToken"], wallet="GCASH") == ("F", "INVALID_ACCESS_TOKEN")


def test_an_agreement_may_plan_its_debits_and_the_payment_id_overrules_it(shop: Shop) -> None:
    linked = shop.link("debits-declined")
    assert shop.pay(linked["accessToken"]) == ("F", "USER_BALANCE_NOT_ENOUGH")
    payment_request_id = f"own-plan-{next(numbers)}"
    shop.merchant.plan(payment_request_id)
    assert shop.pay(linked["accessToken"], paymentRequestId=payment_request_id) == DONE
    assert shop.merchant.ledger(payment_request_id)["authState"] == linked["authState"]


# Ending it


def test_revoke_ends_every_token_of_the_agreement(shop: Shop) -> None:
    old = shop.link()
    new = shop.refresh(old["refreshToken"])
    assert shop.revoke(old["accessToken"]) == DONE
    assert shop.pay(new["accessToken"]) == ("F", "INVALID_ACCESS_TOKEN")
    assert outcome(shop.refresh(new["refreshToken"])) == ("F", "INVALID_REFRESH_TOKEN")
    assert shop.revoke(new["accessToken"]) == ("F", "INVALID_ACCESS_TOKEN")
    assert shop.revoke("281SIMAnobody") == ("F", "INVALID_ACCESS_TOKEN")


def test_a_revocation_may_be_lost_unknown_or_unsigned(shop: Shop) -> None:
    linked = shop.link(shop.plan(revoke=["reset-before", "U", "unsigned:F:KEY_NOT_FOUND", "F:PROCESS_FAIL", "normal"]))
    body = {"accessToken": linked["accessToken"]}
    with pytest.raises(requests.ConnectionError):
        shop.merchant.call("authorizations/revoke", body)
    assert shop.revoke(linked["accessToken"]) == ("U", "UNKNOWN_EXCEPTION")
    assert rejection(shop.merchant.call("authorizations/revoke", body)) == "KEY_NOT_FOUND"
    assert shop.revoke(linked["accessToken"]) == ("F", "PROCESS_FAIL")
    assert shop.pay(linked["accessToken"]) == DONE
    assert shop.revoke(linked["accessToken"]) == DONE


def test_a_revocation_may_be_told_too(shop: Shop) -> None:
    linked = shop.link(shop.plan(tellsRevoke=True))
    shop.revoke(linked["accessToken"])
    eventually(lambda: len(shop.receiver.arrived) == 2, "the notifications")
    told = shop.receiver.bodies()[-1]
    assert (told["authorizationNotifyType"], told["accessToken"]) == ("TOKEN_CANCELED", linked["accessToken"])


@pytest.mark.parametrize(("wallet", "tells"), [("ALIPAY_HK", True), ("TRUEMONEY", False)])
def test_a_buyer_cancels_in_the_wallet(shop: Shop, wallet: str, tells: bool) -> None:
    linked = shop.link(wallet=wallet)
    shop.merchant.control("buyer", authState=linked["authState"], do="cancel")
    assert shop.pay(linked["accessToken"], wallet=wallet) == ("F", "INVALID_ACCESS_TOKEN")
    events = f"events?authState={linked['authState']}"
    if tells:
        eventually(lambda: len(shop.receiver.arrived) == 2, "the notifications")
        assert shop.receiver.bodies()[-1]["authorizationNotifyType"] == "TOKEN_CANCELED"
    kinds = {one.get("authorizationNotifyType") for one in shop.merchant.view(events)["events"]}
    assert ("TOKEN_CANCELED" in kinds) is tells


def test_a_cancellation_may_name_a_token_that_was_refreshed_since(shop: Shop) -> None:
    old = shop.link()
    shop.refresh(old["refreshToken"])
    cancelled = {"authorizationNotifyType": "TOKEN_CANCELED", "token": "first"}
    shop.merchant.control("notify", authState=old["authState"], **cancelled)
    assert shop.receiver.bodies()[-1]["accessToken"] == old["accessToken"]


def test_query_tells_whether_a_token_lives(shop: Shop) -> None:
    linked = shop.link()
    body = {"accessToken": linked["accessToken"]}
    assert shop.merchant.answer("authorizations/query", body)["tokenStatusType"] == "ACTIVE"
    shop.merchant.control("buyer", authState=linked["authState"], do="expire")
    assert shop.merchant.answer("authorizations/query", body)["tokenStatusType"] == "INACTIVE"
    unknown = shop.merchant.answer("authorizations/query", {"accessToken": "nobody's"})
    assert outcome(unknown) == ("F", "INVALID_ACCESS_TOKEN")


# The ledger


def test_the_ledger_hides_codes_and_tokens_and_shows_every_other_byte(shop: Shop) -> None:
    linked = shop.link()
    shop.refresh(linked["refreshToken"])
    shop.revoke(linked["accessToken"])
    seen = shop.merchant.view(f"requests?authState={linked['authState']}")["requests"]
    paths = [one["path"].rpartition("/")[2] for one in seen]
    assert paths == ["consult", "applyToken", "applyToken", "revoke"]
    assert seen[3]["bodyText"] == '{"accessToken": "***"}'
    digest = hashlib.sha256(linked["accessToken"].encode()).hexdigest()
    assert seen[3]["secretsSha256"] == {"accessToken": digest}
    secrets = shop.agreement(linked["authState"], secrets=True)
    everything = (
        str(shop.merchant.view("requests")) + str(shop.merchant.view("events")) + str(shop.merchant.view("agreements"))
    )
    for value in (linked["accessToken"], linked["refreshToken"], secrets["authCodes"][0]["authCode"]):
        assert value not in everything
