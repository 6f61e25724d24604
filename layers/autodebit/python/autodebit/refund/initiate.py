"""Initiate a refund: reserve its amount and store it, call refund, and have it polled unless refund settled it.

Where this process may die, and who then looks at the refund, is as for a payment (`autodebit.payment.initiate`): the
row carries `overdueAt` from the write that stored it. The amount stays reserved until a final F gives it back, or until
a refund that never left makes room for another one.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from autodebit import telemetry
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Reading
from autodebit.alipay.strict_json import text_at
from autodebit.errors import (
    GatewayError,
    NotSent,
    PaymentNotRefundable,
    PollingFault,
    RefundConflict,
    RefundExceedsRest,
    RefundNotFound,
    RefundWindowOver,
    RequestInvalid,
    TableFault,
)
from autodebit.instants import told_instant
from autodebit.payment.order import Order
from autodebit.payment.order import Status as OrderStatus
from autodebit.payment.order_table import OrderTable
from autodebit.polling import SENDING_S, overdue_at
from autodebit.polling_machine import PollingMachine
from autodebit.refund.observe import Observer
from autodebit.refund.outcome import ALREADY_GIVEN_BACK, InProcess, read_refund
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.refund.request import RefundRequest
from autodebit.refund.window import window_over
from autodebit.repeat import call_until_answered
from autodebit.settle import report_settled, settle
from autodebit.telemetry import logger

BUDGET_S = 21.0
"""For the refund's calls, counted from the start of the POST."""

LOOK_S = 4.0
"""For the look at the payment after them; what is left of API Gateway's 29 s then is for the tables."""

RELEASABLE_AFTER_S = 60
"""A refund that never left may make room for another one, if its own request has not come again by then."""


class Initiator:
    """Takes one refund as far as it goes within one POST."""

    def __init__(
        self, orders: OrderTable, refunds: RefundTable, gateway: AlipayGateway, polling: PollingMachine
    ) -> None:
        self._orders = orders
        self._refunds = refunds
        self._gateway = gateway
        self._polling = polling
        self._observer = Observer(orders, refunds, gateway)

    def initiate(self, payment_request_id: str, request: RefundRequest, notify_url: str, deadline: float) -> Refund:
        """The refund as it stands when this POST can do no more for it. `deadline` is on time.monotonic's clock.

        Raises OrderNotFound, RequestInvalid, RefundConflict, PaymentNotRefundable, RefundWindowOver, RefundExceedsRest
        and NotSent.
        """
        try:
            refund = self._advance(payment_request_id, request, notify_url, deadline)
        except TableFault as error:
            # Every fault after refund was sent is dealt with where it happens: this POST sent nothing.
            telemetry.fault(error)
            raise NotSent("table") from error
        if refund.never_sent and refund.is_init:
            # Another request for this refund was first, and could not send it either.
            raise NotSent("noted by another request")
        return refund

    def _advance(self, payment_request_id: str, request: RefundRequest, notify_url: str, deadline: float) -> Refund:
        now, attempt = _now(), uuid4().hex
        order = self._orders.get(payment_request_id)
        try:
            refund = self._refunds.get(request.refund_request_id)
        except RefundNotFound:
            refund = self._create(order, request, attempt, notify_url, now, deadline)
        if differing := _differing(refund, payment_request_id, request):
            raise RefundConflict(differing)
        if refund.attempt == attempt:
            return self._send(order, refund, deadline, first_call=True)
        return self._repeat(order, refund, attempt, now, deadline)

    def _create(
        self, order: Order, request: RefundRequest, attempt: str, notify_url: str, now: datetime, deadline: float
    ) -> Refund:
        """The refund of this id: a new one with its amount reserved, or the one that was first."""
        if faults := request.faults(order):
            raise RequestInvalid(faults)
        if order.status is not OrderStatus.SUCCESS:
            raise PaymentNotRefundable(order.status.value)
        if window_over(_paid_at(order), order.payment_method_type, now):
            raise RefundWindowOver
        order = self._with_room(order, int(request.amount.value), now)
        if _left(order) < int(request.amount.value):
            raise _exceeds(order)
        refund = self._refunds.create(
            Refund(
                refund_request_id=request.refund_request_id,
                payment_request_id=order.payment_request_id,
                status=Status.INIT,
                amount=request.amount,
                merchant_account_id=order.merchant_account_id,
                created_at=now,
                body=request.body(self._payment_id(order, deadline), notify_url).decode(),
                attempt=attempt,
                attempted_at=now,
            )
        )
        if refund is None:  # another refund took what was left
            raise _exceeds(self._orders.get(order.payment_request_id))
        return refund

    def _with_room(self, order: Order, value: int, now: datetime) -> Order:
        """The order once refunds that never left, and that nobody has asked for again, have made room for this one."""
        lacking = value - _left(order)
        if lacking <= 0:
            return order
        waiting = [each for each in self._refunds.of_order(order) if _is_releasable(each, now)]
        if sum(int(each.amount.value) for each in waiting) < lacking:
            return order
        for each in waiting:
            if lacking > 0 and self._release(each, now):
                lacking -= int(each.amount.value)
        return self._orders.get(order.payment_request_id)

    def _release(self, refund: Refund, now: datetime) -> bool:
        """Whether its amount was given back here."""
        written = self._refunds.release(refund, now)
        if written.won:
            report_settled(written.row)
        return written.won

    def _payment_id(self, order: Order, deadline: float) -> str:
        """Alipay's id of the payment, which `refund` asks for: some editions' notifications do not tell it.

        Raises NotSent if it cannot be had now.
        """
        if order.payment_id is not None:
            return order.payment_id
        try:
            answer = self._observer.look(order, _now(), deadline)
        except GatewayError as error:
            telemetry.call_failed("inquiryPayment", error)
            raise NotSent("paymentId unknown") from error
        payment_id = text_at(answer, "paymentId")
        if not payment_id or answer.get("paymentRequestId") != order.payment_request_id:
            raise NotSent("paymentId unknown")
        return payment_id

    def _repeat(self, order: Order, refund: Refund, attempt: str, now: datetime, deadline: float) -> Refund:
        """Send what never left, or the very bytes of an attempt that must be dead by now.

        A refund does not expire: also one whose schedule is spent, and which Alipay may never have heard of, is sent.
        What Alipay has in process is inquired, and not sent.
        """
        if not refund.is_init:
            return refund
        dead = (now - refund.attempted_at).total_seconds() > SENDING_S
        if refund.in_process is not None:
            return self._poll_again(refund, now) if dead else refund
        if not refund.never_sent and not dead:
            return refund
        taken = self._refunds.take_over(refund, attempt, now)
        if not taken.won:
            return taken.row
        return self._send(order, taken.row, deadline, first_call=refund.never_sent)

    def _send(self, order: Order, refund: Refund, deadline: float, *, first_call: bool) -> Refund:
        """Call refund and act on what it says; a refund that is INIT after that is being polled."""

        def read(answer: dict[str, Any], first: bool) -> Reading[Status]:
            return read_refund(refund, answer, first_call=first)

        try:
            reading = call_until_answered(
                self._gateway, "payments/refund", refund.body.encode(), read, deadline=deadline, first_call=first_call
            )
        except NotSent:
            noted = self._refunds.note_never_sent(refund)
            if noted.won:
                raise
            return noted.row
        try:
            if isinstance(reading, InProcess):
                refund = self._refunds.note_in_process(refund, reading.said).row
            refund = settle(self._refunds, refund, reading, Witness.REFUND, _now())
        except TableFault as error:
            # What Alipay said is lost here, not there: the polling will hear it again.
            logger.error("result of refund not stored", reason=str(error))
            telemetry.count("Fault")
        if refund.is_init:
            self._poll(refund)
        elif refund.status is Status.FAIL and refund.result_code in ALREADY_GIVEN_BACK:
            self._look(order, deadline + LOOK_S)
        return refund

    def _look(self, order: Order, deadline: float) -> None:
        """Find out what somebody else gave back; if that fails, the next refusal leads here again."""
        try:
            self._observer.look(order, _now(), deadline)
        except GatewayError as error:
            telemetry.call_failed("inquiryPayment", error)
        except TableFault as error:
            logger.error("payment not looked at", reason=str(error))
            telemetry.count("Fault")

    def _poll_again(self, refund: Refund, now: datetime) -> Refund:
        """Have the refund polled if nobody does; where nobody looks any more, in a new round."""
        if not refund.is_spent:
            self._poll(refund)
            return refund
        started = self._refunds.start_next_round(refund, overdue_at(now, self._polling.first_wait_s))
        if started.won:
            self._poll(started.row)
        return started.row

    def _poll(self, refund: Refund) -> None:
        """Start the polling; if that fails the sweep does it, for the row says that nobody watches yet."""
        try:
            self._polling.start(refund.refund_request_id, refund.polling_round)
        except PollingFault as error:
            logger.warning("polling not started", reason=str(error))


def _is_releasable(refund: Refund, now: datetime) -> bool:
    age_s = (now - refund.attempted_at).total_seconds()
    return refund.is_init and refund.never_sent and age_s > RELEASABLE_AFTER_S


def _differing(refund: Refund, payment_request_id: str, request: RefundRequest) -> list[str]:
    """The fields that make it another refund than the one that stands there."""
    same = {
        "paymentRequestId": refund.payment_request_id == payment_request_id,
        "refundAmount.currency": refund.amount.currency == request.amount.currency,
        "refundAmount.value": refund.amount.value == request.amount.value,
    }
    return [field for field in same if not same[field]]


def _left(order: Order) -> int:
    """What can be given back of it; below nothing while one of ours is known to be refused."""
    return order.refundable or 0


def _exceeds(order: Order) -> RefundExceedsRest:
    return RefundExceedsRest(max(0, _left(order)), order.amount.currency)


def _paid_at(order: Order) -> datetime:
    """When the payment was paid, by Alipay's own time where it told one that can be read."""
    return told_instant(order.payment_time) or order.settled_at or order.created_at


def _now() -> datetime:
    return datetime.now(UTC)
