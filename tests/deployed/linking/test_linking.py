"""A wallet is linked by a QR code, debited by its agreement, and unlinked, through the deployed template."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest

from tests.kit.agreements import code_created, result
from tests.kit.canaries import search, spellings
from tests.kit.faults import GET_ITEM, UPDATE_ITEM
from tests.kit.links import Links
from tests.kit.merchant import new_id, payment
from tests.kit.raw_http import exchange
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

ACKNOWLEDGED = {"result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success"}}


# --- The whole way -----------------------------------------------------------------------------------------------


def test_from_the_qr_code_to_the_first_debit(links: Links, fast: Deployment) -> None:
    bus = fast.shop
    agreement_id, shown = links.ask()
    assert shown.status == 201
    assert shown.headers["location"].endswith(f"/agreements/{agreement_id}")
    document = shown.json
    assert set(document) == {"agreementId", "status", "customerBelongsTo", "qrCode", "createdAt", "expiresAt"}
    assert document["status"] == "AUTHORIZING"
    assert document["qrCode"]["text"].startswith("https://qr.")
    assert document["qrCode"]["imageUrl"].startswith("https://img.")
    assert links.get(agreement_id).json == document

    links.buyer(agreement_id, "approve")
    linked = links.became(agreement_id, "LINKED")
    assert set(linked) == {
        *("agreementId", "status", "customerBelongsTo", "userLoginId", "createdAt", "linkedAt", "tokenExpiresAt")
    }

    payment_request_id, paid = links.pay(agreement_id)
    assert (paid.status, paid.json["status"], paid.json["settledBy"]) == (200, "SUCCESS", "pay")
    [call] = fast.alipay.calls(payment_request_id, "pay")
    assert call["body"]["paymentMethod"]["paymentMethodType"] == "ALIPAY_HK"
    assert "agreementId" not in call["body"]["paymentMethod"]

    revoked = links.revoke(agreement_id)
    assert (revoked.status, revoked.json["status"]) == (202, "UNLINKING")
    ended = links.became(agreement_id, "UNLINKED")
    assert ended["unlinkedBy"] == "merchant"
    assert links.revoke(agreement_id).status == 200
    assert links.at_alipay(agreement_id)["status"] == "REVOKED"

    told = bus.heard(agreement_id, 2)
    assert [event["detail-type"] for event in told] == ["AgreementLinked", "AgreementUnlinked"]
    assert told[0]["detail"]["agreement"] == linked
    assert told[1]["detail"]["agreement"] == ended


def test_a_replay_shows_the_same_qr_code_and_another_wallet_is_a_conflict(links: Links) -> None:
    agreement_id, first = links.ask()
    _, again = links.ask(agreement_id, authRedirectUrl="https://shop.example/linked")
    assert (again.status, again.json["qrCode"]) == (200, first.json["qrCode"])
    assert links.ask(agreement_id, customerBelongsTo="DANA")[1].status == 409
    assert len(links.calls(agreement_id, "consult")) == 1


def test_simultaneous_first_requests_show_one_qr_code(links: Links) -> None:
    agreement_id = new_id("agr-at-once")
    with ThreadPoolExecutor(16) as pool:
        answers = [answer for _, answer in pool.map(lambda _: links.ask(agreement_id), range(16))]
    assert sorted(answer.status for answer in answers) == [200] * 15 + [201]
    assert len({answer.json["qrCode"]["text"] for answer in answers}) == 1
    assert len(links.calls(agreement_id, "consult")) == 1


# --- Consult that goes wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    ["reset-after", "reset-before", "U:UNKNOWN_EXCEPTION", "http:500", "unsigned:S", "otherkey:S"],
    ids=str,
)
@pytest.mark.fault("F45")
def test_a_consult_that_says_nothing_provable_is_a_503_and_the_same_request_goes_on(
    links: Links, behaviour: Any
) -> None:
    plan = links.plan(new_id("consult"), consult=[behaviour] * 3 + ["normal"])
    agreement_id, answer = links.ask(plan=plan)
    assert answer.status == 503, answer.text
    assert "qrCode" not in links.get(agreement_id).json
    _, again = links.ask(agreement_id)
    assert (again.status, "qrCode" in again.json) == (201, True)


@pytest.mark.fault("F45")
def test_a_consult_that_is_refused_names_the_code_and_what_to_do(links: Links) -> None:
    agreement_id, answer = links.ask(plan="consult-refused")
    assert (answer.status, answer.json["resultCode"]) == (502, "NO_PAY_OPTIONS")
    assert "agreementId" in answer.json["detail"]
    failed = links.get(agreement_id).json
    assert (failed["status"], failed["resultCode"]) == ("FAILED", "NO_PAY_OPTIONS")
    assert links.revoke(agreement_id).status == 409


# --- The webhook -------------------------------------------------------------------------------------------------


@pytest.mark.fault("F46")
def test_thirty_two_codes_are_one_exchange_and_32_acknowledgements(links: Links) -> None:
    agreement_id, _ = links.ask(plan=links.plan(new_id("once"), notify="lost"))
    links.buyer(agreement_id, "approve")

    def deliver(_: int) -> None:
        # Alipay delivers again what a busy machine could not take.
        eventually(lambda: links.notify(agreement_id)["acknowledged"], "acknowledged")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(deliver, range(16)))
    links.became(agreement_id, "LINKED")
    for number in range(16):
        deliver(number)
    assert len(links.calls(agreement_id, "applyToken")) == 1
    assert links.at_alipay(agreement_id)["exchanges"] == 1


@pytest.mark.parametrize("plan", ["token-created", "code-and-token", "sixteen-codes"])
@pytest.mark.fault("F50")
def test_a_token_instead_of_a_code_or_after_it_is_one_agreement(links: Links, plan: str) -> None:
    agreement_id = links.linked(plan)
    assert links.pay(agreement_id)[1].json["status"] == "SUCCESS"


@pytest.mark.fault("F50")
def test_a_buyer_who_cancels_in_the_wallet_ends_it(links: Links) -> None:
    agreement_id = links.linked()
    links.buyer(agreement_id, "cancel")
    assert links.became(agreement_id, "UNLINKED")["unlinkedBy"] == "buyer"
    payment_request_id, refused = links.pay(agreement_id)
    assert refused.status == 409
    assert links.here.alipay.payment(payment_request_id) is None
    assert links.here.merchant.order(payment_request_id).status == 404


def test_every_bad_input_has_its_answer_and_changes_no_row(links: Links) -> None:
    agreement_id, _ = links.ask()
    auth_state, forger = links.auth_state(agreement_id), links.forger()
    before = links.row(agreement_id)

    def told(status: int, **changes: Any) -> None:
        message = {
            name: value
            for name, value in code_created(**{"authState": auth_state} | changes).items()
            if value is not ...
        }
        answer = exchange(forger.url, forger.signed(json.dumps(message).encode()))
        assert answer.status == status, (changes, answer.text)
        assert answer.json["result"]["resultStatus"] == ("S" if status == 200 else "F")

    told(404, authState="auth-cust-4711-1")
    told(404, authState=f"{auth_state[:-1]}{'0' if auth_state[-1] != '0' else '1'}")
    told(400, authState=...)
    told(400, authState="a" * 257)
    told(400, authCode="a" * 129)
    told(400, authCode=...)
    told(400, authCode=1)
    told(400, authorizationNotifyType="PAYMENT_RESULT")
    told(400, authorizationNotifyType=...)
    told(400, **{"authCode ": "another"})
    told(404, authorizationNotifyType="TOKEN_CANCELED", accessToken="of somebody else")
    told(400, authorizationNotifyType="TOKEN_CANCELED", accessToken="a" * 129)
    told(200, **result("F", "PROCESS_FAIL"))
    for body in (b"", b"[]", b'{"a":1,"a":2}'):
        assert exchange(forger.url, forger.signed(body)).status == 400
    assert links.row(agreement_id) == before


def test_blanks_and_an_old_name_of_the_result_do_no_harm(links: Links) -> None:
    agreement_id, _ = links.ask(plan=links.plan(new_id("old"), notify="lost"))
    links.buyer(agreement_id, "approve")
    message = code_created(
        authState=links.auth_state(agreement_id), authCode=links.at_alipay(agreement_id)["authCodes"][-1]["authCode"]
    )
    old = {f"{name} ": f"{value} " if isinstance(value, str) else value for name, value in message.items()}
    old["resultInfo "] = old.pop("result ")
    forger = links.forger()
    answer = exchange(forger.url, forger.signed(json.dumps(old).encode()))
    assert (answer.status, answer.json) == (200, ACKNOWLEDGED)
    links.became(agreement_id, "LINKED")


def test_a_forgery_is_refused_before_table_or_kms_are_read(links: Links, fast: Deployment) -> None:
    agreement_id, _ = links.ask()
    forger = links.forger()
    body = json.dumps(code_created(authState=links.auth_state(agreement_id))).encode()
    forged = {
        "another's key": forger.request(forger.header(forger.signature(body, key=forger.own_key)), body),
        "the merchant's key": forger.request(forger.header(forger.signature(body, key=forger.merchants_key)), body),
        "no signature": forger.request(None, body),
        "another path": forger.request(
            forger.header(forger.signature(body, path=forger.path.replace("authorization", "payment"))), body
        ),
        "another client": forger.request(forger.header(forger.signature(body)), body, client_id="another"),
        "a changed byte": forger.request(forger.header(forger.signature(body)), body.replace(b"2810", b"2811")),
    }
    with fast.faults_of("NotifyAuthorization") as seen:
        for name, request in forged.items():
            assert exchange(forger.url, request).status == 401, name
        assert {call["op"].partition(".")[0] for call in seen.calls()} <= {"secretsmanager"}
    assert links.get(agreement_id).json["status"] == "AUTHORIZING"


# --- The exchange ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", ["exchange-unanswered-same", "exchange-unanswered-another"])
@pytest.mark.fault("F48")
def test_an_answer_that_was_lost_is_asked_for_again(links: Links, plan: str) -> None:
    agreement_id = links.linked(plan)
    assert links.at_alipay(agreement_id)["exchanges"] == 2
    assert links.pay(agreement_id)[1].json["status"] == "SUCCESS"
    bodies = {call["bodySha256"] for call in links.calls(agreement_id, "applyToken")}
    assert len(bodies) == 1


@pytest.mark.fault("F48")
def test_a_code_that_was_spent_by_a_lost_answer_failed_and_a_person_is_told(links: Links) -> None:
    agreement_id, _ = links.ask(plan="exchange-unanswered-spent")
    failed = links.became(agreement_id, "FAILED")
    assert (failed["resultCode"], failed["perhapsLinked"]) == ("INVALID_AUTHCODE", True)


def test_a_code_that_is_refused_failed(links: Links) -> None:
    agreement_id, _ = links.ask(plan="exchange-refused")
    failed = links.became(agreement_id, "FAILED")
    assert failed["resultCode"] == "INVALID_AUTHCODE"
    assert "perhapsLinked" not in failed


@pytest.mark.fault("F47")
def test_a_webhook_killed_after_its_write_is_exchanged_without_a_redelivery(links: Links, fast: Deployment) -> None:
    agreement_id, _ = links.ask(plan=links.plan(new_id("killed"), notify="lost"))
    links.buyer(agreement_id, "approve")
    with fast.faults_of("NotifyAuthorization") as faults, ThreadPoolExecutor(1) as pool:
        faults.add({"op": UPDATE_ITEM, "match": agreement_id, "withhold": True, "drop": "after"})
        delivery = pool.submit(links.notify, agreement_id)
        eventually(faults.holds, "the write is applied, its answer withheld")
        fast.functions.kill("NotifyAuthorization")
        faults.clear()
        assert not delivery.result()["acknowledged"]
        links.became(agreement_id, "LINKED")


@pytest.mark.fault("F47")
def test_a_webhook_killed_before_its_write_is_not_acknowledged(links: Links, fast: Deployment) -> None:
    agreement_id, _ = links.ask(plan=links.plan(new_id("killed"), notify="lost"))
    links.buyer(agreement_id, "approve")
    with fast.faults_of("NotifyAuthorization") as faults, ThreadPoolExecutor(1) as pool:
        faults.add({"op": UPDATE_ITEM, "match": agreement_id, "hold": True, "drop": "before"})
        delivery = pool.submit(links.notify, agreement_id)
        eventually(faults.holds, "held before the write")
        fast.functions.kill("NotifyAuthorization")
        faults.clear()
        assert not delivery.result()["acknowledged"]
    assert links.get(agreement_id).json["status"] == "AUTHORIZING"
    assert links.notify(agreement_id)["acknowledged"]


@pytest.mark.fault("F49")
def test_an_exchange_killed_between_alipays_answer_and_its_write_is_made_once_more(
    links: Links, fast: Deployment
) -> None:
    plan = links.plan(new_id("killed"), notify="lost", exchangeAgain="same")
    agreement_id, _ = links.ask(plan=plan)
    links.buyer(agreement_id, "approve")
    with fast.polling_at(1):
        with fast.faults_of("ApplyToken") as faults:
            # The first write takes the call upon itself, the second lets the token lead here, the third links.
            faults.add({"op": UPDATE_ITEM, "match": agreement_id, "skip": 2, "hold": True, "drop": "before"})
            assert links.notify(agreement_id)["acknowledged"]
            eventually(faults.holds, "answered by Alipay, held before the write")
            assert links.get(agreement_id).json["status"] == "AUTHORIZING"
            fast.functions.kill("ApplyToken")
            faults.clear()
        links.became(agreement_id, "LINKED", 120)
    assert links.at_alipay(agreement_id)["exchanges"] == 2
    assert links.pay(agreement_id)[1].json["status"] == "SUCCESS"


def test_durable_and_exchanged_in_time_from_a_cold_start(links: Links, fast: Deployment) -> None:
    agreement_id, _ = links.ask(plan=links.plan(new_id("cold"), notify="lost"))
    links.buyer(agreement_id, "approve")
    fast.functions.kill("NotifyAuthorization")
    fast.functions.kill("ApplyToken")
    with fast.polling_at(1):
        sent_at = time.time()
        assert links.notify(agreement_id)["acknowledged"]
        links.became(agreement_id, "LINKED")
    row, [call] = links.row(agreement_id), links.calls(agreement_id, "applyToken")
    assert row
    print(f"  exchanged {call['at'] - sent_at:.1f} s after the notification was sent, cold")
    assert call["at"] - sent_at < 55


# --- Paying by agreement -----------------------------------------------------------------------------------------


def test_an_agreement_that_is_not_linked_pays_nothing(links: Links) -> None:
    waiting, _ = links.ask()
    for agreement_id in (waiting, "agr-unknown"):
        payment_request_id, answer = links.pay(agreement_id)
        assert answer.status == 409, answer.text
        assert links.here.merchant.order(payment_request_id).status == 404
        assert links.here.alipay.payment(payment_request_id) is None


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ({"paymentMethodId": "a token"}, "paymentMethod.paymentMethodId"),
        ({"agreementId": "a.b"}, "paymentMethod.agreementId"),
        ({"agreementId": 1}, "paymentMethod.agreementId"),
        ({"agreementId": ""}, "paymentMethod.agreementId"),
        ({"paymentMethodType": "DANA"}, "paymentMethod.paymentMethodType"),
    ],
)
def test_a_method_at_fault_is_named(links: Links, method: Any, field: str) -> None:
    agreement_id = links.linked()
    _, answer = links.pay(agreement_id, **method)
    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (400, [field]), answer.text


def test_a_replay_is_the_same_payment_whatever_became_of_the_agreement(links: Links) -> None:
    agreement_id = links.linked()
    payment_request_id, paid = links.pay(agreement_id)
    links.revoke(agreement_id)
    links.became(agreement_id, "UNLINKED")
    assert links.pay(agreement_id, payment_request_id)[1].json == paid.json
    other = links.linked()
    conflict = links.pay(other, payment_request_id)[1]
    assert (conflict.status, [error["field"] for error in conflict.json["errors"]]) == (
        409,
        ["paymentMethod.agreementId"],
    )
    assert len(links.here.alipay.calls(payment_request_id, "pay")) == 1


def test_a_dead_token_fails_the_payment_and_ends_the_agreement(links: Links) -> None:
    agreement_id = links.linked(links.plan(new_id("silent"), buyer="approve", tellsCancel=False))
    links.buyer(agreement_id, "cancel")
    _, failed = links.pay(agreement_id)
    assert (failed.json["status"], failed.json["resultCode"]) == ("FAIL", "INVALID_ACCESS_TOKEN")
    assert links.get(agreement_id).json["unlinkedBy"] == "pay"
    assert links.pay(agreement_id)[1].status == 409


@pytest.mark.fault("F54")
def test_an_init_order_keeps_the_token_it_was_sent_with(links: Links, fast: Deployment) -> None:
    """The token is refreshed between two tries: the second is left to inquiry, and never sent with other bytes."""
    agreement_id = links.linked("expires-soon")
    payment_request_id = new_id("refreshed")
    fast.alipay.plan(payment_request_id, pay=["reset"] * 3 + ["normal"], inquiry=["U"] * 4 + ["normal"], notify="lost")
    with fast.polling_at(1):
        assert links.pay(agreement_id, payment_request_id)[1].status == 202
        links.set_instant(agreement_id, "dueAt", "2020-01-01T00:00:00.000Z")
        fast.functions.invoke("RefreshTokens")
        assert links.at_alipay(agreement_id)["refreshes"] == 1
        fast.set_attempted_at(payment_request_id, datetime.now(UTC) - timedelta(seconds=31))
        assert links.pay(agreement_id, payment_request_id)[1].status == 202
    calls = fast.alipay.calls(payment_request_id, "pay")
    assert len({call["bodySha256"] for call in calls}) == 1
    fast.seen.settled(payment_request_id, 120)
    assert links.pay(agreement_id)[1].json["status"] == "SUCCESS", "a new payment takes the new token"


@pytest.mark.fault("F51")
def test_a_refresh_that_is_refused_is_told_and_the_token_pays_on(links: Links, fast: Deployment) -> None:
    bus = fast.shop
    agreement_id = links.linked("refresh-refused")
    for _ in range(2):
        links.set_instant(agreement_id, "dueAt", "2020-01-01T00:00:00.000Z")
        fast.functions.invoke("RefreshTokens")
    told = bus.heard(agreement_id, 2)
    assert [event["detail-type"] for event in told] == ["AgreementLinked", "AgreementExpiring"]
    assert told[1]["detail"]["agreement"] == links.get(agreement_id).json
    assert links.pay(agreement_id)[1].json["status"] == "SUCCESS"
    assert len(links.calls(agreement_id, "applyToken")) == 2, "the exchange, and one refresh"


@pytest.mark.fault("F53")
def test_kms_away_sends_nothing_and_the_webhook_asks_for_another_delivery(links: Links, fast: Deployment) -> None:
    agreement_id = links.linked()
    waiting, _ = links.ask(plan=links.plan(new_id("kms"), notify="lost"))
    links.buyer(waiting, "approve")
    nowhere = "http://127.0.0.1:9"
    with fast.functions.configured("InitiatePay", AWS_ENDPOINT_URL_KMS=nowhere):
        payment_request_id, answer = links.pay(agreement_id)
        assert answer.status == 503
        assert fast.alipay.payment(payment_request_id) is None
        assert fast.merchant.order(payment_request_id).status == 404
        assert fast.merchant.pay(payment(new_id("by-token"))).json["status"] == "SUCCESS"
    with fast.functions.configured("NotifyAuthorization", AWS_ENDPOINT_URL_KMS=nowhere):
        assert links.notify(waiting)["status"] == 500
    assert links.pay(agreement_id, payment_request_id)[1].json["status"] == "SUCCESS"
    assert links.notify(waiting)["acknowledged"]
    links.became(waiting, "LINKED")


# --- The end -----------------------------------------------------------------------------------------------------


@pytest.mark.fault("F52")
def test_a_revocation_without_an_answer_is_called_again(links: Links) -> None:
    agreement_id = links.linked("revoke-unanswered")
    links.revoke(agreement_id)
    assert links.became(agreement_id, "UNLINKED")["unlinkedBy"] == "merchant"
    assert len(links.calls(agreement_id, "revoke")) == 2


def test_what_was_never_linked_cannot_be_revoked(links: Links) -> None:
    waiting, _ = links.ask()
    assert links.revoke(waiting).status == 409
    assert links.revoke("agr-unknown").status == 404
    assert links.get("agr-unknown").status == 404
    assert links.get("a.b").status == 404


@pytest.mark.fault("F52")
def test_a_revocation_that_nobody_took_on_is_found_by_the_sweep(links: Links, fast: Deployment) -> None:
    agreement_id = links.linked()
    with fast.faults_of("UnlinkWallet") as faults:
        faults.add({"op": "AWSStepFunctions.StartExecution", "error": "ThrottlingException", "times": -1})
        assert links.revoke(agreement_id).status == 202
    links.set_instant(agreement_id, "overdueAt", "2020-01-01T00:00:00.000Z")
    fast.functions.invoke("SweepAgreements")
    links.became(agreement_id, "UNLINKED")


def test_a_table_that_does_not_answer_is_no_404(links: Links, fast: Deployment) -> None:
    agreement_id, _ = links.ask(plan=links.plan(new_id("table"), notify="lost"))
    links.buyer(agreement_id, "approve")
    with fast.faults_of("NotifyAuthorization") as faults:
        faults.add({"op": GET_ITEM, "error": "InternalServerError", "status": 500, "times": -1})
        assert links.notify(agreement_id)["status"] == 500
    assert links.notify(agreement_id)["acknowledged"]


# --- And last ----------------------------------------------------------------------------------------------------


def test_no_code_and_no_token_came_out_anywhere(links: Links, fast: Deployment) -> None:
    links.pay(links.linked())
    secrets = {name: spellings(secret.encode()) for name, secret in links.secrets().items()}
    assert len(secrets) >= 3
    places = {
        "agreements": links.text_of_rows(),
        "their stream": links.text_of_stream(),
        "their executions": links.text_of_executions(),
        "orders": (json.dumps(row, default=str) for row in fast.seen.rows().values()),
        "logs": fast.seen.text_of_log_groups(),
        "answers": chain(fast.merchant.heard, fast.alipay.answers_to_notifications()),
        "printed": (
            path.read_text(errors="replace") for path in fast.directory.glob("run/*.log") if path.name != "alipay.log"
        ),
    }
    for place, texts in places.items():
        size, found = search(texts, secrets)
        assert size, place
        assert not found, (place, sorted(found)[:3])
