"""The three files a comparison leaves: for a program, for a spreadsheet, for a person."""

import csv
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from autodebit.reconciliation.books import Compared, Staged
from autodebit.reconciliation.compare import Difference, Name, Observed
from autodebit.reconciliation.results import (
    NEXT_STEP,
    SHOWN_MAX,
    Refusal,
    Summary,
    major_units,
    page,
    summary_document,
    write_differences,
)

from tests.rules.reconciliation.alipay_files import NEW, Transaction, transactions
from tests.rules.reconciliation.reading import compare, read
from tests.rules.reconciliation.world import SEEDS, World, clean

AT = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)


def _summary(compared: Compared, name: str = "transactionItems_20261122_000.csv") -> Summary:
    return Summary(
        *(name, "v1", "0" * 64, 1, AT),
        report="transaction details",
        edition="2026",
        lines=compared.staged.lines,
        days=compared.staged.days,
        not_compared=compared.staged.not_compared,
        pending=compared.staged.pending,
        sums=compared.sums,
        differences=compared.counts,
        payments_to_inquire=tuple(one.request_id for one in compared.to_inquire),
    )


def _write(folder: Path, summary: Summary, differences: Iterable[Difference]) -> None:
    with (folder / "differences.csv").open("w", newline="") as file:
        shown = write_differences(file, differences)
    document = summary_document(summary)
    (folder / "summary.json").write_text(json.dumps(document))
    (folder / "report.html").write_text(page(document, shown))


def _results(world: World, folder: Path) -> tuple[list[dict[str, str]], dict[str, Any], str]:
    compared, differences = compare(folder / "books", [read(transactions(NEW, world.there), "csv", folder)], world)
    _write(folder, _summary(compared), differences)
    with (folder / "differences.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((folder / "summary.json").read_text()), (folder / "report.html").read_text()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    return page


def test_each_difference_is_a_row_with_both_sides_and_its_next_step(tmp_path: Path) -> None:
    world = clean(60)
    _, about = SEEDS["a payment with one minor unit of HKD more there"](world)
    (row,), _, _ = _results(world, tmp_path)
    assert (row["difference"], row["requestId"], row["amountThere"], row["amountHere"], row["currencyHere"]) == (
        *("amount", about),
        *("42.00", "41.99", "HKD"),
    )
    assert row["nextStep"] == NEXT_STEP[Name.AMOUNT]
    assert int(row["line"]) > 1


def test_a_clean_day_agrees(tmp_path: Path) -> None:
    rows, summary, page = _results(clean(60), tmp_path)
    assert (rows, summary["status"], summary["differencesTotal"]) == ([], "AGREES", 0)
    assert "Everything agrees." in page


def test_the_summary_counts_every_name(tmp_path: Path) -> None:
    world = clean(60)
    for seed in SEEDS.values():
        seed(world)
    rows, summary, page = _results(world, tmp_path)
    assert summary["status"] == "DIFFERS"
    assert summary["differencesTotal"] == len(rows) == sum(summary["differences"].values())
    assert set(summary["differences"]) == set(Name)
    shown = _page(page).text
    for name in Name:
        assert (summary["differences"][name] > 0) == (name is not Name.TOTAL)
        assert (NEXT_STEP[name] in shown) == (name is not Name.TOTAL)


@pytest.mark.parametrize("hostile", ["=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(hostile: str, tmp_path: Path) -> None:
    difference = Difference("amount", *("PAYMENT", hostile, "", "", hostile), 3, "", "HKD", -990, "", "HKD", 990, "")
    _write(tmp_path, _summary(Compared(*_nothing())), [difference])
    with (tmp_path / "differences.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["requestId"], row["file"]) == (f"'{hostile}", f"'{hostile}")
    assert row["amountThere"] == "-9.90"


def test_the_page_needs_no_script_and_shows_hostile_ids_as_text(tmp_path: Path) -> None:
    world = clean(20)
    world.there.append(Transaction("PAYMENT", "<script>alert(1)</script>", "202611221<b>", "1.00", "HKD"))
    _, _, text = _results(world, tmp_path)
    page = _page(text)
    assert "<script>alert(1)</script>" in page.text
    assert not {"script", "img", "link", "iframe", "b"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on") or name == "src"]


def test_nothing_of_the_buyer_is_in_the_results(tmp_path: Path) -> None:
    world = clean(20)
    for item in world.there:
        item.description = "a gift for Chan Tai Man"
        item.value = "1.00" if item.currency in ("HKD", "USD") else "1"
    _results(world, tmp_path)
    for name in ("differences.csv", "summary.json", "report.html"):
        assert "Chan" not in (tmp_path / name).read_text()


def test_a_flood_of_differences_is_cut_on_the_page_and_whole_in_the_csv(tmp_path: Path) -> None:
    world = clean(20)
    for at in range(SHOWN_MAX + 50):
        world.there.append(Transaction("PAYMENT", f"till-{at}", f"2026{at}", "1.00", "HKD"))
    rows, summary, page = _results(world, tmp_path)
    assert len(rows) == summary["differencesTotal"] == SHOWN_MAX + 50
    assert "50 more are in" in _page(page).text


def test_a_refund_observed_names_a_refund_id_only_where_the_file_does() -> None:
    observed = (Observed("ref-1", "ord-1", "", "HKD", 990), Observed("ref-2", "", "2026", "HKD", 990))
    first, second = summary_document(Summary("x.csv", "v1", "0" * 64, 1, AT, observed=observed))["observed"]
    assert first == {
        "refundRequestId": "ref-1",
        "paymentRequestId": "ord-1",
        "refundAmount": {"currency": "HKD", "value": "990"},
    }
    assert second["refundId"] == "2026"


def test_a_refused_file_has_a_reason_and_no_differences(tmp_path: Path) -> None:
    refusal = Refusal("transactionItems_20261122_000.csv", 7, "has a NUL byte")
    _write(tmp_path, Summary(refusal.file, "v1", "0" * 64, 1, AT, refusal=refusal), [])
    document = json.loads((tmp_path / "summary.json").read_text())
    assert document["status"] == "REFUSED"
    assert document["refusal"] == {"file": refusal.file, "line": 7, "reason": "has a NUL byte"}
    assert "line 7: has a NUL byte" in _page((tmp_path / "report.html").read_text()).text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(1990, "HKD", "19.90"), (-5, "USD", "-0.05"), (700, "JPY", "700"), (0, "HKD", "0.00"), (None, "HKD", "")],
)
def test_amounts_are_shown_in_major_units(amount: int | None, currency: str, text: str) -> None:
    assert major_units(amount, currency) == text


def _nothing() -> tuple[Any, ...]:
    return Staged(), {}, {}, iter(()), iter(()), iter(())
