"""When a refund is inquired."""

from autodebit.polling import DEFAULT_SCHEDULE
from autodebit.refund.inquire import SCHEDULE


def test_the_schedule_asks_three_times_after_15_s_and_then_through_a_day() -> None:
    assert SCHEDULE[:3] == (15, 15, 15)
    assert SCHEDULE[3:] == DEFAULT_SCHEDULE[6:]
    assert SCHEDULE[3:] == (120, 600, 600, 3600, 2 * 3600, 6 * 3600, 15 * 3600)
