"""The command: see the package."""

import argparse
import gc
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import cache
from typing import NamedTuple

from tests.proof.claims import Claim, a_seed, report

from .agreement import compare, emulator
from .bugs import BUGS, Bug, find
from .product import Product
from .refund_bugs import REFUND_BUGS
from .refunds import RefundBounds
from .search import (
    ALL,
    ALL_CLOSING,
    ALL_REFUNDS,
    CLOSING,
    FULL,
    MORE,
    PAIRS,
    REFUNDS,
    AnyBounds,
    Broken,
    Search,
    execute,
    execute_some,
    exhaust,
    read,
)
from .world import Violation

CORES = 2
CHUNK = 1000
"""Schedules that a process executes before it says so."""


class Scale(NamedTuple):
    """How much is done."""

    exhausted: list[AnyBounds]
    executed: int
    bugs: list[Bug]
    histories: int


BY_CHANCE: list[AnyBounds] = [ALL, ALL_CLOSING, ALL_REFUNDS]
SEEDED = [*BUGS, *REFUND_BUGS]
WHOLE = Scale([FULL, *PAIRS, *MORE, *CLOSING, *REFUNDS], 100_000, SEEDED, 5_000)
QUICK = Scale([*PAIRS], 4_000, SEEDED[::4], 200)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.proof.schedules")
    parser.add_argument("--quick", action="store_true", help="about a minute's share of it")
    parser.add_argument(
        "--bugs", action="store_true", help="only the seeded bugs, each with the schedule that shows it"
    )
    parser.add_argument(
        "--exhaust",
        metavar="BOUNDS",
        help="only every schedule within these: initiate=2,notify=1,faults=1,later=1",
    )
    parser.add_argument("--seed", type=int, default=a_seed(), help="of what is taken by chance")
    parser.add_argument("--replay", metavar="'BOUNDS SCHEDULE'", help="execute this schedule and show every step")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay)
    if options.exhaust:
        return exhaust_one(options.exhaust)
    print(f"  seed {options.seed}", flush=True)
    begun = time.monotonic()
    scale = QUICK if options.quick else WHOLE
    bugs = SEEDED if options.bugs else scale.bugs
    with ProcessPoolExecutor(CORES) as pool:
        # All of it is handed over at once: beside the longest search, which begins first, the rest is done.
        searches = {} if options.bugs else {pool.submit(_exhaust, bounds): bounds for bounds in scale.exhausted}
        seeded = [bounds for bounds in dict.fromkeys(bug.bounds for bug in bugs) if bounds not in scale.exhausted]
        sound = pool.map(_exhaust, seeded)
        seeds = _seeds(options.seed, scale.executed // CHUNK)
        chosen = [] if options.bugs else BY_CHANCE
        by_chance = [(bounds, pool.map(_execute, [bounds] * len(seeds), seeds)) for bounds in chosen]
        caught = pool.map(_find, [bug.name for bug in bugs])
        claims = [] if options.bugs else _exhausted(searches)
        claims += [_executed(bounds, found, scale, options.seed) for bounds, found in by_chance]
        claims += [_sound(list(sound)), _found(caught, bugs)]
    if not options.bugs:
        claims.append(_agrees(scale, options.seed))
    return report("schedules", claims, time.monotonic() - begun, whole=scale is WHOLE and not options.bugs)


def replay(text: str) -> int:
    """Show what the handlers do along a schedule, and what broke."""
    bounds, schedule = read(text)
    try:
        for decision, state in execute(shipped(bounds.closes), bounds, schedule):
            print(f"{state.clock:>6} s  {decision:<24} {state.row or ''}")
    except Violation as violation:
        print(f"broken: {violation}")
        return 1
    return 0


def exhaust_one(text: str) -> int:
    """Exhaust these bounds, however long it takes."""
    bounds, _ = read(text)
    search = _exhaust(bounds)
    print(f"{_words(bounds)}: {_figure([search])}, {search.broken or 'no rule broken'}")
    return 1 if search.broken else 0


@cache
def shipped(closes: bool = False) -> Product:
    """The product as it is, once in each process."""
    return Product(closes=closes)


def _exhaust(bounds: AnyBounds) -> Search:
    return exhaust(shipped(bounds.closes), bounds)


def _exhausted(searches: dict[Future[Search], AnyBounds]) -> list[Claim]:
    """Each of the bounds, exhausted up to equivalence; the pairs are one claim."""
    for future in as_completed(searches):
        words, search = _words(searches[future]), future.result()
        print(f"  {words}: {_figure([search])}{f', {search.broken}' if search.broken else ''}", flush=True)
    found = {bounds: future.result() for future, bounds in searches.items()}
    pairs = [search for bounds, search in found.items() if bounds in PAIRS]
    others = {_words(bounds): [search] for bounds, search in found.items() if bounds not in PAIRS}
    return [
        Claim(
            f"every schedule of {what}",
            _figure(searches),
            "exhausted, no rule broken",
            all(search.broken is None for search in searches),
        )
        for what, searches in {"each pair of handlers with 1 fault": pairs, **others}.items()
    ]


def _figure(searches: list[Search]) -> str:
    steps, classes = (sum(getattr(search, name) for search in searches) for name in ("steps", "classes"))
    return f"{classes:,} classes, {steps:,} steps"


def _words(bounds: AnyBounds) -> str:
    """As `2 initiate, 2 notify, 2 faults (crashes and lost answers)`."""
    counts = ", ".join(
        f"{count} {name}" for name, count in bounds._asdict().items() if count > 0 and name not in ("plain", "closes")
    )
    notes = ["crashes and lost answers"] * bounds.plain + ["closing"] * bounds.closes
    notes += ["refunds"] * isinstance(bounds, RefundBounds)
    return f"{counts} ({', '.join(notes)})" if notes else counts


def _seeds(seed: int, number: int) -> range:
    """One for each chunk, none of which another seed has."""
    return range(seed * 1_000, seed * 1_000 + number)


def _execute(bounds: AnyBounds, seed: int) -> tuple[set[str], Broken | None]:
    gc.freeze()  # what is remembered stays: to go through it again and again takes a third of the time
    return execute_some(shipped(bounds.closes), bounds, seed, CHUNK)


def _executed(
    bounds: AnyBounds, executions: Iterable[tuple[set[str], Broken | None]], scale: Scale, seed: int
) -> Claim:
    """Schedules by chance, executed from start to end."""
    distinct: set[str] = set()
    broken, begun = None, time.monotonic()
    for done, (digests, found) in enumerate(executions, 1):
        distinct |= digests
        broken = broken or found
        if found:
            print(found, flush=True)
        if done % 10 == 0:
            print(f"  {done * CHUNK:,} executed, {time.monotonic() - begun:.0f} s", flush=True)
    figure = f"{scale.executed:,} from seed {seed}, of which {len(distinct):,} distinct"
    bar = f"{scale.executed:,}, no rule broken"
    return Claim(f"executed schedules of {_words(bounds)}", figure, bar, not broken)


def _sound(searches: list[Search]) -> Claim:
    """A bug is caught by a rule that holds without it."""
    broken = [search.broken for search in searches if search.broken]
    for each in broken:
        print(f"  without any bug: {each}", flush=True)
    return Claim(
        "every schedule of the bounds in which a bug is seeded, without it",
        _figure(searches),
        "exhausted, no rule broken",
        not broken,
    )


def _find(name: str) -> Broken | None:
    """Another process knows a bug by its name alone."""
    return find(next(bug for bug in SEEDED if bug.name == name))


def _found(searches: Iterable[Broken | None], bugs: list[Bug]) -> Claim:
    """Each seeded bug, by the rule it breaks."""
    caught = 0
    for bug, broken in zip(bugs, searches, strict=True):
        caught += broken is not None
        print(f"  {bug.name}: {broken or 'NOT FOUND'}", flush=True)
    return Claim("seeded bugs caught", f"{caught}/{len(bugs)}", f"{len(bugs)}/{len(bugs)}", caught == len(bugs))


def _agrees(scale: Scale, seed: int) -> Claim:
    """The rows in memory against DynamoDB's."""
    with emulator() as client:
        compared, differences = compare(shipped(), client, scale.histories, seed)
    for difference in differences[:3]:
        print(difference, flush=True)
    figure = f"{compared:,} histories, {len(differences)} differ"
    return Claim(
        "the rows in memory agree with the emulator",
        figure,
        f"{scale.histories:,}, 0 differ",
        compared >= scale.histories and not differences,
    )


if __name__ == "__main__":
    sys.exit(main())
