"""Every minute: the sweep of the refunds that have no result. The rules are in `autodebit.sweep`."""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.polling_machine import PollingMachine
from autodebit.refund.inquire import SCHEDULE
from autodebit.refund.refund_table import RefundTable
from autodebit.sweep import MARGIN_MS, Sweeper
from autodebit.telemetry import logger, metrics

sweeper = Sweeper(
    RefundTable(), PollingMachine(os.environ["REFUND_STATE_MACHINE"], SCHEDULE[0], "refundRequestId"), "RefundsTakenOn"
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """What the run did. Raises TableFault; a run that made no count is a missing datapoint, which the alarm hears."""
    taken = sweeper.take_on(datetime.now(UTC), lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
    return {"taken": taken}
