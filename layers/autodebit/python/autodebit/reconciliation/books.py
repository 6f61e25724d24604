"""One comparison in a folder: the lines of a report and our records, spread by payment, compared part by part.

What is compared is written down part by part; after a crash the same calls go on where they were.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from pathlib import Path
from typing import Any

from autodebit.reconciliation.compare import (
    Difference,
    LookUp,
    Observed,
    Ours,
    Page,
    Sum,
    key_of_line,
    key_of_ours,
    order,
)
from autodebit.reconciliation.partitions import PARTS, Partitions
from autodebit.reconciliation.reports import COMPARED, Line, Report


@dataclass(slots=True)
class Staged:
    """What is known of the reports once they are read to their ends."""

    lines: int = 0
    days: dict[str, int] = field(default_factory=dict)
    """UTC+8 days of the lines, with how many each has."""
    not_compared: dict[str, int] = field(default_factory=dict)
    """Types that say nothing of an order or refund here, and other products, with how many lines each has."""
    pending: int = 0
    """Lines whose settlement amount is not known yet."""
    batches: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Of settlement details: see `compare.Batches`."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of it. The iterators read from disk; the differences are sorted by name, file and line."""

    staged: Staged
    sums: dict[tuple[str, str], Sum]
    counts: dict[str, int]
    to_inquire: Iterator[Ours]
    """INIT here and decided there: to be inquired at once, since a file is no evidence that settles."""
    observed: Iterator[Observed]
    """Refunds that nobody asked for here, to be booked on their payments."""
    differences: Iterator[Difference]


class Books:
    """One comparison in a folder of its own. First the reports are added, then our records entered, then compared."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = Partitions(folder / "lines")
        self._seen = Partitions(folder / "seen")
        self._ours = Partitions(folder / "ours")
        self._note = folder / "staged.json"

    def add(self, reports: Iterable[Report]) -> Staged:
        """Read the parts of one report to their ends. Raises ReportRefused; then nothing of them is kept."""
        if not self._lines.complete:
            self._lines.write(self._spread(reports))
        return self._staged()

    def enter_seen(self, lines: Iterable[Line]) -> None:
        """Lines of earlier files: what stands there is not missing there."""
        if not self._seen.complete:
            self._seen.write((key_of_line(line), line) for line in lines)

    def enter(self, ours: Iterable[Ours]) -> None:
        """Orders and refunds. More than the file's own do no harm; an order INIT is found by the look-up alone."""
        if not self._ours.complete:
            self._ours.write((key_of_ours(one), one) for one in ours)

    def lines(self) -> Iterator[Line]:
        """All that was added, part by part."""
        for part in range(PARTS):
            yield from map(_line, self._lines.read(part))

    def compare(self, look_up: LookUp, concluded: Collection[str] = ()) -> Compared:
        """Every difference. `concluded` are the UTC+8 days of which no further file will come.

        A line whose record was not entered is looked up. A success here of a concluded day that stands in no file is
        missing there.
        """
        staged = self._staged()
        done = self._folder / "compared"
        done.mkdir(exist_ok=True)
        sums: dict[tuple[str, str], Sum] = defaultdict(Sum)
        counts: Counter[str] = Counter()
        files = [done / f"{part:03d}.jsonl" for part in range(PARTS)]
        for part, file in enumerate(files):
            if not file.exists():
                self._write_part(part, file, look_up, concluded)
            head = _head(file)
            for type_, currency, *numbers in head["sums"]:
                one = sums[type_, currency]
                one.count_there += numbers[0]
                one.amount_there += numbers[1]
                one.count_here += numbers[2]
                one.amount_here += numbers[3]
            counts.update(head["counts"])
        return Compared(
            *(staged, dict(sums), dict(counts)),
            to_inquire=(Ours(*one) for file in files for one in _head(file)["to_inquire"]),
            observed=(Observed(*one) for file in files for one in _head(file)["observed"]),
            differences=merge(*map(_differences, files), key=order),
        )

    def _spread(self, reports: Iterable[Report]) -> Iterator[tuple[str, Line]]:
        """Every line behind its key. What is known of all of them is written down before they count as complete."""
        staged = Staged()
        for report in reports:
            for line in _counted(report.lines, staged):
                yield key_of_line(line), line
        self._note.write_text(json.dumps({name: getattr(staged, name) for name in Staged.__slots__}))

    def _staged(self) -> Staged:
        return Staged(**json.loads(self._note.read_text()))

    def _write_part(self, part: int, file: Path, look_up: LookUp, concluded: Collection[str]) -> None:
        lines = [_line(row) for row in self._lines.read(part)]
        seen = [_line(row) for row in self._seen.read(part)]
        ours = [_ours(row) for row in self._ours.read(part)]
        page = Page(lines, ours, look_up)
        differences = sorted([*page.differences(), *page.missing_there(seen, concluded)], key=order)
        head = {
            "sums": [
                [*key, one.count_there, one.amount_there, one.count_here, one.amount_here] for key, one in page.sums()
            ],
            "counts": Counter(difference.name for difference in differences),
            "to_inquire": page.to_inquire,
            "observed": page.observed,
        }
        unfinished = file.with_suffix(".unfinished")
        with unfinished.open("w", encoding="utf-8") as writer:
            for entry in [head, *differences]:
                writer.write(json.dumps(entry) + "\n")
        unfinished.rename(file)


def _counted(lines: Iterable[Line], staged: Staged) -> Iterator[Line]:
    """The lines, while what is known of all of them together is noted."""
    days: Counter[str] = Counter()
    others: Counter[str] = Counter()
    batches: dict[str, dict[str, list[int]]] = staged.batches
    for line in lines:
        staged.lines += 1
        days[line.day] += 1
        if line.type not in COMPARED:
            others[line.type] += 1
        if line.batch_id:
            if line.settlement_amount is None:
                staged.pending += 1
            else:
                batch = batches.setdefault(f"{line.batch_id},{line.settlement_currency}", {})
                of_type = batch.setdefault(line.type, [0, 0])
                of_type[0] += 1
                of_type[1] += line.settlement_amount
        yield line
    for day, count in days.items():
        if day:
            staged.days[day] = staged.days.get(day, 0) + count
    for type_, count in others.items():
        staged.not_compared[type_] = staged.not_compared.get(type_, 0) + count


def _line(row: list[str]) -> Line:
    """A line as it comes back from disk, where numbers are texts."""
    (file, number, type_, request, original, payment, refund, currency, amount, status, day, batch, paid_in, paid) = row
    there = (request, original, payment, refund, currency)
    return Line(file, int(number), type_, *there, int(amount), status, day, batch, paid_in, int(paid) if paid else None)


def _ours(row: list[str]) -> Ours:
    return Ours(row[0], row[1], row[2], row[3], row[4], row[5], int(row[6]), row[7], row[8])


def _head(file: Path) -> dict[str, Any]:
    with file.open(encoding="utf-8") as lines:
        head: dict[str, Any] = json.loads(next(lines))
    return head


def _differences(file: Path) -> Iterator[Difference]:
    with file.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            yield Difference(*json.loads(line))
