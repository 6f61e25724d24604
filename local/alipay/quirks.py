"""How report files are written, with the oddities that were documented or met in the field.

https://docs.antom.com/ac/reconcile/perform
"""

import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import xlsxwriter

Table = list[list[str]]

QUIRKS = (
    *("bom", "gbk", "crlf", "mixed-lines", "surplus-commas", "odd-offset", "blank-for-t", "columns-shuffled"),
    *("refund-repeats-request-id", "pending-fees", "no-fees", "more-columns", "correction-line", "minor-units"),
    *("two-parts", "connect-wallet", "empty-batch", "no-end", "cut-off"),
)
"""docs/simulator.md says what each does. With `minor-units`, `no-end` or `cut-off` nobody should believe the file."""

_TIMES = ("paymentTime", "settlementTime", "transactionCreationTime", "transactionUpdateTime")
_ODD_OFFSET = timezone(timedelta(hours=8, minutes=30))


def file_names(name: str, table: Table, quirks: frozenset[str]) -> Iterator[tuple[str, Table]]:
    """The files that this table becomes: one, or two parts."""
    if "connect-wallet" in quirks:
        kind, _, rest = name.partition("_")
        name = f"{kind}_CONNECTWALLET_{rest}"
    if "two-parts" in quirks and not name.startswith("settlementSummary"):
        header, rows, end = table[0], table[1:-1], table[-1]
        half = (len(rows) + 1) // 2
        yield name, [header, *rows[:half], end]
        yield re.sub("_000$", "_001", name), [header, *rows[half:], end]
    else:
        yield name, table


def write(path: Path, table: Table, quirks: frozenset[str]) -> None:
    """Write the table in the format that the path's suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = _bent([list(row) for row in table], quirks)
    if path.suffix == ".xlsx":
        _write_xlsx(path, table)
    else:
        path.write_bytes(_csv(table, quirks))


def _bent(table: Table, quirks: frozenset[str]) -> Table:
    header, rows, end = table[0], table[1:-1], table[-1]
    place = {column: number for number, column in enumerate(header)}
    fees = [number for column, number in place.items() if "Fee" in column or column.startswith("fee")]
    for row in rows:
        if "odd-offset" in quirks:
            for number in (place[column] for column in _TIMES if column in place and row[place[column]]):
                row[number] = datetime.fromisoformat(row[number]).astimezone(_ODD_OFFSET).isoformat()
        if "blank-for-t" in quirks and "settlementTime" in place:
            row[place["settlementTime"]] = row[place["settlementTime"]].replace("T", " ")
        if "refund-repeats-request-id" in quirks and row[place.get("transactionType", 0)] == "REFUND":
            _repeat_request_id(row, place, rows)
        if "pending-fees" in quirks and "summaryType" not in place:
            for number in (*fees, *(place[name] for name in ("settlementAmountValue", "quotePrice") if name in place)):
                row[number] = ""
        if "minor-units" in quirks and "summaryType" in place:
            number = place["settlementAmountValue"]
            row[number] = f"{Decimal(row[number]).scaleb(2):.0f}"
    if "correction-line" in quirks and "summaryType" in place and rows:
        correction = dict.fromkeys(header, "") | {"settlementBatchId": rows[0][place["settlementBatchId"]]}
        correction |= {"summaryType": "default", "count": "1", "settlementAmountValue": "0.00"}
        correction["settlementCurrency"] = rows[0][place["settlementCurrency"]]
        rows.append([correction[column] for column in header])
    if "more-columns" in quirks:
        header.append("acquirerMarkupAmountValue")
        for row in rows:
            row.append("")
    if "no-fees" in quirks:
        kept = [number for number in range(len(header)) if number not in fees]
        header, *rows = ([row[number] for number in kept] for row in (header, *rows))
    if "columns-shuffled" in quirks:
        header, *rows = (row[::-1] for row in (header, *rows))
    return [header, *rows, *([] if "no-end" in quirks else [end])]


def _repeat_request_id(row: list[str], place: dict[str, int], rows: Table) -> None:
    """A refund's line repeats the request id of its payment, as a documented sample does."""
    if "originalTransactionId" in place:
        original = row[place["originalTransactionId"]]
        for other in rows:
            if other[place["transactionId"]] == original:
                row[place["transactionRequestId"]] = other[place["transactionRequestId"]]


def _csv(table: Table, quirks: frozenset[str]) -> bytes:
    text = io.StringIO()
    for number, row in enumerate(table):
        odd = number % 2 == 1
        end = "\r\n" if "crlf" in quirks or ("mixed-lines" in quirks and odd) else "\n"
        more = [""] if "surplus-commas" in quirks and odd else []
        csv.writer(text, lineterminator=end).writerow([*row, *more])
    body = text.getvalue().encode("gbk" if "gbk" in quirks else "utf-8-sig" if "bom" in quirks else "utf-8")
    return body[: len(body) * 2 // 3] if "cut-off" in quirks else body


def _write_xlsx(path: Path, table: Table) -> None:
    """Every cell is text, as in the downloads."""
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(table):
            for column, cell in enumerate(row):
                sheet.write_string(number, column, cell)
