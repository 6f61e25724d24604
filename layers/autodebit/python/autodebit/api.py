"""API Gateway's events in, answers out (REST API, proxy integration): what every route shares.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

import base64
import binascii
import functools
import json
from collections.abc import Callable
from typing import Any

from autodebit import telemetry
from autodebit.errors import AutodebitError
from autodebit.telemetry import logger

type Event = dict[str, Any]
type Answer = dict[str, Any]

RETRY_AFTER_S = 3
"""When a caller who was told INIT should look again. https://docs.antom.com/ac/tokenized/practice: 3 to 5 s."""


def body_of(event: Event) -> bytes:
    """The request's body as it came; nothing, if what should be base64 is none."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            return b""
    return str(body).encode("utf-8", "surrogatepass")


def headers_of(event: Event) -> dict[str, str]:
    """The request's headers, names in lower case."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def answer(status: int, document: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    """A JSON answer; the content type is JSON's unless `headers` has another."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})},
        "body": json.dumps(document, ensure_ascii=False, separators=(",", ":")),
    }


def problem(error: AutodebitError | type[AutodebitError]) -> Answer:
    """An error as a problem document (RFC 9457)."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    if isinstance(error, AutodebitError):
        document |= error.members
    return answer(error.status, document, {"Content-Type": "application/problem+json"})


def answers_problems(handler: Callable[[Event, Any], Answer]) -> Callable[[Event, Any], Answer]:
    """Every error of a merchant's route becomes its problem document, here and nowhere else."""

    @functools.wraps(handler)
    def wrapped(event: Event, context: Any) -> Answer:
        try:
            return handler(event, context)
        except Exception as error:
            if not isinstance(error, AutodebitError) or error.status == AutodebitError.status:
                telemetry.fault(error)
                return problem(AutodebitError)
            telemetry.refused(type(error).__name__)
            logger.info("request refused", error=type(error).__name__)
            return problem(error)

    return wrapped
