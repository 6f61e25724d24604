"""Portal refunds in Alipay's files: each is booked once, whatever the edition tells of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from autodebit.reconciliation.inbox import Inbox
from autodebit.reconciliation.store import Folder
from autodebit.refund.refund import Status

from tests.kit.refunds import REFUND_REQUEST_ID, refused, transaction
from tests.kit.samples import ID, PAYMENT_ID, paid
from tests.rules.reconciliation.alipay_files import EDITIONS, NEW, OLD, Transaction, csv_bytes, transactions

from .conftest import World

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


class Bucket(Folder):
    """A folder in place of the bucket."""

    def fetch_declared(self, key: str, target: Path) -> str | None:
        return "utf-8" if self.fetch(key, target) else None


class Bus:
    """Takes everything."""

    def put(self, events: list[Any]) -> list[None]:
        return [None for _ in events]


class Books:
    """The inbox, beside the tables of `world`."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder, self.files = world, folder, 0
        bucket: Any = Bucket(folder)
        bus: Any = Bus()
        self.inbox = Inbox(bucket, world.orders, world.refunds, bus, folder)

    def receive(self, edition: str, *lines: Transaction) -> dict[str, list[str]]:
        """What is to be inquired after one more file with these lines."""
        self.files += 1
        key = f"inbox/transactionItems_20261122_{self.files:03d}.csv"
        (self.folder / "inbox").mkdir(exist_ok=True)
        (self.folder / key).write_bytes(csv_bytes(transactions(edition, lines)))
        return self.inbox.receive(key, f"v{self.files}", NOW)


@pytest.fixture
def books(world: World, tmp_path: Path) -> Books:
    world.paid(created_at=datetime.now(UTC))
    return Books(world, tmp_path)


def refunded(request_id: str, refund_id: str, value: str = "5.00", **changes: Any) -> Transaction:
    names = {"refund_request_id": request_id, "refund_id": refund_id}
    return Transaction("REFUND", ID, PAYMENT_ID, value, "HKD", **{**names, **changes})


def test_two_lines_that_repeat_the_payments_request_id_are_two_refunds(books: Books) -> None:
    lines = refunded(ID, "portal-a"), refunded(ID, "portal-b")
    for _ in range(2):
        books.receive(OLD, *lines)
    assert books.world.left() == (990, 1000)


def test_two_lines_of_2026_which_have_the_payments_id_are_two_refunds(books: Books) -> None:
    for _ in range(2):
        books.receive(NEW, refunded("portal-1", ""), refunded("portal-2", ""))
    assert books.world.left() == (990, 1000)
    assert books.world.refunds.get("portal-1").refund_id is None


@pytest.mark.parametrize("edition", EDITIONS)
def test_one_that_an_inquiry_listed_without_its_request_id_is_not_booked_again(books: Books, edition: str) -> None:
    books.world.alipay.told = [paid(transactions=[transaction(transactionRequestId=None)])]
    books.world.observer.look(books.world.orders.get(ID), NOW, 0.0)
    books.receive(edition, refunded("portal-1", "portal-refund-id"))
    assert books.world.left() == (1490, 500)


def test_one_that_may_be_ours_is_inquired_and_not_booked(books: Books) -> None:
    books.world.alipay.told = [refused("REFUND_IN_PROCESS", "U")]
    books.world.ask("990")
    assert books.receive(OLD, refunded(ID, "R", "9.90"))["refunds"] == [REFUND_REQUEST_ID]
    assert books.world.left() == (1000, None)
    assert books.world.refunds.get(REFUND_REQUEST_ID).status is Status.INIT
