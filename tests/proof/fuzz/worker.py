"""One target under the coverage-guided fuzzer, in an environment of its own; `python -m tests.proof.fuzz` starts it.

    python -m tests.proof.fuzz.worker TARGET EXECUTIONS SEED DIRECTORY

Writes `result.json` into the directory: executions, the slowest inputs, and the finding, if there is one. The slowest
inputs and what was found lie beside it.
"""

import heapq
import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import atheris

from .timing import Stopwatch

with atheris.instrument_imports(include=["autodebit"]):
    from .targets import TARGETS, Target

LONGEST_INPUT = 16_384

KEPT = 8
"""Slowest inputs that are measured again, alone."""

EVERY = 25_000
"""Executions between two lines of progress."""


@dataclass
class Worker:
    target: Target
    executions: int
    directory: Path
    executed: int = 0
    slowest: list[tuple[float, int, bytes]] = field(default_factory=list)

    def execute(self, data: bytes) -> None:
        """One execution; the last one, or one with a finding, ends the process."""
        timed = Stopwatch()
        try:
            self.target.check(timed, data)
        except Exception:
            self._end(data, traceback.format_exc())
        if not timed.called:
            return  # not every input makes a document
        self.executed += 1
        heapq.heappush(self.slowest, (timed.seconds, self.executed, data))
        if len(self.slowest) > KEPT:
            heapq.heappop(self.slowest)
        if self.executed % EVERY == 0:
            print(self.executed, flush=True)
        if self.executed == self.executions:
            self._end()

    def _end(self, found: bytes | None = None, trace: str = "") -> None:
        result = {
            "executions": self.executed,
            "slowest": [self._keep(data) for *_, data in self.slowest],
            "worstSeen": max((seconds for seconds, *_ in self.slowest), default=0.0),
            "finding": None if found is None else self._keep(found),
            "trace": trace,
        }
        (self.directory / "result.json").write_text(json.dumps(result))
        os._exit(0)  # the fuzzer would go on

    def _keep(self, data: bytes) -> str:
        path = self.directory / sha256(data).hexdigest()[:16]
        path.write_bytes(data)
        return str(path)


def fuzz(execute: Callable[[bytes], None], seeds: list[bytes], directory: Path, seed: int) -> None:
    """Hand inputs to `execute` until it ends the process; the corpus begins with the seeds."""
    corpus = directory / "corpus"
    corpus.mkdir(parents=True)
    for number, data in enumerate(seeds):
        (corpus / str(number)).write_bytes(data)
    words = directory / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in _words(seeds)))
    options = [f"-seed={seed}", f"-max_len={LONGEST_INPUT}", f"-dict={words}", "-verbosity=0", "-timeout=60"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], execute)
    atheris.Fuzz()


def _words(seeds: list[bytes]) -> list[bytes]:
    """The tokens that the seeds are made of: names and texts in quotes, and what JSON and the header know besides."""
    quoted: set[Any] = {word for data in seeds for word in data.split(b'"')[1::2] if 0 < len(word) < 40}
    return sorted(
        quoted | {b"null", b"true", b"1e400", b"\\u0000", b"\\ud800", b"keyVersion=", b"%3D", b"\xef\xbf\xbd"}
    )


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    name, executions, seed, directory = sys.argv[1:]
    worker = Worker(TARGETS[name], int(executions), Path(directory))
    fuzz(worker.execute, worker.target.seeds, worker.directory, int(seed))
