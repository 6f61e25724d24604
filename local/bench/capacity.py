"""What DynamoDB charges for the recorded calls.

PynamoDB asks for the capacity that each call consumed, and the emulator's answers carry it, index included: that is
what is counted. A refused write has no such answer, on AWS neither, though it is charged; for those, and to check the
others by a second hand, the units are computed from the recorded rows by DynamoDB's rules for sizes and indexes.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html (throughput of an index)
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html (sizes of items)
"""

from math import ceil
from typing import Any

from local.bench.recorder import Call

Json = dict[str, Any]

INDEXES: tuple[tuple[tuple[str, str], tuple[str, ...]], ...] = (
    (("watchShard", "overdueAt"), ("pollingRound", "attemptedAt")),
    (("settledDay", "settledAt"), ("status", "currency", "amountValue", "paymentId")),
    (("attentionShard", "attentionSince"), ()),
    (("referenceOrderId", "createdAt"), ()),
)
"""The order table's indexes in the template: their keys, and what else they hold."""


class Meter:
    """Counts units call by call; it remembers each row, for an update is charged by both its sizes."""

    def __init__(self) -> None:
        self.write_units = 0.0
        self.read_units = 0.0
        self.index_write_units = 0
        """Of the write units, those of the index, as computed: answers give the sum alone."""
        self.unreported = 0
        """Calls whose answer does not say what they consumed."""
        self.disputed = 0
        """Calls whose answer says something else than the rules give."""
        self._rows: dict[str, Json] = {}

    def add(self, call: Call) -> None:
        """Charge one call that reads or writes rows."""
        if call.operation in ("PutItem", "UpdateItem"):
            row, index = self._written(call)
            self.index_write_units += index
            self.write_units += self._settled(call, row + index)
        elif call.operation == "GetItem":
            units = max(1, ceil(size(call.answer.get("Item", {})) / 4096))
            self.read_units += self._settled(call, units if call.request.get("ConsistentRead") else units / 2)

    def _settled(self, call: Call, computed: float) -> float:
        reported = call.answer.get("ConsumedCapacity", {}).get("CapacityUnits")
        if reported is None:
            self.unreported += 1
            return computed
        self.disputed += float(reported) != computed
        return float(reported)

    def _written(self, call: Call) -> tuple[int, int]:
        """Units of the row and of the index, computed."""
        row_id = (call.request.get("Item") or call.request["Key"])["paymentRequestId"]["S"]
        before = self._rows.get(row_id, {})
        if call.status != 200:  # a condition that does not hold is charged for the row as it is
            return max(1, ceil(size(before) / 1024)), 0
        after = call.request.get("Item") or call.answer.get("Attributes") or before
        self._rows[row_id] = after
        return max(1, ceil(max(size(before), size(after)) / 1024)), index_units(before, after)


def index_units(before: Json, after: Json) -> int:
    """Writes of all indexes: one to put or delete an entry, two to move it to another key, none if it is as it was."""
    return sum(_entry_units(keys, held, before, after) for keys, held in INDEXES)


def _entry_units(keys: tuple[str, str], held: tuple[str, ...], before: Json, after: Json) -> int:
    was, now = _entry(keys, held, before), _entry(keys, held, after)
    if was == now:
        return 0
    if was is None or now is None:
        return 1
    return 1 if all(was[name] == now[name] for name in keys) else 2


def _entry(keys: tuple[str, str], held: tuple[str, ...], row: Json) -> Json | None:
    if not all(name in row for name in keys):
        return None
    return {name: row[name] for name in (*keys, *held) if name in row}


def size(row: Json) -> int:
    """Bytes of an item: names and values."""
    return sum(len(name.encode()) + _value_size(value) for name, value in row.items())


def _value_size(value: Json) -> int:
    kind, content = next(iter(value.items()))
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return ceil(len(content.lstrip("-0.").replace(".", "")) / 2) + 1
        case "SS":
            return sum(len(text.encode()) for text in content)
        case "L":
            return 3 + sum(1 + _value_size(each) for each in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_size(each) for name, each in content.items())
    return 1
