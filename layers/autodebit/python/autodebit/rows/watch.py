"""The watch: a sparse index of the rows that somebody has to look at, by the time by which somebody must have looked.

`watchShard` and `overdueAt` stand in a row only while it is watched.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.operand import Path
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex
from pynamodb.models import Model

from autodebit.rows.table import stored_instant, table_faults

WATCH_SHARDS = 32
"""Partitions of the index. At 1,000 payments a second each gets 75 writes a second; it can take 1,000.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
"""


EVER = datetime.min.replace(tzinfo=UTC)
"""Before every row."""


class WatchIndex[Item: Model](GlobalSecondaryIndex[Item]):  # type: ignore[no-untyped-call]
    """The keys of the index; a table's own names what it projects, `pollingRound` and `attemptedAt` among it."""

    watchShard = UnicodeAttribute(hash_key=True)
    overdueAt = UnicodeAttribute(range_key=True)


@dataclass(frozen=True, slots=True)
class Overdue:
    """What the index tells of a row that nobody looked at in time."""

    key: str
    polling_round: int
    overdue_at: str


def watch_shard(key: str) -> str:
    """The partition of the index in which the row of this key is watched."""
    return f"{zlib.crc32(key.encode()) % WATCH_SHARDS:02d}"


def watched_from(item: Any, key: str, overdue_at: datetime) -> list[Action]:
    """The actions after which somebody must have looked at the row of this key by then; `item` is its model."""
    return [item.watchShard.set(watch_shard(key)), item.overdueAt.set(stored_instant(overdue_at))]


def overdue(
    index: WatchIndex[Any], key: str, now: datetime, shards: Iterable[int] = range(WATCH_SHARDS)
) -> Iterator[Overdue]:
    """Rows whose `overdueAt` has passed, shard by shard, the longest overdue first. Raises TableFault.

    `key` is the name of the table's hash key.
    """
    with table_faults():
        for shard in shards:
            for item in index.query(f"{shard:02d}", WatchIndex.overdueAt <= stored_instant(now), page_size=100):
                yield Overdue(getattr(item, key), int(item.pollingRound), item.overdueAt)


def init_since(index: WatchIndex[Any], before: datetime, most: int, since: datetime = EVER) -> int:
    """How many rows were attempted from `since` on, before `before`, and are watched still; `most` at the most.

    The latest `overdueAt` comes first: waits grow with age, so that old rows are found early. Spent ones count, too.
    Raises TableFault.
    """
    found = 0
    attempted_at = Path("attemptedAt")
    wanted = (attempted_at >= stored_instant(since)) & (attempted_at < stored_instant(before))
    with table_faults():
        for shard in range(WATCH_SHARDS):
            for _ in index.query(
                f"{shard:02d}",
                filter_condition=wanted,
                scan_index_forward=False,
                limit=most - found,  # 0 asks nothing
            ):
                found += 1
    return found


def watched(index: WatchIndex[Any]) -> int:
    """How many rows are watched. Raises TableFault."""
    with table_faults():
        return sum(index.count(f"{shard:02d}") for shard in range(WATCH_SHARDS))
