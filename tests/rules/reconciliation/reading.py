"""The world of the tests through the product's eyes: its files read, its records as ours, the two compared."""

import io
from collections.abc import Collection, Iterable
from pathlib import Path

from autodebit.reconciliation.books import Books, Compared
from autodebit.reconciliation.compare import Difference, LookUp, Ours, knows_no_more
from autodebit.reconciliation.reports import Report, read_csv
from autodebit.reconciliation.workbook import read_workbook

from tests.rules.reconciliation.alipay_files import Table, csv_bytes, xlsx_bytes
from tests.rules.reconciliation.world import TODAY, Record, World

FORMATS = ("csv", "xlsx")


def read(table: Table, form: str, scratch: Path, name: str = "transactionItems_20261122_000") -> Report:
    """The report of a table, after a way through a file."""
    scratch.mkdir(parents=True, exist_ok=True)
    if form == "csv":
        return read_csv(f"{name}.csv", io.BytesIO(csv_bytes(table)))
    return read_workbook(f"{name}.xlsx", io.BytesIO(xlsx_bytes(table)), scratch)


def ours(records: Iterable[Record]) -> list[Ours]:
    """The shop's records as the comparison takes them."""
    return [
        Ours(
            *(one.type, one.request_id, one.payment_request_id, one.payment_id, one.refund_id),
            *(one.currency, one.minor, one.status, one.day),
        )
        for one in records
    ]


def compare(
    folder: Path,
    reports: Iterable[Report],
    world: World,
    *,
    concluded: Collection[str] = (TODAY,),
    look_up: LookUp = knows_no_more,
) -> tuple[Compared, list[Difference]]:
    """One comparison, its differences read."""
    books = Books(folder)
    books.add(reports)
    books.enter(ours(world.here))
    compared = books.compare(look_up, concluded)
    return compared, list(compared.differences)


def named(differences: Iterable[Difference]) -> list[tuple[str, str]]:
    """Each difference's name and what it is about."""
    return sorted((one.name, one.request_id or one.transaction_id) for one in differences)
