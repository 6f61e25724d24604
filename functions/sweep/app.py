"""Every minute: the sweep. The rules are in `autodebit.sweep`."""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.payment.order_table import OrderTable
from autodebit.polling import parse_schedule
from autodebit.polling_machine import PollingMachine
from autodebit.sweep import MARGIN_MS, Sweeper
from autodebit.telemetry import logger, metrics

_first_wait_s = parse_schedule(os.environ["INQUIRY_SCHEDULE"])[0]
sweeper = Sweeper(OrderTable(), PollingMachine(os.environ["POLLING_STATE_MACHINE"], _first_wait_s), _first_wait_s)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """What the run did. Raises TableFault; a run that made no count is a missing datapoint, which the alarm hears."""
    now = datetime.now(UTC)
    too_long = sweeper.count_init_too_long(now)
    taken = sweeper.take_on(now, lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
    return {"taken": taken, "initTooLong": too_long}
