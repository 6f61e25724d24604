"""What is fuzzed: each target reads one input, raises only what is documented, and checks what was accepted.

What a target hands to `timed` is the code under test, and alone counts as its time.
"""

import base64
import itertools
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autodebit.alipay import gateway
from autodebit.alipay.credentials import CredentialsStore, parse_credentials
from autodebit.alipay.reading import Final
from autodebit.alipay.signature import SignedMessage
from autodebit.api import body_of, headers_of
from autodebit.errors import (
    CredentialsUnavailable,
    NotificationMalformed,
    OutcomeUnknown,
    RequestInvalid,
    SignatureInvalid,
)
from autodebit.payment.notification import parse_notification
from autodebit.payment.order import Status
from autodebit.payment.outcome import DECIDED_BY_INQUIRY, read_inquiry, read_notification, read_pay
from autodebit.payment.request import parse_pay_request
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.samples import (
    CLIENT_ID,
    ID,
    KEYS,
    NOW,
    VECTORS,
    body,
    full_request,
    order,
    paid,
    request,
    result,
    secret,
)

Timed = Callable[..., Any]

NOTIFY_PATH = "/v1/notifications/payment"
NOTIFY_URL = f"https://pay.example.com{NOTIFY_PATH}"

_FILLED_IN = {"productCode", "paymentNotifyUrl", "paymentExpiryTime"}


@dataclass(frozen=True)
class Target:
    """`share` of all executions goes to it, in percent."""

    share: int
    seeds: list[bytes]
    check: Callable[[Timed, bytes], None]


def _unless(refusal: type[Exception], timed: Timed, function: Any, *arguments: Any) -> Any:
    """What the function returns, or the one refusal that is documented; anything else it raises is a finding."""
    try:
        return timed(function, *arguments)
    except refusal as error:
        return error


# --- The merchant's request --------------------------------------------------------------------------------------


def pay_request(timed: Timed, text: bytes, now: datetime = NOW) -> None:
    """Refused with at least one fault and no more than fit an answer, or a payment that survives being sent."""
    read = _unless(RequestInvalid, timed, parse_pay_request, text, now)
    if isinstance(read, RequestInvalid):
        assert 1 <= len(read.errors) <= 101
        assert all(len(error.field) <= 512 and error.detail for error in read.errors)
        return
    assert re.fullmatch("[A-Za-z0-9_-]{1,64}", read.payment_request_id)
    assert re.fullmatch("[1-9][0-9]{0,15}", read.amount.value)
    assert re.fullmatch("[A-Z]{3}", read.amount.currency)
    sent = timed(read.pay_call, timed(read.expiry_time, now), NOTIFY_URL)
    fields = json.loads(sent.body)
    assert (fields["productCode"], fields["paymentNotifyUrl"]) == ("AGREEMENT_PAYMENT", NOTIFY_URL)
    given_fields = {name: value for name, value in fields.items() if name not in _FILLED_IN}
    if "paymentExpiryTime" in read.fields:
        given_fields["paymentExpiryTime"] = fields["paymentExpiryTime"]
    assert given_fields == read.fields
    again = parse_pay_request(json.dumps(given_fields).encode(), now)
    assert again.pay_call(again.expiry_time(now), NOTIFY_URL) == sent
    assert timed(lambda: read.identity) == again.identity


# --- What Alipay says --------------------------------------------------------------------------------------------


def _is_the_orders(message: dict[str, Any]) -> None:
    """It names the order's own id, amount and currency; written anew, not as `outcome` does it."""
    assert message["paymentRequestId"] == ID
    assert message["paymentAmount"]["currency"] == "HKD"
    assert message["paymentAmount"]["value"] == "1990"


def notification(timed: Timed, text: bytes) -> None:
    """Refused, or read; a success only of PAYMENT_RESULT with S, about this id, amount and currency."""
    message = _unless(NotificationMalformed, timed, parse_notification, text)
    if isinstance(message, NotificationMalformed):
        return
    assert message == _said(json.loads(text)) or _has_nan(text)
    reading = timed(read_notification, order(), message)
    if isinstance(reading, Final):
        assert message["notifyType"] == "PAYMENT_RESULT"
        assert message["result"]["resultStatus"] == {Status.SUCCESS: "S", Status.FAIL: "F"}[reading.status]
        _is_the_orders(message)


def answer(timed: Timed, text: bytes) -> None:
    """Nothing, or read as the answer of pay and of inquiryPayment; a success names id, amount and currency."""
    message = _unless(OutcomeUnknown, timed, gateway._read, text)
    if isinstance(message, OutcomeUnknown):
        return
    status, code = message["result"]["resultStatus"], message["result"].get("resultCode")
    decided_by_inquiry = isinstance(code, str) and code in DECIDED_BY_INQUIRY  # it may be anything, a list too
    for first_call in (True, False):
        reading = timed(read_pay, order(), message, first_call=first_call)
        if isinstance(reading, Final):
            assert status == {Status.SUCCESS: "S", Status.FAIL: "F"}[reading.status]
            assert reading.status is Status.SUCCESS or (first_call and not decided_by_inquiry)
            if reading.status is Status.SUCCESS:
                _is_the_orders(message)
    reading = timed(read_inquiry, order(), message)
    if isinstance(reading, Final):
        assert (status, message["paymentStatus"]) == ("S", reading.status.value)
        if reading.status is Status.SUCCESS:
            _is_the_orders(message)


def _said(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what is null or empty in it, objects within objects too."""
    for name, value in list(message.items()):
        if isinstance(value, dict):
            message[name] = _said(value)
        if message[name] is None or message[name] == "" or message[name] == {}:
            del message[name]
    return message


def _has_nan(text: bytes) -> bool:
    """Whether a number that is none, and so not equal to itself, may be in it."""
    return b"NaN" in text


# --- The webhook, up to what is believed -------------------------------------------------------------------------

_DOCUMENT = json.loads((VECTORS / "notifications.json").read_text("utf-8"))


def _flat(vector: dict[str, Any]) -> dict[str, str]:
    """What is signed and the signature, of a vector whose body is text."""
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    return {
        "signature": headers.get("signature", ""),
        "time": headers.get("request-time", ""),
        "body": vector["body"],
        "verdict": vector["verdict"],
    }


_VECTORS = [
    _flat(vector)
    for vector in _DOCUMENT["vectors"]
    if vector["path"] == NOTIFY_PATH and CLIENT_ID in vector["headers"].values() and "body" in vector
]
_GENUINE = [vector for vector in _VECTORS if vector["verdict"] == "accept"]
_SIGNED_BODIES = {vector["body"].encode() for vector in _GENUINE}
_SIGNED = {SignedMessage(NOTIFY_PATH, CLIENT_ID, v["time"], v["body"].encode()).content for v in _GENUINE}

_SECRET = secret(alipayPublicKeys=_DOCUMENT["receiver"]["publicKeys"])
_seconds = itertools.count()
_store = CredentialsStore(lambda: _SECRET, lambda: float(next(_seconds)))


def _posted(kind: str, headers: dict[str, str], text: bytes) -> bytes:
    return "\n".join([kind, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + text


def _vector_posted(vector: dict[str, str], kind: str = "text") -> bytes:
    headers = {"Signature": vector["signature"], "client-id": CLIENT_ID, "Request-Time": vector["time"]}
    text = vector["body"].encode()
    return _posted(kind, headers, base64.b64encode(text) if kind == "base64" else text)


def webhook(timed: Timed, posted: bytes) -> None:
    """Refused, unless the bytes that count are ones that Alipay signed; `posted` is a kind, headers and a body."""
    head, _, text = posted.partition(b"\n\n")
    kind, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    event = {
        "isBase64Encoded": kind == "base64",
        "headers": {name: value for name, _, value in (line.partition(": ") for line in lines)},
        "body": text.decode("utf-8", "surrogateescape"),
    }
    headers, came = timed(headers_of, event), timed(body_of, event)
    message = SignedMessage(NOTIFY_PATH, headers.get("client-id", ""), headers.get("request-time", ""), came)
    version = _unless(SignatureInvalid, timed, _store.authenticate, message, headers.get("signature", ""))
    if isinstance(version, SignatureInvalid):
        return
    assert version in ("1", "2")
    assert message.content in _SIGNED
    with suppress(NotificationMalformed):
        timed(parse_notification, came)
        assert came in _SIGNED_BODIES


# --- The secret --------------------------------------------------------------------------------------------------


_PRIVATE = KEYS["merchant"]["pkcs8"]


def credentials(timed: Timed, text: bytes) -> None:
    """Usable keys of 2,048 bits, or a refusal that names the field and quotes none of them."""
    read = _unless(CredentialsUnavailable, timed, parse_credentials, text.decode("utf-8", "replace"))
    if isinstance(read, CredentialsUnavailable):
        assert _PRIVATE[100:140] not in str(read)
        return
    assert read.client_id.isprintable()
    assert read.alipay_public_keys
    assert all(key.key_size >= 2048 for key in read.alipay_public_keys.values())
    timed(read.holds_own_public_key)
    key = _unless(CredentialsUnavailable, timed, lambda: read.private_key)
    assert isinstance(key, CredentialsUnavailable) or key.key_size >= 2048


# --- Structured: what bytes alone would seldom come to ------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def _changed(document: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """The document with some of its fields, at whatever depth, replaced, removed or joined by others."""
    paths = st.sampled_from(paths_in(document))
    values = _json | st.sampled_from(
        ["", "S", "F", "U", "HKD", "0", "1990", ID, "SUCCESS", "FAIL", "CANCELLED", "x" * 300]
    )
    edits = st.lists(st.tuples(paths, st.sampled_from(["set", "drop", "add"]), values), max_size=4)
    return edits.map(lambda made: json.dumps(_edited(json.loads(json.dumps(document)), made)).encode())


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, one in inner for found in [(*path, name), *paths_in(one, (*path, name))]]


def _edited(document: Any, edits: list[tuple[tuple[Any, ...], str, Any]]) -> Any:
    for (*way, last), what, value in edits:
        with suppress(LookupError, TypeError):  # an earlier edit has taken the way there
            place = document
            for name in way:
                place = place[name]
            if what == "drop":
                del place[last]
            else:
                place[last if what == "set" else f"{last}2"] = value
    return document


_SPOILS = [
    ",",
    "=",
    "%",
    "%3D",
    "%2B",
    " ",
    "+",
    "/",
    "-",
    "_",
    "\n",
    "\0",
    "A",
    "\ud800",
    "é",
    "keyVersion=2",
    "signature=",
]
_header_edits = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 3), st.sampled_from(_SPOILS)), max_size=3)


def _structured(
    check: Callable[[Timed, bytes], None], inputs: st.SearchStrategy[bytes]
) -> Callable[[Timed, bytes], None]:
    """A check of inputs that hypothesis makes out of the fuzzer's bytes."""
    clock: list[Timed] = []

    @settings(database=None, deadline=None)
    @given(inputs)
    def checked(made: bytes) -> None:
        check(clock[-1], made)

    fuzz_one = vars(checked)["hypothesis"].fuzz_one_input

    def run(timed: Timed, data: bytes) -> None:
        clock[:] = [timed]
        fuzz_one(data)

    return run


@st.composite
def _spoilt_vectors(draw: st.DrawFn) -> bytes:
    vector = dict(draw(st.sampled_from(_GENUINE)))
    for place, lost, spoil in draw(_header_edits):
        part = draw(st.sampled_from(["signature", "time", "body"]))
        at = place % (len(vector[part]) + 1)
        vector[part] = vector[part][:at] + spoil + vector[part][at + lost :]
    headers = {"Signature": vector["signature"], "client-id": CLIENT_ID, "Request-Time": vector["time"]}
    head = "\n".join(["text", *(f"{name}: {value}" for name, value in headers.items()), "", ""])
    return (head + vector["body"]).encode("utf-8", "surrogatepass")


_UNTYPICAL = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xef\xbb\xbf{}",
    b'{"a":1e400}',
    b'{"a":"\\ud800"}',
    b'{"a":1,"a":2}',
    b'{"a":' * 2000 + b"1" + b"}" * 2000,
    b"[" * 12_000,
    b'{"a":' + b"9" * 5000 + b"}",
]
_MESSAGES = [
    body(paid()),
    body(paid(notifyType="PAYMENT_PENDING")),
    body(paid(result=result("F", "USER_BALANCE_NOT_ENOUGH"), paymentStatus="FAIL")),
    body(paid(result=result("U", "PAYMENT_IN_PROCESS"), paymentStatus="PROCESSING")),
    body(paid(paymentStatus="CANCELLED")),
    body(paid(paymentAmount={"value": "1", "currency": "USD"})),
    body({"result": result("F", "ORDER_NOT_EXIST")}),
]
_PEM = f"-----BEGIN PUBLIC KEY-----\n{KEYS['alipay1']['public']}\n-----END PUBLIC KEY-----"

TARGETS = {
    "pay_request": Target(27, [body(request()), body(full_request()), *_UNTYPICAL], pay_request),
    "notification": Target(23, [*_MESSAGES, *_UNTYPICAL], notification),
    "answer": Target(18, [*_MESSAGES, *_UNTYPICAL], answer),
    "webhook": Target(
        18, [*(_vector_posted(v) for v in _VECTORS), *(_vector_posted(v, "base64") for v in _GENUINE)], webhook
    ),
    "credentials": Target(
        8,
        [
            _SECRET.encode(),
            secret(alipayPublicKeys={"1": _PEM}).encode(),
            secret(privateKey=KEYS["merchant"]["pkcs1"]).encode(),
            *_UNTYPICAL,
        ],
        credentials,
    ),
    "pay_request_changed": Target(2, [bytes(range(200))], _structured(pay_request, _changed(full_request()))),
    "notification_changed": Target(1, [bytes(range(200))], _structured(notification, _changed(paid()))),
    "answer_changed": Target(1, [bytes(range(200))], _structured(answer, _changed(paid()))),
    "webhook_changed": Target(2, [bytes(range(200))], _structured(webhook, _spoilt_vectors())),
}
