"""DynamoDB in memory, as far as the order table asks for it; what it does not know it refuses.

Rows are never changed in place: a write answers with the table as it is afterwards. That it agrees with the emulator's
DynamoDB is shown in `agreement`.
"""

import functools
import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
Item = dict[str, Json]
Rows = Mapping[str, Item]
Values = Mapping[str, Any]
Evaluate = Callable[[Item, Values, Values], bool]

KEY = "paymentRequestId"
INDEXES = {"watched": ("watchShard", "overdueAt", {"pollingRound", "attemptedAt"})}
"""Partition key, sort key and the attributes besides them, as `template.yaml` has it."""

KNOWN = {
    "PutItem": {"Item", "ConditionExpression", "ReturnValues"},
    "GetItem": {"Key", "ConsistentRead"},
    "UpdateItem": {"Key", "ConditionExpression", "UpdateExpression", "ReturnValues"},
    "Query": {
        "IndexName",
        "KeyConditionExpression",
        "FilterExpression",
        "Limit",
        "ScanIndexForward",
        "ExclusiveStartKey",
        "Select",
    },
}
OF_ANY = {"TableName", "ReturnConsumedCapacity", "ExpressionAttributeNames", "ExpressionAttributeValues"}


class ConditionFailed(Exception):
    """ConditionalCheckFailedException: nothing was written."""


class Cancelled(Exception):
    """TransactionCanceledException: nothing was written, for these reasons, one for each part of the transaction."""

    def __init__(self, reasons: list[Json]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


def transact(tables: Mapping[str, Rows], keys: Mapping[str, str], request: Json) -> dict[str, Rows]:
    """The tables after a transaction. Raises Cancelled."""
    parts = [next(iter(part.items())) for part in request["TransactItems"]]
    changed, reasons = dict(tables), []
    for operation, part in parts:
        table = part["TableName"]
        try:
            changed[table], _ = call(
                tables[table], f"{operation}Item", {"ReturnValues": "ALL_NEW", **part}, keys[table]
            )
            reasons.append({"Code": "None"})
        except ConditionFailed:
            reasons.append({"Code": "ConditionalCheckFailed"})
    if any(reason["Code"] != "None" for reason in reasons):
        raise Cancelled(reasons)
    return changed


def batch(tables: Mapping[str, Rows], keys: Mapping[str, str], request: Json) -> Json:
    """The answer to a BatchGetItem that reads consistently."""
    found: Json = {}
    for name, wanted in request["RequestItems"].items():
        if set(wanted) != {"ConsistentRead", "Keys"}:
            raise NotImplementedError(f"BatchGetItem with {set(wanted)}")
        rows = [tables[name].get(key[keys[name]]["S"]) for key in wanted["Keys"]]
        found[name] = [row for row in rows if row is not None]
    return {"Responses": found, "UnprocessedKeys": {}}


def call(rows: Rows, operation: str, request: Json, key_name: str = KEY) -> tuple[Rows, Json]:
    """The table after an operation, and the answer to it. Raises ConditionFailed."""
    if strange := set(request) - KNOWN[operation] - OF_ANY:
        raise NotImplementedError(f"{operation} with {strange}")
    names = request.get("ExpressionAttributeNames", {})
    values = request.get("ExpressionAttributeValues", {})
    if operation == "Query":
        return rows, _query(rows, request, names, values, key_name)
    key = request["Item" if operation == "PutItem" else "Key"][key_name]["S"]
    stored = rows.get(key)
    if operation == "GetItem":
        return rows, {} if stored is None else {"Item": stored}
    if "ConditionExpression" in request and not _condition(request["ConditionExpression"])(stored or {}, names, values):
        raise ConditionFailed
    if operation == "PutItem":
        return {**rows, key: request["Item"]}, {}
    changed = _updated(stored or request["Key"], request["UpdateExpression"], names, values)
    if request["ReturnValues"] != "ALL_NEW":
        raise NotImplementedError(request["ReturnValues"])
    return {**rows, key: changed}, {"Attributes": changed}


def _query(rows: Rows, request: Json, names: Values, values: Values, key: str) -> Json:
    partition, sort, projected = INDEXES[request["IndexName"]]
    kept = {key, partition, sort} | projected
    matches = _condition(request["KeyConditionExpression"])
    entries = [
        {name: value for name, value in row.items() if name in kept}
        for row in rows.values()
        if partition in row and sort in row and matches(row, names, values)
    ]
    entries.sort(
        key=lambda entry: (entry[sort]["S"], entry[key]["S"]), reverse=not request.get("ScanIndexForward", True)
    )
    if start := request.get("ExclusiveStartKey"):
        entries = entries[[entry[key] for entry in entries].index(start[key]) + 1 :]
    limit = request.get("Limit", len(entries) + 1)
    page = entries[:limit]
    answer: dict[str, Any] = {}
    if len(page) == limit:
        answer = {"LastEvaluatedKey": {name: page[-1][name] for name in (key, partition, sort)}}
    if "FilterExpression" in request:
        wanted = _condition(request["FilterExpression"])
        page = [entry for entry in page if wanted(entry, names, values)]
    answer |= {"Count": len(page), "ScannedCount": len(entries[:limit])}
    return answer if request.get("Select") == "COUNT" else answer | {"Items": page}


_TOKEN = re.compile(r"\s*([(),]|<=|>=|<>|<|>|=|\+|-|[#:]\w+|\w+)")

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@functools.cache
def _condition(text: str) -> Evaluate:
    """A condition, key condition or filter, ready to be evaluated on an item."""
    tokens = _Tokens(text)
    evaluate = _either(tokens)
    tokens.end()
    return evaluate


class _Tokens:
    """An expression, word by word."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens = text, _TOKEN.findall(text)
        if "".join(self._tokens) != "".join(text.split()):
            raise NotImplementedError(text)

    @property
    def next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def take(self, expected: str = "") -> str:
        token = self._tokens.pop(0) if self._tokens else ""
        if expected and token != expected:
            raise NotImplementedError(f"{token or 'the end'} in place of {expected}: {self._text}")
        return token

    def end(self) -> None:
        if self._tokens:
            raise NotImplementedError(f"{self._tokens}: {self._text}")


def _either(tokens: _Tokens) -> Evaluate:
    left = _both(tokens)
    while tokens.next == "OR":
        tokens.take()
        left = _joined(left, _both(tokens), any)
    return left


def _both(tokens: _Tokens) -> Evaluate:
    left = _one(tokens)
    while tokens.next == "AND":
        tokens.take()
        left = _joined(left, _one(tokens), all)
    return left


def _joined(left: Evaluate, right: Evaluate, how: Callable[[tuple[bool, bool]], bool]) -> Evaluate:
    return lambda item, names, values: how((left(item, names, values), right(item, names, values)))


def _one(tokens: _Tokens) -> Evaluate:
    """One comparison or function, or a condition in parentheses, or the contrary of one."""
    if tokens.next == "NOT":
        tokens.take()
        contrary = _one(tokens)
        return lambda item, names, values: not contrary(item, names, values)
    if tokens.next == "(":
        tokens.take()
        within = _either(tokens)
        tokens.take(")")
        return within
    if tokens.next in ("attribute_exists", "attribute_not_exists"):
        exists = tokens.take() == "attribute_exists"
        tokens.take("(")
        name = tokens.take()
        tokens.take(")")
        return lambda item, names, values: (names[name] in item) == exists
    if tokens.next == "contains":
        tokens.take()
        whole, part = _arguments(tokens)
        return lambda item, names, values: _contains(item.get(names[whole]), values[part])
    return _comparison(tokens)


def _comparison(tokens: _Tokens) -> Evaluate:
    left, sign = _operand(tokens), tokens.take()
    if sign == "IN":
        members = _members(tokens)
        return lambda item, names, values: left(item, names, values) in [values[each] for each in members]
    right = _operand(tokens)

    def evaluate(item: Item, names: Values, values: Values) -> bool:
        ours, theirs = left(item, names, values), right(item, names, values)
        if sign in ("=", "<>"):
            return (ours == theirs) == (sign == "=")
        if ours is None or theirs is None or set(ours) != set(theirs):
            return False
        return _COMPARISONS[sign](_ordered(ours), _ordered(theirs))

    return evaluate


def _operand(tokens: _Tokens) -> Callable[[Item, Values, Values], Json | None]:
    token = tokens.take()
    if token == "size":
        tokens.take("(")
        name = tokens.take()
        tokens.take(")")
        return lambda item, names, values: _size(item.get(names[name]))
    if token.startswith(":"):
        return lambda item, names, values: values[token]
    return lambda item, names, values: item.get(names[token])


def _members(tokens: _Tokens) -> list[str]:
    tokens.take("(")
    members = [tokens.take()]
    while tokens.next == ",":
        tokens.take()
        members.append(tokens.take())
    tokens.take(")")
    return members


def _arguments(tokens: _Tokens) -> tuple[str, str]:
    tokens.take("(")
    first = tokens.take()
    tokens.take(",")
    second = tokens.take()
    tokens.take(")")
    return first, second


def _ordered(value: Json) -> Any:
    [(kind, content)] = value.items()
    if kind == "N":
        return Decimal(content)
    if kind == "S":
        return content
    raise NotImplementedError(f"an order of {kind}")


def _size(value: Json | None) -> Json | None:
    return None if value is None else {"N": str(len(next(iter(value.values()))))}


def _contains(whole: Json | None, part: Json) -> bool:
    if whole is None:
        return False
    [(kind, content)] = whole.items()
    if kind == "SS":
        return part["S"] in content
    raise NotImplementedError(f"contains in {kind}")


def _updated(item: Item, expression: str, names: Values, values: Values) -> Item:
    """The item after SET, REMOVE and ADD; every value is read from what was stored before."""
    changed, tokens, verb = dict(item), _Tokens(expression), ""
    while tokens.next:
        if tokens.next in ("SET", "REMOVE", "ADD"):
            verb = tokens.take()
        name = names[tokens.take()]
        if verb == "SET":
            tokens.take("=")
            changed[name] = _sum(tokens, item, names, values)
        elif verb == "REMOVE":
            changed.pop(name, None)
        elif verb == "ADD":
            changed[name] = _added(item.get(name), values[tokens.take()])
        if tokens.next == ",":
            tokens.take()
    return changed


def _sum(tokens: _Tokens, item: Item, names: Values, values: Values) -> Json:
    value = _value(tokens, item, names, values)
    while tokens.next in ("+", "-"):
        sign = tokens.take()
        other = _value(tokens, item, names, values)
        value = {"N": str(_ordered(value) + (1 if sign == "+" else -1) * _ordered(other))}
    return value


def _value(tokens: _Tokens, item: Item, names: Values, values: Values) -> Json:
    token = tokens.take()
    if token == "list_append":
        tokens.take("(")
        first = _value(tokens, item, names, values)
        tokens.take(",")
        second = _value(tokens, item, names, values)
        tokens.take(")")
        return {"L": [*first["L"], *second["L"]]}
    if token == "if_not_exists":
        tokens.take("(")
        name = names[tokens.take()]
        tokens.take(",")
        other = _value(tokens, item, names, values)
        tokens.take(")")
        return item.get(name, other)
    return values[token] if token.startswith(":") else item[names[token]]


def _added(stored: Json | None, value: Json) -> Json:
    [(kind, content)] = value.items()
    if kind == "SS":
        return {"SS": sorted({*(stored or {"SS": []})["SS"], *content})}
    if kind == "N":
        return {"N": str(Decimal((stored or {"N": "0"})["N"]) + Decimal(content))}
    raise NotImplementedError(f"ADD of {kind}")
