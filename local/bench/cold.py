"""Cold starts: whole processes, from the start of the interpreter to its end, taken in turns.

Compared are CPU times: with the network stubbed a cold start is CPU from end to end, so that on an idle machine they
are the wall time, and on a busy one they stay comparable.
"""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from workshop import FUNCTIONS, environment, python


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
        "interpreter": Start("pass", (opt,)),
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
    began = time.perf_counter()
    process = subprocess.Popen(
        [python(), "-S", "-c", start.code], env=environment(*start.path), stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    wall_ms = (time.perf_counter() - began) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{start.code} ended with {process.returncode}")
    return wall_ms, (used.ru_utime + used.ru_stime) * 1000
