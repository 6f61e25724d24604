"""The sweep: have every row looked at that nobody looked at in time.

What a crash or a failed start left behind is found by `overdueAt` in its table (`autodebit.polling` has the
promise, `autodebit.payment.initiate` the crash points).
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any, Protocol

from autodebit import telemetry
from autodebit.errors import PollingFault, PollingThrottled, TableFault
from autodebit.polling import overdue_at
from autodebit.polling_machine import PollingMachine
from autodebit.rows.guard import Written
from autodebit.rows.watch import WATCH_SHARDS, Overdue
from autodebit.telemetry import logger

STARTS_PER_S = 280
"""Step Functions' default is 300 a second in the larger regions, and more for a moment.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

AT_ONCE = 16
"""Rows that are handed over side by side; a start and its note take some 50 ms."""

FAULTS_LOGGED_MAX = 10
"""Faults of one run that get a line of their own; all of them are counted."""

MARGIN_MS = 4_000
"""A run takes on no more when its function has less time than this left: those under way must end."""


class Pace:
    """Spreads starts over time: at most `per_s`, half of that when throttled, and slowly up again."""

    def __init__(self, per_s: float) -> None:
        self._most = self._per_s = per_s
        self._next_at = time.monotonic()

    def wait(self) -> None:
        """Sleep until the next start is due."""
        now = time.monotonic()
        if self._next_at > now:
            time.sleep(self._next_at - now)
        self._next_at = max(self._next_at, now) + 1 / self._per_s

    def throttled(self) -> None:
        """Step Functions refused a start for the load."""
        self._per_s = max(1.0, self._per_s / 2)

    def started(self) -> None:
        """Step Functions took a start."""
        self._per_s = min(self._most, self._per_s + 1)


class WatchedTable(Protocol):
    """A table whose rows are watched while somebody has to look at them."""

    def overdue(self, now: datetime, shards: Iterable[int], /) -> Iterator[Overdue]: ...
    def note_watched(self, overdue: Overdue, overdue_at: datetime, /) -> Written[Any]: ...
    def start_round(self, overdue: Overdue, overdue_at: datetime, /) -> Written[Any]: ...


class Sweeper:
    """Goes over the rows of one table that are overdue. `taken_on` is the metric that counts them."""

    def __init__(self, table: WatchedTable, polling: PollingMachine, taken_on: str) -> None:
        self._table = table
        self._polling = polling
        self._taken_on = taken_on

    def take_on(self, now: datetime, more: Callable[[], bool]) -> int:
        """How many overdue rows were given to the polling; it stops when `more` says so. Raises TableFault.

        A row that cannot be given over is left to the next run.
        """
        run = _Run(self._polling.key_name)
        shards = list(range(WATCH_SHARDS))
        random.shuffle(shards)  # no shard is always the last
        under_way: deque[tuple[Overdue, Future[None]]] = deque()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for overdue in self._table.overdue(now, shards):
                if not more():
                    logger.warning("sweep left rows to the next run", taken=run.taken)
                    break
                run.pace.wait()
                under_way.append((overdue, pool.submit(self._have_polled, overdue, now)))
                if len(under_way) == AT_ONCE:
                    run.note(*under_way.popleft())
            while under_way:
                run.note(*under_way.popleft())
        telemetry.count(self._taken_on, run.taken)
        return run.taken

    def _have_polled(self, overdue: Overdue, now: datetime) -> None:
        """See to it that an execution polls the row; one that has settled meanwhile ends it with its first look."""
        key, polling_round = overdue.key, overdue.polling_round
        late_from = overdue_at(now, self._polling.first_wait_s)
        if self._polling.start(key, polling_round) or self._polling.is_running(key, polling_round):
            self._table.note_watched(overdue, late_from)
        elif self._table.start_round(overdue, late_from).won:
            # The round's execution ended before its schedule was spent, and its name is used up.
            self._polling.start(key, polling_round + 1)


class _Run:
    """What one run came to. `key_name` is what the log calls a key."""

    def __init__(self, key_name: str) -> None:
        self._key_name = key_name
        self.taken = 0
        self.pace = Pace(STARTS_PER_S)
        self._faults = 0

    def note(self, overdue: Overdue, handed_over: Future[None]) -> None:
        """Wait for what becomes of one row, and count it."""
        keys: dict[str, Any] = {self._key_name: overdue.key}
        try:
            handed_over.result()
        except PollingThrottled:
            self.pace.throttled()
            telemetry.count("StartsThrottled")
        except (PollingFault, TableFault) as error:
            self._faults += 1
            telemetry.count("Fault")
            if self._faults <= FAULTS_LOGGED_MAX:
                logger.error("polling not resumed", **keys, reason=str(error))
        else:
            self.taken += 1
            self.pace.started()
            logger.warning("polling resumed", **keys)
