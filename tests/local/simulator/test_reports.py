"""The ledger's days as report files: both editions, CSV and XLSX, and their oddities."""

import csv
import io
import zipfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .kit import GatewayClient, payment

Rows = list[dict[str, str]]
AMOUNT = {"currency": "HKD", "value": "1000"}
ALIPAYS_ZONE = 8  # hours ahead of UTC
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


class Day:
    """A day in the life of a merchant: paid, declined, cancelled, refunded in part, bounced, refunded in the portal."""

    def __init__(self, merchant: GatewayClient) -> None:
        self.merchant = merchant
        yesterday = datetime.now(UTC) + timedelta(hours=ALIPAYS_ZONE, days=-1)
        self.yesterday = yesterday.date().isoformat()
        merchant.control("clock", at=f"{self.yesterday}T23:59:59+08:00")
        self.ids = {"yesterday": self.pay("yesterday", "paid", "USD")}
        merchant.control("clock", ahead=0)
        for name, plan in (
            *(("kept", "paid"), ("declined", "declined"), ("cancelled", "paid"), ("open", "never")),
            *(("refunded", "paid"), ("bounced", "paid"), ("portal", "paid")),
        ):
            self.ids[name] = self.pay(name, plan, "USD")
        self.ids["at par"] = self.pay("at-par", "paid", "HKD")
        merchant.answer("cancel", {"paymentRequestId": "cancelled"})
        for name in ("refunded", "bounced"):
            request = {"refundRequestId": f"of-{name}", "paymentId": self.ids[name], "refundAmount": AMOUNT}
            merchant.answer("refund", request)
        merchant.control("bounce", refundRequestId="of-bounced")
        merchant.control("portal", paymentRequestId="portal", amount=AMOUNT)

    def pay(self, payment_request_id: str, plan: str, settles_in: str) -> str:
        self.merchant.control("plans", paymentRequestId=payment_request_id, plan=plan)
        order = {"referenceOrderId": "1", "orderDescription": "戲票", "orderAmount": AMOUNT}
        settles = {"settlementCurrency": settles_in}
        self.merchant.answer("pay", payment(payment_request_id, order=order, settlementStrategy=settles))
        return str(self.merchant.ledger(payment_request_id)["paymentId"])

    def write(self, directory: Path, *quirks: str, **choices: Any) -> list[Path]:
        given = {"directory": str(directory), "quirks": quirks, **choices}
        return [Path(name) for name in self.merchant.control("reports", **given)["files"]]


@pytest.fixture(scope="module")
def day(merchant: GatewayClient) -> Day:
    return Day(merchant)


def rows(path: Path) -> Rows:
    """The lines of a CSV file; the last one must be `<END>`."""
    header, *lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
    assert lines[-1] == ["<END>"]
    return [dict(zip(header, line, strict=True)) for line in lines[:-1]]


def by_kind(paths: list[Path]) -> dict[tuple[str, str], Rows]:
    """The rows of every file, by edition and report."""
    found: dict[tuple[str, str], Rows] = defaultdict(list)
    for path in paths:
        found[path.parent.name, path.name.partition("_")[0]] += rows(path)
    return found


def amounts(lines: Rows) -> dict[tuple[str, str], Decimal]:
    return {
        (line["transactionType"], line["transactionRequestId"]): Decimal(line["transactionAmountValue"])
        for line in lines
    }


def test_the_files_have_the_documented_names(day: Day, tmp_path: Path) -> None:
    today = (datetime.now(UTC) + timedelta(hours=ALIPAYS_ZONE)).strftime("%Y%m%d")
    names = sorted(path.name for path in day.write(tmp_path, editions=["old"]))
    assert names[2] == f"settlementSummary_HKD_{today}{9:011d}_000.csv"
    assert names[-1] == f"transactionItems_{today}_000.csv"
    assert len(names) == 5


def test_the_old_details_list_what_succeeded_in_major_units(day: Day, tmp_path: Path) -> None:
    lines = by_kind(day.write(tmp_path))["old", "transactionItems"]
    portal = [line for line in lines if line["transactionRequestId"].startswith("portal0")]
    assert [(line["transactionType"], line["transactionAmountValue"]) for line in portal] == [("REFUND", "-10.00")]
    paid = ("kept", "cancelled", "refunded", "bounced", "portal", "at-par")
    assert amounts([line for line in lines if line not in portal]) == {
        **{("PAYMENT", name): Decimal("19.90") for name in paid},
        ("CANCEL", "cancelled"): Decimal("-19.90"),
        ("REFUND", "of-refunded"): Decimal("-10.00"),
        ("REFUND", "of-bounced"): Decimal("-10.00"),
        ("REFUND_REVERSAL", "of-bounced"): Decimal("10.00"),
    }
    [refund] = [line for line in lines if line["transactionRequestId"] == "of-refunded"]
    assert refund["originalTransactionId"] == day.ids["refunded"]
    assert refund["transactionId"] == day.merchant.view("refunds/of-refunded")["refundId"]
    assert refund["paymentTime"].endswith("+08:00")


def test_the_details_of_2026_list_the_latest_state_of_all(day: Day, tmp_path: Path) -> None:
    lines = by_kind(day.write(tmp_path))["2026", "transactionItems"]
    states = {line["transactionRequestId"]: line["status"] for line in lines if line["transactionType"] == "PAYMENT"}
    assert (states["kept"], states["declined"], states["open"]) == ("SUCCESS", "FAIL", "PROCESSING")
    [refund] = [line for line in lines if line["transactionRequestId"] == "of-refunded"]
    assert (refund["transactionId"], refund["originalTransactionRequestId"]) == (day.ids["refunded"], "refunded")


@pytest.mark.parametrize("edition", ["old", "2026"])
def test_the_settlement_adds_up(day: Day, tmp_path: Path, edition: str) -> None:
    files = by_kind(day.write(tmp_path))
    items, summary = files[edition, "settlementItems"], files[edition, "settlementSummary"]
    fee = "fee" if edition == "old" else "processingFee"
    for line in items:
        gross = Decimal(line["transactionAmountValue"]) / Decimal(line["quotePrice"] or 1)
        settled = Decimal(line["settlementAmountValue"])
        assert abs(settled - gross - Decimal(line[f"{fee}AmountValue"])) <= Decimal("0.01")
        assert (line["quoteCurrencyPair"] == "USD/HKD") is (line["settlementCurrency"] == "USD")
    assert {line["transactionRequestId"] for line in items if line["settlementCurrency"] == "HKD"} == {"at-par"}
    for line in summary:
        kinds = {one["transactionType"] for one in items} if line["summaryType"] == "TOTAL" else {line["summaryType"]}
        of_kind = [
            one
            for one in items
            if one["transactionType"] in kinds and one["settlementBatchId"] == line["settlementBatchId"]
        ]
        assert line["count"] == str(len(of_kind))
        assert Decimal(line["settlementAmountValue"]) == sum(Decimal(one["settlementAmountValue"]) for one in of_kind)


def test_a_day_is_alipays_day(day: Day, tmp_path: Path) -> None:
    lines = by_kind(day.write(tmp_path, day=day.yesterday))["old", "transactionItems"]
    assert [line["transactionRequestId"] for line in lines] == ["yesterday"]
    today = by_kind(day.write(tmp_path))["old", "transactionItems"]
    assert "yesterday" not in {line["transactionRequestId"] for line in today}


def test_an_xlsx_has_the_cells_of_the_csv(day: Day, tmp_path: Path) -> None:
    paths = day.write(tmp_path, editions=["2026"], formats=["csv", "xlsx"])
    for path in paths:
        if path.suffix == ".xlsx":
            plain = list(csv.reader(io.StringIO(path.with_suffix(".csv").read_text(encoding="utf-8"))))
            cells = [[cell for cell in row if cell] for row in _cells(path)]
            assert cells == [[cell for cell in row if cell] for row in plain]
    assert len(paths) == 10


def _cells(path: Path) -> list[list[str]]:
    """The texts of the only sheet of a workbook, row by row."""
    with zipfile.ZipFile(path) as book:
        shared = ["".join(node.itertext()) for node in ElementTree.fromstring(book.read("xl/sharedStrings.xml"))]
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    return [[shared[int(cell.findtext(f"{SHEET}v") or 0)] for cell in row] for row in sheet.iter(f"{SHEET}row")]


def raw(day: Day, tmp_path: Path, *quirks: str, report: str = "transactionItems", edition: str = "old") -> list[bytes]:
    paths = day.write(tmp_path, *quirks, editions=[edition])
    return [path.read_bytes() for path in sorted(paths) if path.name.startswith(report)]


def test_encodings_and_ends_of_lines(day: Day, tmp_path: Path) -> None:
    assert raw(day, tmp_path, "bom")[0].startswith(b"\xef\xbb\xbfcustomerId")
    assert "戲票" in raw(day, tmp_path, "gbk")[0].decode("gbk")
    assert raw(day, tmp_path, "crlf")[0].count(b"\r\n") == raw(day, tmp_path)[0].count(b"\n")
    mixed = raw(day, tmp_path, "mixed-lines")[0]
    assert 0 < mixed.count(b"\r\n") < mixed.count(b"\n")


def test_surplus_commas_and_a_file_that_was_cut_off(day: Day, tmp_path: Path) -> None:
    widths = {line.count(b",") for line in raw(day, tmp_path, "surplus-commas")[0].splitlines()[:-1]}
    assert widths == {14, 15}
    assert not raw(day, tmp_path, "no-end")[0].endswith(b"<END>\n")
    whole, cut = raw(day, tmp_path)[0], raw(day, tmp_path, "cut-off")[0]
    assert whole.startswith(cut) and not cut.endswith(b"\n")


def test_times_that_are_odd(day: Day, tmp_path: Path) -> None:
    plain = by_kind(day.write(tmp_path))["old", "transactionItems"]
    odd = by_kind(day.write(tmp_path, "odd-offset"))["old", "transactionItems"]
    assert all(line["paymentTime"].endswith("+08:30") for line in odd)
    instants = [[datetime.fromisoformat(line["paymentTime"]) for line in lines] for lines in (plain, odd)]
    assert instants[0] == instants[1]
    blank = by_kind(day.write(tmp_path, "blank-for-t"))["old", "settlementItems"]
    assert all(line["settlementTime"][10] == " " for line in blank)


def test_columns_come_go_and_change_places(day: Day, tmp_path: Path) -> None:
    plain = by_kind(day.write(tmp_path))["2026", "settlementItems"]
    shuffled = by_kind(day.write(tmp_path, "columns-shuffled", "no-fees"))["2026", "settlementItems"]
    assert shuffled == [{name: value for name, value in line.items() if "Fee" not in name} for line in plain]
    more = by_kind(day.write(tmp_path, "more-columns"))["2026", "settlementItems"]
    assert all(line["acquirerMarkupAmountValue"] == "" for line in more)
    pending = by_kind(day.write(tmp_path, "pending-fees"))["2026", "transactionItems"]
    assert {(line["processingFeeAmountValue"], line["settlementAmountValue"]) for line in pending} == {("", "")}


def test_a_refund_may_repeat_the_request_id_of_its_payment(day: Day, tmp_path: Path) -> None:
    lines = by_kind(day.write(tmp_path, "refund-repeats-request-id"))["old", "transactionItems"]
    refunds = {line["transactionRequestId"] for line in lines if line["transactionType"] == "REFUND"}
    assert refunds == {"refunded", "bounced", "portal"}


def test_summaries_in_minor_units_and_with_a_correction(day: Day, tmp_path: Path) -> None:
    plain = by_kind(day.write(tmp_path))["old", "settlementSummary"]
    minor = by_kind(day.write(tmp_path, "minor-units"))["old", "settlementSummary"]
    for one, other in zip(plain, minor, strict=True):
        assert Decimal(one["settlementAmountValue"]) * 100 == int(other["settlementAmountValue"])
    corrected = by_kind(day.write(tmp_path, "correction-line"))["old", "settlementSummary"]
    assert [line["summaryType"] for line in corrected].count("default") == 2


def test_numbered_parts_and_longer_names(day: Day, tmp_path: Path) -> None:
    paths = day.write(tmp_path, "two-parts", "connect-wallet", editions=["old"])
    names = [path.name for path in sorted(paths) if path.name.startswith("transactionItems")]
    assert [name.rpartition("_")[2] for name in names] == ["000.csv", "001.csv"]
    assert all("_CONNECTWALLET_" in name for name in names)
    whole = by_kind(day.write(tmp_path / "whole"))["old", "transactionItems"]
    assert by_kind(paths)["old", "transactionItems"] == whole


def test_an_empty_cycle_is_no_file_or_one_with_a_header(day: Day, tmp_path: Path) -> None:
    assert day.write(tmp_path, day="2020-01-01") == []
    paths = day.write(tmp_path, "empty-batch", day="2020-01-01", editions=["old"])
    assert sorted(path.name for path in paths) == [
        f"settlementItems_USD_{0:019d}_000.csv",
        f"settlementSummary_USD_{0:019d}_000.csv",
    ]
    assert all(rows(path) == [] for path in paths)


def test_an_unknown_quirk_is_refused(day: Day, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="400"):
        day.write(tmp_path, "sloppy")
