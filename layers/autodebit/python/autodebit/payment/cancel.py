"""Cancel a payment: note it, then ask Alipay until it answers. The merchant's POST and closing do it the same way.

The cancel is noted before it is sent, and from then on a success says nothing (`payment.crossing`). One attempt is
under way at a time, so that a refusal speaks for all that was sent. Where a process may die, and who goes on:

1. Before the note: nothing was sent, nothing is different.
2. Noted, and not sent, not answered, or the answer not written: the note stands. The order's next look sends the same
   bytes again; if no execution is left to look, `overdueAt` passes and the sweep has one started.
3. Answered S and written: the order is CANCELLED. Answered F and written: the note is gone.

https://docs.antom.com/ac/ams/paymentc_online
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from autodebit import telemetry
from autodebit.alipay.gateway import TIMEOUT_S
from autodebit.alipay.reading import Final
from autodebit.errors import CancelNotNoted, OrderDecided, PollingFault, TableFault
from autodebit.payment.cancel_call import CancelCall
from autodebit.payment.closing import CANCEL_EVERY_S, is_under_way
from autodebit.payment.crossing import settle_unless_crossed
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.order_table import OrderTable
from autodebit.polling import sending_overdue_at
from autodebit.polling_machine import PollingMachine
from autodebit.telemetry import logger

NOTES_MAX = 3
"""How often a row is looked at that changed before the cancel could be noted."""


class Canceller:
    """Takes the merchant's request to cancel as far as it goes within one POST."""

    def __init__(self, table: OrderTable, call: CancelCall, polling: PollingMachine) -> None:
        self._table = table
        self._call = call
        self._polling = polling

    def cancel(self, payment_request_id: str) -> Order:
        """The order: CANCELLED, or INIT if the cancel is not answered yet or was refused.

        Raises OrderNotFound, OrderDecided, CancelNotNoted; and TableFault if it is not known whether it was noted.
        """
        try:
            order = self._table.get(payment_request_id)
        except TableFault as error:
            telemetry.fault(error)
            raise CancelNotNoted(payment_request_id) from error
        order = self._ended_or_asked(order)
        if order.status in (Status.SUCCESS, Status.FAIL):
            raise OrderDecided(order.status)
        return order

    def _ended_or_asked(self, order: Order) -> Order:
        """The order once it has its result, or a cancel was noted: by this attempt, or by another meanwhile."""
        for _ in range(NOTES_MAX):
            if order.is_init and order.never_sent:
                order = self._cancel_unsent(order)
            if not order.is_init:
                return order
            attempt, now, began_s = uuid4().hex, datetime.now(UTC), time.monotonic()
            before, order = order, self._note(order, attempt, now)
            if order.is_init and order.cancel_attempt == attempt:
                return self._send(order, began_s)
            if order.cancel_attempt != before.cancel_attempt or is_under_way(order, now):
                return order
        raise CancelNotNoted(order.payment_request_id)

    def _cancel_unsent(self, order: Order) -> Order:
        """Nothing ever left, so there is nothing to ask for; a POST that begins to send it now is first, or second."""
        final = Final(Status.CANCELLED)
        return self._written(
            order, lambda: settle_unless_crossed(self._table, order, final, Witness.CANCEL, datetime.now(UTC))
        )

    def _note(self, order: Order, attempt: str, now: datetime) -> Order:
        """The order with this attempt's note; or as it was stored meanwhile, which has to be looked at first."""
        return self._written(
            order,
            lambda: (
                self._table.note_cancel(
                    order,
                    attempt,
                    now,
                    sending_overdue_at(now),
                    now + timedelta(seconds=CANCEL_EVERY_S),
                    new_round=True,
                ).row
            ),
        )

    def _send(self, noted: Order, began_s: float) -> Order:
        try:
            order = self._call.send(noted, began_s + TIMEOUT_S)
        except TableFault as error:
            # What Alipay said is lost here, not there: the next look asks again.
            telemetry.fault(error)
            order = noted
        if order.is_init:
            self._poll(order, max(1, CANCEL_EVERY_S - int(time.monotonic() - began_s)))
        return order

    def _written(self, order: Order, write: Callable[[], Order]) -> Order:
        """What a write that no call has preceded left. Raises CancelNotNoted if it was not applied."""
        try:
            return write()
        except TableFault as error:
            telemetry.fault(error)
            stored = self._table.get(order.payment_request_id)
            if stored == order:
                raise CancelNotNoted(order.payment_request_id) from error
            return stored

    def _poll(self, order: Order, wait_s: int) -> None:
        """Start the round that goes on with the cancel; if that fails the sweep does it."""
        try:
            self._polling.start(order.payment_request_id, order.polling_round, wait_s)
        except PollingFault as error:
            logger.warning("polling not started", reason=str(error))
