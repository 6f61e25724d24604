"""A settlement summary adds up in itself and against its details, or its lines are named."""

from pathlib import Path

import pytest
from autodebit.reconciliation.books import Books
from autodebit.reconciliation.compare import Difference, totals

from tests.rules.reconciliation.alipay_files import EDITIONS, Table, settlement, summary
from tests.rules.reconciliation.reading import FORMATS, read
from tests.rules.reconciliation.world import clean


def _both(edition: str, form: str, folder: Path, details: Table, summed: Table) -> list[Difference]:
    staged = Books(folder / "books").add([read(details, form, folder, "settlementItems_HKD_1_000")])
    return list(totals(staged.batches, read(summed, form, folder, "settlementSummary_HKD_1_000").totals))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("edition", EDITIONS)
def test_a_batch_that_adds_up_has_no_difference(edition: str, form: str, tmp_path: Path) -> None:
    there = clean(300).there
    assert _both(edition, form, tmp_path, settlement(edition, there), summary(edition, there, "-5")) == []


def _at(table: Table, column: str, type_: str) -> tuple[int, int]:
    row = next(at for at, cells in enumerate(table) if type_ in cells)
    return row, table[0].index(column)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize(
    ("column", "type_", "value", "found"),
    [
        ("settlementAmountValue", "TOTAL", "1.23", {"TOTAL"}),
        ("settlementAmountValue", "PAYMENT", "1.23", {"TOTAL", "PAYMENT"}),
        ("settlementAmountValue", "REFUND", "-1.23", {"TOTAL", "REFUND"}),
        ("settlementAmountValue", "default", "-0.06", {"TOTAL"}),
        ("count", "PAYMENT", "7", {"PAYMENT"}),
        ("count", "REFUND", "7000", {"REFUND"}),
    ],
)
def test_a_line_that_does_not_add_up_is_named(
    edition: str, form: str, column: str, type_: str, value: str, found: set[str], tmp_path: Path
) -> None:
    there = [item for item in clean(300).there if item.currency == "HKD"]
    summed = summary(edition, there, "-0.05")
    row, at = _at(summed, column, type_)
    summed[row][at] = value
    differences = _both(edition, form, tmp_path, settlement(edition, there), summed)
    assert {one.name for one in differences} == {"total"}
    assert {one.type for one in differences} == found


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_line_of_the_details_that_is_missing_is_noticed(edition: str, tmp_path: Path) -> None:
    there = [item for item in clean(300).there if item.currency == "HKD"]
    payment = next(item for item in there if item.type == "PAYMENT")
    without = [item for item in there if item is not payment]
    differences = _both(edition, "csv", tmp_path, settlement(edition, without), summary(edition, there))
    assert [one.type for one in differences] == ["PAYMENT"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_type_of_the_details_that_the_summary_leaves_out_is_noticed(edition: str, tmp_path: Path) -> None:
    there = [item for item in clean(300).there if item.currency == "HKD"]
    payments = [item for item in there if item.type == "PAYMENT"]
    differences = _both(edition, "csv", tmp_path, settlement(edition, there), summary(edition, payments))
    assert {one.type for one in differences} == {"REFUND", "CANCEL"}


def test_a_summary_without_its_details_is_held_against_itself_alone(tmp_path: Path) -> None:
    there = clean(300).there
    assert list(totals({}, read(summary("old", there), "csv", tmp_path).totals)) == []


def test_a_summary_of_nothing_but_totals_is_held_against_the_details(tmp_path: Path) -> None:
    there = [item for item in clean(300).there if item.currency == "HKD"]
    summed = summary("old", there)
    summed = [summed[0], *(row for row in summed[1:] if "TOTAL" in row), ["<END>"]]
    assert _both("old", "csv", tmp_path, settlement("old", there), summed) == []
    summed[1][summed[0].index("settlementAmountValue")] = "1.23"
    assert [one.name for one in _both("old", "csv", tmp_path / "2", settlement("old", there), summed)] == ["total"]
