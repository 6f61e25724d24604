"""The outbox in a row: the list `told`, to which a write that is to be told appends one entry (`autodebit.events`)."""

from datetime import datetime

from pynamodb.attributes import BooleanAttribute, ListAttribute, MapAttribute, UnicodeAttribute
from pynamodb.expressions.update import Action

from autodebit.events import Told
from autodebit.rows.table import stored_instant


class ToldEntry(MapAttribute[str, str]):
    """One entry: names are short, since each started KB of a row costs a write unit."""

    kind = UnicodeAttribute()
    at = UnicodeAttribute()
    detail = UnicodeAttribute(null=True)


class TellingItem:
    """The attributes of a model whose rows are told of."""

    told = ListAttribute(of=ToldEntry, null=True)
    tells = BooleanAttribute(null=True)
    """True once anything was told: the stream's filter cannot look into lists."""


def told_entry(told: Told) -> ToldEntry:
    """An entry as it is stored; for a row that is new."""
    return ToldEntry(kind=told.kind, at=stored_instant(told.at), detail=told.detail)  # type: ignore[no-untyped-call]


def tell(item: type[TellingItem], told: Told) -> list[Action]:
    """The actions that append one entry; for the very write that makes the change."""
    return [item.told.set((item.told | []).append([told_entry(told)])), item.tells.set(True)]


def told_in(item: TellingItem) -> tuple[Told, ...]:
    """What is told of a row."""
    return tuple(Told(entry.kind, datetime.fromisoformat(entry.at), entry.detail) for entry in item.told or ())
