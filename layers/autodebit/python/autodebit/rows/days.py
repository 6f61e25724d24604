"""The days: a sparse index of the rows that have their result, by its day, so that a day is read without a scan.

`settledDay` is written by the write that settles, and never changes. Its day is Alipay's, 00:00:00 to 23:59:59 UTC+8,
by Alipay's own time of the transaction where it told one: the report files go by that.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pynamodb.attributes import UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex
from pynamodb.models import Model

from autodebit.instants import alipay_day, told_instant
from autodebit.rows.table import table_faults
from autodebit.rows.watch import WATCH_SHARDS, watch_shard


class DayIndex[Item: Model](GlobalSecondaryIndex[Item]):  # type: ignore[no-untyped-call]
    """The keys of the index; a table's own names what it projects."""

    settledDay = UnicodeAttribute(hash_key=True)
    settledAt = UnicodeAttribute(range_key=True)


def settled_day(key: str, at: datetime, transaction_time: str | None) -> str:
    """`2026-11-22#07`: the day of the result of this row and the partition it is in.

    `at` is when we settled it; it counts only where Alipay told no time, or none that can be read.
    """
    day = alipay_day(told_instant(transaction_time) or at)
    return f"{day}#{watch_shard(key)}"


def settled_on(index: DayIndex[Any], day: str) -> Iterator[Any]:
    """The projected items of a day (`2026-11-22`), shard by shard. Raises TableFault."""
    for shard in range(WATCH_SHARDS):
        with table_faults():
            yield from index.query(f"{day}#{shard:02d}", page_size=1000)
