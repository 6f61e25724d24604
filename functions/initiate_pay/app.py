"""POST /payments. The rules are in `autodebit.payment.initiate`."""

import os
import time
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.secret import secret_reader
from autodebit.api import Answer, Event, answers_problems, body_of
from autodebit.payment.answers import taken
from autodebit.payment.initiate import BUDGET_S, Initiator
from autodebit.payment.order_table import OrderTable
from autodebit.payment.request import parse_pay_request
from autodebit.polling import parse_schedule
from autodebit.polling_machine import PollingMachine
from autodebit.telemetry import logger, metrics

if TYPE_CHECKING:
    from autodebit.agreement.debit import Debits


@cache
def debits() -> "Debits":
    """Imported when a payment names an agreement: the cold start of all others does not pay for the vault."""
    from autodebit.agreement.agreement_table import TABLE_NAME, AgreementTable
    from autodebit.agreement.debit import Debits
    from autodebit.agreement.kms import Kms
    from autodebit.agreement.vault import Opener

    return Debits(AgreementTable(), Opener(Kms(os.environ["TOKEN_KEY"], TABLE_NAME), TABLE_NAME))


initiator = Initiator(
    OrderTable(),
    AlipayGateway(os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))),
    PollingMachine(os.environ["POLLING_STATE_MACHINE"], parse_schedule(os.environ["INQUIRY_SCHEDULE"])[0]),
    debits,
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the order once it is final, 202 while it is INIT; problems as `autodebit.errors` has them."""
    deadline = time.monotonic() + BUDGET_S
    request = parse_pay_request(body_of(event), datetime.now(UTC))
    logger.append_keys(paymentRequestId=request.payment_request_id)
    base_url = event["stageVariables"]["publicBaseUrl"]
    order = initiator.initiate(request, f"{base_url}/notifications/payment", deadline)
    return taken(order, f"{base_url}/payments/{order.payment_request_id}")
