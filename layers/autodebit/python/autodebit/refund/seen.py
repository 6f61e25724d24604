"""A refund that succeeded at Alipay, as an inquiry of its payment or a report tells of it, and which of ours it is.

Some tell Alipay's own id of it, some the id of whoever asked for it, some both. Older reports repeat the payment's
request id on its refunds, and those of 2026 repeat the payment's id.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from autodebit.alipay.amount import Amount
from autodebit.payment.order import Order
from autodebit.refund.refund import Refund, Status


@dataclass(frozen=True, slots=True)
class Seen:
    """`amount` is in the payment's currency; ids that are not told are None."""

    refund_request_id: str | None
    refund_id: str | None
    amount: Amount
    refund_time: str | None = None

    @property
    def key(self) -> str | None:
        """The key of its row, if it is one that nobody asked for here."""
        return self.refund_request_id or self.refund_id

    def of(self, order: Order) -> "Seen":
        """The same without the ids that are the payment's, and not the refund's."""
        request_id = self.refund_request_id if self.refund_request_id != order.payment_request_id else None
        refund_id = self.refund_id if self.refund_id != order.payment_id else None
        return Seen(request_id, refund_id, self.amount, self.refund_time)

    def among(self, refunds: Iterable[Refund]) -> Refund | None:
        """The one of the payment's refunds that this is, or may be: what is in doubt must not be booked twice."""
        refunds = list(refunds)
        named = (refund for refund in refunds if self._is(refund))
        return next(named, None) or next((refund for refund in refunds if self._may_be(refund)), None)

    def _is(self, refund: Refund) -> bool:
        same_id = self.refund_id is not None and self.refund_id == refund.refund_id
        return self.refund_request_id == refund.key or same_id

    def _may_be(self, refund: Refund) -> bool:
        """Whether the amounts are the same, and each tells the id that the other does not."""
        gave_nothing_back = refund.status is Status.FAIL or (refund.is_init and refund.never_sent)
        if gave_nothing_back or refund.amount != self.amount:
            return False
        if self.refund_request_id is None:
            return refund.refund_id is None
        return self.refund_id is None and refund.key == refund.refund_id
