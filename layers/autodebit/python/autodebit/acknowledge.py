"""Acknowledge a notification once its effect is durable: what every webhook shares.

https://docs.antom.com/ac/scantopay/notification
"""

import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from autodebit import telemetry
from autodebit.alipay.signature import SignedMessage
from autodebit.api import Answer, Event, answer, body_of, headers_of
from autodebit.errors import NotificationRejected, SignatureInvalid
from autodebit.telemetry import logger


def signed_message(event: Event, route: str) -> tuple[SignedMessage, str]:
    """The notification that came to `route`, as it is to be verified, and its Signature header."""
    headers = headers_of(event)
    message = SignedMessage(
        # The path Alipay was given, not the route behind the stage or a custom domain's mapping.
        path=urlsplit(f"{event['stageVariables']['publicBaseUrl']}{route}").path,
        client_id=headers.get("client-id", ""),
        time=headers.get("request-time", ""),
        body=body_of(event),
    )
    return message, headers.get("signature", "")


def acknowledges(handler: Callable[[Event, Any], None]) -> Callable[[Event, Any], Answer]:
    """Acknowledge once `handler` has returned, which it does once the effect is durable: Alipay does not deliver again
    what was acknowledged. What it raises becomes a refusal in the same shape, or a 5xx.
    """

    @functools.wraps(handler)
    def wrapped(event: Event, context: Any) -> Answer:
        try:
            handler(event, context)
        except NotificationRejected as error:
            telemetry.refused(type(error).__name__)
            logger.warning("notification refused", resultCode=error.result_code, reason=str(error))
            # A sender that cannot sign learns nothing about our keys.
            unproved = isinstance(error, SignatureInvalid)
            telemetry.count("NotificationUnproved" if unproved else "NotificationRefused")
            return _result(error.status, error.result_code, "F", "not provably from Alipay" if unproved else str(error))
        except Exception as error:
            telemetry.fault(error)
            return _result(500, "SYSTEM_ERROR", "F", "deliver again")
        return _result(200, "SUCCESS", "S", "success")

    return wrapped


def _result(status: int, code: str, result_status: str, message: str) -> Answer:
    return answer(status, {"result": {"resultCode": code, "resultStatus": result_status, "resultMessage": message}})
