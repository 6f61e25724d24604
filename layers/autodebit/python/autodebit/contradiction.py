"""A contradiction: what an authentic message says against a row changes nothing, is kept with it and calls a person."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from autodebit import telemetry
from autodebit.rows.guard import Written
from autodebit.telemetry import logger


class Contradicted(Protocol):
    """A row that can be contradicted, whether it has its result or not."""

    kind: ClassVar[str]

    @property
    def status(self) -> StrEnum: ...
    @property
    def acknowledged(self) -> Sequence[Any]: ...
    @property
    def log_keys(self) -> Mapping[str, Any]: ...


class ContradictedTable[Row: Contradicted](Protocol):
    """A table that keeps contradictions with its rows."""

    def note_contradiction(self, row: Row, said: str, at: datetime, /) -> Written[Row]: ...


def contradicted[Row: Contradicted](table: ContradictedTable[Row], row: Row, said: str, at: datetime) -> None:
    """Keep `said` with the row and call a person: money may have moved otherwise than the row says.

    What is told again calls again, since whoever stored it first may have died before the call; until somebody has
    acknowledged it. Raises TableFault.
    """
    written = table.note_contradiction(row, said, at)
    if written.won or not written.row.acknowledged:
        telemetry.count("Contradiction")
        logger.error(
            f"authentic message contradicts the {row.kind}", **row.log_keys, status=row.status.value, said=said
        )
