"""One file after the other through a folder: what is new is told, what was there changes nothing, what dies goes on."""

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
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
        self._live()
        super().put(key, source)

    def remove(self, key: str) -> None:
        self._live()
        super().remove(key)

    def _live(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


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
        told: bool = True,
    ) -> dict[str, Any] | None:
        """One more file in the inbox, reconciled and told."""
        inbox = self.folder / "bucket" / "inbox" / name
        inbox.parent.mkdir(parents=True, exist_ok=True)
        inbox.write_bytes(content if isinstance(content, bytes) else csv_bytes(content))
        self.deliveries += 1
        reconciler = self.reconciler(store)
        document = reconciler.file(name, inbox, delivery or f"v{self.deliveries}", "utf-8", now)
        if document and told:
            reconciler.done(document)
        return document

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


@pytest.mark.parametrize("at", range(1, 9))
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
        written = (shop.folder / "bucket" / "results" / NAME / "summary.json").exists()
        assert written == (at == 7), "the summary is the last of the results; that it was told is noted after it"
    assert died == (at < 8), "a file is written that this test does not know of"
    assert shop.receive(table, delivery="v1") == expected
    assert shop.everything() == whole.everything()


@pytest.mark.parametrize("at", range(1, 11))
def test_what_another_file_of_the_name_left_is_gone_before_anything_new_is_written(at: int, tmp_path: Path) -> None:
    """At every moment `summary.json` is of the same file as what lies beside it."""
    shop = books(tmp_path, UNKNOWN, MORE)
    table = transactions(NEW, shop.world.there)
    shop.receive(table)
    results = shop.folder / "bucket" / "results" / NAME
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    with suppress(Killed):
        shop.receive(table[:-1], delivery="v2", store=DyingFolder(shop.folder / "bucket", at))
    found = {path.name: path.read_bytes() for path in results.iterdir()}
    if "summary.json" in found and found != before:
        assert json.loads(found["summary.json"])["status"] == "REFUSED"
        assert set(found) == {"summary.json", "report.html"}
        assert b"The file was refused" in found["report.html"]
    again = shop.receive(table[:-1], delivery="v2")
    assert again
    assert (again["status"], again["sequence"]) == ("REFUSED", 2)
    assert {path.name for path in results.iterdir()} == {"summary.json", "report.html"}


def test_what_was_not_told_comes_again_with_the_same_file(tmp_path: Path) -> None:
    shop = books(tmp_path, UNKNOWN)
    table = transactions(NEW, shop.world.there)
    first = shop.receive(table, told=False)
    assert shop.receive(table) == first
    assert shop.receive(table) is None


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
    assert {key for key in shop.everything() if key.startswith("results/")} == {
        *(f"results/{NAME}/report.html", f"results/{NAME}/summary.json")
    }


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


def test_files_that_waited_for_each_other_conclude_their_day_once_none_waits(tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    halves = transactions(NEW, shop.world.there[:40]), transactions(NEW, shop.world.there[40:])
    names = [f"transactionItems_20261122_00{at}.csv" for at in range(2)]
    inbox = shop.folder / "bucket" / "inbox"
    inbox.mkdir()
    (inbox / names[1]).write_bytes(csv_bytes(halves[1]))
    shop.receive(halves[0], names[0], TWO_DAYS_LATER)
    assert list(shop.reconciler().reported_days(TWO_DAYS_LATER)) == [], "the other one waits"
    (inbox / "at the same time.csv").touch()
    second = shop.receive(halves[1], names[1], TWO_DAYS_LATER)
    assert second
    assert second["differences"]["missing-there"] == 0
    (inbox / "at the same time.csv").unlink()
    assert list(shop.reconciler().reported_days(NEXT_DAY)) == [], "it is not late enough"
    [document] = shop.reconciler().reported_days(TWO_DAYS_LATER)
    assert (document["file"], document["differences"]["missing-there"]) == (f"day_{TODAY}", 1)
    shop.reconciler().done(document)
    assert list(shop.reconciler().reported_days(TWO_DAYS_LATER)) == []


def test_a_day_that_a_file_concluded_waits_for_nothing(tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    table = transactions(NEW, shop.world.there)
    shop.receive(table, "first.csv")
    shop.receive(table, "second.csv", TWO_DAYS_LATER)
    assert list(shop.reconciler().reported_days(TWO_DAYS_LATER)) == []


@pytest.mark.parametrize("days", [0, 1, 35])
def test_a_day_that_no_evening_looked_through_is_made_up_for(days: int, tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    shop.receive(transactions(NEW, shop.world.there))
    found = list(shop.reconciler().days(TWO_DAYS_LATER + timedelta(days)))
    assert found[0]["file"] == f"day_{TODAY}"
    assert [document["differences"]["missing-there"] for document in found] == [1, *[0] * min(days, 7)]
    assert list(shop.reconciler().days(TWO_DAYS_LATER + timedelta(days))) == found, "nobody said that it was told"
    for document in found:
        shop.reconciler().done(document)
    assert list(shop.reconciler().days(TWO_DAYS_LATER + timedelta(days))) == []


def test_a_day_is_not_made_up_for_without_end(tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    shop.receive(transactions(NEW, shop.world.there))
    found = list(shop.reconciler().days(TWO_DAYS_LATER + timedelta(36)))
    assert f"day_{TODAY}" not in {document["file"] for document in found}


def test_a_file_that_waits_keeps_a_day_open_for_one_day_more(tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    shop.receive(transactions(NEW, shop.world.there))
    (shop.folder / "bucket" / "inbox" / "waits.csv").touch()
    assert list(shop.reconciler().days(TWO_DAYS_LATER)) == []
    assert [one["file"] for one in shop.reconciler().days(TWO_DAYS_LATER + timedelta(1))] == [f"day_{TODAY}"]


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_success_is_missing_there_if_the_file_of_its_day_is_empty(edition: str, tmp_path: Path) -> None:
    shop = books(tmp_path, size=0)
    shop.world.pay(1, "HKD", 4200, there=False)
    now = shop.receive(transactions(edition, []), now=TWO_DAYS_LATER)
    assert now
    assert (now["lines"], now["days"], now["differences"]["missing-there"]) == (0, {TODAY: 0}, 1)
    earlier = books(tmp_path / "earlier", size=0)
    earlier.world.pay(1, "HKD", 4200, there=False)
    earlier.receive(transactions(edition, []))
    [document] = earlier.reconciler().days(TWO_DAYS_LATER)
    assert document["differences"]["missing-there"] == 1


@pytest.mark.parametrize("name", ["empty.csv", "items_20261399.csv", "items_120261122.csv", "x_202611221.csv"])
def test_an_empty_file_with_no_day_in_its_name_is_of_no_day(name: str, tmp_path: Path) -> None:
    shop = books(tmp_path, size=0)
    shop.world.pay(1, "HKD", 4200, there=False)
    document = shop.receive(transactions(NEW, []), name, TWO_DAYS_LATER)
    assert document
    assert (document["status"], document["days"]) == ("AGREES", {})


def test_a_day_is_looked_through_although_no_file_came_for_it(tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    shop.receive(transactions(NEW, shop.world.there))
    document = shop.reconciler().day(TODAY, TWO_DAYS_LATER)
    assert document
    assert (document["differences"]["missing-there"], document["newDifferences"]) == (1, 1)
    assert "missing-there" in shop.result("differences.csv", f"day_{TODAY}")
    assert shop.reconciler().day(TODAY, TWO_DAYS_LATER) == document


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_merchant_who_fetches_settlement_files_alone_misses_nothing_in_others(edition: str, tmp_path: Path) -> None:
    shop = books(tmp_path, ABSENT)
    shop.receive(settlement(edition, shop.world.there), "settlementItems_HKD_1_000.csv")
    assert list(shop.reconciler().days(TWO_DAYS_LATER + timedelta(5))) == []


def test_a_stray_line_of_the_day_before_does_not_make_that_day_one_of_files(tmp_path: Path) -> None:
    shop = books(tmp_path, size=0)
    for at in range(3):
        shop.world.pay(at, "HKD", 4200)
    shop.world.there[0].time, shop.world.here[0].day = "2026-11-21T23:59:59+08:00", "2026-11-21"
    shop.world.pay(4, "HKD", 4200, there=False)
    shop.world.record("PAYMENT", 4).day = "2026-11-21"
    shop.receive(transactions(NEW, shop.world.there))
    assert [document["file"] for document in shop.reconciler().days(TWO_DAYS_LATER)] == [f"day_{TODAY}"]


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
    assert shop.reconciler().rest("v1", 1) == document["inquired"] | {"observed": [], "next": None}


def test_all_is_inquired_and_booked_though_the_summary_names_the_first(tmp_path: Path) -> None:
    shop = books(tmp_path, size=0)
    for at in range(600):
        shop.world.pay(at, "HKD", 4200)
        shop.world.record("PAYMENT", at).status = "INIT"
        shop.world.refund(1000 + at, at, "HKD", 100, here=False)
    document = shop.receive(transactions(NEW, shop.world.there))
    assert document
    assert (len(document["inquired"]["payments"]), len(document["observed"])) == (500, 500)
    assert "500 or more undecided" in shop.result("report.html")
    steps = [shop.reconciler().rest("v1", at) for at in range(1, 5)]
    assert [step["next"] for step in steps] == [2, 3, None, None]
    assert {payment for step in steps for payment in step["payments"]} == {f"ord-{at:09d}" for at in range(600)}
    assert len([refund for step in steps for refund in step["observed"]]) == 600
    assert max(len(step["payments"]) + len(step["observed"]) for step in steps) == 500


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
    details[5][details[0].index("settlementAmountValue")] = "0.01"
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


def test_a_summary_waits_for_all_the_lines_that_it_counts(tmp_path: Path) -> None:
    shop, details, stated = _batch(tmp_path)
    parts = [[details[0], *half, details[-1]] for half in (details[1:20], details[20:-1])]
    files = [(stated, SUMMED), (parts[0], DETAILS), (parts[1], DETAILS.replace("_000.", "_001."))]
    documents = [shop.receive(*file) for file in files]
    assert [document and document["differences"]["total"] for document in documents] == [0, 0, 0]
    assert list(shop.reconciler().batches("2026-11-23", NEXT_DAY)) == [], "it waits no more"


def test_a_batch_that_lacks_lines_for_two_days_is_told_once(tmp_path: Path) -> None:
    shop, details, stated = _batch(tmp_path)
    parts = [[details[0], *details[1:-1][at::3], details[-1]] for at in range(3)]
    for table, name in ((stated, SUMMED), (parts[0], DETAILS), (parts[2], DETAILS.replace("_000.", "_002."))):
        document = shop.receive(table, name)
        assert document
        assert document["differences"]["total"] == 0
    assert list(shop.reconciler().batches("2026-11-22", NEXT_DAY)) == [], "it has not waited for so long"
    found = list(shop.reconciler().batches("2026-11-23", TWO_DAYS_LATER + timedelta(1)))
    [document] = found
    assert document["file"] == "batch_20261126000000000001,HKD"
    assert document["differences"]["total"] == document["newDifferences"] == document["differencesTotal"] > 0
    assert list(shop.reconciler().batches("2026-11-23", TWO_DAYS_LATER + timedelta(1))) == found
    shop.reconciler().done(document)
    assert list(shop.reconciler().batches("2026-11-24", TWO_DAYS_LATER + timedelta(2))) == []
