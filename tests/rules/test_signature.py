"""Alipay's signature: fixed vectors with fixed keys, the official SDK in both directions, and every forgery at hand."""

import base64
import hashlib
import json
import subprocess
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

import pytest
from autodebit.alipay.credentials import parse_public_key
from autodebit.alipay.signature import SignedMessage, parse_header, sign, verify
from autodebit.errors import SignatureInvalid
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kit.samples import CLIENT_ID, KEYS, SDK_PYTHON, VECTORS, private_key, public_key
from tests.kit.waiting import GENEROUS_S

PUBLIC_KEYS = {"1": public_key("alipay1"), "2": public_key("alipay2")}


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


def message(vector: dict[str, str]) -> SignedMessage:
    return SignedMessage(vector["path"], vector["clientId"], vector["time"], vector["body"].encode())


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"]).replace(" ", "-")


REQUESTS = vectors("requests.json")["vectors"]
NOTIFICATION = vectors("notification.json")
NOTIFIED = message(NOTIFICATION)
NOTIFIED_KEYS = {"1": parse_public_key(NOTIFICATION["publicKey"])}


# --- Fixed vectors -----------------------------------------------------------------------------------------------


def test_the_content_of_the_published_notification_is_these_bytes() -> None:
    assert len(NOTIFIED.content) == NOTIFICATION["contentLength"]
    assert hashlib.sha256(NOTIFIED.content).hexdigest() == NOTIFICATION["contentSha256"]


def test_the_published_notification_verifies() -> None:
    assert verify(NOTIFIED, NOTIFICATION["signature"], NOTIFIED_KEYS) == "1"


@pytest.mark.parametrize("vector", REQUESTS, ids=named)
def test_a_request_is_signed_with_these_bytes(vector: dict[str, str]) -> None:
    assert sign(message(vector), private_key("merchant"), vector["keyVersion"]) == vector["signature"]


def test_the_header_carries_the_key_version_it_is_told() -> None:
    assert sign(NOTIFIED, private_key("merchant"), "17").startswith("algorithm=RSA256,keyVersion=17,signature=")


# --- Any changed byte --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["path", "client_id", "time", "body"])
def test_no_byte_of_the_message_can_be_changed(part: str) -> None:
    original = getattr(NOTIFIED, part)
    for place in range(len(original)):
        if isinstance(original, bytes):
            changed: Any = original[:place] + bytes([original[place] ^ 1]) + original[place + 1 :]
        else:
            changed = original[:place] + chr(ord(original[place]) ^ 1) + original[place + 1 :]
        with pytest.raises(SignatureInvalid):
            verify(replace(NOTIFIED, **{part: changed}), NOTIFICATION["signature"], NOTIFIED_KEYS)


def test_no_byte_of_the_signature_can_be_changed() -> None:
    head, value = NOTIFICATION["signature"].split("signature=")
    raw = base64.b64decode(unquote(value))
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(SignatureInvalid):
            verify(NOTIFIED, f"{head}signature={quote(base64.b64encode(changed), safe='')}", NOTIFIED_KEYS)


def test_a_signature_has_one_spelling_in_base64() -> None:
    """Four bits of the last character before the padding mean nothing; other bits than zero there are a change too."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    plain = unquote(NOTIFICATION["signature"])
    assert plain.endswith("==")
    for changed in alphabet.replace(plain[-3], ""):
        with pytest.raises(SignatureInvalid):
            verify(NOTIFIED, f"{plain[:-3]}{changed}==", NOTIFIED_KEYS)


def test_bytes_cannot_move_from_one_part_of_the_message_to_the_next() -> None:
    moved = NOTIFIED.time + "." + NOTIFIED.body[:4].decode()
    for shifted in (
        replace(NOTIFIED, time=moved, body=NOTIFIED.body[4:]),
        replace(NOTIFIED, path=NOTIFIED.path + "\n", client_id=NOTIFIED.client_id),
        replace(NOTIFIED, path=f"{NOTIFIED.path}\n{NOTIFIED.client_id}", client_id=""),
    ):
        with pytest.raises(SignatureInvalid):
            verify(shifted, NOTIFICATION["signature"], NOTIFIED_KEYS)


# --- Keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("versions", [["1"], ["0", "1"], ["2", "10"], ["9", "10", "11"], ["1", "2", "100"]])
def test_without_a_version_the_newest_key_is_meant_and_ten_is_newer_than_nine(versions: list[str]) -> None:
    keys = dict.fromkeys(versions, public_key("alipay1")) | {versions[-1]: public_key("alipay2")}
    value = sign(NOTIFIED, private_key("alipay2"), "x").split("signature=")[1]
    assert verify(NOTIFIED, f"algorithm=RSA256,signature={value}", dict(reversed(keys.items()))) == versions[-1]


def test_no_key_verifies_nothing() -> None:
    for header in (NOTIFICATION["signature"], NOTIFICATION["signature"].replace("keyVersion=1,", "")):
        with pytest.raises(SignatureInvalid):
            verify(NOTIFIED, header, {})


@pytest.mark.parametrize(
    ("version", "name"), [("1", "alipay2"), ("1", "merchant"), ("0", "alipay1"), ("01", "alipay1")]
)
def test_a_key_verifies_under_its_own_version_alone(version: str, name: str) -> None:
    with pytest.raises(SignatureInvalid):
        verify(NOTIFIED, sign(NOTIFIED, private_key(name), version), PUBLIC_KEYS)


@pytest.mark.parametrize(
    ("version", "named"),
    [
        ("7", "7"),
        ("123456789", "123456789"),
        ("1234567890", "that is no number"),
        ("x", "that is no number"),
        ("", "that is no number"),
    ],
)
def test_an_unknown_key_version_is_named_if_it_is_one(version: str, named: str) -> None:
    header = NOTIFICATION["signature"].replace("keyVersion=1,", f"keyVersion={version},")
    with pytest.raises(SignatureInvalid, match=f"^key version {named}$"):
        verify(NOTIFIED, header, NOTIFIED_KEYS)


# --- Untrusted headers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["path", "client_id", "time"])
@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "é", "\0", "\n", "\x80", "🎬", "", "x" * 100_000])
def test_a_message_in_whatever_characters_is_refused_as_a_forgery(part: str, text: str) -> None:
    """A codec's error must not become a fault of ours: anybody can reach the notify URL."""
    changed: Any = {part: text}
    with pytest.raises(SignatureInvalid):
        verify(replace(NOTIFIED, **changed), NOTIFICATION["signature"], NOTIFIED_KEYS)


def test_a_header_is_read_pair_by_pair() -> None:
    assert parse_header("algorithm=RSA256, keyVersion=0, signature=QUI=") == ("RSA256", "0", b"AB")
    assert parse_header("signature=QUI%3D") == (None, None, b"AB")
    assert parse_header("signature=QUJD") == (None, None, b"ABC")


@pytest.mark.parametrize("value", ["", "=", "%3D", "QUJ", "é", "QUI =", "Q-I="])
def test_a_signature_that_is_no_base64_is_refused_as_such(value: str) -> None:
    with pytest.raises(SignatureInvalid, match=r"^encoding$"):
        parse_header(f"signature={value}")


names = st.sampled_from(["algorithm", "keyVersion", "signature", "Signature", "", " "]) | st.text(max_size=5)
values = st.sampled_from(["RSA256", "1", "none", "QUI%3D", "QUI=", "=", "%", "%zz", "\ud800", "%ff"]) | st.text(
    max_size=9
)
headers = st.lists(st.tuples(names, values).map("=".join), max_size=5).map(",".join) | st.text(max_size=40)


@given(
    header=headers,
    path=st.text(max_size=5),
    client_id=st.text(max_size=5),
    time=st.text(alphabet=st.characters(), max_size=5),
    text=st.binary(max_size=9),
)
@example(header="algorithm=RSA256,keyVersion=1,signature=QUI=", path="\ud800", client_id="", time="", text=b"")
@example(header="algorithm=RSA256,keyVersion=1,signature=%\ud800", path="", client_id="", time="", text=b"")
@settings(max_examples=400)
def test_whatever_comes_is_refused_and_nothing_else_is_raised(
    header: str, path: str, client_id: str, time: str, text: bytes
) -> None:
    with pytest.raises(SignatureInvalid):
        verify(SignedMessage(path, client_id, time, text), header, PUBLIC_KEYS)


@given(path=st.text(max_size=9), client_id=st.text(max_size=9), time=st.text(max_size=9), text=st.binary(max_size=50))
@settings(max_examples=30)
def test_what_is_signed_verifies(path: str, client_id: str, time: str, text: bytes) -> None:
    signed = SignedMessage(path, client_id, time, text)
    assert verify(signed, sign(signed, private_key("alipay2"), "2"), PUBLIC_KEYS) == "2"


# --- The official SDK --------------------------------------------------------------------------------------------

SDK = """
import json, sys
from com.alipay.ams.api.tools.signature_tool import sign, verify
from com.alipay.ams.api.tools.webhook_tool import check_signature
work = json.load(sys.stdin)
answers = {"signed": [], "verified": []}
for m in work["sign"]:
    answers["signed"].append(sign("POST", m["path"], m["clientId"], m["time"], m["body"], m["privateKey"]))
for m in work["verify"]:
    try:
        answers["verified"].append(
            check_signature("POST", m["path"], m["clientId"], m["time"], m["body"], m["signature"], m["publicKey"]))
    except Exception as error:
        answers["verified"].append(type(error).__name__)
json.dump(answers, sys.stdout)
"""


def by_the_official_sdk(work: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [SDK_PYTHON, "-c", SDK], input=json.dumps(work), capture_output=True, text=True, check=True, timeout=GENEROUS_S
    )
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_the_official_sdk_and_this_one_believe_each_other() -> None:
    bodies = ["", "{}", NOTIFICATION["body"], '{"a" : "\\u00e9\\/",\n "電影": "🎬"}', "x" * 10_000]
    messages = [
        {"path": path, "clientId": CLIENT_ID, "time": time, "body": text}
        for text in bodies
        for path, time in (
            ("/v1/notifications/payment", "2026-11-22T01:30:03-08:00"),
            ("/ams/sandbox/api/v1/payments/pay", "1795339803871"),
        )
    ]
    forged = {**messages[4], "body": messages[4]["body"].replace("1990", "9990")}
    ours = [sign(message(m), private_key("merchant"), "1") for m in messages]
    public = KEYS["merchant"]["public"]
    answers = by_the_official_sdk(
        {
            "sign": [m | {"privateKey": KEYS["alipay1"]["pkcs8"]} for m in messages],
            "verify": [
                *(m | {"signature": header, "publicKey": public} for m, header in zip(messages, ours, strict=True)),
                forged | {"signature": ours[4], "publicKey": public},
                messages[4] | {"signature": ours[4], "publicKey": KEYS["alipay1"]["public"]},
                NOTIFICATION,
            ],
        }
    )
    assert answers["verified"] == [True] * len(messages) + ["VerificationError"] * 2 + [True]
    for m, value in zip(messages, answers["signed"], strict=True):
        header = f"algorithm=RSA256,keyVersion=1,signature={value}"
        assert verify(message(m), header, PUBLIC_KEYS) == "1"
        # RSA with PKCS#1 v1.5 is deterministic: both must come to the same bytes.
        assert header == sign(message(m), private_key("alipay1"), "1")
