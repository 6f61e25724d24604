"""What a report file may look like and is read, and what is refused as a whole, with line and reason."""

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from autodebit.reconciliation import workbook
from autodebit.reconciliation.books import Books
from autodebit.reconciliation.reports import Edition, Kind, Line, ReportRefused, day_of, minor_units, read_csv
from autodebit.reconciliation.workbook import read_workbook
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.reconciliation.alipay_files import (
    NEW,
    OLD,
    Table,
    Transaction,
    csv_bytes,
    settlement,
    summary,
    transactions,
    xlsx_bytes,
)
from tests.rules.reconciliation.world import clean

PAYMENT = Transaction("PAYMENT", "ord-1", "2026112219401080010018881", "19.90", "HKD")
REFUND = Transaction(
    *("REFUND", "ord-1", "2026112219401080010018881", "9.90", "HKD"), refund_request_id="ref-1", refund_id="20261122888"
)


def _lines(content: bytes, encoding: str = "utf-8") -> list[Line]:
    return list(read_csv("transactionItems_20261122_000.csv", io.BytesIO(content), encoding).lines)


def test_a_payment_of_the_old_edition() -> None:
    (line,) = _lines(csv_bytes(transactions(OLD, [PAYMENT])))
    assert (line.type, line.request_id, line.payment_id) == ("PAYMENT", "ord-1", "2026112219401080010018881")
    assert (line.currency, line.amount, line.status, line.day) == ("HKD", 1990, "SUCCESS", "2026-11-22")
    assert line.number == 2


def test_a_refund_of_the_old_edition_has_a_refund_id() -> None:
    (line,) = _lines(csv_bytes(transactions(OLD, [REFUND])))
    assert (line.refund_id, line.payment_id, line.request_id, line.amount) == (
        *("20261122888", "2026112219401080010018881", "ref-1"),
        -990,
    )


def test_a_refund_of_2026_has_its_payments_id() -> None:
    (line,) = _lines(csv_bytes(transactions(NEW, [REFUND])))
    assert (line.refund_id, line.payment_id, line.request_id, line.original_request_id, line.amount) == (
        *("", "2026112219401080010018881", "ref-1", "ord-1"),
        -990,
    )


def test_rows_as_documented_with_sixteen_cells_and_fifteen() -> None:
    header = (
        "customerId,referenceMerchantId,referenceStoreId,transactionId,originalTransactionId,transactionRequestId,"
        "referenceTransactionId,orderDescription,paymentMethodType,pspName,transactionType,paymentTime,productCode,"
        "transactionAmountValue,transactionCurrency"
    )
    rows = (
        "1,,,20181225190741010,,2019032,,,KAKAOPAY,KaKaoPay,PAYMENT,2018-12-25T10:00:00+08:30,AGREEMENT_PAYMENT,18000,KRW,\n"
        "1,,,20181225190741020,20181225190741010,2019032,,,KAKAOPAY,KaKaoPay,REFUND,2018-12-25T00:10:00+08:30,"
        "AGREEMENT_PAYMENT,-9000,KRW\n"
    )
    payment, refund = _lines(f"{header}\n{rows}<END>\n".encode())
    assert (payment.amount, payment.day) == (18000, "2018-12-25")
    assert (refund.amount, refund.day) == (-9000, "2018-12-24")


@pytest.mark.parametrize(
    ("writer", "edition", "kind", "name"),
    [
        (transactions, OLD, Kind.TRANSACTIONS, "transactionItems_20261122_000.csv"),
        (transactions, NEW, Kind.TRANSACTIONS, "transactionItems_20261122_000.csv"),
        (settlement, OLD, Kind.SETTLEMENT, "settlementItems_HKD_20261126_000.csv"),
        (settlement, NEW, Kind.SETTLEMENT, "a name of our own.csv"),
        (summary, OLD, Kind.SUMMARY, "settlementSummary_HKD_20261126_000.csv"),
        (summary, NEW, Kind.SUMMARY, "whatever"),
    ],
)
def test_report_and_edition_are_told_by_the_columns(
    writer: Callable[..., Table], edition: str, kind: Kind, name: str
) -> None:
    report = read_csv(name, io.BytesIO(csv_bytes(writer(edition, [PAYMENT]))))
    assert (report.kind, report.edition, report.unknown_columns) == (kind, Edition(edition), ())
    assert len([*report.lines, *report.totals]) == (2 if kind is Kind.SUMMARY else 1)


def _with(table: Table, column: str, value: str) -> Table:
    """The table with one more column, the same on each line."""
    return [[*table[0], column], *([*row, value] for row in table[1:-1]), table[-1]]


def _without(table: Table, column: str) -> Table:
    at = table[0].index(column)
    return [*([*row[:at], *row[at + 1 :]] for row in table[:-1]), table[-1]]


@pytest.mark.parametrize("name", ["settlementItems_HKD_1_000.csv", "transactionItems_20261122_000.csv"])
@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (_with(settlement(NEW, [PAYMENT]), "status", ""), Kind.SETTLEMENT),
        (transactions(NEW, [PAYMENT]), Kind.TRANSACTIONS),
        (_without(transactions(NEW, [PAYMENT]), "settlementInitiatedDate"), Kind.TRANSACTIONS),
        (_without(transactions(NEW, []), "settlementInitiatedDate"), Kind.TRANSACTIONS),
        (settlement(NEW, []), Kind.SETTLEMENT),
    ],
)
def test_a_name_says_nothing_where_columns_or_lines_decide(name: str, table: Table, kind: Kind) -> None:
    report = read_csv(name, io.BytesIO(csv_bytes(table)))
    assert (report.kind, len(list(report.lines))) == (kind, len(table) - 2)


def test_a_file_whose_lines_are_of_both_is_told_by_its_name_or_refused() -> None:
    content = csv_bytes(_with(settlement(NEW, [PAYMENT]), "status", "SUCCESS"))
    names = {"settlementItems_1.csv": Kind.SETTLEMENT, "transactionItems_1.csv": Kind.TRANSACTIONS}
    assert {name: read_csv(name, io.BytesIO(content)).kind for name in names} == names
    with pytest.raises(ReportRefused, match="both details reports"):
        read_csv("november.csv", io.BytesIO(content))


def test_a_name_decides_for_a_file_without_lines_that_has_the_columns_of_both() -> None:
    content = csv_bytes(transactions(NEW, []))
    kinds = [read_csv(name, io.BytesIO(content)).kind for name in ("settlementItems_HKD_1_000.csv", "a.csv")]
    assert kinds == [Kind.SETTLEMENT, Kind.TRANSACTIONS]


@pytest.mark.parametrize("edition", [OLD, NEW])
def test_the_order_of_the_columns_says_nothing(edition: str) -> None:
    table = transactions(edition, [PAYMENT, REFUND])
    turned = [[*reversed(row)] for row in table[:-1]]
    assert _lines(csv_bytes([*turned, ["<END>"]])) == _lines(csv_bytes(table))


@pytest.mark.parametrize("edition", [OLD, NEW])
def test_columns_that_nobody_knows_are_reported(edition: str) -> None:
    table = transactions(edition, [PAYMENT])
    table[0] = [*table[0], "carbonOffset"]
    table[1] = [*table[1], "3"]
    report = read_csv("transactionItems", io.BytesIO(csv_bytes(table)))
    assert report.unknown_columns == ("carbonOffset",)
    assert len(list(report.lines)) == 1


DESCRIBED = Transaction(
    *("PAYMENT", "ord-1", "2026112219401080010018881", "19.90", "HKD"), description='电影月票, "gold"\nseat 3'
)


@pytest.mark.parametrize(
    "content",
    [
        csv_bytes(transactions(NEW, [DESCRIBED, REFUND]), mark=True),
        csv_bytes(transactions(NEW, [DESCRIBED, REFUND]), ends=("\r\n",)),
        csv_bytes(transactions(NEW, [DESCRIBED, REFUND]), ends=("\r\n", "\n")),
        csv_bytes(transactions(NEW, [DESCRIBED, REFUND])).rstrip(),
        csv_bytes(transactions(NEW, [DESCRIBED, REFUND])) + b"\r\n\n,,,\n",
        csv_bytes([[*row, "", "", ""] for row in transactions(NEW, [DESCRIBED, REFUND])]),
        csv_bytes([row if row == ["<END>"] else [*row, ""] for row in transactions(NEW, [DESCRIBED, REFUND])]),
        b"\n" + csv_bytes(transactions(NEW, [DESCRIBED, REFUND])),
    ],
    ids=["mark", "crlf", "crlf and lf", "no last line end", "blank lines after", "surplus cells", "one more", "before"],
)
def test_quirks_that_change_nothing(content: bytes) -> None:
    plain = _lines(csv_bytes(transactions(NEW, [DESCRIBED, REFUND])))
    assert [line._replace(number=0) for line in _lines(content)] == [line._replace(number=0) for line in plain]


def test_gbk_is_read_when_it_is_declared() -> None:
    content = csv_bytes(transactions(NEW, [DESCRIBED]), encoding="gbk")
    assert len(_lines(content, "gbk")) == 1


def test_a_day_without_transactions_is_a_header_and_the_end() -> None:
    assert _lines(csv_bytes(transactions(NEW, []))) == []


def _changed(edition: str, column: str, value: str, writer: Callable[..., Table] = transactions) -> bytes:
    """Three transactions, the second of them with another cell."""
    table = writer(edition, [PAYMENT, REFUND, PAYMENT])
    table[2][table[0].index(column)] = value
    return csv_bytes(table)


GOOD = csv_bytes(transactions(NEW, [PAYMENT, REFUND]))
GOOD_OLD = csv_bytes(transactions(OLD, [PAYMENT, REFUND]))
IN_MINOR_UNITS = (
    b"settlementBatchId,customerId,acquirer,summaryType,settlementTime,count,settlementAmountValue,settlementCurrency,\n"
    b"2019,1,ALIPAY,PAYMENT,2019-03-29 01:01:01+08:00,1,725,USD,\n"
    b"2019,1,ALIPAY,TOTAL,2019-03-29T01:01:01+08:00,1,725,USD\n"
    b"<END>\n"
)

BROKEN: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 1, "empty"),
    "blank": (b"\n\r\n,,,\n", 1, "empty"),
    "no <END>": (GOOD.replace(b"<END>\n", b""), 3, "<END>"),
    "cut off in a line": (GOOD[: GOOD.index(b"REFUND") + 20], 3, "no id|<END>"),
    "cut off in the header": (GOOD[:120], 1, "no column"),
    "cut off in quotes": (csv_bytes(transactions(NEW, [DESCRIBED]))[:-60].rsplit(b"seat", 1)[0], 2, "not CSV"),
    "something after <END>": (GOOD + b"1,2,3\n", 5, "after <END>"),
    "two files in one": (GOOD + GOOD, 5, "after <END>"),
    "two files in one, without the first <END>": (GOOD.replace(b"<END>\n", b"") + GOOD, 4, "second header"),
    "the other edition appended": (GOOD.replace(b"<END>\n", b"") + GOOD_OLD, 4, "is no type"),
    "columns of two editions": (GOOD.replace(b",wallet,", b",pspName,"), 1, "two editions"),
    "GBK that claims to be UTF-8": (csv_bytes(transactions(NEW, [DESCRIBED]), encoding="gbk"), 2, "not utf-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), 1, "UTF-16"),
    "NUL": (GOOD.replace(b"ref-1", b"ref\0-1"), 3, "NUL"),
    "a column twice": (GOOD.replace(b"settlementBatchId,", b"transactionId,"), 1, "twice"),
    "no transactionRequestId": (GOOD.replace(b"transactionRequestId,", b"requestId,", 1), 1, "transactionRequestId"),
    "no amount column": (GOOD.replace(b"transactionAmountValue", b"amount"), 1, "transactionAmountValue"),
    "semicolons": (GOOD.replace(b",", b";"), 1, "no column"),
    "a cell too many": (GOOD.replace(b"<END>", b"a" + b",a" * 40 + b"\n<END>"), 4, "cells"),
    "a line of two megabytes": (GOOD.replace(b"<END>", b"a" * 2_000_000 + b"\n<END>"), 4, "longer"),
    "a compressed file": (gzip.compress(GOOD), 1, "."),
    "a stray quote": (GOOD.replace(b"Monthly cinema pass", b'"Monthly" cinema pass'), 2, "not CSV"),
    "an amount in words": (_changed(NEW, "transactionAmountValue", "ten"), 3, "plain decimal"),
    "an amount with a comma": (_changed(NEW, "transactionAmountValue", "1,900.00"), 3, "plain decimal"),
    "an amount with an exponent": (_changed(NEW, "transactionAmountValue", "1.9E3"), 3, "plain decimal"),
    "an amount without digits": (_changed(NEW, "transactionAmountValue", ""), 3, "plain decimal"),
    "an amount that is not a number": (_changed(NEW, "transactionAmountValue", "NaN"), 3, "plain decimal"),
    "too many decimals": (_changed(OLD, "transactionAmountValue", "-9.905"), 3, "more decimals than HKD"),
    "a currency without known decimals": (_changed(NEW, "transactionCurrency", "XAU"), 3, "not known"),
    "no currency": (_changed(NEW, "transactionCurrency", ""), 3, "no currency"),
    "a currency in small letters": (_changed(NEW, "transactionCurrency", "hkd"), 3, "no currency"),
    "no request id": (_changed(NEW, "transactionRequestId", ""), 3, "transactionRequestId"),
    "an id of 65 characters": (_changed(NEW, "transactionId", "1" * 65), 3, "transactionId"),
    "an id with a control character": (_changed(NEW, "transactionId", "1\x1b[2J"), 3, "transactionId"),
    "an id in another script": (_changed(NEW, "transactionId", "１２３"), 3, "transactionId"),
    "an original request id too long": (_changed(NEW, "originalTransactionRequestId", "1" * 2049), 3, "is no id"),
    "an original id too long": (_changed(OLD, "originalTransactionId", "1" * 65), 3, "originalTransactionId"),
    "no type": (_changed(NEW, "transactionType", ""), 3, "transactionType"),
    "a time without an offset": (_changed(OLD, "paymentTime", "2026-11-22T10:00:00"), 3, "offset"),
    "a time that never was": (_changed(OLD, "paymentTime", "2026-11-31T10:00:00+08:00"), 3, "ISO 8601"),
    "a time before all time": (_changed(OLD, "paymentTime", "0001-01-01T00:00:00+23:59"), 3, "ISO 8601"),
    "no time": (_changed(OLD, "paymentTime", ""), 3, "ISO 8601"),
    "a batch without an id": (_changed(NEW, "settlementBatchId", "", settlement), 3, "settlementBatchId"),
    "a settlement in words": (_changed(NEW, "settlementAmountValue", "n/a", settlement), 3, "settlementAmountValue"),
    "a summary in minor units": (IN_MINOR_UNITS, 2, "minor units"),
    "a summary with half a count": (IN_MINOR_UNITS.replace(b",1,725", b",1.5,7.25"), 2, "count"),
}


@pytest.mark.parametrize("title", BROKEN)
def test_a_broken_file_is_refused_with_line_and_reason(title: str, tmp_path: Path) -> None:
    content, line, reason = BROKEN[title]
    with pytest.raises(ReportRefused) as refused:
        report = read_csv("report.csv", io.BytesIO(content))
        list(report.totals)
        Books(tmp_path / "books").add([report])
    assert refused.value.line == line
    assert re.search(reason, refused.value.reason)
    assert not (tmp_path / "books" / "lines").exists()


def test_there_are_twenty_five_broken_files_at_least() -> None:
    assert len(BROKEN) >= 25


@pytest.mark.parametrize(("encoding", "reason"), [("gbk", "UTF-8"), ("latin-1", "none of")])
def test_an_encoding_that_was_declared_wrongly_is_refused(encoding: str, reason: str) -> None:
    with pytest.raises(ReportRefused, match=reason):
        _lines(csv_bytes(transactions(NEW, [DESCRIBED]), mark=True), encoding)


def test_a_summary_of_whole_rupiah_is_no_summary_in_minor_units() -> None:
    there = [Transaction("PAYMENT", "ord-1", "2026112219401080010018881", "30000", "IDR")]
    report = read_csv("summary", io.BytesIO(csv_bytes(summary(OLD, there))))
    assert [total.amount for total in report.totals] == [2970000, 2970000]


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        *(("19.90", "HKD", 1990), ("-9.9", "USD", -990), ("0", "USD", 0), ("18000", "KRW", 18000)),
        *(("300", "IDR", 30000), ("18000.00", "JPY", 18000), ("9999999999999.99", "USD", 999999999999999)),
    ],
)
def test_major_units_become_minor_units(text: str, currency: str, minor: int) -> None:
    assert minor_units(text, currency) == minor


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_every_amount_is_exact(minor: int) -> None:
    assert minor_units(f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}", "USD") == minor


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2026-11-22T23:59:59+08:00", "2026-11-22"),
        ("2026-11-23T00:00:00+08:00", "2026-11-23"),
        ("2026-11-22T16:00:00Z", "2026-11-23"),
        ("2026-11-22T15:59:59.999+00:00", "2026-11-22"),
        ("2026-11-23T00:29:59+08:30", "2026-11-22"),
        ("2026-11-22 10:00:00-12:00", "2026-11-23"),
    ],
)
def test_a_day_is_one_in_utc_plus_8(time: str, day: str) -> None:
    assert day_of(time) == day


@given(st.binary(max_size=2000))
def test_whatever_bytes_come_a_file_is_read_or_refused(content: bytes) -> None:
    with suppress(ReportRefused):
        report = read_csv("report", io.BytesIO(content))
        list(report.lines)
        list(report.totals)


@given(st.binary(min_size=1, max_size=3), st.integers(min_value=0, max_value=len(GOOD)), st.integers(0, 40))
def test_whatever_is_damaged_a_file_is_read_or_refused(damage: bytes, at: int, lost: int) -> None:
    with suppress(ReportRefused):
        _lines(GOOD[:at] + damage + GOOD[at + lost :])


# Workbooks


def _workbook(content: bytes, scratch: Path) -> list[Line]:
    report = read_workbook("transactionItems_20261122_000.xlsx", io.BytesIO(content), scratch)
    return list(report.lines)


@pytest.mark.parametrize("edition", [OLD, NEW])
@pytest.mark.parametrize("options", [{}, {"dimension": "A1"}, {"dimension": "A1:XFD1048576"}, {"numbers": True}])
def test_a_workbook_says_what_the_csv_says(edition: str, options: dict[str, str], tmp_path: Path) -> None:
    table = transactions(edition, clean(80).there)
    lines = _workbook(xlsx_bytes(table, **options), tmp_path)  # type: ignore[arg-type]
    assert [line._replace(file="") for line in lines] == [line._replace(file="") for line in _lines(csv_bytes(table))]


def _zip(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _with_number_as_id() -> bytes:
    table = transactions(NEW, [PAYMENT])
    table[0][table[0].index("transactionId")] = "idAmountValue"
    table[0][table[0].index("ARN")] = "transactionId"
    return xlsx_bytes(table, numbers=True)


BROKEN_WORKBOOKS: dict[str, tuple[bytes, str]] = {
    "no archive": (GOOD, "no readable workbook"),
    "empty": (b"", "no readable workbook"),
    "cut off": (xlsx_bytes(transactions(NEW, [PAYMENT]))[:-200], "no readable workbook"),
    "an archive of something else": (_zip({"report.csv": GOOD}), "no readable workbook"),
    "a bomb": (_zip({"xl/worksheets/sheet1.xml": b"0" * 400_000}), "unpacks to more than"),
    "many members": (_zip({f"{at}.xml": b"" for at in range(2000)}), "members"),
    "an old XLS": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 4096, "no readable workbook"),
    "two sheets": (xlsx_bytes(transactions(NEW, [PAYMENT]), sheets=2), "2 sheets"),
    "no cells": (xlsx_bytes([[""]]), "empty"),
    "no <END>": (xlsx_bytes(transactions(NEW, [PAYMENT])[:-1]), "<END>"),
    "an id stored as a number": (_with_number_as_id(), "stored as a number"),
}


@pytest.mark.parametrize("title", BROKEN_WORKBOOKS)
def test_a_broken_workbook_is_refused(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "UNPACKED_BYTES_MAX", 300_000)
    content, reason = BROKEN_WORKBOOKS[title]
    with pytest.raises(ReportRefused, match=re.escape(reason)):
        _workbook(content, tmp_path)


def test_an_archive_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    content = bytearray(xlsx_bytes(transactions(NEW, clean(50).there)))
    at = content.index(b"PK\x01\x02", content.rindex(b"xl/worksheets/sheet1.xml") - 60)
    content[at + 24 : at + 28] = (1000).to_bytes(4, "little")  # the uncompressed size that the archive states
    with pytest.raises(ReportRefused, match="no readable workbook"):
        _workbook(bytes(content), tmp_path)
