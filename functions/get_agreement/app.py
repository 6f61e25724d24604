"""GET /agreements/{agreementId}: the agreement as it is stored."""

from typing import Any

from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.answers import found, named_agreement
from autodebit.api import Answer, Event, answers_problems
from autodebit.telemetry import logger, metrics

table = AgreementTable()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the agreement, or a 404 problem."""
    return found(table.get(named_agreement(event)))
