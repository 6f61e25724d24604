"""Polling and sweep at 1,000 payments a second with Alipay dark for ten minutes, as a simulation of every order.

    .local/venvs/dev/bin/python -m local.bench.growth

The schedule, waits and overdue looks come from `autodebit.polling`, the sweep's pace from `autodebit.sweep`. The rest
is a simplified world in whole seconds: Alipay goes dark (every call fails at once) and comes back, Step Functions takes
as many starts a second as its quota allows, the sweep runs 55 s of every minute. Not in it: calls that hang, limits of
Lambda and of state transitions, and executions that die. That an order Alipay knows is settled at its next look is how
a look is modelled; the run finds out when, and how many coincide.

Half of the payments that meet the darkness reached Alipay before the answer was lost, and are paid; the other half
never arrived, which an inquiry after the return reports as ORDER_NOT_EXIST: they stay INIT, as they must.
"""

import os
import sys
from array import array
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "layers/autodebit/python"))
os.environ.setdefault("ORDERS_TABLE", "simulated")

from autodebit.polling import DEFAULT_SCHEDULE, next_wait, overdue_at, sending_overdue_at  # noqa: E402
from autodebit.sweep import STARTS_PER_S  # noqa: E402

PAYMENTS_PER_S = 1000
LEFT_OPEN = 0.05
"""Share of payments that pay leaves open in ordinary times, as in the cost's mix: 4 of 5 are notified within 5 s."""

DARK_FROM_S, DARK_S = 300, 600
UNTIL_S = 2700
SETTLED_WITHIN_S = 1800
SWEEP_EVERY_S, SWEEP_RUNS_S = 60, 55

_EPOCH = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(frozen=True)
class Quotas:
    """What Step Functions takes on."""

    name: str
    starts_per_s: float
    starts_at_once: float


@dataclass
class Result:
    """What became of the orders, and how many inquiries a second there were."""

    quotas: Quotas
    inquiries: Counter[int]
    closest_s: float
    unsettled_known: int
    longest_s: float
    never_watched: int
    swept: int
    open_at_return: int

    def peak(self, since: int, until: int) -> tuple[int, int]:
        """The second with the most inquiries, and how many."""
        second = max(range(since, until), key=lambda s: self.inquiries[s])
        return second, self.inquiries[second]

    def mean(self, since: int, until: int) -> float:
        return sum(self.inquiries[second] for second in range(since, until)) / (until - since)


def simulate(schedule: tuple[int, ...], quotas: Quotas) -> Result:
    """Second by second: payments arrive, executions look when they are due, the sweep takes on what is overdue."""
    # One entry an open order: when it was sent, whether Alipay knows it, when Alipay has its result, looks made.
    sent, known_at, looks, looked_at = array("l"), array("l"), array("b"), array("l")
    late_from = array("l")
    due: dict[int, list[int]] = {}
    waiting: deque[int] = deque()  # orders whose execution could not be started, by overdueAt
    inquiries: Counter[int] = Counter()
    tokens = quotas.starts_at_once
    closest, swept, longest = float("inf"), 0, 0.0
    settled = bytearray()
    back = DARK_FROM_S + DARK_S
    open_at_return = 0

    # The rules in whole seconds, asked once each.
    waits = [next_wait(made, schedule) for made in range(len(schedule) + 1)]
    sending = int((sending_overdue_at(_EPOCH) - _EPOCH).total_seconds())
    grace = [int((overdue_at(_EPOCH, wait) - _EPOCH).total_seconds()) if wait else None for wait in waits]

    def start(order: int, now: int) -> bool:
        nonlocal tokens
        if tokens < 1:
            return False
        tokens -= 1
        due.setdefault(now + (waits[0] or 0), []).append(order)
        return True

    def open_order(now: int, known: int) -> None:
        order = len(sent)
        sent.append(now)
        known_at.append(known)
        looks.append(0)
        looked_at.append(-1)
        settled.append(0)
        late_from.append(now + sending)
        if not start(order, now):
            waiting.append(order)

    def look(order: int, now: int) -> None:
        nonlocal closest, longest
        if settled[order]:
            return
        inquiries[now] += 1
        if looked_at[order] >= 0:
            closest = min(closest, now - looked_at[order])
        looked_at[order] = now
        looks[order] += 1
        dark = DARK_FROM_S <= now < back
        if not dark and 0 <= known_at[order] <= now:
            settled[order] = 1
            if sent[order] < back <= now:
                longest = max(longest, now - back)
            return
        wait = waits[looks[order]] if looks[order] < len(waits) else None
        if wait is None:
            return
        late_from[order] = now + (grace[looks[order]] or 0)
        due.setdefault(now + wait, []).append(order)

    for now in range(UNTIL_S):
        tokens = min(quotas.starts_at_once, tokens + quotas.starts_per_s)
        dark = DARK_FROM_S <= now < back
        if now == back:
            open_at_return = len(settled) - sum(settled)
        for number in range(PAYMENTS_PER_S if dark else int(PAYMENTS_PER_S * LEFT_OPEN)):
            if dark:
                open_order(now, now + 1 if number % 2 else -1)
            elif number % 5:
                open_order(now, -2)  # notified before its second look
            else:
                open_order(now, now + 60)
        for order in due.pop(now, []):
            if known_at[order] == -2:
                inquiries[now] += looks[order] == 0
                if looks[order] == 0:
                    looks[order] = 1
                    settled[order] = 1
                continue
            look(order, now)
        if now % SWEEP_EVERY_S < SWEEP_RUNS_S:
            taken = 0
            while waiting and late_from[waiting[0]] <= now and taken < STARTS_PER_S:
                if not start(waiting[0], now):
                    break
                waiting.popleft()
                taken += 1
            swept += taken
    known = sum(1 for order in range(len(sent)) if known_at[order] >= 0 and sent[order] < back and not settled[order])
    return Result(quotas, inquiries, closest, known, longest, len(waiting), swept, open_at_return)


QUOTAS = (
    Quotas("as docs/growth.md asks for", 2000, 2000),
    Quotas("the default of us-east-1", 300, 1300),
)


def main() -> int:
    schedule = DEFAULT_SCHEDULE
    back = DARK_FROM_S + DARK_S
    print(f"{PAYMENTS_PER_S} payments/s, {LEFT_OPEN:.0%} left open; Alipay dark from {DARK_FROM_S} s for {DARK_S} s")
    print(f"schedule {', '.join(map(str, schedule))}")
    print(f"the schedule itself gives {in_the_dark(schedule)} inquiries a second: one for each look within the dark")
    right = True
    for quotas in QUOTAS:
        result = simulate(schedule, quotas)
        dark_at, dark_peak = result.peak(DARK_FROM_S, back)
        back_at, back_peak = result.peak(back, UNTIL_S)
        print(
            f"\nStarts of executions: {quotas.starts_per_s:.0f} a second, {quotas.name}\n"
            f"  inquiries a second: {result.mean(100, DARK_FROM_S):.0f} before; "
            f"peak in the dark {dark_peak} at +{dark_at - DARK_FROM_S} s; peak after the return {back_peak} "
            f"at +{back_at - back} s\n"
            f"  open at the return: {result.open_at_return}; of those that Alipay knows open after "
            f"{(UNTIL_S - back) // 60} minutes: {result.unsettled_known}\n"
            f"  last settled {result.longest_s:.0f} s after the return; closest two inquiries of one order "
            f"{result.closest_s:.0f} s\n"
            f"  taken on by the sweep: {result.swept}; still waiting for it: {result.never_watched}"
        )
        right &= result.closest_s >= min(schedule) and back_peak <= dark_peak <= in_the_dark(schedule)
        right &= result.unsettled_known == 0 and result.never_watched == 0 and result.longest_s <= SETTLED_WITHIN_S
    print("\nok" if right else "\nFALLS SHORT")
    return 0 if right else 1


def in_the_dark(schedule: tuple[int, ...]) -> int:
    """Inquiries a second that the schedule gives by itself: one for each look of an order within the dark."""
    looks = sum(sent_before < DARK_S for sent_before in accumulate(schedule))
    return PAYMENTS_PER_S * looks


if __name__ == "__main__":
    sys.exit(main())
