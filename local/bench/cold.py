"""Cold starts: each in a process of its own, taken in turns.

The clock runs from the first line of code to readiness. The interpreter's start is Lambda's own, and its end, which
frees every module once more, does not happen there.

Compared are CPU times: with the network stubbed a cold start is CPU from end to end, so that on an idle machine they
are the wall time, and on a busy one they stay comparable.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from local.bench.workshop import FUNCTIONS, environment, python

CLOCK = """
import time
began = time.perf_counter(), time.process_time()
{code}
ended = time.perf_counter(), time.process_time()
print([(end - start) * 1000 for start, end in zip(began, ended)])
"""


@dataclass(frozen=True)
class Start:
    """One way to start: code, and what it is imported from."""

    code: str
    path: tuple[Path, ...]


@dataclass
class Times:
    """Of one way to start, round by round, in ms."""

    wall: list[float]
    cpu: list[float]

    @property
    def wall_ms(self) -> float:
        return median(self.wall)

    @property
    def cpu_ms(self) -> float:
        return median(self.cpu)


def starts(built: Path, opt: Path, naive: Path, naive_bytecode: Path, harness: Path, fixture: Path) -> dict[str, Start]:
    """Everything that is compared, by name."""
    ways = {
        "naive": Start("import app", (naive,)),
        "naive, with bytecode": Start("import app", (naive_bytecode,)),
        "floor": Start("import floor", (harness, opt)),
    }
    for name, folder in FUNCTIONS.items():
        for what in ("ready", "first"):
            code = f"import function; function.main({name!r}, {what!r}, {str(fixture)!r}, '', 0)"
            ways[f"{name} {what}"] = Start(code, (built / folder, opt, harness))
    return ways


def measure(ways: dict[str, Start], rounds: int) -> dict[str, Times]:
    """Every way once a round, in an order that turns; the first round only fills the disk's cache."""
    times = {name: Times([], []) for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            wall, cpu = _start(ways[name])
            if number:
                times[name].wall.append(wall)
                times[name].cpu.append(cpu)
    return times


def ratio(times: dict[str, Times], name: str, to: str) -> float:
    """Median over the rounds of the ratio of CPU times within a round: what slows the machine slows both."""
    return median(a / b for a, b in zip(times[name].cpu, times[to].cpu, strict=True))


def _start(start: Start) -> tuple[float, float]:
    """Wall time and CPU time in ms."""
    done = subprocess.run(
        [python(), "-S", "-c", CLOCK.format(code=start.code)],
        env=environment(*start.path),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{start.code} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    wall_ms, cpu_ms = json.loads(done.stdout.splitlines()[-1])
    return wall_ms, cpu_ms
