"""One agreement, and what Alipay says about it."""

from datetime import timedelta
from typing import Any

from autodebit.agreement.agreement import Agreement, Status, qr_code_expires_at

from .samples import NOW

Json = dict[str, Any]

AGREEMENT_ID = "agr-4711-1"
AUTH_STATE = f"{AGREEMENT_ID.encode().hex()}-00112233445566778899aabbccddeeff"
AUTH_CODE = "2810111301canaryAUTHCODE0000000000XXXX"
ACCESS_TOKEN = "281011130000000canary0ACCESS000000000000000000SAMPLE"
REFRESH_TOKEN = "281011130000000canary0REFRESH00000000000000000SAMPLE"
EXPIRES_AT = NOW + timedelta(days=730)


def agreement(**changes: Any) -> Agreement:
    """An agreement whose consult is under way; `changes` replace its fields."""
    fields: Json = {
        "agreement_id": AGREEMENT_ID,
        "status": Status.AUTHORIZING,
        "customer_belongs_to": "ALIPAY_HK",
        "created_at": NOW,
        "auth_state": AUTH_STATE,
        "expires_at": qr_code_expires_at(NOW),
        "attempt": "attempt",
        "attempted_at": NOW,
    }
    return Agreement(**fields | changes)


def linked(**changes: Any) -> Agreement:
    """The same once it is LINKED by a token that lives two years and can be refreshed."""
    fields: Json = {
        "status": Status.LINKED,
        "attempt": None,
        "access_token": b"sealed access token",
        "refresh_token": b"sealed refresh token",
        "token_expires_at": EXPIRES_AT,
        "linked_at": NOW,
        "due_at": EXPIRES_AT - timedelta(days=11),
    }
    return agreement(**fields | changes)


def result(status: str, code: str) -> Json:
    return {"result": {"resultStatus": status, "resultCode": code, "resultMessage": "-"}}


def consulted(**changes: Any) -> Json:
    """What consult answers."""
    details = [
        {"displayType": "TEXT", "codeValueType": "QRCODE", "codeValue": "https://qr.example-wallet.com/2810"},
        {"displayType": "MIDDLEIMAGE", "codeValueType": "QRCODE", "codeValue": "https://img.example-wallet.com/2810"},
    ]
    return result("S", "SUCCESS") | {"authCodeForm": {"codeDetails": details}} | changes


def applied(**changes: Any) -> Json:
    """What applyToken answers."""
    return (
        result("S", "SUCCESS")
        | {
            "accessToken": ACCESS_TOKEN,
            "accessTokenExpiryTime": "2038-01-01T00:00:00+08:00",
            "refreshToken": REFRESH_TOKEN,
            "refreshTokenExpiryTime": "2038-01-01T00:00:00+08:00",
            "userLoginId": "852-****1234",
        }
        | changes
    )


def code_created(**changes: Any) -> Json:
    """The notification that brings an authCode."""
    return (
        result("S", "SUCCESS")
        | {"authorizationNotifyType": "AUTHCODE_CREATED", "authState": AUTH_STATE, "authCode": AUTH_CODE}
        | changes
    )
