"""What the inbox tells, books and leaves to be inquired, with the tables and the bus in memory."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from autodebit.alipay.amount import Amount
from autodebit.errors import EventFault, OrderNotFound
from autodebit.event_bus import Refusal
from autodebit.events import Event
from autodebit.payment.order import Status as OrderStatus
from autodebit.reconciliation.inbox import Inbox
from autodebit.reconciliation.records import Records
from autodebit.reconciliation.reports import Line
from autodebit.reconciliation.store import Folder
from autodebit.refund.refund import Refund, Status, Witness

from tests.rules.reconciliation.alipay_files import NEW, OLD, Table, csv_bytes, settlement, summary, transactions
from tests.rules.reconciliation.world import TODAY, World

NAME = "transactionItems_20261122_000.csv"
NEXT_DAY = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
EVENING = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class Bucket(Folder):
    """A folder in place of the bucket; what is put under `rest/` is what would begin an execution."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.begun: list[str] = []

    def fetch_declared(self, key: str, target: Path) -> str | None:
        return "utf-8" if self.fetch(key, target) else None

    def put(self, key: str, source: Path) -> None:
        super().put(key, source)
        if key.startswith("rest/"):
            self.begun.append(key)


class Bus:
    """Keeps the events, unless it is out of reach."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.out_of_reach = False

    def put(self, batch: Sequence[Event]) -> list[Refusal | None]:
        if self.out_of_reach:
            return [Refusal("InternalFailure", throttled=False)]
        self.told += [event.event_id for event in batch]
        return [None]


class Tables:
    """Orders and refunds of a world, in place of both tables."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.booked: list[Refund] = []

    def get_many(self, keys: Iterable[str]) -> Iterator[Any]:
        wanted = set(keys)
        return (self._order(one) for one in self._world.here if one.type == "PAYMENT" and one.request_id in wanted)

    def settled_on(self, day: str) -> Iterator[Any]:
        return (self._order(one) for one in self._world.here if one.type == "PAYMENT" and one.day == day)

    def get(self, key: str) -> Any:
        for order in self.get_many([key]):
            return order
        raise OrderNotFound(key)

    def of_order(self, order: Any) -> list[Refund]:
        return []

    def observe(self, refund: Refund, order: Any) -> Refund:
        self.booked.append(refund)
        return refund

    def _order(self, record: Any) -> Any:
        return SimpleNamespace(
            key=record.request_id,
            payment_request_id=record.request_id,
            payment_id=record.payment_id,
            amount=Amount(record.currency, str(record.minor)),
            status=OrderStatus(record.status),
            refundable=record.minor if record.status == "SUCCESS" else None,
            settled_at=None if record.status == "INIT" else datetime(2026, 11, 22, 4, 0, tzinfo=UTC),
            payment_time=None,
            refunded=None,
        )


class NoRefunds(Tables):
    """The refunds' side: none is known here."""

    def get_many(self, keys: Iterable[str]) -> Iterator[Any]:
        return iter(())

    settled_on = get_many  # type: ignore[assignment]


class Shop:
    """The inbox of a world."""

    def __init__(self, folder: Path, world: World) -> None:
        (folder / "scratch").mkdir()
        self.bucket, self.bus, self.refunds = Bucket(folder / "bucket"), Bus(), NoRefunds(world)
        self.folder = folder
        bucket, orders, refunds, bus = cast(Any, (self.bucket, Tables(world), self.refunds, self.bus))
        self.inbox = Inbox(bucket, orders, refunds, bus, folder / "scratch")
        self.deliveries = 0

    def receive(self, table: Table, name: str = NAME, now: datetime = NEXT_DAY) -> dict[str, Any]:
        (self.folder / "content").write_bytes(csv_bytes(table))
        self.bucket.put(f"inbox/{name}", self.folder / "content")
        self.deliveries += 1
        return self.inbox.receive(f"inbox/{name}", f"v{self.deliveries}", now)

    def summary(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "bucket" / "results" / name / "summary.json").read_text())
        return found


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def shop(world: World, tmp_path: Path) -> Shop:
    return Shop(tmp_path, world)


@pytest.mark.parametrize(("status", "booked"), [("SUCCESS", 1), ("FAIL", 0), ("PROCESSING", 0)])
def test_a_refund_made_in_the_portal_is_booked_if_it_succeeded(
    status: str, booked: int, shop: Shop, world: World
) -> None:
    world.refund(2, world.pay(1, "HKD", 4200), "HKD", 100, here=False)
    world.line("REFUND", 2).status = status
    shop.receive(transactions(NEW, world.there))
    assert [(one.refund_request_id, one.refund_id, one.amount.value) for one in shop.refunds.booked] == [
        ("ref-000000002", None, "100")
    ] * booked


def test_a_refund_of_an_older_file_whose_payment_is_not_named_is_not_booked(shop: Shop, world: World) -> None:
    world.refund(2, world.pay(1, "HKD", 4200), "HKD", 100, here=False)
    shop.receive(transactions(OLD, world.there))
    assert shop.refunds.booked == []
    assert shop.summary(NAME)["differences"]["refund-observed"] == 1


def test_what_is_too_much_for_one_execution_is_handed_on(shop: Shop, world: World) -> None:
    for at in range(700):
        world.refund(1000 + at, world.pay(at, "HKD", 4200), "HKD", 100, here=False)
        if at % 2:
            world.record("PAYMENT", at).status = "INIT"
    answers = [shop.receive(transactions(NEW, world.there))]
    while answers[-1]["next"]:
        assert shop.inbox.hand_on(answers[-1]["next"]) == {"payments": [], "refunds": [], "next": ""}
        assert shop.bucket.begun[-1] == answers[-1]["next"]
        answers.append(shop.inbox.receive(shop.bucket.begun[-1], "another event", NEXT_DAY))
    assert [len(answer["payments"]) for answer in answers] == [350, 0, 0]
    assert len({payment for answer in answers for payment in answer["payments"]}) == 350
    assert len(shop.refunds.booked) == 350, "the payments that are INIT have nothing to refund yet"
    assert shop.bus.told == [f"{NAME}:1"]


def test_a_file_that_could_not_be_told_is_told_when_it_is_put_again(shop: Shop, world: World) -> None:
    world.refund(2, world.pay(1, "HKD", 4200), "HKD", 100, here=False)
    world.pay(3, "HKD", 4200)
    world.record("PAYMENT", 3).status = "INIT"
    shop.bus.out_of_reach = True
    with pytest.raises(EventFault):
        shop.receive(transactions(NEW, world.there))
    shop.bus.out_of_reach = False
    answer = shop.receive(transactions(NEW, world.there))
    assert (answer["payments"], shop.bus.told) == (["ord-000000003"], [f"{NAME}:1"])
    assert {one.refund_request_id for one in shop.refunds.booked} == {"ref-000000002"}
    assert shop.receive(transactions(NEW, world.there))["payments"] == []
    assert shop.bus.told == [f"{NAME}:1"]


def test_an_evening_looks_through_the_days_before_it_and_tells_each_once(shop: Shop, world: World) -> None:
    world.pay(1, "HKD", 4200)
    world.pay(3, "HKD", 4200, there=False)
    shop.receive(transactions(NEW, world.there))
    shop.bus.out_of_reach = True
    with pytest.raises(EventFault):
        shop.inbox.end_of_days(EVENING)
    shop.bus.out_of_reach = False
    later = EVENING + timedelta(days=1)
    shop.inbox.end_of_days(later)
    shop.inbox.end_of_days(later)
    assert shop.bus.told == [f"{NAME}:1", f"day_{TODAY}:1", "day_2026-11-23:1"]
    assert shop.summary(f"day_{TODAY}")["differences"]["missing-there"] == 1


def test_an_evening_tells_nothing_where_no_file_ever_came(shop: Shop, world: World) -> None:
    world.pay(1, "HKD", 4200)
    assert shop.inbox.end_of_days(EVENING) == {"payments": [], "refunds": [], "next": ""}
    assert shop.bus.told == []


def test_an_evening_tells_of_a_batch_that_has_lacked_lines_for_two_days(shop: Shop, world: World) -> None:
    for at in range(4):
        world.pay(at, "HKD", 4200)
    details = settlement(NEW, world.there)
    shop.receive(summary(NEW, world.there), "settlementSummary_HKD_1_000.csv")
    shop.receive([details[0], *details[1:3], details[-1]], "settlementItems_HKD_1_000.csv")
    shop.inbox.end_of_days(NEXT_DAY + timedelta(days=1))
    assert not [one for one in shop.bus.told if one.startswith("batch_")]
    for _ in range(2):
        shop.inbox.end_of_days(NEXT_DAY + timedelta(days=2))
    told = [one for one in shop.bus.told if one.startswith("batch_")]
    assert told == ["batch_20261126000000000001,HKD:1"]
    assert shop.summary("batch_20261126000000000001,HKD")["differences"]["total"] == 1


def test_a_day_that_waited_is_concluded_with_the_file_that_it_waited_for(shop: Shop, world: World) -> None:
    for at in range(4):
        world.pay(at, "HKD", 4200, there=at > 0)
    (shop.folder / "content").write_bytes(csv_bytes(transactions(NEW, [])))
    shop.bucket.put("inbox/transactionItems_20261121_000.csv", shop.folder / "content")
    shop.receive(transactions(NEW, world.there), now=EVENING)
    assert shop.summary(NAME)["differences"]["missing-there"] == 0
    shop.inbox.receive("inbox/transactionItems_20261121_000.csv", "v2", EVENING)
    assert shop.bus.told[1:] == [f"day_{TODAY}:1", "transactionItems_20261121_000.csv:1"]
    assert shop.summary(f"day_{TODAY}")["differences"]["missing-there"] == 1


def test_a_refund_that_was_observed_is_of_no_day_and_so_not_looked_for_there(world: World) -> None:
    world.pay(1, "HKD", 4200)
    refund = Refund(
        refund_request_id="portal-1",
        payment_request_id="ord-000000001",
        status=Status.SUCCESS,
        amount=Amount("HKD", "100"),
        created_at=NEXT_DAY,
        observed=True,
        body="",
        attempt="observer",
        attempted_at=NEXT_DAY,
        settled_by=Witness.INQUIRY,
        settled_at=NEXT_DAY,
    )
    refunds: Any = SimpleNamespace(get_many=lambda _: [], of_order=lambda _: [refund])
    orders: Any = Tables(world)
    line = Line("", 2, "REFUND", "ord-000000001", "", "p", "r", "HKD", -100, "SUCCESS", TODAY, "", "", None)
    assert [one.day for one in Records(orders, refunds).look_up([line])] == [""]
