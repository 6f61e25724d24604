"""Inquire a payment: look at the order, and only if it is INIT, ask Alipay's inquiryPayment; then close it when due.

https://docs.antom.com/ac/scantopay/integration_guide
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from autodebit import telemetry
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Final, Reading, Undecided
from autodebit.errors import GatewayError, TableFault
from autodebit.instants import whole_second_text
from autodebit.payment.cancel_call import CancelCall
from autodebit.payment.closing import (
    CANCEL_EVERY_S,
    CancelSent,
    NextLook,
    absences,
    cancel_due,
    cancel_sent,
    close_time,
    is_unresolved,
    look_at,
    next_look,
    overdue_from,
)
from autodebit.payment.crossing import settle_unless_crossed
from autodebit.payment.naming import naming_body
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.order_table import OrderTable
from autodebit.payment.outcome import read_inquiry
from autodebit.polling import next_wait
from autodebit.telemetry import logger

CANCEL_TIMEOUT_S = CANCEL_EVERY_S - 1.0
"""A look's cancel that has no answer by then is repeated."""


type Listener = Callable[[Order, dict[str, Any], datetime], None]
"""Is told what an inquiry said of a payment that was paid, and when it was heard. It may raise TableFault."""


class Inquirer:
    """Looks at one order once. `schedule` holds the waits in seconds, `close_after_s` is the template's CloseAfter."""

    def __init__(
        self,
        table: OrderTable,
        gateway: AlipayGateway,
        schedule: tuple[int, ...],
        close_after_s: int,
        listener: Listener = lambda order, answer, now: None,
    ) -> None:
        self._table = table
        self._gateway = gateway
        self._cancel_call = CancelCall(table, gateway, close_after_s)
        self._schedule = schedule
        self._close_after_s = close_after_s
        self._listener = listener

    def look(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state machine's next input, after a look at the order of its `paymentRequestId`.

        `round` is the execution's: an order that has a later one is left to that. `inquiry` counts the schedule's
        looks so far, `cancels` the cancels in a row without an answer; `heard` is what `pay` said, for the first look
        to note. `waitSeconds` or `waitUntil` tell when to look next; without them, and INIT, the schedule is spent.
        Raises OrderNotFound and TableFault; the state machine tries again.
        """
        order = self._table.get(state["paymentRequestId"])
        current = {"paymentRequestId": order.payment_request_id, "round": state.get("round", order.polling_round)}
        looks, cancels, following = state["inquiry"] + 1, state.get("cancels", 0), NextLook()
        if order.is_init and not _is_superseded(order, current["round"]):
            said = state.get("heard")
            if said is not None and not order.heard:
                order = order.hears(said, order.attempted_at)
            order, cancels, following = self._advance(order, looks, cancels)
        if _is_superseded(order, current["round"]):
            return current | {"status": order.status.value, "superseded": True}
        return (
            current
            | {
                "inquiry": looks - 1 if following.additional else looks,
                "cancels": cancels,
                "status": order.status.value,
            }
            | _wait(following)
        )

    def _advance(self, order: Order, looks: int, cancels: int) -> tuple[Order, int, NextLook]:
        """Inquire, cancel if it is time, and tell what comes next."""
        close_at, polling_round = close_time(order, self._close_after_s), order.polling_round
        order, now = self._heard(order, looks, cancels, close_at)
        sent = None
        if order.is_init and order.polling_round == polling_round and cancel_due(order, now, close_at):
            order, cancels, sent = self._cancel(order, looks, cancels, close_at)
        if not order.is_init or order.polling_round > polling_round:
            return order, cancels, NextLook()
        now = _now()
        following = next_look(order, now, close_at, self._schedule, looks, cancels, sent)
        spent = following == NextLook()
        logger.info("payment still INIT", inquiry=order.inquiries, **_wait(following))
        if spent:
            telemetry.count("PollingSpent")
            logger.error("polling schedule spent", lastInquiry=order.last_inquiry)
        scheduled = next_wait(looks, self._schedule) is not None
        if order.unresolved_at is None and (
            spent or is_unresolved(order, now, close_at, cancels, sent, scheduled=scheduled)
        ):
            order = self._unresolved(order, now)
        return order, cancels, following

    def _heard(self, order: Order, looks: int, cancels: int, close_at: datetime | None) -> tuple[Order, datetime]:
        """The order after an inquiry, and when that was answered."""
        asked_at, polling_round = _now(), order.polling_round
        reading, answer = self._inquire(order)
        now = _now()
        order = settle_unless_crossed(self._table, order, reading, Witness.INQUIRY, now)
        if isinstance(reading, Final) and reading.status is order.status is Status.SUCCESS:
            self._hand_on(order, answer, now)
        if not order.is_init or order.polling_round > polling_round:
            return order, now
        absent, absent_at = absences(order, reading, asked_at, now)
        order = replace(order, absences=absent, absent_at=absent_at)
        following = (
            NextLook(CANCEL_EVERY_S)
            if cancel_due(order, now, close_at)
            else next_look(order, now, close_at, self._schedule, looks, cancels)
        )
        said = f"inquiry S: {reading.status}" if isinstance(reading, Final) else reading.said
        late_from = overdue_from(following, now, close_at)
        order = self._table.note_inquiry(order.hears(said, now), said, late_from, look_at(following, now)).row
        return self._cancel_call.conclude(order, now), now

    def _inquire(self, order: Order) -> tuple[Reading[Status], dict[str, Any]]:
        """What inquiryPayment says, and its answer; a call that fails says nothing about the payment."""
        try:
            answer = self._gateway.call("payments/inquiryPayment", naming_body(order))
        except GatewayError as error:
            telemetry.call_failed("inquiryPayment", error)
            return Undecided(f"inquiry without answer: {error.reason}"), {}
        return read_inquiry(order, answer), answer

    def _hand_on(self, order: Order, answer: dict[str, Any], now: datetime) -> None:
        """Hand the answer on. If that fails, another one or a report tells what it told besides the payment."""
        try:
            self._listener(order, answer, now)
        except TableFault as error:
            telemetry.fault(error)

    def _cancel(
        self, order: Order, looks: int, cancels: int, close_at: datetime | None
    ) -> tuple[Order, int, CancelSent | None]:
        """The order after the cancel was noted and sent, unless another attempt is under way."""
        attempt, now, started_s = uuid4().hex, _now(), time.monotonic()
        unanswered = replace(order, cancel_requested_at=now)
        at_once = CancelSent(took_s=0, refused_anew=False)
        following = next_look(unanswered, now, close_at, self._schedule, looks, cancels + 1, at_once)
        late_from = overdue_from(following, now, close_at)
        noted = self._table.note_cancel(
            order, attempt, now, late_from, look_at(following, now) or late_from, new_round=False
        ).row
        if not noted.is_init or noted.cancel_attempt != attempt:
            return noted, cancels, None
        after = self._cancel_call.send(noted, started_s + CANCEL_TIMEOUT_S)
        cancels = cancels + 1 if after.cancel_requested_at is not None else 0
        return after, cancels, cancel_sent(order, after, close_at, time.monotonic() - started_s)

    def _unresolved(self, order: Order, now: datetime) -> Order:
        """Call a person, once."""
        noted = self._table.note_unresolved(order, now)
        if noted.won:
            telemetry.count("Unresolved")
            logger.error("payment unresolved", lastInquiry=order.last_inquiry, cancelCode=order.cancel_code)
        return noted.row


def _is_superseded(order: Order, polling_round: int) -> bool:
    """Whether another execution polls the order, or none has to."""
    return order.never_sent or order.polling_round > polling_round


def _wait(following: NextLook) -> dict[str, Any]:
    """The next look as the state machine's input has it."""
    if following.at is not None:
        return {"waitUntil": whole_second_text(following.at)}
    return {} if following.wait_s is None else {"waitSeconds": following.wait_s}


def _now() -> datetime:
    return datetime.now(UTC)
