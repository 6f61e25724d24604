"""The rows that wait for a person: a sparse index, and who took a row off it, when and why.

`attentionShard` and `attentionSince` stand in a row from the first thing that a person has to look at until somebody
has acknowledged all that is told of it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pynamodb.attributes import ListAttribute, MapAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition, size
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex
from pynamodb.models import Model

from autodebit.events import Acknowledgement
from autodebit.rows.table import stored_instant, table_faults
from autodebit.rows.told import TellingItem
from autodebit.rows.watch import WATCH_SHARDS, watch_shard


class AcknowledgementEntry(MapAttribute[str, Any]):
    """One entry of a row's `acknowledged`."""

    told = NumberAttribute()
    by = UnicodeAttribute()
    at = UnicodeAttribute()
    why = UnicodeAttribute()


class AttentionItem(TellingItem):
    """The attributes of a model whose rows a person may have to look at."""

    attentionShard = UnicodeAttribute(null=True)
    attentionSince = UnicodeAttribute(null=True)
    acknowledged = ListAttribute(of=AcknowledgementEntry, null=True)


class AttentionIndex[Item: Model](GlobalSecondaryIndex[Item]):  # type: ignore[no-untyped-call]
    """The keys of the index; it projects no more."""

    attentionShard = UnicodeAttribute(hash_key=True)
    attentionSince = UnicodeAttribute(range_key=True)


def demand(item: type[AttentionItem], key: str, at: datetime) -> list[Action]:
    """The actions that have the row of this key wait for a person, from the first time on."""
    return [
        item.attentionShard.set(watch_shard(key)),
        item.attentionSince.set(item.attentionSince | stored_instant(at)),
    ]


def acknowledge(item: type[AttentionItem], entry: Acknowledgement) -> list[Action]:
    """The actions that take a row off the list; only together with `told_no_more`."""
    kept = AcknowledgementEntry(told=entry.told, by=entry.by, at=stored_instant(entry.at), why=entry.why)  # type: ignore[no-untyped-call]
    return [
        item.acknowledged.set((item.acknowledged | []).append([kept])),
        item.attentionShard.remove(),
        item.attentionSince.remove(),
    ]


def told_no_more(item: type[AttentionItem], told: int) -> Condition:
    """Nothing was told since: nobody acknowledges what nobody has seen."""
    return size(item.told) == told  # type: ignore[no-any-return, no-untyped-call]


def acknowledged_in(item: AttentionItem) -> tuple[Acknowledgement, ...]:
    """Who took the row off the list, the last time last."""
    return tuple(
        Acknowledgement(int(entry.told), entry.by, datetime.fromisoformat(entry.at), entry.why)
        for entry in item.acknowledged or ()
    )


def waiting(index: AttentionIndex[Any], key: str) -> Iterator[str]:
    """The keys of the rows that wait for a person, those that have waited longest first within a shard.

    `key` is the name of the table's hash key. Raises TableFault.
    """
    with table_faults():
        for shard in range(WATCH_SHARDS):
            for item in index.query(f"{shard:02d}"):
                yield getattr(item, key)
