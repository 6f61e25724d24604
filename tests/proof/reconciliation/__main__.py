"""A million clean lines of each edition, and every kind of difference once among them.

    python -m tests.proof.reconciliation [--seed N] [--lines N]

The files and our records are made by tests/rules/reconciliation, which shares no code with what compares them. They
are made in chunks with ids of their own, so that nothing of them is held in memory. Processor time is counted, since
what else the machine does is not this program's.
"""

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autodebit.reconciliation.books import Books
from autodebit.reconciliation.compare import Ours, knows_no_more
from autodebit.reconciliation.reports import read_csv

from tests.proof import ROOT
from tests.proof.claims import Claim, a_seed, none, report
from tests.rules.reconciliation.alipay_files import EDITIONS, transactions
from tests.rules.reconciliation.world import SEEDS, TODAY, World, clean

CHUNK = 20_000
SECONDS_MAX, MEGABYTES_MAX = 60, 256


def main() -> int:
    """Make, compare and judge; the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=a_seed())
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--measure", type=Path, help="compare what lies in this folder, and print what came of it")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measured(options.measure)))
        return 0
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    claims: list[Claim] = []
    for edition in EDITIONS:
        with tempfile.TemporaryDirectory(dir=ROOT / ".local") as folder:
            lines, expected = write(Path(folder), edition, options.lines, options.seed)
            command = [sys.executable, "-m", "tests.proof.reconciliation", "--measure", folder]
            found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        differences = {tuple(one) for one in found["differences"]}
        false = len(found["differences"]) - len(differences & expected)
        told = len(differences & expected)
        of = f"{lines:,} lines of the {edition} edition"
        claims += [
            none(f"false differences in {of}", false),
            Claim(f"kinds of difference found in {of}", f"{told} of {len(expected)}", "all", told == len(expected)),
            Claim(
                f"processor time for {of}",
                f"{found['seconds']:.1f} s",
                f"{SECONDS_MAX} s",
                found["seconds"] <= SECONDS_MAX,
            ),
            Claim(
                f"memory for {of}",
                f"{found['megabytes']:.0f} MB",
                f"{MEGABYTES_MAX} MB",
                found["megabytes"] <= MEGABYTES_MAX,
            ),
        ]
    return report("reconciliation", claims, time.monotonic() - began, whole=options.lines >= 1_000_000)


def write(folder: Path, edition: str, lines: int, seed: int) -> tuple[int, set[tuple[str, str]]]:
    """A file and our records, chunk by chunk: how many lines, and the differences among them."""
    written, expected = 0, set()
    with (folder / "file.csv").open("w", newline="") as file, (folder / "ours.csv").open("w", newline="") as records:
        there, here = csv.writer(file), csv.writer(records)
        there.writerow(transactions(edition, [])[0])
        for chunk in range(lines // CHUNK):
            world = _apart(clean(CHUNK, seed + chunk), chunk)
            if chunk == 0:
                expected = {seed_one(world) for seed_one in SEEDS.values()}
            table = transactions(edition, world.there)[1:-1]
            there.writerows(table)
            written += len(table)
            here.writerows(tuple(vars(record).values()) for record in world.here)
        there.writerow(["<END>"])
    return written, expected


def _apart(world: World, chunk: int) -> World:
    """The world with ids of its own."""
    for one in (*world.there, *world.here):
        for name in ("request_id", "payment_request_id", "refund_request_id", "payment_id", "refund_id"):
            value = getattr(one, name, "")
            if value:
                setattr(one, name, f"{value}-{chunk}")
    return world


def measured(folder: Path) -> dict[str, Any]:
    """One comparison in this process."""
    books = Books(folder / "books")
    with (folder / "file.csv").open("rb") as source:
        books.add([read_csv("file.csv", source)])
    books.enter(_ours(folder / "ours.csv"))
    differences = [(one.name, one.request_id) for one in books.compare(knows_no_more, {TODAY}).differences]
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "differences": differences,
        "seconds": used.ru_utime + used.ru_stime,
        "megabytes": used.ru_maxrss / 1024,
    }


def _ours(file: Path) -> Iterator[Ours]:
    with file.open(newline="") as rows:
        for type_, request, payment_request, payment, refund, currency, minor, status, day in csv.reader(rows):
            yield Ours(type_, request, payment_request, payment, refund, currency, int(minor), status, day)


if __name__ == "__main__":
    sys.exit(main())
