"""Defects put into the shipped code one at a time; each must break a rule in some schedule.

A defect stands in the place of a function, a method or a constant of the product, which it names; if the name is gone,
loading raises `Gone`.
"""

from collections.abc import Callable
from datetime import UTC
from types import SimpleNamespace
from typing import Any, NamedTuple

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path

from .changes import (
    Change,
    Named,
    Replaced,
    constant,
    never_assigned,
    not_asked,
    raised_again,
)
from .product import Product
from .refunds import RefundBounds
from .search import Broken, execute, exhaust
from .world import NO_FAULT, ONLY_FAULTS, Bounds, Violation

ALONE = Bounds(initiate=1, faults=1)
NOTIFIED = Bounds(initiate=1, notify=1, faults=1)
NOTIFIED_TWICE = Bounds(initiate=1, notify=2, faults=1)
TWO = Bounds(initiate=2, faults=1, later=1)
LOOK = Bounds(initiate=1, look=1, faults=1)
SWEEP = Bounds(initiate=1, look=1, sweep=1, faults=1, later=1)

CANCEL = Bounds(initiate=1, cancel=1, faults=1, closes=True)
CANCEL_NOTIFIED = CANCEL._replace(notify=1)
CANCEL_TWO = CANCEL._replace(initiate=2)
CANCEL_LOOK = CANCEL._replace(notify=1, look=1)
CANCEL_TWICE = CANCEL._replace(cancel=2, later=1)


class Bug(NamedTuple):
    """What somebody might write, and within which bounds it shows."""

    name: str
    bounds: Bounds | RefundBounds
    changes: tuple[Change, ...]


def find(bug: Bug) -> Broken | None:
    """The schedule that shows the bug, executed once more to be sure of it.

    What raises an error of its own, or answers 500 without a fault, is no bug that somebody might write, but one that
    is badly written here.
    """
    product = Product(bug.changes, closes=bug.bounds.closes)
    broken = exhaust(product, bug.bounds).broken
    if broken and broken.rule not in (ONLY_FAULTS, NO_FAULT):
        try:
            for _ in execute(product, broken.bounds, broken.schedule):
                pass
        except Violation as violation:
            return broken if str(violation) == broken.detail else None
    return None


# --- Kinds of defects ------------------------------------------------------------------------------------------------


def replaced(name: str, by: Callable[[Any, Named], Any]) -> tuple[Change, ...]:
    return (Replaced(name, by),)


def answers(name: str, value: Any) -> Replaced:
    """A function that says always the same."""
    return Replaced(name, lambda old, named: lambda *arguments, **keywords: value)


class Write(NamedTuple):
    """What is handed to the guard: an item to create, or one to change by actions."""

    item: Any
    condition: Condition | None
    actions: list[Any]
    named: dict[str, Any]


def writes(method: str, distort: Callable[[Write], Write]) -> tuple[Change, ...]:
    """A method of a table whose write is not what it should be."""
    begun: list[None] = []  # nothing comes between the beginning of the method and its write

    def begins(old: Any, named: Named) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            begun.append(None)
            try:
                return old(*arguments, **keywords)
            finally:
                begun.clear()

        return call

    def guard(old: Any, named: Named) -> Any:
        def call(item: Any, condition: Any, *actions: Any, **keywords: Any) -> Any:
            write = Write(item, condition, actions[0] if actions else [], keywords)
            if begun:
                begun.clear()
                write = distort(write)
            return old(write.item, write.condition, *([write.actions] if actions else []), **write.named)

        return call

    return Replaced(method, begins), Replaced("rows.guard:change", guard), Replaced("rows.guard:create", guard)


def without(*attributes: str) -> Callable[[Write], Write]:
    """A write that leaves these attributes as they are."""

    def distort(write: Write) -> Write:
        if not write.actions:
            for attribute in attributes:
                setattr(write.item, attribute, None)
        return write._replace(actions=[each for each in write.actions if str(each.values[0]) not in attributes])

    return distort


def if_init(write: Write) -> Write:
    """A write that asks for nothing but INIT."""
    return write._replace(condition=Path("status") == "INIT")


def unconditional(write: Write) -> Write:
    return write._replace(condition=None)


def never_ours(write: Write) -> Write:
    """A write that does not know its own, if its answer was lost."""
    return write._replace(named=write.named | {"ours": lambda stored: False})


def always_ours(write: Write) -> Write:
    """A write that takes every other for its own."""
    return write._replace(named=write.named | {"ours": lambda stored: True})


def believed(name: str, failed: Callable[[Any, tuple[Any, ...]], bool]) -> Replaced:
    """A reader that says that a payment failed, if `failed` says so of what it read and of its arguments."""

    def by(old: Any, named: Named) -> Any:
        def read(*arguments: Any, **keywords: Any) -> Any:
            reading = old(*arguments, **keywords)
            if failed(reading, arguments):
                return named("alipay.reading:Final")(named("payment.order:Status").FAIL)
            return reading

        return read

    return Replaced(name, by)


def acknowledged(name: str, error: str) -> Replaced:
    """A receiver that returns where it should raise."""

    def by(old: Any, named: Named) -> Any:
        def receive(*arguments: Any) -> Any:
            try:
                return old(*arguments)
            except named(f"errors:{error}"):
                return SimpleNamespace(status=SimpleNamespace(value=""))

        return receive

    return Replaced(name, by)


# --- The defects -----------------------------------------------------------------------------------------------------

TABLE = "payment.order_table:OrderTable"
ROWS = "rows.settling:SettlingRows"
INITIATOR = "payment.initiate:Initiator"
MACHINE = "polling_machine:PollingMachine"


def _lost_race_taken_for_won(settle: Any, named: Named) -> Any:
    def settle_and_win(*arguments: Any) -> Any:
        return named("rows.guard:Written")(settle(*arguments).row, won=True)

    return settle_and_win


def _watched_and_not_started(start_round: Any, named: Named) -> Any:
    def note(table: Any, overdue: Any, late_from: Any) -> Any:
        return named("rows.guard:Written")(table.note_watched(overdue, late_from).row, won=False)

    return note


def _sent_before_stored(create: Any, named: Named) -> Any:
    def send_and_create(initiator: Any, request: Any, call: Any, *arguments: Any) -> Any:
        initiator._gateway.call("payments/pay", call.body)
        return create(initiator, request, call, *arguments)

    return send_and_create


def _new_expiry(pay_call: Any, named: Named) -> Any:
    def call(request: Any, expiry: str, *arguments: Any) -> Any:
        now = named("payment.initiate:datetime").now(UTC)
        return pay_call(request, request.expiry_time(now), *arguments)

    return call


def _unsent_whatever_happened(unsent: Any, named: Named) -> Any:
    return lambda error: named("errors:NotSent")("no connection")


def _first_call_always(send: Any, named: Named) -> Any:
    return lambda *arguments, first_call: send(*arguments, first_call=True)


def _unsigned_is_fine(authenticate: Any, named: Named) -> Any:
    def check(gateway: Any, path: str, headers: dict[str, str], body: bytes) -> None:
        if "signature" in headers:
            authenticate(gateway, path, headers, body)

    return check


def _silence_is_failure(inquire: Any, named: Named) -> Any:
    def ask(inquirer: Any, order: Any) -> Any:
        heard: list[None] = []
        call = inquirer._gateway.call

        class Gateway:
            def call(self, *arguments: Any) -> Any:
                answer = call(*arguments)
                heard.append(None)
                return answer

        said = inquire(SimpleNamespace(_gateway=Gateway()), order)
        return said if heard else (named("alipay.reading:Final")(named("payment.order:Status").FAIL), {})

    return ask


def _spent_is_failed(look: Any, named: Named) -> Any:
    def look_and_fail(inquirer: Any, state: Any) -> Any:
        after = look(inquirer, state)
        if after["status"] == "INIT" and not after.keys() & {"waitSeconds", "waitUntil", "superseded"}:
            final = named("alipay.reading:Final")(named("payment.order:Status").FAIL)
            now = named("payment.inquire:datetime").now(UTC)
            order = inquirer._table.get(state["paymentRequestId"])
            inquirer._table.settle(order, final, named("payment.order:Witness").INQUIRY, now)
        return after

    return look_and_fail


def _calls_nobody(contradicted: Any, named: Named) -> Any:
    return lambda table, row, said, at: table.note_contradiction(row, said, at)


def _open_as_final(taken: Any, named: Named) -> Any:
    return lambda order, url: named("payment.answers:found")(order)


def _superseded_goes_on(look: Any, named: Named) -> Any:
    return lambda inquirer, state: look(inquirer, state | {"round": 99})


def _sent_before_noted(note: Any, named: Named) -> Any:
    def send_and_note(canceller: Any, order: Any, attempt: str, now: Any) -> Any:
        canceller._call.send(order, float("inf"))
        return note(canceller, order, attempt, now)

    return send_and_note


def _closed_at_once(close_time: Any, named: Named) -> Any:
    return lambda order, close_after_s: order.created_at


def _every_absence_counts(absences: Any, named: Named) -> Any:
    def count(order: Any, reading: Any, asked_at: Any, now: Any) -> Any:
        return (
            (1, now)
            if isinstance(reading, named("payment.outcome:Absent"))
            else absences(order, reading, asked_at, now)
        )

    return count


def _refusal_is_cancelled(read: Any, named: Named) -> Any:
    def read_cancel(*arguments: Any) -> Any:
        reading = read(*arguments)
        if isinstance(reading, named("payment.outcome:Refused")):
            return named("alipay.reading:Final")(named("payment.order:Status").CANCELLED)
        return reading

    return read_cancel


def _silence_is_cancelled(note: Any, named: Named) -> Any:
    def settle(table: Any, order: Any, said: str) -> Any:
        final = named("alipay.reading:Final")(named("payment.order:Status").CANCELLED)
        now = named("payment.cancel_call:datetime").now(UTC)
        return table.settle(order, final, named("payment.order:Witness").CANCEL, now)

    return settle


def _provided_nothing(status: str) -> Callable[[Any, Named], Any]:
    """An order becomes this without what it needs besides INIT."""

    def by(provided: Any, named: Named) -> Any:
        return lambda order, final, witness: None if final.status == status else provided(order, final, witness)

    return by


def _forgotten(note: Any, named: Named) -> Any:
    return lambda table, order, said: named("rows.guard:Written")(order, won=True)


def _nothing_noted(written: Any, named: Named) -> Any:
    def write(canceller: Any, order: Any, make: Any) -> Any:
        try:
            return make()
        except named("errors:TableFault") as error:
            raise named("errors:CancelNotNoted")(order.payment_request_id) from error

    return write


BUGS = [
    # The table's guards.
    Bug("the INIT guard is left out", NOTIFIED_TWICE, writes(f"{TABLE}.settle", unconditional)),
    Bug("a new order overwrites the one that stands", TWO, writes(f"{TABLE}.create", unconditional)),
    Bug("a write of one's own, its answer lost, is taken for another's", ALONE, writes(f"{TABLE}.settle", never_ours)),
    Bug("a lost race is taken for a write of one's own", NOTIFIED_TWICE, writes(f"{TABLE}.settle", always_ours)),
    Bug(
        "two may take over an order that never left",
        Bounds(initiate=3, faults=2),
        writes(f"{TABLE}.take_over_never_sent", if_init),
    ),
    # Who looks, and by when.
    Bug("a new order has no overdueAt", ALONE, writes(f"{TABLE}.create", without("overdueAt"))),
    Bug(
        "an order that is sent after all is in no index",
        TWO,
        writes(f"{TABLE}.take_over_never_sent", without("watchShard")),
    ),
    Bug("a look does not move overdueAt on", LOOK, writes(f"{TABLE}.note_inquiry", without("overdueAt"))),
    Bug("a settled order stays in the index", ALONE, writes(f"{TABLE}.settle", without("watchShard"))),
    Bug("polling is never started", ALONE, (answers(f"{MACHINE}.start", True),)),
    Bug("the sweep finds nothing", ALONE, (answers(f"{ROWS}.overdue", ()),)),
    Bug(
        "the sweep leaves an ended execution alone",
        SWEEP,
        (Replaced(f"{ROWS}.start_round", _watched_and_not_started),),
    ),
    Bug(
        "an execution that has ended counts as one that polls",
        SWEEP,
        (Replaced(f"{MACHINE}.start", lambda start, named: lambda *arguments: start(*arguments) or True),),
    ),
    # What is sent.
    Bug("pay is sent before the order is stored", ALONE, (Replaced(f"{INITIATOR}._create", _sent_before_stored),)),
    Bug(
        "a replay sends a new expiry",
        TWO,
        (
            Replaced("payment.request:PayRequest.pay_call", _new_expiry),
            Replaced("payment.request:PayCall.sha256", lambda sha256, named: property(lambda call: "0")),
        ),
    ),
    Bug("a sender is taken over while it may be running", TWO, (not_asked(f"{INITIATOR}._repeat", "dead"),)),
    Bug(
        "a pay without answer counts as not sent",
        ALONE,
        (Replaced("alipay.transport:_unsent", _unsent_whatever_happened),),
    ),
    Bug(
        "unsent, although an earlier call had no answer",
        Bounds(initiate=1, faults=2),
        (not_asked("repeat:call_until_answered", "first_call"),),
    ),
    Bug(
        "unsent is kept when the order is sent after all",
        TWO,
        writes(f"{TABLE}.take_over_never_sent", without("neverSent")),
    ),
    Bug("a result that cannot be stored is answered 503", ALONE, (raised_again(f"{INITIATOR}._send", "TableFault"),)),
    # What is believed.
    Bug("an F on a second call is believed", ALONE, (never_assigned("repeat:call_until_answered", "first_call"),)),
    Bug("an F on a replay's call is believed", TWO, (Replaced(f"{INITIATOR}._send", _first_call_always),)),
    Bug(
        "an unsigned answer is believed",
        ALONE,
        (Replaced("alipay.gateway:AlipayGateway._authenticate", _unsigned_is_fine),),
    ),
    Bug("a message by anybody is believed", NOTIFIED, (answers("alipay.credentials:verify", "1"),)),
    Bug("the amount is not compared", NOTIFIED, (answers("payment.outcome:mismatch", None),)),
    Bug(
        "an inquiry that failed is a payment that failed",
        LOOK,
        (believed("payment.outcome:read_inquiry", lambda reading, heard: heard[1]["result"]["resultStatus"] == "F"),),
    ),
    Bug(
        "ORDER_NOT_EXIST is a payment that failed",
        LOOK,
        (
            believed(
                "payment.outcome:read_inquiry",
                lambda reading, heard: heard[1]["result"]["resultCode"] == "ORDER_NOT_EXIST",
            ),
        ),
    ),
    Bug(
        "no answer to an inquiry is a payment that failed",
        LOOK,
        (Replaced("payment.inquire:Inquirer._inquire", _silence_is_failure),),
    ),
    Bug(
        "a payment without result when the schedule is spent has failed",
        LOOK,
        (Replaced("payment.inquire:Inquirer.look", _spent_is_failed),),
    ),
    # What is answered, and who is called.
    Bug(
        "a notification is acknowledged although it could not be stored",
        NOTIFIED,
        (acknowledged("payment.receive:Receiver.receive", "TableFault"),),
    ),
    Bug(
        "a notification of another amount is acknowledged",
        NOTIFIED,
        (acknowledged("payment.receive:Receiver.receive", "AmountMismatch"),),
    ),
    Bug(
        "a result that disputes the stored one is forgotten",
        NOTIFIED,
        (answers("payment.order:Order.disputes", False),),
    ),
    Bug("a contradiction calls nobody", NOTIFIED, (Replaced("settle:contradicted", _calls_nobody),)),
    Bug("an open payment is answered as if it were final", ALONE, (Replaced("payment.answers:taken", _open_as_final),)),
    # Closing.
    Bug(
        "an execution goes on although another round was started",
        CANCEL,
        replaced("payment.inquire:Inquirer.look", _superseded_goes_on),
    ),
    Bug(
        "a success is believed while a cancel is unanswered",
        CANCEL_NOTIFIED,
        replaced("payment.order_table:_provided", _provided_nothing("SUCCESS")),
    ),
    Bug(
        "a success that crosses a cancel is forgotten",
        CANCEL_NOTIFIED,
        replaced(f"{TABLE}.note_crossed", _forgotten),
    ),
    Bug("a cancel is sent before it is noted", CANCEL, replaced("payment.cancel:Canceller._note", _sent_before_noted)),
    Bug("a cancel that is noted is not sent again", CANCEL, (answers("payment.closing:cancel_due", False),)),
    Bug(
        "a cancel that was refused has cancelled",
        CANCEL,
        replaced("payment.outcome:read_cancel", _refusal_is_cancelled),
    ),
    Bug(
        "a cancel without answer has cancelled",
        CANCEL,
        replaced(f"{TABLE}.note_cancel_unanswered", _silence_is_cancelled),
    ),
    Bug(
        "ORDER_NOT_EXIST is believed before the expiry",
        SWEEP._replace(closes=True),
        (
            Replaced("payment.closing:close_time", _closed_at_once),
            Replaced("payment.closing:absences", _every_absence_counts),
            constant("payment.closing:ABSENCES_MIN", 1),
        ),
    ),
    Bug(
        "an order that never left is cancelled, and has left by now",
        CANCEL_TWO,
        replaced("payment.order_table:_provided", _provided_nothing("CANCELLED")),
    ),
    Bug("an order is noted as never sent over a cancel", CANCEL_TWO, writes(f"{TABLE}.note_never_sent", if_init)),
    Bug("503, and the cancel is noted", CANCEL, replaced("payment.cancel:Canceller._written", _nothing_noted)),
    Bug(
        "another's attempt takes the note of a cancel away",
        CANCEL_TWICE,
        writes(f"{TABLE}.note_cancel_refused", if_init),
    ),
    Bug("two cancels at once", CANCEL_LOOK, (constant("payment.closing:CANCEL_UNDER_WAY_S", -1),)),
]
