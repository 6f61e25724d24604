"""PynamoDB as this bundle uses it: its timeouts, its errors in our own words, and how instants are stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pynamodb.connection.base
from pynamodb.exceptions import DoesNotExist, PynamoDBException

from autodebit import aws
from autodebit.errors import TableFault
from autodebit.instants import utc_text

# PynamoDB takes no session: it asks botocore for one, by this name.
pynamodb.connection.base.get_session = aws.session  # type: ignore[attr-defined]


class Timeouts:
    """The base of each model's Meta.

    PynamoDB's own let one hung call last two minutes. With these both tries of a call end within 4 s, which is what is
    left of API Gateway's 29 s when 25 s went into a call to Alipay.
    """

    connect_timeout_seconds = 0.4
    read_timeout_seconds = 1.5
    max_retry_attempts = 1


class ConditionFailed(Exception):
    """The condition of a write did not hold."""


@contextmanager
def table_faults() -> Iterator[None]:
    """Raise PynamoDB's errors as ConditionFailed or TableFault; DoesNotExist stays what it is."""
    try:
        yield
    except DoesNotExist:
        raise
    except PynamoDBException as error:
        # PynamoDB's own cause_response_code fails on botocore's read timeouts, whose response is None.
        response = getattr(error.cause, "response", None) or {}
        code = response.get("Error", {}).get("Code") or type(error.cause).__name__
        if code == "ConditionalCheckFailedException":
            raise ConditionFailed from error
        raise TableFault(f"{type(error).__name__} {code}") from error


def stored_instant(instant: datetime) -> str:
    """An instant as rows hold it: UTC, milliseconds, fixed width."""
    return utc_text(instant, "milliseconds")


def stored_if_any(instant: datetime | None) -> str | None:
    """The same, of an instant that may be missing."""
    return None if instant is None else stored_instant(instant)


def read_instant(text: str | None) -> datetime | None:
    """The instant that a row holds, if it holds one."""
    return datetime.fromisoformat(text) if text else None
