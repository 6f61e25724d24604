"""Things to be done later, in the order they fall due."""

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count


class Timetable:
    """One thread that runs short jobs when their time has come; long work goes to other threads."""

    def __init__(self) -> None:
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="timetable", daemon=True).start()

    def at(self, due: float, job: Callable[[], None]) -> None:
        """Run `job` at the epoch second `due`."""
        with self._changed:
            heapq.heappush(self._jobs, (due, next(self._numbers), job))
            if self._jobs[0][0] == due:
                self._changed.notify()

    def clear(self) -> None:
        with self._changed:
            self._jobs.clear()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs or self._jobs[0][0] > time.time():
                    self._changed.wait(self._jobs[0][0] - time.time() if self._jobs else None)
                _, _, job = heapq.heappop(self._jobs)
            job()
