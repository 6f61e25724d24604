"""The guard: every change of a row is one conditional write, and losing that race is an answer, not an error."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynamodb.attributes import Attribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from autodebit.rows.table import ConditionFailed, table_faults


@dataclass(frozen=True, slots=True)
class Written[Row]:
    """What a conditional write came to: the row as it is stored now, and whether this attempt put it there."""

    row: Row
    won: bool


def as_read(attribute: Attribute[Any], value: str | None) -> Condition:
    """The attribute is as it was read, absence included."""
    same: Condition = attribute.does_not_exist() if value is None else attribute == value
    return same


def set_or_remove(attribute: Attribute[Any], value: Any) -> Action:
    """The attribute is this from now on, or is not there."""
    return attribute.remove() if value is None else attribute.set(value)


def create[Item: Model, Row](
    item: Item,
    absent: Condition,
    *,
    read: Callable[[Item], Row],
    stored: Callable[[], Row],
    ours: Callable[[Row], bool],
) -> Written[Row]:
    """Store a new row, if it is `absent`; else answer with what stands there. Raises TableFault.

    `read` makes a row of an item, `stored` reads it consistently. `ours` tells from it whether this very write was
    applied although it looks refused: its answer was lost, and the SDK's repetition met its own write.
    """
    try:
        with table_faults():
            item.save(condition=absent)
    except ConditionFailed:
        row = stored()
        return Written(row, ours(row))
    return Written(read(item), won=True)


def change[Item: Model, Row](
    item: Item,
    leaves: Condition,
    actions: list[Action],
    *,
    read: Callable[[Item], Row],
    stored: Callable[[], Row],
    ours: Callable[[Row], bool] = lambda row: False,
) -> Written[Row]:
    """One conditional write on a row that is still as `leaves` says. Raises TableFault.

    `read`, `stored` and `ours` are as for `create`.
    """
    try:
        with table_faults():
            item.update(actions=actions, condition=leaves)
    except ConditionFailed:
        row = stored()
        return Written(row, ours(row))
    return Written(read(item), won=True)
