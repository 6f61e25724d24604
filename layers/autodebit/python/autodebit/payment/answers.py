"""The routes about orders: which order a request names, and the answers that show one."""

from autodebit.api import RETRY_AFTER_S, Answer, Event, answer
from autodebit.errors import FieldError, OrderNotFound, RequestInvalid
from autodebit.payment.fields import PAYMENT_REQUEST_ID
from autodebit.payment.order import Order, order_document
from autodebit.telemetry import logger


def named_order(event: Event) -> str:
    """The paymentRequestId in the request's path. Raises OrderNotFound: what cannot be an id has no order."""
    payment_request_id = (event.get("pathParameters") or {}).get("paymentRequestId") or ""
    if not PAYMENT_REQUEST_ID.fullmatch(payment_request_id):
        raise OrderNotFound
    logger.append_keys(paymentRequestId=payment_request_id)
    return str(payment_request_id)


def named_reference(event: Event) -> str:
    """The referenceOrderId in the request's query. Raises RequestInvalid if there is none."""
    reference_order_id = (event.get("queryStringParameters") or {}).get("referenceOrderId")
    if not reference_order_id:
        raise RequestInvalid([FieldError("referenceOrderId", "is required, as a query parameter that is not empty")])
    return str(reference_order_id)


def found(order: Order) -> Answer:
    """The answer to a look-up: 200 and the order; while it is INIT also when to look again."""
    return answer(200, order_document(order), {"Retry-After": str(RETRY_AFTER_S)} if order.is_init else {})


def listed(orders: list[Order]) -> Answer:
    """200 and the orders."""
    return answer(200, {"payments": [order_document(order) for order in orders]})


def taken(order: Order, url: str) -> Answer:
    """The answer to a payment or its cancel: 200 and the order once it is final; 202 and where to look before that."""
    if not order.is_init:
        return found(order)
    return answer(202, order_document(order), {"Location": url, "Retry-After": str(RETRY_AFTER_S)})
