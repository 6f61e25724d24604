"""What was heard of a payment without a result, and when: for the person who has to find out why it has none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

HEARD_MAX = 8
"""Entries that a row keeps: each started KB of it costs a write unit."""


@dataclass(frozen=True, slots=True)
class Heard:
    """`said` was heard at `at`, and `times` in a row until `until`."""

    said: str
    at: datetime
    times: int
    until: datetime


def with_heard(so_far: Sequence[Heard], said: str, at: datetime) -> tuple[Heard, ...]:
    """What was heard so far, and this: the same again counts on, and beyond HEARD_MAX the second oldest goes.

    The oldest stays, since it tells how it began.
    """
    if so_far and so_far[-1].said == said:
        return (*so_far[:-1], replace(so_far[-1], times=so_far[-1].times + 1, until=at))
    entries = (*so_far, Heard(said, at, 1, at))
    return entries if len(entries) <= HEARD_MAX else (entries[0], *entries[2:])
