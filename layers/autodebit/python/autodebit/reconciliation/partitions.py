"""Records on disk, spread over files by a hash of their key, so that one file at a time fits into memory.

At 10,000,000 lines a file holds 80,000 of them; the standard library's csv reads them back at the speed of a disk.
"""

import csv
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

PARTS = 128
"""Fixed, so that what one run has written another can go on with."""


class Partitions:
    """One set of records in a folder of its own; it is there as a whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def complete(self) -> bool:
        """Whether the records are all there, from this run or one before it that was killed."""
        return self._folder.exists()

    def write(self, records: Iterable[tuple[str, Iterable[Any]]]) -> None:
        """Spread the records, each behind its key. If `records` raises, nothing is left behind that counts."""
        unfinished = self._folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        writers: dict[int, Callable[[Iterable[Any]], Any]] = {}
        with ExitStack() as files:
            for key, record in records:
                part = zlib.crc32(key.encode()) % PARTS
                if part not in writers:
                    file = files.enter_context((unfinished / _file(part)).open("w", encoding="utf-8", newline=""))
                    writers[part] = csv.writer(file).writerow
                writers[part](record)
        unfinished.rename(self._folder)

    def read(self, part: int) -> Iterator[list[str]]:
        """The records of one file, in the order in which they were written."""
        path = self._folder / _file(part)
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                yield from csv.reader(file)


def _file(part: int) -> str:
    return f"{part:03d}.csv"
