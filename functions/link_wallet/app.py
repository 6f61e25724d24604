"""POST /agreements. The rules are in `autodebit.agreement.link`."""

import os
import time
from typing import Any

from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.answers import taken
from autodebit.agreement.link import BUDGET_S, Linker
from autodebit.agreement.request import parse_link_request
from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.secret import secret_reader
from autodebit.api import Answer, Event, answers_problems, body_of
from autodebit.telemetry import logger, metrics

linker = Linker(
    AgreementTable(),
    AlipayGateway(os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """201 and the agreement with its QR code, 200 on a replay; problems as `autodebit.errors` has them."""
    deadline = time.monotonic() + BUDGET_S
    request = parse_link_request(body_of(event))
    logger.append_keys(agreementId=request.agreement_id)
    base_url = event["stageVariables"]["publicBaseUrl"]
    agreement, new = linker.link(request, f"{base_url}/notifications/authorization", deadline)
    return taken(agreement, f"{base_url}/agreements/{agreement.agreement_id}", new=new)
