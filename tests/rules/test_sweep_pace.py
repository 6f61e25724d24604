"""The pace at which the sweep has orders polled, and what a run counts so that its silence is heard."""

from unittest.mock import Mock

import pytest
from autodebit import sweep
from autodebit.errors import TableFault
from autodebit.sweep import Pace, Sweeper

from tests.kit.samples import NOW


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sweep, "time", clock)
    return clock


def starts_within(pace: Pace, clock: Clock, seconds: float) -> int:
    until, starts = clock.now + seconds, 0
    while clock.now < until:
        pace.wait()
        starts += 1
    return starts


def test_starts_are_spread_to_what_the_quota_bears(clock: Clock) -> None:
    assert starts_within(Pace(280), clock, 10) == pytest.approx(2800, abs=2)


def test_time_that_passed_idle_is_not_made_up_for(clock: Clock) -> None:
    pace = Pace(10)
    clock.now += 60
    assert starts_within(pace, clock, 1) == pytest.approx(10, abs=2)


def test_it_slows_down_when_throttled_and_comes_back(clock: Clock) -> None:
    pace = Pace(280)
    pace.throttled()
    assert starts_within(pace, clock, 1) == pytest.approx(140, abs=2)
    for _ in range(200):
        pace.started()
    assert starts_within(pace, clock, 1) == pytest.approx(280, abs=2)


def test_it_never_stands_still(clock: Clock) -> None:
    pace = Pace(280)
    for _ in range(50):
        pace.throttled()
    assert starts_within(pace, clock, 10) >= 10


def test_a_run_that_found_nothing_counts_it_and_one_that_could_not_look_counts_nothing(counted: Mock) -> None:
    table = Mock()
    table.overdue.return_value = iter(())
    sweeper = Sweeper(table, Mock(key="refundRequestId"), "RefundsTakenOn")
    assert sweeper.take_on(NOW, lambda: True) == 0
    counted.assert_called_once_with("RefundsTakenOn", 0)
    counted.reset_mock()
    table.overdue.side_effect = TableFault("away")
    with pytest.raises(TableFault):
        sweeper.take_on(NOW, lambda: True)
    counted.assert_not_called()
