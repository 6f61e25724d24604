"""DynamoDB in memory, as far as the order table asks for it; what it does not know it refuses.

Rows are never changed in place: a write answers with the table as it is afterwards. That it agrees with the emulator's
DynamoDB is shown in `agreement`.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
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
    "PutItem": {"Item", "ConditionExpression"},
    "GetItem": {"Key", "ConsistentRead"},
    "UpdateItem": {"Key", "ConditionExpression", "UpdateExpression", "ReturnValues"},
    "Query": {
        "IndexName",
        "KeyConditionExpression",
        "FilterExpression",
        "Limit",
        "ScanIndexForward",
        "ExclusiveStartKey",
    },
}
OF_ANY = {"TableName", "ReturnConsumedCapacity", "ExpressionAttributeNames", "ExpressionAttributeValues"}


class ConditionFailed(Exception):
    """ConditionalCheckFailedException: nothing was written."""


def call(rows: Rows, operation: str, request: Json) -> tuple[Rows, Json]:
    """The table after an operation, and the answer to it. Raises ConditionFailed."""
    if strange := set(request) - KNOWN[operation] - OF_ANY:
        raise NotImplementedError(f"{operation} with {strange}")
    names = request.get("ExpressionAttributeNames", {})
    values = request.get("ExpressionAttributeValues", {})
    if operation == "Query":
        return rows, _query(rows, request, names, values)
    key = request["Item" if operation == "PutItem" else "Key"][KEY]["S"]
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


def _query(rows: Rows, request: Json, names: Values, values: Values) -> Json:
    partition, sort, projected = INDEXES[request["IndexName"]]
    kept = {KEY, partition, sort} | projected
    matches = _condition(request["KeyConditionExpression"])
    entries = [
        {name: value for name, value in row.items() if name in kept}
        for row in rows.values()
        if partition in row and sort in row and matches(row, names, values)
    ]
    entries.sort(
        key=lambda entry: (entry[sort]["S"], entry[KEY]["S"]), reverse=not request.get("ScanIndexForward", True)
    )
    if start := request.get("ExclusiveStartKey"):
        entries = entries[[entry[KEY] for entry in entries].index(start[KEY]) + 1 :]
    limit = request.get("Limit", len(entries) + 1)
    page, answer = entries[:limit], {}
    if len(page) == limit:
        answer = {"LastEvaluatedKey": {name: page[-1][name] for name in (KEY, partition, sort)}}
    if "FilterExpression" in request:
        wanted = _condition(request["FilterExpression"])
        page = [entry for entry in page if wanted(entry, names, values)]
    return answer | {"Items": page, "Count": len(page), "ScannedCount": len(entries[:limit])}


_TOKEN = re.compile(r"\s*([(),]|<=|<|=|[#:]\w+|\w+)")

_COMPARISONS: dict[str, Callable[[Json | None, Json], bool]] = {
    "=": lambda stored, given: stored == given,
    "<": lambda stored, given: stored is not None and stored["S"] < given["S"],
    "<=": lambda stored, given: stored is not None and stored["S"] <= given["S"],
}


@functools.cache
def _condition(text: str) -> Evaluate:
    """A condition, key condition or filter, ready to be evaluated on an item."""
    tokens = _tokens(text)
    evaluate = _conjunction(tokens)
    if rest := list(tokens):
        raise NotImplementedError(f"{text}: {rest}")
    return evaluate


def _tokens(text: str) -> Iterator[str]:
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text.replace(" ", ""):
        raise NotImplementedError(text)
    return iter(tokens)


def _conjunction(tokens: Iterator[str]) -> Evaluate:
    """One comparison or function, or in parentheses NOT one, or two joined by AND or OR."""
    token = next(tokens)
    if token == "(":
        left = _conjunction(tokens)
        joined, right = next(tokens), None
        if joined != ")":
            right = _conjunction(tokens)
            _expect(tokens, ")")
        if joined == "AND" and right:
            return lambda item, names, values: left(item, names, values) and right(item, names, values)
        if joined == "OR" and right:
            return lambda item, names, values: left(item, names, values) or right(item, names, values)
        if joined != ")":
            raise NotImplementedError(joined)
        return left
    if token == "NOT":
        negated = _conjunction(tokens)
        return lambda item, names, values: not negated(item, names, values)
    if token == "contains":
        _expect(tokens, "(")
        members, _, member = next(tokens), _expect(tokens, ","), next(tokens)
        _expect(tokens, ")")
        return lambda item, names, values: values[member]["S"] in item.get(names[members], {"SS": []})["SS"]
    if token == "size":
        _expect(tokens, "(")
        measured, _, _, most = next(tokens), _expect(tokens, ")"), _expect(tokens, "<"), next(tokens)
        return lambda item, names, values: (
            names[measured] in item and len(item[names[measured]]["SS"]) < int(values[most]["N"])
        )
    if token in ("attribute_exists", "attribute_not_exists"):
        _expect(tokens, "(")
        name, exists = next(tokens), token == "attribute_exists"
        _expect(tokens, ")")
        return lambda item, names, values: (names[name] in item) == exists
    compare, value = _COMPARISONS[next(tokens)], next(tokens)
    return lambda item, names, values: compare(item.get(names[token]), values[value])


def _expect(tokens: Iterator[str], expected: str) -> None:
    if (token := next(tokens)) != expected:
        raise NotImplementedError(f"{token} in place of {expected}")


_APPENDED = re.compile(r"list_append \(if_not_exists \((#\w+), (:\w+)\), (:\w+)\)")


def _updated(item: Item, expression: str, names: Values, values: Values) -> Item:
    """The item after SET, REMOVE and ADD; every value is read from what was stored before."""
    changed = dict(item)
    for section in re.split(r" (?=REMOVE |ADD )", expression):
        verb, _, actions = section.partition(" ")
        for action in re.split(r", (?=#)", actions):
            name, _, value = action.replace(" = ", " ").partition(" ")
            if appended := _APPENDED.fullmatch(value):
                old, none, new = appended.groups()
                changed[names[name]] = {"L": item.get(names[old], values[none])["L"] + values[new]["L"]}
            elif verb == "SET":
                changed[names[name]] = values[value]
            elif verb == "REMOVE":
                changed.pop(names[name], None)
            elif verb == "ADD" and set(values[value]) == {"SS"}:
                members = item.get(names[name], {"SS": []})["SS"]
                changed[names[name]] = {"SS": sorted({*members, *values[value]["SS"]})}
            else:
                raise NotImplementedError(expression)
    return changed
