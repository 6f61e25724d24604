"""The order table: one row a payment, and the INIT guard.

Every change of status is one conditional write on `status = INIT`. The row is the idempotency record too; it is never
deleted. `openShard` and `lookAt` make a sparse index of the orders that are INIT and may have reached Alipay.
"""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import pynamodb.connection.base
from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.exceptions import DoesNotExist, PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model

from autodebit import aws
from autodebit.errors import OrderNotFound, TableFault
from autodebit.order import Amount, Order, Status, Witness, utc_text
from autodebit.outcome import Final
from autodebit.polling import first_look

# PynamoDB takes no session: it asks botocore for one, by this name.
pynamodb.connection.base.get_session = aws.session  # type: ignore[attr-defined]

OPEN_SHARDS = 32
"""Partitions of the index. At 1,000 payments a second each takes 63 writes a second of the 1,000 it bears.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
"""

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""`lookAt` of an order whose schedule is spent: out of the sweep's view, still in the alarm's."""


class OpenOrders(GlobalSecondaryIndex["OrderItem"]):  # type: ignore[no-untyped-call]
    """Orders that are INIT and may have reached Alipay, by the time they are to be looked at."""

    class Meta:
        index_name = "openOrders"
        projection = IncludeProjection(["pollingRound", "sentAt"])

    openShard = UnicodeAttribute(hash_key=True)
    lookAt = UnicodeAttribute(range_key=True)


class OrderItem(Model):
    """The row, in Alipay's spelling. Instants are UTC texts of fixed width."""

    class Meta:
        table_name = os.environ["ORDERS_TABLE"]
        # PynamoDB's own let one hung call last two minutes. With these both tries of a call end within 4 s, which is
        # what is left of API Gateway's 29 s when 25 s went into pay.
        connect_timeout_seconds = 0.4
        read_timeout_seconds = 1.5
        max_retry_attempts = 1

    paymentRequestId = UnicodeAttribute(hash_key=True)
    status = UnicodeAttribute()
    currency = UnicodeAttribute()
    amountValue = UnicodeAttribute()
    referenceOrderId = UnicodeAttribute()
    merchantAccountId = UnicodeAttribute(null=True)
    createdAt = UnicodeAttribute()
    paymentExpiryTime = UnicodeAttribute()

    fingerprint = UnicodeAttribute()
    payBodySha256 = UnicodeAttribute()
    sentBy = UnicodeAttribute()
    sentAt = UnicodeAttribute()
    unsent = BooleanAttribute(null=True)

    openShard = UnicodeAttribute(null=True)
    lookAt = UnicodeAttribute(null=True)
    pollingRound = NumberAttribute(default=0)
    inquiries = NumberAttribute(default=0)
    lastInquiry = UnicodeAttribute(null=True)

    settledBy = UnicodeAttribute(null=True)
    settledAt = UnicodeAttribute(null=True)
    settleToken = UnicodeAttribute(null=True)
    paymentId = UnicodeAttribute(null=True)
    resultCode = UnicodeAttribute(null=True)
    resultMessage = UnicodeAttribute(null=True)
    paymentTime = UnicodeAttribute(null=True)

    contradictions = UnicodeSetAttribute(null=True)

    open_orders = OpenOrders()


@dataclass(frozen=True, slots=True)
class Written:
    """What a conditional write came to: the order as it is stored now, and whether this attempt put it there."""

    order: Order
    won: bool


@dataclass(frozen=True, slots=True)
class OverdueOrder:
    """What the index tells of an order that nobody looked at in time."""

    payment_request_id: str
    polling_round: int
    look_at: str


class OrderTable:
    """The one class that reads and writes orders. Every method raises TableFault when the table does not answer."""

    def open(self, order: Order) -> Written:
        """Store a new order, unless its paymentRequestId is taken; then answer with what stands there."""
        item = OrderItem(
            order.payment_request_id,
            status=order.status.value,
            currency=order.amount.currency,
            amountValue=order.amount.value,
            referenceOrderId=order.reference_order_id,
            merchantAccountId=order.merchant_account_id,
            createdAt=_instant(order.created_at),
            paymentExpiryTime=order.payment_expiry_time,
            fingerprint=order.fingerprint,
            payBodySha256=order.pay_body_sha256,
            sentBy=order.sent_by,
            sentAt=_instant(order.sent_at),
            openShard=_shard(order.payment_request_id),
            lookAt=_instant(first_look(order.sent_at)),
        )
        try:
            with _faults():
                item.save(condition=OrderItem.paymentRequestId.does_not_exist())
        except _Refused:
            stored = self.get(order.payment_request_id)
            return Written(stored, won=stored.sent_by == order.sent_by)
        return Written(_order(item), won=True)

    def get(self, payment_request_id: str) -> Order:
        """The order as it is stored now (a consistent read). Raises OrderNotFound."""
        try:
            with _faults():
                return _order(OrderItem.get(payment_request_id, consistent_read=True))
        except DoesNotExist:
            raise OrderNotFound(payment_request_id) from None

    def settle(self, order: Order, final: Final, witness: Witness, at: datetime) -> Written:
        """Take the order out of INIT, if it is still there. Losing that race is an answer, not an error."""
        token = uuid4().hex
        result = [
            (OrderItem.resultCode, final.result_code),
            (OrderItem.resultMessage, final.result_message),
            (OrderItem.paymentId, final.payment_id),
            (OrderItem.paymentTime, final.payment_time),
        ]
        return self._change(
            order,
            [
                OrderItem.status.set(final.status.value),
                OrderItem.settledBy.set(witness.value),
                OrderItem.settledAt.set(_instant(at)),
                OrderItem.settleToken.set(token),
                OrderItem.openShard.remove(),
                OrderItem.lookAt.remove(),
                *(attribute.set(value) for attribute, value in result if value is not None),
            ],
            won=lambda stored: stored.settle_token == token,
        )

    def note_unsent(self, order: Order) -> Written:
        """Note that no byte of any pay left: nobody waits for this order until its request comes again."""
        return self._change(
            order,
            [OrderItem.unsent.set(True), OrderItem.openShard.remove(), OrderItem.lookAt.remove()],
            OrderItem.sentBy == order.sent_by,  # holds for a repetition too, whose first answer was lost
        )

    def take_over_unsent(
        self, order: Order, sent_by: str, at: datetime, payment_expiry_time: str, pay_body_sha256: str
    ) -> Written:
        """Start afresh with an order that never left, for the one attempt that is first."""
        return self._change(
            order,
            [
                OrderItem.sentBy.set(sent_by),
                OrderItem.sentAt.set(_instant(at)),
                OrderItem.paymentExpiryTime.set(payment_expiry_time),
                OrderItem.payBodySha256.set(pay_body_sha256),
                OrderItem.unsent.remove(),
                OrderItem.openShard.set(_shard(order.payment_request_id)),
                OrderItem.lookAt.set(_instant(first_look(at))),
            ],
            (OrderItem.sentBy == order.sent_by) & (OrderItem.unsent == True),  # noqa: E712 (a condition, not a test)
            won=lambda stored: stored.sent_by == sent_by,
        )

    def take_over_sending(self, order: Order, sent_by: str, at: datetime) -> Written:
        """Repeat the pay of an attempt that can no longer be running, for the one replay that is first."""
        return self._change(
            order,
            [OrderItem.sentBy.set(sent_by), OrderItem.sentAt.set(_instant(at))],
            (OrderItem.sentBy == order.sent_by) & OrderItem.unsent.does_not_exist(),
            won=lambda stored: stored.sent_by == sent_by,
        )

    def note_inquiry(self, order: Order, inquiry: int, said: str, look_at: datetime) -> Written:
        """Note what the order's `inquiry`th inquiry heard, and by when somebody will have looked again."""
        return self._change(
            order,
            [
                OrderItem.inquiries.set(inquiry),
                OrderItem.lastInquiry.set(said),
                OrderItem.lookAt.set(_instant(look_at)),
            ],
            OrderItem.openShard.exists(),
        )

    def note_watched(self, overdue: OverdueOrder, look_at: datetime) -> Written:
        """Note that an execution polls the order, which will have looked at it by `look_at`."""
        return self._change(
            overdue.payment_request_id,
            [OrderItem.lookAt.set(_instant(look_at))],
            OrderItem.lookAt == overdue.look_at,  # nobody has looked since the index was read
        )

    def open_round(self, overdue: OverdueOrder, look_at: datetime) -> Written:
        """Open the next polling round, once."""
        return self._change(
            overdue.payment_request_id,
            [OrderItem.pollingRound.set(overdue.polling_round + 1), OrderItem.lookAt.set(_instant(look_at))],
            OrderItem.lookAt == overdue.look_at,
        )

    def note_contradiction(self, order: Order, said: str) -> None:
        """Keep what an authentic message said against the order, whatever its status; a repetition adds nothing."""
        try:
            with _faults():
                OrderItem(order.payment_request_id).update(
                    actions=[OrderItem.contradictions.add({said})],
                    condition=OrderItem.paymentRequestId.exists(),
                )
        except _Refused:
            raise OrderNotFound(order.payment_request_id) from None

    def overdue(self, now: datetime, shards: Iterable[int] = range(OPEN_SHARDS)) -> Iterator[OverdueOrder]:
        """Orders whose `lookAt` has passed, shard by shard, the longest overdue first."""
        with _faults():
            for shard in shards:
                for item in OrderItem.open_orders.query(
                    f"{shard:02d}", OrderItem.lookAt <= _instant(now), page_size=100
                ):
                    yield OverdueOrder(item.paymentRequestId, int(item.pollingRound), item.lookAt)

    def init_since(self, before: datetime, most: int) -> int:
        """How many orders went out before `before` and are INIT still, spent ones among them; `most` at the most.

        The latest `lookAt` comes first: waits grow with age, so that old orders are found early.
        """
        found = 0
        with _faults():
            for shard in range(OPEN_SHARDS):
                for _ in OrderItem.open_orders.query(
                    f"{shard:02d}",
                    filter_condition=OrderItem.sentAt < _instant(before),
                    scan_index_forward=False,
                    limit=most - found,  # 0 asks nothing
                ):
                    found += 1
        return found

    def _change(
        self,
        order: Order | str,
        actions: list[Action],
        condition: Condition | None = None,
        won: Callable[[Order], bool] = lambda stored: False,
    ) -> Written:
        """One conditional write on an order that is INIT.

        A refusal may mean that another was first, or that this very write was applied, its answer lost, and the
        SDK's repetition refused: `won` tells the two apart by what is stored.
        """
        payment_request_id = order if isinstance(order, str) else order.payment_request_id
        guard = OrderItem.status == Status.INIT.value
        item = OrderItem(payment_request_id)
        try:
            with _faults():
                item.update(actions=actions, condition=guard & condition if condition is not None else guard)
        except _Refused:
            stored = self.get(payment_request_id)
            return Written(stored, won(stored))
        return Written(_order(item), won=True)


class _Refused(Exception):
    """The condition of a write did not hold."""


@contextmanager
def _faults() -> Iterator[None]:
    """PynamoDB's errors in our own words."""
    try:
        yield
    except DoesNotExist:
        raise
    except PynamoDBException as error:
        # PynamoDB's own cause_response_code fails on botocore's read timeouts, whose response is None.
        response = getattr(error.cause, "response", None) or {}
        code = response.get("Error", {}).get("Code") or type(error.cause).__name__
        if code == "ConditionalCheckFailedException":
            raise _Refused from error
        raise TableFault(f"{type(error).__name__} {code}") from error


def _shard(payment_request_id: str) -> str:
    return f"{zlib.crc32(payment_request_id.encode()) % OPEN_SHARDS:02d}"


def _instant(instant: datetime) -> str:
    return utc_text(instant, "milliseconds")


def _order(item: OrderItem) -> Order:
    return Order(
        payment_request_id=item.paymentRequestId,
        status=Status(item.status),
        amount=Amount(item.currency, item.amountValue),
        reference_order_id=item.referenceOrderId,
        merchant_account_id=item.merchantAccountId,
        created_at=datetime.fromisoformat(item.createdAt),
        payment_expiry_time=item.paymentExpiryTime,
        fingerprint=item.fingerprint,
        pay_body_sha256=item.payBodySha256,
        sent_by=item.sentBy,
        sent_at=datetime.fromisoformat(item.sentAt),
        unsent=bool(item.unsent),
        polling_round=int(item.pollingRound),
        inquiries=int(item.inquiries),
        last_inquiry=item.lastInquiry,
        settled_by=Witness(item.settledBy) if item.settledBy else None,
        settled_at=datetime.fromisoformat(item.settledAt) if item.settledAt else None,
        settle_token=item.settleToken,
        payment_id=item.paymentId,
        result_code=item.resultCode,
        result_message=item.resultMessage,
        payment_time=item.paymentTime,
        contradictions=frozenset(item.contradictions or ()),
    )
