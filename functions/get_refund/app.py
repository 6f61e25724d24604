"""GET /payments/{paymentRequestId}/refunds, all of them or one: as they are stored."""

from typing import Any

from autodebit.api import Answer, Event, answers_problems
from autodebit.errors import RefundNotFound
from autodebit.payment.answers import named_order
from autodebit.payment.order_table import OrderTable
from autodebit.refund.answers import found, listed
from autodebit.refund.refund_table import RefundTable
from autodebit.refund.request import REFUND_REQUEST_ID
from autodebit.telemetry import logger, metrics

orders = OrderTable()
refunds = RefundTable()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the refunds, or the one; a 404 problem for an unknown payment, and for a refund of another one."""
    payment_request_id = orders.get(named_order(event)).payment_request_id
    refund_request_id = event["pathParameters"].get("refundRequestId")
    if refund_request_id is None:
        return listed(refunds.of_payment(payment_request_id))
    if not REFUND_REQUEST_ID.fullmatch(refund_request_id):
        raise RefundNotFound
    refund = refunds.get(refund_request_id)
    if refund.payment_request_id != payment_request_id:
        raise RefundNotFound
    return found(refund)
