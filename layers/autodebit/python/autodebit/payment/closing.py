"""Closing: an order without a result is cancelled at Alipay, so that every payment comes to an end.

When, and what a look has to do for it. docs/decisions/closing.md has the reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from autodebit.alipay.reading import Reading
from autodebit.instants import ALIPAY_DAY
from autodebit.payment.expiry import EXPIRY_MAX_S
from autodebit.payment.order import Order, Status
from autodebit.payment.outcome import Absent, Present
from autodebit.polling import NEVER, next_wait, overdue_at

CLOSE_BY = time(0, 14, tzinfo=ALIPAY_DAY)
"""On the day after the payment. A payment cannot be cancelled from 00:15 on: https://docs.antom.com/ac/tokenized/cancel"""

CANCEL_EVERY_S = 6
"""A cancel without an answer is repeated every 5 to 10 s: https://docs.antom.com/ac/ams_upm/bp"""

CANCEL_UNDER_WAY_S = 12
"""An attempt that began longer ago has ended: its call is given no more than 10 s, note and all."""

CANCELS_MAX = 10
"""Cancels in a row without an answer, which take a minute; after that one with each look."""

ABSENCES_MIN = 3
"""If so many inquiries find nothing, ABSENT_EVERY_S apart, the payment was never placed:
https://docs.antom.com/ac/ams/paymentri_online
"""

ABSENT_EVERY_S = 15

ABSENCE_LOST_S = 30
"""If no other absence follows one for so long, inquiries say something else, and the schedule goes on."""

LOOK_EVERY_MIN_S = 3
"""Between two inquiries of one payment."""

CLOSE_GRACE_S = 5
"""How late the look at the close time may be before the sweep, which comes every minute, takes the order over."""

ORDER_NOT_EXIST = "ORDER_NOT_EXIST"

PASSING_REFUSALS = frozenset({"MERCHANT_BALANCE_NOT_ENOUGH"})
"""Refusals after which the same cancel may be accepted later: https://docs.antom.com/ac/ams/paymentc_online"""


def close_time(order: Order, close_after_s: int) -> datetime | None:
    """When the order is closed if it has no result by then; None if `close_after_s` is 0: never by itself."""
    if close_after_s == 0:
        return None
    # An order that had not left is sent later than it was created, but no more than a minute before it expires.
    began = max(order.created_at, order.expires_at - timedelta(seconds=EXPIRY_MAX_S))
    last = datetime.combine(began.astimezone(ALIPAY_DAY).date() + timedelta(days=1), CLOSE_BY)
    return min(order.expires_at + timedelta(seconds=close_after_s), last)


def cancel_due(order: Order, now: datetime, close_at: datetime | None) -> bool:
    """Whether a look that found no result has to send the cancel: one is noted, or the order is to be closed."""
    if order.cancel_requested_at is not None:
        return True
    if close_at is None or now < close_at:
        return False
    if not _refused_since(order, close_at) or order.cancel_code in PASSING_REFUSALS:
        return True
    # Alipay may have come to know the payment since it refused.
    return order.cancel_code == ORDER_NOT_EXIST and order.absences == 0


def is_under_way(order: Order, now: datetime) -> bool:
    """Whether an attempt to cancel may still be waiting for Alipay's answer."""
    ends_at = _attempt_ends_at(order)
    return ends_at is not None and now < ends_at


def never_placed(order: Order, close_at: datetime | None) -> bool:
    """Whether it is proved that the payment never reached Alipay, and never will."""
    return _absent_at_close(order, close_at) and order.absences >= ABSENCES_MIN


@dataclass(frozen=True, slots=True)
class CancelSent:
    """The cancel that a look sent: how long its answer took, and whether it was the first refusal since the close."""

    took_s: int
    refused_anew: bool


def cancel_sent(before: Order, after: Order, close_at: datetime | None, took_s: float) -> CancelSent:
    """What sending the cancel made of the order `before`."""
    refused = after.is_init and after.cancel_requested_at is None
    return CancelSent(int(took_s), refused and not (close_at is not None and _refused_since(before, close_at)))


def is_unresolved(
    order: Order, now: datetime, close_at: datetime | None, cancels: int, sent: CancelSent | None, *, scheduled: bool
) -> bool:
    """Whether closing has failed so far: it was refused, or `cancels` calls in a row brought no answer.

    After the first refusal the next look comes first: an inquiry may say why. One for ORDER_NOT_EXIST has not failed
    while inquiries go on to find nothing. An order that is never closed by itself has until the end of its schedule.
    """
    if close_at is None:
        return order.cancel_requested_at is not None and not scheduled
    if now < close_at:
        return False
    if order.cancel_requested_at is not None:
        return cancels >= CANCELS_MAX
    refused = _refused_since(order, close_at) and not _is_being_proved_absent(order, now, close_at)
    return refused and not (sent is not None and sent.refused_anew)


def absences(order: Order, reading: Reading[Status], asked_at: datetime, now: datetime) -> tuple[int, datetime | None]:
    """`absences` and `absent_at` of the order after an inquiry of `asked_at` was read at `now`."""
    if isinstance(reading, Present):
        return 0, None
    if not isinstance(reading, Absent) or asked_at <= order.expires_at:
        return order.absences, order.absent_at
    if order.absent_at is not None and asked_at - order.absent_at < timedelta(seconds=ABSENT_EVERY_S):
        return order.absences, order.absent_at
    return order.absences + 1, now


@dataclass(frozen=True, slots=True)
class NextLook:
    """When to look next: after `wait_s`, or at the instant `at`; neither: no more.

    `additional`: the schedule's next look comes after it.
    """

    wait_s: int | None = None
    at: datetime | None = None
    additional: bool = False


def next_look(
    order: Order,
    now: datetime,
    close_at: datetime | None,
    schedule: Sequence[int],
    looks: int,
    cancels: int,
    sent: CancelSent | None = None,
) -> NextLook:
    """When to look after a look that left the order INIT, the `looks`th of the schedule.

    `cancels` is how many cancels in a row brought no answer, `sent` the one that this look sent.
    """
    scheduled_s = next_wait(looks, schedule)
    at = close_at if close_at is not None and now < close_at else None
    if order.cancel_requested_at is not None:
        if sent is None and (ends_at := _attempt_ends_at(order)) is not None:
            # Another's cancel is under way: what it heard is in the row by then.
            return NextLook(at=max(ends_at, now + timedelta(seconds=LOOK_EVERY_MIN_S)), additional=True)
        if cancels < CANCELS_MAX:
            return NextLook(max(1, CANCEL_EVERY_S - (sent.took_s if sent else 0)), additional=True)
        if scheduled_s is None and at is None:
            return NextLook(schedule[-1], additional=True)
    elif order.absent_at is not None and _is_being_proved_absent(order, now, close_at):
        at = order.absent_at + timedelta(seconds=ABSENT_EVERY_S)
    elif sent is not None and sent.refused_anew:
        # A success that crossed the cancel counts from now on.
        return NextLook(CANCEL_EVERY_S, additional=True)
    if at is not None:
        at = max(at, now + timedelta(seconds=LOOK_EVERY_MIN_S))
        if scheduled_s is None or at < now + timedelta(seconds=scheduled_s):
            return NextLook(at=at, additional=True)
    return NextLook(scheduled_s)


def look_at(look: NextLook, now: datetime) -> datetime | None:
    """The instant of a look."""
    return look.at if look.wait_s is None else now + timedelta(seconds=look.wait_s)


def overdue_from(look: NextLook, now: datetime, close_at: datetime | None) -> datetime:
    """By when somebody must have looked: soon after the close time, and otherwise with the usual grace."""
    if look.at is not None:
        return look.at + timedelta(seconds=CLOSE_GRACE_S)
    if look.wait_s is None:
        return NEVER
    late = overdue_at(now, look.wait_s)
    if close_at is None or now >= close_at:
        return late
    return min(late, max(close_at, now + timedelta(seconds=look.wait_s)) + timedelta(seconds=CLOSE_GRACE_S))


def _attempt_ends_at(order: Order) -> datetime | None:
    """By when the attempt to cancel that has begun has ended; None if none has."""
    began = order.cancel_attempted_at
    return None if began is None else began + timedelta(seconds=CANCEL_UNDER_WAY_S)


def _refused_since(order: Order, close_at: datetime) -> bool:
    return order.cancel_refused_at is not None and order.cancel_refused_at >= close_at


def _is_being_proved_absent(order: Order, now: datetime, close_at: datetime | None) -> bool:
    """Whether inquiries find nothing since the cancel found nothing, or have just begun to say something else."""
    lost_at = None if order.absent_at is None else order.absent_at + timedelta(seconds=ABSENCE_LOST_S)
    return _absent_at_close(order, close_at) and lost_at is not None and now < lost_at


def _absent_at_close(order: Order, close_at: datetime | None) -> bool:
    return close_at is not None and _refused_since(order, close_at) and order.cancel_code == ORDER_NOT_EXIST
