"""The Antom gateway: signed calls out, verified answers back.

https://docs.antom.com/ac/ams/api_fund
"""

import math
import re
import time
from typing import Any
from urllib.parse import urlsplit

from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.sandbox import api_path
from autodebit.alipay.signature import SignedMessage, sign
from autodebit.alipay.strict_json import JsonInvalid, parse_message, parse_object, text_at
from autodebit.alipay.transport import Transport
from autodebit.errors import AnswerRefused, NotSent, OutcomeUnknown, SignatureInvalid

TIMEOUT_S = 10.0
"""Documented for API calls. https://docs.antom.com/ac/tokenized/practice"""

CALL_MIN_S = 3.0
"""A call that would have less time than this is not made."""

_CODE = re.compile(r"[A-Z_]{1,64}")


class AlipayGateway:
    """`base_url` has no path; plain http is for a simulated gateway on this machine alone (ValueError otherwise)."""

    def __init__(self, base_url: str, credentials: CredentialsStore) -> None:
        url = urlsplit(base_url.rstrip("/"))
        local = url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1")
        # A port that is none raises ValueError by itself.
        if not (url.scheme == "https" or local) or not url.hostname or url.port == 0 or url.path or url.query:
            raise ValueError("the gateway's base URL must be https://HOST, or http on a loopback address")
        self._base_url = f"{url.scheme}://{url.netloc}"
        self._credentials = credentials
        self._transport = Transport()

    def call(self, endpoint: str, body: bytes, deadline: float = math.inf) -> dict[str, Any]:
        """The authentic answer to one call of `endpoint`, as `payments/pay`; `body` is sent as it is.

        It ends by `deadline` on time.monotonic's clock, and after TIMEOUT_S. Raises NotSent, also when less than
        CALL_MIN_S are left, OutcomeUnknown and AnswerRefused.
        """
        credentials = self._credentials.get()
        timeout_s = min(TIMEOUT_S, deadline - time.monotonic())
        if timeout_s < CALL_MIN_S:
            raise NotSent("out of time")
        request = SignedMessage(
            path=api_path(credentials.client_id, endpoint),
            client_id=credentials.client_id,
            time=str(time.time_ns() // 1_000_000),
            body=body,
        )
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "client-id": request.client_id,
            "Request-Time": request.time,
            "Signature": sign(request, credentials.private_key, credentials.private_key_version),
        }
        answer_headers, answer = self._transport.post(self._base_url + request.path, body, headers, timeout_s)
        self._authenticate(request.path, answer_headers, answer)
        return _read(answer)

    def _authenticate(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Raise AnswerRefused unless the answer to a call of `path` is signed by Alipay and meant for us."""
        if "signature" not in headers:
            raise AnswerRefused(f"unsigned {_unproved_code(body)}")
        message = SignedMessage(path, headers.get("client-id", ""), headers.get("response-time", ""), body)
        try:
            self._credentials.authenticate(message, headers["signature"])
        except SignatureInvalid as error:
            raise AnswerRefused(f"not authentic: {error}") from error


def _unproved_code(body: bytes) -> str:
    """The result code of an unsigned answer, as a hint for the log: INVALID_SIGNATURE speaks of our own key."""
    try:
        code = text_at(parse_object(body), "result", "resultCode") or ""
    except JsonInvalid:
        code = ""
    return code if _CODE.fullmatch(code) else "answer"


def _read(body: bytes) -> dict[str, Any]:
    """The authentic answer. Raises OutcomeUnknown if it is no object with a `result`."""
    try:
        answer = parse_message(body)
    except JsonInvalid:
        raise OutcomeUnknown("unreadable answer") from None
    if text_at(answer, "result", "resultStatus") is None:
        raise OutcomeUnknown("answer without result")
    return answer
