"""The sweep: have every order polled that nobody looked at in time, and count the orders INIT for too long.

What a crash or a failed start left behind is found by `overdueAt` in the order table (`autodebit.polling` has the
promise, `autodebit.payment.initiate` the crash points).
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from autodebit import telemetry
from autodebit.errors import PollingFault, TableFault
from autodebit.payment.order_table import OrderTable
from autodebit.polling import INIT_ALARM_S, overdue_at
from autodebit.polling_machine import PollingMachine
from autodebit.rows.watch import WATCH_SHARDS, Overdue
from autodebit.telemetry import logger

TAKEN_MAX = 1000
"""Orders one run takes on; the rest is the next minute's."""

FAULTS_MAX = 10
"""Faults after which a run gives up: more would only add to the load that causes them."""

COUNTED_MAX = 1000
"""Where the count of orders INIT for too long stops: that many need no exact number."""

MARGIN_MS = 15_000
"""A run takes on no more when its function has less time than this left: the count must still be made."""


class Sweeper:
    """Goes over the orders that are overdue. `first_wait_s` is the schedule's first wait."""

    def __init__(self, table: OrderTable, polling: PollingMachine, first_wait_s: int) -> None:
        self._table = table
        self._polling = polling
        self._first_wait_s = first_wait_s

    def take_on(self, now: datetime, more: Callable[[], bool]) -> int:
        """How many overdue orders were given to the polling; it stops when `more` says so. Raises TableFault.

        An order that cannot be given over is left to the next run; after FAULTS_MAX of them so is all the rest.
        """
        taken = faults = 0
        shards = list(range(WATCH_SHARDS))
        random.shuffle(shards)  # no shard is always the last
        for overdue in self._table.overdue(now, shards):
            if taken == TAKEN_MAX or faults == FAULTS_MAX or not more():
                logger.warning("sweep left orders to the next run", taken=taken)
                break
            try:
                self._have_polled(overdue, now)
            except (PollingFault, TableFault) as error:
                faults += 1
                telemetry.count("Fault")
                logger.error("polling not resumed", paymentRequestId=overdue.key, reason=str(error))
            else:
                taken += 1
                logger.warning("polling resumed", paymentRequestId=overdue.key)
        telemetry.count("OrdersTakenOn", taken)
        return taken

    def count_init_too_long(self, now: datetime) -> int:
        """How many orders are INIT for more than INIT_ALARM_S, counted for the alarm too. Raises TableFault."""
        too_long = self._table.init_since(now - timedelta(seconds=INIT_ALARM_S), COUNTED_MAX)
        telemetry.count("OrdersInitTooLong", too_long)
        if too_long:
            logger.error("orders INIT for more than 15 minutes", orders=too_long)
        return too_long

    def _have_polled(self, overdue: Overdue, now: datetime) -> None:
        """See to it that an execution polls the order; one that has settled meanwhile ends it with its first look."""
        payment_request_id, polling_round = overdue.key, overdue.polling_round
        late_from = overdue_at(now, self._first_wait_s)
        if self._polling.start(payment_request_id, polling_round) or self._polling.is_running(
            payment_request_id, polling_round
        ):
            self._table.note_watched(overdue, late_from)
        elif self._table.start_round(overdue, late_from).won:
            # The round's execution ended before its schedule was spent, and its name is used up.
            self._polling.start(payment_request_id, polling_round + 1)
