"""GET /payments/{paymentRequestId}: the order as it is stored."""

from typing import Any

from autodebit.api import Answer, Event, answers_problems
from autodebit.errors import OrderNotFound
from autodebit.payment.answers import found
from autodebit.payment.fields import PAYMENT_REQUEST_ID
from autodebit.payment.order_table import OrderTable
from autodebit.telemetry import logger, metrics

table = OrderTable()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the order, or a 404 problem; what cannot be an id has no order."""
    payment_request_id = (event.get("pathParameters") or {}).get("paymentRequestId") or ""
    if not PAYMENT_REQUEST_ID.fullmatch(payment_request_id):
        raise OrderNotFound
    logger.append_keys(paymentRequestId=payment_request_id)
    return found(table.get(payment_request_id))
