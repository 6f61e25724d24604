"""Things to be done later, in the order they fall due."""

import heapq
import threading
from collections.abc import Callable
from itertools import count

from local.alipay.clock import Clock


class Timetable:
    """One thread that runs short jobs when their time has come; long work goes to other threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="timetable", daemon=True).start()

    def at(self, due: float, job: Callable[[], None]) -> None:
        """Run `job` at the epoch second `due` of Alipay's clock."""
        with self._changed:
            heapq.heappush(self._jobs, (due, next(self._numbers), job))
            if self._jobs[0][0] == due:
                self._changed.notify()

    def set_clock(self, ahead_s: float) -> None:
        """Set the clock so many seconds ahead of the machine's; what falls due by that is done now."""
        with self._changed:
            self._clock.ahead_s = ahead_s
            self._changed.notify()

    def clear(self) -> None:
        """Forget every job."""
        with self._changed:
            self._jobs.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs or self._jobs[0][0] > self._clock.now():
                    self._changed.wait(self._jobs[0][0] - self._clock.now() if self._jobs else None)
                _, _, job = heapq.heappop(self._jobs)
            job()
