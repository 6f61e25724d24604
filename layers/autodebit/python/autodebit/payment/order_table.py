"""The order table: one row a payment, and the INIT guard.

Every change of status is one conditional write on `status = INIT`. The row is the idempotency record too; it is never
deleted. `watchShard` and `overdueAt` make a sparse index of the orders that are INIT and may have reached Alipay.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from pynamodb.attributes import (
    BooleanAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.expressions.condition import Condition, size
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection
from pynamodb.models import Model

from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.errors import OrderNotFound
from autodebit.events import Told
from autodebit.payment.closing import ABSENCES_MIN, CANCEL_UNDER_WAY_S
from autodebit.payment.fields import REFERENCE_LENGTH_MAX
from autodebit.payment.heard import Heard
from autodebit.payment.order import Order, SettledOrder, Status, Witness
from autodebit.payment.transitions import ASKED_AFRESH, CONTRADICTED, CROSSED_BY_CANCEL, TOLD, TRANSITIONS, UNRESOLVED
from autodebit.polling import sending_overdue_at
from autodebit.rows import watch
from autodebit.rows.attention import AttentionIndex, acknowledged_in
from autodebit.rows.days import DayIndex, settled_day, settled_on
from autodebit.rows.guard import Written, as_read, change, create, set_or_remove
from autodebit.rows.settling import SettlingItem, SettlingRows
from autodebit.rows.table import Timeouts, read_instant, stored_if_any, stored_instant, table_faults
from autodebit.rows.told import tell, told_in
from autodebit.rows.transaction import Change
from autodebit.rows.watch import WatchIndex, watch_shard, watched_from


class WatchedOrders(WatchIndex["OrderItem"]):  # type: ignore[no-untyped-call]
    """Orders that are INIT and may have reached Alipay, by the time by which somebody must have looked."""

    class Meta:
        index_name = "watched"
        projection = IncludeProjection(["pollingRound", "attemptedAt"])


class SettledOrders(DayIndex["OrderItem"]):  # type: ignore[no-untyped-call]
    """Orders that have their result, by its day: what reconciliation needs of them."""

    class Meta:
        index_name = "settled"
        projection = IncludeProjection(["status", "currency", "amountValue", "paymentId"])


class OrdersForAPerson(AttentionIndex["OrderItem"]):  # type: ignore[no-untyped-call]
    """Orders that a person has to look at."""

    class Meta:
        index_name = "attention"
        projection = KeysOnlyProjection()


class OrdersByReference(GlobalSecondaryIndex["OrderItem"]):  # type: ignore[no-untyped-call]
    """Every order by the merchant's reference, in the order of time."""

    class Meta:
        index_name = "byReference"
        projection = KeysOnlyProjection()

    referenceOrderId = UnicodeAttribute(hash_key=True)
    createdAt = UnicodeAttribute(range_key=True)


class HeardEntry(MapAttribute[str, Any]):
    """One entry of a row's `heard`; what was heard once has the first two alone."""

    said = UnicodeAttribute()
    at = UnicodeAttribute()
    times = NumberAttribute(null=True)
    until = UnicodeAttribute(null=True)


class OrderItem(SettlingItem, Model):
    """The row, in Alipay's spelling."""

    class Meta(Timeouts):
        table_name = os.environ["ORDERS_TABLE"]

    paymentRequestId = UnicodeAttribute(hash_key=True)
    referenceOrderId = UnicodeAttribute()
    agreementId = UnicodeAttribute(null=True)
    paymentMethodType = UnicodeAttribute(null=True)
    paymentExpiryTime = UnicodeAttribute()

    identity = UnicodeAttribute()
    tokenDigest = UnicodeAttribute(null=True)
    payBodySha256 = UnicodeAttribute()

    heard = ListAttribute(of=HeardEntry, null=True)

    cancelRequestedAt = UnicodeAttribute(null=True)
    cancelAttempt = UnicodeAttribute(null=True)
    cancelAttemptedAt = UnicodeAttribute(null=True)
    lastCancel = UnicodeAttribute(null=True)
    cancelCode = UnicodeAttribute(null=True)
    cancelRefusedAt = UnicodeAttribute(null=True)
    cancelDoubted = BooleanAttribute(null=True)
    absences = NumberAttribute(null=True)
    absentAt = UnicodeAttribute(null=True)
    crossed = UnicodeSetAttribute()

    paymentId = UnicodeAttribute(null=True)
    paymentTime = UnicodeAttribute(null=True)
    refundable = NumberAttribute(null=True)
    unrefunded = NumberAttribute(null=True)
    refunds = UnicodeSetAttribute()

    watched = WatchedOrders()
    settled = SettledOrders()
    attention = OrdersForAPerson()
    byReference = OrdersByReference()


class OrderTable(SettlingRows[Order]):
    """The one class that reads and writes orders."""

    def __init__(self) -> None:
        super().__init__(OrderItem, "paymentRequestId", _order, OrderNotFound, CONTRADICTED, UNRESOLVED)

    def create(self, order: Order) -> Written[Order]:
        """Store a new order, unless its paymentRequestId is taken; then answer with what stands there."""
        item = OrderItem(
            order.payment_request_id,
            status=order.status.value,
            currency=order.amount.currency,
            amountValue=order.amount.value,
            referenceOrderId=order.reference_order_id,
            merchantAccountId=order.merchant_account_id,
            agreementId=order.agreement_id,
            paymentMethodType=order.payment_method_type,
            createdAt=stored_instant(order.created_at),
            paymentExpiryTime=order.payment_expiry_time,
            identity=order.identity,
            tokenDigest=order.token_digest,
            payBodySha256=order.pay_body_sha256,
            attempt=order.attempt,
            attemptedAt=stored_instant(order.attempted_at),
            watchShard=watch_shard(order.payment_request_id),
            overdueAt=stored_instant(sending_overdue_at(order.attempted_at)),
        )
        return create(
            item,
            OrderItem.paymentRequestId.does_not_exist(),
            read=_order,
            stored=lambda: self.get(order.payment_request_id),
            ours=lambda stored: stored.attempt == order.attempt,
        )

    def of_reference(self, reference_order_id: str, most: int) -> list[Order]:
        """The orders of a reference as they are stored now, newest first, `most` at the most.

        The index is eventually consistent: an order that was just created may be missing.
        """
        if len(reference_order_id) > REFERENCE_LENGTH_MAX:
            return []  # no order has one; as a key it might be too long
        with table_faults():
            keys = OrderItem.byReference.query(reference_order_id, scan_index_forward=False, limit=most)
            ids = [item.paymentRequestId for item in keys]
            items = {item.paymentRequestId: item for item in OrderItem.batch_get(ids, consistent_read=True)}
        return [_order(items[payment_request_id]) for payment_request_id in ids]

    def settle(self, order: Order, final: Final[Status], witness: Witness, at: datetime) -> Written[Order]:
        """Take the order out of INIT, if it is still there. ValueError if this witness may not report that."""
        if witness not in TRANSITIONS.get((Status.INIT, final.status), ()):
            raise ValueError(f"{witness} does not make an order {final.status}")
        token = uuid4().hex
        paid = int(order.amount.value) if final.status is Status.SUCCESS else None
        result: list[tuple[Any, Any]] = [
            (OrderItem.resultCode, final.result_code),
            (OrderItem.resultMessage, final.result_message),
            (OrderItem.paymentId, final.transaction_id),
            (OrderItem.paymentTime, final.transaction_time),
            (OrderItem.refundable, paid),
            (OrderItem.unrefunded, paid),
        ]
        return self.change(
            order.key,
            [
                OrderItem.status.set(final.status.value),
                OrderItem.settledBy.set(witness.value),
                OrderItem.settledAt.set(stored_instant(at)),
                OrderItem.settledDay.set(settled_day(order.payment_request_id, at, final.transaction_time)),
                OrderItem.settleToken.set(token),
                *tell(OrderItem, Told(TOLD[final.status], at)),
                *self.unwatched,
                *(attribute.set(value) for attribute, value in result if value is not None),
            ],
            _provided(order, final, witness),
            ours=lambda stored: stored.settle_token == token,
        )

    def note_never_sent(self, order: Order) -> Written[Order]:
        """Note that no byte of any pay left: nobody waits for this order until its request comes again."""
        return self.change(
            order.key,
            [OrderItem.neverSent.set(True), *self.unwatched],
            # This holds for a repetition too, whose first answer was lost. A cancel that is noted must be gone on with.
            (OrderItem.attempt == order.attempt) & OrderItem.cancelRequestedAt.does_not_exist(),
        )

    def take_over_never_sent(
        self,
        order: Order,
        attempt: str,
        at: datetime,
        payment_expiry_time: str,
        pay_body_sha256: str,
        token_digest: str,
    ) -> Written[Order]:
        """Start afresh with an order that never left, for the one attempt that is first."""
        return self.change(
            order.key,
            [
                OrderItem.attempt.set(attempt),
                OrderItem.attemptedAt.set(stored_instant(at)),
                OrderItem.paymentExpiryTime.set(payment_expiry_time),
                OrderItem.payBodySha256.set(pay_body_sha256),
                OrderItem.tokenDigest.set(token_digest),
                OrderItem.neverSent.remove(),
                # What was heard of a payment that did not exist says nothing of this one.
                *(attribute.remove() for attribute in HEARD_OF_NOTHING),
                *watched_from(OrderItem, order.key, sending_overdue_at(at)),
            ],
            (OrderItem.attempt == order.attempt) & (OrderItem.neverSent == True),  # noqa: E712 (a condition, not a test)
            ours=lambda stored: stored.attempt == attempt,
        )

    def take_over_sending(self, order: Order, attempt: str, at: datetime) -> Written[Order]:
        """Repeat the pay of an attempt that can no longer be running, for the one replay that is first."""
        return self.change(
            order.key,
            [OrderItem.attempt.set(attempt), OrderItem.attemptedAt.set(stored_instant(at))],
            (OrderItem.attempt == order.attempt)
            & OrderItem.neverSent.does_not_exist()
            & OrderItem.cancelRequestedAt.does_not_exist(),
            ours=lambda stored: stored.attempt == attempt,
        )

    def note_inquiry(
        self, order: Order, said: str, overdue_at: datetime, look_at: datetime | None = None
    ) -> Written[Order]:
        """Note what one more inquiry heard, its `heard` and `absences`, and by when somebody will have looked again; if
        the order's round is still the latest.
        """
        return self.change(
            order.key,
            [
                OrderItem.inquiries.set(order.inquiries + 1),
                OrderItem.lastInquiry.set(said),
                *_keep_heard(order),
                set_or_remove(OrderItem.absences, order.absences or None),
                set_or_remove(OrderItem.absentAt, stored_if_any(order.absent_at)),
                OrderItem.overdueAt.set(stored_instant(overdue_at)),
                set_or_remove(OrderItem.lookAt, stored_if_any(look_at)),
            ],
            OrderItem.watchShard.exists() & (OrderItem.pollingRound == order.polling_round),
        )

    def note_cancel(
        self, order: Order, attempt: str, at: datetime, overdue_at: datetime, look_at: datetime, *, new_round: bool
    ) -> Written[Order]:
        """Note a cancel that `attempt` is about to send, if no other may be under way, and none was since the order was
        read; `overdue_at` is by when somebody will have gone on with it. A new round ends the execution that polls the
        order.
        """
        stale = stored_instant(at - timedelta(seconds=CANCEL_UNDER_WAY_S))
        return self.change(
            order.key,
            [
                OrderItem.cancelRequestedAt.set(OrderItem.cancelRequestedAt | stored_instant(at)),
                OrderItem.cancelAttempt.set(attempt),
                OrderItem.cancelAttemptedAt.set(stored_instant(at)),
                *watched_from(OrderItem, order.key, overdue_at),
                OrderItem.lookAt.set(stored_instant(look_at)),
                *([OrderItem.cancelDoubted.set(True)] if order.cancel_requested_at is not None else []),
                *([OrderItem.pollingRound.add(1)] if new_round else []),
            ],
            OrderItem.neverSent.does_not_exist()
            & (OrderItem.cancelAttemptedAt.does_not_exist() | (OrderItem.cancelAttemptedAt < stale))
            & as_read(OrderItem.cancelAttempt, order.cancel_attempt)
            & as_read(OrderItem.cancelRequestedAt, stored_if_any(order.cancel_requested_at))
            & (OrderItem.pollingRound == order.polling_round),
            ours=lambda stored: stored.cancel_attempt == attempt,
        )

    def note_cancel_refused(self, order: Order, code: str, at: datetime) -> Written[Order]:
        """Take the note of a cancel away that Alipay refused, if this order's attempt is still the latest."""
        return self.change(
            order.key,
            [
                OrderItem.cancelRequestedAt.remove(),
                OrderItem.cancelAttemptedAt.remove(),
                OrderItem.lastCancel.set(f"cancel F/{code}"),
                OrderItem.cancelCode.set(code),
                OrderItem.cancelRefusedAt.set(stored_instant(at)),
                *_keep_heard(order),
            ],
            OrderItem.cancelAttempt == order.cancel_attempt,
        )

    def note_cancel_unanswered(self, order: Order, said: str) -> Written[Order]:
        """Note that the order's attempt has ended without an answer, and what was heard."""
        return self.change(
            order.key,
            [OrderItem.cancelAttemptedAt.remove(), OrderItem.lastCancel.set(said), *_keep_heard(order)],
            OrderItem.cancelAttempt == order.cancel_attempt,
        )

    def note_crossed(self, order: Order, said: str) -> Written[Order]:
        """Keep a success that crosses the cancel, as long as it does; a repetition adds nothing."""
        return change(
            OrderItem(order.payment_request_id),
            (OrderItem.cancelRequestedAt.exists() | (OrderItem.cancelDoubted == True))  # noqa: E712 (a condition)
            & OrderItem.status.is_in(Status.INIT.value, Status.CANCELLED.value),
            [OrderItem.crossed.add({said})],
            read=_order,
            stored=lambda: self.get(order.payment_request_id),
        )

    def init_orders(self) -> int:
        """How many orders are INIT and may have reached Alipay."""
        return watch.watched(OrderItem.watched)

    def settled_on(self, day: str) -> Iterator[SettledOrder]:
        """The orders whose result is of this day (`2026-11-22`, UTC+8), as the index has them: eventually."""
        for item in settled_on(OrderItem.settled, day):
            yield SettledOrder(
                payment_request_id=item.paymentRequestId,
                status=Status(item.status),
                amount=Amount(item.currency, item.amountValue),
                payment_id=item.paymentId,
            )


def reserve(payment_request_id: str, amount: Amount, refund_request_id: str) -> Change:
    """What a refund of this amount takes of what its payment can give back, if that is enough."""
    value = _moved(amount)
    return _on_paid(
        payment_request_id,
        [OrderItem.refundable.add(-value), OrderItem.refunds.add({refund_request_id})],
        OrderItem.refundable >= value,
    )


def give_back(payment_request_id: str, amount: Amount) -> Change:
    """What a refund that failed had taken."""
    return _on_paid(payment_request_id, [OrderItem.refundable.add(_moved(amount))])


def note_refunded(payment_request_id: str, amount: Amount) -> Change:
    """What a refund gave back, of what it had reserved, if others have left that much."""
    value = _moved(amount)
    return _on_paid(payment_request_id, [OrderItem.unrefunded.add(-value)], OrderItem.unrefunded >= value)


def note_observed(order: Order, amount: Amount, refund_request_id: str) -> Change:
    """What somebody else gave back, if that much was left, and `order` has no refund that it had not when it was read.

    `refundable` becomes less than nothing while one of ours, which Alipay must refuse, has not given back what it had
    reserved.
    """
    value = _moved(amount)
    known: Condition = (
        size(OrderItem.refunds) == len(order.refunds) if order.refunds else OrderItem.refunds.does_not_exist()  # type: ignore[no-untyped-call]
    )
    return _on_paid(
        order.payment_request_id,
        [
            OrderItem.refundable.add(-value),
            OrderItem.unrefunded.add(-value),
            OrderItem.refunds.add({refund_request_id}),
        ],
        (OrderItem.unrefunded >= value) & known,
    )


def _moved(amount: Amount) -> int:
    """Minor units that a refund moves. Raises ValueError for none and fewer, which would book money the other way."""
    value = int(amount.value)
    if value <= 0:
        raise ValueError(f"a refund of {value}")
    return value


def _on_paid(payment_request_id: str, actions: list[Action], provided: Condition | None = None) -> Change:
    paid = OrderItem.status == Status.SUCCESS.value
    return Change(OrderItem(payment_request_id), paid if provided is None else paid & provided, actions)


def _keep_heard(order: Order) -> list[Action]:
    entries = [
        HeardEntry(  # type: ignore[no-untyped-call]
            said=heard.said,
            at=stored_instant(heard.at),
            times=heard.times if heard.times > 1 else None,
            until=stored_instant(heard.until) if heard.times > 1 else None,
        )
        for heard in order.heard
    ]
    return [OrderItem.heard.set(entries)] if entries else []


def _heard(entry: HeardEntry) -> Heard:
    return Heard(
        entry.said,
        datetime.fromisoformat(entry.at),
        int(entry.times or 1),
        datetime.fromisoformat(entry.until or entry.at),
    )


def order_in(image: dict[str, Any]) -> Order:
    """The order in an image of the table's stream, which is DynamoDB's JSON."""
    return _order(OrderItem.from_raw_data(image))


HEARD_OF_NOTHING = (OrderItem.absences, OrderItem.absentAt, OrderItem.cancelCode, OrderItem.cancelRefusedAt)
"""What Alipay said of a payment that it did not have."""


def _provided(order: Order, final: Final[Status], witness: Witness) -> Condition | None:
    """What settling the order needs besides INIT; an inquiry was asked after `order` was read."""
    needed: Condition | None = None
    if final.status in CROSSED_BY_CANCEL:
        certain = OrderItem.cancelDoubted.does_not_exist()
        if witness in ASKED_AFRESH and order.cancel_requested_at is None:
            # It was asked when no cancel was under way, and none was noted since: it tells what became of all of them.
            certain = certain | as_read(OrderItem.cancelAttempt, order.cancel_attempt)
        needed = OrderItem.cancelRequestedAt.does_not_exist() & certain
    elif witness is Witness.CANCEL and final.status is Status.FAIL:
        needed = OrderItem.absences >= ABSENCES_MIN  # Alipay may have come to know the payment since
    elif witness is Witness.CANCEL and order.never_sent:
        needed = OrderItem.neverSent == True  # noqa: E712 (a condition, not a test)
    return needed


def _refunded(item: OrderItem) -> int | None:
    """What was given back; None while it is nothing."""
    return int(item.amountValue) - int(item.unrefunded) or None if item.unrefunded is not None else None


def _order(item: OrderItem) -> Order:
    return Order(
        payment_request_id=item.paymentRequestId,
        status=Status(item.status),
        amount=Amount(item.currency, item.amountValue),
        reference_order_id=item.referenceOrderId,
        merchant_account_id=item.merchantAccountId,
        agreement_id=item.agreementId,
        payment_method_type=item.paymentMethodType,
        created_at=datetime.fromisoformat(item.createdAt),
        payment_expiry_time=item.paymentExpiryTime,
        identity=item.identity,
        token_digest=item.tokenDigest,
        pay_body_sha256=item.payBodySha256,
        attempt=item.attempt,
        attempted_at=datetime.fromisoformat(item.attemptedAt),
        never_sent=bool(item.neverSent),
        overdue_at=read_instant(item.overdueAt),
        look_at=read_instant(item.lookAt),
        polling_round=int(item.pollingRound),
        inquiries=int(item.inquiries),
        last_inquiry=item.lastInquiry,
        heard=tuple(_heard(entry) for entry in item.heard or ()),
        cancel_requested_at=read_instant(item.cancelRequestedAt),
        cancel_attempt=item.cancelAttempt,
        cancel_attempted_at=read_instant(item.cancelAttemptedAt),
        last_cancel=item.lastCancel,
        cancel_code=item.cancelCode,
        cancel_refused_at=read_instant(item.cancelRefusedAt),
        cancel_doubted=bool(item.cancelDoubted),
        absences=int(item.absences or 0),
        absent_at=read_instant(item.absentAt),
        crossed=frozenset(item.crossed or ()),
        unresolved_at=read_instant(item.unresolvedAt),
        settled_by=Witness(item.settledBy) if item.settledBy else None,
        settled_at=read_instant(item.settledAt),
        settle_token=item.settleToken,
        payment_id=item.paymentId,
        result_code=item.resultCode,
        result_message=item.resultMessage,
        payment_time=item.paymentTime,
        refundable=None if item.refundable is None else int(item.refundable),
        refunded=_refunded(item),
        refunds=frozenset(item.refunds or ()),
        contradictions=frozenset(item.contradictions or ()),
        told=told_in(item),
        acknowledged=acknowledged_in(item),
    )
