"""Instants that Alipay tells: those that cannot be used are told by nobody, so that no reader falls over them."""

from datetime import UTC, datetime, timedelta

import pytest
from autodebit.agreement.schedule import first_due_at
from autodebit.instants import alipay_day, told_instant, utc_text
from autodebit.refund.window import window_over

from tests.kit.samples import NOW


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-22T17:30:00+08:00", datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        ("2026-11-22T09:30:00Z", datetime(2026, 11, 22, 9, 30, tzinfo=UTC)),
        ("2120-08-25T00:00:00+09:00", datetime(2120, 8, 24, 15, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        *((text, None) for text in (None, "", "never", "2038-01-01", "2038-01-01T00:00:00", "2038-13-01T00:00:00Z")),
    ],
)
def test_an_instant_is_one_with_an_offset(text: str | None, instant: datetime | None) -> None:
    assert told_instant(text) == instant


@pytest.mark.parametrize("year", ["0001-01-01", "1969-12-31", "9000-01-01", "9999-12-31"])
@pytest.mark.parametrize("offset", ["Z", "-08:00", "+14:00", "-23:59"])
def test_a_year_out_of_the_ordinary_is_no_instant(year: str, offset: str) -> None:
    assert told_instant(f"{year}T23:59:59{offset}") is None


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00+14:00", "8999-12-31T23:59:59-23:59"])
def test_whatever_is_reckoned_from_a_told_instant_stays_in_the_calendar(text: str) -> None:
    instant = told_instant(text)
    assert instant is not None
    assert utc_text(instant)
    assert alipay_day(instant)
    for refreshable in (True, False):
        due_at = first_due_at("agr", instant, refreshable=refreshable)
        assert due_at is not None
        assert abs(due_at - instant) < timedelta(days=60)
    assert window_over(instant, "PAYPAY", NOW) is (instant < NOW)
