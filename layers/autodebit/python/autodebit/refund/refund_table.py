"""The refund table: one row a refund, and the sum that never exceeds what was paid.

Storing a refund reserves its amount on the order in the same transaction; the write that settles it FAIL gives it back
in one, too. The order knows its refunds by these writes. The row is the idempotency record, and is never deleted.
"""

import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

from pynamodb.attributes import BooleanAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.indexes import IncludeProjection, KeysOnlyProjection
from pynamodb.models import Model

from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.errors import RefundNotFound
from autodebit.events import Told
from autodebit.payment.order import Order
from autodebit.payment.order_table import give_back, note_observed, note_refunded, reserve
from autodebit.polling import sending_overdue_at
from autodebit.refund.refund import Refund, SettledRefund, Status, Witness
from autodebit.refund.transitions import CONTRADICTED, OBSERVED, TOLD, TRANSITIONS, UNRESOLVED
from autodebit.rows.attention import AttentionIndex, acknowledged_in
from autodebit.rows.days import DayIndex, settled_day, settled_on
from autodebit.rows.guard import Written
from autodebit.rows.settling import SettlingItem, SettlingRows
from autodebit.rows.table import Timeouts, read_instant, stored_instant
from autodebit.rows.told import tell, told_entry, told_in
from autodebit.rows.transaction import Change, together
from autodebit.rows.watch import WatchIndex, watch_shard, watched_from

RELEASED = "Never sent. Another refund of the payment took the amount."
"""The message of a refund whose reservation was released."""


class WatchedRefunds(WatchIndex["RefundItem"]):  # type: ignore[no-untyped-call]
    """Refunds that are INIT and may have reached Alipay, by the time by which somebody must have looked."""

    class Meta:
        index_name = "watched"
        projection = IncludeProjection(["pollingRound", "attemptedAt"])


class RefundsForAPerson(AttentionIndex["RefundItem"]):  # type: ignore[no-untyped-call]
    """Refunds that a person has to look at."""

    class Meta:
        index_name = "attention"
        projection = KeysOnlyProjection()


class SettledRefunds(DayIndex["RefundItem"]):  # type: ignore[no-untyped-call]
    """Refunds that have their result, by its day: what reconciliation needs of them."""

    class Meta:
        index_name = "settled"
        projection = IncludeProjection(["status", "currency", "amountValue", "refundId", "paymentRequestId"])


class RefundItem(SettlingItem, Model):
    """The row, in Alipay's spelling."""

    class Meta(Timeouts):
        table_name = os.environ["REFUNDS_TABLE"]

    refundRequestId = UnicodeAttribute(hash_key=True)
    paymentRequestId = UnicodeAttribute()
    observed = BooleanAttribute(null=True)
    body = UnicodeAttribute(null=True)
    inProcess = UnicodeAttribute(null=True)

    refundId = UnicodeAttribute(null=True)
    refundTime = UnicodeAttribute(null=True)

    watched = WatchedRefunds()
    attention = RefundsForAPerson()
    settled = SettledRefunds()


class RefundTable(SettlingRows[Refund]):
    """The one class that reads and writes refunds."""

    def __init__(self) -> None:
        super().__init__(RefundItem, "refundRequestId", _refund, RefundNotFound, CONTRADICTED, UNRESOLVED)

    def create(self, refund: Refund) -> Refund | None:
        """Store a new refund and reserve its amount on the order: the refund that stands there now, this one or an
        earlier one of its id. None if the order refuses: it is not SUCCESS, or less is left.
        """
        item = _item(refund)
        item.watchShard = watch_shard(refund.refund_request_id)
        item.overdueAt = stored_instant(sending_overdue_at(refund.attempted_at))
        return self._store(item, refund.attempt, reserve(refund.payment_request_id, refund.amount, refund.key))

    def observe(self, refund: Refund, order: Order) -> Refund | None:
        """Keep, book and tell a refund of the order that nobody asked for here: the refund that stands there now, this
        one or an earlier one of its id. None if the order has changed since it was read, or has not that much left.
        It is of no day: it came from Alipay.
        """
        item = _item(refund)
        item.settledBy, item.settledAt = refund.settled_by, stored_instant(refund.created_at)
        item.refundId, item.refundTime = refund.refund_id, refund.refund_time
        item.told, item.tells = [told_entry(Told(OBSERVED, refund.created_at))], True
        return self._store(item, refund.attempt, note_observed(order, refund.amount, refund.key))

    def _store(self, item: RefundItem, token: str, on_order: Change) -> Refund | None:
        failed = together(token, [Change(item, RefundItem.refundRequestId.does_not_exist()), on_order])
        return None if failed == {1} else self.get(item.refundRequestId)

    def settle(self, refund: Refund, final: Final[Status], witness: Witness, at: datetime) -> Written[Refund]:
        """Take the refund out of INIT, if it is still there, and book it on its order in the same transaction.

        It stays INIT if it would give back more than others have left. ValueError if this witness may not report that.
        """
        return self._settle(refund, final, witness, at, RefundItem.status == Status.INIT.value)

    def release(self, refund: Refund, at: datetime) -> Written[Refund]:
        """Fail a refund that never left, if nobody has begun to send it since it was read, and give back its amount."""
        return self._settle(
            refund,
            Final(Status.FAIL, result_message=RELEASED),
            Witness.REFUND,
            at,
            (RefundItem.status == Status.INIT.value)
            & (RefundItem.neverSent == True)  # noqa: E712 (a condition, not a test)
            & (RefundItem.attempt == refund.attempt),
        )

    def _settle(
        self, refund: Refund, final: Final[Status], witness: Witness, at: datetime, leaves: Condition
    ) -> Written[Refund]:
        if witness not in TRANSITIONS.get((Status.INIT, final.status), ()):
            raise ValueError(f"{witness} does not make a refund {final.status}")
        token = uuid4().hex
        result = [
            (RefundItem.resultCode, final.result_code),
            (RefundItem.resultMessage, final.result_message),
            (RefundItem.refundId, final.transaction_id),
            (RefundItem.refundTime, final.transaction_time),
        ]
        book = note_refunded if final.status is Status.SUCCESS else give_back
        failed = together(
            token,
            [
                Change(
                    RefundItem(refund.refund_request_id),
                    leaves,
                    [
                        RefundItem.status.set(final.status.value),
                        RefundItem.settledBy.set(witness.value),
                        RefundItem.settledAt.set(stored_instant(at)),
                        RefundItem.settledDay.set(settled_day(refund.key, at, final.transaction_time)),
                        RefundItem.settleToken.set(token),
                        *tell(RefundItem, Told(TOLD[final.status], at)),
                        *self.unwatched,
                        *(attribute.set(value) for attribute, value in result if value is not None),
                    ],
                ),
                book(refund.payment_request_id, refund.amount),
            ],
        )
        if 1 in failed and final.status is Status.FAIL:
            raise ValueError(f"refund {refund.key} is of no payment that is SUCCESS")
        stored = self.get(refund.refund_request_id)
        return Written(stored, won=stored.settle_token == token)

    def note_never_sent(self, refund: Refund) -> Written[Refund]:
        """Note that no byte of any call left: nobody waits for this refund until its request comes again."""
        return self.change(
            refund.key,
            [RefundItem.neverSent.set(True), *self.unwatched],
            RefundItem.attempt == refund.attempt,  # holds for a repetition too, whose first answer was lost
        )

    def note_in_process(self, refund: Refund, said: str) -> Written[Refund]:
        """Note that Alipay has the refund in process: nobody sends it again."""
        return self.change(refund.key, [_in_process(said)])

    def take_over(self, refund: Refund, attempt: str, at: datetime) -> Written[Refund]:
        """Send what never left, or repeat what a dead attempt may have sent; for the one who is first.

        Where nobody looks at the refund any more, this begins a round of its own.
        """
        unwatched = refund.overdue_at is None or refund.is_spent
        return self.change(
            refund.key,
            [
                RefundItem.attempt.set(attempt),
                RefundItem.attemptedAt.set(stored_instant(at)),
                RefundItem.neverSent.remove(),
                *(watched_from(RefundItem, refund.key, sending_overdue_at(at)) if unwatched else []),
                *([RefundItem.pollingRound.add(1)] if refund.is_spent else []),
            ],
            (RefundItem.attempt == refund.attempt) & RefundItem.inProcess.does_not_exist(),
            ours=lambda stored: stored.attempt == attempt,
        )

    def note_inquiry(
        self, refund: Refund, said: str, overdue_at: datetime, *, in_process: bool = False
    ) -> Written[Refund]:
        """Note what one more inquiry heard, and by when somebody will have looked again."""
        return self.change(
            refund.key,
            [
                RefundItem.inquiries.set(refund.inquiries + 1),
                RefundItem.lastInquiry.set(said),
                RefundItem.overdueAt.set(stored_instant(overdue_at)),
                *([_in_process(said)] if in_process else []),
            ],
            RefundItem.watchShard.exists(),
        )

    def of_order(self, order: Order) -> list[Refund]:
        """The refunds of a payment as they are stored now, oldest first: all that the order knew when it was read."""
        return sorted(self.get_many(order.refunds), key=lambda refund: (refund.created_at, refund.key))

    def settled_on(self, day: str) -> Iterator[SettledRefund]:
        """The refunds whose result is of this day (`2026-11-22`, UTC+8), as the index has them: eventually."""
        for item in settled_on(RefundItem.settled, day):
            yield SettledRefund(
                refund_request_id=item.refundRequestId,
                payment_request_id=item.paymentRequestId,
                refund_id=item.refundId,
                status=Status(item.status),
                amount=Amount(item.currency, item.amountValue),
            )


def _in_process(said: str) -> Action:
    return RefundItem.inProcess.set(RefundItem.inProcess | said)


def _item(refund: Refund) -> RefundItem:
    return RefundItem(
        refund.refund_request_id,
        paymentRequestId=refund.payment_request_id,
        status=refund.status.value,
        currency=refund.amount.currency,
        amountValue=refund.amount.value,
        merchantAccountId=refund.merchant_account_id,
        createdAt=stored_instant(refund.created_at),
        observed=refund.observed or None,
        body=refund.body or None,
        attempt=refund.attempt,
        attemptedAt=stored_instant(refund.attempted_at),
    )


def refund_in(image: dict[str, Any]) -> Refund:
    """The refund in an image of the table's stream, which is DynamoDB's JSON."""
    return _refund(RefundItem.from_raw_data(image))


def _refund(item: RefundItem) -> Refund:
    return Refund(
        refund_request_id=item.refundRequestId,
        payment_request_id=item.paymentRequestId,
        status=Status(item.status),
        amount=Amount(item.currency, item.amountValue),
        merchant_account_id=item.merchantAccountId,
        created_at=datetime.fromisoformat(item.createdAt),
        observed=bool(item.observed),
        body=item.body or "",
        attempt=item.attempt,
        attempted_at=datetime.fromisoformat(item.attemptedAt),
        never_sent=bool(item.neverSent),
        in_process=item.inProcess,
        overdue_at=read_instant(item.overdueAt),
        polling_round=int(item.pollingRound),
        inquiries=int(item.inquiries),
        last_inquiry=item.lastInquiry,
        settled_by=Witness(item.settledBy) if item.settledBy else None,
        settled_at=read_instant(item.settledAt),
        settle_token=item.settleToken,
        refund_id=item.refundId,
        result_code=item.resultCode,
        result_message=item.resultMessage,
        refund_time=item.refundTime,
        contradictions=frozenset(item.contradictions or ()),
        told=told_in(item),
        acknowledged=acknowledged_in(item),
    )
