"""POST /payments/{paymentRequestId}/cancel. The rules are in `autodebit.payment.cancel`."""

import os
from typing import Any

from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.secret import secret_reader
from autodebit.api import Answer, Event, answers_problems, body_of
from autodebit.payment.answers import named_order, taken
from autodebit.payment.cancel import Canceller
from autodebit.payment.cancel_call import CancelCall
from autodebit.payment.order_table import OrderTable
from autodebit.payment.request import parse_cancel_request
from autodebit.polling import parse_schedule
from autodebit.polling_machine import PollingMachine
from autodebit.telemetry import logger, metrics

table = OrderTable()
gateway = AlipayGateway(
    os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))
)
canceller = Canceller(
    table,
    CancelCall(table, gateway, int(os.environ["CLOSE_AFTER"])),
    PollingMachine(os.environ["POLLING_STATE_MACHINE"], parse_schedule(os.environ["INQUIRY_SCHEDULE"])[0]),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the order once it is CANCELLED, 202 while it is INIT; problems as `autodebit.errors` has them."""
    payment_request_id = named_order(event)
    parse_cancel_request(body_of(event))
    order = canceller.cancel(payment_request_id)
    return taken(order, f"{event['stageVariables']['publicBaseUrl']}/payments/{payment_request_id}")
