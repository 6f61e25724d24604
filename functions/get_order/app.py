"""GET /payments/{paymentRequestId}: the order as it is stored."""

from typing import Any

from autodebit.api import Answer, Event, answers_problems
from autodebit.payment.answers import found, named_order
from autodebit.payment.order_table import OrderTable
from autodebit.telemetry import logger, metrics

table = OrderTable()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the order, or a 404 problem."""
    return found(table.get(named_order(event)))
