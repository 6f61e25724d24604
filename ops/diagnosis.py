"""Why a signed message does not verify: the part of it that does not fit, by name.

An RSA signature gives back the digest of what was signed. So it is not guessed whether Alipay's key made it, and of
which content: a name is given only if the message verifies once that part is put right, or if the part alone is wrong
beyond doubt (a header that is missing, a client id that is not ours, a signature that is too short). Pure.

https://docs.antom.com/ac/ams/digital_signature
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from urllib.parse import unquote, urlsplit

from autodebit.alipay.credentials import Credentials
from autodebit.alipay.sandbox import api_path
from autodebit.alipay.signature import ALGORITHM, SignedMessage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from ops.pasted import Pasted

MEANING = {
    "signature-missing": "There is no Signature header. Alipay's gateway answers so when it refused the call itself: "
    "look at resultCode. Nothing of it is believed.",
    "signature-header": "The Signature header is not `algorithm=…,keyVersion=…,signature=…`.",
    "algorithm": "The Signature header names another algorithm than RSA256.",
    "key-version": "It was signed with a key of another version than the header names, or the secret has no key of the "
    "named version: look at alipayPublicKeys.",
    "client-id": "The client id in the header is not the secret's clientId.",
    "environment": "Sandbox and live are mixed up: one side has a client id or a path with SANDBOX, the other has not.",
    "time-missing": "The time header is missing (Request-Time of a notification, response-time of an answer).",
    "time": "The time header was parsed and written anew: it must stay as it came.",
    "stage": "It was signed for the same route under another stage: is PublicBaseUrl what Alipay was given?",
    "path": "It was signed for another path than this route's. Compare with the notify URL that Alipay was given.",
    "body-reserialized": "The body was parsed and written anew. Verify the bytes as they came.",
    "body-line-ends": "Line ends of the body were changed, added or taken away.",
    "body-bom": "A byte order mark was put before the body, or taken away.",
    "body-base64": "The body is still base64, as API Gateway gives it: decode it first.",
    "body-charset": "The body was read in another charset than UTF-8.",
    "plus-as-blank": "A `+` of the signature was read as a blank: it was decoded like a form.",
    "url-safe-base64": "The signature is in URL-safe base64 (`-` and `_`).",
    "encoded-twice": "The signature was percent-encoded twice.",
    "base64-padding": "The `=` at the end of the signature was lost.",
    "quotes": "The signature stands in quotes.",
    "encoding": "The signature is not base64.",
    "cut-short": "The signature is shorter than the key: base64 was cut off.",
    "too-long": "The signature is longer than the key.",
    "own-public-key": "alipayPublicKeys holds your own public key, not Alipay's. Copy Alipay's from its dashboard.",
    "own-signature": "It was signed with your own private key, not by Alipay.",
    "digest": "It was signed over another digest than SHA-256.",
    "pss": "It was signed with PSS padding; Alipay signs with PKCS#1 v1.5.",
    "content": "The signature is whole and Alipay's, but of other content: path, time, client id or body were changed.",
    "unknown-key": "No key in the secret made it: the signature was damaged, or Alipay has a new key, or it is forged.",
}
"""What each name says. None of them quotes the message or a key."""

ENDPOINTS = (
    *("payments/pay", "payments/inquiryPayment", "payments/cancel", "payments/refund", "payments/inquiryRefund"),
    *("authorizations/consult", "authorizations/applyToken", "authorizations/revoke"),
)

ROUTES = ("/notifications/payment", "/notifications/refund", "/notifications/authorization")

STAGES = ("", "/v1", "/prod", "/Prod", "/dev", "/test", "/stage", "/default", "/$default")

OFFSETS = (0, 8, -8, -7, 1, 2, -5, -4)
"""Hours from UTC that times are written in."""

DIGESTS = {
    "3031300d060960864801650304020105000420": "sha256",
    "3021300906052b0e03021a05000414": "sha1",
    "302d300d06096086480165030402040500041c": "sha224",
    "3041300d060960864801650304020205000430": "sha384",
    "3051300d060960864801650304020305000440": "sha512",
    "3020300c06082a864886f70d020505000410": "md5",
}
"""How a DigestInfo begins, and the digest that it holds. https://www.rfc-editor.org/rfc/rfc8017#section-9.2"""

type Variant[Value] = tuple[Value, str | None]
"""A value as it may have been when it was signed, and the name of the fault that made it what came; None: none."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature proves by itself: whose key made it, over which digest."""

    version: str | None
    """Of Alipay's key; None for the merchant's own."""
    algorithm: str
    digest: bytes


def diagnose(pasted: Pasted, credentials: Credentials, base_url: str, endpoint: str | None = None) -> list[str]:
    """The names of what does not fit, in `MEANING`; none: the message is Alipay's and meant for us.

    `base_url` is the one that Alipay was given for notifications, `endpoint` the call that an answer belongs to.
    """
    header = pasted.headers.get("signature")
    if not header:
        return ["signature-missing"]
    pairs = _pairs(header)
    if "signature" not in pairs:
        return ["signature-header"]
    certain = [] if pairs.get("algorithm") == ALGORITHM else ["algorithm"]
    time_name = "response-time" if pasted.is_answer else "request-time"
    if time_name not in pasted.headers:
        certain.append("time-missing")
    keys = credentials.alipay_public_keys
    named = pairs.get("keyVersion") or max(keys, key=lambda version: (len(version), version))
    signature, repaired = _signature(pairs["signature"])
    certain += repaired
    if signature is None:
        return _unique([*certain, "encoding"])
    length = max(key.key_size for key in keys.values()) // 8
    if len(signature) != length:
        return _unique([*certain, "cut-short" if len(signature) < length else "too-long"])
    if credentials.holds_own_public_key():
        return _unique([*certain, "own-public-key"])
    clients = list(_clients(pasted.headers.get("client-id"), credentials.client_id))
    contents = list(
        product(
            _distinct(_paths(pasted, credentials.client_id, base_url, endpoint)),
            clients,
            _distinct(_times(pasted.headers.get(time_name, ""))),
            _distinct(_bodies(pasted.body)),
        )
    )
    contents.sort(key=lambda parts: len({fault for _, fault in parts if fault}))
    if named not in keys:
        certain.append("key-version")
    signed = _recovered(signature, credentials)
    if signed is None:
        for parts in contents:
            if _fewer_than_two(parts) and any(_is_pss(key, signature, _content(parts)) for key in keys.values()):
                return _unique([*certain, "pss", *_faults(parts)])
        return _unique([*certain, *_foreign(clients), *([] if "key-version" in certain else ["unknown-key"])])
    if signed.version is None:
        return _unique([*certain, "own-signature"])
    if signed.version != named:
        certain.append("key-version")
    if signed.algorithm != "sha256":
        certain.append("digest")
    for parts in contents:
        if hashlib.new(signed.algorithm, _content(parts), usedforsecurity=False).digest() == signed.digest:
            return _unique([*certain, *_faults(parts)])
    return _unique([*certain, *_foreign(clients), *([] if "time-missing" in certain else ["content"])])


def _pairs(header: str) -> dict[str, str]:
    """The pairs of the header, more leniently than it is verified: names in any case, blanks left in."""
    found = (pair.strip().partition("=") for pair in header.split(","))
    names = {name.lower(): name for name in ("algorithm", "keyVersion", "signature")}
    return {names.get(name.strip().lower(), name): value for name, equals, value in found if equals}


def _signature(text: str) -> tuple[bytes | None, list[str]]:
    """The signature's bytes, None if they are not base64, and what had to be put right for that."""
    faults = []
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text, faults = text[1:-1], ["quotes"]
    if "%" in text:
        text = unquote(text)
    if "%" in text:
        text = unquote(text)
        faults.append("encoded-twice")
    if " " in text:
        text = text.replace(" ", "+")
        faults.append("plus-as-blank")
    if "-" in text or "_" in text:
        text = text.replace("-", "+").replace("_", "/")
        faults.append("url-safe-base64")
    missing = -len(text) % 4
    try:
        signature = base64.b64decode(text + "=" * missing, validate=True)
    except (binascii.Error, ValueError):
        return (None, faults) if missing != 3 else (b"", faults)  # one digit of four: surely cut off
    if missing and len(signature) % 128 == 0:
        faults.append("base64-padding")
    return signature, faults


def _recovered(signature: bytes, credentials: Credentials) -> Signed | None:
    """Whose key made the signature, and over which digest; None if no key of ours did."""
    keys: list[tuple[str | None, RSAPublicKey]] = [*credentials.alipay_public_keys.items()]
    keys.append((None, credentials.private_key.public_key()))
    for version, key in keys:
        with suppress(InvalidSignature):
            info = key.recover_data_from_signature(signature, PKCS1v15(), None).hex()
            for prefix, algorithm in DIGESTS.items():
                if info.startswith(prefix):
                    return Signed(version, algorithm, bytes.fromhex(info[len(prefix) :]))
    return None


def _is_pss(key: RSAPublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content, PSS(MGF1(SHA256()), PSS.AUTO), SHA256())
    except InvalidSignature:
        return False
    return True


def _paths(pasted: Pasted, client_id: str, base_url: str, endpoint: str | None) -> Iterator[Variant[str]]:
    """The path that was to be signed, then others that may have been."""
    if pasted.is_answer:
        other_id = client_id.removeprefix("SANDBOX_") if client_id.startswith("SANDBOX_") else f"SANDBOX_{client_id}"
        for called in ENDPOINTS:
            fault = "path" if endpoint and called != endpoint else None
            yield api_path(client_id, called), fault
            yield api_path(other_id, called), "environment"
        return
    stage, route = urlsplit(base_url).path.rstrip("/"), _route(pasted.body)
    yield f"{stage}{route}", None
    for other in STAGES:
        if other != stage:
            yield f"{other}{route}", "stage"
    yield f"{base_url.rstrip('/')}{route}", "path"
    for other in ROUTES:
        if other != route:
            yield f"{stage}{other}", "path"
    yield f"{stage}{route}/", "path"


def _route(body: bytes) -> str:
    """The route that a notification of this kind is meant for."""
    for text, route in ((b"REFUND_RESULT", ROUTES[1]), (b"AUTHCODE_", ROUTES[2]), (b"TOKEN_", ROUTES[2])):
        if text in body:
            return route
    return ROUTES[0]


def _clients(came: str | None, ours: str) -> Iterator[Variant[str]]:
    """Client ids that may have been signed: the one that came, and ours."""
    if came == ours:
        yield ours, None
        return
    near = came is not None and came.removeprefix("SANDBOX_") == ours.removeprefix("SANDBOX_")
    fault = "environment" if near else "client-id"
    yield ours, fault
    if came:
        yield came, fault


def _times(came: str) -> Iterator[Variant[str]]:
    """The time as it came, then the same instant as it is written elsewhere."""
    yield came, None
    try:
        instant = datetime.fromtimestamp(int(came) / 1000, UTC) if came.isdigit() else datetime.fromisoformat(came)
    except (ValueError, OverflowError, OSError):
        return
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    for hours, timespec in product(OFFSETS, ("seconds", "milliseconds")):
        text = instant.astimezone(timezone(timedelta(hours=hours))).isoformat(timespec=timespec)
        yield text, "time"
        if hours == 0:
            yield text.replace("+00:00", "Z"), "time"
            yield text.removesuffix("+00:00"), "time"
    yield str(int(instant.timestamp() * 1000)), "time"


def _bodies(came: bytes) -> Iterator[Variant[bytes]]:
    """The body as it came, then as it may have been when it was signed."""
    yield came, None
    for line_ends in (came.rstrip(b"\r\n"), came + b"\n", came.replace(b"\r\n", b"\n"), came.replace(b"\n", b"\r\n")):
        yield line_ends, "body-line-ends"
    mark = b"\xef\xbb\xbf"
    yield (came.removeprefix(mark) if came.startswith(mark) else mark + came), "body-bom"
    with suppress(ValueError):
        yield base64.b64decode(came.strip(), validate=True), "body-base64"
    for charset in ("latin-1", "cp1252", "gb18030"):
        with suppress(UnicodeError):
            yield came.decode("utf-8").encode(charset), "body-charset"
        with suppress(UnicodeError):
            yield came.decode(charset).encode("utf-8"), "body-charset"
    try:
        document = json.loads(came)
    except (ValueError, RecursionError):
        return
    styles: Sequence[Mapping[str, object]] = (
        {"separators": (",", ":")},
        {"separators": (", ", ": ")},
        {"indent": 2},
        {"indent": 4},
    )
    for style, ascii_only, in_order in product(styles, (False, True), (False, True)):
        text = json.dumps(document, ensure_ascii=ascii_only, sort_keys=in_order, **style)  # type: ignore[arg-type]
        for spelling in (text, text.replace("/", "\\/")):
            with suppress(UnicodeError):
                yield spelling.encode(), "body-reserialized"


def _distinct[Value](variants: Iterator[Variant[Value]]) -> list[Variant[Value]]:
    """Each value once, under the first of its names."""
    found: dict[Value, str | None] = {}
    for value, fault in variants:
        found.setdefault(value, fault)
    return list(found.items())


def _content(parts: Sequence[Variant[str] | Variant[bytes]]) -> bytes:
    (path, _), (client_id, _), (time, _), (body, _) = parts
    return SignedMessage(str(path), str(client_id), str(time), body if isinstance(body, bytes) else b"").content


def _faults(parts: Sequence[Variant[str] | Variant[bytes]]) -> list[str]:
    return [fault for _, fault in parts if fault]


def _fewer_than_two(parts: Sequence[Variant[str] | Variant[bytes]]) -> bool:
    return len(_faults(parts)) < 2


def _foreign(clients: Sequence[Variant[str]]) -> list[str]:
    """What is wrong with the client id, whatever was signed."""
    return [fault for _, fault in clients if fault]


def _unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
