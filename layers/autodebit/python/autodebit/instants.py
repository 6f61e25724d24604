"""Instants as texts."""

from datetime import UTC, datetime


def utc_text(instant: datetime, timespec: str = "seconds") -> str:
    """An instant as `2026-11-22T09:30:00Z`; fixed width, so texts sort like instants."""
    return instant.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
