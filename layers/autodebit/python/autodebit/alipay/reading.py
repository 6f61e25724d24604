"""What an authentic message says: a final result, nothing final, or a contradiction.

The reader of each kind of row decides which of them it is (`payment.outcome`). Here is what the readers share.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autodebit.alipay.masking import kept
from autodebit.alipay.strict_json import text_at

TRAFFIC = "REQUEST_TRAFFIC_EXCEED_LIMIT"
"""With U: turned away for the load, the same call may come again after a pause."""


DEAD_TOKEN = "INVALID_ACCESS_TOKEN"  # noqa: S105  # nosec B105 (a result code, no token)
"""The code of a token that is expired, revoked or unknown. https://docs.antom.com/ac/ams/authrevocation"""


OF_THE_ACCOUNT = frozenset(
    {
        *("INVALID_SIGNATURE", "KEY_NOT_FOUND", "CLIENT_INVALID", "UNKNOWN_CLIENT", "INVALID_CLIENT_STATUS"),
        *("CLIENT_FORBIDDEN_ACCESS_API", "ACCESS_DENIED", "INVALID_API", "API_INVALID", "NO_INTERFACE_DEF"),
        *("METHOD_NOT_SUPPORTED", "MEDIA_TYPE_NOT_ACCEPTABLE", "PARAM_ILLEGAL", "SYSTEM_ERROR"),
    }
)
"""Codes with which Alipay turns away every call of a merchant until somebody mends the set-up: they say nothing about
what the call asks for. https://docs.antom.com/ac/ams/accesstokenapp
"""


@dataclass(frozen=True, slots=True)
class Final[Status: StrEnum]:
    """It has its result. `transaction_id` is Alipay's own id of it, `transaction_time` says when money moved."""

    status: Status
    result_code: str | None = None
    result_message: str | None = None
    transaction_id: str | None = None
    transaction_time: str | None = None

    def disputes(self, moved: bool, transaction_id: str | None) -> bool:
        """Whether it contradicts a result that is there already: money moved by one account, not by the other, or moved
        twice. Those after which nothing was moved agree.
        """
        says_moved = self.status == "SUCCESS"
        both_known = transaction_id is not None and self.transaction_id is not None
        return moved != says_moved or (moved and both_known and transaction_id != self.transaction_id)


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nothing final; `said` is what was heard, for the operator."""

    said: str
    call_again: bool = False
    """Alipay turned the call away for the load: the same bytes may be sent again after a pause."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """It speaks of another id, amount or currency than the row's, or reports a success without them."""

    said: str


type Reading[Status: StrEnum] = Final[Status] | Undecided | Contradiction


def result_of(message: dict[str, Any]) -> tuple[str, str]:
    """`resultStatus` and `resultCode` of a message, empty where they are missing."""
    status, code = text_at(message, "result", "resultStatus"), text_at(message, "result", "resultCode")
    return (status or "")[:8], (code or "")[:64]


def final[Status: StrEnum](
    status: Status,
    *,
    code: str | None,
    message: str | None,
    transaction_id: str | None,
    transaction_time: str | None,
    is_token: Callable[[str], bool],
) -> Final[Status]:
    """A final result in the lengths that are kept, its message masked. Empty texts count as missing."""
    return Final(
        status,
        result_code=code[:64] if code else None,
        result_message=kept(message, is_token),
        transaction_id=transaction_id[:64] if transaction_id else None,
        transaction_time=transaction_time[:64] if transaction_time else None,
    )
