"""The tables' streams: what is told goes to the bus. The rules are in `autodebit.events` and `autodebit.publish`."""

import os
from typing import Any

from autodebit.agreement.agreement_table import agreement_in
from autodebit.event_bus import DeadLetters, EventBus
from autodebit.payment.order_table import order_in
from autodebit.publish import MARGIN_MS, Publisher
from autodebit.refund.refund_table import refund_in
from autodebit.telemetry import logger, metrics

publisher = Publisher(
    EventBus(os.environ["EVENT_BUS"]),
    DeadLetters(os.environ["DEAD_LETTERS"]),
    {"paymentRequestId": order_in, "agreementId": agreement_in, "refundRequestId": refund_in},
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The records that must come again, by their sequence numbers; Lambda goes on from the first of them."""
    again = publisher.publish(event["Records"], lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
    return {"batchItemFailures": [{"itemIdentifier": number} for number in again]}
