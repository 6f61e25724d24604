"""Alipay's pen and every imitation of it: notifications as raw requests, genuine unless told otherwise."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

from . import raw_http
from .raw_http import Header
from .stacks import Deployment

Json = dict[str, Any]


class Forger:
    """Writes to a webhook, of payments unless another `kind` is named, about one order. Has seen the code, the order's
    id, and Alipay's genuine messages.
    """

    def __init__(self, deployment: Deployment, payment_request_id: str, kind: str = "payment") -> None:
        self.url: str = deployment.description["notifyUrl"].removesuffix("payment") + kind
        self.path = urlsplit(self.url).path
        self.payment_request_id = payment_request_id
        self.client_id: str = deployment.credentials["clientId"]
        self.time = datetime.now(UTC).isoformat(timespec="seconds")
        alipay = json.loads((deployment.directory / "run" / "alipay-keys.json").read_text())
        self.alipays_key = _key(alipay["alipayPrivateKey"])
        self.merchants_key = _key(deployment.credentials["privateKey"])
        self.own_key = generate_private_key(public_exponent=65537, key_size=2048)
        self.body = self.success()

    def message(self, **changes: Any) -> Json:
        """What Alipay would say of a success, as a document."""
        return {
            "notifyType": "PAYMENT_RESULT",
            "result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success."},
            "paymentRequestId": self.payment_request_id,
            "paymentId": "20261122194010800100188820200000001",
            "paymentAmount": {"value": "1990", "currency": "HKD"},
            "paymentCreateTime": self.time,
            "paymentTime": self.time,
        } | changes

    def success(self, **changes: Any) -> bytes:
        return json.dumps(self.message(**changes), ensure_ascii=False).encode("utf-8", "surrogatepass")

    def pending(self, **changes: Any) -> bytes:
        """A message that changes nothing when it is believed."""
        return self.success(notifyType="PAYMENT_PENDING", **changes)

    def signature(
        self,
        body: bytes | None = None,
        *,
        path: str | None = None,
        client_id: str | None = None,
        time: str | None = None,
        key: Any = None,
        padding: Any = None,
        digest: Any = None,
    ) -> bytes:
        """Signature bytes over this message, Alipay's own unless another key, padding or digest is named."""
        head = f"POST {path or self.path}\n{self.client_id if client_id is None else client_id}.{time or self.time}."
        content = head.encode() + (self.body if body is None else body)
        signed: bytes = (key or self.alipays_key).sign(content, padding or PKCS1v15(), digest or SHA256())
        return signed

    def header(self, signature: bytes | str | None = None, *, algorithm: str = "RSA256", version: str = "1") -> str:
        """The value of a Signature header; a text stands there as it is."""
        signature = self.signature() if signature is None else signature
        value = quote(base64.b64encode(signature), safe="") if isinstance(signature, bytes) else signature
        return f"algorithm={algorithm},keyVersion={version},signature={value}"

    def signed(self, body: bytes, **request: Any) -> bytes:
        """A request that carries this body with Alipay's genuine signature over it."""
        return self.request(self.header(self.signature(body)), body, **request)

    def request(
        self,
        header: str | bytes | None,
        body: bytes | None = None,
        *,
        client_id: str | bytes | None = None,
        time: str | bytes | None = None,
        more: list[Header] | None = None,
        **framing: Any,
    ) -> bytes:
        """A request with this Signature header, none for None, and the success as its body."""
        headers: list[Header] = [
            ("Content-Type", "application/json"),
            ("client-id", self.client_id if client_id is None else client_id),
            ("Request-Time", self.time if time is None else time),
            *([("Signature", header)] if header is not None else []),
            *(more or []),
        ]
        return raw_http.request(framing.pop("url", self.url), headers, self.body if body is None else body, **framing)


def _key(pkcs8: str) -> Any:
    return load_der_private_key(base64.b64decode(pkcs8), None)
