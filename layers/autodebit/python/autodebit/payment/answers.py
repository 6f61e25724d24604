"""The answers that show an order."""

from autodebit.api import RETRY_AFTER_S, Answer, answer
from autodebit.payment.order import Order, order_document


def found(order: Order) -> Answer:
    """200 and the order, for who looked it up; with when to look again, while it is INIT."""
    return answer(200, order_document(order), {"Retry-After": str(RETRY_AFTER_S)} if order.is_init else {})


def taken(order: Order, url: str) -> Answer:
    """For who asked for the payment: 200 and the order once it is final; 202 and where to look, while it is INIT."""
    if not order.is_init:
        return found(order)
    return answer(202, order_document(order), {"Location": url, "Retry-After": str(RETRY_AFTER_S)})
