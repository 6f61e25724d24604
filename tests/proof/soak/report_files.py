"""At the end, Alipay's report files of every day and of both editions: put into the inbox, and what came of each."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually
from tests.rules.reconciliation.alipay_files import EDITIONS, Table, csv_bytes

from .books import Books, Difference

Json = dict[str, Any]

REPORTED = "difference of a report file"

TRANSACTIONS, SETTLEMENT = "transaction details", "settlement details"
STATES_ALL = ("2026", TRANSACTIONS)
"""The one report that lists what did not succeed, too."""


@dataclass(frozen=True)
class Reconciled:
    """What came of one file. `differences` are the lines of its differences.csv."""

    file: str
    summary: Json
    differences: list[Json]

    @property
    def kind(self) -> tuple[str, str]:
        return self.summary.get("edition", ""), self.summary.get("report", "")


def reconcile(deployment: Deployment, books: Books, days: Iterable[date], label: str) -> list[Reconciled]:
    """Put the files of these days into the inbox, under names of their own: what came of each.

    On a stack on which others pay, too, only the lines of these books are put in, and no settlement summary.
    """
    inbox, names = _Inbox(deployment), []
    for day in days:
        for edition in EDITIONS:
            folder = str(deployment.directory / "reports")
            written = deployment.alipay.reports(folder, day=f"{day}", editions=[edition], formats=["csv"])
            files = files_of(books, [Path(file) for file in written])
            for file, content in files.items():
                names.append(f"{label}-{edition}-{file}")
                inbox.put(names[-1], content)
    return [inbox.result(name) for name in names]


def files_of(books: Books, files: list[Path]) -> dict[str, bytes]:
    """The files by name, as they are if all lines of the details are of these books."""
    details = {file.name: _read(file) for file in files if not file.name.startswith("settlementSummary")}
    payment_ids = {payment["paymentId"] for payment in books.payments.ledger.values()}
    mine = {name: [row for row in table[1:-1] if payment_ids & set(row)] for name, table in details.items()}
    if all(len(mine[name]) == len(table) - 2 for name, table in details.items()):
        return {file.name: file.read_bytes() for file in files}
    return {name: csv_bytes([table[0], *mine[name], table[-1]]) for name, table in details.items()}


def days_between(first: date, last: date) -> list[date]:
    """Both, and what is between."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def report_differences(reconciled: list[Reconciled], books: Books) -> list[Difference]:
    """Every difference the files show, and every success of ours that their sums do not hold.

    The product looks for those only two days later, when no further file is expected.
    """
    found = []
    for one in reconciled:
        found += [
            Difference(line["paymentRequestId"], REPORTED, f"{one.file}: {line['difference']} {line['requestId']}")
            for line in one.differences
        ]
        status, total = one.summary["status"], one.summary.get("differencesTotal")
        if (status, total) != ("AGREES", len(one.differences)):
            found.append(Difference("", REPORTED, f"{one.file} {status}: {total}, {one.summary.get('refusal')}"))
    return found + [Difference("", REPORTED, said) for said in _incomplete(reconciled, books)]


def _incomplete(reconciled: list[Reconciled], books: Books) -> Iterator[str]:
    for edition in EDITIONS:
        for report in (TRANSACTIONS, SETTLEMENT):
            there, here = Counter[str](), Counter[str]()
            for one in reconciled:
                if one.kind == (edition, report):
                    for of_type in one.summary.get("sums", ()):
                        there[of_type["type"]] += int(of_type["linesThere"])
                        there[f"{of_type['type']} amount"] += int(of_type["amountThere"])
                        here[of_type["type"]] += int(of_type["recordsHere"])
                        here[f"{of_type['type']} amount"] += int(of_type["amountHere"])
            stored = _stored(books, everything=(edition, report) == STATES_ALL)
            if not there == here == stored:
                yield f"{report} of {edition}: {dict(there)} there, {dict(here)} compared, {dict(stored)} here"


def _stored(books: Books, *, everything: bool) -> Counter[str]:
    """How many payments and refunds there are here that the files must have, and their amounts."""
    stored = Counter[str]()
    for type_, side, sign in (("PAYMENT", books.payments, 1), ("REFUND", books.refunds, -1)):
        for key, row in side.rows.items():
            if row["status"] == "SUCCESS" or (everything and key in side.ledger):
                stored[type_] += 1
                stored[f"{type_} amount"] += sign * int(row["amountValue"])
    return stored


class _Inbox:
    """The bucket of the reports."""

    def __init__(self, deployment: Deployment) -> None:
        self._s3 = deployment.aws("s3")
        self._bucket = deployment.outputs["ReportsBucket"]

    def put(self, name: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=f"inbox/{name}", Body=content)

    def result(self, name: str) -> Reconciled:
        summary = json.loads(eventually(lambda: self._get(name, "summary.json"), f"a result of {name}", every_s=0.5))
        differences = csv.DictReader((self._get(name, "differences.csv") or "").splitlines())
        return Reconciled(name, summary, list(differences))

    def _get(self, name: str, file: str) -> str | None:
        try:
            return str(self._s3.get_object(Bucket=self._bucket, Key=f"results/{name}/{file}")["Body"].read().decode())
        except self._s3.exceptions.NoSuchKey:
            return None


def _read(file: Path) -> Table:
    with file.open(newline="", encoding="utf-8") as rows:
        return list(csv.reader(rows))
