"""The table and the secret at their worst: nothing is acknowledged that is not stored, and nothing done twice."""

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.kit import alarms, books
from tests.kit.faults import GET_ITEM, GET_SECRET, PUT_ITEM, UPDATE_ITEM
from tests.kit.merchant import Answer, new_id, payment
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

Json = dict[str, Any]


@pytest.mark.fault("F24")
@pytest.mark.parametrize("witness", ["pay", "notify", "inquiry"])
def test_a_settling_write_whose_answer_is_lost_is_recognized_as_ones_own(fast: Deployment, witness: str) -> None:
    payment_request_id = new_id("answer-lost")
    plans: dict[str, Json] = {
        "pay": {"notify": "lost"},
        "notify": {"pay": ["U"], "result": {"status": "SUCCESS"}, "notify": {"delay": 0}, "inquiry": ["U"]},
        "inquiry": {"pay": ["U"], "result": {"status": "SUCCESS"}, "notify": "lost"},
    }
    fast.alipay.plan(payment_request_id, **plans[witness])
    lost = {"op": UPDATE_ITEM, "match": f'(?s)(?=.*{payment_request_id})(?=.*"SUCCESS")', "drop": "after"}
    with fast.faults.injected(lost):
        answer = fast.merchant.pay(payment(payment_request_id))
        assert fast.seen.settled(payment_request_id)["settledBy"] == witness
        eventually(fast.faults.used_up, "the answer was lost")
        eventually(lambda: len(fast.seen.settlements(payment_request_id)) == 1, "one settling line")
    if witness == "pay":
        assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer
    if witness == "notify":
        deliveries = eventually(lambda: fast.alipay.notifications(payment_request_id), "the delivery")
        assert [delivery["status"] for delivery in deliveries] == [200]
    assert "contradictions" not in books.row_of(fast, payment_request_id)


@pytest.mark.fault("F24")
def test_an_opening_write_whose_answer_is_lost_is_recognized_as_ones_own(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("answer-lost"), notify="lost")
    with fast.faults.injected({"op": PUT_ITEM, "match": payment_request_id, "drop": "after"}):
        answer = fast.merchant.pay(payment(payment_request_id))
        assert fast.faults.used_up()
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer
    assert len(fast.alipay.calls(payment_request_id, "pay")) == 1


TABLE_FAULTS: dict[str, Json] = {
    "throttled": {"error": "ProvisionedThroughputExceededException"},
    "fails": {"error": "InternalServerError", "status": 500},
    "is cut off": {"drop": "before"},
    "does not answer": {"delay": 3, "drop": "before"},
}


@pytest.mark.fault("F25")
@pytest.mark.parametrize("operation", [GET_ITEM, UPDATE_ITEM])
@pytest.mark.parametrize("fault", TABLE_FAULTS.values(), ids=TABLE_FAULTS)
def test_a_table_that_fails_is_answered_5xx_and_the_redelivery_settles(
    fast: Deployment, fault: Json, operation: str
) -> None:
    with fast.polling_at(1):
        payment_request_id, answer = fast.pay(
            "table", pay=["U"], result={"status": "SUCCESS", "after": 0.2}, inquiry=["U"], notify={"delay": 0}
        )
        assert answer.status == 202, answer
        with fast.faults.injected({"op": operation, "match": payment_request_id, "times": -1, **fault}):
            [first, *_] = eventually(lambda: fast.alipay.notifications(payment_request_id), "a delivery")
            assert first["status"] in (500, 502, 503, 504), first
            assert books.row_of(fast, payment_request_id)["status"] == "INIT"
        assert fast.seen.settled(payment_request_id)["settledBy"] == "notify"
    assert eventually(
        lambda: [one for one in fast.alipay.notifications(payment_request_id) if one["acknowledged"]], "acknowledged"
    )
    alarms.counted(fast, "Fault", payment_request_id)


@pytest.mark.parametrize("fault", TABLE_FAULTS.values(), ids=TABLE_FAULTS)
def test_a_table_that_cannot_store_the_order_lets_nothing_be_sent(fast: Deployment, fault: Json) -> None:
    request = payment(new_id("not-stored"))
    with fast.faults.injected({"op": PUT_ITEM, "match": request["paymentRequestId"], "times": -1, **fault}):
        answer = fast.merchant.pay(request)
    assert answer.status in (500, 503), answer
    assert fast.alipay.payment(request["paymentRequestId"]) is None
    assert fast.merchant.pay(request).json["status"] == "SUCCESS"
    books.agree(fast, request["paymentRequestId"])


def test_the_result_of_pay_that_cannot_be_stored_is_heard_again_by_inquiry(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("not-stored"), notify="lost")
    refuse = {"op": UPDATE_ITEM, "match": payment_request_id, "times": 2, "error": "InternalServerError", "status": 500}
    with fast.faults.injected(refuse):
        answer = fast.merchant.pay(payment(payment_request_id))
        assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
        assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    books.agree(fast, payment_request_id)


@pytest.mark.fault("F23")
def test_notify_killed_after_its_write_is_redelivered_without_a_second_effect(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay(
            "notify-killed", pay=["U"], result={"status": "SUCCESS", "after": 0.5}, inquiry=["U"], notify={"delay": 0}
        )
        fast.faults.add({"op": UPDATE_ITEM, "match": payment_request_id, "withhold": True, "drop": "after"})
        eventually(fast.faults.holds, "notify has written and not heard so")
        row = books.row_of(fast, payment_request_id)
        fast.functions.kill("Notify")
        fast.faults.clear()
        assert row["settledBy"] == "notify"
        acknowledged = eventually(
            lambda: [one for one in fast.alipay.notifications(payment_request_id) if one["acknowledged"]], "redelivered"
        )
    assert acknowledged[0]["attempt"] > 1
    assert books.row_of(fast, payment_request_id) == row


@pytest.mark.fault("F27")
def test_without_its_secret_pay_sends_nothing_and_notify_asks_for_redelivery(fast: Deployment) -> None:
    open_id, _ = fast.pay("secret-down", **books.UNDECIDED | {"pay": ["U"]})
    request = payment(new_id("secret-down"))
    with fast.faults.injected({"op": GET_SECRET, "times": -1, "error": "InternalServiceError", "status": 500}):
        for function in ("InitiatePay", "Notify"):
            fast.functions.kill(function)
        assert fast.merchant.pay(request).status == 503
        assert fast.alipay.notify(open_id)["status"] in (500, 502, 503, 504)
        fast.faults.forget()
        began = time.monotonic()
        for _ in range(20):
            assert fast.alipay.notify(open_id, key="badsig")["status"] in (500, 502, 503, 504)
        reads = [call for call in fast.faults.calls() if call["op"] == GET_SECRET]
        # A read that failed, in two tries, stands for a second.
        assert len(reads) <= 2 * (1 + (time.monotonic() - began))
    time.sleep(1)
    assert fast.alipay.payment(request["paymentRequestId"]) is None
    assert books.row_of(fast, open_id)["status"] == "INIT"
    assert fast.merchant.pay(request).json["status"] == "SUCCESS"
    books.comes_right(fast, open_id)


def signed_notification(fast: Deployment, payment_request_id: str, key: RSAPrivateKey, version: str) -> Answer:
    """A genuine notification under a key of ours."""
    known = fast.alipay.payment(payment_request_id)
    assert known
    body = json.dumps(
        {
            "notifyType": "PAYMENT_RESULT",
            "result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success"},
            "paymentRequestId": payment_request_id,
            "paymentId": known["paymentId"],
            "paymentAmount": known["paymentAmount"],
            "paymentCreateTime": "2026-11-22T01:30:00-08:00",
        }
    )
    sent_at = datetime.now(UTC).isoformat(timespec="seconds")
    client_id = fast.credentials["clientId"]
    content = f"POST {urlsplit(fast.description['notifyUrl']).path}\n{client_id}.{sent_at}.{body}"
    signature = quote(base64.b64encode(key.sign(content.encode(), PKCS1v15(), SHA256())).decode(), safe="")
    headers = {
        "Content-Type": "application/json",
        "client-id": client_id,
        "Request-Time": sent_at,
        "Signature": f"algorithm=RSA256,keyVersion={version},signature={signature}",
    }
    return fast.merchant.call("POST", "/notifications/payment", body, headers)


@pytest.mark.fault("F28")
def test_old_and_new_key_are_accepted_in_the_overlap_and_the_old_one_not_after_it(fast: Deployment) -> None:
    new_key = generate_private_key(public_exponent=65537, key_size=2048)
    public = new_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    old_keys = fast.credentials["alipayPublicKeys"]
    new_keys = {"2": base64.b64encode(public).decode()}
    ids = [fast.pay("key-change", **books.UNDECIDED | {"pay": ["U"]})[0] for _ in range(3)]

    def use(keys: Json) -> None:
        fast.aws("secretsmanager").put_secret_value(
            SecretId=fast.description["credentialsSecret"],
            SecretString=json.dumps(fast.credentials | {"alipayPublicKeys": keys}),
        )
        fast.functions.kill("Notify")  # what is cached may be some minutes old

    assert signed_notification(fast, ids[0], new_key, "2").status == 401
    try:
        use(old_keys | new_keys)
        assert signed_notification(fast, ids[0], new_key, "2").status == 200
        assert signed_notification(fast, ids[1], new_key, "1").status == 401
        assert fast.alipay.notify(ids[1])["status"] == 200
        use(new_keys)
        assert fast.alipay.notify(ids[2])["status"] == 401
        assert signed_notification(fast, ids[2], new_key, "2").status == 200
    finally:
        use(old_keys)
