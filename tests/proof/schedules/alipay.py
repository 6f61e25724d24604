"""Alipay as the handlers hear it: signed answers and notifications about one payment, and what others make up."""

import base64
import functools
import json
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

from tests.proof import ROOT

KEYS = json.loads((ROOT / "tests" / "kit" / "vectors" / "keys.json").read_text("utf-8"))
CLIENT_ID = "5Y0000000000000000"
SECRET = json.dumps(
    {
        "clientId": CLIENT_ID,
        "privateKey": KEYS["merchant"]["pkcs8"],
        "privateKeyVersion": "1",
        "alipayPublicKeys": {"1": KEYS["alipay1"]["public"]},
    }
)

ID = "ord-1"
PAYMENT_ID = "20261122194010800100188820200000001"
OTHER_PAYMENT_ID = "20261122194010800100188820200000002"
NOTIFY_PATH = "/v1/notifications/payment"
PAY, INQUIRY, CANCEL = (f"/ams/api/v1/payments/{name}" for name in ("pay", "inquiryPayment", "cancel"))

REQUEST = {
    "paymentRequestId": ID,
    "order": {
        "referenceOrderId": "1",
        "orderDescription": "pass",
        "orderAmount": {"currency": "HKD", "value": "1990"},
    },
    "paymentAmount": {"currency": "HKD", "value": "1990"},
    "paymentMethod": {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": "token"},
}

RESULTS = {
    "S": ("S", "SUCCESS"),
    "F": ("F", "RISK_REJECT"),
    "U": ("U", "PAYMENT_IN_PROCESS"),
    "refused": ("F", "PROCESS_FAIL"),
    "closed": ("F", "ORDER_IS_CLOSED"),
    "C": ("F", "ORDER_IS_CANCELED"),
}
"""What a pay may be answered. `refused` speaks of this one call; the payment may have its result from another."""


def _payment(other: bool) -> dict[str, Any]:
    """What every message says of the payment, or of another one under the same id."""
    return {
        "paymentRequestId": ID,
        "paymentId": OTHER_PAYMENT_ID if other else PAYMENT_ID,
        "paymentAmount": {"currency": "HKD", "value": "1" if other else "1990"},
        "paymentCreateTime": "2026-11-22T01:30:00-08:00",
        "paymentTime": "2026-11-22T01:30:02-08:00",
    }


def _result(status: str, code: str) -> dict[str, Any]:
    return {"result": {"resultStatus": status, "resultCode": code, "resultMessage": "message"}}


@functools.cache
def pay_answer(what: str, *, other: bool = False, forged: bool = False) -> str:
    """The answer to a pay that was taken, or refused, as RESULTS has it."""
    status, code = RESULTS[what]
    told = _payment(other) if status == "S" else {}
    return _answer(PAY, _result(status, code) | told, forged)


@functools.cache
def inquiry_answer(payment: str | None, *, other: bool = False, forged: bool = False) -> str:
    """The answer to an inquiry while Alipay's ledger says `payment`: S, F, U or nothing."""
    if payment is None:
        return _answer(INQUIRY, _result("F", "ORDER_NOT_EXIST"), forged)
    status = {"S": "SUCCESS", "F": "FAIL", "U": "PROCESSING", "C": "CANCELLED"}[payment]
    told = {"paymentStatus": status, "paymentResultCode": RESULTS[payment][1], "paymentResultMessage": "message"}
    return _answer(INQUIRY, _result("S", "SUCCESS") | told | _payment(other), forged)


@functools.cache
def cancel_answer(what: str, *, forged: bool = False) -> str:
    """The answer to a cancel: S, F with a code, or U."""
    if what == "S":
        return _answer(CANCEL, _result("S", "SUCCESS") | {"paymentRequestId": ID, "paymentId": PAYMENT_ID}, forged)
    if what == "U":
        return _answer(CANCEL, _result("U", "UNKNOWN_EXCEPTION"), forged)
    return _answer(CANCEL, _result("F", what), forged)


@functools.cache
def busy_answer() -> str:
    """An F that speaks of the inquiry, not of the payment."""
    return _answer(INQUIRY, _result("F", "PROCESS_FAIL"), False)


@functools.cache
def notification(payment: str, *, other: bool = False, forged: bool = False) -> str:
    """The event that the webhook gets."""
    kind = "PAYMENT_PENDING" if payment == "U" else "PAYMENT_RESULT"
    body = json.dumps({"notifyType": kind} | _result(*RESULTS[payment]) | _payment(other))
    headers = {
        "client-id": CLIENT_ID,
        "request-time": "0",
        "signature": _signature(NOTIFY_PATH, body, "alipay2" if forged else "alipay1"),
    }
    return json.dumps({"headers": headers, "body": body, "stageVariables": STAGE})


REFUND, INQUIRE_REFUND = (f"/ams/api/v1/payments/{name}" for name in ("refund", "inquiryRefund"))
REFUND_NOTIFY_PATH = "/v1/notifications/refund"
AMOUNT = "60"


def _refund(refund_id: str, other: bool) -> dict[str, Any]:
    return {
        "refundRequestId": refund_id,
        "refundId": f"{PAYMENT_ID}-{refund_id}",
        "refundAmount": {"currency": "HKD", "value": "1" if other else AMOUNT},
    }


@functools.cache
def refund_answer(refund_id: str, what: str, *, other: bool = False, forged: bool = False) -> str:
    """The answer to a refund: S, U, F, or the F of a repetition."""
    result = {
        "S": ("S", "SUCCESS"),
        "U": ("U", "REFUND_IN_PROCESS"),
        "F": ("F", "MERCHANT_BALANCE_NOT_ENOUGH"),
        "refused": ("F", "PROCESS_FAIL"),
    }[what]
    return _answer(REFUND, _result(*result) | (_refund(refund_id, other) if what == "S" else {}), forged)


@functools.cache
def refund_inquiry_answer(refund_id: str, refund: str | None, *, other: bool = False, forged: bool = False) -> str:
    """The answer to an inquiry while Alipay's ledger says `refund`: S, F, U or nothing."""
    if refund is None:
        return _answer(INQUIRE_REFUND, _result("F", "ORDER_NOT_EXIST"), forged)
    told: dict[str, Any] = {"refundStatus": {"S": "SUCCESS", "F": "FAIL", "U": "PROCESSING"}[refund]}
    return _answer(INQUIRE_REFUND, _result("S", "SUCCESS") | told | _refund(refund_id, other), forged)


@functools.cache
def refund_notification(refund_id: str, refund: str, *, other: bool = False, forged: bool = False) -> str:
    """The event that the webhook of refunds gets."""
    status = {"S": "SUCCESS", "F": "FAIL"}[refund]
    body = json.dumps(
        {"notifyType": "REFUND_RESULT", "refundStatus": status} | _result(refund, status) | _refund(refund_id, other)
    )
    signature = _signature(REFUND_NOTIFY_PATH, body, "alipay2" if forged else "alipay1")
    headers = {"client-id": CLIENT_ID, "request-time": "0", "signature": signature}
    return json.dumps({"headers": headers, "body": body, "stageVariables": STAGE})


def refund_event(refund_id: str) -> str:
    """The merchant asks for a refund."""
    body = json.dumps({"refundRequestId": refund_id, "refundAmount": {"currency": "HKD", "value": AMOUNT}})
    return json.dumps(
        {"headers": {}, "body": body, "pathParameters": {"paymentRequestId": ID}, "stageVariables": STAGE}
    )


STAGE = {"publicBaseUrl": "https://shop.example/v1"}
PAYMENT_EVENT = json.dumps({"headers": {}, "body": json.dumps(REQUEST), "stageVariables": STAGE})
CANCEL_EVENT = json.dumps(
    {"headers": {}, "body": "{}", "pathParameters": {"paymentRequestId": ID}, "stageVariables": STAGE}
)


def _answer(path: str, document: dict[str, Any], forged: bool) -> str:
    body = json.dumps(document)
    headers = {"client-id": CLIENT_ID, "response-time": "0"}
    if not forged:
        headers["signature"] = _signature(path, body, "alipay1")
    return json.dumps({"headers": headers, "body": body})


def _signature(path: str, body: str, key: str) -> str:
    content = f"POST {path}\n{CLIENT_ID}.0.{body}".encode()
    private_key: Any = load_der_private_key(base64.b64decode(KEYS[key]["pkcs8"]), None)
    signature = base64.b64encode(private_key.sign(content, PKCS1v15(), SHA256())).decode()
    return f"algorithm=RSA256,keyVersion=1,signature={quote(signature, safe='')}"
