"""Waiting for a condition, with a deadline and a message that says what did not come."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

GENEROUS_S = 300.0
"""How long a test waits for what must come: no claim about how long that takes, for only a failure gets there."""


def eventually[Found](
    look: Callable[[], Found | None],
    what: str,
    within_s: float = GENEROUS_S,
    *,
    every_s: float = 0.03,
    show: Any = None,
) -> Found:
    """What `look` returns once it is true. `show`, called or as it is, completes the message."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > deadline:
            shown = show() if callable(show) else show
            raise AssertionError(f"not within {within_s:g} s: {what}{'' if shown is None else f'; {shown}'}")
        time.sleep(every_s)
    return found


def at_once[Result](calls: list[Callable[[], Result]], workers: int | None = None) -> list[Result]:
    """The results of calls made in as many threads as there are, or `workers`."""
    with ThreadPoolExecutor(workers or len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]
