"""What came of report files is believed only if all of them agree and hold every success of ours."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.rules.reconciliation.alipay_files import EDITIONS, Table, csv_bytes

from .books import Books, Side
from .report_files import (
    REPORTED,
    SETTLEMENT,
    TRANSACTIONS,
    Reconciled,
    days_between,
    files_of,
    report_differences,
)

Json = dict[str, Any]

PAYMENTS = {
    "paid": {"status": "SUCCESS", "amountValue": "1000"},
    "declined": {"status": "FAIL", "amountValue": "50"},
    "unsent": {"status": "INIT", "amountValue": "7"},
}
REFUNDS = {"paid-r1": {"status": "SUCCESS", "amountValue": "600"}, "paid-r2": {"status": "INIT", "amountValue": "100"}}


def books() -> Books:
    """Alipay knows all of it but the payment that was never sent."""
    return Books(
        Side({}, dict(PAYMENTS), {}, {"paid": {}, "declined": {}}, {}),
        Side({}, dict(REFUNDS), {}, {"paid-r1": {}, "paid-r2": {}}, {}),
    )


def sums(payments: tuple[int, int], refunds: tuple[int, int]) -> list[Json]:
    return [
        {
            "type": type_,
            "linesThere": lines,
            "amountThere": str(amount),
            "recordsHere": lines,
            "amountHere": str(amount),
        }
        for type_, (lines, amount) in (("PAYMENT", payments), ("REFUND", refunds))
    ]


def reconciled() -> list[Reconciled]:
    """Both details of both editions, and a settlement summary, which has no such sums."""
    found = []
    for edition in EDITIONS:
        for report in (TRANSACTIONS, SETTLEMENT):
            everything = (edition, report) == ("2026", TRANSACTIONS)
            of_all = sums((2, 1050), (2, -700)) if everything else sums((1, 1000), (1, -600))
            summary = {"edition": edition, "report": report, "status": "AGREES", "differencesTotal": 0, "sums": of_all}
            found.append(Reconciled(f"{edition} {report}", summary, []))
        summary = {"edition": edition, "report": "settlement summary", "status": "AGREES", "differencesTotal": 0}
        found.append(Reconciled(f"{edition} summary", summary, []))
    return found


def test_files_that_agree_show_no_difference() -> None:
    assert report_differences(reconciled(), books()) == []


def with_difference(found: list[Reconciled]) -> None:
    found[0].summary.update(status="DIFFERS", differencesTotal=1)
    found[0].differences.append({"difference": "amount", "requestId": "paid-r1", "paymentRequestId": "paid"})


FALSIFIED: list[Callable[[list[Reconciled]], Any]] = [
    with_difference,
    lambda found: found[0].summary.update(status="DIFFERS"),
    lambda found: found[4].summary.update(status="DIFFERS", differencesTotal=1),
    lambda found: found.__setitem__(0, Reconciled("old", {"status": "REFUSED", "refusal": {"line": 2}}, [])),
    lambda found: found[0].summary["sums"][0].update(linesThere=2),
    lambda found: found[1].summary["sums"][1].update(recordsHere=0),
    lambda found: found[3].summary["sums"][1].update(amountHere="-100"),
    lambda found: found[4].summary["sums"][0].update(amountThere="1050"),
    lambda found: found.pop(0),
    lambda found: found.clear(),
]


@pytest.mark.parametrize("falsify", FALSIFIED)
def test_whatever_is_falsified_is_found(falsify: Callable[[list[Reconciled]], Any]) -> None:
    found = reconciled()
    falsify(found)
    assert {difference.kind for difference in report_differences(found, books())} == {REPORTED}


@pytest.mark.parametrize("key", ["paid-r3", "paid-r2"])
def test_a_success_that_stands_in_no_file_is_found(key: str) -> None:
    mine = books()
    mine.refunds.rows[key] = {"status": "SUCCESS", "amountValue": "100"}
    assert report_differences(reconciled(), mine)


def test_a_soak_that_goes_past_midnight_has_the_files_of_both_days() -> None:
    assert days_between(date(2026, 11, 30), date(2026, 12, 1)) == [date(2026, 11, 30), date(2026, 12, 1)]
    assert days_between(date(2026, 11, 30), date(2026, 11, 30)) == [date(2026, 11, 30)]


HEADER, END = ["transactionId", "originalTransactionId", "transactionType"], ["<END>"]
MINE: Table = [["P1", "", "PAYMENT"], ["R1", "P1", "REFUND"]]
OTHERS: Table = [["P2", "", "PAYMENT"]]


def test_on_a_stack_of_its_own_the_files_are_put_in_as_alipay_wrote_them(tmp_path: Path) -> None:
    mine = books()
    mine.payments.ledger["paid"] = {"paymentId": "P1"}
    del mine.payments.ledger["declined"]
    files = {
        "transactionItems_000.csv": csv_bytes([HEADER, *MINE, END], ends=("\r\n",)),
        "settlementSummary_000.csv": b"x",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert files_of(mine, sorted(tmp_path.iterdir())) == files
    (tmp_path / "settlementItems_000.csv").write_bytes(csv_bytes([HEADER, *OTHERS, *MINE, END]))
    assert files_of(mine, sorted(tmp_path.iterdir())) == {
        name: csv_bytes([HEADER, *MINE, END]) for name in ("settlementItems_000.csv", "transactionItems_000.csv")
    }, "with the payments of others in them, only the lines of these, and no sum of all"
