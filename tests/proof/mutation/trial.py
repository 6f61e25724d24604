"""Which tests touch which line, and whether they notice a mutant.

Every mutant is tried in a fork of one session of pytest, so that it costs what its tests cost. One inside of a function
is put into a session that has collected the tests already; one of what happens at import into a session that has
imported what the package and its tests stand on, and nothing of theirs: its fork collects one file after the other.
Hypothesis draws the same examples every time, and does not look for simpler ones.
"""

import ast
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import boto3
import hypothesis.strategies
import pytest
import requests
from coverage import Coverage

from tests.kit.store import ENDPOINT
from tests.kit.waiting import GENEROUS_S
from tests.proof import ROOT

from .mutants import Mutant

PACKAGE = ROOT / "layers" / "autodebit" / "python" / "autodebit"
TESTS = [str(ROOT / "tests" / ring) for ring in ("rules", "template", "edges")]
UNCONCERNED = (
    *("tests/edges/test_transport.py", "tests/edges/test_reconcile.py", "tests/edges/agreement/test_cold_start.py"),
    "tests/edges/agreement/test_refresh.py::test_all_that_fell_due_on_one_day_is_refreshed_once_each",
    "tests/edges/agreement/test_the_end.py::test_from_the_note_on_nothing_is_sent_in_200_races",
)
"""Tests of what is not mutated, and slow ones: they wait for timeouts, or do in large what others do in small."""

REACH_TIMEOUT_S = 1200
LEAST_CPU_S = 4
"""A mutant under which a test computes for so long, and five times as long as it takes without it, is noticed."""

LEAST_TIMEOUT_S = 60
"""The same of the time by the clock, for a test that waits."""


@dataclass(frozen=True)
class Reach:
    """How long tests take, and which of them touch a line: module, line number as text, tests.

    Before the first test it is the empty one that touches. `installed` are the modules of others that get imported.
    """

    seconds: dict[str, float]
    touching: dict[str, dict[str, list[str]]]
    installed: list[str]

    def at_import(self, mutant: Mutant) -> bool:
        """Whether it is over before the first test: outside of functions, or in one that only builds what is there."""
        return not mutant.function or self._contexts(mutant) == {""}

    def tests(self, mutant: Mutant) -> set[str]:
        """The tests that may notice this mutant.

        What happens at import concerns the files of all that touch the module, or one that imports from it, and those
        that import it themselves: a test may look at a constant and touch nothing.
        """
        if not self.at_import(mutant):
            return self._contexts(mutant) - {""}
        modules = _with_importers(mutant.module)
        lines = [tests for module in modules for tests in self.touching.get(module, {}).values()]
        files = {_file_of(test) for tests in lines for test in tests}
        files |= {file for file in set(map(_file_of, self.seconds)) - files if _imported(ROOT / file) & modules}
        return {test for test in self.seconds if _file_of(test) in files}

    def _contexts(self, mutant: Mutant) -> set[str]:
        lines = self.touching[mutant.module]
        return {test for line in mutant.lines for test in lines.get(str(line), ())}


def source_of(module: str) -> Path:
    """The file of a module of the shared package."""
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def _module_in(file: str) -> str:
    return ".".join(Path(file).relative_to(PACKAGE).with_suffix("").parts)


@functools.cache
def _with_importers(module: str) -> set[str]:
    """The module, and all that import from it, or from one that does."""
    imports = {_module_in(str(file)): _imported(file) for file in PACKAGE.rglob("*.py")}
    found, more = set[str](), {module}
    while more:
        found |= more
        more = {each for each, imported in imports.items() if imported & found} - found
    return found


@functools.cache
def _imported(file: Path) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    names = [f"{node.module}.{alias.name}" for node in nodes for alias in node.names]
    return {name.removeprefix("autodebit.") for name in [*names, *(str(node.module) for node in nodes)]}


def _is_own(mutant: Mutant, test: str) -> bool:
    return f"/test_{mutant.module.rpartition('.')[2]}.py" in test


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def reach(paths: list[str], emulator: str) -> Reach:
    """Run the tests as they are, and see what they touch. Raises RuntimeError if one fails."""
    with tempfile.NamedTemporaryFile() as found:

        def child() -> str | None:
            signal.alarm(REACH_TIMEOUT_S)
            coverage = Coverage(data_file=None, include=[f"{PACKAGE}/*"])
            recorder = _Recorder(coverage)
            coverage.start()
            if _pytest(paths, recorder):
                return "a test"
            coverage.stop()
            data = coverage.get_data()
            touching = {_module_in(file): data.contexts_by_lineno(file) for file in data.measured_files()}
            installed = [name for name, each in sys.modules.items() if "site-packages" in str(each)]
            Path(found.name).write_text(json.dumps([recorder.seconds, touching, installed]))
            return None

        process = _Fork(child, emulator)
        if process.end(os.waitpid(process.pid, 0)[1]) is not None:
            raise RuntimeError(f"the tests fail as they are: .local/venvs/dev/bin/pytest {' '.join(paths)}")
        return Reach(*json.load(found))


class Trials:
    """Tries mutants by the tests in `paths`, one at a time on each emulator; `survived` are those no test noticed."""

    def __init__(
        self,
        mutants: list[Mutant],
        paths: list[str],
        reach: Reach,
        emulators: list[str],
        progress: Callable[[int, list[Mutant]], None],
    ) -> None:
        self._mutants, self._paths, self._reach, self._progress = mutants, paths, reach, progress
        self._emulators = emulators
        self._last_noticed_by: dict[tuple[str, str], str] = {}
        self._noticed_by: Counter[str] = Counter()
        self._decided = 0
        self.survived: list[Mutant] = []

    def run(self) -> None:
        """Try them all. Raises RuntimeError if some were not tried: what is not tried is not noticed."""
        for name in self._reach.installed:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        _pytest([str(ROOT / "tests")], self)
        if self._decided != len(self._mutants):
            raise RuntimeError(f"{len(self._mutants) - self._decided} mutants were not tried")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, object, object]:
        """Before the tests are collected, try the mutants of what happens at import."""
        session.config.pluginmanager.unregister(name="terminalreporter")
        if early := sorted(name for name in sys.modules if name.startswith("autodebit")):
            raise RuntimeError(f"imported before a mutant can take its place: {early}")
        self._session = session
        _describe_aws(boto3.client)
        self._try([mutant for mutant in self._mutants if self._reach.at_import(mutant)], self._at_import)
        session.config.args = self._paths
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running the tests, try the mutants inside of functions."""
        from autodebit import aws

        _describe_aws(aws.session().create_client)
        self._functions = {
            (each.__code__.co_filename, each.__qualname__): each
            for each in gc.get_objects()
            if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(str(PACKAGE))
        }
        self._try([mutant for mutant in self._mutants if not self._reach.at_import(mutant)], self._in_session)
        return True

    def _try(self, mutants: list[Mutant], way: Callable[[Mutant | None, list[str]], str | None]) -> None:
        if not mutants:
            return
        gc.freeze()
        tests = {test for mutant in mutants for test in self._reach.tests(mutant)}
        in_order = [test for test in self._reach.seconds if test in tests]
        # As many at once as later: mutants that get in each other's way would all seem to be noticed. And so would all
        # if a test failed after another.
        orders = [in_order, in_order[::-1]]
        controls = [
            _Fork(functools.partial(way, None, orders[number % 2]), emulator)
            for number, emulator in enumerate(self._emulators)
        ]
        for control in controls:
            if (failed := control.end(os.waitpid(control.pid, 0)[1])) is not None:
                raise RuntimeError(f"fails in a fork without a mutant: {failed}")
        running: dict[int, tuple[Mutant, _Fork]] = {}
        waiting, free = iter(mutants), list(self._emulators)
        while True:
            while free and (mutant := next(waiting, None)):
                process = _Fork(functools.partial(way, mutant, self._tests(mutant)), free.pop())
                running[process.pid] = mutant, process
            if not running:
                return
            pid, status = os.waitpid(-1, 0)
            if pid in running:
                mutant, process = running.pop(pid)
                free.append(process.emulator)
                self._decide(mutant, process.end(status))

    def _decide(self, mutant: Mutant, noticed_by: str | None) -> None:
        if noticed_by is None:
            self.survived.append(mutant)
        else:
            self._last_noticed_by[mutant.module, mutant.function] = noticed_by
            self._noticed_by[noticed_by] += 1
        self._decided += 1
        self._progress(self._decided, self.survived)

    def _tests(self, mutant: Mutant) -> list[str]:
        """First the one that noticed a neighbour last; then those that cost the least for what they have noticed."""

        def cost(test: str) -> float:
            seconds = 0.01 + self._reach.seconds[test]
            return seconds / (1 + self._noticed_by[test]) / (10 if _is_own(mutant, test) else 1)

        last = self._last_noticed_by.get((mutant.module, mutant.function))
        return sorted(self._reach.tests(mutant), key=lambda test: (test != last, cost(test)))

    def _at_import(self, mutant: Mutant | None, tests: list[str]) -> str | None:
        if mutant:
            sys.meta_path.insert(0, _Mutated(mutant))
        _end_after(0)
        files = [str(ROOT / file) for file in dict.fromkeys(map(_file_of, tests))]
        try:
            modules = self._session.perform_collect(files, genitems=False)
        except pytest.UsageError:
            return ""  # a conftest cannot be imported
        for module in modules:
            _end_after(0)
            assert isinstance(module, pytest.Collector)
            items = {item.nodeid: item for item in self._session.genitems(module)}
            if self._session.testsfailed:
                return module.nodeid
            known = [items[test] for test in tests if test in items]
            new = [item for test, item in items.items() if test not in {*self._reach.seconds, *UNCONCERNED}]
            if failed := self._first_failure([*known, *new]):  # a mutant may give the tests of a table other names
                return failed
        return "" if self._session.testsfailed else None

    def _in_session(self, mutant: Mutant | None, tests: list[str]) -> str | None:
        if mutant:
            file = str(source_of(mutant.module))
            function = self._functions[file, mutant.function]
            code = _code_of(mutant.code(file), mutant.function)
            # Without `super()` it has no `__class__` to close over, and a function closes over as much as before.
            function.__code__ = code.replace(co_freevars=function.__code__.co_freevars)
        items = {item.nodeid: item for item in self._session.items}
        return self._first_failure([items[test] for test in tests])

    def _first_failure(self, items: list[pytest.Item]) -> str | None:
        for item, following in zip(items, [*items[1:], None], strict=False):
            _end_after(self._reach.seconds.get(item.nodeid, 0))
            # What a file or the session has set up stays for the next test.
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            except KeyboardInterrupt:
                return item.nodeid  # raised by the test; pytest lets it pass
            if self._session.testsfailed:
                return item.nodeid
        return None


def _describe_aws(create_client: Callable[..., object]) -> None:
    """Let botocore read for the forks what it knows of these services, which takes longer than most tests."""
    for service in ("dynamodb", "kms"):
        create_client(service, aws_access_key_id="test", aws_secret_access_key="test")


def _end_after(seconds: float) -> None:
    """End this process if what comes takes much more than it should."""
    signal.setitimer(signal.ITIMER_PROF, LEAST_CPU_S + 5 * seconds)
    signal.setitimer(signal.ITIMER_REAL, LEAST_TIMEOUT_S + 5 * seconds)


def _code_of(code: CodeType, qualified_name: str) -> CodeType:
    """The code of a function in that of its module; a generic one's is within that of its type parameters."""
    return next(each for each in _codes_in(code) if each.co_qualname == qualified_name)


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes_in(inner)


class _Fork:
    """A process that finds out which test notices a mutant, with an emulator to itself, on which nothing is left."""

    def __init__(self, child: Callable[[], str | None], emulator: str) -> None:
        self.emulator = emulator
        requests.post(f"{emulator}/_ministack/reset", timeout=GENEROUS_S).raise_for_status()
        self._said, say = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(say)
            return
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            os.environ["AWS_ENDPOINT_URL"] = os.environ[ENDPOINT] = emulator
            noticed_by = child()
            os.write(say, b"-" if noticed_by is None else f"+{noticed_by}".encode())
        except BaseException:
            os.write(say, f"!{traceback.format_exc()}".encode())
        finally:
            os._exit(0)

    def end(self, status: int) -> str | None:
        """The test that noticed it, empty if the process came to another end; None if none did."""
        with os.fdopen(self._said) as said:
            text = said.read()
        if text.startswith("!"):
            raise RuntimeError(text)  # an error of this program must not look like a mutant that is noticed
        return None if status == 0 and text == "-" else text[1:]


def _pytest(paths: list[str], plugin: Any, *options: str) -> bool:
    """Whether a test fails, or cannot even be collected."""
    quiet = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception"]
    ignored = [f"--deselect={name}" if "::" in name else f"--ignore={ROOT / name}" for name in UNCONCERNED]
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
