"""The network, stubbed where urllib3 would take a connection: everything above it is the real code.

botocore (and pynamodb on it) and requests both end in `HTTPConnectionPool.urlopen`. What answers here is a small table
of orders, the secret, Step Functions, and Alipay with its signature. The CPU time it takes is counted, so that it can
be subtracted: what remains is the bundle's own work. What is left out is the socket, TLS, and the wait for an answer.
"""

import base64
import json
import re
import time
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import quote

Json = dict[str, Any]

ALIPAY_HOST = "alipay.invalid"
_ASSIGNMENT = re.compile(r"(#\d+) = (:\d+)")
_REMOVED = re.compile(r"#\d+")


class Network:
    """`fixture` holds the secret, Alipay's private key (PEM), and answers that are signed already."""

    def __init__(self, fixture: Json) -> None:
        self._fixture = fixture
        self._key: Any = None
        self.items: dict[str, Json] = {}
        self.cpu_ns = 0
        self.calls: dict[str, int] = {}

    def install(self, only_aws: bool = False) -> None:
        """Answer instead of every connection of this process; with `only_aws`, calls to other hosts go out."""
        from urllib3.connectionpool import HTTPConnectionPool
        from urllib3.response import HTTPResponse

        connect: Callable[..., Any] = HTTPConnectionPool.urlopen

        def urlopen(pool: Any, method: str, url: str, body: Any = None, headers: Any = None, **options: Any) -> Any:
            if only_aws and not pool.host.endswith(".amazonaws.com"):
                return connect(pool, method, url, body, headers, **options)
            started = time.process_time_ns()
            status, answer_headers, answer = self._answer(pool.host, url, body, headers or {})
            response = HTTPResponse(
                BytesIO(answer),
                headers=answer_headers,
                status=status,
                preload_content=False,
                decode_content=False,
                request_method=method,
                request_url=url,
            )
            self.cpu_ns += time.process_time_ns() - started
            return response

        HTTPConnectionPool.urlopen = urlopen  # type: ignore[method-assign, assignment]

    def _answer(self, host: str, url: str, body: Any, headers: Any) -> tuple[int, dict[str, str], bytes]:
        body = body if isinstance(body, bytes) else str(body or "").encode()
        if host.startswith(ALIPAY_HOST):
            path = url.removeprefix("https://").removeprefix(ALIPAY_HOST)
            self._count(path.rsplit("/", 1)[-1])
            return 200, *self._alipay(path, json.loads(body))
        target = headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else str(target)).rsplit(".", 1)[-1]
        self._count(operation)
        status, document = getattr(self, f"_{operation}")(json.loads(body))
        answer = json.dumps(document).encode()
        return (
            status,
            {
                "Content-Type": "application/x-amz-json-1.0",
                "x-amzn-RequestId": "0123456789",
                "x-amz-crc32": str(zlib.crc32(answer)),
                "Content-Length": str(len(answer)),
            },
            answer,
        )

    def _count(self, call: str) -> None:
        self.calls[call] = self.calls.get(call, 0) + 1

    # DynamoDB. Each payment is new, and nobody else writes: conditions hold.

    def _PutItem(self, call: Json) -> tuple[int, Json]:  # noqa: N802 (AWS's name)
        self.items[call["Item"]["paymentRequestId"]["S"]] = call["Item"]
        return 200, {}

    def _GetItem(self, call: Json) -> tuple[int, Json]:  # noqa: N802
        return 200, {"Item": self.items[call["Key"]["paymentRequestId"]["S"]]}

    def _UpdateItem(self, call: Json) -> tuple[int, Json]:  # noqa: N802
        names, values = call["ExpressionAttributeNames"], call["ExpressionAttributeValues"]
        sets, _, removes = call["UpdateExpression"].partition("REMOVE")
        item = dict(self.items[call["Key"]["paymentRequestId"]["S"]])
        item |= {names[name]: values[value] for name, value in _ASSIGNMENT.findall(sets)}
        for name in _REMOVED.findall(removes):
            item.pop(names[name], None)
        return 200, {"Attributes": item}

    def _Query(self, call: Json) -> tuple[int, Json]:  # noqa: N802
        return 200, {"Items": [], "Count": 0, "ScannedCount": 0}

    # The others

    def _PutEvents(self, call: Json) -> tuple[int, Json]:  # noqa: N802
        return 200, {"FailedEntryCount": 0, "Entries": [{"EventId": "0123456789"} for _ in call["Entries"]]}

    def _GetSecretValue(self, call: Json) -> tuple[int, Json]:  # noqa: N802
        return 200, {"ARN": call["SecretId"], "Name": "bench", "SecretString": self._fixture["secret"]}

    def _StartExecution(self, call: Json) -> tuple[int, Json]:  # noqa: N802
        return 200, {"executionArn": "arn", "startDate": 0}

    def _alipay(self, path: str, call: Json) -> tuple[dict[str, str], bytes]:
        prepared = self._fixture["answers"].get(f"{path} {call['paymentRequestId']}")
        if prepared:
            return prepared["headers"], prepared["body"].encode()
        body = answer_body(path, call["paymentRequestId"])
        return {"Content-Type": "application/json", **self.signed(path, body, "response-time")}, body

    def signed(self, path: str, body: bytes, time_header: str) -> dict[str, str]:
        """The headers that Alipay's signature of `body` travels in."""
        if self._key is None:
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            self._key = load_pem_private_key(self._fixture["alipayPrivateKey"].encode(), password=None)
        return sign(self._key, self._fixture["clientId"], path, body, time_header)


def sign(key: Any, client_id: str, path: str, body: bytes, time_header: str) -> dict[str, str]:
    """Headers as Alipay signs answers (`response-time`) and notifications (`request-time`)."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    at = "2026-11-22T01:30:03-08:00"
    signature = key.sign(f"POST {path}\n{client_id}.{at}.".encode() + body, PKCS1v15(), SHA256())
    encoded = quote(base64.b64encode(signature).decode(), safe="")
    return {
        "client-id": client_id,
        time_header: at,
        "signature": f"algorithm=RSA256,keyVersion=1,signature={encoded}",
    }


def answer_body(path: str, payment_request_id: str) -> bytes:
    """Alipay's answer: paid. https://docs.antom.com/ac/ams/payment_agreement, .../paymentri_online"""
    answer: Json = {
        "result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success."},
        "paymentRequestId": payment_request_id,
        "paymentId": "20261122194010800100188820200000001",
        "paymentAmount": {"currency": "HKD", "value": "1990"},
        "paymentTime": "2026-11-22T17:30:02+08:00",
        "paymentCreateTime": "2026-11-22T17:30:00+08:00",
    }
    if path.endswith("inquiryPayment"):
        answer |= {
            "paymentStatus": "SUCCESS",
            "paymentResultCode": "SUCCESS",
            "paymentResultMessage": "success.",
        }
    return json.dumps(answer, separators=(",", ":")).encode()


def notification_body(payment_request_id: str) -> bytes:
    """What Alipay notifies of the same payment. https://docs.antom.com/ac/ams/paymentrn_online"""
    return json.dumps(
        {
            "notifyType": "PAYMENT_RESULT",
            "result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success"},
            "paymentRequestId": payment_request_id,
            "paymentId": "20261122194010800100188820200000001",
            "paymentAmount": {"currency": "HKD", "value": "1990"},
            "paymentCreateTime": "2026-11-22T17:30:00+08:00",
            "paymentTime": "2026-11-22T17:30:02+08:00",
        },
        separators=(",", ":"),
    ).encode()
