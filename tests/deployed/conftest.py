"""Stacks for the whole session: `fast`, whose polling waits are next to nothing, that of `real_time`, and `spare`."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.conftest import JUDGED, PAYING, share
from tests.kit import ROOT, books
from tests.kit.real_time import RealTime
from tests.kit.stacks import Deployment, deployed

FAST = 0.0002
"""The schedule's day takes 18 s, its first minute 12 ms."""

_PASSED = pytest.StashKey[bool]()
_SHARE = pytest.StashKey[str]()

ORDER = ("real_time", "everything")
"""Tests that use these fixtures come later, in this order: they wait for what runs meanwhile."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What looks at everything does so in each worker that has stacks."""
    if "everything" in metafunc.fixturenames:
        metafunc.parametrize("part", JUDGED if hasattr(metafunc.config, "workerinput") else [None])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        used = getattr(item, "fixturenames", ())
        return max((number for number, name in enumerate(ORDER, 1) if name in used), default=0)

    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Each fault that a test is about is a property of its report: shown, if the test and its teardown have passed."""
    report = yield
    item.stash[_PASSED] = item.stash.get(_PASSED, True) and report.passed
    if report.when == "teardown":
        name = "fault" if item.stash[_PASSED] else "faultNotShown"
        report.user_properties += [(name, fault) for mark in item.iter_markers("fault") for fault in mark.args]
    return report


@pytest.fixture(autouse=True)
def books_agree(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test of a fault: what must be true of each order that it asked for."""
    shown = request.node.get_closest_marker("fault")
    if not shown or "fast" not in request.fixturenames:
        yield
        return
    fast: Deployment = request.getfixturevalue("fast")
    before = len(fast.merchant.asked)
    yield
    asked = {key for key in fast.merchant.asked[before:] if not key.startswith(books.BY_HAND)}
    books.agree(fast, *(asked & fast.seen.all_versions().keys()))


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.session.stash.setdefault(_SHARE, share(item.nodeid))


@pytest.fixture(scope="session")
def _stacks(request: pytest.FixtureRequest) -> Iterator[tuple[Deployment, RealTime | None]]:
    """Both stacks, made side by side: the second one if a test of this worker wants it, from the first test on."""
    several, mine = hasattr(request.config, "workerinput"), request.session.stash[_SHARE]
    items = [item for item in request.session.items if not several or share(item.nodeid) == mine]
    wanted = {name for item in items for name in getattr(item, "fixturenames", ())}
    with ExitStack() as opened, ThreadPoolExecutor(2) as pool:
        fast = pool.submit(opened.enter_context, deployed(ROOT / ".local" / f"test-stack-fast-{mine}", FAST))
        if "real_time" not in wanted:
            yield fast.result(), None
        else:
            real_time = pool.submit(opened.enter_context, deployed(ROOT / ".local" / "test-stack-real-time", 1))
            yield fast.result(), RealTime(real_time.result()).begin()


@pytest.fixture(scope="session")
def fast(_stacks: tuple[Deployment, RealTime | None]) -> Deployment:
    """A stack whose polling runs five thousand times as fast."""
    return _stacks[0]


@pytest.fixture(scope="session")
def real_time(_stacks: tuple[Deployment, RealTime | None]) -> RealTime:
    """What happens meanwhile on a stack whose minutes are minutes."""
    assert _stacks[1]
    return _stacks[1]


@pytest.fixture(scope="session")
def spare() -> Iterator[Deployment]:
    """A stack for what leaves nothing as it was: its emulator can be killed, and what its tables hold is on disk."""
    directory = ROOT / ".local" / "test-stack-spare"
    with deployed(directory, 1, EMULATOR_STATE_DIR=str(directory / "run" / "state")) as deployment:
        yield deployment


@pytest.fixture
def everything(request: pytest.FixtureRequest, part: str | None, fast: Deployment) -> list[Deployment]:
    """This worker's stacks, when all other tests are done. `part` is which tests had them, None for all tests."""
    if part not in (None, PAYING):
        return [fast]
    real_time: RealTime = request.getfixturevalue("real_time")
    for future in (real_time.broken, real_time.minute, real_time.crashes, real_time.slow):
        future.exception()
    return [fast, real_time.deployment]


@pytest.fixture(scope="module")
def lines_before(fast: Deployment) -> int:
    """Lines that other modules have caused; some of them kill functions in the middle of one."""
    return len(fast.seen.lines())


@pytest.fixture(scope="module")
def answered() -> list[int]:
    """The statuses with which this module's hostile requests were answered so far."""
    return []
