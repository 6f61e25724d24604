"""DELETE /agreements/{agreementId}. The rules are in `autodebit.agreement.revoke`."""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.answers import named_agreement, revoked
from autodebit.agreement.revoke import Revoker
from autodebit.api import Answer, Event, answers_problems
from autodebit.polling_machine import PollingMachine
from autodebit.telemetry import logger, metrics

revoker = Revoker(AgreementTable(), PollingMachine(os.environ["AGREEMENT_STATE_MACHINE"], 0, "agreementId"))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """202 and the agreement once its revocation is noted, 200 if it is over; problems as in `autodebit.errors`."""
    agreement_id = named_agreement(event)
    agreement = revoker.revoke(agreement_id, datetime.now(UTC))
    return revoked(agreement, f"{event['stageVariables']['publicBaseUrl']}/agreements/{agreement_id}")
