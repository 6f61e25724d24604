"""The same as the screens, for scripts: rows in, JSON documents out. Pure; the time is an argument."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from autodebit.agreement.agreement import Agreement, agreement_document
from autodebit.instants import utc_text
from autodebit.payment.order import Order, order_document
from autodebit.refund.refund import Refund, refund_document

from ops.story import agreement_next, last_heard, story, what_next


def row(row: Order | Refund, now: datetime, close_after_s: int, refunds: Sequence[Refund] = ()) -> dict[str, Any]:
    """A payment as GET shows it, its story and what happens next; `refunds` are those of a payment."""
    shown = {"order": order_document(row)} if isinstance(row, Order) else {"refund": refund_document(row)}
    document = {
        **shown,
        "lastHeard": last_heard(row) if row.is_init else None,
        "story": [entry.document for entry in story(row)],
        "next": what_next(row, now, close_after_s, refunds),
        "refunds": [refund_document(refund) for refund in refunds],
    }
    return {name: value for name, value in document.items() if value}


def agreement(agreement: Agreement, now: datetime) -> dict[str, Any]:
    """An agreement as GET shows it, and what the operator has to know besides. A token is never in it."""
    document = agreement_document(agreement, now)
    for name in ("qrCode", "userLoginId"):  # the one links a wallet, the other says whose it is
        document.pop(name, None)
    known = {
        "dueAt": utc_text(agreement.due_at) if agreement.due_at else None,
        "refreshRefused": agreement.refresh_refused,
        "lastHeard": agreement.last_said,
        "overdueAt": utc_text(agreement.overdue_at) if agreement.overdue_at else None,
        "next": agreement_next(agreement, now),
    }
    return document | {name: value for name, value in known.items() if value}
