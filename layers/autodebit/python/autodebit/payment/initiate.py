"""Initiate a payment: store the order, call pay, and have the order polled unless pay settled it.

Where this process may die, and who then looks at the order (`overdueAt` in its row, 30 s after it was stored):

1. Before the order is stored: nothing was sent, there is no order.
2. Stored, pay not sent, or sent and not answered, or answered and not yet written, or written with polling not
   started: the row is INIT with its `overdueAt`; the sweep finds it within a minute after that and has it polled.
3. Polling started: its first inquiry moves `overdueAt` on; if the execution dies, `overdueAt` passes, as in 2.
4. Settled: the write that settles takes the order out of the index in the same stroke.
5. Nothing left, and noted so: the order waits for its request to come again. Dying before the note is case 2.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from autodebit import telemetry
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.masking import without_token
from autodebit.alipay.reading import DEAD_TOKEN, Reading, Undecided, result_of
from autodebit.errors import (
    AgreementNotLinked,
    NotSent,
    OrderNotFound,
    PaymentConflict,
    PollingFault,
    RequestInvalid,
    TableFault,
    VaultUnavailable,
)
from autodebit.payment.crossing import settle_unless_crossed
from autodebit.payment.identity import digest
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.order_table import OrderTable
from autodebit.payment.outcome import read_pay
from autodebit.payment.request import PayCall, PayRequest
from autodebit.polling import SENDING_S, overdue_at
from autodebit.polling_machine import PollingMachine
from autodebit.repeat import call_until_answered
from autodebit.telemetry import logger

if TYPE_CHECKING:
    from autodebit.agreement.agreement import Debit
    from autodebit.agreement.debit import Debits

BUDGET_S = 25.0
"""For all calls of pay, counted from the start of the POST: what is left of API Gateway's 29 s is for the table."""


class Initiator:
    """Takes one payment as far as it goes within one POST."""

    def __init__(
        self, table: OrderTable, gateway: AlipayGateway, polling: PollingMachine, debits: "Callable[[], Debits]"
    ) -> None:
        """`debits` is called for a payment that names an agreement, and for no other."""
        self._table = table
        self._gateway = gateway
        self._polling = polling
        self._debits = debits

    def initiate(self, request: PayRequest, notify_url: str, deadline: float) -> Order:
        """The order as it stands when this POST can do no more for it. `deadline` is on time.monotonic's clock.

        Raises RequestInvalid (a new payment whose expiry is out of its window, another wallet than the agreement's),
        PaymentConflict, AgreementNotLinked and NotSent.
        """
        try:
            order = self._advance(request, notify_url, deadline)
        except TableFault as error:
            # Every fault after pay was sent is dealt with where it happens: this POST sent nothing.
            telemetry.fault(error)
            raise NotSent("order table") from error
        if order.never_sent and order.status is Status.INIT:
            # Another request for this payment was first, and could not send it either.
            raise NotSent("noted by another request")
        return order

    def _advance(self, request: PayRequest, notify_url: str, deadline: float) -> Order:
        now = _now()
        attempt = uuid4().hex
        try:
            debit = None if request.agreement_id is None else self._debits().of(request.agreement_id)
        except (AgreementNotLinked, VaultUnavailable):
            if (stored := self._stored(request)) is None:
                raise
            return stored
        call = request.pay_call(request.expiry_time(now), notify_url, debit)
        order = self._create(request, call, attempt, now)
        if order.attempt == attempt:
            return self._send(order, call, deadline, first_call=True)
        if differing := request.differing(order.identity):
            raise PaymentConflict(differing, order.status.value, decided=not order.is_init)
        if order.status is not Status.INIT:
            return order
        if order.never_sent:
            if request.expiry_fault:
                raise RequestInvalid([request.expiry_fault])
            token_digest = digest(request.payment_request_id, call.access_token)
            taken = self._table.take_over_never_sent(
                order, attempt, now, call.payment_expiry_time, call.sha256, token_digest
            )
            return self._send(taken.row, call, deadline, first_call=True) if taken.won else taken.row
        return self._repeat(order, request, notify_url, debit, attempt, now, deadline)

    def _stored(self, request: PayRequest) -> Order | None:
        """The order of this payment where nothing can be sent for it; None if nothing of it ever left."""
        try:
            order = self._table.get(request.payment_request_id)
        except OrderNotFound:
            return None
        if differing := request.differing(order.identity):
            raise PaymentConflict(differing, order.status.value, decided=not order.is_init)
        return None if order.is_init and order.never_sent else order

    def _create(self, request: PayRequest, call: PayCall, attempt: str, now: datetime) -> Order:
        """The order of this paymentRequestId: a new one, sent by this attempt, or the one that stands there."""
        if request.expiry_fault:
            # No new payment can have this expiry, but a replay of an old one carries the expiry it had then.
            try:
                return self._table.get(request.payment_request_id)
            except OrderNotFound:
                raise RequestInvalid([request.expiry_fault]) from None
        return self._table.create(
            Order(
                payment_request_id=request.payment_request_id,
                status=Status.INIT,
                amount=request.amount,
                reference_order_id=request.reference_order_id,
                merchant_account_id=request.merchant_account_id,
                payment_method_type=call.payment_method_type,
                agreement_id=request.agreement_id,
                created_at=now,
                payment_expiry_time=call.payment_expiry_time,
                identity=request.identity,
                token_digest=digest(request.payment_request_id, call.access_token),
                pay_body_sha256=call.sha256,
                attempt=attempt,
                attempted_at=now,
            )
        ).row

    def _repeat(
        self,
        order: Order,
        request: PayRequest,
        notify_url: str,
        debit: "Debit | None",
        attempt: str,
        now: datetime,
        deadline: float,
    ) -> Order:
        """Repeat the identical pay of an attempt that must be dead by now, if the payment is still alive and wanted.

        One whose schedule is spent is polled once more instead. One whose token was refreshed since is left to
        inquiry: other bytes would be another payment to Alipay.
        """
        if order.is_spent:
            return self._poll_again(order, now)
        if order.cancel_requested_at is not None:
            return order
        call = request.pay_call(order.payment_expiry_time, notify_url, debit)
        dead = (now - order.attempted_at).total_seconds() > SENDING_S
        if not dead or now >= order.expires_at or call.sha256 != order.pay_body_sha256:
            return order
        taken = self._table.take_over_sending(order, attempt, now)
        return self._send(taken.row, call, deadline, first_call=False) if taken.won else taken.row

    def _send(self, order: Order, call: PayCall, deadline: float, *, first_call: bool) -> Order:
        """Call pay and act on what it says; an order that is INIT after that is being polled."""
        try:
            reading = self._pay(order, call, deadline, first_call=first_call)
        except NotSent:
            noted = self._table.note_never_sent(order)
            if noted.won:
                raise
            return noted.row
        try:
            order = settle_unless_crossed(self._table, order, reading, Witness.PAY, _now())
        except TableFault as error:
            # What Alipay said is lost here, not there: the polling will hear it again.
            logger.error("result of pay not stored", reason=str(error))
            telemetry.count("Fault")
        if order.status is Status.INIT:
            self._poll(order, heard=reading.said if isinstance(reading, Undecided) else None)
        return order

    def _pay(self, order: Order, call: PayCall, deadline: float, *, first_call: bool) -> Reading[Status]:
        """What pay says, repeated while it says nothing and the payment lives. Raises NotSent if nothing ever left."""

        def read(answer: dict[str, Any], first: bool) -> Reading[Status]:
            if call.debit is not None and result_of(answer) == ("F", DEAD_TOKEN):
                self._note_dead(call.debit)
            return read_pay(order, without_token(answer, call.access_token), first_call=first)

        return call_until_answered(
            self._gateway,
            "payments/pay",
            call.body,
            read,
            deadline=deadline,
            first_call=first_call,
            may_repeat=lambda: _now() < order.expires_at,
        )

    def _note_dead(self, debit: "Debit") -> None:
        """End the agreement; if that fails, its next payment does it."""
        try:
            self._debits().note_dead(debit)
        except TableFault as error:
            logger.error("dead token not noted", reason=str(error))
            telemetry.count("Fault")

    def _poll_again(self, order: Order, now: datetime) -> Order:
        """Start a new round for an order that nobody looks at any more."""
        started = self._table.start_next_round(order, overdue_at(now, self._polling.first_wait_s))
        if started.won:
            self._poll(started.row)
        return started.row

    def _poll(self, order: Order, heard: str | None = None) -> None:
        """Start the polling, which notes what was `heard`.

        If that fails the sweep starts it, for the row says that nobody watches yet.
        """
        try:
            self._polling.start(order.payment_request_id, order.polling_round, None, heard)
        except PollingFault as error:
            logger.warning("polling not started", reason=str(error))


def _now() -> datetime:
    return datetime.now(UTC)
