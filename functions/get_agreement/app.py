"""GET /agreements/{agreementId}: the agreement as it is stored."""

from typing import Any

from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.answers import found, id_of
from autodebit.api import Answer, Event, answers_problems
from autodebit.telemetry import logger, metrics

table = AgreementTable()


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@answers_problems
def handler(event: Event, context: Any) -> Answer:
    """200 and the agreement, or a 404 problem."""
    agreement_id = id_of(event)
    logger.append_keys(agreementId=agreement_id)
    return found(table.get(agreement_id))
