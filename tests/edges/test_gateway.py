"""The gateway: what is signed and sent, and which answers are believed."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import CALL_MIN_S, TIMEOUT_S, AlipayGateway
from autodebit.alipay.signature import SignedMessage, sign, verify
from autodebit.errors import AnswerRefused, CredentialsUnavailable, GatewayError, NotSent, OutcomeUnknown
from autodebit.payment.naming import naming_body

from tests.kit.peer import Call, Peer, Script
from tests.kit.samples import CLIENT_ID, ID, body, order, paid, private_key, public_key, result, secret

TIME = "2026-11-22T17:30:02+08:00"
ANSWER = body(paid())


def signed(call: Call, text: bytes = ANSWER, key: str = "alipay1", version: str = "1", **changes: str) -> None:
    """Answer as Alipay does, but for `changes`."""
    facts = {"path": call.path, "client_id": call.headers["client-id"], "time": TIME} | changes
    header = sign(SignedMessage(facts["path"], facts["client_id"], facts["time"], text), private_key(key), version)
    call.answer(text, client_id=facts["client_id"], response_time=facts["time"], signature=header)


@pytest.fixture
def peer() -> Iterator[Peer]:
    served = Peer(signed)
    yield served
    served.stop()


def soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def store(**changes: Any) -> CredentialsStore:
    return CredentialsStore(lambda: secret(**changes))


def failure(peer: Peer, script: Script, credentials: CredentialsStore | None = None) -> GatewayError:
    peer.script = script
    with pytest.raises(GatewayError) as failed:
        AlipayGateway(peer.url, credentials or store()).call("payments/pay", b"{}", soon())
    return failed.value


# --- What is sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "prefix"),
    [
        ("SANDBOX_5Y0000000000000000", "/ams/sandbox/api/v1/"),
        ("5Y60382Z9S2W00000", "/ams/api/v1/"),
        ("sandbox_5Y00", "/ams/api/v1/"),
        ("5YSANDBOX_00", "/ams/api/v1/"),
        ("TEST_5X00000000000000", "/ams/api/v1/"),
    ],
)
def test_a_call_is_signed_over_its_path_time_and_bytes(peer: Peer, client_id: str, prefix: str) -> None:
    gateway = AlipayGateway(peer.url, store(clientId=client_id, privateKeyVersion="3"))
    text = '{"orderDescription":"電影"}'.encode()
    before = time.time()
    assert gateway.call("payments/pay", text, soon()) == paid()
    assert gateway.call("payments/inquiryPayment", naming_body(order())) == paid()
    pay, inquiry = peer.calls
    assert (pay.path, inquiry.path) == (f"{prefix}payments/pay", f"{prefix}payments/inquiryPayment")
    assert (pay.body, inquiry.body) == (text, body({"paymentRequestId": ID}).replace(b" ", b""))
    for call in (pay, inquiry):
        headers = call.headers
        assert headers["client-id"] == client_id
        assert headers["content-type"] == "application/json; charset=UTF-8"
        assert before * 1000 - 1 <= int(headers["request-time"]) <= time.time() * 1000 + 1
        message = SignedMessage(call.path, client_id, headers["request-time"], call.body)
        assert verify(message, headers["signature"], {"3": public_key("merchant")}) == "3"


def test_a_call_of_inquirypayment_has_the_documented_ten_seconds() -> None:
    assert TIMEOUT_S == 10.0


def test_calls_share_one_connection(peer: Peer) -> None:
    gateway = AlipayGateway(peer.url, store())
    for _ in range(3):
        gateway.call("payments/inquiryPayment", naming_body(order()))
    assert (peer.connections, len(peer.calls)) == (1, 3)


def test_without_credentials_nothing_is_sent(peer: Peer) -> None:
    def down() -> str:
        raise CredentialsUnavailable("ThrottlingException")

    error = failure(peer, signed, CredentialsStore(down))
    assert isinstance(error, NotSent)
    assert peer.connections == 0


def test_a_call_that_has_no_time_left_is_not_sent(peer: Peer) -> None:
    gateway = AlipayGateway(peer.url, store())
    for left_s in (CALL_MIN_S - 0.01, 0, -1000):
        with pytest.raises(NotSent):
            gateway.call("payments/pay", b"{}", soon(left_s))
    assert peer.connections == 0
    assert gateway.call("payments/pay", b"{}", soon(CALL_MIN_S + 5)) == paid()


def test_a_call_ends_by_its_deadline_and_in_ten_seconds_at_most(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def post(url: str, text: bytes, headers: dict[str, str], timeout_s: float) -> tuple[dict[str, str], bytes]:
        given.append(timeout_s)
        raise OutcomeUnknown("HTTP 500")

    gateway = AlipayGateway(peer.url, store())
    monkeypatch.setattr(gateway._transport, "post", post)
    calls: list[Callable[[], Any]] = [
        lambda: gateway.call("payments/pay", b"{}", soon(9)),
        lambda: gateway.call("payments/pay", b"{}", soon(99)),
        lambda: gateway.call("payments/inquiryPayment", naming_body(order())),
    ]
    for call in calls:
        with pytest.raises(OutcomeUnknown):
            call()
    assert 3 < given[0] <= 9
    assert given[1:] == [TIMEOUT_S, TIMEOUT_S]


# --- Which answers are believed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["S", "F", "U", "X"])
def test_a_signed_answer_is_returned_whatever_it_says(peer: Peer, status: str) -> None:
    text = body({"result": result(status, "X"), "fieldOfNextYear": [1, None]})
    peer.script = lambda call: signed(call, text)
    assert AlipayGateway(peer.url, store()).call("payments/pay", b"{}", soon()) == json.loads(text)


def test_an_answer_is_verified_as_it_came_and_not_as_it_reads(peer: Peer) -> None:
    text = b'\n{ "result" : {"resultStatus":"\\u0053"} , "url":"https:\\/\\/x"}  '
    peer.script = lambda call: signed(call, text)
    assert AlipayGateway(peer.url, store()).call("payments/pay", b"{}", soon())["result"]["resultStatus"] == "S"


REFUSED: dict[str, Script] = {
    "unsigned S": lambda call: call.answer(ANSWER, client_id=CLIENT_ID),
    "unsigned F": lambda call: call.answer(body({"result": result("F", "PARAM_ILLEGAL")})),
    "unsigned U": lambda call: call.answer(body({"result": result("U", "UNKNOWN_EXCEPTION")})),
    "unsigned and no JSON": lambda call: call.answer(b"<html>"),
    "unsigned and empty": lambda call: call.answer(b""),
    "response-time without signature": lambda call: call.answer(ANSWER, client_id=CLIENT_ID, response_time=TIME),
    "signature without response-time": lambda call: call.answer(
        ANSWER,
        client_id=CLIENT_ID,
        signature=sign(SignedMessage(call.path, CLIENT_ID, TIME, ANSWER), private_key("alipay1"), "1"),
    ),
    "an empty signature": lambda call: call.answer(ANSWER, client_id=CLIENT_ID, response_time=TIME, signature=""),
    "no client-id": lambda call: call.answer(
        ANSWER,
        response_time=TIME,
        signature=sign(SignedMessage(call.path, "", TIME, ANSWER), private_key("alipay1"), "1"),
    ),
    "another client-id": lambda call: signed(call, client_id="5Y60382Z9S2W00000"),
    "another key": lambda call: signed(call, key="alipay2"),
    "our own key": lambda call: signed(call, key="merchant"),
    "an unknown key version": lambda call: signed(call, version="2"),
    "the path of another call": lambda call: signed(call, path="/ams/sandbox/api/v1/payments/inquiryPayment"),
    "the path without the sandbox": lambda call: signed(call, path="/ams/api/v1/payments/pay"),
    "the path of the notify URL": lambda call: signed(call, path="/v1/notifications/payment"),
    "one changed byte": lambda call: call.answer(
        ANSWER.replace(b"success.", b"Success."),
        client_id=CLIENT_ID,
        response_time=TIME,
        signature=sign(SignedMessage(call.path, CLIENT_ID, TIME, ANSWER), private_key("alipay1"), "1"),
    ),
    "another time": lambda call: call.answer(
        ANSWER,
        client_id=CLIENT_ID,
        response_time="2026-11-22T09:30:02Z",
        signature=sign(SignedMessage(call.path, CLIENT_ID, TIME, ANSWER), private_key("alipay1"), "1"),
    ),
    "two signatures": lambda call: call.send(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nclient-id: " + CLIENT_ID.encode() + b"\r\nresponse-time: t\r\n"
        b"signature: algorithm=RSA256,keyVersion=1,signature=QUI=\r\n"
        b"signature: algorithm=RSA256,keyVersion=1,signature=QUI=\r\n\r\n{}"
    ),
    "other letters than ASCII": lambda call: call.answer(
        ANSWER, client_id=CLIENT_ID, response_time="\xff\xe9", signature="\xff=\xe9,signature=QUI="
    ),
}


@pytest.mark.parametrize("how", REFUSED)
def test_an_answer_that_is_not_provably_alipays_to_us_is_refused(peer: Peer, how: str) -> None:
    error = failure(peer, REFUSED[how])
    assert isinstance(error, AnswerRefused)
    assert not isinstance(error, NotSent)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("INVALID_SIGNATURE", "unsigned INVALID_SIGNATURE"),
        ("KEY_NOT_FOUND", "unsigned KEY_NOT_FOUND"),
        ("lower", "unsigned answer"),
        ("A" * 65, "unsigned answer"),
        ("A\nforged log line", "unsigned answer"),
        ("", "unsigned answer"),
        (None, "unsigned answer"),
    ],
)
def test_the_reason_of_an_unsigned_answer_is_its_code_if_that_is_one(peer: Peer, code: Any, reason: str) -> None:
    error = failure(peer, lambda call: call.answer(body({"result": result("F", code)})))
    assert error.reason == reason


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        *(("unreadable answer", text) for text in (b"", b"[]", b"null", b"<html>", b'{"a":1,"a":2}', b"\xff")),
        ("unreadable answer", b"[" * 99999),
        ("answer without result", b"{}"),
        *(("answer without result", body({"result": value})) for value in (None, "S", ["S"], {}, {"resultStatus": 1})),
    ],
)
def test_an_authentic_answer_that_cannot_be_read_tells_nothing(peer: Peer, reason: str, text: bytes) -> None:
    error = failure(peer, lambda call: signed(call, text))
    assert isinstance(error, OutcomeUnknown)
    assert not isinstance(error, AnswerRefused)
    assert error.reason == reason


def test_an_answer_under_a_key_that_is_new_is_believed_after_one_look_at_the_secret(peer: Peer) -> None:
    held = [secret(), secret(alipayPublicKeys={"2": json.loads(secret())["alipayPublicKeys"]["1"]})]
    now = [0.0]
    reads = []

    def read() -> str:
        reads.append(1)
        return held[min(len(reads), 2) - 1]

    credentials = CredentialsStore(read, lambda: now[0])
    credentials.get()
    now[0] += 60
    peer.script = lambda call: signed(call, version="2")
    assert AlipayGateway(peer.url, credentials).call("payments/pay", b"{}", soon()) == paid()
    assert len(reads) == 2


# --- The base URL ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://open-sea-global.alipay.com",
        "https://open-sea-global.alipay.com/",
        "https://gateway.example:8443",
        "http://localhost",
        "http://localhost:8080/",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
    ],
)
def test_a_gateway_is_https_or_on_this_machine(url: str) -> None:
    AlipayGateway(url, store())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "open-sea-global.alipay.com",
        "//open-sea-global.alipay.com",
        "http://open-sea-global.alipay.com",
        "http://127.0.0.2",
        "http://0.0.0.0",
        "http://localhost.example.com",
        "http://localhost@example.com",
        "http://127.0.0.1.example.com",
        "https://",
        "https:///ams",
        "https://open-sea-global.alipay.com/ams",
        "https://open-sea-global.alipay.com/?a=b",
        "ftp://open-sea-global.alipay.com",
        "file:///etc/passwd",
    ],
)
def test_any_other_gateway_is_refused_before_a_call(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        AlipayGateway(url, store())
