"""Which tests touch which line, and whether they notice a mutant.

Every mutant is tried in a fork, so that it costs what its tests cost. One inside of a function is put into a session
that has collected the tests already; one of what happens at import needs a process in which nothing is imported yet
but what the package stands on. Hypothesis draws the same examples every time, and does not look for simpler ones.
"""

import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import boto3  # noqa: F401 (imported for the forks, like the next four)
import cryptography.x509  # noqa: F401
import hypothesis.strategies
import pynamodb.models  # noqa: F401
import pytest
import requests  # noqa: F401
from aws_lambda_powertools import Logger, Metrics  # noqa: F401
from coverage import Coverage

from tests.proof import ROOT

from .mutants import Mutant

PACKAGE = ROOT / "layers" / "autodebit" / "python" / "autodebit"
TESTS = [str(ROOT / "tests" / ring) for ring in ("rules", "edges")]
UNCONCERNED = ("tests/edges/test_transport.py", "tests/edges/agreement", "tests/edges/test_reconcile.py")
"""Tests of what is not mutated, and slow ones: they wait for timeouts, or start an emulator of their own."""

WORKERS = 2
CONTROL_TIMEOUT_S = 600
LEAST_TIMEOUT_S = 30
"""A mutant under which the tests take this time, and five times as long as without it, is noticed."""


@dataclass(frozen=True)
class Reach:
    """How long tests take, and which of them touch a line: module, line number as text, tests.

    Before the first test it is the empty one that touches.
    """

    seconds: dict[str, float]
    touching: dict[str, dict[str, list[str]]]

    def at_import(self, mutant: Mutant) -> bool:
        """Whether it is over before the first test: outside of functions, or in one that only builds what is there."""
        return not mutant.function or self._contexts(mutant) == {""}

    def tests(self, mutant: Mutant) -> set[str]:
        """The tests that may notice this mutant: what happens at import concerns all that touch the module."""
        if not self.at_import(mutant):
            return self._contexts(mutant) - {""}
        of_module = {test for tests in self.touching[mutant.module].values() for test in tests}
        return {test for test in self.seconds if test in of_module or _is_own(mutant, test)}

    def _contexts(self, mutant: Mutant) -> set[str]:
        lines = self.touching[mutant.module]
        return {test for line in mutant.lines for test in lines.get(str(line), ())}


def source_of(module: str) -> Path:
    """The file of a module of the shared package."""
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def _module_in(file: str) -> str:
    return ".".join(Path(file).relative_to(PACKAGE).with_suffix("").parts)


def _is_own(mutant: Mutant, test: str) -> bool:
    return f"/test_{mutant.module.rpartition('.')[2]}.py" in test


def reach() -> Reach:
    """Run the tests as they are, and see what they touch. Raises RuntimeError if one fails."""
    with tempfile.NamedTemporaryFile() as found:

        def child() -> str | None:
            coverage = Coverage(data_file=None, include=[f"{PACKAGE}/*"])
            recorder = _Recorder(coverage)
            coverage.start()
            if _pytest(TESTS, recorder):
                return "a test"
            coverage.stop()
            data = coverage.get_data()
            touching = {_module_in(file): data.contexts_by_lineno(file) for file in data.measured_files()}
            Path(found.name).write_text(json.dumps([recorder.seconds, touching]))
            return None

        process = _Fork(child, CONTROL_TIMEOUT_S)
        if process.end(os.waitpid(process.pid, 0)[1]) is not None:
            raise RuntimeError("the tests fail as they are: .local/venvs/dev/bin/pytest tests/rules tests/edges")
        return Reach(*json.load(found))


class Trials:
    """Tries mutants; `survived` are those that no test noticed."""

    def __init__(self, mutants: list[Mutant], reach: Reach, progress: Callable[[int, int], None]) -> None:
        self._mutants, self._reach, self._progress = mutants, reach, progress
        self._noticed_by: dict[str, list[str]] = defaultdict(list)
        self._decided = 0
        self.survived: list[Mutant] = []

    def run(self) -> None:
        """Try them all. Raises RuntimeError if some were not tried: what is not tried is not noticed."""
        self._try([mutant for mutant in self._mutants if self._reach.at_import(mutant)], self._at_import)
        _pytest(TESTS, self)
        if self._decided != len(self._mutants):
            raise RuntimeError(f"{len(self._mutants) - self._decided} mutants were not tried")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running the tests, try the mutants inside of functions."""
        session.config.pluginmanager.unregister(name="terminalreporter")
        self._items = {item.nodeid: item for item in session.items}
        self._functions = {
            (each.__code__.co_filename, each.__qualname__): each
            for each in gc.get_objects()
            if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(str(PACKAGE))
        }
        gc.freeze()
        # As many at once as later: mutants that get in each other's way would all seem to be noticed.
        controls = [_Fork(lambda: self._first_failure([*self._items]), CONTROL_TIMEOUT_S) for _ in range(WORKERS)]
        for control in controls:
            if (failed := control.end(os.waitpid(control.pid, 0)[1])) is not None:
                raise RuntimeError(f"fails in a fork without a mutant: {failed}")
        self._try([mutant for mutant in self._mutants if not self._reach.at_import(mutant)], self._in_session)
        return True

    def _try(self, mutants: list[Mutant], way: Callable[[Mutant, list[str]], str | None]) -> None:
        running: dict[int, tuple[Mutant, _Fork]] = {}
        waiting = iter(mutants)
        while True:
            while len(running) < WORKERS and (mutant := next(waiting, None)):
                tests = self._tests(mutant)
                timeout_s = LEAST_TIMEOUT_S + 5 * sum(self._reach.seconds[test] for test in tests)
                process = _Fork(partial(way, mutant, tests), timeout_s)
                running[process.pid] = mutant, process
            if not running:
                return
            pid, status = os.waitpid(-1, 0)
            if pid in running:
                mutant, process = running.pop(pid)
                self._decide(mutant, process.end(status))

    def _decide(self, mutant: Mutant, noticed_by: str | None) -> None:
        if noticed_by is None:
            self.survived.append(mutant)
        else:
            self._noticed_by[mutant.module].append(noticed_by)
        self._decided += 1
        self._progress(self._decided, len(self.survived))

    def _tests(self, mutant: Mutant) -> list[str]:
        """First those that noticed a neighbour, the last first; then the module's own; then the fastest."""
        last = {test: place for place, test in enumerate(self._noticed_by[mutant.module], 1)}
        return sorted(
            self._reach.tests(mutant),
            key=lambda test: (-last.get(test, 0), not _is_own(mutant, test), self._reach.seconds[test]),
        )

    def _at_import(self, mutant: Mutant, tests: list[str]) -> str | None:
        sys.meta_path.insert(0, _Mutated(mutant))
        own = [test for test in tests if _is_own(mutant, test)]
        for chosen in (_Chosen(own), _Chosen([test for test in tests if test not in own])):
            if _pytest(chosen.files(), chosen, "-x"):
                return chosen.failed
        return None

    def _in_session(self, mutant: Mutant, tests: list[str]) -> str | None:
        file = str(source_of(mutant.module))
        code = _code_of(mutant.code(file), mutant.function)
        self._functions[file, mutant.function].__code__ = code
        return self._first_failure(tests)

    def _first_failure(self, tests: list[str]) -> str | None:
        # By now the tests have imported these, with their parent's tables.
        from autodebit.payment.order_table import OrderItem
        from autodebit.refund.refund_table import RefundItem

        OrderItem.Meta.table_name = os.environ["ORDERS_TABLE"]
        RefundItem.Meta.table_name = os.environ["REFUNDS_TABLE"]
        for test in tests:
            item = self._items[test]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if item.session.testsfailed:
                return test
        return None


def _code_of(code: CodeType, qualified_name: str) -> CodeType:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_qualname == qualified_name:
                return inner
            if qualified_name.startswith(f"{inner.co_qualname}."):
                return _code_of(inner, qualified_name)
    raise LookupError(qualified_name)


class _Fork:
    """A process that finds out which test notices a mutant."""

    def __init__(self, child: Callable[[], str | None], timeout_s: float) -> None:
        self._said, say = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(say)
            return
        try:
            signal.alarm(int(timeout_s))
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            os.environ["ORDERS_TABLE"] = f"orders-{os.getpid()}"
            os.environ["REFUNDS_TABLE"] = f"refunds-{os.getpid()}"
            noticed_by = child()
            os.write(say, b"-" if noticed_by is None else f"+{noticed_by}".encode())
        finally:
            os._exit(0)

    def end(self, status: int) -> str | None:
        """The test that noticed it, empty if it never came to a test; None if none did."""
        with os.fdopen(self._said) as said:
            text = said.read()
        return None if status == 0 and text == "-" else text[1:]


def _pytest(paths: list[str], plugin: Any, *options: str) -> bool:
    """Whether a test fails, or cannot even be collected."""
    quiet = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception"]
    ignored = [f"--ignore={ROOT / name}" for name in UNCONCERNED]
    arguments = [*quiet, f"--rootdir={ROOT}", *options, *ignored, *paths]
    return pytest.main(arguments, plugins=[plugin, _Repeatable()]) != pytest.ExitCode.OK


class _Repeatable:
    """The profile of the tests, without chance and without memory."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        rules = hypothesis.settings.get_profile("rules")
        hypothesis.settings.register_profile("mutation", rules, derandomize=True, database=None, phases=phases)
        hypothesis.settings.load_profile("mutation")


class _Recorder:
    """Notes for every test what it touches and how long it takes."""

    def __init__(self, coverage: Coverage) -> None:
        self._coverage = coverage
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        begun = time.monotonic()
        self._coverage.switch_context(item.nodeid)
        result = yield
        self._coverage.switch_context("")
        self.seconds[item.nodeid] = time.monotonic() - begun
        return result


class _Chosen:
    """Runs these tests in this order, and keeps which one failed."""

    def __init__(self, tests: list[str]) -> None:
        self._places = {test: place for place, test in enumerate(tests)}
        self.failed = ""

    def files(self) -> list[str]:
        return sorted({str(ROOT / test.partition("::")[0]) for test in self._places})

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self._places), key=lambda item: self._places[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid


class _Mutated:
    """Finds the mutant where the module would be."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != f"autodebit.{self._mutant.module}":
            return None
        file = str(source_of(self._mutant.module))
        return spec_from_file_location(name, file, loader=_Loader(name, file, self._mutant))


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> Any:
        return self._mutant.code(self.path)
