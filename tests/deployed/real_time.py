"""What needs real minutes: it happens on a stack of its own while the other tests run, and is judged afterwards.

1. The first minute of the polling, for orders without a result and for orders whose notifications are lost; beside them
   one order whose inquiry function fails.
2. The process that initiates the payment is killed at each of its effects.
3. Answers of Alipay that are slower than patience.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from . import books
from .faults import GET_ITEM, Faults
from .merchant import Answer, new_id, payment
from .stacks import Deployment
from .waiting import at_once, eventually

Json = dict[str, Any]

FIRST_MINUTE = (3, 3, 6, 12, 18, 20)
"""The schedule's waits that lie within the life of an auto debit."""

KNOWN_AFTER_S = (0.5, 2, 4, 5, 10, 20, 30, 45)
"""When Alipay knows the result of the payments whose notifications are lost."""


@dataclass(frozen=True)
class Crash:
    """One order whose initiating process was killed: at which effect, and whether that effect came about."""

    payment_request_id: str
    where: str
    answer: Answer


@dataclass(frozen=True)
class Minute:
    """Ids of the orders watched through their first minute."""

    without_result: list[str]
    notifications_lost: list[str]


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
        self._fulfil(self.minute, self._watch_a_minute)
        self._fulfil(self.crashes, self._crash_everywhere)
        self._fulfil(self.slow, self._answer_slowly)

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
            eventually(lambda: self._failed(payment_request_id), "the polling gave up", 90, every_s=0.5)
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
        minute = Minute([], [])
        for after_s in KNOWN_AFTER_S:
            minute.without_result.append(here.pay("without-result", **books.NEVER)[0])
            result = {"status": "SUCCESS", "after": after_s}
            minute.notifications_lost.append(here.pay("lost", pay=["U"], result=result, notify="lost")[0])
        last = minute.without_result[-1]
        eventually(
            lambda: len(here.alipay.calls(last, "inquiryPayment")) >= len(FIRST_MINUTE),
            "the last inquiry of the first minute",
            sum(FIRST_MINUTE) + 10,
            every_s=0.5,
        )
        return minute

    # Crashes

    def _crash_everywhere(self) -> list[Crash]:
        with self.deployment.faults_of("InitiatePay") as faults:
            crashes = []
            for pay in ("S", "U"):
                plan = {"pay": [pay], "result": {"status": "SUCCESS", "after": 0}, "notify": "lost"}
                effects = self._effects(faults, plan)
                for number, effect in enumerate(effects):
                    rule = {"op": "", "skip": number, "hold": True, "drop": "before"}
                    where = f"pay {pay}: before effect {number + 1} of {len(effects)}, {effect}"
                    crashes.append(self._crash(where, plan, faults, rule))
                rule = {"op": "", "skip": len(effects) - 1, "hold": True, "drop": "after"}
                crashes.append(self._crash(f"pay {pay}: after {effects[-1]}", plan, faults, rule))
            for answer, where in (("reset-before", "pay never arrived"), ("S", "pay arrived")):
                plan = {"pay": [{"answer": answer, "delay": 60}], "notify": "lost"}
                crashes.append(self._crash(f"while waiting for pay's answer, {where}", plan, faults, None))
            return crashes

    def _effects(self, faults: Faults, plan: Json) -> list[str]:
        """The calls that a fresh process makes for such a payment."""
        self.deployment.functions.kill("InitiatePay")
        faults.forget()
        self.deployment.pay("counted", **plan)
        return [call["op"].rpartition(".")[2] for call in faults.calls()]

    def _crash(self, where: str, plan: Json, faults: Faults, rule: Json | None) -> Crash:
        here = self.deployment
        payment_request_id = here.alipay.plan(new_id("crash"), **plan)
        here.functions.kill("InitiatePay")
        if rule:
            faults.add(rule)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(here.merchant.pay, payment(payment_request_id))
            if rule:
                eventually(faults.used_up, f"held {where}", 20)
            else:
                eventually(lambda: here.alipay.calls(payment_request_id, "pay"), f"held {where}", 20)
            here.functions.kill("InitiatePay")
            faults.clear()
            return Crash(payment_request_id, where, answer.result())

    # Slow answers

    def _answer_slowly(self) -> dict[str, tuple[str, Answer]]:
        """By plan: the order, and what its POST was answered."""
        plans: dict[str, Json] = {
            "after 12 s": {"answer": "S", "delay": 12},
            "never": {"answer": "hang"},
            "byte by byte": {"answer": "drip"},
        }
        answers = at_once(
            [lambda plan=plan: self.deployment.pay("slow", pay=[plan], notify="lost") for plan in plans.values()]
        )
        return dict(zip(plans, answers, strict=True))
