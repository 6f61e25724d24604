"""Fuzz every reader of untrusted input, on all processors: `python -m tests.proof.fuzz [--quick | --executions N]`.

Coverage-guided (atheris, in an environment of its own), from the vectors and samples of tests/kit; the targets whose
name ends in `_changed` have hypothesis build documents out of the fuzzer's bytes. A finding is stored, and

    python -m tests.proof.fuzz --replay TARGET FILE

runs it alone, without the fuzzer, and says how much CPU it took.
"""

import argparse
import gc
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.proof import ROOT
from tests.proof.claims import Claim, a_seed, none, report

from .targets import TARGETS
from .timing import Stopwatch

EXECUTIONS = 1_000_000
QUICK = 60_000
WORST_MS = 50
RUNS_ALONE = 5
DIRECTORY = ROOT / ".local" / "fuzz"


@dataclass(frozen=True)
class Job:
    """One target with one seed of randomness, for one processor."""

    target: str
    executions: int
    seed: int

    @property
    def directory(self) -> Path:
        return DIRECTORY / f"{self.target}-{self.seed}"

    def run(self) -> "Job":
        """Returns when the worker has left its result."""
        self.directory.mkdir(parents=True)
        python = ROOT / ".local" / "venvs" / "fuzz" / "bin" / "python"
        numbers = [str(self.executions), str(self.seed)]
        command = [str(python), "-m", "tests.proof.fuzz.worker", self.target, *numbers, str(self.directory)]
        with (
            (self.directory / "fuzzer.log").open("w") as log,
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True) as worker,
        ):
            for line in worker.stdout or ():
                print(f"  {self.target} {self.seed}: {int(line):,} of {self.executions:,}", flush=True)
        if not (self.directory / "result.json").exists():
            raise SystemExit(f"fuzz: the worker of {self.target} ended by itself: {self.directory / 'fuzzer.log'}")
        return self

    @property
    def result(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.directory / "result.json").read_text())
        return found


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    options.add_argument("--executions", type=int, default=EXECUTIONS)
    options.add_argument("--quick", action="store_const", dest="executions", const=QUICK, help=f"{QUICK:,} executions")
    options.add_argument("--seed", type=int, default=a_seed(), help="of the first worker; by chance if left out")
    options.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"))
    chosen = options.parse_args()
    if chosen.replay:
        target, path = chosen.replay
        print(f"{1000 * alone(target, Path(path)):.2f} ms of CPU")
        return 0
    return fuzz(chosen.executions, chosen.seed)


def fuzz(executions: int, first_seed: int) -> int:
    """Run the workers, measure their slowest inputs again, and report."""
    print(f"  seed {first_seed}", flush=True)
    started = time.monotonic()
    _environment()
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    processors = os.cpu_count() or 1
    jobs = [
        Job(name, -(-executions * target.share // 100 // processors), first_seed + number)
        for name, target in TARGETS.items()
        for number in range(processors)
    ]
    with ThreadPoolExecutor(processors) as pool:
        results = [(job, job.result) for job in pool.map(Job.run, jobs)]
    executed = sum(int(str(result["executions"])) for _, result in results)
    found = [(job, result) for job, result in results if result["finding"]]
    for job, result in found:
        print(f"{job.target}\n{result['trace']}python -m tests.proof.fuzz --replay {job.target} {result['finding']}")
    worst_ms, target, path = max(
        (1000 * alone(job.target, Path(str(path))), job.target, str(path))
        for job, result in results
        if not result["finding"]
        for path in list(result["slowest"])  # type: ignore[call-overload]
    )
    seen_ms = 1000 * max(float(str(result["worstSeen"])) for _, result in results)
    print(f"slowest while fuzzing {seen_ms:.1f} ms, alone {worst_ms:.1f} ms: --replay {target} {path}")
    return report(
        "fuzz",
        [
            Claim(
                "fuzz: executions of parse and verify",
                f"{executed:,} from seed {first_seed}",
                f"at least {executions:,}",
                executed >= executions,
            ),
            none("fuzz: findings", len(found)),
            Claim(
                "fuzz: CPU of the slowest input, of 16 KiB at most",
                f"{worst_ms:.1f} ms",
                f"under {WORST_MS} ms",
                worst_ms < WORST_MS,
            ),
        ],
        time.monotonic() - started,
        whole=executions >= EXECUTIONS,
    )


def alone(target: str, path: Path) -> float:
    """Seconds of CPU for this input by itself, the best of some runs: what else a process does is not counted."""
    data = path.read_bytes()
    times = []
    gc.disable()
    for _ in range(RUNS_ALONE):
        timed = Stopwatch()
        TARGETS[target].check(timed, data)
        times.append(timed.seconds)
    gc.enable()
    return min(times)


def _environment() -> None:
    """The fuzzer's own environment, made when it is first needed."""
    spec = importlib.util.spec_from_file_location("setup", ROOT / "local" / "setup.py")
    assert spec
    assert spec.loader
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    setup.main(["fuzz"])


if __name__ == "__main__":
    sys.exit(main())
