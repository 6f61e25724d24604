"""One payment, everything that can happen to it next, and what must hold whatever does.

A `State` is what there is besides the invocations' own positions; a decision is a short text (`initiate1:lost`,
`+notify1`, `later`); `World.take` gives the state after it. States are values: the same state reached by another
schedule is the same state, and has the same future.
"""

import functools
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from . import alipay, dynamodb
from .product import EPOCH, FUNCTIONS, Effect, Observation

FINAL = {"SUCCESS": "S", "FAIL": "FC", "CANCELLED": "FC"}
"""What Alipay's ledger may say of an order with this status: of one that failed or was cancelled nothing was kept."""

LONGEST_S = {"initiate": 29, "notify": 29, "look": 30, "sweep": 55, "cancel": 29, "first": 29, "second": 29}
"""When an invocation that still runs is ended: by API Gateway, or by its own timeout in the template."""

RAISED = ("TableFault", "PollingFault", "PollingThrottled")
"""What a look or a sweep may end with: it is tried again."""

NO_FAULT, ONLY_FAULTS = "no fault without a fault", "nothing but faults is raised"

DELAY_S = 31
"""What `later` adds to the clock: an initiation is dead by then, and its order overdue."""

_LOOK = json.loads((FUNCTIONS / "polling.asl.json").read_text("utf-8"))["States"]["Look"]
_RETRY = next(retry for retry in _LOOK["Retry"] if retry["ErrorEquals"] == ["States.ALL"])

CALLS_A_PERSON = {"OrdersInitTooLong", "ExecutionsFailed", "Unresolved"}
"""The metrics of the alarms for an order that stays INIT; ExecutionsFailed is Step Functions' own metric."""


class Violation(AssertionError):
    """A rule that did not hold; `rule` is its name."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


class Bounds(NamedTuple):
    """How much may happen. A fault is a crash, a lost or refused answer, or a message that is not what it seems."""

    initiate: int = 0
    notify: int = 0
    look: int = 0
    sweep: int = 0
    cancel: int = 0
    faults: int = 0
    later: int = 0
    switches: int = -1
    """How often an invocation that could go on is left for another; -1 is as often as one likes."""
    plain: bool = False
    """The faults are crashes and lost answers alone."""
    closes: bool = False
    """Orders are closed; the second look may do it."""

    def world(self, start: Callable[[str, str, str, int], "Place"]) -> "World":
        """What can happen within these bounds."""
        return World(self, start)


class Place(Protocol):
    """Where an invocation stands: its next effect, and where it is after that."""

    @property
    def effect(self) -> Effect: ...

    def after(self, observation: Observation) -> "Place": ...


class Invocation(NamedTuple):
    """A handler that runs. `about` is the execution a look is for, or the message a notification brings."""

    name: str
    kind: str
    began: int
    place: Place
    about: str
    fresh: bool = True
    """It has done nothing yet, and no time passed for it to begin."""
    repeats: bool = False
    """Its effect was done and the answer lost: what it does next is the SDK's repetition."""
    sent: bool = False
    """A pay of its own has left."""
    doubts: bool = False
    """The table has failed it: it may not know of a write of its own."""
    over: bool = False
    """A look of a round that was over before it began."""
    other: bool = False
    """It has heard of another amount, and will keep that with the order."""


class Execution(NamedTuple):
    """One run of the state machine; `message` is the next look's input."""

    name: str
    status: str
    due: int
    message: str
    started_with: str
    failures: int = 0


class State(NamedTuple):
    clock: int = 0
    row: str | None = None
    payment: str | None = None
    """Alipay's ledger: S, F, U, C (cancelled), or nothing."""
    paid: bool = False
    """It has been S: somebody may yet be told so."""
    body: str | None = None
    """Of the first pay that left."""
    late: bool = False
    """A pay is on the wire and may arrive yet."""
    late_cancel: bool = False
    """So is a cancel, until the next one is sent."""
    executions: tuple[Execution, ...] = ()
    running: tuple[Invocation, ...] = ()
    begun: tuple[int, ...] = (0, 0, 0, 0, 0)
    faults: int = 0
    delays: int = 0
    last: str = ""
    switches: int = 0
    """Who moved last, and how often that was not who had moved before; only where the switches are bounded."""
    alarms: frozenset[str] = frozenset()


KILLED, BROKEN = DIES = "!#"
"""At the end of a decision: the invocation dies after the effect; or a look does, and all its repetitions too."""

KINDS = ("initiate", "notify", "look", "sweep", "cancel")


class World:
    """The rules of what can happen. `start` begins an invocation: its kind, name, event and the clock."""

    def __init__(self, bounds: Bounds, start: Callable[[str, str, str, int], Place]) -> None:
        self.bounds = bounds
        self._start = start

    def first(self) -> tuple[State, str]:
        """How every schedule begins: with the request for the payment."""
        return State(), "+initiate"

    # --- What may happen next ---------------------------------------------------------------------------------------

    def choices(self, state: State) -> list[str]:
        """Every decision that can be taken here, the one without a fault or a switch first."""
        most = self.bounds.faults
        faults = most - state.faults
        if first := _commutes(state, faults):
            return self._verdicts(state, first, faults)
        found = [each for invocation in reversed(state.running) for each in self._verdicts(state, invocation, faults)]
        found += self._environment(state, faults > 0 and not self.bounds.plain)
        if state.switches == self.bounds.switches:
            found = [decision for decision in found if not _switches(state, decision)]
        on_the_wire = state.late_cancel or (state.late and state.payment is None)
        decided = not faults and not state.running and _is_final(state.row) and not on_the_wire
        return found[:1] if decided else found

    def _verdicts(self, state: State, invocation: Invocation, faults: int) -> list[str]:
        found = _verdicts(state, invocation, faults)
        if self.bounds.plain:
            return [decision for decision in found if not decision.endswith(_OTHER_FAULTS)]
        return found

    def _environment(self, state: State, faults: bool) -> Iterator[str]:
        may = dict(zip(KINDS, (b < most for b, most in zip(state.begun, self.bounds, strict=False)), strict=True))
        if may["initiate"]:
            yield "+initiate"
        if may["notify"] and state.payment:
            yield "+notify"
            if state.payment != "U":
                yield "+notify:pending"  # it was on its way before the result
            if state.paid and state.payment != "S":
                yield "+notify:paid"  # and this one before the cancel
        if may["notify"] and faults and state.row:
            yield "+notify:forged"
            if state.payment:
                yield "+notify:other"
            if _is_final(state.row) and state.payment in ("S", "F") and not state.paid:
                yield "+notify:opposite"
        if may["look"]:
            yield from (f"+look {execution.name}" for execution in state.executions if _waits(state, execution))
        if may["sweep"] and state.row:
            yield "+sweep"
        if may["cancel"] and state.row:
            yield "+cancel"
        if state.late_cancel:
            yield "arrive:C"
        if state.delays < self.bounds.later and state.row:
            yield "later"
        if state.payment == "U":
            yield from ("decide:S", "decide:F")
        if state.late and not state.payment and state.clock < _expiry(state.body):
            yield from ("arrive:S", "arrive:F", "arrive:U")

    def ends(self, state: State) -> list[str]:
        """How the schedule may end here: with nothing that runs, and what is open decided, or never."""
        if state.running:
            return []
        return ["end:S", "end:U"] if state.payment == "U" else ["end:S"]

    # --- What happens -----------------------------------------------------------------------------------------------

    def take(self, state: State, decision: str) -> State:
        """The state after this decision. Raises Violation."""
        if self.bounds.switches >= 0:
            state = _counted(state, decision)
        subject, _, verdict = decision.partition(":")
        if subject.startswith("+"):
            return self._begin(state, subject[1:], verdict)
        if subject == "later":
            return _ended_by_time(state._replace(clock=state.clock + DELAY_S, delays=state.delays + 1))
        if verdict == "C":
            return _cancelled(state)._replace(late_cancel=False)
        if subject == "decide":
            return _paid(state, verdict)
        if subject == "arrive":
            return _arrived(state, verdict)._replace(late=False)
        verdict, killed, broken = verdict.rstrip(DIES), KILLED in verdict, BROKEN in verdict
        state = state._replace(faults=state.faults + is_fault(decision))
        invocation = _named(state, subject)
        effect = invocation.place.effect
        state = _ACTS[effect.kind](state, invocation, effect, verdict)
        if killed or broken:
            state = _dead(state, _named(state, subject), broken=broken)
        return _ended_by_time(state)

    def _begin(self, state: State, what: str, verdict: str) -> State:
        kind, _, about = what.partition(" ")
        clock = state.clock
        index = KINDS.index(kind)
        begun = tuple(count + (place == index) for place, count in enumerate(state.begun))
        state = state._replace(begun=begun, faults=state.faults + is_fault(f"+{what}:{verdict}"))
        event, over = "{}", False
        if kind == "initiate":
            event = alipay.PAYMENT_EVENT
        elif kind == "notify":
            about = {"": state.payment or "", "paid": "S"}.get(verdict, verdict)
            event = _notification(state, verdict)
        elif kind == "cancel":
            event = alipay.CANCEL_EVENT
        elif kind == "look":
            execution = next(execution for execution in state.executions if execution.name == about)
            event = execution.message
            state = state._replace(clock=max(state.clock, execution.due))
            over = json.loads(execution.message)["round"] < _round(state.row)
        name = f"{kind}{begun[index]}"
        place = self._start(kind, name, event, state.clock)
        begun_now = Invocation(
            name, kind, state.clock, place, about, fresh=state.clock == clock, other=about in _OTHERS, over=over
        )
        state = state._replace(running=(*state.running, begun_now))
        return _ended_by_time(state if self.bounds.switches < 0 else state._replace(last=name))

    # --- How it ends ------------------------------------------------------------------------------------------------

    def rest(self, state: State, decides: str) -> Iterator[tuple[str, State]]:
        """The quiet time after a schedule: nothing fails, no notification comes, Alipay decides what is open (or, with
        U, does not). Each decision with the state after it; the last state has been checked. Raises Violation.
        """

        def taken(decision: str) -> tuple[str, State]:
            nonlocal state
            state = self.take(state, decision)
            return decision, state

        if state.payment == "U" and decides != "U":
            yield taken(f"decide:{decides}")
        for _ in range(300):
            if state.running:
                yield taken(state.running[-1].name)
                continue
            coming = sorted(self._coming(state))
            if not coming:
                break
            due, decision = coming[0]
            if decision == "+sweep":
                state = state._replace(clock=max(state.clock, due))
            yield taken(decision)
        else:
            raise Violation("somebody looks", "overdue again and again")
        _check_end(state)

    def _coming(self, state: State) -> Iterator[tuple[int, str]]:
        """What the executions and the sweep, which comes every minute, do next of themselves, and when."""
        yield from (
            (execution.due, f"+look {execution.name}") for execution in state.executions if _waits(state, execution)
        )
        if (overdue := _overdue_at(state.row)) is not None:
            yield overdue + 1, "+sweep"
        if (of_age := _of_age(state.row)) is not None and state.clock < of_age:
            yield of_age, "+sweep"


def is_fault(decision: str) -> bool:
    """Whether a decision uses up one of the faults."""
    return decision.partition(":")[2] not in _NO_FAULTS


_NO_FAULTS = ("", "S", "F", "U", "C", "refused", "again", "pending", "paid", "changed", "cut")
"""What may come about although everything works."""


# --- Decisions about one effect --------------------------------------------------------------------------------------


def _commutes(state: State, faults: int) -> Invocation | None:
    """An invocation whose next effect may as well come first, for whatever else happens it comes out the same."""
    for invocation in state.running:
        effect = invocation.place.effect
        if effect.kind == "answer" and invocation.kind != "look":
            return invocation
        if invocation.fresh and invocation.kind != "initiate":
            return invocation
        settled = _is_final(state.row) and not faults and not any(running.other for running in state.running)
        if settled and effect.kind == "table" and _in_table(state.row, effect)[0] == state.row:
            return invocation
    return None


def _verdicts(state: State, invocation: Invocation, faults: int) -> list[str]:
    """What may come of an invocation's next effect, and whether the invocation dies of it.

    That it dies later, before its next effect, would be the same; so would that it dies of an effect whose answer is
    lost, but for a pay that is still on the wire.
    """
    effect, name = invocation.place.effect, invocation.name
    if effect.kind == "answer":
        return [name]
    well, ill = _OUTCOMES[effect.kind](state, invocation, effect)
    found = [f"{name}{verdict}" for verdict in well]
    if faults:
        found += [f"{name}{verdict}" for verdict in ill]
        found += [
            f"{name}{verdict or ':'}{die}"
            for verdict in well
            for die in (KILLED, BROKEN)[: 1 + (invocation.kind == "look")]
        ]
    return found


def _of_table(state: State, invocation: Invocation, effect: Effect) -> tuple[list[str], list[str]]:
    if _in_table(state.row, effect)[0] == state.row:
        return [""], [":timeout"]  # refused or not answered is the same to whoever only read
    return [""], [":timeout", ":throttled"] if invocation.repeats else [":lost", ":timeout", ":throttled"]


def _of_alipay(state: State, invocation: Invocation, effect: Effect) -> tuple[list[str], list[str]]:
    if state.clock > json.loads(effect.arguments)["until"]:
        return [":cut"], []
    if effect.operation == alipay.INQUIRY:
        return [""], [":timeout", ":busy", ":forged"] + [":other"] * (state.payment in ("S", "U"))
    if effect.operation == alipay.CANCEL:
        return ["", ":refused"], [":lost", ":timeout", ":late", f":late{KILLED}", ":unsent", ":busy", ":forged"]
    new = state.payment is None and state.clock < _expiry(state.body)
    well = [":S", ":F", ":U"] if new else [""] if state.payment is None else ["", ":refused"]
    ill = [f":lost{verdict}" for verdict in well if verdict != ":refused"] + [
        ":late",
        f":late{KILLED}",
        ":unsent",
        ":forged",
    ]
    if state.paid and state.payment != "S":
        well.append(":again")  # the same pay is answered as it was before the cancel
    return well, ill + [":other"] * (new or state.payment == "S")


def _of_states(state: State, invocation: Invocation, effect: Effect) -> tuple[list[str], list[str]]:
    if effect.operation != "StartExecution":
        return [""], [":throttled"]
    name = json.loads(effect.arguments)["name"]
    polls = any(execution.name == name and execution.status == "RUNNING" for execution in state.executions)
    return ["", ":changed"] if polls else [""], [":throttled", ":timeout"]


_OTHERS = ("other", "opposite")
"""Messages that contradict the order."""

_OTHER_FAULTS = (":throttled", ":busy", ":forged", ":other", ":unsent")
"""What is neither a crash nor a lost answer."""

_OUTCOMES = {"table": _of_table, "alipay": _of_alipay, "states": _of_states}


@functools.cache
def _overdue_at(row: str | None) -> int | None:
    """When the sweep finds the order overdue, in seconds of the clock; None if never."""
    text = _row(row).get("overdueAt", {}).get("S") if row else None
    if text is None or text.startswith("9999"):
        return None
    return int((datetime.fromisoformat(text) - EPOCH).total_seconds())


@functools.cache
def _of_age(row: str | None) -> int | None:
    """When an order that is watched still counts as INIT for too long."""
    if row is None or "watchShard" not in _row(row):
        return None
    attempted = datetime.fromisoformat(_row(row)["attemptedAt"]["S"])
    return int((attempted - EPOCH).total_seconds()) + 15 * 60 + 1


def _status(row: str | None) -> str:
    return str(_row(row)["status"]["S"]) if row else ""


def _round(row: str | None) -> int:
    return int(_row(row or "{}").get("pollingRound", {}).get("N", "0"))


def _is_final(row: str | None) -> bool:
    return _status(row) in FINAL


@functools.cache
def _expiry(body: str | None) -> float:
    if body is None:
        return float("inf")
    return (datetime.fromisoformat(json.loads(body)["paymentExpiryTime"]) - EPOCH).total_seconds()


def _waits(state: State, execution: Execution) -> bool:
    return execution.status == "RUNNING" and all(running.about != execution.name for running in state.running)


def _notification(state: State, verdict: str) -> str:
    if verdict == "forged":
        return alipay.notification("F" if state.payment == "S" else "S", forged=True)
    if verdict == "other":
        return alipay.notification("S", other=True)
    if verdict == "pending":
        return alipay.notification("U")
    if verdict == "opposite":
        return alipay.notification("F" if state.payment == "S" else "S")
    if verdict == "paid":
        return alipay.notification("S")
    assert state.payment
    return alipay.notification(state.payment)


# --- Effects ---------------------------------------------------------------------------------------------------------


def _told(state: State, invocation: Invocation, how: str, what: str = "{}", **changes: Any) -> State:
    """The invocation hears what came of its effect, and goes on to the next."""
    after = invocation.place.after(Observation(state.clock, how, what))
    return _with(state, invocation, invocation._replace(place=after, fresh=False, repeats=False, **changes))


def _switches(state: State, decision: str) -> bool:
    """Whether the invocation that moved last could go on, and another begins or goes on in its place."""
    subject = decision.partition(":")[0]
    if subject.startswith("+") or subject in (invocation.name for invocation in state.running):
        return subject != state.last and any(invocation.name == state.last for invocation in state.running)
    return False


def _counted(state: State, decision: str) -> State:
    """The state with its count of switches; an answer is no move, for it comes first whoever is on."""
    subject = decision.partition(":")[0]
    moving = next((invocation for invocation in state.running if invocation.name == subject), None)
    if moving is not None and moving.place.effect.kind == "answer":
        return state
    state = state._replace(switches=state.switches + _switches(state, decision))
    return state if moving is None else state._replace(last=subject)


def _named(state: State, name: str) -> Invocation:
    return next(invocation for invocation in state.running if invocation.name == name)


def _with(state: State, old: Invocation, new: Invocation | None) -> State:
    running = (new if invocation is old else invocation for invocation in state.running)
    return state._replace(running=tuple(invocation for invocation in running if invocation is not None))


@functools.cache
def _row(text: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(text)
    return row


@functools.cache
def _in_table(row: str | None, effect: Effect) -> tuple[str | None, str, str]:
    """The row after an operation, and how it is answered."""
    rows = {} if row is None else {alipay.ID: _row(row)}
    try:
        after, answer = dynamodb.call(rows, effect.operation, json.loads(effect.arguments))
    except dynamodb.ConditionFailed:
        return row, "ConditionalCheckFailedException", "{}"
    if set(after) - {alipay.ID}:
        raise Violation("one order", f"rows {set(after)}")
    row = json.dumps(after[alipay.ID], sort_keys=True) if after else None
    return row, "answer", json.dumps(answer)


def _use_table(state: State, invocation: Invocation, effect: Effect, verdict: str) -> State:
    if verdict == "throttled":
        return _told(state, invocation, "ProvisionedThroughputExceededException", doubts=True)
    row, how, what = _in_table(state.row, effect)
    if row != state.row:
        _check_write(state, row)
        state = state._replace(row=row)
    if verdict == "lost":
        return _with(state, invocation, invocation._replace(fresh=False, repeats=True))
    if verdict == "timeout":
        return _told(state, invocation, "timeout", doubts=True)
    return _told(state, invocation, how, what)


def _call_alipay(state: State, invocation: Invocation, effect: Effect, verdict: str) -> State:
    call = json.loads(effect.arguments)
    if invocation.over:
        raise Violation("one execution polls", f"{invocation.name} asks, and its round is over")
    if verdict == "unsent":
        return _told(state, invocation, "no connection")
    if verdict == "cut":  # its time was over before it was sent
        return _told(state, invocation, "timeout")
    if effect.operation == alipay.INQUIRY:
        if verdict == "timeout":
            return _told(state._replace(clock=state.clock + int(call["timeout"])), invocation, "timeout")
        return _told(state, invocation, "answer", _inquiry_answer(state.payment, verdict), other=verdict in _OTHERS)
    if effect.operation == alipay.CANCEL:
        return _call_cancel(state, invocation, call, verdict)
    _check_pay(state, call["body"])
    state = state._replace(body=call["body"])
    if verdict.startswith("lost") or verdict == "late":
        late = state.late or verdict == "late"
        state = state._replace(clock=state.clock + int(call["timeout"]), late=late)
        return _told(_arrived(state, verdict.removeprefix("lost:")), invocation, "timeout", sent=True)
    if verdict == "forged":
        return _told(state, invocation, "answer", alipay.pay_answer("F", forged=True), sent=True)
    other = verdict == "other"
    state = _arrived(state, "S" if other else verdict)
    said = {"refused": "refused", "again": "S"}.get(verdict, state.payment or "closed")
    return _told(state, invocation, "answer", alipay.pay_answer(said, other=other), sent=True, other=other)


def _arrived(state: State, decides: str) -> State:
    """A pay reaches Alipay; the first one makes the payment, unless it has expired."""
    if state.payment is None and decides in ("S", "F", "U"):
        if _is_final(state.row):
            raise Violation("the result is Alipay's", f"{_status(state.row)}, and the payment begins")
        return _paid(state, decides)
    return state


def _paid(state: State, result: str) -> State:
    """Alipay's ledger has another result."""
    return state._replace(payment=result, paid=state.paid or result == "S")


def _cancelled(state: State) -> State:
    """Alipay does a cancel: what was not paid never will be, what was is given back."""
    if _status(state.row) == "SUCCESS":
        raise Violation("the result is Alipay's", "SUCCESS, and Alipay gives it back")
    return state if state.payment is None else state._replace(payment="C")


def _call_cancel(state: State, invocation: Invocation, call: Any, verdict: str) -> State:
    row = _row(state.row or "{}")
    if not row.get("cancelAttempt", {}).get("S", "").startswith(f"{invocation.name}."):
        raise Violation("a cancel is noted before it is sent", f"{invocation.name}, and the row has {row}")
    if verdict == "unsent":
        return _told(state, invocation, "no connection")
    state = state._replace(late_cancel=verdict == "late")
    if verdict in ("lost", "timeout", "late"):
        state = state._replace(clock=state.clock + int(call["timeout"]))
        return _told(_cancelled(state) if verdict == "lost" else state, invocation, "timeout")
    if verdict in ("busy", "forged"):
        return _told(
            state, invocation, "answer", alipay.cancel_answer("US"[verdict == "forged"], forged=verdict == "forged")
        )
    if verdict == "refused":
        return _told(state, invocation, "answer", alipay.cancel_answer("CANCEL_WINDOW_EXCEED"))
    if state.payment is None:
        return _told(state, invocation, "answer", alipay.cancel_answer("ORDER_NOT_EXIST"))
    return _told(_cancelled(state), invocation, "answer", alipay.cancel_answer("S"))


def _inquiry_answer(payment: str | None, verdict: str) -> str:
    if verdict == "busy":
        return alipay.busy_answer()
    if verdict == "forged":
        return alipay.inquiry_answer("F" if payment == "S" else "S", forged=True)
    if verdict == "other":
        return alipay.inquiry_answer("S", other=True)
    return alipay.inquiry_answer(payment)


def _use_states(state: State, invocation: Invocation, effect: Effect, verdict: str) -> State:
    if verdict == "throttled":
        return _told(state, invocation, "ThrottlingException")
    arguments = json.loads(effect.arguments)
    if effect.operation == "DescribeExecution":
        name = arguments["executionArn"].rpartition(":")[2]
        found = next((execution.status for execution in state.executions if execution.name == name), None)
        if found is None:
            return _told(state, invocation, "ExecutionDoesNotExist")
        return _told(state, invocation, "answer", json.dumps({"status": found}))
    if verdict == "changed":  # the schedule has, since that execution was started: its input is another
        return _told(state, invocation, "ExecutionAlreadyExists")
    state, how = _started(state, arguments["name"], arguments["input"])
    return _told(state, invocation, "timeout" if verdict == "timeout" else how)


def _started(state: State, name: str, message: str) -> tuple[State, str]:
    """A start is idempotent while the execution of that name and input runs; later the name is taken.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    for execution in state.executions:
        if execution.name == name:
            same = execution.status == "RUNNING" and execution.started_with == message
            return state, "answer" if same else "ExecutionAlreadyExists"
    round_ = json.loads(message)["round"]
    if round_ > (noted := _round(state.row)):
        raise Violation("one execution polls", f"{name} is started, and the row is at round {noted}")
    begun = Execution(name, "RUNNING", state.clock + json.loads(message)["waitSeconds"], message, message)
    return state._replace(executions=(*state.executions, begun)), "answer"


# --- Ends of invocations ---------------------------------------------------------------------------------------------


def _answered(state: State, invocation: Invocation, effect: Effect, verdict: str) -> State:
    _check_answer(state, invocation, effect)
    state = _with(state, invocation, None)
    state = state._replace(alarms=state.alarms | (CALLS_A_PERSON & set(effect.metrics)))
    if invocation.kind == "look":
        return _looked(
            state, invocation.about, json.loads(effect.arguments) if effect.operation == "returned" else None
        )
    return state


_ACTS = {"table": _use_table, "alipay": _call_alipay, "states": _use_states, "answer": _answered}


def _dead(state: State, invocation: Invocation, *, broken: bool = False) -> State:
    """It ends without an answer and without its metrics."""
    state = _with(state, invocation, None)
    return _looked(state, invocation.about, None, broken) if invocation.kind == "look" else state


def _looked(state: State, name: str, output: Any, broken: bool = False) -> State:
    """The execution after a look, as in `functions/polling.asl.json`; without output the look failed."""
    execution = next(execution for execution in state.executions if execution.name == name)
    if output is None:
        failures = execution.failures + 1
        after = execution._replace(due=state.clock + _RETRY["IntervalSeconds"], failures=failures)
        if broken or failures > _RETRY["MaxAttempts"]:
            after = after._replace(status="FAILED")
    elif output["status"] != "INIT" or "superseded" in output:
        after = execution._replace(status="SUCCEEDED")
    elif "waitSeconds" in output or "waitUntil" in output:
        due = _due(state.clock, output)
        after = execution._replace(due=due, message=json.dumps(output), failures=0)
    else:
        after = execution._replace(status="FAILED")
    if after.status == "FAILED":
        state = state._replace(alarms=state.alarms | {"ExecutionsFailed"})
    executions = (after if each is execution else each for each in state.executions)
    return state._replace(executions=tuple(executions))


def _due(clock: int, output: Any) -> int:
    if "waitSeconds" in output:
        return clock + int(output["waitSeconds"])
    return max(clock, int((datetime.fromisoformat(output["waitUntil"]) - EPOCH).total_seconds()))


def _ended_by_time(state: State) -> State:
    for invocation in state.running:
        if state.clock - invocation.began > LONGEST_S[invocation.kind]:
            state = _dead(state, invocation)
    return state


# --- Rules -----------------------------------------------------------------------------------------------------------

_IDENTITY = ("paymentRequestId", "currency", "amountValue", "referenceOrderId", "createdAt", "identity", "tokenDigest")
_SENT = ("paymentExpiryTime", "payBodySha256")


def _check_write(state: State, after: str | None) -> None:
    """What holds of every version of the row, and of every step from one to the next."""
    if after is None:
        raise Violation("the row stays", "deleted")
    new, old = _row(after), _row(state.row) if state.row else {}
    status, before = new["status"]["S"], old.get("status", {}).get("S", "INIT")
    if before != "INIT" and status != before:
        raise Violation("INIT is left once", f"{before}, then {status}")
    if before != "INIT" and any(new.get(name) != old.get(name) for name in ("settledBy", "settleToken", "paymentId")):
        raise Violation("INIT is left once", "settled again")
    if status != "INIT" and (state.payment or "-") not in FINAL[status] and not _never_placed(state, new):
        raise Violation("the result is Alipay's", f"{status}, and Alipay has {state.payment}")
    if status != "INIT" and new.get("paymentId", {}).get("S") not in (None, alipay.PAYMENT_ID):
        raise Violation("the result is Alipay's", "of another payment")
    if old and any(new.get(name) != old[name] for name in _IDENTITY):
        raise Violation("an order stays what it is", "identity")
    if old and "neverSent" not in old and any(new.get(name) != old[name] for name in _SENT):
        raise Violation("an order stays what it is", "what was sent")
    if "neverSent" in new and state.body:
        raise Violation("unsent means that nothing left", "a pay had left")
    watched = "watchShard" in new and "overdueAt" in new
    if status == "INIT" and not watched and "neverSent" not in new:
        raise Violation("INIT is watched", "the row has no overdueAt")
    if status == "INIT" and not watched and "cancelRequestedAt" in new:
        raise Violation("INIT is watched", "a cancel is noted, and nobody looks")
    if status != "INIT" and ("watchShard" in new or "overdueAt" in new):
        raise Violation("INIT is watched", "a settled row is in the index")


def _never_placed(state: State, row: dict[str, Any]) -> bool:
    """Whether the order ends as one that Alipay has never had, which is so, and stays so: see `_arrived`."""
    if state.payment is not None or row["settledBy"]["S"] != "cancel":
        return False
    if row["status"]["S"] == "CANCELLED":
        return state.body is None
    return bool(row.get("resultCode") == {"S": "ORDER_NOT_EXIST"})


def _check_pay(state: State, body: str) -> None:
    """What holds whenever a pay leaves."""
    if state.body is not None and body != state.body:
        raise Violation("every pay is the same bytes", body)
    if state.row is None:
        raise Violation("stored before it is sent", "no row")
    row = _row(state.row)
    if row["status"]["S"] == "INIT" and "neverSent" in row:
        raise Violation("unsent means that nothing left", "and a pay leaves")


def _check_answer(state: State, invocation: Invocation, effect: Effect) -> None:
    """What holds of the answers that callers, Alipay and the scheduler get."""
    faulty = bool(state.faults)
    token = _row(state.row).get("settleToken", {}).get("S", "") if state.row else ""
    own, reports = token.startswith(f"{invocation.name}."), "settled" in effect.metrics
    if reports != own and not (own and invocation.doubts):
        raise Violation("who settles knows it", f"{invocation.name}, and the token is {token}")
    if effect.operation == "raised":
        if not faulty or invocation.kind in ("initiate", "notify"):
            raise Violation(NO_FAULT, f"{invocation.name} {effect.arguments}")
        if json.loads(effect.arguments) not in RAISED:
            raise Violation(ONLY_FAULTS, f"{invocation.name} {effect.arguments}")
        return
    if invocation.kind in ("look", "sweep"):
        return
    answer = json.loads(effect.arguments)
    status, row = answer["statusCode"], _row(state.row) if state.row else {}
    if status >= 500 and not faulty:
        raise Violation(NO_FAULT, f"{invocation.name} {status}")
    if invocation.kind == "initiate":
        _check_told(status, json.loads(answer["body"]), row, invocation)
    elif invocation.kind == "cancel":
        _check_cancelled(status, row, invocation)
    elif invocation.about == "forged":
        if status not in (401, 500):
            raise Violation("a forgery is refused", str(status))
    elif status == 200:
        if invocation.about == "other":
            raise Violation("another amount is refused", "acknowledged")
        if _final(invocation) and row["status"]["S"] not in FINAL and "crossed" not in row:
            raise Violation("acknowledged once it is stored", "the order is INIT")
        if invocation.about == "opposite" and "contradictions" not in row:
            raise Violation("a contradiction is kept", "the row has none")
    elif status != 500 and not (invocation.about == "other" and status == 409):
        raise Violation("what Alipay says is heard", str(status))
    if status in (200, 409) and invocation.about in ("other", "opposite") and "Contradiction" not in effect.metrics:
        raise Violation("a contradiction calls a person", "no metric")


def _check_cancelled(status: int, row: dict[str, Any], invocation: Invocation) -> None:
    """What a caller is told of a cancel."""
    ended, own = row["status"]["S"], row.get("cancelAttempt", {}).get("S", "").startswith(f"{invocation.name}.")
    if status == 200 and ended != "CANCELLED":
        raise Violation("callers are told what is stored", f"200, and the order is {ended}")
    if status == 409 and ended not in ("SUCCESS", "FAIL"):
        raise Violation("callers are told what is stored", f"409, and the order is {ended}")
    if status == 503 and own:
        raise Violation("503 means that nothing was noted", "the cancel is")
    if status not in (200, 202, 409, 500, 503):
        raise Violation("callers are told what is stored", str(status))


def _final(invocation: Invocation) -> bool:
    return invocation.about in ("S", "F", "opposite")


def _check_told(status: int, document: Any, row: dict[str, Any], invocation: Invocation) -> None:
    """What a caller is told of the payment must be so, and stay so."""
    if status == 503:
        if invocation.sent:
            raise Violation("503 means that nothing was sent", "a pay had left")
    elif status == 200:
        if document["status"] not in FINAL:
            raise Violation("callers are told what is stored", "200 and not final")
        told = (document["status"], document.get("settledBy"), document.get("paymentId"))
        if told != tuple(row.get(name, {}).get("S") for name in ("status", "settledBy", "paymentId")):
            raise Violation("callers are told what is stored", f"told {told}")
    elif status == 202:
        if document["status"] != "INIT":
            raise Violation("callers are told what is stored", "202 and final")
    elif status != 500:
        raise Violation("callers are told what is stored", str(status))


def _check_end(state: State) -> None:
    """Settled; or not, for a reason, and then somebody was called."""
    row = _row(state.row) if state.row else None
    if row is None:
        if state.body:
            raise Violation("stored before it is sent", "no row at the end")
    elif row["status"]["S"] == "INIT":
        if state.payment in ("S", "F", "C"):
            raise Violation("what Alipay knows is settled", f"INIT, and Alipay has {state.payment}")
        if "neverSent" not in row and not CALLS_A_PERSON & state.alarms:
            raise Violation("settled or alarmed", "INIT, and nobody is called")
