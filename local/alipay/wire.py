"""What Alipay's messages look like on the wire: signatures, their header, times and result objects.

The official SDK signs and verifies here, so a misreading of the signature rules on the merchant's side meets
Alipay's own code and not a second copy of the same misreading.
https://docs.antom.com/ac/ams/digital_signature
"""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import rsa
from com.alipay.ams.api.tools import signature_tool
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key

ACKNOWLEDGEMENT = {"result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success"}}
"""The only body that ends the redelivery of a notification: https://docs.antom.com/ac/scantopay/notification"""

JSON_TYPE = "application/json;charset=UTF-8"

_ALIPAY_ZONE = timezone(timedelta(hours=-8))  # the offset of the documented samples; readers must compare instants


class _ParsedOnce:
    """The one function the SDK takes from `serialization`, with its answer remembered for each key.

    The SDK parses and checks the private key at every call: 40 ms, which allows 25 answers a second.
    """

    load_pem_private_key = staticmethod(lru_cache(maxsize=8)(serialization.load_pem_private_key))


signature_tool.serialization = _ParsedOnce
# 3 ms a call
rsa.PublicKey.load_pkcs1_openssl_pem = lru_cache(maxsize=8)(rsa.PublicKey.load_pkcs1_openssl_pem)


@dataclass
class Keys:
    """The merchant's client id and public keys by keyVersion, and Alipay's own private key; both sides may change."""

    client_id: str
    merchant_public_keys: Mapping[str, str]
    alipay_private_key: str
    alipay_key_version: str

    @staticmethod
    def load(path: Path) -> "Keys":
        content = json.loads(path.read_text(encoding="utf-8"))
        return Keys(
            content["clientId"],
            content["merchantPublicKeys"],
            content["alipayPrivateKey"],
            str(content["alipayKeyVersion"]),
        )

    @property
    def sandbox(self) -> bool:
        """Sandbox ids live on paths of their own: https://docs.antom.com/ac/ams/api_fund"""
        return self.client_id.startswith("SANDBOX_")


class Rejected(Exception):
    """A request the gateway turns away before any payment is looked at; the answer to it is unsigned."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def check_request(keys: Keys, path: str, headers: Mapping[str, str], body: bytes) -> None:
    """Raise `Rejected` unless this is a request from our merchant, validly signed for this path."""
    client_id = headers.get("client-id", "")
    if client_id != keys.client_id:
        raise Rejected("CLIENT_INVALID", "The client is invalid.")
    if path.startswith("/ams/sandbox/") != keys.sandbox:
        raise Rejected("CLIENT_INVALID", "The client does not belong to this environment.")
    time = headers.get("request-time", "")
    if not _is_request_time(time):
        raise Rejected("PARAM_ILLEGAL", "Request-Time is missing or malformed.")
    content_type = headers.get("content-type", JSON_TYPE).lower()
    if not content_type.startswith("application/json"):
        raise Rejected("MEDIA_TYPE_NOT_ACCEPTABLE", "The media type is not acceptable.")

    fields = signature_fields(headers.get("signature", ""))
    if "signature" not in fields or fields.get("algorithm", "RSA256") != "RSA256":
        raise Rejected("INVALID_SIGNATURE", "The signature is invalid.")
    newest = max(keys.merchant_public_keys, key=lambda version: (len(version), version))
    public_key = keys.merchant_public_keys.get(fields.get("keyVersion", newest))
    if public_key is None:
        raise Rejected("KEY_NOT_FOUND", "The key is not found.")
    if not verifies(path, client_id, time, body, fields["signature"], public_key):
        raise Rejected("INVALID_SIGNATURE", "The signature is invalid.")


def _is_request_time(text: str) -> bool:
    """Epoch milliseconds or ISO 8601 with an offset; how old it may be is not documented and not checked."""
    if re.fullmatch(r"[0-9]{13}", text):
        return True
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def signature_fields(header: str) -> dict[str, str]:
    """`algorithm=RSA256, keyVersion=1, signature=...` as a mapping; base64 padding stays with its value."""
    pairs = (part.strip().partition("=") for part in header.split(","))
    return {name: value for name, found, value in pairs if found}


def verifies(path: str, client_id: str, time: str, body: bytes, signature: str, public_key: str) -> bool:
    try:
        text = body.decode("utf-8")
        accepted = signature_tool.verify("POST", path, client_id, time, text, signature, public_key)
    except (rsa.VerificationError, UnicodeDecodeError, binascii.Error, ValueError):
        return False
    return bool(accepted) and _is_sha256(path, client_id, time, body, signature, public_key)


def _is_sha256(path: str, client_id: str, time: str, body: bytes, signature: str, public_key: str) -> bool:
    """The SDK's verifier takes whatever hash the signature names, even SHA-1; the gateway wants SHA-256."""
    content = f"POST {path}\n{client_id}.{time}.".encode() + body
    try:
        _public_key(public_key).verify(
            base64.b64decode(unquote_plus(signature)), content, padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=8)
def _public_key(text: str) -> RSAPublicKey:
    key = serialization.load_der_public_key(base64.b64decode(re.sub(r"-----[^-]+-----", "", text)))
    if not isinstance(key, RSAPublicKey):
        raise ValueError("the merchant's public key is not an RSA key")
    return key


def sign(path: str, client_id: str, time: str, body: bytes, private_key: str) -> str:
    """The signature as the header carries it: base64, percent-encoded."""
    signature: str = signature_tool.sign("POST", path, client_id, time, body.decode("utf-8"), private_key)
    return signature


@cache
def other_private_key() -> str:
    """A key that belongs to nobody, for messages that somebody else signed."""
    der = generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return base64.b64encode(der).decode()


def sealed(keys: Keys, seal: str, path: str, client_id: str, time: str, body: bytes) -> str:
    """The signature under `seal`: `signed` by Alipay, by `otherkey`, or random bytes (`badsig`)."""
    if seal == "badsig":
        return quote_plus(base64.b64encode(secrets.token_bytes(256)).decode())
    return sign(path, client_id, time, body, other_private_key() if seal == "otherkey" else keys.alipay_private_key)


def response_headers(keys: Keys, seal: str, path: str, body: bytes) -> dict[str, str]:
    """The headers of an answer; an unsigned one lacks signature and response-time together.

    https://docs.antom.com/ac/ams/digital_signature
    """
    headers = {"Content-Type": JSON_TYPE, "client-id": keys.client_id}
    if seal == "unsigned":
        return headers
    time = iso_seconds(datetime.now(UTC))
    signature = sealed(keys, seal, path, keys.client_id, time, body)
    # Answers have a blank after each comma, notifications have none: both occur in the documentation.
    header = f"algorithm=RSA256, keyVersion={keys.alipay_key_version}, signature={signature}"
    return headers | {"response-time": time, "signature": header}


def iso_seconds(at: datetime) -> str:
    """ISO 8601 with an offset, in whole seconds, as in every documented sample."""
    return at.astimezone(_ALIPAY_ZONE).isoformat(timespec="seconds")


def iso_of_epoch(at_s: float) -> str:
    return iso_seconds(datetime.fromtimestamp(at_s, UTC))


def encode(document: Mapping[str, Any]) -> bytes:
    r"""JSON as bytes: UTF-8 unescaped, `/` escaped.

    Both are legal, and neither survives being parsed and written again: only the bytes received verify.
    """
    return json.dumps(document, ensure_ascii=False).replace("/", "\\/").encode("utf-8")


def altered(body: bytes) -> bytes:
    """The body with one digit changed: still JSON, no longer what was signed."""
    return re.sub(rb"[0-9]", lambda digit: b"%d" % ((int(digit[0]) + 1) % 10), body, count=1)


_MESSAGES = {
    "SUCCESS": "success.",
    "PAYMENT_IN_PROCESS": "payment in process",
    "USER_BALANCE_NOT_ENOUGH": "The user balance is not enough.",
    "ORDER_NOT_EXIST": "The order does not exist.",
    "ORDER_IS_CLOSED": "The order is closed.",
    "ORDER_IS_CANCELED": "The order is canceled.",
    "REPEAT_REQ_INCONSISTENT": "Repeated requests are inconsistent.",
}


def message_of(code: str) -> str:
    return _MESSAGES.get(code, code.replace("_", " ").capitalize() + ".")


def result(status: str, code: str, message: str | None = None) -> dict[str, str]:
    """`resultStatus` S, F or U; nobody may decide on `resultMessage`, whose wording varies."""
    return {
        "resultCode": code,
        "resultStatus": status,
        "resultMessage": message if message is not None else message_of(code),
    }
