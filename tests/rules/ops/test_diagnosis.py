"""`ops verify`: each kind of fault has its name, and no message is ever given a wrong one."""

import base64
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

import pytest
from autodebit.alipay.credentials import Credentials, parse_credentials
from autodebit.alipay.signature import SignedMessage
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15

from ops.diagnosis import MEANING, diagnose
from ops.pasted import Pasted, parse_pasted
from tests.kit.samples import CLIENT_ID, KEYS, private_key, secret

BASE_URL = "https://abc123.execute-api.eu-central-1.amazonaws.com/v1"
KNOWN = {"1": KEYS["alipay1"]["public"], "2": KEYS["alipay2"]["public"]}


@dataclass(frozen=True)
class Case:
    """A message before it is signed, how it is signed, and what the operator's secret holds."""

    path: str = "/v1/notifications/payment"
    client_id: str = CLIENT_ID
    time: str = "2026-11-22T01:30:03-08:00"
    time_header: str = "Request-Time"
    body: bytes = (
        b'{"notifyType":"PAYMENT_RESULT","result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"\xe6\x88\x90'
        b'/ok"},"paymentRequestId":"ord-1","paymentAmount":{"value":"1990","currency":"HKD"}}'
    )
    key: str = "alipay1"
    version: str = "1"
    digest: type[hashes.HashAlgorithm] = hashes.SHA256
    pss: bool = False
    endpoint: str | None = None

    def signed(self) -> "Message":
        content = SignedMessage(self.path, self.client_id, self.time, self.body).content
        padding = PSS(MGF1(hashes.SHA256()), PSS.MAX_LENGTH) if self.pss else PKCS1v15()
        signature = base64.b64encode(private_key(self.key).sign(content, padding, self.digest())).decode()
        return Message(self.client_id, self.time, self.time_header, self.body, self.version, quote(signature, safe=""))


@dataclass(frozen=True)
class Message:
    """A message as it arrives."""

    client_id: str | None
    time: str | None
    time_header: str
    body: bytes
    version: str
    signature: str | None
    algorithm: str = "RSA256"

    def pasted(self) -> Pasted:
        lines = ["HTTP/1.1 200 OK", "content-type: application/json"]
        lines += [f"Client-Id: {self.client_id}"] if self.client_id else []
        lines += [f"{self.time_header}: {self.time}"] if self.time else []
        if self.signature is not None:
            lines.append(f"signature: algorithm={self.algorithm},keyVersion={self.version},signature={self.signature}")
        return parse_pasted("\r\n".join(lines).encode() + b"\r\n\r\n" + self.body)


def credentials(**changes: object) -> Credentials:
    return parse_credentials(secret(**({"alipayPublicKeys": KNOWN} | changes)))


OURS = credentials()
NOTIFICATION = Case()
ANSWER = Case(path="/ams/sandbox/api/v1/payments/pay", time_header="response-time")


def raw(message: Message) -> str:
    """The signature's bare base64."""
    return unquote(message.signature or "")


def one_more(body: bytes, chance: random.Random) -> bytes:
    """The body, one digit of it another."""
    places = [place for place, sign in enumerate(body) if chr(sign).isdigit()]
    place = chance.choice(places)
    return body[:place] + str((int(chr(body[place])) + 1) % 10).encode() + body[place + 1 :]


Change = Callable[[Case, random.Random], tuple[Message, Credentials]]


def before(**changes: object) -> Change:
    """A fault of what was signed, or with what."""
    return lambda case, _: (replace(case, **changes).signed(), OURS)  # type: ignore[arg-type]


def after(change: Callable[[Message, random.Random], Message]) -> Change:
    """A fault of what arrived."""
    return lambda case, chance: (change(case.signed(), chance), OURS)


def plus(case: Case, chance: random.Random) -> tuple[Message, Credentials]:
    """A signature with a `+` in it, read like a form."""
    while "+" not in raw(message := case.signed()):
        case = replace(case, body=case.body + b" ", time=case.time)
    return replace(message, signature=raw(message).replace("+", " ")), OURS


def url_safe(case: Case, chance: random.Random) -> tuple[Message, Credentials]:
    while not set("+/") & set(raw(message := case.signed())):
        case = replace(case, body=case.body + b" ")
    return replace(message, signature=raw(message).replace("+", "-").replace("/", "_")), OURS


def flipped(message: Message, chance: random.Random) -> Message:
    signature = bytearray(base64.b64decode(raw(message)))
    signature[chance.randrange(8, len(signature))] ^= 1 << chance.randrange(8)
    return replace(message, signature=quote(base64.b64encode(bytes(signature)), safe=""))


def cut(message: Message, chance: random.Random) -> Message:
    text = raw(message)
    return replace(message, signature=quote(text[: chance.randrange(1, len(text) - 5)], safe=""))


def respelled(message: Message, chance: random.Random) -> Message:
    document = json.loads(message.body)
    spelled = chance.choice(
        [
            json.dumps(document),
            json.dumps(document, indent=2),
            json.dumps(document, ensure_ascii=False, separators=(", ", ":")),
            json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/"),
        ]
    )
    return replace(message, body=spelled.encode())


def retimed(message: Message, chance: random.Random) -> Message:
    spelled = ["2026-11-22T09:30:03Z", "2026-11-22T09:30:03+00:00", "2026-11-22T17:30:03+08:00", "1795339803000"]
    return replace(message, time=chance.choice(spelled))


KINDS: dict[str, tuple[str, Change, tuple[Case, ...]]] = {
    "genuine": ("", before(), (NOTIFICATION, ANSWER)),
    "genuine under the second key": ("", before(key="alipay2", version="2"), (NOTIFICATION, ANSWER)),
    "no signature": ("signature-missing", after(lambda m, _: replace(m, signature=None)), (NOTIFICATION, ANSWER)),
    "another algorithm": ("algorithm", after(lambda m, _: replace(m, algorithm="RSA512")), (NOTIFICATION, ANSWER)),
    "the other key's version": ("key-version", before(version="2"), (NOTIFICATION, ANSWER)),
    "a version that is unknown": ("key-version", before(version="7"), (NOTIFICATION, ANSWER)),
    "another merchant's": ("client-id", before(client_id="SANDBOX_OTHER"), (NOTIFICATION, ANSWER)),
    "client id changed": ("client-id", after(lambda m, _: replace(m, client_id="5YOTHER")), (NOTIFICATION, ANSWER)),
    "client id lost": ("client-id", after(lambda m, _: replace(m, client_id=None)), (NOTIFICATION, ANSWER)),
    "live client id": ("environment", before(client_id=CLIENT_ID.removeprefix("SANDBOX_")), (NOTIFICATION, ANSWER)),
    "live path": ("environment", before(path="/ams/api/v1/payments/pay"), (ANSWER,)),
    "time lost": ("time-missing", after(lambda m, _: replace(m, time=None)), (NOTIFICATION,)),
    "time written anew": ("time", after(retimed), (NOTIFICATION, ANSWER)),
    "stage left out": ("stage", before(path="/notifications/payment"), (NOTIFICATION,)),
    "another stage": ("stage", before(path="/prod/notifications/payment"), (NOTIFICATION,)),
    "path of another route": ("path", before(path="/v1/notifications/refund"), (NOTIFICATION,)),
    "path with a slash at its end": ("path", before(path="/v1/notifications/payment/"), (NOTIFICATION,)),
    "the whole URL": ("path", before(path=f"{BASE_URL}/notifications/payment"), (NOTIFICATION,)),
    "answer to another call": ("path", before(endpoint="payments/cancel"), (ANSWER,)),
    "body written anew": ("body-reserialized", after(respelled), (NOTIFICATION, ANSWER)),
    "line end at the end": ("body-line-ends", after(lambda m, _: replace(m, body=m.body + b"\n")), (NOTIFICATION,)),
    "byte order mark": ("body-bom", after(lambda m, _: replace(m, body=b"\xef\xbb\xbf" + m.body)), (NOTIFICATION,)),
    "still base64": ("body-base64", after(lambda m, _: replace(m, body=base64.b64encode(m.body))), (NOTIFICATION,)),
    "read as Latin-1": (
        "body-charset",
        after(lambda m, _: replace(m, body=m.body.decode("latin-1").encode())),
        (NOTIFICATION, ANSWER),
    ),
    "a digit changed": ("content", after(lambda m, c: replace(m, body=one_more(m.body, c))), (NOTIFICATION, ANSWER)),
    "plus read as blank": ("plus-as-blank", plus, (NOTIFICATION, ANSWER)),
    "URL-safe base64": ("url-safe-base64", url_safe, (NOTIFICATION, ANSWER)),
    "encoded twice": (
        "encoded-twice",
        after(lambda m, _: replace(m, signature=quote(m.signature or "", safe=""))),
        (NOTIFICATION, ANSWER),
    ),
    "equal signs lost": (
        "base64-padding",
        after(lambda m, _: replace(m, signature=raw(m).rstrip("="))),
        (NOTIFICATION, ANSWER),
    ),
    "in quotes": ("quotes", after(lambda m, _: replace(m, signature=f'"{m.signature}"')), (NOTIFICATION, ANSWER)),
    "not base64": ("encoding", after(lambda m, _: replace(m, signature=f"!{raw(m)[1:]}")), (NOTIFICATION, ANSWER)),
    "cut short": ("cut-short", after(cut), (NOTIFICATION, ANSWER)),
    "own public key for Alipay's": (
        "own-public-key",
        lambda case, _: (case.signed(), credentials(alipayPublicKeys={"1": KEYS["merchant"]["public"]})),
        (NOTIFICATION, ANSWER),
    ),
    "signed with the own key": ("own-signature", before(key="merchant"), (NOTIFICATION, ANSWER)),
    "SHA-1": ("digest", before(digest=hashes.SHA1), (NOTIFICATION, ANSWER)),
    "SHA-512": ("digest", before(digest=hashes.SHA512), (NOTIFICATION, ANSWER)),
    "PSS": ("pss", before(pss=True), (NOTIFICATION, ANSWER)),
    "a stranger's key": (
        "unknown-key",
        lambda case, _: (replace(case, key="alipay2").signed(), credentials(alipayPublicKeys={"1": KNOWN["1"]})),
        (NOTIFICATION, ANSWER),
    ),
    "one bit flipped": ("unknown-key", after(flipped), (NOTIFICATION, ANSWER)),
}


def named(kind: str, case: Case, chance: random.Random) -> tuple[list[str], list[str]]:
    """The names that it ought to have, and those that it has."""
    name, change, _ = KINDS[kind]
    message, secret_ = change(case, chance)
    endpoint = "payments/cancel" if kind == "answer to another call" else None
    return [name] if name else [], diagnose(message.pasted(), secret_, BASE_URL, endpoint)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_fault_has_its_name(kind: str) -> None:
    for case in KINDS[kind][2]:
        expected, found = named(kind, case, random.Random(1))
        assert found == expected


def test_a_thousand_mutated_messages_get_no_wrong_name() -> None:
    chance = random.Random(20261122)
    wrong = []
    for number in range(1000):
        kind = chance.choice(list(KINDS))
        case = chance.choice(KINDS[kind][2])
        body = json.loads(case.body) | {"paymentRequestId": f"ord-{number}", "paymentId": str(chance.getrandbits(80))}
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        expected, found = named(kind, replace(case, body=text), chance)
        if found != expected:
            wrong.append((kind, expected, found))
    assert wrong == []


TOGETHER = ("stage left out", "body written anew", "time written anew", "client id changed", "encoded twice")


@pytest.mark.parametrize("kind", [kind for kind in TOGETHER if kind != "stage left out"])
def test_two_faults_at_once_are_both_named(kind: str) -> None:
    case = replace(NOTIFICATION, path="/notifications/payment")
    expected, found = named(kind, case, random.Random(2))
    assert set(found) == {*expected, "stage"}


def test_at_least_fifteen_kinds_are_told_apart_and_each_name_is_explained() -> None:
    names = {name for name, _, _ in KINDS.values() if name}
    assert len(names) >= 15
    assert names <= set(MEANING)
    assert set(MEANING) - names <= {"signature-header", "too-long"}


@pytest.mark.parametrize(("header", "name"), [("RSA256", "signature-header"), ("a=b", "signature-header")])
def test_a_header_without_a_signature_is_named(header: str, name: str) -> None:
    pasted = Pasted({"signature": header, "request-time": "x"}, b"{}")
    assert diagnose(pasted, OURS, BASE_URL) == [name]


def test_what_is_too_long_is_named() -> None:
    message = NOTIFICATION.signed()
    longer = quote(base64.b64encode(base64.b64decode(raw(message)) + b"xyz"), safe="")
    assert diagnose(replace(message, signature=longer).pasted(), OURS, BASE_URL) == ["too-long"]


def test_a_header_that_was_wrapped_is_read_as_one() -> None:
    text = b"POST / HTTP/1.1\nsignature: algorithm=RSA256,\n  keyVersion=1\nclient-id: x\n\n{}\n"
    pasted = parse_pasted(text)
    assert pasted.headers == {"signature": "algorithm=RSA256,keyVersion=1", "client-id": "x"}
    assert pasted.body == b"{}\n"
