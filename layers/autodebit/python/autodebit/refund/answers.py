"""The answers that show refunds."""

from autodebit.api import RETRY_AFTER_S, Answer, answer
from autodebit.refund.refund import Refund, refund_document


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
