"""Alipay's signature: RSA-2048, SHA-256, PKCS#1 v1.5 over `POST <path>\\n<client-id>.<time>.<body>`.

Source: https://docs.antom.com/ac/ams/digital_signature
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from autodebit.errors import SignatureInvalid

ALGORITHM = "RSA256"
_KEY_VERSION = re.compile(r"[0-9]{1,9}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A message as it travelled: nothing in it may be parsed and formatted again before it is verified.

    `path` is the path of the called API for a request and for its answer, and the path of the notify URL
    as Alipay was given it for a notification. `time` is the header's text.
    """

    path: str
    client_id: str
    time: str
    body: bytes

    @property
    def content(self) -> bytes:
        """The bytes that are signed."""
        # A lone surrogate in a header is no text that Alipay signed; it must not verify, and must not raise either.
        return f"POST {self.path}\n{self.client_id}.{self.time}.".encode("utf-8", "surrogatepass") + self.body


def sign(message: SignedMessage, private_key: RSAPrivateKey, key_version: str) -> str:
    """The value of the `Signature` header for `message`."""
    signature = private_key.sign(message.content, PKCS1v15(), SHA256())
    encoded = quote(base64.b64encode(signature).decode(), safe="")
    return f"algorithm={ALGORITHM},keyVersion={key_version},signature={encoded}"


def verify(message: SignedMessage, header: str, public_keys: Mapping[str, RSAPublicKey]) -> str:
    """The key version under which `message` proves to be Alipay's.

    A header without `keyVersion` means the newest key. Raises SignatureInvalid for everything that is not a
    valid signature under one of `public_keys`, whatever its form.
    """
    algorithm, key_version, signature = parse_header(header)
    if algorithm != ALGORITHM:
        raise SignatureInvalid("algorithm")
    if key_version is None:
        key_version = max(public_keys, key=lambda version: (len(version), version), default="")
    key = public_keys.get(key_version)
    if key is None:
        named = key_version if _KEY_VERSION.fullmatch(key_version) else "that is no number"
        raise SignatureInvalid(f"key version {named}")
    try:
        key.verify(signature, message.content, PKCS1v15(), SHA256())
    except InvalidSignature:
        raise SignatureInvalid("signature") from None
    return key_version


def parse_header(header: str) -> tuple[str | None, str | None, bytes]:
    """Algorithm, key version and signature bytes of a `Signature` header.

    Pairs are separated by commas and split at their first `=`: unencoded base64 ends in `=`. Names occur once.
    """
    pairs: dict[str, str] = {}
    for pair in header.split(","):
        name, equals, value = pair.strip().partition("=")
        if not equals or name in pairs:
            raise SignatureInvalid("header")
        pairs[name] = value
    if "signature" not in pairs:
        raise SignatureInvalid("header")
    return pairs.get("algorithm"), pairs.get("keyVersion"), _decode(pairs["signature"])


def _decode(text: str) -> bytes:
    """Signature bytes; the base64 is percent-encoded, but occurs bare too, and a bare `+` is never a space."""
    try:
        encoded = unquote_to_bytes(text) if "%" in text else text.encode("ascii")
        if not _BASE64.fullmatch(encoded):
            raise SignatureInvalid("encoding")
        signature = base64.b64decode(encoded, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise SignatureInvalid("encoding") from None
    if base64.b64encode(signature) != encoded:  # bits of the last digit that belong to no byte
        raise SignatureInvalid("encoding")
    return signature
