"""What DynamoDB charges for a recorded call, by its rules for sizes and indexes; the emulator does not report it.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html (throughput of an index)
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html (sizes of items)
"""

from math import ceil
from typing import Any

from recorder import Call

Json = dict[str, Any]

INDEX_KEYS = ("openShard", "lookAt")
INDEXED = (*INDEX_KEYS, "paymentRequestId", "pollingRound", "sentAt")


class Meter:
    """Counts units call by call; it remembers each row, for an update is charged by both its sizes."""

    def __init__(self) -> None:
        self.write_units = 0
        self.index_write_units = 0
        self.read_units = 0.0
        self.largest_row = 0
        self._rows: dict[str, Json] = {}

    def add(self, call: Call) -> None:
        """Charge one call."""
        if call.operation in ("PutItem", "UpdateItem"):
            self._write(call)
        elif call.operation == "GetItem":
            units = max(1, ceil(size(call.answer.get("Item", {})) / 4096))
            self.read_units += units if call.request.get("ConsistentRead") else units / 2
        elif call.operation == "Query":
            read = sum(size(item) for item in call.answer.get("Items", []))
            self.read_units += max(1, ceil(read / 4096)) / 2

    def _write(self, call: Call) -> None:
        row_id = (call.request.get("Item") or call.request["Key"])["paymentRequestId"]["S"]
        before = self._rows.get(row_id, {})
        if call.status != 200:  # a condition that does not hold is charged for the row as it is
            self.write_units += max(1, ceil(size(before) / 1024))
            return
        after = call.request.get("Item") or call.answer.get("Attributes") or before
        self._rows[row_id] = after
        self.largest_row = max(self.largest_row, size(after))
        self.write_units += max(1, ceil(max(size(before), size(after)) / 1024))
        self.index_write_units += index_units(before, after)


def index_units(before: Json, after: Json) -> int:
    """Writes of the index: one to put or delete an entry, two to move it to another key, none if nothing changed."""
    was, now = _entry(before), _entry(after)
    if was == now:
        return 0
    if was is None or now is None:
        return 1
    return 1 if all(was[name] == now[name] for name in INDEX_KEYS) else 2


def _entry(row: Json) -> Json | None:
    if not all(name in row for name in INDEX_KEYS):
        return None
    return {name: row[name] for name in INDEXED if name in row}


def size(row: Json) -> int:
    """Bytes of an item: names and values."""
    return sum(len(name.encode()) + _value_size(value) for name, value in row.items())


def _value_size(value: Json) -> int:
    kind, content = next(iter(value.items()))
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return ceil(len(content.lstrip("-0.").replace(".", "")) / 2) + 1
    if kind == "SS":
        return sum(len(text.encode()) for text in content)
    return 1
