"""Every minute: have every order polled that nobody looked at in time, and count the orders INIT for too long.

What a crash or a failed start left behind is found by `lookAt` in the order table (`autodebit.polling` has the promise,
`functions/initiate_pay/app.py` the crash points).
"""

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from autodebit import telemetry
from autodebit.errors import PollingFault, TableFault
from autodebit.order_table import OPEN_SHARDS, OrderTable, OverdueOrder
from autodebit.polling import INIT_ALARM_S, following_look, parse_schedule
from autodebit.polling_machine import PollingMachine
from autodebit.telemetry import logger, metrics

MOST_TAKEN = 1000
"""Orders one run takes on; the rest is the next minute's."""

MOST_FAULTS = 10
"""Faults after which a run gives up: more would only add to the load that causes them."""

MOST_COUNTED = 1000
"""Where the count of orders INIT for too long stops: that many need no exact number."""

MARGIN_MS = 15_000
"""A run takes on no more when its function has less time than this left: the count must still be made."""


class Sweeper:
    """Goes over the open orders. `first_wait_s` is the schedule's first wait."""

    def __init__(self, table: OrderTable, polling: PollingMachine, first_wait_s: int) -> None:
        self._table = table
        self._polling = polling
        self._first_wait_s = first_wait_s

    def take_on(self, now: datetime, more: Callable[[], bool]) -> int:
        """How many overdue orders were given to the polling; it stops when `more` says so. Raises TableFault.

        An order that cannot be given over is left to the next run; after MOST_FAULTS of them so is all the rest.
        """
        taken = faults = 0
        shards = list(range(OPEN_SHARDS))
        random.shuffle(shards)  # no shard is always the last
        for overdue in self._table.overdue(now, shards):
            if taken == MOST_TAKEN or faults == MOST_FAULTS or not more():
                logger.warning("sweep left orders to the next run", taken=taken)
                break
            try:
                self._have_polled(overdue, now)
            except (PollingFault, TableFault) as error:
                faults += 1
                telemetry.count("Fault")
                logger.error("polling not resumed", paymentRequestId=overdue.payment_request_id, reason=str(error))
            else:
                taken += 1
                logger.warning("polling resumed", paymentRequestId=overdue.payment_request_id)
        return taken

    def _have_polled(self, overdue: OverdueOrder, now: datetime) -> None:
        """See to it that an execution polls the order; one that has settled meanwhile ends it with its first look."""
        payment_request_id, polling_round = overdue.payment_request_id, overdue.polling_round
        look_at = following_look(now, self._first_wait_s)
        if self._polling.start(payment_request_id, polling_round) or self._polling.is_running(
            payment_request_id, polling_round
        ):
            self._table.note_watched(overdue, look_at)
        elif self._table.open_round(overdue, look_at).won:
            # The round's execution ended before its schedule was spent, and its name is used up.
            self._polling.start(payment_request_id, polling_round + 1)


_first_wait_s = parse_schedule(os.environ["INQUIRY_SCHEDULE"])[0]
table = OrderTable()
sweeper = Sweeper(table, PollingMachine(os.environ["POLLING_STATE_MACHINE"], _first_wait_s), _first_wait_s)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """What the run did. Raises TableFault; a run that made no count is a missing datapoint, which the alarm hears."""
    now = datetime.now(UTC)
    taken = sweeper.take_on(now, lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
    too_long = table.init_since(now - timedelta(seconds=INIT_ALARM_S), MOST_COUNTED)
    telemetry.count("OrdersTakenOn", taken)
    telemetry.count("OrdersInitTooLong", too_long)
    if too_long:
        logger.error("orders INIT for more than 15 minutes", orders=too_long)
    return {"taken": taken, "initTooLong": too_long}
