"""Alipay's report files, read line by line: columns by name, amounts in minor units, days in UTC+8.

A file is believed as a whole or not at all: whoever reads one gets every line up to `<END>`, or ReportRefused with the
line and the reason. Nothing may be concluded from the lines that came before.

Sources: https://docs.antom.com/ac/reconcile/field_summary (2026 edition) ·
https://global.alipay.com/docs/ac/ams/transactionitems_online (the edition before it)
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from typing import BinaryIO, NamedTuple, NoReturn

from autodebit.instants import alipay_day

ENCODINGS = ("utf-8", "gbk")
"""What a file may be declared as. Nothing is guessed: bytes that do not fit the declaration refuse the file."""

LINE_BYTES_MAX = 1_000_000
"""A longer line is no line of a report: it would be held in memory as a whole."""

COLUMNS_MAX = 100
TYPES_MAX = 100
"""More unknown columns are not named; more types of transactions are no report."""

END = "<END>"

DECIMALS = {
    **dict.fromkeys(("CLP", "JPY", "KRW", "VND"), 0),
    **dict.fromkeys(("AUD", "BDT", "BRL", "CAD", "CNY", "EUR", "GBP", "HKD", "IDR", "MXN", "MYR", "NZD"), 2),
    **dict.fromkeys(("PEN", "PHP", "PKR", "PLN", "SGD", "THB", "TWD", "USD"), 2),
}
"""Decimals of each currency's minor unit: https://docs.antom.com/ac/ref/cc"""


class ReportRefused(Exception):
    """The file cannot be trusted as a whole: nothing is concluded from it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Edition(StrEnum):
    """SFTP goes on delivering the edition it was ordered with; the Dashboard moved to the one of 2026."""

    OLD = "old"
    NEW = "2026"


class Kind(StrEnum):
    """The three reports."""

    TRANSACTIONS = "transaction details"
    SETTLEMENT = "settlement details"
    SUMMARY = "settlement summary"


class Line(NamedTuple):
    """One transaction of a details report. Texts are empty where the file says nothing."""

    file: str
    number: int
    """Of the line in the file, from 1; the header counts."""
    type: str
    """`transactionType`, as it stands."""
    request_id: str
    """`paymentRequestId` or `refundRequestId`. Older files may repeat the payment's on its refunds."""
    original_request_id: str
    """`paymentRequestId` of the payment that a refund or a cancel belongs to."""
    payment_id: str
    refund_id: str
    """Only in older files; in those of 2026 a refund's `transactionId` is its payment's."""
    currency: str
    amount: int
    """In the currency's minor unit; refunds are negative."""
    status: str
    """`SUCCESS` in older files, which list nothing else."""
    day: str
    """The transaction's day, UTC+8; empty if the file gives no time."""
    batch_id: str
    settlement_currency: str
    settlement_amount: int | None
    """None while it is not known: fees and rates may come a day after the transaction."""

    @property
    def payment_request_id(self) -> str:
        """Of the order that a payment or a cancel is about."""
        return self.request_id if self.type == "PAYMENT" else self.original_request_id or self.request_id


class Total(NamedTuple):
    """One line of a settlement summary."""

    file: str
    number: int
    batch_id: str
    type: str
    """`summaryType`: PAYMENT, REFUND, ..., TOTAL; `default` is a correction."""
    transactions: int | None
    """`count`, where it says one."""
    currency: str
    amount: int
    """In the currency's minor unit."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report whose header is read. Its lines are read once, by iterating over `lines` or `totals`."""

    name: str
    kind: Kind
    edition: Edition
    unknown_columns: tuple[str, ...]
    """Columns that no edition we know has. They are no reason to refuse: fee columns come and go."""
    lines: Iterator[Line]
    """Empty for a summary."""
    totals: Iterator[Total]
    """Empty for details."""


Rows = Iterator[tuple[int, list[str]]]
"""Rows of cells, each with the number of its line."""


def read_csv(name: str, source: BinaryIO, encoding: str = "utf-8") -> Report:
    """The report in a CSV file. Raises ReportRefused, here or while its lines are read.

    `encoding` is one of ENCODINGS, as whoever delivered the file declared it; a byte order mark is no part of the text.
    """
    return read_rows(name, _csv_rows(source, encoding))


def read_rows(name: str, rows: Rows) -> Report:
    """The report whose rows these are, the header first. Raises ReportRefused, here or while its lines are read."""
    first = next(((number, cells) for number, cells in rows if any(cells)), None)
    if first is None:
        raise ReportRefused(1, "the file is empty")
    number, header = first
    body = _body(rows, header)
    line: tuple[int, list[str]] | None = None
    if {cell.strip() for cell in header} >= _OF_EITHER:
        line = next(body, None)
        body = chain([line] if line else [], body)
    layout = _layout(name, number, header, line[1] if line else [])
    empty: Iterator[NoReturn] = iter(())
    if layout.kind is Kind.SUMMARY:
        return Report(name, layout.kind, layout.edition, layout.unknown, empty, _totals(name, layout, body))
    return Report(name, layout.kind, layout.edition, layout.unknown, _lines(name, layout, body), empty)


def minor_units(text: str, currency: str) -> int:
    """An amount in major units (`19.90`) as a whole number of minor units (`1990`), by decimal arithmetic.

    Raises ValueError, with the reason: no plain number, a currency without known decimals, more decimals than it has.
    """
    if not _AMOUNT.fullmatch(text):
        raise ValueError("is not a plain decimal number")
    decimals = DECIMALS.get(currency)
    if decimals is None:
        raise ValueError(f"is in {currency or 'no currency'}, whose minor unit is not known")
    minor = Decimal(text).scaleb(decimals)
    whole = int(minor)
    if whole != minor:
        raise ValueError(f"has more decimals than {currency}, which has {decimals}")
    return whole


def day_of(time: str) -> str:
    """The UTC+8 day (`2026-11-22`) of an ISO 8601 time. Raises ValueError for a time without an offset."""
    instant = datetime.fromisoformat(time)
    if instant.tzinfo is None:
        raise ValueError("a time without an offset")
    return alipay_day(instant)


_AMOUNT = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,8})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_ID = re.compile(r"[!-~]{1,64}")
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}|default")

_minor_units = lru_cache(maxsize=1 << 14)(minor_units)

COMPARED = ("PAYMENT", "REFUND", "CANCEL", "REFUND_REVERSAL")
"""Transaction types that say something of an order or a refund of ours; all others are counted and summed."""

_OLD_MARKS = {
    *("acquirer", "acquirerReferenceNo", "pspName", "paymentTime", "originalTransactionId", "settlementTime"),
}
_NEW_MARKS = {
    *("PSP", "ARN", "wallet", "settlementInitiatedDate"),
    *("transactionCreationTime", "transactionUpdateTime", "transactionCompletionTime"),
}
"""Columns that one edition has and the other has not."""

_DETAILS_KEYS = ("transactionId", "transactionRequestId", "transactionType", "transactionAmountValue")
_SETTLED_KEYS = ("settlementBatchId", "settlementAmountValue", "settlementCurrency")
_KEYS = {
    (Edition.OLD, Kind.TRANSACTIONS): (*_DETAILS_KEYS, "transactionCurrency", "paymentTime"),
    (Edition.NEW, Kind.TRANSACTIONS): (*_DETAILS_KEYS, "transactionCurrency", "status", "transactionCreationTime"),
    (Edition.OLD, Kind.SETTLEMENT): (*_DETAILS_KEYS, "transactionCurrency", *_SETTLED_KEYS),
    (Edition.NEW, Kind.SETTLEMENT): (*_DETAILS_KEYS, "transactionCurrency", *_SETTLED_KEYS),
    (Edition.OLD, Kind.SUMMARY): (*_SETTLED_KEYS, "summaryType", "count"),
    (Edition.NEW, Kind.SUMMARY): (*_SETTLED_KEYS, "summaryType", "count"),
}
"""Columns without which a report says nothing that could be compared."""

_FEES = (
    *("fee", "taxFee", "processingFee", "interchangeFee", "schemeFee", "acquirerMarkup", "refundFee"),
    *("paymentMethodFee", "financingFee", "rdrFee", "cdrnFee", "anticipationFee", "iofFee", "fxFee"),
    *("riskDecisionServiceFee", "riskManagementFee", "withholdingTax", "withholdingTaxFee"),
)
_KNOWN = {
    *_OLD_MARKS,
    *_NEW_MARKS,
    *(column for keys in _KEYS.values() for column in keys),
    *("customerId", "referenceMerchantId", "referenceStoreId", "originalTransactionRequestId"),
    *("referenceTransactionId", "orderDescription", "paymentMethodType", "productCode", "installmentsNum"),
    *("issuingCountry", "cardBrand", "funding", "region", "quoteCurrencyPair", "quotePrice"),
    *("convertedAmountValue", "convertedCurrency", "nonGuaranteeCouponValue", "nonGuaranteeCouponCurrency"),
    *("disputeHandlingFee", "disputeHandlingFeeCurrency", "disputeReverseFee", "disputeReverseFeeCurrency"),
    *(f"{fee}AmountValue" for fee in _FEES),
    *(f"{fee}Currency" for fee in _FEES),
}


@dataclass(frozen=True, slots=True)
class _Layout:
    edition: Edition
    kind: Kind
    unknown: tuple[str, ...]
    place: dict[str, int]
    """Where each column stands."""


def _layout(name: str, number: int, header: list[str], line: list[str]) -> _Layout:
    """Which report of which edition has these columns, whatever their order. `line` is the first, if it is needed."""
    names = [cell.strip() for cell in header]
    columns = [column for column in names if column]
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise ReportRefused(number, f"the column {twice} stands there twice")
    found = set(columns)
    old, new = found & _OLD_MARKS, found & _NEW_MARKS
    if old and new:
        raise ReportRefused(number, f"columns of two editions: {min(old)} and {min(new)}")
    edition = Edition.NEW if new else Edition.OLD
    kind = _kind(name, found, dict(zip(names, line, strict=bool(line))))
    if kind is None:
        raise ReportRefused(number, "has the columns of both details reports: call the file transaction or settlement")
    missing = [column for column in _KEYS[edition, kind] if column not in found]
    if missing:
        raise ReportRefused(number, f"no column {', '.join(missing)}, as the {kind} report has")
    unknown = tuple(column[:64] for column in columns if column not in _KNOWN)[:COLUMNS_MAX]
    return _Layout(edition, kind, unknown, {column: names.index(column) for column in columns})


_OF_EITHER = {"settlementBatchId", "status", "settlementInitiatedDate"}
"""The second is of transaction details alone, the third of settlement details alone; some files have both."""


def _kind(name: str, columns: set[str], line: dict[str, str]) -> Kind | None:
    """By the columns, since names can be customized; for a file that has those of both details, by its first line.

    The name decides only where that line has both, too, or there is none. None: nothing tells it.
    """
    if "summaryType" in columns:
        return Kind.SUMMARY
    if "settlementBatchId" not in columns:
        return Kind.TRANSACTIONS
    if not columns >= _OF_EITHER:
        return Kind.TRANSACTIONS if "status" in columns else Kind.SETTLEMENT
    if line and not (line["status"] and line["settlementInitiatedDate"]):
        return Kind.SETTLEMENT if line["settlementInitiatedDate"] else Kind.TRANSACTIONS
    if "settlement" in name.lower():
        return Kind.SETTLEMENT
    return Kind.TRANSACTIONS if not line or "transaction" in name.lower() else None


def _csv_rows(source: BinaryIO, encoding: str) -> Rows:
    """The rows of a CSV file; quoted cells may go over several lines, of which the last one counts."""
    reader = csv.reader(_text_lines(source, encoding), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise ReportRefused(reader.line_num or 1, f"is not CSV: {error}") from error


def _text_lines(source: BinaryIO, encoding: str) -> Iterator[str]:
    if encoding not in ENCODINGS:
        raise ReportRefused(1, f"the encoding {encoding!r} is none of {', '.join(ENCODINGS)}")
    number = 0
    while line := source.readline(LINE_BYTES_MAX):
        number += 1
        if number == 1:
            line = _without_mark(line, encoding)
        if len(line) == LINE_BYTES_MAX:
            raise ReportRefused(number, f"is longer than {LINE_BYTES_MAX} bytes")
        if b"\0" in line:
            raise ReportRefused(number, "has a NUL byte")
        try:
            yield line.decode(encoding)
        except UnicodeDecodeError as error:
            raise ReportRefused(number, f"is not {encoding} as declared: byte {error.start + 1} of the line") from error


def _without_mark(line: bytes, encoding: str) -> bytes:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ReportRefused(1, f"is UTF-16, not {encoding} as declared")
    if line.startswith(b"\xef\xbb\xbf"):
        if encoding != "utf-8":
            raise ReportRefused(1, f"has the byte order mark of UTF-8, not {encoding} as declared")
        return line[3:]
    return line


def _body(rows: Rows, header: list[str]) -> Rows:
    """The rows between header and `<END>`, each as wide as the header. Cells that are missing at its end are empty."""
    width = len(header)
    number = 1
    for number, cells in rows:
        if len(cells) != width:
            if not any(cells):
                continue
            if any(cells[width:]):
                raise ReportRefused(number, f"has {len(cells)} cells, the header {width}")
            cells = cells[:width] + [""] * (width - len(cells))
        if cells[0] == END and not any(cells[1:]):
            for number, after in rows:
                if any(after):
                    raise ReportRefused(number, f"stands after {END}")
            return
        if cells == header:
            raise ReportRefused(number, "is a second header: two files in one")
        yield number, cells
    raise ReportRefused(number, f"the file ends without {END}: it was cut off")


def _lines(name: str, layout: _Layout, body: Rows) -> Iterator[Line]:
    """Each transaction; lines of other products are none of ours and are marked by their type."""
    new, settlement = layout.edition is Edition.NEW, layout.kind is Kind.SETTLEMENT
    times = (
        ("transactionCompletionTime", "transactionUpdateTime", "transactionCreationTime") if new else ("paymentTime",)
    )
    time_at = [layout.place[column] for column in times if column in layout.place]
    (type_at, id_at, request_at, amount_at, currency_at) = (
        layout.place[column]
        for column in (
            *("transactionType", "transactionId", "transactionRequestId"),
            *("transactionAmountValue", "transactionCurrency"),
        )
    )
    original_request_at = layout.place.get("originalTransactionRequestId")
    original_id_at = layout.place.get("originalTransactionId")
    product_at = layout.place.get("productCode")
    status_at = layout.place.get("status") if new else None
    batch_at, settled_at, settled_in_at = (layout.place.get(column) for column in _SETTLED_KEYS)
    types: set[str] = set()
    for number, cells in body:
        type_ = cells[type_at]
        if not _TYPE.fullmatch(type_):
            raise ReportRefused(number, f"transactionType {_quoted(type_)} is no type")
        if product_at is not None and cells[product_at] not in ("", "AGREEMENT_PAYMENT"):
            type_ = f"{cells[product_at] if _TYPE.fullmatch(cells[product_at]) else '?'}:{type_}"
        types.add(type_)
        if len(types) > TYPES_MAX:
            raise ReportRefused(number, f"is of one type too many: {TYPES_MAX} are believed")
        compared = type_ in COMPARED
        transaction_id, request_id = cells[id_at], cells[request_at]
        original_request_id = "" if original_request_at is None else cells[original_request_at]
        original_id = "" if original_id_at is None else cells[original_id_at]
        if compared:
            for column, value, needed in (
                ("transactionId", transaction_id, True),
                ("transactionRequestId", request_id, True),
                ("originalTransactionRequestId", original_request_id, False),
                ("originalTransactionId", original_id, False),
            ):
                if (value or needed) and not _ID.fullmatch(value):
                    raise ReportRefused(number, f"{column} {_quoted(value)} is no id")
        currency = cells[currency_at]
        amount = 0
        if compared or cells[amount_at]:
            amount = _amount(number, "transactionAmountValue", cells[amount_at], "transactionCurrency", currency)
        time = next((cells[at] for at in time_at if cells[at]), "")
        day = ""
        if time or (compared and not settlement):
            day = _day(number, times, time)
        batch_id, settled_in, settled = "", "", None
        if settlement and batch_at is not None and settled_at is not None and settled_in_at is not None:
            batch_id, settled_in = cells[batch_at], cells[settled_in_at]
            if not _ID.fullmatch(batch_id):
                raise ReportRefused(number, f"settlementBatchId {_quoted(batch_id)} is no id")
            if cells[settled_at]:
                settled = _amount(number, "settlementAmountValue", cells[settled_at], "settlementCurrency", settled_in)
        refund = type_ in ("REFUND", "REFUND_REVERSAL")
        yield Line(
            file=name,
            number=number,
            type=type_,
            request_id=request_id,
            original_request_id=original_request_id,
            payment_id=original_id if refund and not new else transaction_id,
            refund_id=transaction_id if refund and not new else "",
            currency=currency,
            amount=amount,
            status="SUCCESS" if status_at is None else cells[status_at].strip().upper(),
            day=day,
            batch_id=batch_id,
            settlement_currency=settled_in,
            settlement_amount=settled,
        )


def _totals(name: str, layout: _Layout, body: Rows) -> Iterator[Total]:
    """The lines of a summary, all of them read before the first is given: a unit is told by all amounts together."""
    at = layout.place
    totals: list[Total] = []
    without_point: int | None = None
    with_point = False
    for number, cells in body:
        batch_id, type_, currency = (cells[at[c]] for c in ("settlementBatchId", "summaryType", "settlementCurrency"))
        text, count = cells[at["settlementAmountValue"]], cells[at["count"]]
        if not _ID.fullmatch(batch_id):
            raise ReportRefused(number, f"settlementBatchId {_quoted(batch_id)} is no id")
        if not _TYPE.fullmatch(type_):
            raise ReportRefused(number, f"summaryType {_quoted(type_)} is no type")
        if count and not re.fullmatch(r"[0-9]{1,12}", count):
            raise ReportRefused(number, f"count {_quoted(count)} is no number")
        amount = _amount(number, "settlementAmountValue", text, "settlementCurrency", currency)
        if amount and DECIMALS[currency] and currency != "IDR":  # rupiah are whole in either unit
            with_point = with_point or "." in text
            without_point = without_point or number
        totals.append(Total(name, number, batch_id, type_, int(count) if count else None, currency, amount))
    if without_point is not None and not with_point:
        # https://global.alipay.com/docs/ac/reconcile/settlement_summary promises major units; its own sample says 725
        # for 7.25 USD. No amount of such a file has a decimal point.
        raise ReportRefused(without_point, "settlementAmountValue has no decimals anywhere: it seems in minor units")
    yield from totals


def _amount(number: int, column: str, text: str, currency_column: str, currency: str) -> int:
    if not _CURRENCY.fullmatch(currency):
        raise ReportRefused(number, f"{currency_column} {_quoted(currency)} is no currency")
    try:
        return _minor_units(text, currency)
    except ValueError as error:
        raise ReportRefused(number, f"{column} {_quoted(text)} {error}") from error


def _day(number: int, columns: tuple[str, ...], time: str) -> str:
    try:
        return day_of(time)
    except (ValueError, OverflowError) as error:
        raise ReportRefused(number, f"{columns[-1]} {_quoted(time)} is no ISO 8601 time with an offset") from error


def _quoted(value: str) -> str:
    """What stands in a cell, for a reason that is shown: short, and nothing but printable ASCII."""
    return ascii(value if len(value) <= 40 else f"{value[:40]}...")
