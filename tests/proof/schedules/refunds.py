"""Two refunds of one payment that cannot give back both: what can happen to them, and what must hold whatever does.

The payment is of 100 and each refund of 60, so that the second may only begin when the first has failed. As in `world`,
states are values and decisions are texts; what both worlds share is taken from there.
"""

import functools
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from . import alipay, dynamodb
from .product import EPOCH, Effect
from .world import (
    BROKEN,
    CALLS_A_PERSON,
    DELAY_S,
    DIES,
    KILLED,
    NO_FAULT,
    ONLY_FAULTS,
    RAISED,
    Execution,
    Invocation,
    Place,
    Violation,
    _dead,
    _ended_by_time,
    _looked,
    _named,
    _started,
    _told,
    _waits,
    _with,
    is_fault,
)

KEYS = {"orders": "paymentRequestId", "refunds": "refundRequestId"}
PAID, AMOUNT = 100, int(alipay.AMOUNT)
FINAL = {"SUCCESS": "S", "FAIL": "F"}
REFUNDS = ("ref-1", "ref-2")

ORDER = {
    "paymentRequestId": {"S": alipay.ID},
    "status": {"S": "SUCCESS"},
    "currency": {"S": "HKD"},
    "amountValue": {"S": str(PAID)},
    "refundable": {"N": str(PAID)},
    "unrefunded": {"N": str(PAID)},
    "referenceOrderId": {"S": "1"},
    "createdAt": {"S": "2026-11-22T09:29:00.000Z"},
    "paymentExpiryTime": {"S": "2026-11-22T09:29:55Z"},
    "identity": {"S": "1.0"},
    "tokenDigest": {"S": "0"},
    "payBodySha256": {"S": "0"},
    "attempt": {"S": "0"},
    "attemptedAt": {"S": "2026-11-22T09:29:00.000Z"},
    "pollingRound": {"N": "0"},
    "inquiries": {"N": "0"},
    "settledBy": {"S": "pay"},
    "settledAt": {"S": "2026-11-22T09:29:01.000Z"},
    "settleToken": {"S": "0"},
    "paymentId": {"S": alipay.PAYMENT_ID},
}


class RefundBounds(NamedTuple):
    """How much may happen: requests for the first refund and for the second, notifications, looks, faults, `later`."""

    first: int = 0
    second: int = 0
    notify: int = 0
    look: int = 0
    faults: int = 0
    later: int = 0
    plain: bool = False
    """The faults are crashes and lost answers alone."""

    @property
    def closes(self) -> bool:
        """Of the parameters of the template that orders have."""
        return False

    def world(self, start: Callable[[str, str, str, int], Place]) -> "RefundWorld":
        return RefundWorld(self, start)


KINDS = ("first", "second", "notify", "look")


class RefundState(NamedTuple):
    clock: int = 0
    order: str = json.dumps(ORDER, sort_keys=True)
    refunds: tuple[str | None, str | None] = (None, None)
    ledger: tuple[str | None, str | None] = (None, None)
    """Alipay's, for each refund: S, F, U or nothing."""
    bodies: tuple[str | None, str | None] = (None, None)
    """Of the first call that left."""
    late: tuple[bool, bool] = (False, False)
    """A call is on the wire and may arrive yet."""
    tokens: frozenset[str] = frozenset()
    """Of transactions that were made and whose answer was lost: the same again is the same."""
    executions: tuple[Execution, ...] = ()
    running: tuple[Invocation, ...] = ()
    begun: tuple[int, ...] = (0, 0, 0, 0, 0)
    faults: int = 0
    delays: int = 0
    alarms: frozenset[str] = frozenset()
    row: str | None = None
    """None: for what reads the round of an order's row."""


class RefundWorld:
    """The rules of what can happen; as `world.World`."""

    def __init__(self, bounds: RefundBounds, start: Callable[[str, str, str, int], Place]) -> None:
        self.bounds = bounds
        self._start = start

    def first(self) -> tuple[RefundState, str]:
        return RefundState(), "+first"

    def choices(self, state: RefundState) -> list[str]:
        faults = self.bounds.faults - state.faults
        for invocation in state.running:
            if invocation.place.effect.kind == "answer" and invocation.kind != "look":
                return [invocation.name]
            if invocation.fresh and invocation.kind == "notify":
                return self._verdicts(state, invocation, faults)
        found = [each for running in reversed(state.running) for each in self._verdicts(state, running, faults)]
        return found + list(self._environment(state, faults > 0 and not self.bounds.plain))

    def _verdicts(self, state: RefundState, invocation: Invocation, faults: int) -> list[str]:
        effect, name = invocation.place.effect, invocation.name
        if effect.kind == "answer":
            return [name]
        well, ill = _OUTCOMES[effect.kind](state, invocation, effect)
        found = [f"{name}{verdict}" for verdict in well]
        if faults:
            found += [f"{name}{verdict}" for verdict in ill if not (self.bounds.plain and verdict in _OTHER_FAULTS)]
            dies = (KILLED, BROKEN)[: 1 + (invocation.kind == "look")]
            found += [f"{name}{verdict or ':'}{die}" for verdict in well for die in dies]
        return found

    def _environment(self, state: RefundState, faults: bool) -> Iterator[str]:
        may = dict(zip(KINDS, (b < most for b, most in zip(state.begun, self.bounds, strict=False)), strict=False))
        for kind in ("first", "second"):
            if may[kind]:
                yield f"+{kind}"
        for place, refund in enumerate(REFUNDS):
            if may["notify"] and state.ledger[place] in ("S", "F"):
                yield f"+notify {refund}"
                if faults:
                    yield f"+notify {refund}:forged"
                    yield f"+notify {refund}:other"
            if state.ledger[place] == "U":
                yield from (f"decide {refund}:S", f"decide {refund}:F")
            if state.late[place] and state.ledger[place] is None:
                yield from (f"arrive {refund}:S", f"arrive {refund}:F")
        if may["look"]:
            yield from (f"+look {execution.name}" for execution in state.executions if _waits(state, execution))  # type: ignore[arg-type]
        if state.delays < self.bounds.later:
            yield "later"

    def ends(self, state: RefundState) -> list[str]:
        return [] if state.running else ["end:S"]

    def take(self, state: Any, decision: str) -> Any:
        """The state after this decision. Raises Violation."""
        subject, _, verdict = decision.partition(":")
        if subject.startswith("+"):
            return self._begin(state, subject[1:], verdict)
        if subject == "later":
            return _ended_by_time(state._replace(clock=state.clock + DELAY_S, delays=state.delays + 1))
        if subject.startswith(("decide", "arrive")):
            place = REFUNDS.index(subject.partition(" ")[2])
            return _decided(state, place, verdict)._replace(late=_put(state.late, place, False))
        verdict, killed, broken = verdict.rstrip(DIES), KILLED in verdict, BROKEN in verdict
        state = state._replace(faults=state.faults + is_fault(decision))
        invocation = _named(state, subject)
        effect = invocation.place.effect
        state = _ACTS[effect.kind](state, invocation, effect, verdict)
        if killed or broken:
            state = _dead(state, _named(state, subject), broken=broken)
        return _ended_by_time(state)

    def _begin(self, state: Any, what: str, verdict: str) -> Any:
        kind, _, about = what.partition(" ")
        clock, index = state.clock, (*KINDS, "sweep").index(kind)
        begun = tuple(count + (place == index) for place, count in enumerate(state.begun))
        state = state._replace(begun=begun, faults=state.faults + is_fault(f"+{what}:{verdict}"))
        event, handler = (
            "{}",
            {"notify": "refundnotify", "look": "refundlook", "sweep": "refundsweep"}.get(kind, "refund"),
        )
        if kind in ("first", "second"):
            about = REFUNDS[kind == "second"]
            event = alipay.refund_event(about)
        elif kind == "notify":
            result = state.ledger[REFUNDS.index(about)]
            said = {"S": "F", "F": "S"}[result] if verdict == "forged" else result
            event = alipay.refund_notification(about, said, other=verdict == "other", forged=verdict == "forged")
            about = verdict or about
        elif kind == "look":
            execution = next(execution for execution in state.executions if execution.name == about)
            event = execution.message
            state = state._replace(clock=max(state.clock, execution.due))
        name = f"{kind}{begun[index]}"
        place = self._start(handler, name, event, state.clock)
        began = Invocation(name, kind, state.clock, place, about, fresh=state.clock == clock)
        return _ended_by_time(state._replace(running=(*state.running, began)))

    def rest(self, state: Any, decides: str) -> Iterator[tuple[str, Any]]:
        """The quiet time; see `world.World.rest`. Raises Violation."""

        def taken(decision: str) -> tuple[str, Any]:
            nonlocal state
            state = self.take(state, decision)
            return decision, state

        for place, refund in enumerate(REFUNDS):
            if state.ledger[place] == "U":
                yield taken(f"decide {refund}:S")
        for _ in range(300):
            if state.running:
                yield taken(state.running[-1].name)
                continue
            coming = sorted((e.due, f"+look {e.name}") for e in state.executions if _waits(state, e))
            coming += [(due + 1, "+sweep") for due in map(_overdue_at, state.refunds) if due is not None]
            if not coming:
                break
            due, decision = min(coming)
            if decision == "+sweep":
                state = state._replace(clock=max(state.clock, due))
            yield taken(decision)
        else:
            raise Violation("somebody looks", "overdue again and again")
        _check_end(state)


def _put(values: tuple[Any, ...], place: int, value: Any) -> Any:
    return (*values[:place], value, *values[place + 1 :])


@functools.cache
def _row(text: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(text)
    return row


@functools.cache
def _overdue_at(row: str | None) -> int | None:
    text = _row(row).get("overdueAt", {}).get("S") if row else None
    if text is None or text.startswith("9999"):
        return None
    return int((datetime.fromisoformat(text) - EPOCH).total_seconds())


# --- Decisions about one effect --------------------------------------------------------------------------------------


def _of_table(state: Any, invocation: Invocation, effect: Effect) -> tuple[list[str], list[str]]:
    if effect.operation in ("GetItem", "Query", "BatchGetItem"):
        return [""], [":timeout"]
    conflict = [":conflict"] * (effect.operation == "TransactWriteItems")
    return [""], [":timeout", ":throttled", *conflict] if invocation.repeats else [
        ":lost",
        ":timeout",
        ":throttled",
        *conflict,
    ]


def _of_alipay(state: Any, invocation: Invocation, effect: Effect) -> tuple[list[str], list[str]]:
    if state.clock > json.loads(effect.arguments)["until"]:
        return [":cut"], []
    if effect.operation == alipay.INQUIRE_REFUND:
        return [""], [":timeout", ":busy", ":forged", ":other"]
    new = state.ledger[_about(effect)] is None
    well = [":S", ":F", ":U"] if new else ["", ":refused"]
    ill = [f":lost{verdict}" for verdict in well if verdict != ":refused"]
    return well, [*ill, ":late", f":late{KILLED}", ":unsent", ":forged", ":other"]


def _of_states(state: Any, invocation: Invocation, effect: Effect) -> tuple[list[str], list[str]]:
    return [""], [":throttled"] if effect.operation != "StartExecution" else [":throttled", ":timeout"]


_OTHER_FAULTS = (":throttled", ":busy", ":forged", ":other", ":unsent", ":conflict")
_OUTCOMES = {"table": _of_table, "alipay": _of_alipay, "states": _of_states}


def _about(effect: Effect) -> int:
    """Which refund a call to Alipay is for."""
    return REFUNDS.index(json.loads(json.loads(effect.arguments)["body"])["refundRequestId"])


# --- Effects ---------------------------------------------------------------------------------------------------------


def _tables(state: Any) -> dict[str, Any]:
    refunds = {name: _row(row) for name, row in zip(REFUNDS, state.refunds, strict=True) if row is not None}
    return {"orders": {alipay.ID: _row(state.order)}, "refunds": refunds}


def _stored(state: Any, tables: Any) -> Any:
    order = json.dumps(tables["orders"][alipay.ID], sort_keys=True)
    refunds = tuple(
        json.dumps(tables["refunds"][name], sort_keys=True) if name in tables["refunds"] else None for name in REFUNDS
    )
    if (order, refunds) == (state.order, state.refunds):
        return state
    after = state._replace(order=order, refunds=refunds)
    _check_write(state, after)
    return after


def _use_table(state: Any, invocation: Invocation, effect: Effect, verdict: str) -> Any:
    request = json.loads(effect.arguments)
    if verdict == "throttled":
        return _told(state, invocation, "ProvisionedThroughputExceededException", doubts=True)
    if verdict == "conflict":
        reasons = [{"Code": "TransactionConflict"}, {"Code": "None"}]
        return _told(state, invocation, "TransactionCanceledException", json.dumps({"CancellationReasons": reasons}))
    how, tables = "answer", _tables(state)
    answer: dict[str, Any] = {}
    try:
        if effect.operation == "TransactWriteItems":
            if request["ClientRequestToken"] not in state.tokens:
                tables = dynamodb.transact(tables, KEYS, request)
                state = state._replace(tokens=state.tokens | {request["ClientRequestToken"]})
        elif effect.operation == "BatchGetItem":
            answer = dynamodb.batch(tables, KEYS, request)
        else:
            name = request["TableName"]
            tables[name], answer = dynamodb.call(tables[name], effect.operation, request, KEYS[name])
    except dynamodb.ConditionFailed:
        how = "ConditionalCheckFailedException"
    except dynamodb.Cancelled as cancelled:
        how, answer = "TransactionCanceledException", {"CancellationReasons": cancelled.reasons}
    state = _stored(state, tables)
    if verdict == "lost":
        return _with(state, invocation, invocation._replace(fresh=False, repeats=True))
    if verdict == "timeout":
        return _told(state, invocation, "timeout", doubts=True)
    return _told(state, invocation, how, json.dumps(answer))


def _decided(state: Any, place: int, result: str) -> Any:
    """Alipay's ledger has a result; what it gives back is never more than was paid, by its own count."""
    given = sum(AMOUNT for other, each in enumerate(state.ledger) if other != place and each == "S")
    if result == "S" and given + AMOUNT > PAID:
        raise Violation("never more than was paid", "Alipay is asked for it")
    row = state.refunds[place]
    if row and _row(row)["status"]["S"] in FINAL and FINAL[_row(row)["status"]["S"]] != result:
        raise Violation("the result is Alipay's", f"{_row(row)['status']['S']}, and Alipay has {result}")
    return state._replace(ledger=_put(state.ledger, place, result))


def _call_alipay(state: Any, invocation: Invocation, effect: Effect, verdict: str) -> Any:
    call, place = json.loads(effect.arguments), _about(effect)
    name, ledger = REFUNDS[place], state.ledger[place]
    if verdict == "unsent":
        return _told(state, invocation, "no connection")
    if verdict == "cut":
        return _told(state, invocation, "timeout")
    if effect.operation == alipay.INQUIRE_REFUND:
        if verdict == "timeout":
            return _told(state._replace(clock=state.clock + int(call["timeout"])), invocation, "timeout")
        if verdict == "busy":
            return _told(state, invocation, "answer", alipay.refund_inquiry_answer(name, None))
        said = {"forged": "F" if ledger == "S" else "S", "other": "S"}.get(verdict, ledger)
        answer = alipay.refund_inquiry_answer(name, said, other=verdict == "other", forged=verdict == "forged")
        return _told(state, invocation, "answer", answer, other=verdict == "other")
    _check_sent(state, place, call["body"])
    state = state._replace(bodies=_put(state.bodies, place, call["body"]))
    decides = verdict.removeprefix("lost").removeprefix(":")
    if verdict.startswith("lost") or verdict == "late":
        late = state.late if verdict != "late" else _put(state.late, place, True)
        state = state._replace(clock=state.clock + int(call["timeout"]), late=late)
        return _told(_arrived(state, place, decides), invocation, "timeout", sent=True)
    if verdict == "forged":
        return _told(state, invocation, "answer", alipay.refund_answer(name, "F", forged=True), sent=True)
    state = _arrived(state, place, decides)
    said = "refused" if verdict == "refused" else "S" if verdict == "other" else state.ledger[place]
    answer = alipay.refund_answer(name, said, other=verdict == "other")
    return _told(state, invocation, "answer", answer, sent=True, other=verdict == "other")


def _arrived(state: Any, place: int, decides: str) -> Any:
    if state.ledger[place] is None and decides in ("S", "F", "U"):
        return _decided(state, place, decides)
    return state


def _use_states(state: Any, invocation: Invocation, effect: Effect, verdict: str) -> Any:
    if verdict == "throttled":
        return _told(state, invocation, "ThrottlingException")
    arguments = json.loads(effect.arguments)
    if effect.operation == "DescribeExecution":
        name = arguments["executionArn"].rpartition(":")[2]
        found = next((execution.status for execution in state.executions if execution.name == name), None)
        if found is None:
            return _told(state, invocation, "ExecutionDoesNotExist")
        return _told(state, invocation, "answer", json.dumps({"status": found}))
    about = state.refunds[REFUNDS.index(json.loads(arguments["input"])["refundRequestId"])]
    state, how = _started(state._replace(row=about), arguments["name"], arguments["input"])
    state = state._replace(row=None)
    return _told(state, invocation, "timeout" if verdict == "timeout" else how)


def _answered(state: Any, invocation: Invocation, effect: Effect, verdict: str) -> Any:
    _check_answer(state, invocation, effect)
    state = _with(state, invocation, None)
    state = state._replace(alarms=state.alarms | ((CALLS_A_PERSON | {"RefundUnresolved"}) & set(effect.metrics)))
    if invocation.kind == "look":
        output = json.loads(effect.arguments) if effect.operation == "returned" else None
        return _looked(state, invocation.about, output)
    return state


_ACTS = {"table": _use_table, "alipay": _call_alipay, "states": _use_states, "answer": _answered}


# --- Rules -----------------------------------------------------------------------------------------------------------


def _check_write(before: Any, after: Any) -> None:
    """What holds of every version of the rows, and of every step from one to the next."""
    order = _row(after.order)
    statuses = [_row(row)["status"]["S"] if row else "" for row in after.refunds]
    held = AMOUNT * sum(status in ("INIT", "SUCCESS") for status in statuses)
    left, given = int(order["refundable"]["N"]), AMOUNT * statuses.count("SUCCESS")
    if left < 0 or held > PAID:
        raise Violation("never more than was paid", f"{held} of {PAID}, and {left} is left")
    if left != PAID - held:
        raise Violation("what is left is what nobody holds", f"{held} of {PAID} is held, and {left} is left")
    if PAID - int(order["unrefunded"]["N"]) != given:
        raise Violation("the order shows what was given back", f"{order['unrefunded']} is left of it, and {given} was")
    if set(order.get("refunds", {"SS": []})["SS"]) != {
        name for name, row in zip(REFUNDS, after.refunds, strict=True) if row
    }:
        raise Violation("the order knows its refunds", str(order.get("refunds")))
    for place, (old, new) in enumerate(zip(before.refunds, after.refunds, strict=True)):
        if old == new:
            continue
        if new is None:
            raise Violation("the row stays", "deleted")
        _check_refund(after, place, _row(old) if old else {}, _row(new))


def _check_refund(state: Any, place: int, old: dict[str, Any], new: dict[str, Any]) -> None:
    status, was = new["status"]["S"], old.get("status", {}).get("S", "INIT")
    if was != "INIT" and (status != was or new.get("settleToken") != old.get("settleToken")):
        raise Violation("INIT is left once", f"{was}, then {status}")
    released = status == "FAIL" and "neverSent" in old and state.bodies[place] is None
    if status != "INIT" and FINAL[status] != state.ledger[place] and not released:
        raise Violation("the result is Alipay's", f"{status}, and Alipay has {state.ledger[place]}")
    if old and any(new.get(name) != old.get(name) for name in ("body", "amountValue", "paymentRequestId", "createdAt")):
        raise Violation("a refund stays what it is", f"{old}, then {new}")
    if "neverSent" in new and state.bodies[place]:
        raise Violation("unsent means that nothing left", "a call had left")
    watched = "watchShard" in new and "overdueAt" in new
    if status == "INIT" and not watched and "neverSent" not in new:
        raise Violation("INIT is watched", "the row has no overdueAt")
    if status != "INIT" and ("watchShard" in new or "overdueAt" in new):
        raise Violation("INIT is watched", "a settled row is in the index")


def _check_sent(state: Any, place: int, body: str) -> None:
    row = state.refunds[place]
    if row is None:
        raise Violation("stored before it is sent", "no row")
    if state.bodies[place] is not None and state.bodies[place] != body:
        raise Violation("every call is the same bytes", body)
    if "neverSent" in _row(row):
        raise Violation("unsent means that nothing left", "and a call leaves")
    if "inProcess" in _row(row):
        raise Violation("what is in process is inquired", "and it is sent again")


def _check_answer(state: Any, invocation: Invocation, effect: Effect) -> None:
    """What holds of the answers that callers, Alipay and the scheduler get."""
    if effect.operation == "raised":
        if not state.faults or invocation.kind in ("first", "second", "notify"):
            raise Violation(NO_FAULT, f"{invocation.name} {effect.arguments}")
        if json.loads(effect.arguments) not in RAISED:
            raise Violation(ONLY_FAULTS, f"{invocation.name} {effect.arguments}")
        return
    if invocation.kind in ("look", "sweep"):
        return
    answer = json.loads(effect.arguments)
    status = answer["statusCode"]
    if status >= 500 and not state.faults:
        raise Violation(NO_FAULT, f"{invocation.name} {status}")
    if invocation.kind == "notify":
        _check_acknowledged(state, invocation, status, effect)
        return
    row = state.refunds[REFUNDS.index(invocation.about)]
    told = json.loads(answer["body"])
    if status == 503 and invocation.sent:
        raise Violation("503 means that nothing was sent", "a call had left")
    if status == 200 and (row is None or told["status"] not in FINAL or told["status"] != _row(row)["status"]["S"]):
        raise Violation("callers are told what is stored", f"told {told['status']}")
    if status == 202 and (row is None or told["status"] != "INIT"):
        raise Violation("callers are told what is stored", f"202, and {row}")
    if status == 409 and row is not None and _row(row)["attempt"]["S"].startswith(f"{invocation.name}."):
        raise Violation("409 means that nothing was stored", "it was")
    if status not in (200, 202, 409, 500, 503):
        raise Violation("callers are told what is stored", str(status))


def _check_acknowledged(state: Any, invocation: Invocation, status: int, effect: Effect) -> None:
    if invocation.about == "forged":
        if status not in (401, 500):
            raise Violation("a forgery is refused", str(status))
    elif invocation.about == "other":
        if status not in (409, 500):
            raise Violation("another amount is refused", str(status))
    elif status == 200:
        row = state.refunds[REFUNDS.index(invocation.about)]
        if row is None or _row(row)["status"]["S"] not in FINAL:
            raise Violation("acknowledged once it is stored", "the refund is INIT")
    elif status != 500:
        raise Violation("what Alipay says is heard", str(status))


def _check_end(state: Any) -> None:
    """Settled; or not, for a reason, and then somebody was called."""
    for row, ledger, body in zip(state.refunds, state.ledger, state.bodies, strict=True):
        if row is None:
            if body:
                raise Violation("stored before it is sent", "no row at the end")
        elif _row(row)["status"]["S"] == "INIT":
            if ledger in ("S", "F"):
                raise Violation("what Alipay knows is settled", f"INIT, and Alipay has {ledger}")
            if "neverSent" not in _row(row) and not state.alarms:
                raise Violation("settled or alarmed", "INIT, and nobody is called")
