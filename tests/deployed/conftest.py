"""Two stacks for the whole session: `fast`, whose polling waits are next to nothing, and the one of `real_time`."""

from collections.abc import Generator, Iterator

import pytest

from tests.kit import ROOT, books
from tests.kit.real_time import RealTime
from tests.kit.stacks import Deployment, deployed
from tests.kit.waiting import eventually

FAST = 0.0002
"""The schedule's day takes 18 s, its first minute 12 ms."""

_PASSED = pytest.StashKey[bool]()

ORDER = ("after_the_minute", "real_time", "everything")
"""Tests that use these fixtures come later, in this order: they wait for what runs meanwhile."""


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


@pytest.fixture(scope="session")
def fast() -> Iterator[Deployment]:
    """A stack whose polling runs five thousand times as fast."""
    with deployed(ROOT / ".local" / "test-stack-fast", FAST) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def real_time() -> Iterator[RealTime]:
    """What happens meanwhile on a stack whose minutes are minutes."""
    with deployed(ROOT / ".local" / "test-stack-real-time", 1) as deployment:
        yield RealTime(deployment).begin()


@pytest.fixture(scope="session")
def never_settled(fast: Deployment) -> str:
    """An order of which Alipay never knows the result; its last wait has begun."""
    warm_id, _ = fast.pay("warm", pay=["U"], result={"status": "SUCCESS"}, notify="lost")
    fast.seen.settled(warm_id)
    payment_request_id, _ = fast.pay("never", **books.NEVER)
    eventually(lambda: len(fast.alipay.calls(payment_request_id, "inquiryPayment")) >= 12, "12 inquiries")
    return payment_request_id


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """Whatever takes its time begins before the first test of this directory, if one of its tests runs at all."""
    used = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in ("never_settled", "real_time"):
        if name in used:
            request.getfixturevalue(name)


@pytest.fixture
def after_the_minute(request: pytest.FixtureRequest) -> None:
    """For tests that need both processors: the minute in which inquiries are timed has passed, if one is timed."""
    if any("real_time" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("real_time").minute.exception()


@pytest.fixture
def everything(fast: Deployment, real_time: RealTime) -> list[Deployment]:
    """Both stacks, when all other tests are done."""
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
