"""How a backend asks for anything in a bad hour: it gives up, asks twice at once, repeats itself, and asks again."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import requests

from tests.kit.merchant import PATIENCE_S
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once

from .books import FINAL, Answer, Asked
from .fates import AGAIN, GIVES_UP, TWICE_AT_ONCE, Fate, RefundFate

Json = dict[str, Any]

TRIES = 12
"""After as many requests without an answer a caller leaves it until the faults are over."""


class Impatient:
    """Asks for one thing as its fate says. `asked` is what the callers know, `happened` which faults were made."""

    def __init__(self, deployment: Deployment, called: str) -> None:
        self._deployment = deployment
        self._called = called
        self._local = threading.local()
        self._lock = threading.Lock()
        self.asked: dict[str, Asked] = {}
        self.happened: Counter[str] = Counter()

    def until_answered(self, fate: Fate | RefundFate, asked: Asked, path: str, request: Json) -> bool:
        """POST until an answer says what became of it; whether one did."""
        if fate.killed:
            threading.Timer(fate.killed_after_s, self._kill, [fate]).start()
        for number in range(TRIES):
            how = fate.requests[number] if number < len(fate.requests) else ""
            if self._request(fate, asked, path, request, how) and how != AGAIN:
                break
            time.sleep(min(0.05 * 2**number, 1))
        return is_answered(asked)

    def once_more(self, fate: Fate | RefundFate, asked: Asked, path: str, request: Json) -> None:
        """The same request by a patient caller."""
        self._request(fate, asked, path, request, "")

    def look_up(self, asked: Asked, path: str) -> Answer:
        """GET until it is answered: the last answer."""
        for _ in range(TRIES):
            asked.answers.append(self._call("GET", path, None, PATIENCE_S))
            if _answered(asked.answers[-1]):
                break
        return asked.answers[-1]

    def unanswered(self) -> list[str]:
        """Those whose callers do not know what became of their request."""
        return [key for key, asked in self.asked.items() if not is_answered(asked)]

    def _request(self, fate: Fate | RefundFate, asked: Asked, path: str, request: Json, how: str) -> bool:
        """One POST, or two; whether it was answered so that nobody needs to ask again."""

        def post(patience_s: float = PATIENCE_S) -> Answer:
            return self._call("POST", path, request, patience_s)

        if how:
            self._count(f"{self._called}: {how}")
        answers = [post(fate.patience_s)] if how == GIVES_UP else self._posted(post, how)
        asked.answers.extend(answers)
        return any(_answered(answer) for answer in answers)

    def _posted(self, post: Callable[[], Answer], how: str) -> list[Answer]:
        if how != TWICE_AT_ONCE:
            return [post()]
        return sorted(at_once([post] * 2), key=_tells)  # neither is after the other

    def _call(self, method: str, path: str, request: Json | None, patience_s: float) -> Answer:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        url = self._deployment.merchant.api_url + path
        try:
            response = self._local.session.request(method, url, json=request, timeout=patience_s)
        except (requests.ConnectionError, requests.Timeout):
            return Answer(method, 0)
        shown = response.json() if response.ok or response.status_code == 409 else {}
        return Answer(method, response.status_code, shown)

    def _kill(self, fate: Fate | RefundFate) -> None:
        if self._deployment.functions.kill_one(fate.killed, random.Random(repr(fate))):
            self._count(f"{fate.killed} killed")

    def _count(self, what: str) -> None:
        with self._lock:
            self.happened[what] += 1


def is_answered(asked: Asked) -> bool:
    """Whether the caller knows what became of the request."""
    return any(_answered(answer) for answer in asked.answers)


def _answered(answer: Answer) -> bool:
    return 0 < answer.status < 500


def _tells(answer: Answer) -> int:
    """How much of the end it tells."""
    if answer.status == 409:
        return 0
    return 2 if answer.shown.get("status") in FINAL else 1
