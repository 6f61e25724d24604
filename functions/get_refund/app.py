"""GET /payments/{paymentRequestId}/refunds, all of them or one: as they are stored."""

from typing import Any
from urllib.parse import unquote

from autodebit.api import Answer, Event, answers_problems
from autodebit.errors import RefundNotFound
from autodebit.payment.answers import named_order
from autodebit.payment.order_table import OrderTable
from autodebit.refund.answers import found, listed
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger, metrics

orders = OrderTable()
refunds = RefundTable()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the refunds, or the one; a 404 problem for an unknown payment, and for a refund of another one."""
    order = orders.get(named_order(event))
    name = event["pathParameters"].get("refundRequestId")
    if name is None:
        return listed(refunds.of_order(order))
    refund_request_id = unquote(name)  # API Gateway hands it on as it stands in the URL
    if refund_request_id not in order.refunds:
        raise RefundNotFound
    return found(refunds.get(refund_request_id))
