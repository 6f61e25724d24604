"""Finding the schedules: all of them up to equivalence, or some at random; and executing one."""

import hashlib
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from .product import Product
from .refunds import RefundBounds
from .world import Bounds, State, Violation, is_fault

PAIRS = [
    Bounds(*counts, faults=1, later=1)
    for counts in (
        (2, 0, 0, 0),
        (1, 1, 0, 0),
        (1, 0, 1, 0),
        (1, 0, 0, 1),
        (1, 2, 0, 0),
        (1, 1, 1, 0),
        (1, 1, 0, 1),
        (1, 0, 2, 0),
        (1, 0, 1, 1),
        (1, 0, 0, 2),
    )
]
"""Every pair of handlers with one fault; a payment begins with an initiation, which may be the third."""

FULL = Bounds(initiate=2, notify=2, look=2, faults=2, plain=True)
"""Two of everything, and two crashes or lost answers."""

MORE = [
    Bounds(initiate=2, notify=2, look=2, faults=1, later=1, plain=True),
    Bounds(initiate=2, faults=2, later=2),
    Bounds(initiate=2, notify=2, faults=2),
    Bounds(initiate=2, notify=1, look=1, faults=1, later=1),
    Bounds(initiate=1, notify=1, look=1, sweep=1, faults=2, later=1),
]
"""With faults of every kind, with time that passes, and with the sweep."""

CLOSING = [
    Bounds(initiate=1, notify=1, cancel=1, faults=2, plain=True, closes=True),
    Bounds(initiate=1, notify=1, look=1, cancel=1, faults=1, closes=True),
    Bounds(initiate=1, notify=1, look=2, faults=1, closes=True),
    Bounds(initiate=2, cancel=1, faults=1, closes=True),
    Bounds(initiate=1, cancel=2, faults=1, later=1, closes=True),
]
"""With a cancel by the merchant, and with looks that close."""

REFUNDS = [
    RefundBounds(first=1, second=1, look=2, notify=1, faults=1),
    RefundBounds(first=2, faults=2, later=1),
]
"""Two refunds of which the payment bears one, and a refund that is asked for again."""

ALL = Bounds(initiate=2, notify=2, look=2, sweep=1, faults=2, later=1)
"""Everything together: from within these bounds schedules are taken by chance."""

ALL_CLOSING = ALL._replace(cancel=1, closes=True)
ALL_REFUNDS = RefundBounds(first=2, second=1, notify=2, look=2, faults=2, later=1)
"""The same for closing, and for refunds."""

RARE = 0.1
"""How often a schedule by chance takes a fault where there is one to take."""

END = "end"
"""Followed by what Alipay decides then: the quiet time in which everything has to be settled."""

Schedule = tuple[str, ...]
AnyBounds = Bounds | RefundBounds


class Broken(NamedTuple):
    """A schedule in which a rule did not hold."""

    rule: str
    bounds: AnyBounds
    schedule: Schedule
    detail: str

    def __str__(self) -> str:
        return f"{self.detail}\n  --replay '{written(self.bounds, self.schedule)}'"


class Search(NamedTuple):
    """What a search came to: classes of schedules by where they lead, steps between them, ends, and the first break."""

    classes: int
    steps: int
    ends: int
    broken: Broken | None


def written(bounds: AnyBounds, schedule: Schedule) -> str:
    """As `initiate=1,faults=1 +initiate initiate1:! end:S`."""
    usual = type(bounds)()._asdict()
    told = ",".join(f"{name}={int(bound)}" for name, bound in bounds._asdict().items() if bound != usual[name])
    return " ".join([told, *(decision.replace(" ", "@") for decision in schedule)])


def read(text: str) -> tuple[AnyBounds, Schedule]:
    """What was written so."""
    told, *schedule = text.split()
    bounds: dict[str, Any] = {name: int(bound) for name, _, bound in (each.partition("=") for each in told.split(","))}
    bounds |= {name: bool(bounds[name]) for name in ("plain", "closes") if name in bounds}
    kind = RefundBounds if "first" in bounds else Bounds
    return kind(**bounds), tuple(decision.replace("@", " ") for decision in schedule)


def exhaust(product: Product, bounds: AnyBounds, most: int | None = None) -> Search:
    """Every schedule within the bounds, up to equivalence, until one breaks a rule.

    Two schedules that lead to the same state (what is stored, where every invocation stands, what is under way) have
    the same future, so that one of them is followed. `most` stops after that many classes.
    """
    world: Any = bounds.world(product.remembered)
    # Decisions are kept as a chain: most states are never reported.
    nothing, first = world.first()
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(world.take(nothing, first), ((), first))]
    seen = {hash(waiting[0][0])}
    steps = ends = 0
    while waiting and (most is None or len(seen) < most):
        state, chain = waiting.pop()
        decision = ""
        try:
            for decision in world.ends(state):
                ends += 1
                for _ in world.rest(state, decision.removeprefix(f"{END}:")):
                    pass
            for decision in world.choices(state):
                steps += 1
                after = world.take(state, decision)
                if (known := hash(after)) not in seen:
                    seen.add(known)
                    waiting.append((after, (chain, decision)))
        except Violation as violation:
            broken = Broken(violation.rule, bounds, (*_unchained(chain), decision), str(violation))
            return Search(len(seen), steps, ends, broken)
    return Search(len(seen), steps, ends, None)


def _unchained(chain: tuple[Any, ...]) -> Schedule:
    decisions = []
    while chain:
        chain, decision = chain
        decisions.append(decision)
    return tuple(reversed(decisions))


def execute_by_chance(product: Product, bounds: AnyBounds, chance: random.Random) -> tuple[Schedule, Violation | None]:
    """Run the handlers for as long as there is something to do, each step by chance: the schedule, and what broke."""
    world: Any = bounds.world(product.live)
    state, first = world.first()
    schedule = [first]
    try:
        state = world.take(state, first)
        while choices := world.choices(state):
            well = [decision for decision in choices if not is_fault(decision)]
            schedule.append(chance.choice(well if well and chance.random() > RARE else choices))
            state = world.take(state, schedule[-1])
        schedule.append(chance.choice(world.ends(state)))
        for _ in _rest(product, bounds, state, schedule[-1]):
            pass
    except Violation as violation:
        return tuple(schedule), violation
    return tuple(schedule), None


def _rest(product: Product, bounds: AnyBounds, state: State, end: str) -> Iterator[tuple[str, State]]:
    """The quiet time. It begins with nothing that runs, so that nothing can differ: what is remembered will do."""
    return bounds.world(product.remembered).rest(state, end.removeprefix(f"{END}:"))


def execute(product: Product, bounds: AnyBounds, schedule: Schedule) -> Iterator[tuple[str, State]]:
    """Run the handlers along a schedule, from the start: each decision with the state after it. Raises Violation."""
    world: Any = bounds.world(product.live)
    state: Any = world.first()[0]
    for decision in schedule:
        if decision.startswith(END):
            yield from _rest(product, bounds, state, decision)
        else:
            state = world.take(state, decision)
            yield decision, state


def execute_some(product: Product, bounds: AnyBounds, seed: int, number: int) -> tuple[set[str], Broken | None]:
    """Execute so many schedules by chance: which they were, shortened to digests, and the first that breaks a rule."""
    chance, digests = random.Random(seed), set()
    for _ in range(number):
        schedule, violation = execute_by_chance(product, bounds, chance)
        digests.add(hashlib.blake2b(written(bounds, schedule).encode(), digest_size=8).hexdigest())
        if violation:
            return digests, Broken(violation.rule, bounds, schedule, str(violation))
    return digests, None
