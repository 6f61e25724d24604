"""Screens: rows in, what a person sees out. Pure; the time is an argument."""

from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from typing import Any

from autodebit.agreement.agreement import Agreement
from autodebit.alipay.amount import Amount
from autodebit.payment.order import Order
from autodebit.refund.refund import Refund
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops import documents
from ops.story import age, in_brief, last_heard, moment, story, what_next

WIDTH = 110
"""Of a screen that is not a terminal."""

STYLES = {"INIT": "yellow", "SUCCESS": "green", "LINKED": "green", "FAIL": "red", "FAILED": "red"}


def show(row: Order | Refund, refunds: Sequence[Refund], now: datetime, close_after_s: int) -> RenderableType:
    """One payment or refund on one screen. `refunds` are those of a payment."""
    happened = Table.grid(padding=(0, 2))
    for _ in range(3):
        happened.add_column(no_wrap=True)
    happened.add_column(style="dim")
    day = ""
    for entry in story(row):
        date, _, time = moment(entry.at).partition(" ") if entry.at else (day, "", "")
        happened.add_row("" if date == day else date, time, Text(entry.who), Text(f"{entry.what}. {entry.why}".strip()))
        day = date
    parts: list[RenderableType] = [_head(row, now), Text(), happened]
    if refunds:
        parts += [Text(), _refunds(refunds)]
    return Group(*parts, *_next(what_next(row, now, close_after_s, refunds)))


def _head(row: Order | Refund, now: datetime) -> Text:
    kind = "payment" if isinstance(row, Order) else "refund"
    head = Text.assemble((f"{kind} {row.key}  ", "bold"), (row.status.value, STYLES.get(row.status.value, "")))
    if row.is_init:
        head.append(f" for {age((now - row.created_at).total_seconds())}")
    head.append(f"  {_money(row.amount)}")
    if isinstance(row, Order):
        head.append(f"  reference {row.reference_order_id}")
    else:
        head.append(f"  of payment {row.payment_request_id}")
    alipays_id = row.payment_id if isinstance(row, Order) else row.refund_id
    return head.append(f"\nAlipay's id {alipays_id}") if alipays_id else head


def _next(steps: Sequence[str]) -> list[Text]:
    return [Text(), Text("What happens next", style="bold"), *(Text(f"  {step}") for step in steps)]


def _refunds(refunds: Sequence[Refund]) -> Table:
    table = _table("refund", "status", "amount", "code")
    for refund in refunds:
        table.add_row(refund.key, refund.status.value, _money(refund.amount), refund.result_code or "")
    return table


def waiting(rows: Sequence[Order | Refund], now: datetime) -> RenderableType:
    """Every row that is INIT or waits for a person: its age, what was heard last, what happens next."""
    if not rows:
        return Text("Nothing is open, and nothing waits for a person.")
    table = _table("id", "status", "age", "last heard", "what happens next")
    for row in rows:
        table.add_row(
            Text(row.key),
            Text(row.status.value, style=STYLES.get(row.status.value, "")),
            age((now - row.created_at).total_seconds()),
            Text(last_heard(row) if row.is_init else "contradicted"),
            Text(in_brief(row, now)),
        )
    return table


def agreements(found: Sequence[Agreement], now: datetime) -> RenderableType:
    """Agreements that somebody has to wait for, or whose token falls due."""
    if not found:
        return Text("No agreement is under way, and no token falls due.")
    table = _table("id", "status", "wallet", "since", "falls due", "last heard")
    for one in found:
        status = one.shown_status(now)
        table.add_row(
            Text(one.key),
            Text(status, style=STYLES.get(status, "")),
            one.customer_belongs_to,
            moment(one.linked_at or one.created_at),
            moment(one.due_at) if one.due_at else "",
            Text(one.refresh_refused or one.last_said or ""),
        )
    return table


def agreement(one: Agreement, now: datetime) -> RenderableType:
    """One agreement."""
    status = one.shown_status(now)
    table = Table.grid(padding=(0, 2))
    document = documents.agreement(one, now)
    steps = document.pop("next")
    for name, value in document.items():
        if name not in ("agreementId", "status"):
            table.add_row(name, Text(str(value)))
    head = Text.assemble((f"agreement {one.key}  ", "bold"), (status, STYLES.get(status, "")))
    return Group(head, Text(), table, *_next(steps))


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _money(amount: Amount) -> str:
    return f"{amount.currency} {amount.value} (minor units)"


def as_text(screen: Any, width: int = WIDTH) -> str:
    """A screen as plain text, without blanks at the ends of lines."""
    out = StringIO()
    Console(file=out, width=width, color_system=None, highlight=False).print(screen)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
