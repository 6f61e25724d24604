"""Settle a row by what a witness says: the one road into a final state, whoever the witness is."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from autodebit import telemetry
from autodebit.alipay.reading import Contradiction, Final, Reading
from autodebit.contradiction import Contradicted, ContradictedTable, contradicted
from autodebit.rows.guard import Written


class Settleable(Contradicted, Protocol):
    """A row that leaves INIT once, for what one witness reports."""

    @property
    def is_init(self) -> bool: ...
    @property
    def settled_by(self) -> StrEnum | None: ...
    @property
    def settled_at(self) -> datetime | None: ...
    @property
    def attempted_at(self) -> datetime: ...
    @property
    def result_code(self) -> str | None: ...
    def disputes(self, final: Final[Any]) -> bool: ...


class SettlingTable[Row: Settleable, Witness: StrEnum](ContradictedTable[Row], Protocol):
    """A table whose rows are settled by conditional writes."""

    def settle(self, row: Row, final: Final[Any], witness: Witness, at: datetime, /) -> Written[Row]: ...


def settle[Row: Settleable, Witness: StrEnum](
    table: SettlingTable[Row, Witness], row: Row, reading: Reading[Any], witness: Witness, at: datetime
) -> Row:
    """The row as it is stored after `witness` was heard.

    The first final result settles it; a later one changes nothing, and is kept for a person if it disputes the first.
    Raises TableFault, and then nothing may be concluded or acknowledged.
    """
    if isinstance(reading, Contradiction):
        contradicted(table, row, reading.said, at)
        return row
    if not isinstance(reading, Final):
        return row
    if row.is_init:
        written = table.settle(row, reading, witness, at)
        if written.won:
            report_settled(written.row)
            return written.row
        row = written.row
    if row.disputes(reading):
        contradicted(table, row, said_by(witness, reading), at)
    return row


def said_by(witness: StrEnum, final: Final[Any]) -> str:
    """Who said what, in the words in which a row keeps what does not settle it."""
    return f"{witness} {final.status} {final.transaction_id or ''}".rstrip()


def report_settled(row: Settleable) -> None:
    """Count and log that a row got its result. Raises ValueError if it has none."""
    if row.settled_by is None or row.settled_at is None:
        raise ValueError("the row is not settled")
    telemetry.settled(
        row.kind,
        status=row.status.value,
        settled_by=row.settled_by.value,
        seconds=(row.settled_at - row.attempted_at).total_seconds(),
        keys={**row.log_keys, "resultCode": row.result_code},
    )
