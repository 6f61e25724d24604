"""A share of the schedules that takes less than a minute; `python -m tests.proof.schedules` has all of them."""

import pytest

from .agreement import compare, emulator
from .bugs import BUGS, Bug, find
from .changes import Edited, Gone, Replaced, never_assigned
from .product import Product
from .refund_bugs import REFUND_BUGS
from .search import ALL, PAIRS, execute, execute_some, exhaust, read, written
from .world import Bounds, Violation


@pytest.fixture(scope="module")
def product() -> Product:
    return Product()


@pytest.mark.parametrize("bounds", PAIRS[:8:2], ids=str)
def test_no_schedule_of_a_pair_of_handlers_breaks_a_rule(product: Product, bounds: Bounds) -> None:
    search = exhaust(product, bounds)
    assert search.broken is None, search.broken
    assert search.classes > 100


def test_no_schedule_by_chance_breaks_a_rule(product: Product) -> None:
    digests, broken = execute_some(product, ALL, seed=0, number=200)
    assert broken is None, broken
    assert len(digests) > 180


@pytest.mark.parametrize("bug", [*BUGS, *REFUND_BUGS], ids=lambda bug: bug.name)
def test_a_seeded_bug_finds_its_place(bug: Bug) -> None:
    Product(bug.changes)


@pytest.mark.parametrize("bug", [*BUGS, *REFUND_BUGS][1::8], ids=lambda bug: bug.name)
def test_a_seeded_bug_breaks_a_rule(bug: Bug) -> None:
    assert find(bug) is not None


def test_a_schedule_is_replayed_from_its_text() -> None:
    bug = next(bug for bug in BUGS if bug.name == "an F on a second call is believed")
    broken = find(bug)
    assert broken
    bounds, schedule = read(written(broken.bounds, broken.schedule))
    with pytest.raises(Violation) as found:
        list(execute(Product(bug.changes), bounds, schedule))
    assert found.value.rule == "the result is Alipay's"


@pytest.mark.parametrize(
    "name", ["no_such_module:name", "payment.order_table:NoSuchClass.settle", "payment.order_table:OrderTable.no_such"]
)
def test_a_bug_whose_place_has_gone_is_no_bug_that_is_caught(name: str) -> None:
    with pytest.raises(Gone):
        Product([Replaced(name, lambda old, named: old)])
    with pytest.raises(Gone):
        Product([Edited(name, lambda node: 1)])


def test_an_edit_that_finds_nothing_to_change_is_no_bug_that_is_caught() -> None:
    with pytest.raises(Gone):
        Product([never_assigned("payment.initiate:Initiator._pay", "no_such_variable")])


def test_the_rows_in_memory_agree_with_the_emulator(product: Product) -> None:
    with emulator() as client:
        compared, differences = compare(product, client, histories=200)
    assert compared == 200
    assert differences == []
