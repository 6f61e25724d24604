"""Every minute: the sweep. The rules are in `autodebit.sweep`."""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.payment.count_init import count_init
from autodebit.payment.order_table import OrderTable
from autodebit.polling import parse_schedule
from autodebit.polling_machine import PollingMachine
from autodebit.sweep import MARGIN_MS, Sweeper
from autodebit.telemetry import logger, metrics

orders = OrderTable()
sweeper = Sweeper(
    orders,
    PollingMachine(os.environ["POLLING_STATE_MACHINE"], parse_schedule(os.environ["INQUIRY_SCHEDULE"])[0]),
    "OrdersTakenOn",
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """What the run did. Raises TableFault; a run that made no count is a missing datapoint, which the alarm hears."""
    now = datetime.now(UTC)
    counts = count_init(orders, now)
    taken = sweeper.take_on(now, lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
    return {"taken": taken, **counts}
