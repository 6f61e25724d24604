"""When an agreement is looked at again: inside the minute of an authCode, and long before a token ends.

Pure: the time is an argument.
"""

import zlib
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Any

from autodebit.agreement.agreement import Agreement, Status
from autodebit.instants import whole_second_text

EXCHANGE_S = 55
"""The last call of applyToken begins within this time of the authCode's arrival: the code lives a minute.

https://docs.antom.com/ac/scantopay/authorization
"""

EXCHANGE_WAITS = (1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5, 5)
"""Seconds after each look while the code is exchanged; the last look comes when EXCHANGE_S have passed."""

EXCHANGE_GRACE_S = 5
"""How late a look may be before the sweep takes the exchange over: it has no minute to lose."""

CODE_LOOKS = 5
"""Looks, a second apart, for an authCode that was announced: polling is started before the code is stored."""

ATTEMPT_S = 20
"""An attempt older than this is dead: its call ended by its time limit, and what it brought is stored, or lost with who
made it. It is counted from just before the call.
"""

REVOKE_AGAIN_S = 24 * 3600
"""After a spent schedule a revocation is taken on again once a day, until Alipay answers."""

EXPIRING = timedelta(days=30)
"""So long before its end an agreement that cannot be refreshed is told."""

REFRESH_LATEST = EXPIRING + timedelta(days=1)
"""A token is first refreshed at the latest so long before it expires: a wallet that refuses is to be told in time.

Alipay asks for 10 days. https://docs.antom.com/ac/autodebitpay/refresh_accesstoken
"""

REFRESH_SPREAD = timedelta(days=14)
"""Tokens that expire on one day are refreshed over so many."""

REFRESH_AGAIN = timedelta(days=1)
"""The least time between a refresh that was answered and the next: for wallets whose tokens live for a month only, and
for those that answer with no later end.
"""

LAST_DAYS = timedelta(days=10)
"""With less than this left, an agreement that no refresh has prolonged is told, too, whatever the refreshes came to."""


class Due(StrEnum):
    """What is to be done about a LINKED agreement."""

    NOTHING = "nothing"
    REFRESH = "refresh"
    TELL = "tell"
    END = "end"


def next_exchange_wait(looks_made: int, received_at: datetime, now: datetime) -> int | None:
    """Seconds until the next look at an agreement whose code is exchanged; None when the looks of a round are spent."""
    left = EXCHANGE_S - (now - received_at).total_seconds()
    if looks_made > len(EXCHANGE_WAITS):
        return None
    if looks_made == len(EXCHANGE_WAITS):
        return max(1, ceil(left))
    return max(1, min(EXCHANGE_WAITS[looks_made], ceil(left)))


def wait(agreement: Agreement, wait_s: int, now: datetime) -> dict[str, Any]:
    """What the state machine reads of a wait: an instant in the minute of an authCode, else seconds.

    INQUIRY_TIME_SCALE, which makes the local stack's waits short, leaves instants alone: the minute is a real one.
    """
    if agreement.status is Status.UNLINKING:
        return {"waitSeconds": wait_s}
    return {"waitUntil": whole_second_text(now + timedelta(seconds=wait_s))}


def exchange_is_over(received_at: datetime, now: datetime) -> bool:
    """Whether it is too late to call applyToken with this code."""
    return (now - received_at).total_seconds() >= EXCHANGE_S


def exchange_overdue_at(now: datetime, wait_s: int) -> datetime:
    """From when the look after a wait of `wait_s` counts as overdue."""
    return now + timedelta(seconds=wait_s + EXCHANGE_GRACE_S)


def is_dead(agreement: Agreement, now: datetime) -> bool:
    """Whether no attempt to call Alipay about this agreement can be running."""
    return agreement.attempt is None or (now - agreement.attempted_at).total_seconds() > ATTEMPT_S


def due(agreement: Agreement, now: datetime) -> Due:
    """What is to be done about it now."""
    if agreement.status is not Status.LINKED or agreement.due_at is None or now < agreement.due_at:
        return Due.NOTHING
    if agreement.is_token_over(now):
        return Due.END
    if _is_refreshable(agreement):
        return Due.REFRESH
    return Due.NOTHING if agreement.expiring_told else Due.TELL


def is_ending(agreement: Agreement, now: datetime) -> bool:
    """Whether its last days have begun and nobody was told."""
    expires_at = agreement.token_expires_at
    if agreement.status is not Status.LINKED or expires_at is None or agreement.expiring_told:
        return False
    return expires_at - LAST_DAYS <= now < expires_at


def refresh_at(agreement_id: str, expires_at: datetime) -> datetime:
    """When a token that has a refresh token is refreshed. Each agreement has its own share of the spread."""
    share = zlib.crc32(agreement_id.encode()) / 2**32
    return expires_at - REFRESH_LATEST - REFRESH_SPREAD * share


def refresh_again_at(agreement_id: str, expires_at: datetime, now: datetime) -> datetime:
    """When a token that was refreshed `now` is refreshed again, or its end noted."""
    return min(max(refresh_at(agreement_id, expires_at), now + REFRESH_AGAIN), expires_at)


def due_once_told(agreement: Agreement) -> datetime | None:
    """When something is to be done about an agreement whose end is told: the refreshes go on, or next is the end."""
    return agreement.due_at if _is_refreshable(agreement) else agreement.token_expires_at


def first_due_at(agreement_id: str, expires_at: datetime | None, *, refreshable: bool) -> datetime | None:
    """When something is to be done about an agreement that was just linked or refreshed; None if its end is unknown."""
    if expires_at is None:
        return None
    return refresh_at(agreement_id, expires_at) if refreshable else expires_at - EXPIRING


def _is_refreshable(agreement: Agreement) -> bool:
    return agreement.refresh_token is not None and agreement.refresh_refused is None
