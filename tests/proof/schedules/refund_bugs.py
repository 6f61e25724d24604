"""Defects of refunds, as those in `bugs`."""

from typing import Any

from pynamodb.expressions.operand import Path

from .bugs import (
    Bug,
    _first_call_always,
    _unsigned_is_fine,
    acknowledged,
    answers,
    replaced,
)
from .changes import Named, constant, never_assigned, not_asked
from .refunds import RefundBounds

ALONE = RefundBounds(first=1, faults=1)
BOTH = RefundBounds(first=1, second=1, faults=1)
TWICE = RefundBounds(first=2, faults=1, later=1)
NOTIFIED = RefundBounds(first=1, notify=1, faults=1)
LOOK = RefundBounds(first=1, look=1, faults=1)
RELEASED = RefundBounds(first=2, second=1, faults=1, later=1)

TABLE = "refund.refund_table:RefundTable"
INITIATOR = "refund.initiate:Initiator"


def _times(factor: int) -> Any:
    """What a refund holds of its payment changes by so many times its amount."""

    def by(change: Any, named: Named) -> Any:
        def changed(payment_request_id: str, amount: Any, *more: Any) -> Any:
            made = change(payment_request_id, amount, *more)
            refundable = named("payment.order_table:OrderItem").refundable
            return named("rows.transaction:Change")(
                made.item, made.leaves, [refundable.add(factor * int(amount.value)), *made.actions[1:]]
            )

        return changed

    return by


def _rest_not_asked(reserve: Any, named: Named) -> Any:
    def reserved(payment_request_id: str, amount: Any, *more: Any) -> Any:
        made = reserve(payment_request_id, amount, *more)
        return named("rows.transaction:Change")(made.item, Path("status") == "SUCCESS", made.actions)

    return reserved


def _unguarded(together: Any, named: Named) -> Any:
    def commit(token: str, changes: Any) -> Any:
        first, *others = changes
        if first.actions is not None:
            first = named("rows.transaction:Change")(first.item, Path("status").exists(), first.actions)
        return together(token, [first, *others])

    return commit


def _released(note: Any, named: Named) -> Any:
    return lambda payment_request_id, amount: named("payment.order_table:give_back")(payment_request_id, amount)


def _not_stored(create: Any, named: Named) -> Any:
    return lambda table, refund: refund


def _not_watched(store: Any, named: Named) -> Any:
    def stored(table: Any, item: Any, *arguments: Any) -> Any:
        item.overdueAt = None
        return store(table, item, *arguments)

    return stored


def _released_whoever_sends(release: Any, named: Named) -> Any:
    def released(table: Any, refund: Any, at: Any) -> Any:
        failed = named("alipay.reading:Final")(named("refund.refund:Status").FAIL)
        return table.settle(refund, failed, named("refund.refund:Witness").REFUND, at)

    return released


def _refusal_is_failure(read: Any, named: Named) -> Any:
    def read_inquiry(refund: Any, answer: dict[str, Any]) -> Any:
        if answer["result"]["resultStatus"] == "F":
            return named("alipay.reading:Final")(named("refund.refund:Status").FAIL)
        return read(refund, answer)

    return read_inquiry


def _silence_is_failure(inquire: Any, named: Named) -> Any:
    def ask(inquirer: Any, refund: Any) -> Any:
        reading = inquire(inquirer, refund)
        if "without answer" in getattr(reading, "said", ""):
            return named("alipay.reading:Final")(named("refund.refund:Status").FAIL)
        return reading

    return ask


def _open_as_final(taken: Any, named: Named) -> Any:
    return lambda refund, url: named("refund.answers:found")(refund)


def _always_started(start: Any, named: Named) -> Any:
    return lambda *arguments: start(*arguments) or True


REFUND_BUGS = [
    # The sum.
    Bug("a refund reserves nothing", ALONE, replaced("payment.order_table:reserve", _times(0))),
    Bug("a refund reserves whatever is left", BOTH, replaced("payment.order_table:reserve", _rest_not_asked)),
    Bug("a refund that failed gives nothing back", ALONE, replaced("payment.order_table:give_back", _times(0))),
    Bug("a refund that failed gives back twice", ALONE, replaced("payment.order_table:give_back", _times(2))),
    Bug(
        "a refund that was done gives back what it had reserved",
        ALONE,
        replaced("payment.order_table:note_refunded", _released),
    ),
    Bug(
        "a refund that never left is released while it is sent",
        RELEASED,
        (constant("refund.initiate:RELEASABLE_AFTER_S", 30), *replaced(f"{TABLE}.release", _released_whoever_sends)),
    ),
    Bug("a refund is settled again", NOTIFIED, replaced("rows.transaction:together", _unguarded)),
    # What is sent, and what is believed.
    Bug("a refund is sent and not stored", ALONE, replaced(f"{TABLE}.create", _not_stored)),
    Bug("a refund's sender is taken over while it may be running", TWICE, (constant("polling:SENDING_S", -1),)),
    Bug(
        "a refund's F on a second call is believed",
        ALONE,
        (never_assigned("repeat:call_until_answered", "first_call"),),
    ),
    Bug("a refund's F on a replay's call is believed", TWICE, replaced(f"{INITIATOR}._send", _first_call_always)),
    Bug(
        "a refund that may have left is noted as never sent",
        ALONE._replace(faults=2),
        (not_asked("repeat:call_until_answered", "first_call"),),
    ),
    Bug(
        "a refund's unsigned answer is believed",
        ALONE,
        replaced("alipay.gateway:AlipayGateway._authenticate", _unsigned_is_fine),
    ),
    Bug("a refund's amount is not compared", ALONE, (answers("refund.outcome:mismatch", None),)),
    Bug(
        "an inquiry of a refund that failed is a refund that failed",
        LOOK,
        replaced("refund.outcome:read_inquiry", _refusal_is_failure),
    ),
    Bug(
        "no answer to an inquiry of a refund is a refund that failed",
        LOOK,
        replaced("refund.inquire:Inquirer._inquire", _silence_is_failure),
    ),
    # Who looks, and what is answered.
    Bug("a new refund has no overdueAt", ALONE, replaced(f"{TABLE}._store", _not_watched)),
    Bug(
        "a refund's execution that has ended counts as one that polls",
        LOOK,
        replaced("polling_machine:PollingMachine.start", _always_started),
    ),
    Bug(
        "a refund's notification is acknowledged although it could not be stored",
        NOTIFIED,
        (acknowledged("refund.receive:Receiver.receive", "TableFault"),),
    ),
    Bug(
        "a refund's notification of another amount is acknowledged",
        NOTIFIED,
        (acknowledged("refund.receive:Receiver.receive", "AmountMismatch"),),
    ),
    Bug("an open refund is answered as if it were final", ALONE, replaced("refund.answers:taken", _open_as_final)),
]
