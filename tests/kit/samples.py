"""One payment, as every witness tells of it, and the keys that sign."""

import base64
import functools
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autodebit.alipay.amount import Amount
from autodebit.payment.order import Order, Status
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from tests.kit import ROOT

SDK_PYTHON = ROOT / os.environ.get("ALIPAY_PYTHON", ".local/venvs/alipay/bin/python")
"""The Python that has the official SDK."""

VECTORS = Path(__file__).parent / "vectors"
KEYS = json.loads((VECTORS / "keys.json").read_text("utf-8"))

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
ID = "ord-20261122-000017"
PAYMENT_ID = "202611221940108001001888202000000001"
TOKEN = "281011130000000000000000000000000000000000000000SAMPLE"
CLIENT_ID = "SANDBOX_5Y0000000000000000"


@functools.cache
def private_key(name: str) -> Any:
    return load_der_private_key(base64.b64decode(KEYS[name]["pkcs8"]), None)


@functools.cache
def public_key(name: str) -> Any:
    return load_der_public_key(base64.b64decode(KEYS[name]["public"]))


def secret(**changes: Any) -> str:
    """The text of a secret that holds usable keys."""
    fields = {
        "clientId": CLIENT_ID,
        "privateKey": KEYS["merchant"]["pkcs8"],
        "privateKeyVersion": "1",
        "alipayPublicKeys": {"1": KEYS["alipay1"]["public"]},
    }
    return json.dumps(fields | changes)


def order(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "payment_request_id": ID,
        "status": Status.INIT,
        "amount": Amount("HKD", "1990"),
        "reference_order_id": "20261122-000017",
        "created_at": NOW,
        "payment_expiry_time": "2026-11-22T09:30:55Z",
        "identity": "1..........",
        "pay_body_sha256": "1" * 64,
        "attempt": "attempt",
        "attempted_at": NOW,
    }
    return Order(**(fields | changes))


def _copy(value: dict[str, Any]) -> dict[str, Any]:
    """A copy in which no two places are one object."""
    copied: dict[str, Any] = json.loads(json.dumps(value))
    return copied


_REQUEST = {
    "paymentRequestId": ID,
    "order": {
        "referenceOrderId": "20261122-000017",
        "orderDescription": "Monthly cinema pass",
        "orderAmount": {"currency": "HKD", "value": "1990"},
    },
    "paymentAmount": {"currency": "HKD", "value": "1990"},
    "paymentMethod": {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": TOKEN},
    "settlementStrategy": {"settlementCurrency": "USD"},
}


def request(**changes: Any) -> dict[str, Any]:
    """The merchant's request with no optional field but settlementStrategy."""
    return _copy(_REQUEST) | changes


_NAME = {"firstName": "A", "middleName": "B", "lastName": "C", "fullName": "A B C"}
_ADDRESS = {"region": "HK", "state": "HK", "city": "HK", "address1": "1", "address2": "2", "zipCode": "0"}
_ENV = {
    "terminalType": "APP",
    "osType": "IOS",
    "userAgent": "Mozilla/5.0",
    "deviceTokenId": "d",
    "clientIp": "203.0.113.9",
    "cookieId": "c",
    "extendInfo": "{}",
}


def full_request() -> dict[str, Any]:
    """The merchant's request with every field of the pay API that the service does not fill in."""
    return _copy(
        {
            "paymentRequestId": ID,
            "paymentAmount": {"currency": "HKD", "value": "1990"},
            "paymentMethod": {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": TOKEN, "extendInfo": "{}"},
            "order": {
                "referenceOrderId": "20261122-000017",
                "orderDescription": "Monthly cinema pass",
                "orderAmount": {"currency": "HKD", "value": "0"},
                "goods": [
                    {
                        "referenceGoodsId": "g",
                        "goodsName": "pass",
                        "goodsCategory": "cinema",
                        "goodsUnitAmount": {"currency": "HKD", "value": "995"},
                        "goodsQuantity": "2",
                    }
                ],
                "buyer": {
                    "referenceBuyerId": "b",
                    "buyerName": _NAME,
                    "buyerPhoneNo": "+852",
                    "buyerEmail": "a@example.com",
                },
                "shipping": {
                    "shippingName": _NAME,
                    "shippingAddress": _ADDRESS,
                    "shippingCarrier": "post",
                    "shippingPhoneNo": "+852",
                },
                "merchant": {
                    "referenceMerchantId": "m",
                    "merchantMCC": "7832",
                    "merchantName": "Cinema",
                    "merchantDisplayName": "Cinema",
                    "merchantAddress": _ADDRESS,
                    "merchantRegisterDate": "2020-01-01T00:00:00Z",
                },
                "env": _ENV,
                "extendInfo": {"chinaExtraTransInfo": {"businessType": "4|5", "goodsInfo": "x", "totalQuantity": "2"}},
            },
            "settlementStrategy": {"settlementCurrency": "USD"},
            "paymentExpiryTime": "2026-11-22T17:30:40+08:00",
            "creditPayPlan": {"installmentNum": "3", "creditPayFeeType": "PERCENTAGE", "feePercentage": "100"},
            "appId": "app",
            "merchantRegion": "HK",
            "userRegion": "HK",
            "merchantAccountId": "account",
            "metadata": "free text",
            "env": _ENV,
        }
    )


def body(fields: Any) -> bytes:
    return json.dumps(fields).encode()


def paid(**changes: Any) -> dict[str, Any]:
    """What pay, inquiryPayment and notifyPayment say of a success, all in one: each reads what is its own."""
    message = {
        "notifyType": "PAYMENT_RESULT",
        "result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success."},
        "paymentStatus": "SUCCESS",
        "paymentResultCode": "SUCCESS",
        "paymentResultMessage": "success.",
        "paymentRequestId": ID,
        "paymentId": PAYMENT_ID,
        "paymentAmount": {"value": "1990", "currency": "HKD"},
        "paymentCreateTime": "2026-11-22T01:30:00-08:00",
        "paymentTime": "2026-11-22T01:30:02-08:00",
    }
    return message | changes


def result(status: Any, code: Any, message: Any = "text") -> dict[str, Any]:
    return {"resultCode": code, "resultStatus": status, "resultMessage": message}


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}
