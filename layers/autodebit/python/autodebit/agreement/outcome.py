"""What an authentic answer says about an agreement. One reader for each call.

They know no clock, no network and no table; whether an answer is authentic was decided before (`alipay.signature`).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeGuard

from autodebit.agreement.agreement import QrCode
from autodebit.alipay.masking import kept
from autodebit.alipay.reading import DEAD_TOKEN, Undecided, result_of
from autodebit.alipay.strict_json import text_at
from autodebit.instants import told_instant

TOKEN_MAX = 128
"""Characters of an authCode, an access token or a refresh token."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What debits the buyer, and what refreshes it. Times are aware UTC."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    user_login_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A signed F: the answer is no."""

    code: str
    message: str | None = None
    """What Alipay said to a consult, masked."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """The authorization is over at Alipay; `code` is INVALID_ACCESS_TOKEN if it was before."""

    code: str | None = None


def read_consult(answer: dict[str, Any]) -> QrCode | Refused | Undecided:
    """What the answer of `consult` says. https://docs.antom.com/ac/ams/authconsult"""
    status, code = result_of(answer)
    if status == "F":
        # Consult carries no token: only what looks like one is masked.
        return Refused(code, kept(text_at(answer, "result", "resultMessage"), lambda piece: False))
    if status != "S":
        return Undecided(f"consult {status}/{code}")
    form = answer.get("authCodeForm")
    details = form.get("codeDetails") if isinstance(form, dict) else None
    text = image_url = None
    for detail in details if isinstance(details, list) else []:
        kind, value = text_at(detail, "displayType"), text_at(detail, "codeValue")
        if not value or len(value) > 2048 or text_at(detail, "codeValueType") == "BARCODE":
            continue
        if kind == "TEXT":
            text = text or value
        elif kind and kind.endswith("IMAGE"):
            image_url = image_url or value
    if text is None and image_url is None:
        return Undecided("consult S without a QR code")
    return QrCode(text, image_url)


def read_tokens(answer: dict[str, Any]) -> Tokens | Refused | Undecided:
    """What the answer of `applyToken` says. An S without a usable token links nothing.

    https://docs.antom.com/ac/ams/accesstokenapp
    """
    status, code = result_of(answer)
    if status == "F":
        return Refused(code)
    if status != "S":
        return Undecided(f"applyToken {status}/{code}")
    access_token, refresh_token = text_at(answer, "accessToken"), text_at(answer, "refreshToken")
    if not is_token(access_token):
        return Undecided("applyToken S without a usable accessToken")
    expires_at = told_instant(text_at(answer, "accessTokenExpiryTime"))
    return Tokens(
        access_token,
        refresh_token if is_token(refresh_token) else None,
        expires_at.astimezone(UTC) if expires_at else None,
        (text_at(answer, "userLoginId") or "")[:64] or None,
    )


def read_revoke(answer: dict[str, Any]) -> Revoked | Undecided:
    """What the answer of `revoke` says; another F than that of a dead token leaves it to the next try.

    https://docs.antom.com/ac/ams/authrevocation
    """
    status, code = result_of(answer)
    if status == "S":
        return Revoked()
    if (status, code) == ("F", DEAD_TOKEN):
        return Revoked(code)
    return Undecided(f"revoke {status}/{code}")


def is_token(text: str | None) -> TypeGuard[str]:
    """Whether this can be an authCode or a token."""
    return text is not None and len(text.strip()) > 0 and len(text) <= TOKEN_MAX
