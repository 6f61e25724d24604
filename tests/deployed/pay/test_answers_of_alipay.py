"""Alipay and the way to it at their worst: what the order says then, and that it comes right afterwards."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.kit import alarms, books
from tests.kit.faults import UPDATE_ITEM
from tests.kit.merchant import new_id, payment
from tests.kit.stacks import Deployment, nowhere
from tests.kit.waiting import GENEROUS_S, at_once, eventually

Json = dict[str, Any]


@pytest.mark.fault("F05")
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
    alarms.api_failed(fast, answer.status)
    unsent = books.row_of(fast, payment_request_id)
    assert unsent["status"] == "INIT"
    assert not books.is_watched(unsent), "nobody should wait for what was never sent"
    assert fast.seen.execution(payment_request_id) is None
    assert fast.alipay.payment(payment_request_id) is None
    assert fast.merchant.order(payment_request_id).json["status"] == "INIT"

    expiry = (datetime.now(UTC) + timedelta(seconds=50)).isoformat(timespec="seconds")
    answer = fast.merchant.pay(request | {"paymentExpiryTime": expiry})
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer
    [sent] = fast.alipay.calls(payment_request_id, "pay")
    assert sent["body"]["paymentExpiryTime"] == expiry
    assert datetime.fromisoformat(answer.json["expiresAt"]) == datetime.fromisoformat(expiry)


@pytest.mark.fault("F05")
def test_after_503_another_payment_under_the_same_id_is_a_conflict(fast: Deployment) -> None:
    request = payment(new_id("unsent"))
    with nowhere() as url, fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=url):
        assert fast.merchant.pay(request).status == 503
        changed = request | {"paymentAmount": {"currency": "HKD", "value": "1"}}
        assert fast.merchant.pay(changed).status == 409


def test_an_order_noted_as_never_sent_that_has_its_result_is_answered_200(fast: Deployment) -> None:
    """As if a table were restored to the moment of a 503, and the notification delivered again."""
    payment_request_id, _ = fast.pay("unsent", **books.UNDECIDED | {"pay": ["U"]})
    fast.aws("dynamodb").update_item(
        TableName=fast.description["ordersTable"],
        Key={"paymentRequestId": {"S": payment_request_id}},
        UpdateExpression="SET neverSent = :true",
        ExpressionAttributeValues={":true": {"BOOL": True}},
    )
    books.comes_right(fast, payment_request_id)
    answer = fast.merchant.pay(payment(payment_request_id))
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer


@pytest.mark.fault("F05", "F31")
def test_after_503_the_request_sent_32_times_at_once_pays_once(fast: Deployment) -> None:
    request = payment(new_id("unsent"))
    with nowhere() as url, fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=url):
        assert fast.merchant.pay(request).status == 503
    fast.alipay.plan(request["paymentRequestId"], pay={"answer": "S", "delay": 0.3}, notify="lost")
    answers = at_once([lambda: fast.merchant.pay(request)] * 32)
    assert {answer.status for answer in answers} <= {200, 202}, answers
    fast.seen.settled(request["paymentRequestId"])
    assert len(fast.alipay.calls(request["paymentRequestId"], "pay")) == 1


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


@pytest.mark.fault("F06")
def test_a_gateway_with_a_certificate_nobody_vouches_for_is_sent_nothing(fast: Deployment, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    request = payment(new_id("unsent"))
    with fast.another_alipay("--tls-cert", str(certificate), "--tls-key", str(key)) as impostor:
        with fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=impostor.url):
            answer = fast.merchant.pay(request)
        trusting = requests.get(f"{impostor.url}/_sim/requests", verify=str(certificate), timeout=GENEROUS_S)
        assert trusting.json() == {"requests": []}
    assert answer.status == 503, answer
    alarms.counted(fast, "AnswerRefused", request["paymentRequestId"], 1)
    assert not books.is_watched(books.row_of(fast, request["paymentRequestId"]))
    assert fast.merchant.pay(request).json["status"] == "SUCCESS"


@pytest.mark.fault("F07")
def test_debited_and_cut_three_times_is_answered_202_and_settled_by_inquiry(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay("cut", pay=["reset", "reset", "reset"], notify="lost")
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"
    calls = fast.alipay.calls(payment_request_id, "pay")
    assert len(calls) == 3
    assert len({call["bodySha256"] for call in calls}) == 1


UNBELIEVED: dict[str, tuple[Any, str]] = {
    "HTTP 500": ("http:500", "NoAnswer"),
    "HTTP 502": ("http:502", "NoAnswer"),
    "HTTP 429": ("http:429", "NoAnswer"),
    "HTTP 302": ("http:302", "NoAnswer"),
    "HTTP 307": ("http:307", "NoAnswer"),
    "HTTP 500 with a signed success": ({"answer": "S", "httpStatus": 500}, "NoAnswer"),
    "HTTP 502 with a signed success": ({"answer": "S", "httpStatus": 502}, "NoAnswer"),
    "HTTP 429 with a signed success": ({"answer": "S", "httpStatus": 429}, "NoAnswer"),
    "HTTP 302 with a signed success": ({"answer": "S", "httpStatus": 302}, "NoAnswer"),
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


@pytest.mark.fault("F09", "F10", "F11", "F12", "F15")
@pytest.mark.parametrize(("behaviour", "metric"), UNBELIEVED.values(), ids=UNBELIEVED)
def test_an_answer_that_proves_nothing_leaves_the_order_in_init(fast: Deployment, behaviour: Any, metric: str) -> None:
    payment_request_id, answer = fast.pay("unbelieved", **books.UNDECIDED | {"pay": [behaviour]})
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    assert books.is_watched(books.row_of(fast, payment_request_id))
    assert fast.seen.execution(payment_request_id)
    if metric == "NoAnswer":  # nobody is called for a single one: OrdersInitTooLong hears what does not come right
        eventually(lambda: fast.seen.metric(metric, payment_request_id) == 3, "each of three calls is counted")
    else:
        alarms.counted(fast, metric, payment_request_id, 3)
    known = fast.alipay.payment(payment_request_id)
    assert known
    assert known["redirectsFollowed"] == 0
    books.comes_right(fast, payment_request_id)


@pytest.mark.fault("F15")
def test_answers_of_any_size_take_bounded_memory(fast: Deployment) -> None:
    for behaviour in ("huge", "gzipbomb"):
        fast.pay("large", **books.UNDECIDED | {"pay": [behaviour]})
    for pid in fast.functions.processes("InitiatePay"):
        peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
        assert int(peak.split()[1]) < 160 * 1024, peak


@pytest.mark.fault("F14")
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


@pytest.mark.fault("F14")
def test_a_failure_on_a_repeated_pay_decides_nothing(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay(
        "repeat-fails", pay=["reset", "F:SYSTEM_ERROR"], result={"status": "SUCCESS"}, notify="lost"
    )
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"


@pytest.mark.fault("F13")
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
    payment_request_id, answer = fast.pay("other", **books.UNDECIDED | {"pay": [{"answer": "S", **claim}]})
    assert (answer.status, answer.json["status"]) == (202, "INIT"), answer
    row = books.row_of(fast, payment_request_id)
    assert len(row["contradictions"]) == 1
    assert books.is_watched(row)
    assert fast.seen.execution(payment_request_id)
    alarms.counted(fast, "Contradiction", payment_request_id, 1)
    books.comes_right(fast, payment_request_id)


@pytest.mark.fault("F20")
def test_a_notification_that_overtakes_the_answer_of_pay_settles(fast: Deployment) -> None:
    payment_request_id = fast.alipay.plan(new_id("overtaken"), notify="lost")
    with ThreadPoolExecutor(1) as pool:
        with fast.faults.injected({"op": UPDATE_ITEM, "match": payment_request_id, "hold": True}):
            asked = pool.submit(fast.merchant.pay, payment(payment_request_id))
            eventually(fast.faults.holds, "pay has answered, and its result is about to be written")
            assert fast.alipay.notify(payment_request_id)["acknowledged"]
        answer = asked.result()
    assert (answer.status, answer.json["status"], answer.json["settledBy"]) == (200, "SUCCESS", "notify"), answer
    assert "contradictions" not in books.row_of(fast, payment_request_id)
