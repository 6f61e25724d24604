"""What Alipay's files say against what the orders and refunds say, and the names of the differences."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from autodebit.reconciliation.reports import COMPARED, Line, Total


class Name(StrEnum):
    """The differences there are."""

    MISSING_HERE = "missing-here"
    MISSING_THERE = "missing-there"
    AMOUNT = "amount"
    CURRENCY = "currency"
    STATUS = "status"
    TWICE = "twice"
    REFUND_OBSERVED = "refund-observed"
    REFUND_RETURNED = "refund-returned"
    TOTAL = "total"


class Ours(NamedTuple):
    """An order or a refund as it is stored here."""

    type: str
    """PAYMENT or REFUND."""
    request_id: str
    payment_request_id: str
    payment_id: str
    """Empty while Alipay has not told it."""
    refund_id: str
    currency: str
    amount: int
    """In minor units, positive."""
    status: str
    """INIT, SUCCESS, FAIL or CANCELLED."""
    day: str
    """The UTC+8 day of its result, Alipay's time if it gave one; empty while INIT."""


class Difference(NamedTuple):
    """One difference with both sides. What a side does not know is empty; amounts are in minor units."""

    name: str
    type: str
    request_id: str
    payment_request_id: str
    transaction_id: str
    file: str
    line: int
    """0 if it stands on no line of a file."""
    day: str
    currency_there: str
    amount_there: int | None
    status_there: str
    currency_here: str
    amount_here: int | None
    status_here: str


class Observed(NamedTuple):
    """A refund that succeeded there and that nobody asked for here."""

    refund_request_id: str
    payment_request_id: str
    """Empty where the file names its payment only by Alipay's id."""
    refund_id: str
    """Empty in files of 2026, which do not tell it."""
    currency: str
    amount: int
    """In minor units, positive."""


@dataclass(slots=True)
class Sum:
    """Of one type and currency: what the file has, and what we have for the same transactions."""

    count_there: int = 0
    amount_there: int = 0
    count_here: int = 0
    amount_here: int = 0


LookUp = Callable[[list[Line]], Iterable[Ours]]
"""Our records of these lines, wherever else they are stored; what is unknown is left out."""


def knows_no_more(lines: list[Line]) -> Iterable[Ours]:
    """The look-up of those who gave all their records as a stream."""
    return ()


Batches = Mapping[str, Mapping[str, list[int]]]
"""By `batch id,currency` and type: how many lines of the details, and their settlement amounts' sum."""


def totals(details: Batches, summary: Iterable[Total]) -> Iterator[Difference]:
    """Where a settlement summary does not add up: in itself, or against the details of the same batch.

    Batches of which `details` knows nothing are held against themselves only. Corrections (`default`) and fees of the
    whole batch stand in the summary alone, and are part of its TOTAL.
    """
    batches: dict[str, dict[str, list[Total]]] = defaultdict(lambda: defaultdict(list))
    for total in summary:
        batches[f"{total.batch_id},{total.currency}"][total.type].append(total)
    for key, types in batches.items():
        parts = [total for type_, of_type in types.items() if type_ != "TOTAL" for total in of_type]
        for total in types.get("TOTAL", []):
            if parts and total.amount != sum(part.amount for part in parts):
                yield _total(total, sum(part.amount for part in parts), "sum of the summary's lines")
        lines = details.get(key, {})
        for type_, (count, amount) in lines.items():
            of_type = types.get(type_, [])
            stated = sum(total.amount for total in of_type)
            counted = [total.transactions for total in of_type if total.transactions is not None]
            if of_type and (stated != amount or (counted and sum(counted) != count)):
                yield _total(of_type[0], amount, f"{count} lines of the details")
            elif parts and not of_type:
                yield _total(
                    parts[0]._replace(type=type_, transactions=None, amount=0), amount, f"{count} lines of the details"
                )
        for type_ in COMPARED:
            of_type = types.get(type_, [])
            if lines and type_ not in lines and any(total.amount or total.transactions for total in of_type):
                yield _total(of_type[0], 0, "0 lines of the details")
        alone = types.get("TOTAL", [])
        if lines and not parts and alone[0].amount != sum(amount for _, amount in lines.values()):
            yield _total(alone[0], sum(amount for _, amount in lines.values()), "sum of the details")


def lacks_lines(lines: Mapping[str, list[int]], summary: Iterable[Total]) -> bool | None:
    """Whether a batch's details have fewer lines than its summary counts; None if the summary counts nothing.

    Corrections and fees of the whole batch stand in the summary alone, and are not waited for.
    """
    counted: dict[str, int] = defaultdict(int)
    for total in summary:
        if total.transactions is not None:
            counted[total.type] += total.transactions
    whole = counted.pop("TOTAL", None)
    expected = {type_: count for type_, count in counted.items() if type_ in COMPARED or type_ in lines}
    if expected:
        return any(count > lines.get(type_, [0])[0] for type_, count in expected.items())
    return None if whole is None or counted else whole > sum(count for count, _ in lines.values())


class Page:
    """One part of both sides, in memory."""

    def __init__(self, lines: list[Line], ours: list[Ours], look_up: LookUp) -> None:
        self._lines = [line for line in lines if line.type in COMPARED]
        self._others = [line for line in lines if line.type not in COMPARED]
        self._ours = {(one.type, one.request_id): one for one in ours}
        self._refunds = {one.refund_id: one for one in ours if one.refund_id}
        unknown = [line for line in self._lines if self._find(line) is None]
        if unknown:
            for one in look_up(unknown):
                self._ours[one.type, one.request_id] = one
                if one.refund_id:
                    self._refunds[one.refund_id] = one
        self.to_inquire: list[Ours] = []
        """INIT here and decided there; complete once the differences are read, as `observed` is."""
        self.observed: list[Observed] = []
        self._sums: dict[tuple[str, str], Sum] = defaultdict(Sum)

    def sums(self) -> Iterable[tuple[tuple[str, str], Sum]]:
        """By type and currency; complete once the differences are read."""
        return self._sums.items()

    def differences(self) -> Iterator[Difference]:
        """What each transaction of the file comes to."""
        by_transaction: dict[tuple[str, str], list[Line]] = defaultdict(list)
        for line in self._lines:
            self._add(line)
            if line.type != "CANCEL" or _result(line) == "CANCELLED":  # a cancel that was refused says nothing
                by_transaction[_transaction(line)].append(line)
        for line in self._others:
            self._add(line)
        cancels = {key for type_, key in by_transaction if type_ == "CANCEL"}
        for (type_, key), lines in by_transaction.items():
            for again in lines[1:]:
                yield _difference(Name.TWICE, again, self._find(again))
            first = lines[0]
            one = self._find(first)
            if one is not None and type_ in ("PAYMENT", "REFUND"):
                self._sums[type_, one.currency].count_here += 1
                self._sums[type_, one.currency].amount_here += one.amount if type_ == "PAYMENT" else -one.amount
            name = self._judge(first, one, type_ == "PAYMENT" and key in cancels)
            if name is Name.REFUND_OBSERVED and first.amount < 0:  # with another sign no money went back
                ids = (first.request_id, first.original_request_id, first.refund_id)
                self.observed.append(Observed(*ids, first.currency, -first.amount))
            if name:
                yield _difference(name, first, one)

    def missing_there(self, seen: list[Line], concluded: Collection[str]) -> Iterator[Difference]:
        """Successes here, of days of which no further file will come, that stand on no line of any file."""
        if not concluded:
            return
        found = {id(self._find(line)) for line in [*self._lines, *seen]}
        for one in self._ours.values():
            if one.status == "SUCCESS" and one.day in concluded and id(one) not in found:
                yield _missing_there(one)

    def _find(self, line: Line) -> Ours | None:
        if line.type in ("PAYMENT", "CANCEL"):
            return self._ours.get(("PAYMENT", line.payment_request_id))
        if line.refund_id in self._refunds:
            return self._refunds[line.refund_id]
        one = self._ours.get(("REFUND", line.request_id))
        # An older file's refund may carry its payment's request id, which may be the name of another refund of ours.
        return one if one is None or not line.refund_id or one.refund_id in ("", line.refund_id) else None

    def _judge(self, line: Line, one: Ours | None, cancelled: bool) -> Name | None:
        """The name of the difference between a line and our record, if there is one."""
        if line.type == "REFUND_REVERSAL":
            return Name.REFUND_RETURNED
        there = _result(line)
        if one is None:
            if line.type != "REFUND":
                return Name.MISSING_HERE
            return Name.REFUND_OBSERVED if there == "SUCCESS" else None  # otherwise nothing was moved
        undecided = one.status == "INIT"
        if undecided and there in _FINAL and not cancelled:
            self.to_inquire.append(one)
        if one.currency != line.currency:
            return Name.CURRENCY
        if cancelled:
            return None  # the cancel has a line of its own, which says what became of the payment
        if line.type != "CANCEL" and (line.amount if line.type == "PAYMENT" else -line.amount) != one.amount:
            return Name.AMOUNT
        if undecided and there not in _FINAL:
            return None
        if one.status == "CANCELLED" and there == "SUCCESS" and one.day > line.day:
            return None  # cancelled after midnight: the cancel stands in the next day's file
        return None if there == one.status else Name.STATUS

    def _add(self, line: Line) -> None:
        one = self._sums[line.type, line.currency]
        one.count_there += 1
        one.amount_there += line.amount


_FINAL = ("SUCCESS", "FAIL", "CANCELLED")
_STATUS = {"SUCCEEDED": "SUCCESS", "FAILED": "FAIL", "CANCELED": "CANCELLED"}
"""Other spellings of a result. Every status that is none is open: it is no result, and no success."""


def _result(line: Line) -> str:
    """What the line says became of the transaction; a cancel that succeeded makes its payment CANCELLED."""
    result = _STATUS.get(line.status, line.status)
    return "CANCELLED" if line.type == "CANCEL" and result == "SUCCESS" else result


def _transaction(line: Line) -> tuple[str, str]:
    """What makes two lines the same transaction."""
    if line.type in ("PAYMENT", "CANCEL"):
        return line.type, line.payment_request_id
    return line.type, line.refund_id or line.request_id


def key_of_line(line: Line) -> str:
    """Records of one key are compared with each other: a payment by its request id, refunds by their payment's id.

    Both editions name the payment of a refund, but only by Alipay's id.
    """
    return line.payment_request_id if line.type in ("PAYMENT", "CANCEL") else line.payment_id


def key_of_ours(one: Ours) -> str:
    """The same for a record of ours."""
    return one.request_id if one.type == "PAYMENT" else one.payment_id


def _difference(name: Name, line: Line, one: Ours | None) -> Difference:
    return Difference(
        name=name.value,
        type=line.type,
        request_id=line.request_id,
        payment_request_id=one.payment_request_id if one else line.original_request_id,
        transaction_id=line.refund_id or line.payment_id,
        file=line.file,
        line=line.number,
        day=line.day,
        currency_there=line.currency,
        amount_there=line.amount,
        status_there=line.status,
        currency_here=one.currency if one else "",
        amount_here=(one.amount if one.type == "PAYMENT" else -one.amount) if one else None,
        status_here=one.status if one else "",
    )


def _missing_there(one: Ours) -> Difference:
    return Difference(
        name=Name.MISSING_THERE.value,
        type=one.type,
        request_id=one.request_id,
        payment_request_id=one.payment_request_id,
        transaction_id=one.refund_id or one.payment_id,
        file="",
        line=0,
        day=one.day,
        currency_there="",
        amount_there=None,
        status_there="",
        currency_here=one.currency,
        amount_here=one.amount if one.type == "PAYMENT" else -one.amount,
        status_here=one.status,
    )


def _total(total: Total, amount: int, of: str) -> Difference:
    return Difference(
        name=Name.TOTAL.value,
        type=total.type,
        request_id="",
        payment_request_id="",
        transaction_id=total.batch_id,
        file=total.file,
        line=total.number,
        day="",
        currency_there=total.currency,
        amount_there=total.amount,
        status_there="" if total.transactions is None else f"{total.transactions} lines",
        currency_here=total.currency,
        amount_here=amount,
        status_here=of,
    )


def order(difference: Difference) -> tuple[str, str, int, str, str]:
    """What differences are sorted by."""
    return difference.name, difference.file, difference.line, difference.type, difference.request_id
