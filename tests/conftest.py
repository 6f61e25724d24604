"""The shared package is imported here as in a function, without AWS: what it reads at import is made up."""

import os

os.environ.setdefault("ORDERS_TABLE", "orders")
os.environ.setdefault("REFUNDS_TABLE", "refunds")
os.environ.setdefault("AGREEMENTS_TABLE", "agreements")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "autodebit")

from collections.abc import Iterator
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, settings


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what can be done in small and in large."""
    parser.addoption("--settlements", type=int, default=200, help="payments that settle while the publisher is killed")


settings.register_profile("rules", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rules")


STACKS = {"_stacks": "deployed", "spare": "spare"}
"""Fixtures that bring stacks up, and the group of the tests that share them: one worker runs a group."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers: tests that share a stack or a module stay together, the longest first."""
    if config.getoption("dist", "no") != "loadgroup":
        return

    def group(item: pytest.Item) -> str:
        used = getattr(item, "fixturenames", ())
        return next((group for fixture, group in STACKS.items() if fixture in used), str(item.path))

    first = {name: place for place, name in enumerate(STACKS.values())}
    items.sort(key=lambda item: first.get(group(item), len(first)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mock]:
    """Every metric that is counted, as calls of a mock."""
    from autodebit import telemetry

    count = Mock(spec=telemetry.count)
    monkeypatch.setattr(telemetry, "count", count)
    yield count
    telemetry.metrics.clear_metrics()
