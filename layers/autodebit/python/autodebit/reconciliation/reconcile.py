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
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import batched, chain
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from autodebit.instants import alipay_day
from autodebit.reconciliation.books import Books, Compared
from autodebit.reconciliation.compare import Difference, Observed, lacks_lines, totals
from autodebit.reconciliation.records import Records
from autodebit.reconciliation.reports import Kind, Line, Report, ReportRefused, Total, read_csv
from autodebit.reconciliation.results import (
    NAMED_MAX,
    Refusal,
    Summary,
    observed_document,
    page,
    summary_document,
    write_differences,
)
from autodebit.reconciliation.store import Store

LATE_DAYS = 2
"""So many days after a day no further file of it is expected: fees and rates are complete on the second."""

USED_DAYS = 7
"""A merchant of whom no transaction file came for so many days: nothing is missing in files that nobody fetches."""

MADE_UP_DAYS = 35
"""So far back a day is made up for that could not be looked through, and a batch that lacks lines is told."""

LOOKED_UP_MAX = 2000
"""Lines of a day whose orders are looked up one by one; the day as a whole is read for more, in 32 queries or more."""

AT_ONCE = 500
"""Inquiries and bookings that one execution does: its history ends at 25,000 events."""

Document = dict[str, Any]
"""What is told of a file: `results.summary_document`."""


class Reconciler:
    """`scratch` is a folder for what does not fit into memory. Every method raises TableFault.

    Whoever has told a document says so by `done`; until then it is given again.
    """

    def __init__(self, store: Store, records: Records, scratch: Path) -> None:
        self._store = store
        self._records = records
        self._scratch = scratch

    def file(self, name: str, file: Path, delivery: str, encoding: str, now: datetime) -> Document | None:
        """Reconcile a file that Alipay sent; None if this very file was done under this name before.

        `delivery` is its id, letters, digits and hyphens: a run that died is run again with the same. `encoding`
        is as for `reports.read_csv`; workbooks say their own.
        """
        with file.open("rb") as source:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        before = self._document(name)
        last = self._json(_note(name)) or (before or {"delivery": "", "sequence": 0}) | {"done": False}
        if before and before["delivery"] == delivery:
            return before
        if before and before["sha256"] == sha256:
            return None if last["done"] else before
        again = last["delivery"] == delivery
        summary = Summary(name, delivery, sha256, last["sequence"] + (0 if again else 1), now)
        with self._work(delivery) as work:
            try:
                return self._file(summary, file, encoding, work)
            except ReportRefused as refused:
                refusal = Refusal(name, refused.line, refused.reason)
                return self._finish(replace(summary, refusal=refusal), iter(()), work)

    def done(self, document: Document) -> None:
        """What came of a file, a day or a batch was told: the same bytes under this name change nothing any more."""
        name = document["file"]
        self._put_json(_note(name), {"delivery": document["delivery"], "sequence": document["sequence"], "done": True})
        if name.startswith(_DAY):
            self._store.remove(_reported(name.removeprefix(_DAY)))

    def rest(self, delivery: str, number: int) -> Document:
        """What is to be inquired (`payments`, `refunds`) and booked (`observed`) after a file, in steps from 1.

        `next` is the number of the step after this one, None after the last.
        """
        step: Document = self._json(_rest(delivery, number)) or {"payments": [], "refunds": [], "observed": []}
        more = any(True for _ in self._store.keys(_rest(delivery, number + 1)))
        return step | {"next": number + 1 if more else None}

    def days(self, now: datetime) -> Iterator[Document]:
        """Every day, oldest first, of which no further file is expected and that is not done.

        While a file waits, the last of them has a day more.
        """
        last = date.fromisoformat(late_day(now))
        for day in _days(last, range(-MADE_UP_DAYS, 0 if self._waiting() else 1)):
            if not self._is_done(_DAY + day):
                document = self.day(day, now)
                if document is not None:
                    yield document

    def reported_days(self, now: datetime) -> Iterator[Document]:
        """The days whose own files came and waited for others: they are late enough, and no file waits any more."""
        reported = (key.removeprefix(_reported("")).removesuffix(".json") for key in self._store.keys(_reported("")))
        ripe = [day for day in reported if day <= late_day(now)]
        if not ripe or self._waiting():
            return
        for day in ripe:
            document = self.day(day, now)
            if document is not None:
                yield document

    def day(self, day: str, now: datetime) -> Document | None:
        """What succeeded here on a UTC+8 day and stands in no file; None for a merchant who does not reconcile."""
        week = _days(date.fromisoformat(day), range(-USED_DAYS, 1))
        if not any(key.endswith(_LINES) for one in week for key in self._store.keys(f"state/{one}/")):
            return None
        name = _DAY + day
        before = self._document(name)
        if before:
            return before
        with self._work(name) as work:
            books = Books(work / "books")
            books.add([])
            compared = self._compare(books, {}, {day}, name)
            summary = Summary(name, name, "", 1, now, report="missing there", days={day: 0}, sums=compared.sums)
            return self._finish(summary, compared.differences, work)

    def batches(self, day: str, now: datetime) -> Iterator[Document]:
        """The batches that have lacked lines since this UTC+8 day or one before it, and lack them still."""
        for since in _days(date.fromisoformat(day), range(-MADE_UP_DAYS, 1)):
            for key in list(self._store.keys(f"state/waiting/{since}/")):
                quoted = key.rpartition("/")[2].removesuffix(".json")
                name = f"batch_{quoted}"
                document = None if self._is_done(name) else self._document(name) or self._batch(name, quoted, now)
                if document is not None:
                    yield document

    def _batch(self, name: str, quoted: str, now: datetime) -> Document | None:
        stated = [Total(*one) for one in self._json(f"state/batches/{quoted}/summary.json")]
        batch = unquote(quoted)
        parts = self._parts(batch)
        if not _lacks_parts(parts, stated):
            return None
        with self._work(name) as work:
            summary = Summary(name, name, "", 1, now, report="settlement batch")
            return self._finish(summary, totals({batch: _together(parts)}, stated), work)

    def _file(self, summary: Summary, file: Path, encoding: str, work: Path) -> Document:
        with file.open("rb") as source:
            report = _open(summary.file, source, encoding, work)
            stated = list(report.totals)
            books = Books(work / "books")
            staged = books.add([report])
        day = _own_day(summary.file, staged.days) if report.kind is Kind.TRANSACTIONS else ""
        concluded = {day} if day and day <= late_day(summary.finished_at) and not self._waiting(summary.file) else set()
        compared = self._compare(books, staged.days, concluded, summary.delivery)
        self._keep_lines(books, summary.delivery, day, work)
        if concluded:
            self._store.remove(_reported(day))
        elif day:
            self._put_json(_reported(day), {"file": summary.file})
        rest = self._keep_rest(compared, summary.delivery)
        summary = replace(
            summary,
            report=report.kind.value,
            edition=report.edition.value,
            lines=staged.lines + len(stated),
            days=staged.days or ({day: 0} if day else {}),
            unknown_columns=report.unknown_columns,
            not_compared=staged.not_compared,
            pending=staged.pending,
            sums=compared.sums,
            **rest,
        )
        of_batches = self._totals(summary, staged.batches, stated)
        return self._finish(summary, chain(of_batches, compared.differences), work)

    def _compare(self, books: Books, days: Mapping[str, int], concluded: set[str], delivery: str) -> Compared:
        """With what we have, and what other files said of the concluded day and of those beside it."""
        around = [beside for day in sorted(concluded) for beside in _days(date.fromisoformat(day), (-1, 0, 1))]
        books.enter_seen(self._seen(around, delivery))
        many = {day for day, lines in days.items() if lines > LOOKED_UP_MAX}
        books.enter(self._records.of_days(sorted(many | concluded)))
        return books.compare(self._records.look_up, concluded)

    def _waiting(self, but: str = "") -> set[str]:
        """The files that came and have no result yet."""
        has_result = {
            key.removeprefix("results/").removesuffix("/summary.json")
            for key in self._store.keys("results/")
            if key.endswith("/summary.json")
        }
        sent = {key.removeprefix("inbox/") for key in self._store.keys("inbox/") if not key.endswith("/")}
        return sent - has_result - {but}

    def _keep_rest(self, compared: Compared, delivery: str) -> dict[str, Any]:
        """Keep all that is to be inquired and booked, AT_ONCE in a step; the first of each kind come back."""
        kinds = {"PAYMENT": "payments", "REFUND": "refunds"}
        to_inquire = ((kinds[one.type], one.request_id) for one in compared.to_inquire)
        observed = (("observed", one) for one in compared.observed)
        first: dict[str, list[Any]] = {"payments": [], "refunds": [], "observed": []}
        for number, some in enumerate(batched(chain(to_inquire, observed), AT_ONCE, strict=False), 1):
            step: dict[str, list[Any]] = {"payments": [], "refunds": [], "observed": []}
            for kind, one in some:
                step[kind].append(observed_document(one) if isinstance(one, Observed) else one)
                if len(first[kind]) < NAMED_MAX:
                    first[kind].append(one)
            self._put_json(_rest(delivery, number), step)
        return {
            "payments_to_inquire": tuple(first["payments"]),
            "refunds_to_inquire": tuple(first["refunds"]),
            "observed": tuple(first["observed"]),
        }

    def _seen(self, days: Iterable[str], delivery: str) -> Iterator[Line]:
        target = self._scratch / "seen.csv.gz"
        for day in days:
            for key in self._store.keys(f"state/{day}/"):
                of_this = key.startswith(f"state/{day}/{delivery}-")
                if key.endswith((_LINES, _STRAYS)) and not of_this and self._store.fetch(key, target):
                    with gzip.open(target, "rt", encoding="utf-8", newline="") as file:
                        yield from (_seen_line(*row) for row in csv.reader(file))

    def _keep_lines(self, books: Books, delivery: str, own_day: str, work: Path) -> None:
        """Keep which transactions of which day the file had; of its own day also that it had none."""
        by_day: dict[str, Any] = {}

        def of(day: str) -> Any:
            if day not in by_day:
                path = work / f"{day}.csv.gz"
                by_day[day] = gzip.open(path, "wt", compresslevel=1, encoding="utf-8", newline="")  # noqa: SIM115
            return by_day[day]

        for line in books.lines():
            if line.day:
                row = (line.type, line.request_id, line.original_request_id, line.payment_id, line.refund_id)
                csv.writer(of(line.day)).writerow(row)
        if own_day:
            of(own_day)
        for day, file in by_day.items():
            file.close()
            suffix = _LINES if day == own_day else _STRAYS
            self._store.put(f"state/{day}/{delivery}{suffix}", work / f"{day}.csv.gz")

    def _totals(
        self, summary: Summary, details: Mapping[str, Mapping[str, list[int]]], stated: list[Total]
    ) -> Iterator[Difference]:
        """Differences of the batches that this file is about, with what other files say of them.

        Whichever comes second of details and summary finds them. While the details have fewer lines than the summary
        counts, the batch waits, and nothing is concluded.
        """
        by_batch: dict[str, list[Total]] = defaultdict(list)
        for total in stated:
            by_batch[f"{total.batch_id},{total.currency}"].append(total)
        for batch, of_batch in by_batch.items():
            self._put_json(f"{_batch(batch)}/summary.json", of_batch)
            yield from self._of_batch(batch, of_batch, summary)
        for batch, sums in details.items():
            part = {"part": _part(summary.file), "sha256": summary.sha256, "sums": sums}
            self._put_json(f"{_batch(batch)}/details-{quote(summary.file, safe='')}.json", part)
            kept = self._json(f"{_batch(batch)}/summary.json")
            if kept is not None:
                yield from self._of_batch(batch, [Total(*one) for one in kept], summary)

    def _of_batch(self, batch: str, stated: list[Total], summary: Summary) -> Iterator[Difference]:
        """A file by itself may hold the batch: one that was issued again. Otherwise all parts together do."""
        parts = self._parts(batch)
        if any(not list(totals({batch: part["sums"]}, stated)) for part in parts):
            return iter(())
        if _lacks_parts(parts, stated):
            today = alipay_day(summary.finished_at)
            self._put_json(f"state/waiting/{today}/{quote(batch, safe=',')}.json", {"file": summary.file})
            return iter(())
        return totals({batch: _together(parts)}, stated)

    def _parts(self, batch: str) -> list[Document]:
        """What the files of details say of a batch; the same file under two names is one."""
        parts: dict[str, Document] = {}
        for key in self._store.keys(f"{_batch(batch)}/details-"):
            part = self._json(key)
            if part is not None:
                parts.setdefault(part["sha256"], part)
        return list(parts.values())

    def _finish(self, summary: Summary, differences: Iterable[Difference], work: Path) -> Document:
        """Write everything, the summary last. What another file of this name left is removed, its summary first."""
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
        if summary.sequence > 1:
            note = {"delivery": summary.delivery, "sequence": summary.sequence, "done": False}
            self._put_json(_note(summary.file), note)
            for name in ("summary.json", "report.html", "differences.csv"):
                self._store.remove(f"{folder}/{name}")
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
                self._put_json(f"state/{day}/{summary.delivery}{_KNOWN}", identities)
        self._put_json(f"{folder}/summary.json", document)
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

    def _put_json(self, key: str, value: Any) -> None:
        source = self._scratch / "put.json"
        source.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        self._store.put(key, source)

    def _is_done(self, name: str) -> bool:
        note = self._json(_note(name))
        return note is not None and note["done"]

    @contextmanager
    def _work(self, delivery: str) -> Iterator[Path]:
        """The folder of this delivery. It is left behind by a run that dies, for the one that comes after it."""
        work = self._scratch / quote(delivery, safe="")
        work.mkdir(parents=True, exist_ok=True)
        yield work
        shutil.rmtree(work)


_DAY = "day_"
_LINES = "-lines.csv.gz"
_STRAYS = "-strays.csv.gz"
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


def _own_day(name: str, days: Mapping[str, int]) -> str:
    """The UTC+8 day that a transaction file is of: it has strays of the days beside it, and not everything of those.

    A file without lines is of the day in its name; empty if that has none.
    """
    if days:
        return max(days, key=lambda one: (days[one], one))
    for digits in re.findall(r"(?<![0-9])20[0-9]{6}(?![0-9])", name):
        with suppress(ValueError):
            return date.fromisoformat(digits).isoformat()
    return ""


def _note(name: str) -> str:
    return f"state/files/{quote(name, safe='')}.json"


def _reported(day: str) -> str:
    return f"state/reported/{day}.json" if day else "state/reported/"


def _rest(delivery: str, number: int) -> str:
    return f"state/rest/{delivery}/{number:06d}.json"


def _lacks_parts(parts: list[Document], stated: list[Total]) -> bool:
    """Whether lines are still to come; by the parts' numbers if the summary counts no lines."""
    if not parts:
        return False
    lacking = lacks_lines(_together(parts), stated)
    numbers = {part["part"] for part in parts}
    return numbers != set(range(len(numbers))) if lacking is None else lacking


def _together(parts: list[Document]) -> dict[str, list[int]]:
    together: dict[str, list[int]] = {}
    for part in parts:
        for type_, (count, amount) in part["sums"].items():
            one = together.setdefault(type_, [0, 0])
            one[0] += count
            one[1] += amount
    return together


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
