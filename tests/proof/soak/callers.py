"""The merchant's backend as it is in a bad hour: impatient, repeating itself, and asking again until it is answered."""

import random
import threading
import time
from collections import Counter
from typing import Any

import requests

from tests.kit.merchant import PATIENCE_S, payment
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once

from .comparison import FINAL, Answer, Asked
from .fates import AGAIN, GIVES_UP, TWICE_AT_ONCE, Fate

Json = dict[str, Any]

TRIES = 12
"""After as many requests without an answer a caller leaves it until the faults are over."""

REFUSED_S = 0.4


class Callers:
    """Asks for each payment as its fate says. `asked` is what the callers know, `happened` which faults were made."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._local = threading.local()
        self._lock = threading.Lock()
        self.asked: dict[str, Asked] = {}
        self.happened: Counter[str] = Counter()
        self.done = 0

    def ask(self, fate: Fate) -> None:
        """Plan the payment, ask for it until an answer says what became of it, and perhaps look it up."""
        self._deployment.alipay.plan(fate.payment_request_id, **fate.plan)
        asked = self.asked[fate.payment_request_id] = Asked(fate.amount, [])
        if fate.refused:
            self._deployment.alipay.refuse(REFUSED_S)
        if fate.killed:
            threading.Timer(fate.killed_after_s, self._kill, [fate]).start()
        for number in range(TRIES):
            how = fate.requests[number] if number < len(fate.requests) else ""
            answered = self._request(fate, asked, how)
            if answered and how != AGAIN:
                break
            time.sleep(min(0.05 * 2**number, 1))
        if fate.looks_up and answered:
            self._look_up(fate, asked)
        with self._lock:
            self.done += 1

    def unanswered(self) -> list[str]:
        """The payments whose callers do not know what became of their request."""
        return [key for key, asked in self.asked.items() if not any(_answered(answer) for answer in asked.answers)]

    def ask_again(self, fate: Fate) -> None:
        """The same request once more, by a patient caller."""
        self._request(fate, self.asked[fate.payment_request_id], "")

    def _request(self, fate: Fate, asked: Asked, how: str) -> bool:
        """One POST, or two; whether it was answered so that nobody needs to ask again."""
        if how:
            self._count(f"caller: {how}")
        if how == GIVES_UP:
            answers = [self._post(fate, fate.patience_s)]
        elif how == TWICE_AT_ONCE:
            answers = at_once([lambda: self._post(fate, PATIENCE_S)] * 2)
            answers.sort(key=lambda answer: answer.order.get("status") in FINAL)  # neither is after the other
        else:
            answers = [self._post(fate, PATIENCE_S)]
        asked.answers.extend(answers)
        return any(_answered(answer) for answer in answers)

    def _look_up(self, fate: Fate, asked: Asked) -> None:
        for _ in range(TRIES):
            asked.answers.append(self._call("GET", f"/payments/{fate.payment_request_id}", None, PATIENCE_S))
            if _answered(asked.answers[-1]):
                return

    def _post(self, fate: Fate, patience_s: float) -> Answer:
        request = payment(
            fate.payment_request_id,
            paymentAmount=fate.amount,
            order={
                "referenceOrderId": fate.payment_request_id,
                "orderDescription": "Monthly cinema pass 電影月票",
                "orderAmount": fate.amount,
            },
        )
        return self._call("POST", "/payments", request, patience_s)

    def _call(self, method: str, path: str, request: Json | None, patience_s: float) -> Answer:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        url = self._deployment.merchant.api_url + path
        try:
            response = self._local.session.request(method, url, json=request, timeout=patience_s)
        except (requests.ConnectionError, requests.Timeout):
            return Answer(method, 0)
        return Answer(method, response.status_code, response.json() if response.ok else {})

    def _kill(self, fate: Fate) -> None:
        if self._deployment.functions.kill_one(fate.killed, random.Random(fate.payment_request_id)):
            self._count(f"{fate.killed} killed")

    def _count(self, what: str) -> None:
        with self._lock:
            self.happened[what] += 1


def _answered(answer: Answer) -> bool:
    return 0 < answer.status < 500
