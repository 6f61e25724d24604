"""A day at Alipay and here, and sixty ways in which the two may differ. Shares no code with what compares them."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from tests.rules.reconciliation.alipay_files import Transaction

DECIMALS = {"HKD": 2, "JPY": 0, "IDR": 2, "KRW": 0, "USD": 2}
TODAY = "2026-11-22"


NEXT = 900_000
"""Numbers from here on are free for what differs."""


@dataclass
class Record:
    """An order or refund as the shop has it; `minor` is in minor units."""

    type: str
    request_id: str
    payment_request_id: str
    payment_id: str
    refund_id: str
    currency: str
    minor: int
    status: str = "SUCCESS"
    day: str = TODAY


@dataclass
class World:
    """Both sides of one day."""

    there: list[Transaction] = field(default_factory=list)
    here: list[Record] = field(default_factory=list)
    taken: int = NEXT

    def free(self) -> int:
        """A number that nothing has, and whose next one nothing has either."""
        self.taken += 2
        return self.taken - 2

    def pay(self, number: int, currency: str, minor: int, *, there: bool = True, here: bool = True) -> int:
        """A payment that both sides know, or one of them; its place in `there` or `here`."""
        request_id, payment_id = f"ord-{number:09d}", f"202611221940108001001888{number:09d}"
        if there:
            self.there.append(Transaction("PAYMENT", request_id, payment_id, major(minor, currency), currency))
        if here:
            self.here.append(Record("PAYMENT", request_id, request_id, payment_id, "", currency, minor))
        return number

    def refund(self, number: int, of: int, currency: str, minor: int, *, there: bool = True, here: bool = True) -> int:
        """A refund of the payment `of`."""
        request_id, payment_id = f"ord-{of:09d}", f"202611221940108001001888{of:09d}"
        refund_request_id, refund_id = f"ref-{number:09d}", f"202611221940108002001888{number:09d}"
        if there:
            value = major(minor, currency)
            self.there.append(
                Transaction(
                    *("REFUND", request_id, payment_id, value, currency),
                    refund_request_id=refund_request_id,
                    refund_id=refund_id,
                )
            )
        if here:
            self.here.append(Record("REFUND", refund_request_id, request_id, payment_id, refund_id, currency, minor))
        return number

    def line(self, type_: str, number: int) -> Transaction:
        """The transaction of a payment or refund there."""
        name = f"{'ref' if type_ == 'REFUND' else 'ord'}-{number:09d}"
        return next(
            one for one in self.there if one.type == type_ and name in (one.payment_request_id, one.refund_request_id)
        )

    def record(self, type_: str, number: int) -> Record:
        """The record of a payment or refund here."""
        name = f"{'ref' if type_ == 'REFUND' else 'ord'}-{number:09d}"
        return next(one for one in self.here if one.type == type_ and one.request_id == name)


def major(minor: int, currency: str) -> str:
    """1990 HKD as 19.90."""
    return f"{Decimal(minor).scaleb(-DECIMALS[currency]):f}"


def clean(size: int, seed: int = 7) -> World:
    """A day on which nothing differs: payments in all currencies, partial refunds, cancels, orders that failed."""
    chance = random.Random(seed)
    world = World()
    for number in range(size):
        currency = chance.choice(tuple(DECIMALS))
        minor = chance.randrange(1, 500_000) * (100 if currency == "IDR" else 1)
        if number % 10 == 9:
            of = chance.choice([one for one in world.here[-20:] if one.type == "PAYMENT" and one.status == "SUCCESS"])
            world.refund(number, int(of.request_id[4:]), of.currency, max(1, of.minor // 20))
        elif number % 25 == 11:
            world.pay(number, currency, minor)
            world.record("PAYMENT", number).status = "CANCELLED"
            paid = world.there[-1]
            world.there.append(Transaction("CANCEL", paid.payment_request_id, paid.payment_id, paid.value, currency))
        elif number % 25 == 12:
            world.pay(number, currency, minor, there=False)
            world.record("PAYMENT", number).status = chance.choice(("FAIL", "INIT"))
        else:
            world.pay(number, currency, minor)
    return world


Seed = Callable[[World], tuple[str, str]]
"""Makes the sides differ once; the difference's name and the request id it is about."""

SEEDS: dict[str, Seed] = {}


def _seed(title: str) -> Callable[[Seed], Seed]:
    def add(seed: Seed) -> Seed:
        assert title not in SEEDS
        SEEDS[title] = seed
        return seed

    return add


for _currency in DECIMALS:

    @_seed(f"a payment of {_currency} that is unknown here")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.pay(at, currency, 4200, here=False)
        return "missing-here", f"ord-{at:09d}"

    @_seed(f"a payment of {_currency} that no file has")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.pay(at, currency, 4200, there=False)
        return "missing-there", f"ord-{at:09d}"

    @_seed(f"a refund in {_currency} that no file has")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.refund(at + 1, world.pay(at, currency, 4200), currency, 100, there=False)
        return "missing-there", f"ref-{at + 1:09d}"

    @_seed(f"a payment with one minor unit of {_currency} more there")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.pay(at, currency, 4200)
        world.record("PAYMENT", at).minor -= 1
        return "amount", f"ord-{at:09d}"

    @_seed(f"a payment with a hundred times as much {_currency} here")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.pay(at, currency, 4200)
        world.record("PAYMENT", at).minor *= 100
        return "amount", f"ord-{at:09d}"

    @_seed(f"a refund with one minor unit of {_currency} less there")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.refund(at + 1, world.pay(at, currency, 4200), currency, 100)
        world.record("REFUND", at + 1).minor += 1
        return "amount", f"ref-{at + 1:09d}"

    @_seed(f"a payment of {_currency} on two lines")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.pay(at, currency, 4200)
        world.there.insert(0, world.line("PAYMENT", at))
        return "twice", f"ord-{at:09d}"

    @_seed(f"a refund in {_currency} that nobody asked for")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.refund(at + 1, world.pay(at, currency, 4200), currency, 100, here=False)
        return "refund-observed", f"ref-{at + 1:09d}"

    @_seed(f"a refund in {_currency} that came back")
    def _(world: World, currency: str = _currency) -> tuple[str, str]:
        at = world.free()
        world.refund(at + 1, world.pay(at, currency, 4200), currency, 100)
        refund = world.line("REFUND", at + 1)
        world.there.append(Transaction(**{**vars(refund), "type": "REFUND_REVERSAL"}))
        return "refund-returned", f"ref-{at + 1:09d}"


for _status in ("FAIL", "CANCELLED", "INIT"):

    @_seed(f"a payment that is {_status} here and paid there")
    def _(world: World, status: str = _status) -> tuple[str, str]:
        at = world.free()
        world.pay(at, "HKD", 4200)
        record = world.record("PAYMENT", at)
        record.status, record.day = status, "" if status == "INIT" else TODAY
        return "status", f"ord-{at:09d}"


for _status in ("FAIL", "INIT"):

    @_seed(f"a refund that is {_status} here and done there")
    def _(world: World, status: str = _status) -> tuple[str, str]:
        at = world.free()
        world.refund(at + 1, world.pay(at, "HKD", 4200), "HKD", 100)
        record = world.record("REFUND", at + 1)
        record.status, record.day = status, "" if status == "INIT" else TODAY
        return "status", f"ref-{at + 1:09d}"


for _status in ("SUCCESS", "FAIL", "INIT"):

    @_seed(f"a payment that is {_status} here and cancelled there")
    def _(world: World, status: str = _status) -> tuple[str, str]:
        at = world.free()
        world.pay(at, "HKD", 4200)
        world.there.append(Transaction(**{**vars(world.line("PAYMENT", at)), "type": "CANCEL"}))
        world.record("PAYMENT", at).status = status
        return "status", f"ord-{at:09d}"


for _here, _there in (("HKD", "USD"), ("HKD", "JPY"), ("JPY", "HKD")):

    @_seed(f"a payment of {_here} that is {_there} there")
    def _(world: World, here: str = _here, there: str = _there) -> tuple[str, str]:
        at = world.free()
        world.pay(at, there, 4200)
        world.record("PAYMENT", at).currency = here
        return "currency", f"ord-{at:09d}"

    @_seed(f"a refund of {_here} that is {_there} there")
    def _(world: World, here: str = _here, there: str = _there) -> tuple[str, str]:
        at = world.free()
        world.refund(at + 1, world.pay(at, there, 4200), there, 100)
        world.record("REFUND", at + 1).currency = here
        return "currency", f"ref-{at + 1:09d}"


@_seed("a cancel of a payment that is unknown here")
def _(world: World) -> tuple[str, str]:
    at = world.free()
    world.there.append(Transaction("CANCEL", f"ord-{at:09d}", "2026112219401080010018889000", "42.00", "HKD"))
    return "missing-here", f"ord-{at:09d}"


@_seed("a refund of a payment that is unknown here, too")
def _(world: World) -> tuple[str, str]:
    at = world.free()
    world.refund(at + 1, at, "HKD", 100, here=False)
    return "refund-observed", f"ref-{at + 1:09d}"


@_seed("a returned refund that is unknown here")
def _(world: World) -> tuple[str, str]:
    at = world.free()
    world.refund(at + 1, world.pay(at, "HKD", 4200), "HKD", 100, here=False)
    world.line("REFUND", at + 1).type = "REFUND_REVERSAL"
    return "refund-returned", f"ref-{at + 1:09d}"


@_seed("a payment on two lines with two amounts")
def _(world: World) -> tuple[str, str]:
    at = world.free()
    world.pay(at, "HKD", 4200)
    world.there.append(Transaction(**{**vars(world.line("PAYMENT", at)), "value": "42.01"}))
    return "twice", f"ord-{at:09d}"


@_seed("a payment on two lines with two ids of Alipay's")
def _(world: World) -> tuple[str, str]:
    at = world.free()
    world.pay(at, "HKD", 4200)
    world.there.append(Transaction(**{**vars(world.line("PAYMENT", at)), "payment_id": "20261122194010800100188877"}))
    return "twice", f"ord-{at:09d}"


@_seed("a refund on two lines")
def _(world: World) -> tuple[str, str]:
    at = world.free()
    world.refund(at + 1, world.pay(at, "HKD", 4200), "HKD", 100)
    world.there.append(world.line("REFUND", at + 1))
    return "twice", f"ref-{at + 1:09d}"


@_seed("a refund of which nothing was paid out")
def _(world: World) -> tuple[str, str]:
    at = world.free()
    world.refund(at + 1, world.pay(at, "HKD", 4200), "HKD", 100)
    world.line("REFUND", at + 1).value = "0.00"
    return "amount", f"ref-{at + 1:09d}"
