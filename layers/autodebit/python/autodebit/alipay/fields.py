"""A request checked against a table of fields: the one function that does it, and what such a table is made of.

Lengths are in characters. Fields that the table does not name pass, if all their scalars are strings.
https://docs.antom.com/ac/ams/me
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autodebit.errors import FieldError


@dataclass(frozen=True, slots=True)
class Text:
    """A string of at most `longest` characters; with a `pattern`, one that matches it whole."""

    longest: int
    required: bool = False
    pattern: re.Pattern[str] | None = None
    rule: str = ""
    """What the pattern asks for, in words."""


@dataclass(frozen=True, slots=True)
class Fields:
    """An object; fields that are not named pass."""

    fields: Mapping[str, "Rule"]
    required: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list of at most `most` objects."""

    item: Fields
    most: int
    required: bool = False


type Rule = Text | Fields | Items


def required(longest: int) -> Text:
    """A string that must be there and say something."""
    return Text(longest, required=True)


FIELD_ERRORS_MAX = 100
"""Faults named at once; a request with more is not one that somebody mends by reading."""

PATH_CHARACTERS_MAX = 256
"""Characters of a field's path that the answer repeats: a hundred faults inside one name of a megabyte must not become
an answer that no function can give."""

NESTING_MAX = 16
"""Levels of nesting; the pay API has five."""


def check(table: Fields, request: dict[str, Any], owned: tuple[str, ...]) -> list[FieldError]:
    """Every fault of a request by `table`, at most FIELD_ERRORS_MAX; `owned` are the fields that the service sets."""
    errors = [FieldError(name, "is set by the service; leave it out") for name in owned if name in request]
    _check(table, {name: value for name, value in request.items() if name not in owned}, "", errors)
    return errors[:FIELD_ERRORS_MAX]


def _check(rule: Rule | None, value: Any, path: str, errors: list[FieldError], depth: int = 0) -> None:
    """Hold `value` against its rule; what has none may be any JSON whose scalars are strings."""
    if len(errors) >= FIELD_ERRORS_MAX:
        return
    if depth > NESTING_MAX:
        errors.append(FieldError(path, f"must not be nested more than {NESTING_MAX} deep"))
    elif value is None or isinstance(value, bool | int | float):
        errors.append(FieldError(path, _cure(rule, value)))
    elif isinstance(rule, Text) and not isinstance(value, str):
        errors.append(FieldError(path, "must be a string"))
    elif isinstance(rule, Fields) and not isinstance(value, dict):
        errors.append(FieldError(path, "must be an object"))
    elif isinstance(rule, Items) and not isinstance(value, list):
        errors.append(FieldError(path, "must be a list"))
    elif isinstance(value, dict):
        rules = rule.fields if isinstance(rule, Fields) else {}
        _check_object(rules, value, path, errors, depth)
    elif isinstance(value, list):
        if isinstance(rule, Items) and len(value) > rule.most:
            errors.append(FieldError(path, f"must have at most {rule.most} items"))
        else:
            for position, item in enumerate(value):
                _check(rule.item if isinstance(rule, Items) else None, item, f"{path}[{position}]", errors, depth + 1)
    elif isinstance(rule, Text):
        _check_text(rule, value, path, errors)


def _cure(rule: Rule | None, value: Any) -> str:
    """What is wrong with a null, a boolean or a number: in a message every scalar is a string."""
    if value is None:
        return "is required; null is no value" if rule and rule.required else "must not be null: leave it out"
    if isinstance(rule, Fields):
        return "must be an object"
    if isinstance(rule, Items):
        return "must be a list"
    if isinstance(value, bool):
        return f'must be a string: write "{str(value).lower()}"'
    return 'must be a string: write the number in quotes, as "20"'


def _check_object(
    rules: Mapping[str, Rule], value: dict[str, Any], path: str, errors: list[FieldError], depth: int
) -> None:
    prefix = f"{path}." if path else ""
    for name, rule in rules.items():
        if rule.required and name not in value:
            errors.append(FieldError(prefix + name, "is required"))
    for name, inner in value.items():
        _check(rules.get(name), inner, (prefix + name)[:PATH_CHARACTERS_MAX], errors, depth + 1)


def _check_text(rule: Text, value: str, path: str, errors: list[FieldError]) -> None:
    if rule.pattern:
        if len(value) > rule.longest or not rule.pattern.fullmatch(value):
            errors.append(FieldError(path, rule.rule))
    elif rule.required and not value.strip():
        errors.append(FieldError(path, "must not be empty"))
    elif len(value) > rule.longest:
        errors.append(FieldError(path, f"must be at most {rule.longest} characters"))
