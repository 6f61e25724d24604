"""What came of a comparison, for three readers: a program (`summary.json`), a spreadsheet (`differences.csv`) and the
person who has to act (`report.html`). Nothing of a buyer is in any of them: no name, no token, no description.
"""

import csv
import html
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TextIO

from autodebit.events import Event, event
from autodebit.instants import utc_text
from autodebit.reconciliation.compare import Difference, Name, Observed, Sum
from autodebit.reconciliation.reports import DECIMALS

SHOWN_MAX = 200
"""Differences of one name on the page. More have one fault behind them; `differences.csv` has them all."""

NEXT_STEP = {
    Name.MISSING_HERE: "Find out who sent this payment: it was paid, and no order here has its id.",
    Name.MISSING_THERE: "Ask merchant support: it succeeded here, and no report of its day or the next has it.",
    Name.AMOUNT: "Compare with the wallet's record and ask merchant support which amount was debited.",
    Name.CURRENCY: "Check the contract's currencies and ask merchant support what was debited.",
    Name.STATUS: "Read the order again. While it is INIT an inquiry settles it; otherwise ask merchant support.",
    Name.TWICE: "Ask merchant support whether the buyer was debited twice; if so, have one returned.",
    Name.REFUND_OBSERVED: (
        "Find out who refunded this in the portal. It counts against what is left once it is booked here: "
        "see the payment."
    ),
    Name.REFUND_RETURNED: "The buyer did not get this refund: the money came back. Pay it out another way.",
    Name.TOTAL: "Check that every part of the details is here; then ask merchant support for the batch.",
}
"""What a person does about each difference."""

_TITLE = {
    Name.MISSING_HERE: "In the file, unknown here",
    Name.MISSING_THERE: "Succeeded here, in no file",
    Name.AMOUNT: "Another amount",
    Name.CURRENCY: "Another currency",
    Name.STATUS: "Another status",
    Name.TWICE: "On two lines",
    Name.REFUND_OBSERVED: "Refund nobody asked for here",
    Name.REFUND_RETURNED: "Refund that came back",
    Name.TOTAL: "Totals that do not add up",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was concluded from a file."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What is told of one file. Amounts are in minor units."""

    file: str
    delivery: str
    """Its id: the same name may be delivered again."""
    sha256: str
    """Of the file's bytes: the same file under another name is the same file."""
    sequence: int
    """From 1: how many different files of this name there were."""
    finished_at: datetime
    report: str = ""
    edition: str = ""
    lines: int = 0
    days: Mapping[str, int] = field(default_factory=dict)
    unknown_columns: tuple[str, ...] = ()
    not_compared: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    sums: Mapping[tuple[str, str], Sum] = field(default_factory=dict)
    differences: Mapping[str, int] = field(default_factory=dict)
    new_differences: int = 0
    """Those that no earlier file of the same days had."""
    payments_to_inquire: tuple[str, ...] = ()
    refunds_to_inquire: tuple[str, ...] = ()
    """INIT here and decided there."""
    observed: tuple[Observed, ...] = ()
    """Refunds that nobody asked for here."""
    refusal: Refusal | None = None


NAMED_MAX = 500
"""Payments, refunds and observed refunds that the summary names: an event is small. `Reconciler.rest` has them all."""


def summary_document(summary: Summary) -> dict[str, Any]:
    """The summary as it is told and stored."""
    document: dict[str, Any] = {
        "file": summary.file,
        "status": "REFUSED" if summary.refusal else "DIFFERS" if summary.differences else "AGREES",
        "delivery": summary.delivery,
        "sha256": summary.sha256,
        "sequence": summary.sequence,
        "finishedAt": utc_text(summary.finished_at),
    }
    if summary.refusal:
        refusal = {"file": summary.refusal.file, "line": summary.refusal.line, "reason": summary.refusal.reason}
        return document | {"refusal": refusal}
    return document | {
        "report": summary.report,
        "edition": summary.edition,
        "lines": summary.lines,
        "days": dict(summary.days),
        "unknownColumns": list(summary.unknown_columns),
        "notCompared": dict(summary.not_compared),
        "pending": summary.pending,
        "sums": [
            {
                "type": type_,
                "currency": currency,
                "linesThere": one.count_there,
                "amountThere": str(one.amount_there),
                "recordsHere": one.count_here,
                "amountHere": str(one.amount_here),
            }
            for (type_, currency), one in sorted(summary.sums.items())
        ],
        "differences": {name.value: summary.differences.get(name, 0) for name in Name},
        "differencesTotal": sum(summary.differences.values()),
        "newDifferences": summary.new_differences,
        "inquired": {
            "payments": list(summary.payments_to_inquire[:NAMED_MAX]),
            "refunds": list(summary.refunds_to_inquire[:NAMED_MAX]),
        },
        "observed": [observed_document(one) for one in summary.observed[:NAMED_MAX]],
    }


def observed_document(one: Observed) -> dict[str, Any]:
    """A refund that nobody asked for here, as it is told and stored."""
    return {
        "refundRequestId": one.refund_request_id,
        "paymentRequestId": one.payment_request_id,
        **({"refundId": one.refund_id} if one.refund_id else {}),
        "refundAmount": {"currency": one.currency, "value": str(one.amount)},
    }


def finished(document: dict[str, Any]) -> Event:
    """What is told of a summary, the same to the byte however often."""
    at = datetime.fromisoformat(document["finishedAt"])
    return event(document["file"], document["sequence"], "ReconciliationFinished", at, {"reconciliation": document})


def write_differences(file: TextIO, differences: Iterable[Difference]) -> dict[str, list[Difference]]:
    """Write them all as CSV, into a file opened with `newline=""`; the first SHOWN_MAX of each name come back."""
    shown: dict[str, list[Difference]] = {}
    rows = csv.writer(file)
    rows.writerow(_HEADER)
    for difference in differences:
        of_name = shown.setdefault(difference.name, [])
        if len(of_name) < SHOWN_MAX:
            of_name.append(difference)
        rows.writerow(map(_safe, _row(difference)))
    return shown


def page(document: dict[str, Any], shown: dict[str, list[Difference]]) -> str:
    """`report.html` of a summary's document: readable without a network, no script, font or picture from elsewhere."""
    title = html.escape(f"Reconciliation of {document['file']}")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{title}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{title}</h1>",
            *(_refused(document) if document["status"] == "REFUSED" else _compared(document, shown)),
            f'<p class="soft end">Finished at {document["finishedAt"]}. SHA-256 of the file: '
            f"<code>{document['sha256']}</code></p></body></html>\n",
        ]
    )


def major_units(amount: int | None, currency: str) -> str:
    """`1990` HKD as `19.90`; empty for None."""
    if amount is None:
        return ""
    return format(Decimal(amount).scaleb(-DECIMALS.get(currency, 0)), "f")


_HEADER = (
    *("difference", "type", "requestId", "paymentRequestId", "transactionId", "file", "line", "day"),
    *("currencyThere", "amountThere", "statusThere", "currencyHere", "amountHere", "statusHere", "nextStep"),
)


def _row(difference: Difference) -> tuple[str, ...]:
    """A difference as texts, amounts in major units as in Alipay's files."""
    return (
        difference.name,
        difference.type,
        difference.request_id,
        difference.payment_request_id,
        difference.transaction_id,
        difference.file,
        str(difference.line or ""),
        difference.day,
        difference.currency_there,
        major_units(difference.amount_there, difference.currency_there),
        difference.status_there,
        difference.currency_here,
        major_units(difference.amount_here, difference.currency_here),
        difference.status_here,
        NEXT_STEP[Name(difference.name)],
    )


def _safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: https://owasp.org/www-community/attacks/CSV_Injection

    Negative amounts stay numbers.
    """
    if cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not cell.removeprefix("-").replace(".", "", 1).isdigit():
        return f"'{cell}"
    return cell


_STYLE = """
:root { color-scheme: light dark; --line: #d5d9de; --soft: #5c6670; --bad: #b3261e; --good: #1a7f4b; --tint: #f4f6f8 }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4047; --soft: #a2abb4; --bad: #ff8a80; --good: #6fd6a1; --tint: #1d2126 }
}
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 78rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .25rem }
p { margin: .25rem 0 .75rem }
ul { margin: .5rem 0; padding-left: 1.25rem }
a { color: inherit }
.end { margin-top: 2.5rem; font-size: .86em; overflow-wrap: anywhere }
.verdict { font-size: 1.1rem; font-weight: 600 }
.AGREES { color: var(--good) } .DIFFERS, .REFUSED { color: var(--bad) }
.soft, .next { color: var(--soft) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 600; white-space: nowrap; color: var(--soft) }
.number { text-align: right; white-space: nowrap }
code { font: .86em/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
.unequal { color: var(--bad); font-weight: 600 }
@media print { body { padding: 0; max-width: none } tr { break-inside: avoid } }
"""


def _refused(document: dict[str, Any]) -> Iterator[str]:
    refusal = document["refusal"]
    yield '<p class="verdict REFUSED">The file was refused. Nothing was concluded from it.</p>'
    file, reason = html.escape(refusal["file"]), html.escape(refusal["reason"])
    yield f"<p><code>{file}</code>, line {refusal['line']}: {reason}</p>"
    yield '<p class="next">Fetch the file again. If it is refused again, ask merchant support for a correct one.</p>'


def _compared(document: dict[str, Any], shown: dict[str, list[Difference]]) -> Iterator[str]:
    total = document["differencesTotal"]
    verdict = "Everything agrees." if not total else f"{total:,} difference{'s' if total > 1 else ''}."
    yield f'<p class="verdict {document["status"]}">{verdict}</p>'
    days = sorted(document["days"])
    period = f", {days[0]} to {days[-1]} (UTC+8)" if len(days) > 1 else f", {days[0]} (UTC+8)" if days else ""
    edition = f", {document['edition']} edition" if document["edition"] else ""
    yield f'<p class="soft">{document["lines"]:,} lines, {document["report"]}{edition}{period}.</p>'
    yield from _notes(document)
    if total:
        counts = ((name, document["differences"][name.value]) for name in Name)
        names = (f'<li><a href="#{name.value}">{_TITLE[name]}</a>: {count:,}</li>' for name, count in counts if count)
        yield f"<ul>{''.join(names)}</ul>"
    yield from _sums(document["sums"])
    for name in Name:
        count = document["differences"][name.value]
        if count:
            yield from _section(name, count, shown.get(name.value, []))


def _notes(document: dict[str, Any]) -> Iterator[str]:
    inquired = sum(map(len, document["inquired"].values()))
    if inquired:
        more = " or more" if NAMED_MAX in map(len, document["inquired"].values()) else ""
        yield f"<p>{inquired}{more} undecided here and decided there: inquired at once.</p>"
    if document["pending"]:
        yield f"<p>{document['pending']:,} lines have no settlement amount yet; it comes a day later.</p>"
    if document["unknownColumns"]:
        columns = ", ".join(f"<code>{html.escape(column)}</code>" for column in document["unknownColumns"])
        yield f"<p>Columns that are not known and were not read: {columns}.</p>"


def _sums(sums: list[dict[str, Any]]) -> Iterator[str]:
    yield "<h2>Sums</h2>"
    yield '<div class="scroll"><table><thead><tr><th>Type</th><th>Currency</th><th class="number">Lines there</th>'
    yield '<th class="number">Amount there</th><th class="number">Records here</th>'
    yield '<th class="number">Amount here</th></tr></thead><tbody>'
    for one in sorted(sums, key=lambda one: (one["type"] not in ("PAYMENT", "REFUND"), one["type"], one["currency"])):
        compared = one["type"] in ("PAYMENT", "REFUND")
        unequal = " unequal" if compared and one["amountThere"] != one["amountHere"] else ""
        here = (f"{one['recordsHere']:,}", _grouped(int(one["amountHere"]), one["currency"])) if compared else ("", "")
        yield (
            f"<tr><td>{html.escape(one['type'])}</td><td>{html.escape(one['currency'])}</td>"
            f'<td class="number">{one["linesThere"]:,}</td>'
            f'<td class="number{unequal}">{_grouped(int(one["amountThere"]), one["currency"])}</td>'
            f'<td class="number">{here[0]}</td><td class="number{unequal}">{here[1]}</td></tr>'
        )
    yield "</tbody></table></div>"


def _section(name: Name, count: int, differences: list[Difference]) -> Iterator[str]:
    yield f'<h2 id="{name.value}">{_TITLE[name]} <span class="soft">{name.value}, {count:,}</span></h2>'
    yield f'<p class="next">{NEXT_STEP[name]}</p>'
    if differences:
        yield '<div class="scroll"><table><thead><tr><th>Transaction</th><th>Line</th><th>Day</th>'
        yield '<th class="number">There</th><th class="number">Here</th></tr></thead><tbody>'
        yield from (_difference_row(difference) for difference in differences)
        yield "</tbody></table></div>"
    if len(differences) < count:
        yield f'<p class="soft">{count - len(differences):,} more are in <code>differences.csv</code>.</p>'


def _difference_row(difference: Difference) -> str:
    ids = dict.fromkeys(filter(None, (difference.request_id, difference.transaction_id)))
    shown = "<br>".join(f"<code>{html.escape(one)}</code>" for one in ids)
    there = _side(difference.amount_there, difference.currency_there, difference.status_there)
    here = _side(difference.amount_here, difference.currency_here, difference.status_here)
    return (
        f"<tr><td>{html.escape(difference.type)}<br>{shown}</td><td>{difference.line or ''}</td>"
        f'<td>{difference.day}</td><td class="number">{there}</td><td class="number">{here}</td></tr>'
    )


def _side(amount: int | None, currency: str, status: str) -> str:
    if amount is None:
        return '<span class="soft">nothing</span>'
    return f"{_grouped(amount, currency)} {html.escape(currency)}<br>{html.escape(status)}"


def _grouped(amount: int, currency: str) -> str:
    return format(Decimal(amount).scaleb(-DECIMALS.get(currency, 0)), ",f")
