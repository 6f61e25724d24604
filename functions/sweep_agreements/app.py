"""Every minute: the sweep of the agreements that are exchanged or revoked. The rules are in `autodebit.sweep`."""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.agreement.agreement_table import AgreementTable
from autodebit.polling_machine import PollingMachine
from autodebit.sweep import MARGIN_MS, Sweeper
from autodebit.telemetry import logger, metrics

sweeper = Sweeper(
    AgreementTable(), PollingMachine(os.environ["AGREEMENT_STATE_MACHINE"], 0, "agreementId"), "AgreementsTakenOn"
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """What the run did. Raises TableFault; a run that made no count is a missing datapoint, which the alarm hears."""
    taken = sweeper.take_on(datetime.now(UTC), lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
    return {"taken": taken}
