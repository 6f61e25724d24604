"""One file after the other through a folder: what is new is told, what was there changes nothing, what dies goes on."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from autodebit.reconciliation.compare import Ours
from autodebit.reconciliation.reconcile import Reconciler
from autodebit.reconciliation.reports import Line
from autodebit.reconciliation.store import Folder

from tests.rules.reconciliation.alipay_files import (
    EDITIONS,
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
from tests.rules.reconciliation.reading import ours
from tests.rules.reconciliation.world import SEEDS, TODAY, World, clean

NEXT_DAY = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
TWO_DAYS_LATER = datetime(2026, 11, 23, 16, 0, tzinfo=UTC)
"""00:00 on the 24th in UTC+8."""

NAME = "transactionItems_20261122_000.csv"


class Tables:
    """Our records in memory, in place of those that read DynamoDB."""

    def __init__(self, world: World) -> None:
        self.ours = ours(world.here)

    def of_days(self, days: Iterable[str]) -> Iterator[Ours]:
        wanted = set(days)
        return (one for one in self.ours if one.day in wanted)

    def look_up(self, lines: list[Line]) -> Iterator[Ours]:
        wanted = {line.request_id for line in lines} | {line.payment_request_id for line in lines}
        return (one for one in self.ours if one.request_id in wanted)


class Killed(Exception):
    """The process died here."""


class DyingFolder(Folder):
    """Dies at the write of this number."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path)
        self.left = at

    def put(self, key: str, source: Path) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed
        super().put(key, source)


class Books:
    """A bucket, as a folder, and what is done with it."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.world = world
        (folder / "scratch").mkdir(parents=True)
        (folder / "bucket").mkdir()
        self.deliveries = 0

    def reconciler(self, store: Folder | None = None) -> Reconciler:
        tables: Any = Tables(self.world)
        return Reconciler(store or Folder(self.folder / "bucket"), tables, self.folder / "scratch")

    def receive(
        self,
        content: Table | bytes,
        name: str = NAME,
        now: datetime = NEXT_DAY,
        *,
        delivery: str | None = None,
        store: Folder | None = None,
    ) -> dict[str, Any] | None:
        """One more file in the inbox, reconciled."""
        inbox = self.folder / "bucket" / "inbox" / name
        inbox.parent.mkdir(parents=True, exist_ok=True)
        inbox.write_bytes(content if isinstance(content, bytes) else csv_bytes(content))
        self.deliveries += 1
        return self.reconciler(store).file(name, inbox, delivery or f"v{self.deliveries}", "utf-8", now)

    def result(self, file: str, name: str = NAME) -> str:
        return (self.folder / "bucket" / "results" / name / file).read_text("utf-8")

    def everything(self) -> dict[str, bytes]:
        """Every file but the inbox, by key. Archives are without their dates."""
        bucket = self.folder / "bucket"
        return {
            path.relative_to(bucket).as_posix(): b"" if path.suffix == ".gz" else path.read_bytes()
            for path in sorted(bucket.rglob("*"))
            if path.is_file() and "inbox" not in path.parts
        }


def books(folder: Path, *titles: str, size: int = 80) -> Books:
    world = clean(size)
    for title in titles:
        SEEDS[title](world)
    return Books(folder, world)


UNKNOWN = "a payment of HKD that is unknown here"
MORE = "a payment with one minor unit of HKD more there"
ABSENT = "a payment of HKD that no file has"


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("encode", [csv_bytes, xlsx_bytes])
def test_a_file_leaves_three_results(edition: str, encode: Any, tmp_path: Path) -> None:
    shop = books(tmp_path, UNKNOWN, MORE)
    document = shop.receive(encode(transactions(edition, shop.world.there)))
    assert document
    assert document["status"] == "DIFFERS"
    assert (document["differencesTotal"], document["newDifferences"]) == (2, 2)
    assert json.loads(shop.result("summary.json")) == document
    assert "missing-here" in shop.result("differences.csv")
    assert "2 differences." in shop.result("report.html")
    assert list((tmp_path / "scratch").glob("v*")) == []


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    shop = books(tmp_path, UNKNOWN)
    table = transactions(NEW, shop.world.there)
    shop.receive(table)
    before = shop.everything()
    assert shop.receive(table) is None
    assert shop.everything() == before


def test_the_same_file_under_another_name_has_results_and_nothing_new(tmp_path: Path) -> None:
    shop = books(tmp_path, UNKNOWN, MORE)
    table = transactions(NEW, shop.world.there)
    shop.receive(table)
    again = shop.receive(table, "a copy.csv")
    assert again
    assert (again["differencesTotal"], again["newDifferences"], again["sequence"]) == (2, 0, 1)


def test_a_file_whose_lines_come_in_another_order_has_nothing_new(tmp_path: Path) -> None:
    shop = books(tmp_path, UNKNOWN, MORE)
    shop.receive(transactions(NEW, shop.world.there))
    again = shop.receive(transactions(NEW, shop.world.there[::-1]), "turned.csv")
    assert again
    assert (again["differencesTotal"], again["newDifferences"]) == (2, 0)


@pytest.mark.parametrize("name", [NAME, "transactionItems_20261122_000 (1).csv"])
def test_a_file_that_was_issued_again_brings_only_what_is_new_in_it(name: str, tmp_path: Path) -> None:
    shop = books(tmp_path, UNKNOWN)
    shop.receive(transactions(NEW, shop.world.there))
    SEEDS[MORE](shop.world)
    again = shop.receive(transactions(NEW, shop.world.there), name)
    assert again
    assert (again["differencesTotal"], again["newDifferences"]) == (2, 1)
    assert again["sequence"] == (2 if name == NAME else 1)


def test_a_correction_that_settles_a_difference_has_none(tmp_path: Path) -> None:
    shop = books(tmp_path)
    wrong = [Transaction(**vars(item)) for item in shop.world.there]
    next(item for item in wrong if item.type == "PAYMENT").value = "1"
    first = shop.receive(transactions(NEW, wrong))
    second = shop.receive(transactions(NEW, shop.world.there))
    assert first
    assert second
    assert (first["status"], second["status"], second["sequence"]) == ("DIFFERS", "AGREES", 2)


@pytest.mark.parametrize("at", range(1, 7))
def test_a_run_that_dies_at_a_write_is_run_again_and_leaves_the_same(at: int, tmp_path: Path) -> None:
    whole = books(tmp_path / "whole", UNKNOWN, MORE)
    table = transactions(NEW, whole.world.there)
    expected = whole.receive(table, delivery="v1")
    shop = books(tmp_path / "dying", UNKNOWN, MORE)
    died = False
    try:
        shop.receive(table, delivery="v1", store=DyingFolder(shop.folder / "bucket", at))
    except Killed:
        died = True
        assert not (shop.folder / "bucket" / "results" / NAME / "summary.json").exists()
    assert died == (at < 6), "a file is written that this test does not know of"
    assert shop.receive(table, delivery="v1") == expected
    assert shop.everything() == whole.everything()


def test_a_run_that_is_run_again_after_its_end_answers_what_it_answered(tmp_path: Path) -> None:
    shop = books(tmp_path, UNKNOWN)
    table = transactions(NEW, shop.world.there)
    first = shop.receive(table, delivery="v1")
    assert shop.receive(table, delivery="v1", now=TWO_DAYS_LATER) == first


def test_a_refused_file_leaves_its_reason_and_no_differences(tmp_path: Path) -> None:
    shop = books(tmp_path, UNKNOWN)
    document = shop.receive(transactions(NEW, shop.world.there)[:-1])
    assert document
    assert document["status"] == "REFUSED"
    assert "<END>" in document["refusal"]["reason"]
    assert set(shop.everything()) == {f"results/{NAME}/report.html", f"results/{NAME}/summary.json"}


# --- What no file has --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "missing"), [(NEXT_DAY, 0), (TWO_DAYS_LATER, 1)])
def test_a_success_that_no_file_has_is_missing_there_two_days_later(
    now: datetime, missing: int, tmp_path: Path
) -> None:
    shop = books(tmp_path, ABSENT)
    document = shop.receive(transactions(NEW, shop.world.there), now=now)
    assert document
    assert document["differences"]["missing-there"] == missing


def test_nothing_is_missing_there_while_another_file_waits(tmp_path: Path) -> None:
    shop = books(tmp_path)
    halves = shop.world.there[:40], shop.world.there[40:]
    waiting = shop.folder / "bucket" / "inbox" / "transactionItems_20261122_001.csv"
    waiting.parent.mkdir()
    waiting.write_bytes(csv_bytes(transactions(NEW, halves[1])))
    first = shop.receive(transactions(NEW, halves[0]), now=TWO_DAYS_LATER)
    second = shop.receive(transactions(NEW, halves[1]), waiting.name, now=TWO_DAYS_LATER)
    assert first
    assert second
    assert (first["differences"]["missing-there"], second["differences"]["missing-there"]) == (0, 0)


def test_a_file_in_a_folder_of_the_inbox_does_not_wait_for_itself(tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    document = shop.receive(transactions(NEW, shop.world.there), f"2026/{NAME}", TWO_DAYS_LATER)
    assert document
    assert document["differences"]["missing-there"] == 1


def test_a_day_is_looked_through_although_no_file_came_for_it(tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    shop.receive(transactions(NEW, shop.world.there))
    document = shop.reconciler().day(TODAY, TWO_DAYS_LATER)
    assert document
    assert (document["differences"]["missing-there"], document["newDifferences"]) == (1, 1)
    assert "missing-there" in shop.result("differences.csv", f"day_{TODAY}")
    assert shop.reconciler().day(TODAY, TWO_DAYS_LATER) == document


def test_a_merchant_who_fetches_no_files_misses_nothing_in_them(tmp_path: Path) -> None:
    assert books(tmp_path, ABSENT).reconciler().day(TODAY, TWO_DAYS_LATER) is None


def test_an_order_paid_before_midnight_and_settled_after_it_is_not_missing(tmp_path: Path) -> None:
    shop = books(tmp_path)
    next(record for record in shop.world.here if record.status == "SUCCESS").day = "2026-11-23"
    shop.receive(transactions(NEW, shop.world.there))
    document = shop.reconciler().day("2026-11-23", TWO_DAYS_LATER)
    assert document
    assert document["status"] == "AGREES"


def test_what_is_init_here_and_paid_there_is_named_for_the_inquiry(tmp_path: Path) -> None:
    shop = books(tmp_path, "a payment that is INIT here and paid there", "a refund that is INIT here and done there")
    document = shop.receive(transactions(OLD, shop.world.there))
    assert document
    assert [len(document["inquired"][kind]) for kind in ("payments", "refunds")] == [1, 1]
    assert document["differences"]["status"] == 2


# --- Settlement batches ------------------------------------------------------------------------------------------

DETAILS, SUMMED = (
    "settlementItems_HKD_20261126000000000001_000.csv",
    "settlementSummary_HKD_20261126000000000001_000.csv",
)


def _batch(folder: Path) -> tuple[Books, Table, Table]:
    shop = books(folder, size=300)
    there = [item for item in shop.world.there if item.currency == "HKD"]
    return shop, settlement(NEW, there), summary(NEW, there)


@pytest.mark.parametrize("details_first", [True, False])
def test_whichever_comes_second_of_details_and_summary_finds_that_they_differ(
    details_first: bool, tmp_path: Path
) -> None:
    shop, details, stated = _batch(tmp_path)
    del details[5]
    files = [(details, DETAILS), (stated, SUMMED)]
    documents = [shop.receive(*file) for file in (files if details_first else files[::-1])]
    assert [document and document["differences"]["total"] for document in documents] == [0, 1]


def test_details_that_were_renamed_or_issued_again_are_not_counted_twice(tmp_path: Path) -> None:
    shop, details, stated = _batch(tmp_path)
    wrong = [*details[:5], *details[6:]]
    files = [(details, DETAILS), (details, "copy.csv"), (stated, SUMMED), (wrong, "again.csv"), (details, "again.csv")]
    documents = [shop.receive(*file) for file in files]
    assert [document and document["differences"]["total"] for document in documents] == [0, 0, 0, 0, 0]


def test_parts_out_of_order_wait_for_the_one_between_them(tmp_path: Path) -> None:
    shop, details, stated = _batch(tmp_path)
    head, body, end = details[0], details[1:-1], details[-1]
    parts = [[head, *body[at::3], end] for at in range(3)]
    names = [DETAILS.replace("_000.", f"_{at:03d}.") for at in range(3)]
    files = [(stated, SUMMED), (parts[2], names[2]), (parts[0], names[0]), (parts[1], names[1])]
    documents = [shop.receive(*file) for file in files]
    assert [document and document["differences"]["total"] for document in documents] == [0, 0, 0, 0]
