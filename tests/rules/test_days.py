"""On which day a result counts, and in which partition of the index it is."""

from datetime import UTC, datetime

import pytest
from autodebit.instants import alipay_day
from autodebit.rows.days import settled_day

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (datetime(2026, 11, 22, 15, 59, 59, 999999, tzinfo=UTC), "2026-11-22"),
        (datetime(2026, 11, 22, 16, 0, tzinfo=UTC), "2026-11-23"),
    ],
)
def test_alipays_day_begins_at_midnight_utc_plus_8(instant: datetime, day: str) -> None:
    assert alipay_day(instant) == day


@pytest.mark.parametrize(
    ("transaction_time", "day"),
    [
        ("2026-11-21T23:59:59+08:00", "2026-11-21"),
        ("2026-11-22T00:20:00+08:30", "2026-11-21"),
        ("2026-11-22T16:00:00Z", "2026-11-23"),
        (None, "2026-11-22"),
        ("", "2026-11-22"),
        ("yesterday", "2026-11-22"),
        ("2026-11-21T23:59:59", "2026-11-22"),
        ("9999-12-31T23:59:59-01:00", "2026-11-22"),
        ("0001-01-01T00:00:00+08:30", "2026-11-22"),
    ],
)
def test_a_result_counts_on_the_day_that_alipay_told_and_else_on_the_day_it_was_settled(
    transaction_time: str | None, day: str
) -> None:
    assert settled_day("ord-1", AT, transaction_time) == f"{day}#31"


def test_a_day_is_spread_over_all_shards() -> None:
    assert len({settled_day(f"ord-{number}", AT, None) for number in range(1000)}) == 32
