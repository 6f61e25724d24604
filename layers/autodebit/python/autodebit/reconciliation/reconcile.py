"""Reconcile one report file, or one day of which no file is expected any more.

What may fail, and what comes of it: nothing is written before the whole file is read and compared. What is written
then lies under keys of this file and this delivery of it, `summary.json` last; a run that dies is run again and writes
the same. Whoever sees `summary.json` sees all the rest.
"""

import csv
import gzip
import hashlib
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from autodebit.instants import alipay_day
from autodebit.reconciliation.books import Books, Compared
from autodebit.reconciliation.compare import Difference, totals
from autodebit.reconciliation.records import Records
from autodebit.reconciliation.reports import Kind, Line, Report, ReportRefused, Total, read_csv
from autodebit.reconciliation.results import INQUIRED_MAX, Refusal, Summary, page, summary_document, write_differences
from autodebit.reconciliation.store import Store

LATE_DAYS = 2
"""So many days after a day no further file of it is expected: fees and rates are complete on the second."""

USED_DAYS = 7
"""A merchant of whom no file came for so many days does not reconcile: nothing is missing in files nobody fetches."""

LOOKED_UP_MAX = 2000
"""Lines of a day whose orders are looked up one by one; the day as a whole is read for more, in 32 queries or more."""

Document = dict[str, Any]
"""What is told of a file: `results.summary_document`."""


class Reconciler:
    """`scratch` is a folder for what does not fit into memory. Every method raises TableFault."""

    def __init__(self, store: Store, records: Records, scratch: Path) -> None:
        self._store = store
        self._records = records
        self._scratch = scratch

    def file(self, name: str, file: Path, delivery: str, encoding: str, now: datetime) -> Document | None:
        """Reconcile a file that Alipay sent; None if this very file was reconciled under this name before.

        `delivery` is its id, letters, digits and hyphens: a run that died is run again with the same. `encoding`
        is as for `reports.read_csv`; workbooks say their own.
        """
        with file.open("rb") as source:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        before = self._document(name)
        if before and before["delivery"] == delivery:
            return before
        if before and before["sha256"] == sha256:
            return None
        summary = Summary(name, delivery, sha256, before["sequence"] + 1 if before else 1, now)
        with self._work(delivery) as work:
            try:
                return self._file(summary, file, encoding, work)
            except ReportRefused as refused:
                refusal = Refusal(name, refused.line, refused.reason)
                return self._finish(replace(summary, refusal=refusal), iter(()), work)

    def day(self, day: str, now: datetime) -> Document | None:
        """What succeeded here on a UTC+8 day and stands in no file; None for a merchant who does not reconcile."""
        week = _days(date.fromisoformat(day), range(-USED_DAYS, 1))
        if not any(True for one in week for _ in self._store.keys(f"state/{one}/")):
            return None
        name = f"day_{day}"
        before = self._document(name)
        if before:
            return before
        with self._work(name) as work:
            books = Books(work / "books")
            books.add([])
            compared = self._compare(books, {}, {day}, name)
            summary = Summary(name, name, "", 1, now, report="missing there", days={day: 0}, sums=compared.sums)
            return self._finish(summary, compared.differences, work)

    def _file(self, summary: Summary, file: Path, encoding: str, work: Path) -> Document:
        with file.open("rb") as source:
            report = _open(summary.file, source, encoding, work)
            stated = list(report.totals)
            books = Books(work / "books")
            staged = books.add([report])
        concluded = self._concluded(summary, staged.days) if report.kind is Kind.TRANSACTIONS else set()
        compared = self._compare(books, staged.days, concluded, summary.delivery)
        self._keep_lines(books, summary.delivery, work)
        to_inquire: dict[str, list[str]] = {"PAYMENT": [], "REFUND": []}
        for one in compared.to_inquire:
            to_inquire[one.type].append(one.request_id)
        summary = replace(
            summary,
            report=report.kind.value,
            edition=report.edition.value,
            lines=staged.lines + len(stated),
            days=staged.days,
            unknown_columns=report.unknown_columns,
            not_compared=staged.not_compared,
            pending=staged.pending,
            sums=compared.sums,
            payments_to_inquire=tuple(to_inquire["PAYMENT"]),
            refunds_to_inquire=tuple(to_inquire["REFUND"]),
            observed=tuple(islice(compared.observed, INQUIRED_MAX)),
        )
        of_batches = self._totals(summary, staged.batches, stated, work)
        return self._finish(summary, chain(of_batches, compared.differences), work)

    def _compare(self, books: Books, days: Mapping[str, int], concluded: set[str], delivery: str) -> Compared:
        """With what we have, and what other files said of the concluded day and of those beside it."""
        around = [beside for day in sorted(concluded) for beside in _days(date.fromisoformat(day), (-1, 0, 1))]
        books.enter_seen(self._seen(around, delivery))
        many = {day for day, lines in days.items() if lines > LOOKED_UP_MAX}
        books.enter(self._records.of_days(sorted(many | concluded)))
        return books.compare(self._records.look_up, concluded)

    def _concluded(self, summary: Summary, days: Mapping[str, int]) -> set[str]:
        """The day of a transaction file, if it is late enough and no other file is waiting to be read.

        A file has strays of the days beside its own; of those it does not have everything.
        """
        if not days:
            return set()
        day = max(days, key=lambda one: (days[one], one))
        if day > late_day(summary.finished_at):
            return set()
        done = {
            key.removeprefix("results/").removesuffix("/summary.json")
            for key in self._store.keys("results/")
            if key.endswith("/summary.json")
        }
        sent = {key.removeprefix("inbox/") for key in self._store.keys("inbox/") if not key.endswith("/")}
        waiting = sent - done - {summary.file}
        return set() if waiting else {day}

    def _seen(self, days: Iterable[str], delivery: str) -> Iterator[Line]:
        target = self._scratch / "seen.csv.gz"
        for day in days:
            for key in self._store.keys(f"state/{day}/"):
                if key.endswith(_LINES) and not key.endswith(f"/{delivery}{_LINES}") and self._store.fetch(key, target):
                    with gzip.open(target, "rt", encoding="utf-8", newline="") as file:
                        yield from (_seen_line(*row) for row in csv.reader(file))

    def _keep_lines(self, books: Books, delivery: str, work: Path) -> None:
        """Keep which transactions of which day the file had."""
        by_day: dict[str, Any] = {}
        for line in books.lines():
            if line.day:
                if line.day not in by_day:
                    path = work / f"{line.day}.csv.gz"
                    by_day[line.day] = gzip.open(path, "wt", compresslevel=1, encoding="utf-8", newline="")  # noqa: SIM115
                row = (line.type, line.request_id, line.original_request_id, line.payment_id, line.refund_id)
                csv.writer(by_day[line.day]).writerow(row)
        for day, file in by_day.items():
            file.close()
            self._store.put(f"state/{day}/{delivery}{_LINES}", work / f"{day}.csv.gz")

    def _totals(
        self, summary: Summary, details: Mapping[str, Mapping[str, list[int]]], stated: list[Total], work: Path
    ) -> Iterator[Difference]:
        """Differences of the batches that this file is about, with what other files say of them.

        Whichever comes second of details and summary finds them. While a part of the details is missing between two
        others, nothing is concluded.
        """
        by_batch: dict[str, list[Total]] = defaultdict(list)
        for total in stated:
            by_batch[f"{total.batch_id},{total.currency}"].append(total)
        for batch, of_batch in by_batch.items():
            self._put_json(f"{_batch(batch)}/summary.json", of_batch, work)
            yield from self._of_batch(batch, of_batch, [])
        for batch, sums in details.items():
            part = {"part": _part(summary.file), "sha256": summary.sha256, "sums": sums}
            self._put_json(f"{_batch(batch)}/details-{quote(summary.file, safe='')}.json", part, work)
            kept = self._json(f"{_batch(batch)}/summary.json")
            if kept is not None:
                yield from self._of_batch(batch, [Total(*one) for one in kept], [part])

    def _of_batch(self, batch: str, stated: list[Total], own: list[Document]) -> list[Difference]:
        """A file by itself may hold the batch: one that was issued again. Otherwise all parts together do."""
        parts = {part["sha256"]: part for part in own}
        for key in self._store.keys(f"{_batch(batch)}/details-"):
            part = self._json(key)
            if part is not None:
                parts.setdefault(part["sha256"], part)
        numbers = {part["part"] for part in parts.values()}
        if parts and numbers != set(range(len(numbers))):
            return []
        together: dict[str, list[int]] = {}
        for part in parts.values():
            for type_, (count, amount) in part["sums"].items():
                one = together.setdefault(type_, [0, 0])
                one[0] += count
                one[1] += amount
        for sums in (part["sums"] for part in parts.values()):
            if not list(totals({batch: sums}, stated)):
                return []
        return list(totals({batch: together}, stated))

    def _finish(self, summary: Summary, differences: Iterable[Difference], work: Path) -> Document:
        """Write everything, the summary last."""
        days = sorted(summary.days) or [_NO_DAY]
        known = {one for day in {*days, _NO_DAY} for one in self._known(day, summary.delivery)}
        found: dict[str, list[str]] = {day: [] for day in days}
        counts: Counter[str] = Counter()
        new = 0

        def noted() -> Iterator[Difference]:
            nonlocal new
            for difference in differences:
                identity = _identity(difference)
                found.setdefault(difference.day or _NO_DAY, []).append(identity)
                counts[difference.name] += 1
                new += identity not in known
                yield difference

        folder = f"results/{summary.file}"
        shown: dict[str, list[Difference]] = {}
        if summary.refusal is None:
            with (work / "differences.csv").open("w", encoding="utf-8", newline="") as file:
                shown = write_differences(file, noted())
            self._store.put(f"{folder}/differences.csv", work / "differences.csv")
        document = summary_document(replace(summary, differences=counts, new_differences=new))
        (work / "report.html").write_text(page(document, shown), encoding="utf-8")
        self._store.put(f"{folder}/report.html", work / "report.html")
        for day, identities in found.items():
            if identities:
                self._put_json(f"state/{day}/{summary.delivery}{_KNOWN}", identities, work)
        self._put_json(f"{folder}/summary.json", document, work)
        return document

    def _known(self, day: str, delivery: str) -> Iterator[str]:
        """The differences of a day that other files had."""
        for key in self._store.keys(f"state/{day}/"):
            if key.endswith(_KNOWN) and not key.endswith(f"/{delivery}{_KNOWN}"):
                yield from self._json(key) or ()

    def _document(self, name: str) -> Document | None:
        document: Document | None = self._json(f"results/{name}/summary.json")
        return document

    def _json(self, key: str) -> Any:
        target = self._scratch / "fetched.json"
        return json.loads(target.read_text("utf-8")) if self._store.fetch(key, target) else None

    def _put_json(self, key: str, value: Any, work: Path) -> None:
        (work / "put.json").write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        self._store.put(key, work / "put.json")

    @contextmanager
    def _work(self, delivery: str) -> Iterator[Path]:
        """The folder of this delivery. It is left behind by a run that dies, for the one that comes after it."""
        work = self._scratch / quote(delivery, safe="")
        work.mkdir(parents=True, exist_ok=True)
        yield work
        shutil.rmtree(work)


_LINES = "-lines.csv.gz"
_KNOWN = "-known.json"
_NO_DAY = "no-day"


def _open(name: str, source: BinaryIO, encoding: str, work: Path) -> Report:
    """The report, whatever its name says it is."""
    begins = source.read(len(_ARCHIVE))
    source.seek(0)
    if begins != _ARCHIVE:
        return read_csv(name, source, encoding)
    from autodebit.reconciliation.workbook import read_workbook  # its reader is in the zip of one function alone

    return read_workbook(name, source, work)


_ARCHIVE = b"PK\x03\x04"


def _days(day: date, offsets: Iterable[int]) -> list[str]:
    return [(day + timedelta(days=offset)).isoformat() for offset in offsets]


def late_day(now: datetime) -> str:
    """The last UTC+8 day of which no further file is expected."""
    return _days(date.fromisoformat(alipay_day(now)), [-LATE_DAYS])[0]


def _seen_line(type_: str, request_id: str, original_request_id: str, payment_id: str, refund_id: str) -> Line:
    return Line("", 0, type_, request_id, original_request_id, payment_id, refund_id, "", 0, "", "", "", "", None)


def _part(name: str) -> int:
    """`..._002.csv` is part 2; a name without a number is the whole."""
    number = re.search(r"_([0-9]{3})\.[A-Za-z]+$", name)
    return int(number[1]) if number else 0


def _batch(batch: str) -> str:
    return f"state/batches/{quote(batch, safe=',')}"


def _identity(difference: Difference) -> str:
    """The same for the same difference in another file, or on another line of it."""
    said = json.dumps(difference._replace(file="", line=0))
    return hashlib.sha256(said.encode()).hexdigest()[:16]
