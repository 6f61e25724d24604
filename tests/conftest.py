"""The shared package is imported here as in a function, without AWS: what it reads at import is made up."""

import os

os.environ.setdefault("ORDERS_TABLE", "orders")
os.environ.setdefault("AGREEMENTS_TABLE", "agreements")
os.environ.setdefault("REFUNDS_TABLE", "refunds")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "autodebit")

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what can be done in small and in large."""
    parser.addoption("--settlements", type=int, default=200, help="payments that settle while the publisher is killed")
    parser.addoption("--refresh-hours", type=int, default=1, help="the share of a day's tokens that is due at once")
    parser.addoption("--races", type=int, default=12, help="how often a cancel races a success")
    parser.addoption("--refund-rounds", type=int, default=4, help="how often 32 refunds of a payment come at once")


settings.register_profile("rules", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rules")


PAYING, CLOSING, BOOKS, SPARE = "paying", "closing", "books", "spare"
"""The stacks of `tests/deployed`; with several workers, one has all tests that share one."""

JUDGED = PAYING, CLOSING, BOOKS
"""Those whose tests leave behind what `tests/deployed/afterwards` looks at."""

FOLDERS = {
    "tests/deployed/spare/": SPARE,
    "tests/deployed/load/": BOOKS,
    "tests/deployed/refund/": BOOKS,
    "tests/deployed/reconciliation/": BOOKS,
    "tests/deployed/closing/": CLOSING,
    "tests/deployed/events/": CLOSING,
    "tests/deployed/linking/": CLOSING,
    "tests/deployed/": PAYING,
}


def share(nodeid: str) -> str:
    """What a worker takes on as a whole: what shares stacks, or a file. Of what looks at every stack, its part."""
    path, _, name = nodeid.partition("::")
    part = name.rpartition("[")[2].rstrip("]")
    if path.startswith("tests/deployed/afterwards/") and part in JUDGED:
        return part
    return next((stacks for folder, stacks in FOLDERS.items() if path.startswith(folder)), path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several workers' tests, those that take longest begin first."""
    if hasattr(config, "workerinput"):
        rank = {stacks: number for number, stacks in enumerate((*JUDGED, SPARE))}
        items.sort(key=lambda item: rank.get(share(item.nodeid), len(rank)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """pytest-xdist's own groups are not seen by this pytest: it has another nodeid by now."""

    class ByShare(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return share(nodeid)

    return ByShare(config, log)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mock]:
    """Every metric that is counted, as calls of a mock."""
    from autodebit import telemetry

    count = Mock(spec=telemetry.count)
    monkeypatch.setattr(telemetry, "count", count)
    yield count
    telemetry.metrics.clear_metrics()
