"""The calls about an authorization and their bodies; consult, which begins it, is in `agreement.request`."""

import time
from typing import Any

from autodebit import telemetry
from autodebit.agreement.agreement import Agreement
from autodebit.alipay.gateway import TIMEOUT_S, AlipayGateway
from autodebit.alipay.strict_json import canonical
from autodebit.errors import GatewayError


def call(gateway: AlipayGateway, api: str, body: bytes) -> dict[str, Any]:
    """What Alipay answers to a call about an authorization. Raises GatewayError, and counts it."""
    try:
        return gateway.call(f"authorizations/{api}", body, time.monotonic() + TIMEOUT_S)
    except GatewayError as error:
        telemetry.call_failed(api, error)
        raise


def exchange_body(agreement: Agreement, auth_code: str) -> bytes:
    """https://docs.antom.com/ac/ams/accesstokenapp"""
    return canonical(
        {"grantType": "AUTHORIZATION_CODE", "customerBelongsTo": agreement.customer_belongs_to, "authCode": auth_code}
        | _account(agreement)
    )


def refresh_body(agreement: Agreement, refresh_token: str) -> bytes:
    """https://docs.antom.com/ac/ams/accesstokenapp"""
    return canonical(
        {
            "grantType": "REFRESH_TOKEN",
            "customerBelongsTo": agreement.customer_belongs_to,
            "refreshToken": refresh_token,
        }
        | _account(agreement)
    )


def revoke_body(agreement: Agreement, access_token: str) -> bytes:
    """https://docs.antom.com/ac/ams/authrevocation"""
    account = _account(agreement)
    return canonical({"accessToken": access_token} | {n: v for n, v in account.items() if n == "merchantAccountId"})


def _account(agreement: Agreement) -> dict[str, str]:
    """What names the merchant's account, as consult did."""
    fields = {"merchantRegion": agreement.merchant_region, "merchantAccountId": agreement.merchant_account_id}
    return {name: value for name, value in fields.items() if value is not None}
