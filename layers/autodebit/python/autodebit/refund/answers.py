"""Which refund a request names, and the answers that show refunds."""

from urllib.parse import unquote

from autodebit.api import RETRY_AFTER_S, Answer, Event, answer
from autodebit.errors import RefundNotFound
from autodebit.payment.order import Order
from autodebit.refund.refund import Refund, refund_document
from autodebit.telemetry import logger


def named_refund(event: Event, order: Order) -> str | None:
    """The refundRequestId in the path, None if there is none. Raises RefundNotFound if the order has no such refund."""
    name = event["pathParameters"].get("refundRequestId")
    if name is None:
        return None
    refund_request_id = unquote(name)  # API Gateway hands it on as it stands in the URL
    if refund_request_id not in order.refunds:
        raise RefundNotFound
    logger.append_keys(refundRequestId=refund_request_id)
    return refund_request_id


def found(refund: Refund) -> Answer:
    """The answer to a look-up: 200 and the refund; while it is INIT also when to look again."""
    return answer(200, refund_document(refund), {"Retry-After": str(RETRY_AFTER_S)} if refund.is_init else {})


def listed(refunds: list[Refund]) -> Answer:
    """200 and the refunds of a payment."""
    return answer(200, {"refunds": [refund_document(refund) for refund in refunds]})


def taken(refund: Refund, url: str) -> Answer:
    """The answer to a request: 200 and the refund once it is final; 202 and where to look, while it is INIT."""
    if not refund.is_init:
        return found(refund)
    return answer(202, refund_document(refund), {"Location": url, "Retry-After": str(RETRY_AFTER_S)})
