"""The same as the screens, for scripts: rows in, JSON documents out. Pure; the time is an argument."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from autodebit.payment.order import Order, order_document
from autodebit.refund.refund import Refund, refund_document

from ops.story import last_heard, story, what_next


def row(row: Order | Refund, now: datetime, close_after_s: int, refunds: Sequence[Refund] = ()) -> dict[str, Any]:
    """A payment as GET shows it, its story and what happens next; `refunds` are those of a payment."""
    shown = {"order": order_document(row)} if isinstance(row, Order) else {"refund": refund_document(row)}
    document = {
        **shown,
        "lastHeard": last_heard(row) if row.is_init else None,
        "story": [entry.document for entry in story(row)],
        "next": what_next(row, now, close_after_s),
        "refunds": [refund_document(refund) for refund in refunds],
    }
    return {name: value for name, value in document.items() if value}
