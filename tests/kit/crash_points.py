"""A function's process killed at each of its effects, for every function that changes anything.

An effect is a call: of the table, the secret, Step Functions or Alipay. Nobody lists them: a first run goes through a
proxy that counts them. Then, for each, a fresh process is held there and killed with SIGKILL, and the world goes on.
Dying after an effect is dying before the next one; after the last, the answer of the call is withheld. So it is after a
call of Alipay, to die without the answer as well as with it. Reads in a row that name no payment, such as the sweep's
over its shards, count once: nothing changes between them.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from . import books
from .faults import GET_SECRET, QUERY, START_EXECUTION, Faults
from .merchant import new_id, payment
from .stacks import Deployment
from .waiting import eventually

Json = dict[str, Any]

FUNCTIONS = ("Sweep", "InitiatePay", "Inquiry", "Notify")
"""First those whose crashes take the longest to come right."""


@dataclass(frozen=True)
class Scene:
    """What a function is about to do: `trigger` makes it, for the payment that `prepare` left behind.

    `over` says when nothing that it set in motion calls the function again: the next scene's call would share its fate.
    """

    name: str
    trigger: Callable[[str], Any]
    prepare: Callable[[str], Any]
    done: Callable[[str], Any]
    over: Callable[[str], Any] = lambda key: True

    def finished(self, key: str) -> bool:
        """Whether it is done, and over."""
        return bool(self.done(key) and self.over(key))


@dataclass(frozen=True)
class Effect:
    """One call. `position`: how many such calls about the payment came before it; None if it names no payment."""

    op: str
    position: int | None

    def __str__(self) -> str:
        return self.op.rpartition(".")[2] or self.op


@dataclass(frozen=True)
class Crash:
    """One payment whose function was killed, and what the trigger got for an answer."""

    payment_request_id: str
    function: str
    where: str
    answer: Any


def scenes(here: Deployment, function: str) -> list[Scene]:
    """What the function does that changes anything."""

    def pay(key: str) -> Any:
        return here.merchant.pay(payment(key))

    def planned(**plan: Any) -> Callable[[str], Any]:
        return lambda key: here.alipay.plan(key, **plan)

    def row(key: str) -> Json:
        return here.seen.row(key) or {}

    def settled(key: str) -> bool:
        return str(row(key).get("status", "INIT")) != "INIT"

    def unwatched(key: str) -> None:
        with here.faults.injected({"op": START_EXECUTION, "match": key, "error": "ThrottlingException"}):
            here.alipay.plan(key, pay=["U"], **books.PAID_IN_SILENCE)
            pay(key)

    def watch_ended(key: str) -> None:
        here.alipay.plan(key, pay=["U"], **books.PAID_IN_SILENCE)
        pay(key)
        execution = here.seen.execution(key)
        assert execution
        here.aws("stepfunctions").stop_execution(executionArn=execution["executionArn"])

    def sweep(key: str) -> Any:
        here.make_overdue(key)
        return here.aws("lambda").invoke(FunctionName=f"{here.description['stackName']}-Sweep").get("FunctionError")

    def paid(key: str) -> None:
        here.alipay.plan(key, notify="lost")
        pay(key)
        eventually(lambda: settled(key), "paid")

    def acknowledged(key: str) -> bool:
        return any(delivery["acknowledged"] for delivery in here.alipay.notifications(key))

    def dispute(key: str) -> Any:
        return here.alipay.notify_once(key, resultStatus="F", resultCode="RISK_REJECT")["status"]

    cut_twice = {"pay": ["reset", "reset", "normal"], "notify": "lost"}
    notified = planned(pay=["U"], result={"status": "SUCCESS"}, inquiry=["U"], notify={"delay": 0})
    return {
        "InitiatePay": [
            Scene("pay succeeds", pay, planned(pay=["S"], **books.PAID_IN_SILENCE), settled),
            Scene("pay is cut twice", pay, planned(**cut_twice), settled),
            Scene("pay leaves it open", pay, planned(pay=["U"], **books.PAID_IN_SILENCE), here.seen.execution),
        ],
        "Notify": [
            Scene("settles", pay, notified, settled, acknowledged),
            Scene("contradicts", dispute, paid, lambda key: row(key).get("contradictions")),
        ],
        "Inquiry": [
            Scene("settles", pay, planned(pay=["U"], **books.PAID_IN_SILENCE), settled),
            Scene("hears nothing final", pay, planned(**books.NEVER), lambda key: row(key)["inquiries"]),
        ],
        "Sweep": [
            Scene("nobody polls", sweep, unwatched, here.seen.execution),
            Scene("the polling ended", sweep, watch_ended, lambda key: here.seen.execution(key, 1)),
        ],
    }[function]


def crash_everywhere(here: Deployment, function: str) -> Iterator[Crash]:
    """Every crash of this function, each over before the next."""
    with here.faults_of(function) as faults:
        for scene in scenes(here, function):
            effects = count(here, function, faults, scene)
            for step, rule in crash_rules(effects):
                yield crash(here, function, faults, scene, rule, f"{function}, {scene.name}: {step}")


def count(here: Deployment, function: str, faults: Faults, scene: Scene) -> list[Effect]:
    """The effects of a fresh process, in order; counted again where a slow machine had a notification come twice."""
    for _ in range(3):
        key = new_id("counted")
        scene.prepare(key)
        here.functions.kill(function)
        faults.forget()
        with faults.injected({"op": "", "match": key, "times": -1, "name": key}):
            scene.trigger(key)
            eventually(partial(scene.finished, key), f"{function}: {scene.name}")
            calls = [call for call in faults.calls() if call["rule"] == key or call["op"] in (GET_SECRET, QUERY)]
        if sum(not delivery["lost"] for delivery in here.alipay.notifications(key)) <= 1:
            break
    else:
        raise AssertionError(f"{function}, {scene.name}: no notification was acknowledged the first time")
    effects: list[Effect] = []
    for call in calls:
        before = [effect for effect in effects if effect.op == call["op"]]
        effect = Effect(call["op"], len(before) if call["rule"] == key else None)
        if effect.position is not None or effects[-1:] != [effect]:
            effects.append(effect)
    assert effects, f"{function} did nothing: {scene.name}"
    return effects


def crash_rules(effects: list[Effect]) -> Iterator[tuple[str, Json]]:
    """What holds a process before each effect, and after the last if that changed anything; and where that is."""

    def before(effect: Effect) -> Json:
        return about(effect) | {"hold": True, "drop": "before"}

    def after(effect: Effect) -> Json:
        return about(effect) | {"withhold": True, "drop": "after"}

    def about(effect: Effect) -> Json:
        return {"op": effect.op} | ({} if effect.position is None else {"match": "{key}", "skip": effect.position})

    first, last = effects[0], effects[-1]
    yield f"before 1 of {len(effects)}, {first}", before(first)
    for number, (done, effect) in enumerate(pairwise(effects), 2):
        if done.op.startswith("POST "):
            yield f"on the wire, {number - 1} of {len(effects)}, {done}", after(done)
        # A call that names no payment could be another's, so there the process dies on hearing the one before.
        dies = after(done) if effect.position is None and done.position is not None else before(effect)
        yield f"before {number} of {len(effects)}, {effect}", dies
    if last.position is not None:
        yield f"after {len(effects)} of {len(effects)}, {last}", after(last)


def crash(here: Deployment, function: str, faults: Faults, scene: Scene, rule: Json, where: str) -> Crash:
    """Have it done by a fresh process, and kill that where the rule holds it.

    Once more where the schedule's own run of the sweep was first, so that ours found nothing left to do.
    """
    for _ in range(5):
        key = new_id("crash")
        scene.prepare(key)
        here.functions.kill(function)
        faults.add({name: key if value == "{key}" else value for name, value in rule.items()})
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(scene.trigger, key)
            eventually(partial(_is_held_or_idle, function, faults, answer), f"held at {where}")
            missed = not faults.holds()
            here.functions.kill(function)
            faults.clear()
            crashed = Crash(key, function, where, answer.result())
        if not missed:
            eventually(partial(scene.over, key), f"{where}: over")
            return crashed
    raise AssertionError(f"five times not held: {where}")


def _is_held_or_idle(function: str, faults: Faults, answer: Future[Any]) -> bool:
    """Whether the process is held, or a sweep has come to its end; others go on after their trigger was answered."""
    return bool(faults.holds()) or (function == "Sweep" and answer.done())
