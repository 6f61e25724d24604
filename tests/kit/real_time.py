"""What needs real minutes: it happens on a stack of its own while the other tests run, and is judged afterwards.

1. The first minute of the polling, for orders without a result and for orders whose notifications are lost; beside them
   one order whose inquiry function fails.
2. Beside it, answers of Alipay that are slower than patience.
3. The process of each function is killed at each of its effects.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import books
from .crash_points import FUNCTIONS, Crash, crash_everywhere
from .faults import GET_ITEM
from .merchant import Answer, new_id, payment
from .schedule import FIRST_MINUTE
from .stacks import Deployment
from .waiting import at_once, eventually

Json = dict[str, Any]

KNOWN_AFTER_S = (0.5, 2, 4, 5, 10, 20, 30, 45)
"""When Alipay knows the result of the payments whose notifications are lost."""


INQUIRY_FAILS = ("F:SYSTEM_ERROR", {"answer": "hang"}, "U:UNKNOWN_EXCEPTION", "U:REQUEST_TRAFFIC_EXCEED_LIMIT")
"""What the first inquiries of another payment come to, the second after ten seconds."""


@dataclass(frozen=True)
class Minute:
    """Ids of the orders watched through their first minute."""

    without_result: list[str]
    notifications_lost: list[str]
    inquiry_fails: str


class RealTime:
    """Runs by itself once begun; each attribute is the future of what a test judges."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.minute: Future[Minute] = Future()
        self.broken: Future[str] = Future()
        self.crashes: Future[list[Crash]] = Future()
        self.slow: Future[dict[str, tuple[str, Answer]]] = Future()

    def begin(self) -> "RealTime":
        threading.Thread(target=self._run, name="real time", daemon=True).start()
        return self

    def _run(self) -> None:
        self._fulfil(self.broken, self._break_inquiry)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self._fulfil, self.slow, self._answer_slowly)
            self._fulfil(self.minute, self._watch_a_minute)
        # A process that is killed may be in the middle of something else: these come when all else is done.
        self._fulfil(self.crashes, self._crash_everywhere)

    def _fulfil(self, future: Future[Any], do: Callable[[], Any]) -> None:
        try:
            future.set_result(do())
        except BaseException as error:
            future.set_exception(error)

    # An inquiry function that fails

    def _break_inquiry(self) -> str:
        """The order cannot be read: every look fails until `mended` is called."""
        payment_request_id = new_id("broken")
        self.deployment.faults.add(
            {"op": GET_ITEM, "match": payment_request_id, "times": -1, "error": "InternalServerError", "status": 500}
        )
        self.deployment.alipay.plan(payment_request_id, pay=["U"], result={"status": "SUCCESS"}, notify="lost")
        self.deployment.merchant.pay(payment(payment_request_id))

        def mend() -> None:
            eventually(lambda: self._failed(payment_request_id), "the polling gave up", every_s=0.5)
            self.deployment.faults.clear()

        threading.Thread(target=mend, daemon=True).start()
        return payment_request_id

    def _failed(self, payment_request_id: str) -> bool:
        execution = self.deployment.seen.execution(payment_request_id)
        return bool(execution and execution["status"] == "FAILED")

    # The first minute

    def _watch_a_minute(self) -> Minute:
        here = self.deployment
        warm_id, _ = here.pay("warm", **books.NEVER)
        look = {"paymentRequestId": warm_id, "inquiry": 0}
        at_once([lambda: here.functions.invoke("Inquiry", look)] * 6)
        fails: Json = {"inquiry": [*INQUIRY_FAILS, "normal"], "result": {"status": "SUCCESS"}, "notify": "lost"}
        minute = Minute([], [], here.pay("inquiry-fails", pay=["U"], **fails)[0])
        for after_s in KNOWN_AFTER_S:
            minute.without_result.append(here.pay("without-result", **books.NEVER)[0])
            result = {"status": "SUCCESS", "after": after_s}
            minute.notifications_lost.append(here.pay("lost", pay=["U"], result=result, notify="lost")[0])
        last = minute.without_result[-1]
        eventually(
            lambda: len(here.alipay.calls(last, "inquiryPayment")) >= len(FIRST_MINUTE),
            "the last inquiry of the first minute",
            every_s=0.5,
        )
        return minute

    # Crashes

    def _crash_everywhere(self) -> list[Crash]:
        return [crash for function in FUNCTIONS for crash in crash_everywhere(self.deployment, function)]

    # Slow answers

    def _answer_slowly(self) -> dict[str, tuple[str, Answer]]:
        """By plan: the order, and what its POST was answered."""
        plans: dict[str, Json] = {
            "after 12 s": {"answer": "S", "delay": 12},
            "never": {"answer": "hang"},
            "byte by byte": {"answer": "drip"},
        }
        # Cold starts count in API Gateway's 29 s, and here they meet the deployments of other stacks.
        at_once([partial(self.deployment.pay, "warm-slow", notify="lost")] * len(plans))
        answers = at_once([partial(self.deployment.pay, "slow", pay=[plan], notify="lost") for plan in plans.values()])
        return dict(zip(plans, answers, strict=True))
