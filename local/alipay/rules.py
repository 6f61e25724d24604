"""The checks Alipay makes on the body of a request before it looks at what the request is about.

https://docs.antom.com/ac/ams/payment_agreement · https://docs.antom.com/ac/ams/authconsult ·
https://docs.antom.com/ac/ams/accesstokenapp · https://docs.antom.com/ac/ams/refund_online ·
amounts: https://docs.antom.com/ac/ref/cc
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

_PARTY = {"firstName": 32, "middleName": 32, "lastName": 32, "fullName": 128}
_ADDRESS = {"region!": 2, "state": 8, "city": 32, "address1": 256, "address2": 256, "zipCode": 32}
_AMOUNT = {"currency!": 3, "value!": 16}
_ENV = {
    "terminalType!": 64,
    "osType": 64,
    "userAgent": 1024,
    "deviceTokenId": 64,
    "clientIp": 64,
    "cookieId": 64,
    "extendInfo": 2048,
}

# Field -> greatest length in characters, or the fields of an object, or [of each item]; `!` means required.
_PAY: Json = {
    "productCode!": 64,
    "paymentRequestId!": 64,
    "paymentAmount!": _AMOUNT,
    "paymentMethod!": {"paymentMethodType!": 64, "paymentMethodId!": 128, "extendInfo": 2048},
    "order!": {
        "referenceOrderId!": 64,
        "orderDescription!": 256,
        "orderAmount!": _AMOUNT,
        "goods": [
            {
                "referenceGoodsId!": 64,
                "goodsName!": 256,
                "goodsCategory": 64,
                "goodsUnitAmount": _AMOUNT,
                "goodsQuantity": 16,
            }
        ],
        "buyer": {"referenceBuyerId": 64, "buyerName": _PARTY, "buyerPhoneNo": 24, "buyerEmail": 64},
        "shipping": {
            "shippingName": _PARTY,
            "shippingAddress": _ADDRESS,
            "shippingCarrier": 128,
            "shippingPhoneNo": 16,
        },
        "merchant": {
            "referenceMerchantId!": 32,
            "merchantMCC": 32,
            "merchantName": 256,
            "merchantDisplayName": 64,
            "merchantAddress": _ADDRESS,
        },
        "env": _ENV,
    },
    "env": _ENV,
    "settlementStrategy": {"settlementCurrency": 3},
    "paymentExpiryTime": 64,
    "paymentNotifyUrl": 2048,
    "appId": 32,
    "merchantRegion": 2,
    "userRegion": 2,
    "merchantAccountId": 32,
}
_CONSULT: Json = {
    "customerBelongsTo!": 64,
    "authRedirectUrl!": 1024,
    "authState!": 256,
    "terminalType!": 64,
    "osType": 64,
    "osVersion": 16,
    "authClientId": 64,
    "authNotifyUrl": 1024,
    "merchantAccountId": 32,
    "merchantRegion": 2,
    "env": _ENV,
    "extendInfo": 2048,
}
_APPLY_TOKEN: Json = {
    "grantType!": 64,
    "customerBelongsTo!": 64,
    "authCode": 128,
    "refreshToken": 128,
    "merchantAccountId": 64,
    "merchantRegion": 2,
    "extendInfo": 2048,
}
_TOKEN: Json = {"accessToken!": 128, "merchantAccountId": 64, "extendInfo": 2048}
_REFUND: Json = {
    "refundRequestId!": 64,
    "paymentId!": 64,
    "refundAmount!": _AMOUNT,
    "referenceRefundId": 64,
    "refundReason": 256,
    "refundNotifyUrl": 1024,
}
_MOST_GOODS = 100
_MOST_SCOPES = 4

_CURRENCIES = {
    *("CLP", "JPY", "KRW", "VND"),
    *("AUD", "BDT", "BRL", "CAD", "CNY", "EUR", "GBP", "HKD", "IDR", "MXN"),
    *("MYR", "NZD", "PEN", "PHP", "PKR", "PLN", "SGD", "THB", "TWD", "USD"),
}
LONGEST_EXPIRY = timedelta(seconds=60)


class Refused(Exception):
    """A signed F: the gateway knows the merchant, and the request is at fault."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def check_pay(body: Json) -> None:
    """Raise `Refused` unless every rule holds that does not depend on the time."""
    _check_fields(body, _PAY)
    if body["productCode"] != "AGREEMENT_PAYMENT":
        raise Refused("PARAM_ILLEGAL", "productCode must be AGREEMENT_PAYMENT.")
    _check_amount(body["paymentAmount"], "paymentAmount", least=1)
    _check_amount(body["order"]["orderAmount"], "order.orderAmount", least=0)
    if body["paymentAmount"]["currency"] not in _CURRENCIES:
        raise Refused("CURRENCY_NOT_SUPPORT", "The currency is not supported.")
    _check_url(body, "paymentNotifyUrl")


def expiry_of(body: Json, now: datetime) -> datetime:
    """When a new payment closes: one minute from now, or earlier as asked.

    A time gone by, or a minute and more ahead, is PARAM_ILLEGAL: the expected code, for none is documented.
    """
    text = body.get("paymentExpiryTime")
    if text is None:
        return now + LONGEST_EXPIRY
    try:
        expiry = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("PARAM_ILLEGAL", "paymentExpiryTime is not ISO 8601.") from None
    if expiry.tzinfo is None or not now < expiry < now + LONGEST_EXPIRY:
        raise Refused("PARAM_ILLEGAL", "paymentExpiryTime must lie within one minute from now.")
    return expiry.astimezone(UTC)


def check_payment_ids(body: Json) -> None:
    """inquiryPayment and cancel name the payment by one of two ids."""
    _check_ids(body, "paymentId", "paymentRequestId")


def check_refund_ids(body: Json) -> None:
    """inquiryRefund names the refund by one of two ids."""
    _check_ids(body, "refundId", "refundRequestId")


def check_consult(body: Json) -> None:
    """Raise `Refused` unless consult asks for what auto debit needs."""
    _check_fields(body, _CONSULT)
    scopes = body.get("scopes")
    if not isinstance(scopes, list) or len(scopes) > _MOST_SCOPES or "AGREEMENT_PAY" not in scopes:
        raise Refused("PARAM_ILLEGAL", "scopes must be an array with AGREEMENT_PAY in it.")
    if not body["authRedirectUrl"].startswith("https://"):
        raise Refused("PARAM_ILLEGAL", "authRedirectUrl must be an https URL.")
    _check_url(body, "authNotifyUrl")


def check_apply_token(body: Json) -> None:
    """Raise `Refused` unless the grant type and what belongs to it are there."""
    _check_fields(body, _APPLY_TOKEN)
    belongs = {"AUTHORIZATION_CODE": "authCode", "REFRESH_TOKEN": "refreshToken"}
    if body["grantType"] not in belongs:
        raise Refused("PARAM_ILLEGAL", "grantType must be AUTHORIZATION_CODE or REFRESH_TOKEN.")
    if not body.get(name := belongs[body["grantType"]]):
        raise Refused("PARAM_ILLEGAL", f"Illegal parameters: {name} is required")


def check_token(body: Json) -> None:
    """revoke and query name an access token."""
    _check_fields(body, _TOKEN)


def check_refund(body: Json) -> None:
    """Raise `Refused` unless every rule holds that does not depend on the payment."""
    _check_fields(body, _REFUND)
    _check_amount(body["refundAmount"], "refundAmount", least=1)
    _check_url(body, "refundNotifyUrl")


def _check_fields(body: Json, rules: Json) -> None:
    faults = [*_scalars_that_are_no_strings(body, ""), *_faults(body, rules, "")]
    if faults:
        raise Refused("PARAM_ILLEGAL", "Illegal parameters: " + "; ".join(faults[:5]))


def _check_ids(body: Json, *names: str) -> None:
    _check_fields(body, {**dict.fromkeys(names, 64), "merchantAccountId": 32})
    if not any(body.get(name) for name in names):
        raise Refused("PARAM_ILLEGAL", f"Illegal parameters: {' or '.join(names)} is required")


def _check_url(body: Json, name: str) -> None:
    if not body.get(name, "https://").startswith(("https://", "http://")):
        raise Refused("PARAM_ILLEGAL", f"{name} is not a URL.")


def _scalars_that_are_no_strings(value: Any, path: str) -> Iterator[str]:
    """Every scalar is a JSON string: https://docs.antom.com/ac/ams/me"""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _scalars_that_are_no_strings(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _scalars_that_are_no_strings(item, f"{path}[{number}]")
    elif not isinstance(value, str):
        yield f"{path} must be a string"


def _faults(given: Any, rules: Json, path: str) -> Iterator[str]:
    """What is missing, too long or of the wrong shape; no value is quoted, for one of them is a token."""
    if not isinstance(given, dict):
        yield f"{path or 'the body'} must be an object"
        return
    for name, rule in rules.items():
        field, required = name.rstrip("!"), name.endswith("!")
        where = f"{path}.{field}" if path else field
        value = given.get(field)
        if value is None or value == "":
            if required:
                yield f"{where} is required"
        elif isinstance(rule, dict):
            yield from _faults(value, rule, where)
        elif isinstance(rule, list):
            if not isinstance(value, list) or len(value) > _MOST_GOODS:
                yield f"{where} must be an array of at most {_MOST_GOODS} items"
                continue
            for number, item in enumerate(value):
                yield from _faults(item, rule[0], f"{where}[{number}]")
        elif not isinstance(value, str):
            yield f"{where} must be a string"
        elif len(value) > rule:
            yield f"{where} is longer than {rule} characters"


def _check_amount(amount: Json, where: str, least: int) -> None:
    """Minor units as ASCII digits; rupiah are written with two decimals and must be whole."""
    value, currency = amount["value"], amount["currency"]
    if not re.fullmatch(r"[0-9]{1,16}", value) or int(value) < least or not re.fullmatch(r"[A-Z]{3}", currency):
        raise Refused("PARAM_ILLEGAL", f"{where} is not an amount.")
    if currency == "IDR" and int(value) % 100:
        raise Refused("PARAM_ILLEGAL", f"{where} must be whole rupiah.")
