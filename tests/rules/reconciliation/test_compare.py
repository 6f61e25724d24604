"""Every difference is found under its name, and nothing else is."""

from pathlib import Path

import pytest
from autodebit.reconciliation.books import Books
from autodebit.reconciliation.compare import Observed, Ours
from autodebit.reconciliation.reports import Line, ReportRefused

from tests.rules.reconciliation.alipay_files import EDITIONS, NEW, OLD, Transaction, settlement, transactions
from tests.rules.reconciliation.reading import FORMATS, compare, named, ours, read
from tests.rules.reconciliation.world import NEXT, SEEDS, TODAY, World, clean


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("edition", EDITIONS)
def test_each_kind_of_difference_is_found_and_nothing_else(edition: str, form: str, tmp_path: Path) -> None:
    world = clean(500)
    expected = sorted(seed(world) for seed in SEEDS.values())
    _, differences = compare(tmp_path / "books", [read(transactions(edition, world.there), form, tmp_path)], world)
    assert named(differences) == expected


def test_there_are_sixty_kinds_at_least() -> None:
    assert len(SEEDS) >= 60


@pytest.mark.parametrize("writer", [transactions, settlement])
@pytest.mark.parametrize("edition", EDITIONS)
def test_a_clean_day_has_no_difference(edition: str, writer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    world = clean(5000)
    compared, differences = compare(tmp_path / "books", [read(writer(edition, world.there), "csv", tmp_path)], world)
    assert differences == []
    assert list(compared.to_inquire) == []
    assert compared.staged.lines == len(world.there)


@pytest.mark.parametrize("status", ["FAIL", "PROCESSING", "CANCELLED", "NEVER_HEARD_OF", ""])
def test_a_success_here_that_is_none_there_differs(status: str, tmp_path: Path) -> None:
    world = clean(30)
    world.pay(NEXT, "HKD", 4200)
    world.line("PAYMENT", NEXT).status = status
    compared, differences = compare(tmp_path / "books", [read(transactions(NEW, world.there), "csv", tmp_path)], world)
    assert named(differences) == [("status", f"ord-{NEXT:09d}")]
    assert list(compared.to_inquire) == []


@pytest.mark.parametrize("status", ["PROCESSING", "NEVER_HEARD_OF", ""])
def test_undecided_on_both_sides_is_no_difference(status: str, tmp_path: Path) -> None:
    world = World()
    world.pay(NEXT, "HKD", 4200)
    world.line("PAYMENT", NEXT).status = status
    world.record("PAYMENT", NEXT).status = "INIT"
    compared, differences = compare(tmp_path / "books", [read(transactions(NEW, world.there), "csv", tmp_path)], world)
    assert (differences, list(compared.to_inquire)) == ([], [])


@pytest.mark.parametrize("edition", EDITIONS)
def test_init_here_and_paid_there_is_listed_for_inquiry(edition: str, tmp_path: Path) -> None:
    world = World()
    world.pay(NEXT, "HKD", 4200)
    world.refund(NEXT + 1, NEXT, "HKD", 100)
    for record in world.here:
        record.status, record.day = "INIT", ""
    compared, differences = compare(
        tmp_path / "books", [read(transactions(edition, world.there), "csv", tmp_path)], world
    )
    assert [one.request_id for one in compared.to_inquire] == [f"ord-{NEXT:09d}", f"ref-{NEXT + 1:09d}"]
    assert [one.name for one in differences] == ["status", "status"]


@pytest.mark.parametrize(("name", "attribute", "value"), [("amount", "minor", 4300), ("currency", "currency", "USD")])
def test_init_here_and_paid_there_otherwise_is_inquired_and_told(
    name: str, attribute: str, value: object, tmp_path: Path
) -> None:
    world = World()
    world.pay(NEXT, "HKD", 4200)
    world.record("PAYMENT", NEXT).status = "INIT"
    setattr(world.record("PAYMENT", NEXT), attribute, value)
    compared, differences = compare(tmp_path / "books", [read(transactions(NEW, world.there), "csv", tmp_path)], world)
    assert named(differences) == [(name, f"ord-{NEXT:09d}")]
    assert [one.request_id for one in compared.to_inquire] == [f"ord-{NEXT:09d}"]


@pytest.mark.parametrize("status", ["FAIL", "PROCESSING", "NEVER_HEARD_OF", ""])
def test_a_refund_that_nobody_asked_for_and_that_moved_nothing_is_no_difference(status: str, tmp_path: Path) -> None:
    world = World()
    world.refund(2, world.pay(1, "HKD", 4200), "HKD", 100, here=False)
    world.line("REFUND", 2).status = status
    compared, differences = compare(tmp_path / "books", [read(transactions(NEW, world.there), "csv", tmp_path)], world)
    assert (differences, list(compared.observed)) == ([], [])


@pytest.mark.parametrize(("edition", "refund_id"), [(NEW, ""), (OLD, "202611221940108002001888000000002")])
def test_an_observed_refund_has_a_refund_id_only_if_its_line_has_one(
    edition: str, refund_id: str, tmp_path: Path
) -> None:
    world = World()
    world.refund(2, world.pay(1, "HKD", 4200), "HKD", 100, here=False)
    report = read(transactions(edition, world.there), "csv", tmp_path)
    compared, differences = compare(tmp_path / "books", [report], world)
    payment = "ord-000000001" if edition == NEW else ""
    assert list(compared.observed) == [Observed("ref-000000002", payment, refund_id, "HKD", 100)]
    assert named(differences) == [("refund-observed", "ref-000000002")]


@pytest.mark.parametrize("status", ["FAIL", "PROCESSING"])
@pytest.mark.parametrize(("minor", "found"), [(4200, []), (4300, [("amount", "ord-000000001")])])
def test_a_cancel_that_was_refused_leaves_the_payment_to_its_own_line(
    status: str, minor: int, found: list[tuple[str, str]], tmp_path: Path
) -> None:
    world = World()
    world.pay(1, "HKD", 4200)
    world.record("PAYMENT", 1).minor = minor
    for _ in range(2):
        world.there.append(Transaction(**{**vars(world.line("PAYMENT", 1)), "type": "CANCEL", "status": status}))
    _, differences = compare(tmp_path / "books", [read(transactions(NEW, world.there), "csv", tmp_path)], world)
    assert named(differences) == found


def test_nothing_is_missing_there_before_its_day_is_concluded(tmp_path: Path) -> None:
    world = clean(60)
    world.pay(NEXT, "HKD", 4200, there=False)
    report = read(transactions(NEW, world.there), "csv", tmp_path)
    assert compare(tmp_path / "books", [report], world, concluded=())[1] == []


@pytest.mark.parametrize("edition", EDITIONS)
def test_what_an_earlier_file_had_is_not_missing_there(edition: str, tmp_path: Path) -> None:
    world = clean(200)
    first = read(transactions(edition, world.there[::2]), "csv", tmp_path)
    second = read(transactions(edition, world.there[1::2]), "csv", tmp_path)
    books = Books(tmp_path / "books")
    books.add([second])
    books.enter_seen(first.lines)
    books.enter(ours(world.here))
    found = list(books.compare(lambda _: (), {TODAY}).differences)
    cancels = {item.payment_request_id for item in world.there if item.type == "CANCEL"}
    assert {one.request_id for one in found} <= cancels  # a payment and its cancel may stand in two files


def test_numbered_parts_are_one_report(tmp_path: Path) -> None:
    world = clean(300)
    world.pay(NEXT, "HKD", 4200)
    again = world.line("PAYMENT", NEXT)
    parts = [world.there[:100], [*world.there[100:200], again], world.there[200:]]
    reports = [
        read(transactions(NEW, part), "csv", tmp_path, f"transactionItems_20261122_{at:03d}")
        for at, part in enumerate(parts)
    ]
    _, differences = compare(tmp_path / "books", reports, world)
    assert [(one.name, one.file) for one in differences] == [("twice", "transactionItems_20261122_002.csv")]


def test_a_refused_part_leaves_nothing_behind(tmp_path: Path) -> None:
    world = clean(60)
    good = read(transactions(NEW, world.there), "csv", tmp_path)
    cut_off = read(transactions(NEW, world.there)[:-1], "csv", tmp_path)
    books = Books(tmp_path / "books")
    with pytest.raises(ReportRefused):
        books.add([good, cut_off])
    assert books.add([read(transactions(NEW, world.there[:5]), "csv", tmp_path)]).lines == 5


def test_lines_of_other_products_are_counted_and_not_compared(tmp_path: Path) -> None:
    world = clean(60)
    world.there.append(Transaction("PAYMENT", "till-1", "2026112219", "10.00", "HKD", product="CASHIER_PAYMENT"))
    world.there.append(Transaction("ADJUSTMENT_FEE", "", "", "3.00", "HKD"))
    world.there.append(Transaction("SOMETHING_OF_2027", "", "", "3.00", "HKD"))
    compared, differences = compare(tmp_path / "books", [read(transactions(NEW, world.there), "csv", tmp_path)], world)
    assert differences == []
    assert compared.staged.not_compared == {
        "CASHIER_PAYMENT:PAYMENT": 1,
        "ADJUSTMENT_FEE": 1,
        "SOMETHING_OF_2027": 1,
    }


def test_sums_are_by_type_and_currency(tmp_path: Path) -> None:
    world = World()
    world.pay(1, "HKD", 4200)
    world.pay(2, "HKD", 800)
    world.pay(3, "JPY", 700)
    world.refund(4, 1, "HKD", 200)
    world.record("PAYMENT", 2).minor = 900
    compared, _ = compare(tmp_path / "books", [read(transactions(OLD, world.there), "csv", tmp_path)], world)
    assert {key: (one.count_there, one.amount_there, one.amount_here) for key, one in compared.sums.items()} == {
        ("PAYMENT", "HKD"): (2, 5000, 5100),
        ("PAYMENT", "JPY"): (1, 700, 700),
        ("REFUND", "HKD"): (1, -200, -200),
    }


def test_a_record_that_was_not_entered_is_looked_up(tmp_path: Path) -> None:
    world = clean(60)
    known = {one.request_id: one for one in ours(world.here)}
    asked: list[str] = []

    def look_up(lines: list[Line]) -> list[Ours]:
        asked.extend(line.request_id for line in lines)
        return [known[line.request_id] for line in lines]

    report = read(transactions(NEW, world.there), "csv", tmp_path)
    _, differences = compare(tmp_path / "books", [report], World(), look_up=look_up)
    assert differences == []
    assert len(asked) == len(world.there)


def test_an_old_refund_that_repeats_its_payments_request_id_is_found_by_its_refund_id(tmp_path: Path) -> None:
    world = World()
    world.pay(1, "KRW", 18000)
    world.refund(2, 1, "KRW", 9000)
    world.refund(3, 1, "KRW", 4000)
    for item in world.there:
        if item.type == "REFUND":
            item.refund_request_id = item.payment_request_id
    _, differences = compare(tmp_path / "books", [read(transactions(OLD, world.there), "csv", tmp_path)], world)
    assert differences == []


def test_an_old_refund_whose_refund_id_is_not_known_here_is_found_by_its_request_id(tmp_path: Path) -> None:
    world = World()
    world.pay(1, "HKD", 4200)
    world.refund(2, 1, "HKD", 100)
    world.record("REFUND", 2).refund_id = ""
    assert compare(tmp_path / "books", [read(transactions(OLD, world.there), "csv", tmp_path)], world)[1] == []


def test_a_payment_cancelled_after_midnight_does_not_differ_before_the_next_days_file(tmp_path: Path) -> None:
    world = World()
    world.pay(1, "HKD", 4200)
    world.record("PAYMENT", 1).status, world.record("PAYMENT", 1).day = "CANCELLED", "2026-11-23"
    assert compare(tmp_path / "books", [read(transactions(OLD, world.there), "csv", tmp_path)], world)[1] == []


def test_what_was_compared_before_a_crash_is_not_compared_again(tmp_path: Path) -> None:
    world = clean(400)
    name, about = SEEDS["a payment of HKD that is unknown here"](world)
    full, _ = compare(tmp_path / "whole", [read(transactions(NEW, world.there), "csv", tmp_path)], World())
    looked_up = 0

    class Killed(Exception):
        pass

    def killed_after_fifty(lines: list[Line]) -> list[Ours]:
        nonlocal looked_up
        looked_up += 1
        if looked_up == 50:
            raise Killed
        return [known[line.request_id] for line in lines if line.request_id in known]

    known = {one.request_id: one for one in ours(world.here)}
    report = read(transactions(NEW, world.there), "csv", tmp_path)
    with pytest.raises(Killed):
        compare(tmp_path / "books", [report], World(), look_up=killed_after_fifty)
    _, differences = compare(tmp_path / "books", [], World(), look_up=killed_after_fifty)
    assert named(differences) == [(name, about)]
    assert looked_up <= 128 + 1  # each part once, and the one that was under way again
    assert full.counts["missing-here"] > 300
