"""Defects put into the shipped code one at a time; each must break a rule in some schedule."""

from typing import NamedTuple

from .product import Change, Product
from .search import Broken, execute, exhaust
from .world import Bounds, Violation

ALONE = Bounds(initiate=1, faults=1)
NOTIFIED = Bounds(initiate=1, notify=1, faults=1)
NOTIFIED_TWICE = Bounds(initiate=1, notify=2, faults=1)
TWO = Bounds(initiate=2, faults=1, later=1)
LOOK = Bounds(initiate=1, look=1, faults=1)
SWEEP = Bounds(initiate=1, look=1, sweep=1, faults=1, later=1)


class Bug(NamedTuple):
    """What somebody might write, and within which bounds it shows."""

    name: str
    bounds: Bounds
    changes: tuple[Change, ...]


def find(bug: Bug) -> Broken | None:
    """The schedule that shows the bug, executed once more to be sure of it."""
    product = Product(bug.changes)
    if broken := exhaust(product, bug.bounds).broken:
        try:
            execute(product, broken.bounds, broken.schedule)
        except Violation as violation:
            return broken if str(violation) == broken.detail else None
    return None


def _bug(name: str, bounds: Bounds, *changes: Change) -> Bug:
    return Bug(name, bounds, changes)


TABLE = "order_table.py"
INITIATE, NOTIFY, LOOKS, SWEEPS = (f"{name}/app.py" for name in ("initiate_pay", "notify", "inquiry", "sweep"))

BUGS = [
    # The table's guards.
    _bug(
        "the INIT guard is left out",
        NOTIFIED_TWICE,
        (TABLE, "guard & condition if condition is not None else guard)", "condition)"),
    ),
    _bug(
        "a new order overwrites the one that stands",
        TWO,
        (TABLE, "item.save(condition=OrderItem.paymentRequestId.does_not_exist())", "item.save()"),
    ),
    _bug(
        "a write of one's own, its answer lost, is taken for another's",
        ALONE,
        (TABLE, "won=lambda stored: stored.settle_token == token", "won=lambda stored: False"),
    ),
    _bug(
        "a lost race is taken for a write of one's own",
        NOTIFIED_TWICE,
        (TABLE, "won=lambda stored: stored.settle_token == token", "won=lambda stored: True"),
    ),
    _bug(
        "two may take over an unsent order",
        Bounds(initiate=3, faults=2),
        (TABLE, "(OrderItem.sentBy == order.sent_by) & (OrderItem.unsent == True)", "None"),
    ),
    _bug(
        "a round is opened without asking whether the last one still runs",
        SWEEP,
        (SWEEPS, "self._polling.is_running(\n            payment_request_id, polling_round\n        )", "False"),
    ),
    # Who looks, and by when.
    _bug(
        "a new order has no lookAt",
        ALONE,
        (TABLE, "            lookAt=_instant(first_look(order.sent_at)),\n", ""),
    ),
    _bug(
        "an order that is sent after all is in no index",
        TWO,
        (TABLE, "                OrderItem.openShard.set(_shard(order.payment_request_id)),\n", ""),
    ),
    _bug(
        "a look does not move lookAt on",
        LOOK,
        (
            TABLE,
            "                OrderItem.lookAt.set(_instant(look_at)),\n            ],\n            OrderItem.openShard",
            "            ],\n            OrderItem.openShard",
        ),
    ),
    _bug(
        "a settled order stays in the index",
        ALONE,
        (
            TABLE,
            "OrderItem.settleToken.set(token),\n                OrderItem.openShard.remove(),",
            "OrderItem.settleToken.set(token),",
        ),
    ),
    _bug(
        "polling is never started",
        ALONE,
        ("polling_machine.py", "        message = {", "        return True\n        message = {"),
    ),
    _bug(
        "the sweep finds nothing",
        ALONE,
        (SWEEPS, "self._table.overdue(now, shards)", "()"),
    ),
    _bug(
        "the sweep leaves an ended execution alone",
        SWEEP,
        (
            SWEEPS,
            "elif self._table.open_round(overdue, look_at).won:",
            "elif self._table.note_watched(overdue, look_at) and False:",
        ),
    ),
    _bug(
        "an execution that has ended counts as one that polls",
        SWEEP,
        ("polling_machine.py", "            return False\n", "            return True\n"),
    ),
    # What is sent.
    _bug(
        "pay is sent before the order is stored",
        ALONE,
        (
            INITIATE,
            "        order = self._open(",
            "        self._gateway.pay(body, deadline)\n        order = self._open(",
        ),
    ),
    _bug(
        "a replay sends a new expiry",
        TWO,
        (
            INITIATE,
            "body = request.pay_body(order.payment_expiry_time, notify_url)",
            "body = request.pay_body(request.expiry_time(now), notify_url)",
        ),
        (INITIATE, " or _sha256(body) != order.pay_body_sha256", ""),
    ),
    _bug(
        "a sender is taken over while it may be running",
        TWO,
        (INITIATE, "if not dead or now", "if now"),
    ),
    _bug(
        "a pay without answer counts as not sent",
        ALONE,
        ("transport.py", "isinstance(error, requests.ConnectTimeout)", "isinstance(error, requests.Timeout)"),
    ),
    _bug(
        "unsent, although an earlier call had no answer",
        Bounds(initiate=1, faults=2),
        (INITIATE, "if isinstance(error, NotSent) and first_call:", "if isinstance(error, NotSent):"),
    ),
    _bug(
        "unsent is kept when the order is sent after all",
        TWO,
        (TABLE, "                OrderItem.unsent.remove(),\n", ""),
    ),
    _bug(
        "a result that cannot be stored is answered 503",
        ALONE,
        (INITIATE, '            logger.error("result of pay not stored", reason=str(error))\n', "            raise\n"),
    ),
    # What is believed.
    _bug(
        "an F on a second call is believed",
        ALONE,
        (INITIATE, "                first_call = False\n", "                pass\n"),
    ),
    _bug(
        "an F on a replay's call is believed",
        TWO,
        (INITIATE, "first_call=False) if taken.won", "first_call=True) if taken.won"),
    ),
    _bug(
        "an unsigned answer is believed",
        ALONE,
        ("gateway.py", '            raise AnswerRefused(f"unsigned {_unproved_code(body)}")\n', "            return\n"),
    ),
    _bug(
        "a notification by anybody is believed",
        NOTIFIED,
        (NOTIFY, "self._credentials.authenticate(message, signature_header)", '"1"'),
    ),
    _bug(
        "the amount is not compared",
        NOTIFIED,
        ("outcome.py", "if (currency, value) != (order.amount.currency, order.amount.value):", "if False:"),
    ),
    _bug(
        "an inquiry that failed is a payment that failed",
        LOOK,
        ("outcome.py", 'return Open(f"inquiry {call}/{code}")', "return Final(Status.FAIL)"),
    ),
    _bug(
        "ORDER_NOT_EXIST is a payment that failed",
        LOOK,
        (
            "outcome.py",
            '    if call != "S":\n',
            '    if code == "ORDER_NOT_EXIST":\n        return Final(Status.FAIL)\n    if call != "S":\n',
        ),
    ),
    _bug(
        "no answer to an inquiry is a payment that failed",
        LOOK,
        (LOOKS, 'return Open(f"inquiry without answer: {error.reason}")', "return Final(Status.FAIL)"),
    ),
    _bug(
        "a payment without result when the schedule is spent has failed",
        LOOK,
        (
            LOOKS,
            '                telemetry.count("PollingSpent")\n',
            "                self._table.settle(order, Final(Status.FAIL), Witness.INQUIRY, now)\n",
        ),
    ),
    # What is answered, and who is called.
    _bug(
        "a notification is acknowledged although it could not be stored",
        NOTIFIED,
        (NOTIFY, '_result(500, "SYSTEM_ERROR", "F", "deliver again")', '_result(200, "SUCCESS", "S", "success")'),
    ),
    _bug(
        "a notification of another amount is acknowledged",
        NOTIFIED,
        (NOTIFY, "        if isinstance(reading, Contradiction):\n", "        if False:\n"),
    ),
    _bug(
        "a result that disputes the stored one is forgotten",
        NOTIFIED,
        ("settlement.py", "if disputes(order, reading):", "if False:"),
    ),
    _bug(
        "a contradiction calls nobody",
        NOTIFIED,
        ("settlement.py", '    telemetry.count("Contradiction")\n', ""),
    ),
    _bug(
        "an open payment is answered as if it were final",
        ALONE,
        ("api.py", "if url is None or order.status is not Status.INIT:", "if True:"),
    ),
]
