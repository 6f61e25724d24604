"""The fields of the pay API and their rules, as data, and the one function that holds a request against them.

Source: https://docs.antom.com/ac/ams/payment_agreement (lengths in characters; unknown fields pass).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
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


Rule = Text | Fields | Items


def required(longest: int) -> Text:
    """A string that must be there and say something."""
    return Text(longest, required=True)


PAYMENT_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

_CURRENCY = Text(3, True, re.compile(r"[A-Z]{3}"), "must be three capital letters (ISO 4217)")
_DEBITED = Text(
    16,
    True,
    re.compile(r"[1-9][0-9]{0,15}"),
    "must be 1 to 16 digits in the currency's minor unit, greater than zero, without a leading zero",
)
_STATED = Text(
    16,
    True,
    re.compile(r"0|[1-9][0-9]{0,15}"),
    "must be 1 to 16 digits in the currency's minor unit, without a leading zero",
)


def _amount(value: Text, required: bool = False) -> Fields:
    return Fields({"currency": _CURRENCY, "value": value}, required)


_NAME = Fields({"firstName": Text(32), "middleName": Text(32), "lastName": Text(32), "fullName": Text(128)})
_ADDRESS = Fields(
    {
        "region": required(2),
        "state": Text(8),
        "city": Text(32),
        "address1": Text(256),
        "address2": Text(256),
        "zipCode": Text(32),
    }
)
_ENV = Fields(
    {
        "terminalType": required(64),
        "osType": Text(64),
        "userAgent": Text(1024),
        "deviceTokenId": Text(64),
        "clientIp": Text(64),
        "cookieId": Text(64),
        "extendInfo": Text(2048),
    }
)
_GOODS = Fields(
    {
        "referenceGoodsId": required(64),
        "goodsName": required(256),
        "goodsCategory": Text(64),
        "goodsUnitAmount": _amount(_STATED),
        "goodsQuantity": Text(
            16, pattern=re.compile(r"[1-9][0-9]*"), rule="must be a whole number from 1, in at most 16 digits"
        ),
    }
)
_ORDER = Fields(
    {
        "referenceOrderId": required(64),
        "orderDescription": required(256),
        "orderAmount": _amount(_STATED, required=True),
        "goods": Items(_GOODS, 100),
        "buyer": Fields(
            {
                "referenceBuyerId": Text(64),
                "buyerName": _NAME,
                "buyerPhoneNo": Text(24),
                "buyerEmail": Text(64),
            }
        ),
        "shipping": Fields(
            {
                "shippingName": _NAME,
                "shippingAddress": _ADDRESS,
                "shippingCarrier": Text(128),
                "shippingPhoneNo": Text(16),
            }
        ),
        "merchant": Fields(
            {
                "referenceMerchantId": required(32),
                "merchantMCC": Text(32),
                "merchantName": Text(256),
                "merchantDisplayName": Text(64),
                "merchantAddress": _ADDRESS,
            }
        ),
        "env": _ENV,
    },
    required=True,
)
PAY_REQUEST = Fields(
    {
        "paymentRequestId": Text(
            64,
            required=True,
            pattern=PAYMENT_REQUEST_ID,
            rule="must be 1 to 64 characters of A-Z a-z 0-9 _ -",
        ),
        "paymentAmount": _amount(_DEBITED, required=True),
        "paymentMethod": Fields(
            {"paymentMethodType": required(64), "paymentMethodId": required(128), "extendInfo": Text(2048)},
            required=True,
        ),
        "order": _ORDER,
        "settlementStrategy": Fields({"settlementCurrency": replace(_CURRENCY, required=False)}),
        "paymentExpiryTime": Text(
            64,
            pattern=re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:[0-5]\d)", re.ASCII),
            rule="must be ISO 8601 with an offset, such as 2026-11-22T17:30:55+08:00",
        ),
        "creditPayPlan": Fields({"installmentNum": Text(8), "creditPayFeeType": Text(64), "feePercentage": Text(3)}),
        "appId": Text(32),
        "merchantRegion": Text(2),
        "userRegion": Text(2),
        "merchantAccountId": Text(32),
        "env": _ENV,
    }
)

MOST_ERRORS = 100
"""Faults named at once; a request with more is not one that somebody mends by reading."""

LONGEST_PATH = 256
"""Characters of a field's path that the answer repeats: a hundred faults inside one name of a megabyte must not become
an answer that no function can give."""

DEEPEST = 16
"""Levels of nesting; the pay API has five."""

OWNED = ("productCode", "paymentNotifyUrl")
"""Fields of the pay API that the bundle fills in."""


def check_pay_fields(request: dict[str, Any]) -> list[FieldError]:
    """Every fault of a pay request, each named by its field; an empty list if there is none."""
    errors = [FieldError(name, "is set by the service; leave it out") for name in OWNED if name in request]
    _check(PAY_REQUEST, request, "", errors)
    if len(errors) < MOST_ERRORS:
        named = {error.field for error in errors}
        at_fault = {field.partition(".")[0] for field in named}
        if "paymentAmount" not in at_fault:
            errors += _check_currency_rules(request["paymentAmount"])
        if "paymentExpiryTime" not in named:  # a name that nobody knows may begin like it: paymentExpiryTime.x
            errors += _check_calendar(request.get("paymentExpiryTime"))
        if not at_fault & {"order", "env"}:
            errors += _check_mini_app(request)
    return errors[:MOST_ERRORS]


def _check(rule: Rule | None, value: Any, path: str, errors: list[FieldError], depth: int = 0) -> None:
    """Hold `value` against its rule; what has none may be any JSON whose scalars are strings."""
    if len(errors) >= MOST_ERRORS:
        return
    if depth > DEEPEST:
        errors.append(FieldError(path, f"must not be nested more than {DEEPEST} deep"))
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
    elif not isinstance(value, str):
        # https://docs.antom.com/ac/ams/me: numbers and booleans travel as strings.
        errors.append(FieldError(path, 'must be a string: the number 20 is "20", true is "true"'))
    elif isinstance(rule, Text):
        _check_text(rule, value, path, errors)


def _check_object(
    rules: Mapping[str, Rule], value: dict[str, Any], path: str, errors: list[FieldError], depth: int
) -> None:
    prefix = f"{path}." if path else ""
    for name, rule in rules.items():
        if rule.required and name not in value:
            errors.append(FieldError(prefix + name, "is required"))
    for name, inner in value.items():
        if not path and name in OWNED:
            continue
        _check(rules.get(name), inner, (prefix + name)[:LONGEST_PATH], errors, depth + 1)


def _check_text(rule: Text, value: str, path: str, errors: list[FieldError]) -> None:
    if rule.pattern:
        if len(value) > rule.longest or not rule.pattern.fullmatch(value):
            errors.append(FieldError(path, rule.rule))
    elif rule.required and not value.strip():
        errors.append(FieldError(path, "must not be empty"))
    elif len(value) > rule.longest:
        errors.append(FieldError(path, f"must be at most {rule.longest} characters"))


def _check_currency_rules(amount: dict[str, str]) -> list[FieldError]:
    """https://docs.antom.com/ac/ref/cc: rupiah has two decimals on the wire, and only whole rupiah are debited."""
    if amount["currency"] == "IDR" and not amount["value"].endswith("00"):
        return [FieldError("paymentAmount.value", "must be a multiple of 100 in IDR: 300 rupiah are 30000")]
    return []


def _check_mini_app(request: dict[str, Any]) -> list[FieldError]:
    """A mini program's payment names the program. https://docs.antom.com/ac/ams/payment_agreement"""
    envs = (request.get("env"), request["order"].get("env"))
    if "appId" in request or not any(env and env["terminalType"] == "MINI_APP" for env in envs):
        return []
    return [FieldError("appId", "is required with terminalType MINI_APP")]


def _check_calendar(payment_expiry_time: str | None) -> list[FieldError]:
    try:
        if payment_expiry_time is not None:
            datetime.fromisoformat(payment_expiry_time)
    except ValueError:
        return [FieldError("paymentExpiryTime", "must be a date and time that exists")]
    return []
