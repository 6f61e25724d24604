"""The CPU time of the code under test, without that of what watches it."""

import time
from typing import Any


class Stopwatch:
    """Call functions through it; `seconds` is what they took together, of this thread's CPU time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.called = False

    def __call__(self, function: Any, *arguments: Any, **named: Any) -> Any:
        self.called = True
        started = time.thread_time()
        try:
            return function(*arguments, **named)
        finally:
            self.seconds += time.thread_time() - started
