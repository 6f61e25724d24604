"""The polling schedule and the promise that an INIT order is always going to be looked at again.

Every INIT order that may have reached Alipay carries `overdueAt`: the instant by which somebody must have looked.
Each look sets a new one; the sweep takes over every order that is past its own, whoever died.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

SENDING_S = 29
"""API Gateway hangs up after 29 s, and the function ends with it: an older attempt to send is no longer running.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""

GRACE_S = 60
"""How late a look may be before the sweep calls it overdue: the inquiry's own retries take about half a minute."""

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When a row whose schedule is spent is overdue: out of the sweep's view, still in the alarm's."""

INIT_ALARM_S = 15 * 60
"""Alipay's result is due after 1 minute, or after 14 as one page says: later than this a person should know.

https://docs.antom.com/ac/scantopay/pay
"""


DEFAULT_SCHEDULE = (5, 5, 8, 12, 12, 20, 120, 600, 600, 3600, 7200, 21600, 54000)
"""Seconds before each inquiry: through the minute an auto debit lives, then as long as Alipay itself goes on notifying.

The template's default is this one. https://docs.antom.com/ac/tokenized/practice asks for the first look after 3 to 5 s;
at 5 s most notified orders need no look but one. https://docs.antom.com/ac/ams/paymentrn_online has the notifications.
"""


def parse_schedule(text: str) -> tuple[int, ...]:
    """The waits between looks, in whole seconds, from `3,3,6`. Raises ValueError if it is no such list."""
    waits = tuple(int(wait) for wait in text.split(","))
    if any(wait < 3 for wait in waits):
        raise ValueError("waits are at least 3 s: Alipay asks for no more than one inquiry in 3 s")
    return waits


def next_wait(inquiries_made: int, schedule: Sequence[int]) -> int | None:
    """Seconds until the next inquiry; None when the schedule is spent and a person takes over."""
    return schedule[inquiries_made] if inquiries_made < len(schedule) else None


def execution_name(key: str, polling_round: int) -> str:
    """The name of the execution that polls the row of this key in this round: a second start finds the first.

    At most 64 characters, a hyphen and a number: within the 80 that Step Functions allows. Two rows never share
    one, since the round follows the last hyphen.
    """
    return f"{key}-{polling_round}"


def sending_overdue_at(attempted_at: datetime) -> datetime:
    """By when an order just attempted must have found a watcher: as soon as its POST can no longer be running."""
    return attempted_at + timedelta(seconds=SENDING_S + 1)


def next_look_at(
    overdue_at: datetime | None, attempted_at: datetime, look_at: datetime | None = None
) -> datetime | None:
    """When a row that waits for its result is looked at next, at the latest; None if nobody waits for it.

    `look_at` is what the last look said, if it said so.
    """
    if overdue_at is None or overdue_at == NEVER:
        return None
    due = look_at or overdue_at - timedelta(seconds=GRACE_S)
    return due if due > attempted_at else overdue_at


def overdue_at(now: datetime, wait_s: int) -> datetime:
    """From when the look after a wait of `wait_s` counts as overdue."""
    return now + timedelta(seconds=wait_s + GRACE_S)
