"""Instants as texts."""

from datetime import UTC, datetime, timedelta, timezone


def utc_text(instant: datetime, timespec: str = "seconds") -> str:
    """An instant as `2026-11-22T09:30:00Z`; fixed width, so texts sort like instants."""
    return instant.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def whole_second_text(instant: datetime) -> str:
    """The first whole second that is not before an instant, as `utc_text` has it: what the state machine waits for."""
    return utc_text(instant + timedelta(seconds=1) - timedelta(microseconds=1))


TOLD_YEARS = range(1970, 9000)
"""Years of instants that are believed: in them a zone or some years more or less never leave the calendar."""


def told_instant(text: str | None) -> datetime | None:
    """The instant that a message of Alipay's tells, with its offset; None where it told none that can be used."""
    try:
        instant = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return instant if instant.tzinfo and instant.year in TOLD_YEARS else None


ALIPAY_DAY = timezone(timedelta(hours=8))
"""Alipay's day is 00:00:00 to 23:59:59 UTC+8, wherever the merchant is."""


def alipay_day(instant: datetime) -> str:
    """The day (`2026-11-22`) that an aware instant falls on at Alipay. Raises OverflowError near the ends of time."""
    return instant.astimezone(ALIPAY_DAY).date().isoformat()
