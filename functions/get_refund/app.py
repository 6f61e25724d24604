"""GET /payments/{paymentRequestId}/refunds, all of them or one: as they are stored."""

from typing import Any

from autodebit.api import Answer, Event, answers_problems
from autodebit.payment.answers import named_order
from autodebit.payment.order_table import OrderTable
from autodebit.refund.answers import found, listed, named_refund
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
    refund_request_id = named_refund(event, order)
    return listed(refunds.of_order(order)) if refund_request_id is None else found(refunds.get(refund_request_id))
