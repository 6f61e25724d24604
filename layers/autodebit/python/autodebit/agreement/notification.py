"""An authentic notifyAuthorization message, and the fields it must have.

Old samples of Alipay's pages have blanks at the ends of names and values, and call the result `resultInfo`.
https://docs.antom.com/ac/ams/notifyauth
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from autodebit.agreement.outcome import is_token
from autodebit.alipay.strict_json import JsonInvalid, parse_message, text_at
from autodebit.errors import NotificationMalformed

AUTH_STATE_MAX = 256
"""Characters."""


class Kind(StrEnum):
    """What is notified: a code to be exchanged, a token, or the end of a token."""

    AUTHCODE_CREATED = "AUTHCODE_CREATED"
    TOKEN_CREATED = "TOKEN_CREATED"  # noqa: S105  # nosec B105 (a type of notification, no token)
    TOKEN_CANCELED = "TOKEN_CANCELED"  # noqa: S105  # nosec B105


@dataclass(frozen=True, slots=True)
class Authorization:
    """One notification. `secret` is the authCode or the access token; `auth_state` is empty for TOKEN_CANCELED."""

    kind: Kind
    auth_state: str
    secret: str = field(repr=False)
    user_login_id: str | None
    succeeded: bool
    """Whether the result it carries, if any, is S. Only successes are notified."""


def parse_authorization(body: bytes) -> Authorization:
    """An authentic notifyAuthorization message. Raises NotificationMalformed, and quotes nothing of it."""
    try:
        message = _trimmed(parse_message(body))
    except JsonInvalid as error:
        raise NotificationMalformed(str(error)) from None
    name = text_at(message, "authorizationNotifyType")
    if name is None or name not in Kind:
        raise NotificationMalformed("authorizationNotifyType is not one of an authorization")
    kind = Kind(name)
    auth_state = "" if kind is Kind.TOKEN_CANCELED else text_at(message, "authState")
    if auth_state is None or len(auth_state) > AUTH_STATE_MAX or (not auth_state and kind is not Kind.TOKEN_CANCELED):
        raise NotificationMalformed(f"authState is missing or has more than {AUTH_STATE_MAX} characters")
    carried = "authCode" if kind is Kind.AUTHCODE_CREATED else "accessToken"
    secret = text_at(message, carried)
    if not is_token(secret):
        raise NotificationMalformed(f"{carried} is missing, is no string or has more than 128 characters")
    result = message.get("result", message.get("resultInfo"))
    return Authorization(
        kind,
        auth_state,
        secret,
        user_login_id=(text_at(message, "userLoginId") or "")[:64] or None,
        succeeded=result is None or text_at(result, "resultStatus") == "S",
    )


def _trimmed(value: Any) -> Any:
    """The value without blanks at the ends of names and texts. Raises JsonInvalid if two names become one."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return [_trimmed(item) for item in value]
    if not isinstance(value, dict):
        return value
    trimmed = {name.strip(): _trimmed(item) for name, item in value.items()}
    if len(trimmed) != len(value):
        raise JsonInvalid("names a field twice")
    return trimmed
