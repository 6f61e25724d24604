"""Alipay, AWS and the network at their worst: what the order says then, and that it comes right afterwards."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from . import books
from .faults import GET_ITEM, GET_SECRET, PUT_ITEM, START_EXECUTION, UPDATE_ITEM
from .merchant import Answer, new_id, payment
from .stacks import Deployment
from .waiting import at_once, eventually

Json = dict[str, Any]

UNDECIDED: Json = {"result": {"status": "SUCCESS"}, "inquiry": ["U"], "notify": "lost"}
"""Paid, yet neither an inquiry nor a notification says so by itself."""


def row_of(deployment: Deployment, payment_request_id: str) -> Json:
    row = deployment.seen.row(payment_request_id)
    assert row, f"no order {payment_request_id}"
    return row


def is_watched(row: Json) -> bool:
    """Whether the sweep, or an execution it knows of, will look at the order again."""
    return {"openShard", "lookAt"} <= row.keys()


def comes_right(deployment: Deployment, payment_request_id: str) -> None:
    """An INIT order with its result at Alipay is settled by the notification that arrives at last."""
    assert deployment.alipay.notify(payment_request_id)["status"] == 200
    assert deployment.seen.settled(payment_request_id)["settledBy"] == "notify"
    books.agree(deployment, payment_request_id)


# Nothing was sent


@contextmanager
def nowhere() -> Iterator[str]:
    """A URL at which nobody listens, and nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("fault", ["connection refused", "no such host"])
def test_a_gateway_out_of_reach_is_answered_503_and_the_same_request_succeeds_later(
    fast: Deployment, fault: str
) -> None:
    request = payment(new_id("unsent"))
    payment_request_id = request["paymentRequestId"]
    with nowhere() as url:
        gateway = url if fault == "connection refused" else "https://gateway.invalid"
        with fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=gateway):
            for _ in range(2):
                answer = fast.merchant.pay(request)
                assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json"), answer
    unsent = row_of(fast, payment_request_id)
    assert unsent["status"] == "INIT"
    assert not is_watched(unsent), "nobody should wait for what was never sent"
    assert fast.seen.execution(payment_request_id) is None
    assert fast.alipay.payment(payment_request_id) is None
    assert fast.merchant.order(payment_request_id).json["status"] == "INIT"

    expiry = (datetime.now(UTC) + timedelta(seconds=50)).isoformat(timespec="seconds")
    answer = fast.merchant.pay(request | {"paymentExpiryTime": expiry})
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer
    [sent] = fast.alipay.calls(payment_request_id, "pay")
    assert sent["body"]["paymentExpiryTime"] == expiry
    assert datetime.fromisoformat(answer.json["expiresAt"]) == datetime.fromisoformat(expiry)
    books.agree(fast, payment_request_id)


def test_after_503_another_payment_under_the_same_id_is_a_conflict(fast: Deployment) -> None:
    request = payment(new_id("unsent"))
    with nowhere() as url, fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=url):
        assert fast.merchant.pay(request).status == 503
        changed = request | {"paymentAmount": {"currency": "HKD", "value": "1"}}
        assert fast.merchant.pay(changed).status == 409


def test_after_503_the_request_sent_32_times_at_once_pays_once(fast: Deployment) -> None:
    request = payment(new_id("unsent"))
    with nowhere() as url, fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=url):
        assert fast.merchant.pay(request).status == 503
    fast.alipay.plan(request["paymentRequestId"], pay={"answer": "S", "delay": 0.3}, notify="lost")
    answers = at_once([lambda: fast.merchant.pay(request)] * 32)
    assert {answer.status for answer in answers} <= {200, 202}, answers
    fast.seen.settled(request["paymentRequestId"])
    assert len(fast.alipay.calls(request["paymentRequestId"], "pay")) == 1
    books.agree(fast, request["paymentRequestId"])


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for localhost that nobody vouches for, and its key."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate_file, key_file


def test_a_gateway_with_a_certificate_nobody_vouches_for_is_sent_nothing(fast: Deployment, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    request = payment(new_id("unsent"))
    with fast.another_alipay("--tls-cert", str(certificate), "--tls-key", str(key)) as impostor:
        with fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=impostor.url):
            answer = fast.merchant.pay(request)
        trusting = requests.get(f"{impostor.url}/_sim/requests", verify=certificate, timeout=5)
        assert trusting.json() == {"requests": []}
    assert answer.status == 503, answer
    counted = "AnswerRefused is counted, on which an alarm lives"
    eventually(lambda: fast.seen.metric("AnswerRefused", request["paymentRequestId"]) == 1, counted)
    assert not is_watched(row_of(fast, request["paymentRequestId"]))
    assert fast.merchant.pay(request).json["status"] == "SUCCESS"
    books.agree(fast, request["paymentRequestId"])


# The answer of pay


def test_debited_and_cut_three_times_is_answered_202_and_settled_by_inquiry(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay("cut", pay=["reset", "reset", "reset"], notify="lost")
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    assert len(fast.alipay.calls(payment_request_id, "pay")) == 3
    books.agree(fast, payment_request_id)


UNBELIEVED: dict[str, tuple[Any, str]] = {
    "HTTP 500": ("http:500", "NoAnswer"),
    "HTTP 502": ("http:502", "NoAnswer"),
    "HTTP 429": ("http:429", "NoAnswer"),
    "HTTP 302": ("http:302", "NoAnswer"),
    "HTTP 307": ("http:307", "NoAnswer"),
    "HTTP 500 with a signed success": ({"answer": "S", "httpStatus": 500}, "NoAnswer"),
    "HTTP 201 with a signed success": ({"answer": "S", "httpStatus": 201}, "NoAnswer"),
    "unsigned success": ("unsigned:S", "AnswerRefused"),
    "unsigned failure": ("unsigned:F:USER_BALANCE_NOT_ENOUGH", "AnswerRefused"),
    "unsigned INVALID_SIGNATURE": ("unsigned:F:INVALID_SIGNATURE", "AnswerRefused"),
    "signed by another key": ("otherkey:S", "AnswerRefused"),
    "signature of random bytes": ("badsig:S", "AnswerRefused"),
    "one byte changed": ({"answer": "S", "alterByte": True}, "AnswerRefused"),
    "failure signed by another key": ("otherkey:F:RISK_REJECT", "AnswerRefused"),
    "HTML": ("html", "AnswerRefused"),
    "truncated": ("truncated", "NoAnswer"),
    "half the JSON, properly signed": ("broken", "NoAnswer"),
    "no result, properly signed": ({"answer": "S", "omit": ["result"]}, "NoAnswer"),
    "50 MB": ("huge", "NoAnswer"),
    "a gzip bomb": ("gzipbomb", "AnswerRefused"),
}


@pytest.mark.parametrize(("behaviour", "metric"), UNBELIEVED.values(), ids=UNBELIEVED)
def test_an_answer_that_proves_nothing_leaves_the_order_in_init(fast: Deployment, behaviour: Any, metric: str) -> None:
    payment_request_id, answer = fast.pay("unbelieved", **UNDECIDED | {"pay": [behaviour]})
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    assert answer.seconds < 8
    assert is_watched(row_of(fast, payment_request_id))
    assert fast.seen.execution(payment_request_id)
    eventually(
        lambda: fast.seen.metric(metric, payment_request_id) == 3,
        f"{metric} is counted for each of three calls",
        show=lambda: fast.seen.lines("call without answer", payment_request_id),
    )
    known = fast.alipay.payment(payment_request_id)
    assert known
    assert known["redirectsFollowed"] == 0
    comes_right(fast, payment_request_id)


def test_answers_of_any_size_take_bounded_memory(fast: Deployment) -> None:
    for behaviour in ("huge", "gzipbomb"):
        fast.pay("large", **UNDECIDED | {"pay": [behaviour]})
    for pid in fast.functions.processes("InitiatePay"):
        peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
        assert int(peak.split()[1]) < 160 * 1024, peak


@pytest.mark.parametrize("code", ["REPEAT_REQ_INCONSISTENT", "ORDER_IS_CLOSED", "ORDER_IS_CANCELED"])
@pytest.mark.parametrize("first", [["reset"], []], ids=["on a repeat", "at once"])
def test_a_failure_that_speaks_of_an_earlier_payment_decides_nothing(
    fast: Deployment, first: list[str], code: str
) -> None:
    payment_request_id, answer = fast.pay(
        "earlier", pay=[*first, f"F:{code}"], result={"status": "SUCCESS"}, notify="lost"
    )
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    books.agree(fast, payment_request_id)


def test_a_failure_on_a_repeated_pay_decides_nothing(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay(
        "repeat-fails", pay=["reset", "F:SYSTEM_ERROR"], result={"status": "SUCCESS"}, notify="lost"
    )
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    books.agree(fast, payment_request_id)


@pytest.mark.parametrize(
    "claim",
    [
        {"amount": {"currency": "HKD", "value": "1"}},
        {"amount": {"currency": "USD", "value": "1990"}},
        {"paymentRequestId": "another"},
        {"omit": ["paymentAmount"]},
        {"omit": ["paymentRequestId"]},
    ],
)
def test_a_success_about_something_else_does_not_pay_the_order(fast: Deployment, claim: Json) -> None:
    payment_request_id, answer = fast.pay("other", **UNDECIDED | {"pay": [{"answer": "S", **claim}]})
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    row = row_of(fast, payment_request_id)
    assert len(row["contradictions"]) == 1
    assert is_watched(row)
    assert fast.seen.execution(payment_request_id)
    counted = "Contradiction is counted, on which an alarm lives"
    eventually(lambda: fast.seen.metric("Contradiction", payment_request_id) == 1, counted)
    comes_right(fast, payment_request_id)


def test_a_notification_that_overtakes_the_answer_of_pay_settles(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("overtaken"), pay=[{"answer": "S", "delay": 3}], notify={"delay": 0})
    answer = fast.merchant.pay(payment(payment_request_id))
    assert (answer.status, answer.json["status"], answer.json["settledBy"]) == (200, "SUCCESS", "notify"), answer
    assert "contradictions" not in row_of(fast, payment_request_id)
    books.agree(fast, payment_request_id)


# The table


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
        fast.merchant.pay(payment(payment_request_id))
        assert fast.seen.settled(payment_request_id)["settledBy"] == witness
        eventually(fast.faults.used_up, "the answer was lost")
        eventually(lambda: len(fast.seen.settlements(payment_request_id)) == 1, "one settling line")
    if witness == "notify":
        deliveries = eventually(lambda: fast.alipay.notifications(payment_request_id), "the delivery")
        assert [delivery["status"] for delivery in deliveries] == [200]
    assert "contradictions" not in row_of(fast, payment_request_id)
    books.agree(fast, payment_request_id)


def test_an_opening_write_whose_answer_is_lost_is_recognized_as_ones_own(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("answer-lost"), notify="lost")
    with fast.faults.injected({"op": PUT_ITEM, "match": payment_request_id, "drop": "after"}):
        answer = fast.merchant.pay(payment(payment_request_id))
        assert fast.faults.used_up()
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer
    assert len(fast.alipay.calls(payment_request_id, "pay")) == 1
    books.agree(fast, payment_request_id)


TABLE_FAULTS: dict[str, Json] = {
    "throttled": {"error": "ProvisionedThroughputExceededException"},
    "fails": {"error": "InternalServerError", "status": 500},
    "is cut off": {"drop": "before"},
    "does not answer": {"delay": 3, "drop": "before"},
}


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
            [first, *_] = eventually(lambda: fast.alipay.notifications(payment_request_id), "a delivery", 15)
            assert first["status"] in (500, 502, 503, 504), first
            assert row_of(fast, payment_request_id)["status"] == "INIT"
        assert fast.seen.settled(payment_request_id, 20)["settledBy"] == "notify"
    assert eventually(
        lambda: [one for one in fast.alipay.notifications(payment_request_id) if one["acknowledged"]], "acknowledged"
    )
    counted = "Fault is counted, on which an alarm lives"
    eventually(lambda: fast.seen.metric("Fault", payment_request_id) > 0, counted)
    books.agree(fast, payment_request_id)


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
        assert fast.seen.settled(payment_request_id, 15)["settledBy"] == "inquiry"
    books.agree(fast, payment_request_id)


def test_notify_killed_after_its_write_is_redelivered_without_a_second_effect(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay(
            "notify-killed", pay=["U"], result={"status": "SUCCESS", "after": 0.5}, inquiry=["U"], notify={"delay": 0}
        )
        fast.faults.add({"op": UPDATE_ITEM, "match": payment_request_id, "hold": True, "drop": "after"})
        eventually(fast.faults.used_up, "notify is held at its write")
        fast.functions.kill("Notify")
        fast.faults.clear()
        row = fast.seen.settled(payment_request_id)
        assert row["settledBy"] == "notify"
        acknowledged = eventually(
            lambda: [one for one in fast.alipay.notifications(payment_request_id) if one["acknowledged"]], "redelivered"
        )
    assert acknowledged[0]["attempt"] > 1
    assert row_of(fast, payment_request_id) == row
    books.agree(fast, payment_request_id)


# The credentials


def test_without_its_secret_pay_sends_nothing_and_notify_asks_for_redelivery(fast: Deployment) -> None:
    open_id, _ = fast.pay("secret-down", **UNDECIDED | {"pay": ["U"]})
    request = payment(new_id("secret-down"))
    with fast.faults.injected({"op": GET_SECRET, "times": -1, "error": "InternalServiceError", "status": 500}):
        for function in ("InitiatePay", "Notify"):
            fast.functions.kill(function)
        assert fast.merchant.pay(request).status == 503
        assert fast.alipay.notify(open_id)["status"] in (500, 502, 503, 504)
        assert fast.alipay.notify(open_id, key="badsig")["status"] in (500, 502, 503, 504)
    assert fast.alipay.payment(request["paymentRequestId"]) is None
    assert row_of(fast, open_id)["status"] == "INIT"
    assert fast.merchant.pay(request).json["status"] == "SUCCESS"
    comes_right(fast, open_id)


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


def test_old_and_new_key_are_accepted_in_the_overlap_and_the_old_one_not_after_it(fast: Deployment) -> None:
    new_key = generate_private_key(public_exponent=65537, key_size=2048)
    public = new_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    old_keys = fast.credentials["alipayPublicKeys"]
    new_keys = {"2": base64.b64encode(public).decode()}
    ids = [fast.pay("key-change", **UNDECIDED | {"pay": ["U"]})[0] for _ in range(3)]

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
    books.agree(fast, *ids)


# The polling


def overdue(fast: Deployment, payment_request_id: str) -> None:
    """Let the time pass until somebody should have looked at the order."""
    fast.aws("dynamodb").update_item(
        TableName=fast.description["ordersTable"],
        Key={"paymentRequestId": {"S": payment_request_id}},
        UpdateExpression="SET lookAt = :past",
        ConditionExpression="attribute_exists(lookAt)",
        ExpressionAttributeValues={":past": {"S": "2020-01-01T00:00:00.000Z"}},
    )


@pytest.mark.parametrize(
    "fault",
    [{"error": "ThrottlingException"}, {"drop": "before"}, {"drop": "after"}, {"delay": 4, "drop": "before"}],
    ids=["throttled", "cut off", "started, answer lost", "not answered"],
)
def test_polling_that_does_not_start_fails_no_request_and_the_sweep_starts_it(fast: Deployment, fault: Json) -> None:
    payment_request_id = fast.alipay.plan(
        new_id("not-started"), pay=["U"], result={"status": "SUCCESS", "after": 0.5}, notify="lost"
    )
    with fast.faults.injected({"op": START_EXECUTION, "match": payment_request_id, "times": 1, **fault}):
        answer = fast.merchant.pay(payment(payment_request_id))
        assert fast.faults.used_up()
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    if fault.get("drop") != "after":
        assert fast.seen.execution(payment_request_id) is None
        assert is_watched(row_of(fast, payment_request_id))
        overdue(fast, payment_request_id)
        assert fast.functions.invoke("Sweep")["taken"] >= 1
    row = fast.seen.settled(payment_request_id)
    assert (row["settledBy"], row.get("pollingRound", 0)) == ("inquiry", 0)
    assert fast.seen.execution(payment_request_id, 1) is None
    books.agree(fast, payment_request_id)


def test_the_sweep_leaves_an_order_to_the_execution_that_polls_it(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay("polled", **books.NEVER)
        overdue(fast, payment_request_id)
        fast.functions.invoke("Sweep")
        row = row_of(fast, payment_request_id)
        assert row["lookAt"] > datetime.now(UTC).isoformat()
        assert row["pollingRound"] == 0
        assert fast.seen.execution(payment_request_id, 1) is None
    comes_right_by_hand(fast, payment_request_id)


def comes_right_by_hand(fast: Deployment, payment_request_id: str) -> None:
    fast.alipay.plan(payment_request_id, result={"status": "SUCCESS"}, notify={"delay": 0})
    fast.seen.settled(payment_request_id)
    books.agree(fast, payment_request_id)


def test_a_polling_execution_that_was_stopped_is_followed_by_the_next_round(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay("stopped", pay=["U"], result={"status": "SUCCESS", "after": 1}, notify="lost")
        execution = fast.seen.execution(payment_request_id)
        assert execution
        fast.aws("stepfunctions").stop_execution(executionArn=execution["executionArn"])
    overdue(fast, payment_request_id)
    at_once([lambda: fast.functions.invoke("Sweep")] * 3)
    row = fast.seen.settled(payment_request_id)
    assert (row["settledBy"], row["pollingRound"]) == ("inquiry", 1)
    assert fast.seen.execution(payment_request_id, 2) is None
    books.agree(fast, payment_request_id)


def test_the_sweep_takes_nothing_on_that_is_not_overdue(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay("not-overdue", **books.NEVER)
        before = row_of(fast, payment_request_id)
        fast.functions.invoke("Sweep")
        assert row_of(fast, payment_request_id) == before
    comes_right_by_hand(fast, payment_request_id)


def failed_looks(fast: Deployment, payment_request_id: str) -> list[Json]:
    failures = ("TaskFailed", "LambdaFunctionFailed")
    return [event for event in fast.seen.history(payment_request_id) if event["type"] in failures]


def test_a_throttled_inquiry_function_is_tried_again_until_it_answers(fast: Deployment) -> None:
    with fast.functions.throttled("Inquiry"):
        payment_request_id, answer = fast.pay("throttled", pay=["U"], result={"status": "SUCCESS"}, notify="lost")
        assert answer.status == 202
        eventually(lambda: failed_looks(fast, payment_request_id), "a look was throttled", 15)
        assert row_of(fast, payment_request_id)["status"] == "INIT"
    assert fast.seen.settled(payment_request_id, 45)["settledBy"] == "inquiry"
    assert fast.seen.ended(payment_request_id)["status"] == "SUCCEEDED"
    books.agree(fast, payment_request_id)


def test_orders_init_for_more_than_15_minutes_are_counted_where_an_alarm_hears_it(fast: Deployment) -> None:
    payment_request_id, _ = fast.pay("too-long", **books.NEVER)
    before = fast.functions.invoke("Sweep")["initTooLong"]
    long_ago = (datetime.now(UTC) - timedelta(minutes=16)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fast.aws("dynamodb").update_item(
        TableName=fast.description["ordersTable"],
        Key={"paymentRequestId": {"S": payment_request_id}},
        UpdateExpression="SET sentAt = :then",
        ExpressionAttributeValues={":then": {"S": long_ago}},
    )
    assert fast.functions.invoke("Sweep")["initTooLong"] == before + 1
    eventually(lambda: fast.seen.lines("orders INIT for more than 15 minutes"), "the line an operator reads")
    comes_right_by_hand(fast, payment_request_id)
    assert fast.functions.invoke("Sweep")["initTooLong"] == before


def test_a_replay_after_the_first_post_died_repeats_the_identical_pay(fast: Deployment) -> None:
    """The first process was killed while pay was on its way; 29 s later no process of it can be left."""
    with fast.polling_at(1):
        payment_request_id = fast.alipay.plan(new_id("died"), pay=["U", "normal"], notify="lost", inquiry=["U"])
        first = fast.merchant.pay(payment(payment_request_id))
        assert first.status == 202
        assert fast.merchant.pay(payment(payment_request_id)).status == 202
        assert len(fast.alipay.calls(payment_request_id, "pay")) == 1
        sent_at = (datetime.now(UTC) - timedelta(seconds=31)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fast.aws("dynamodb").update_item(
            TableName=fast.description["ordersTable"],
            Key={"paymentRequestId": {"S": payment_request_id}},
            UpdateExpression="SET sentAt = :then",
            ExpressionAttributeValues={":then": {"S": sent_at}},
        )
        answers = at_once([lambda: fast.merchant.pay(payment(payment_request_id))] * 8)
        assert {answer.status for answer in answers} <= {200, 202}
        fast.seen.settled(payment_request_id)
    calls = fast.alipay.calls(payment_request_id, "pay")
    assert len(calls) == 2
    assert len({call["bodySha256"] for call in calls}) == 1
    books.agree(fast, payment_request_id)
