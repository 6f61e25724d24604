"""API Gateway's events in, answers out (REST API, proxy integration).

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

import base64
import binascii
import functools
import json
import traceback
from collections.abc import Callable
from typing import Any

from autodebit import telemetry
from autodebit.errors import AutodebitError, NotSent, OrderNotFound, PaymentConflict, RequestInvalid
from autodebit.order import Order, Status, order_document
from autodebit.telemetry import logger

Event = dict[str, Any]
Answer = dict[str, Any]

RETRY_AFTER_S = 3
"""When a caller who was told INIT should look again. https://docs.antom.com/ac/tokenized/practice: 3 to 5 s."""

PROBLEMS: dict[type[AutodebitError], tuple[int, str, str]] = {
    RequestInvalid: (400, "The request is malformed", "Correct the fields named in errors and send it again."),
    PaymentConflict: (
        409,
        "This paymentRequestId stands for another payment",
        "More than paymentExpiryTime and env differs from the first request. Use a new paymentRequestId.",
    ),
    OrderNotFound: (404, "There is no such order", "No payment was requested under this paymentRequestId."),
    NotSent: (
        503,
        "Nothing was sent to Alipay",
        "This request sent nothing; an earlier one for the payment may have. Send it again, paymentRequestId and all.",
    ),
}


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


def order_answer(order: Order, url: str | None = None) -> Answer:
    """The order. With `url`, where it will be found, 202 while its result is not known."""
    if url is None or order.status is not Status.INIT:
        return answer(200, order_document(order))
    return answer(202, order_document(order), {"Location": url, "Retry-After": str(RETRY_AFTER_S)})


def problem(error: AutodebitError) -> Answer:
    """An error as a problem document (RFC 9457)."""
    status, title, detail = next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)
    document: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if isinstance(error, RequestInvalid):
        document["errors"] = [{"field": fault.field, "detail": fault.detail} for fault in error.errors]
    return answer(status, document, {"Content-Type": "application/problem+json"})


def _fault() -> Answer:
    document = {
        "type": "about:blank",
        "title": "An internal fault",
        "status": 500,
        "detail": "What became of the request is not known here. Send the same request again, or look the order up.",
    }
    return answer(500, document, {"Content-Type": "application/problem+json"})


def answers_problems(handler: Callable[[Event, Any], Answer]) -> Callable[[Event, Any], Answer]:
    """Every error of a merchant's route becomes its problem document, here and nowhere else."""

    @functools.wraps(handler)
    def wrapped(event: Event, context: Any) -> Answer:
        try:
            return handler(event, context)
        except tuple(PROBLEMS) as error:
            telemetry.refused(type(error).__name__)
            logger.info("request refused", error=type(error).__name__)
            return problem(error)
        except Exception as error:
            report_fault(error)
            return _fault()

    return wrapped


def report_fault(error: Exception) -> None:
    """Log and count what nobody provided for: where it happened, and its text only if it is ours and quotes nothing."""
    telemetry.count("Fault")
    logger.error(
        "fault",
        error=type(error).__name__,
        detail=str(error) if isinstance(error, AutodebitError) else None,
        stack=traceback.format_tb(error.__traceback__),
    )
