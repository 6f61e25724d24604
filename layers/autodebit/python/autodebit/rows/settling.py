"""Rows that leave INIT once: the attributes and the conditional writes that every kind of them has in common.

Who may be sending, who looks when, what was heard against it. Every write holds only while the row is INIT, except that
of a contradiction or of an acknowledgement.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Protocol

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.exceptions import DoesNotExist
from pynamodb.expressions.condition import Condition, size
from pynamodb.expressions.update import Action

from autodebit.events import Acknowledgement, Told, shown_json
from autodebit.rows import watch
from autodebit.rows.attention import AttentionItem, acknowledge, demand, told_no_more, waiting
from autodebit.rows.guard import Written, change
from autodebit.rows.table import stored_instant, table_faults
from autodebit.rows.told import tell
from autodebit.rows.watch import WATCH_SHARDS, Overdue

INIT = "INIT"

CONTRADICTIONS_MAX = 10
"""Contradictions that a row keeps, each told with the row as it was then; after the first a person looks anyway."""


class SettlingItem(AttentionItem):
    """The attributes of a model whose rows leave INIT once. Instants are UTC texts of fixed width."""

    status = UnicodeAttribute()
    currency = UnicodeAttribute()
    amountValue = UnicodeAttribute()
    merchantAccountId = UnicodeAttribute(null=True)
    createdAt = UnicodeAttribute()
    attempt = UnicodeAttribute()
    attemptedAt = UnicodeAttribute()
    neverSent = BooleanAttribute(null=True)

    watchShard = UnicodeAttribute(null=True)
    overdueAt = UnicodeAttribute(null=True)
    lookAt = UnicodeAttribute(null=True)
    """When the next look is due, where that is not a grace before `overdueAt`."""
    pollingRound = NumberAttribute(default=0)
    inquiries = NumberAttribute(default=0)
    lastInquiry = UnicodeAttribute(null=True)
    unresolvedAt = UnicodeAttribute(null=True)

    settledBy = UnicodeAttribute(null=True)
    settledAt = UnicodeAttribute(null=True)
    settledDay = UnicodeAttribute(null=True)
    settleToken = UnicodeAttribute(null=True)
    resultCode = UnicodeAttribute(null=True)
    resultMessage = UnicodeAttribute(null=True)

    contradictions = UnicodeSetAttribute()  # PynamoDB lets a set be missing without null=True


class SettlingRow(Protocol):
    """A row as the rules see it."""

    @property
    def key(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def polling_round(self) -> int: ...
    @property
    def overdue_at(self) -> datetime | None: ...
    @property
    def told(self) -> tuple[Told, ...]: ...
    @property
    def acknowledged(self) -> tuple[Acknowledgement, ...]: ...
    @property
    def shown_now(self) -> dict[str, Any]: ...


class SettlingRows[Row: SettlingRow]:
    """What the tables of such rows have in common. Every method raises TableFault when the table does not answer.

    `model` is the PynamoDB model, `key` its hash key's name, `read` makes a row of an item, `missing` makes what is
    raised for a row that is not there, `contradicted` and `unresolved` are the events of a contradiction and of a row
    that comes to no result.
    """

    def __init__(
        self,
        model: Any,
        key: str,
        read: Callable[[Any], Row],
        missing: Callable[[str], Exception],
        contradicted: str,
        unresolved: str,
    ) -> None:
        self._model = model
        self._key = key
        self._read = read
        self._missing = missing
        self._contradicted = contradicted
        self._unresolved = unresolved

    def get_many(self, keys: Iterable[str]) -> Iterator[Row]:
        """Those of these rows that there are, in no order (consistent reads, a hundred a call)."""
        with table_faults():
            for item in self._model.batch_get(keys, consistent_read=True):
                yield self._read(item)

    def get(self, key: str) -> Row:
        """The row as it is stored now (a consistent read). Raises what `missing` makes."""
        try:
            with table_faults():
                return self._read(self._model.get(key, consistent_read=True))
        except DoesNotExist:
            raise self._missing(key) from None

    def note_watched(self, overdue: Overdue, overdue_at: datetime) -> Written[Row]:
        """Note that an execution polls the row, which will have looked at it by `overdue_at`."""
        return self.change(
            overdue.key,
            [self._model.overdueAt.set(stored_instant(overdue_at)), self._model.lookAt.remove()],
            self._model.overdueAt == overdue.overdue_at,  # nobody has looked since the index was read
        )

    def start_round(self, overdue: Overdue, overdue_at: datetime) -> Written[Row]:
        """Start the next polling round, once."""
        return self.change(
            overdue.key,
            [
                self._model.pollingRound.set(overdue.polling_round + 1),
                self._model.overdueAt.set(stored_instant(overdue_at)),
                self._model.lookAt.remove(),
            ],
            self._model.overdueAt == overdue.overdue_at,
        )

    def start_next_round(self, row: Row, overdue_at: datetime) -> Written[Row]:
        """Start the next polling round of a row that nobody looks at any more, once."""
        if row.overdue_at is None:
            raise ValueError("nobody waits for this row")
        return self.start_round(Overdue(row.key, row.polling_round, stored_instant(row.overdue_at)), overdue_at)

    def note_contradiction(self, row: Row, said: str, at: datetime) -> Written[Row]:
        """Keep and tell what an authentic message said against the row, whatever its status.

        A repetition adds nothing and tells nothing, and so does one more than CONTRADICTIONS_MAX.
        """
        model = self._model
        while True:
            few = size(model.contradictions) < CONTRADICTIONS_MAX  # type: ignore[no-untyped-call]
            shown = shown_json({**row.shown_now, "contradiction": said})
            written = change(
                model(row.key),
                # The status, since the event shows the row as it was when it was contradicted.
                (model.status == row.status)
                & ~model.contradictions.contains(said)
                & (model.contradictions.does_not_exist() | few),
                [
                    model.contradictions.add({said}),
                    *tell(model, Told(self._contradicted, at, shown)),
                    *demand(model, row.key, at),
                ],
                read=self._read,
                stored=lambda key=row.key: self.get(key),  # type: ignore[misc]
            )
            if written.row.status == row.status:
                return written
            row = written.row  # settled meanwhile; that happens once

    def note_unresolved(self, row: Row, at: datetime) -> Written[Row]:
        """Note and tell, once, that the row is past the time by which it should have its result."""
        model = self._model
        return self.change(
            row.key,
            [
                model.unresolvedAt.set(stored_instant(at)),
                *tell(model, Told(self._unresolved, at, shown_json(row.shown_now))),
                *demand(model, row.key, at),
            ],
            model.unresolvedAt.does_not_exist(),
        )

    def acknowledge(self, row: Row, by: str, why: str, at: datetime) -> Written[Row]:
        """Take a row off the list of what waits for a person, who has seen all that is told of `row`.

        Not won if more was told meanwhile: that has to be seen first. Who, when and why stays with the row.
        """
        entry = Acknowledgement(len(row.told), by, datetime.fromisoformat(stored_instant(at)), why)
        return change(
            self._model(row.key),
            told_no_more(self._model, entry.told) & self._model.attentionShard.exists(),
            acknowledge(self._model, entry),
            read=self._read,
            stored=lambda: self.get(row.key),
            ours=lambda stored: entry in stored.acknowledged,
        )

    def waiting_for_a_person(self) -> Iterator[str]:
        """The keys of the rows of which something was told that nobody has acknowledged."""
        return waiting(self._model.attention, self._key)

    def overdue(self, now: datetime, shards: Iterable[int] = range(WATCH_SHARDS)) -> Iterator[Overdue]:
        """Rows whose `overdueAt` has passed, shard by shard, the longest overdue first."""
        return watch.overdue(self._model.watched, self._key, now, shards)

    def init_since(self, before: datetime, most: int, since: datetime = watch.EVER) -> int:
        """How many rows were attempted from `since` on, before `before`, and are INIT still; `most` at the most."""
        return watch.init_since(self._model.watched, before, most, since)

    @property
    def unwatched(self) -> list[Action]:
        """The actions after which nobody waits for the row."""
        return [self._model.watchShard.remove(), self._model.overdueAt.remove(), self._model.lookAt.remove()]

    def change(
        self,
        key: str,
        actions: list[Action],
        condition: Condition | None = None,
        ours: Callable[[Row], bool] = lambda row: False,
    ) -> Written[Row]:
        """One conditional write on a row that is INIT."""
        leaves = self._model.status == INIT
        return change(
            self._model(key),
            leaves & condition if condition is not None else leaves,
            actions,
            read=self._read,
            stored=lambda: self.get(key),
            ours=ours,
        )
