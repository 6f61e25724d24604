"""GET /payments?referenceOrderId=REF: the orders of a reference."""

from typing import Any

from autodebit.api import Answer, Event, answers_problems
from autodebit.payment.answers import listed, named_reference
from autodebit.payment.order_table import OrderTable
from autodebit.telemetry import logger, metrics

LISTED_MAX = 100

table = OrderTable()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the orders, newest first; a 400 problem without a reference."""
    return listed(table.of_reference(named_reference(event), LISTED_MAX))
