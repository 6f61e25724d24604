"""POST /payments/{paymentRequestId}/refunds. The rules are in `autodebit.refund.initiate`."""

import os
import time
from typing import Any

from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.secret import secret_reader
from autodebit.api import Answer, Event, answers_problems, body_of
from autodebit.payment.answers import named_order
from autodebit.payment.order_table import OrderTable
from autodebit.polling_machine import PollingMachine
from autodebit.refund.answers import taken
from autodebit.refund.initiate import BUDGET_S, Initiator
from autodebit.refund.inquire import SCHEDULE
from autodebit.refund.refund_table import RefundTable
from autodebit.refund.request import parse_refund_request
from autodebit.telemetry import logger, metrics

initiator = Initiator(
    OrderTable(),
    RefundTable(),
    AlipayGateway(os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))),
    PollingMachine(os.environ["REFUND_STATE_MACHINE"], SCHEDULE[0], "refundRequestId"),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the refund once it is final, 202 while it is INIT; problems as `autodebit.errors` has them."""
    deadline = time.monotonic() + BUDGET_S
    payment_request_id = named_order(event)
    request = parse_refund_request(body_of(event))
    logger.append_keys(refundRequestId=request.refund_request_id)
    base_url = event["stageVariables"]["publicBaseUrl"]
    refund = initiator.initiate(payment_request_id, request, f"{base_url}/notifications/refund", deadline)
    return taken(refund, f"{base_url}/payments/{payment_request_id}/refunds/{refund.refund_request_id}")
