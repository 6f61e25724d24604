"""The refunds: each against Alipay's, and all of a payment against what was paid."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from .books import FINAL, Asked, Books, Difference, number
from .comparison import CONTRADICTING_ANSWER, INIT_LEFT_TWICE, OTHER_BYTES, init_left, lost, other_bytes, told_otherwise

Json = dict[str, Any]

GIVEN_TWICE = "refund given back twice"
FALSE_REFUND = "false refund"
LOST_REFUND = "lost refund"
MORE_THAN_PAID = "sum above what was paid"

EXCEEDS = "More than is left of the payment"
"""The title of the one refusal that a caller may get."""


def compare_refunds(books: Books) -> list[Difference]:
    """Every difference between the refunds; none is what the guarantee promises."""
    found = []
    refunds = books.refunds
    of_payment: dict[str, list[str]] = defaultdict(list)
    stored: Counter[str] = Counter()
    for stored_row in refunds.rows.values():
        stored[str(stored_row.get("paymentRequestId"))] += number(stored_row.get("amountValue")) or 0
    for key in refunds.keys:
        row, refund, asked = refunds.rows.get(key), refunds.ledger.get(key), refunds.asked.get(key)
        known = asked or Asked(str((refund or row or {}).get("paymentRequestId")), {}, [])
        of_payment[known.payment_request_id].append(key)
        paid = number(books.payments.rows.get(known.payment_request_id, {}).get("amountValue")) or 0
        left = paid - stored[known.payment_request_id] + (number((row or {}).get("amountValue")) or 0)
        checks = {
            GIVEN_TWICE: _given(refund, asked),
            FALSE_REFUND: _false(row, refund, known),
            LOST_REFUND: lost(row, refund, known, "refund"),
            INIT_LEFT_TWICE: init_left(refunds, key),
            OTHER_BYTES: other_bytes(refunds, key, "refund"),
            CONTRADICTING_ANSWER: _answers(row, known, left),
        }
        found += [
            Difference(known.payment_request_id, kind, f"{key}: {said}")
            for kind, sayings in checks.items()
            for said in sayings
        ]
    for key in books.payments.keys:
        row, payment = books.payments.rows.get(key), books.payments.ledger.get(key)
        here = [refunds.rows[refund] for refund in of_payment[key] if refund in refunds.rows]
        there = [refunds.ledger[refund] for refund in of_payment[key] if refund in refunds.ledger]
        checks = {
            GIVEN_TWICE: _money(payment, there),
            FALSE_REFUND: _sums(row, here, there),
            MORE_THAN_PAID: _limit(row, books.payments.versions.get(key, []), there),
        }
        found += [Difference(key, kind, said) for kind, sayings in checks.items() for said in sayings]
    return found


def _given(refund: Json | None, asked: Asked | None) -> Iterable[str]:
    """What Alipay was asked to give back, and nobody wanted."""
    if refund is None:
        return
    if asked is None:
        yield f"{refund['status']} at Alipay, and nobody asked for it"
    elif refund["refundAmount"] != asked.amount:
        yield f"{refund['refundAmount']} at Alipay, asked for was {asked.amount}"
    elif refund["paymentRequestId"] != asked.payment_request_id:
        yield f"of {refund['paymentRequestId']} at Alipay"


def _money(payment: Json | None, there: list[Json]) -> Iterable[str]:
    """What really went back to the buyer, and how often, against the refunds that did it."""
    succeeded = [int(refund["refundAmount"]["value"]) for refund in there if refund["status"] == "SUCCESS"]
    if payment is None:
        return
    went_back = payment["debits"] * int(payment["paymentAmount"]["value"]) - int(payment["kept"])
    if (payment["refunds"], went_back) != (len(succeeded), sum(succeeded)):
        yield f"{went_back} went back in {payment['refunds']} parts, {sum(succeeded)} by {len(succeeded)} refunds"


def _false(row: Json | None, refund: Json | None, asked: Asked) -> Iterable[str]:
    """What the row says and Alipay does not."""
    if row is None:
        return
    amount = {"currency": row.get("currency"), "value": row.get("amountValue")}
    if (amount, row.get("paymentRequestId")) != (asked.amount, asked.payment_request_id):
        yield f"the row's amount is {amount} of {row.get('paymentRequestId')}, asked for was {asked.amount}"
    if row.get("status") == "INIT" or (_released(row) and refund is None):
        return
    if refund is None:
        yield f"{row.get('status')}, and no refund has reached Alipay"
        return
    if row.get("status") != refund["status"]:
        yield f"{row.get('status')}, at Alipay {refund['status']}"
    # An inquiry tells that a refund failed, and not by which code.
    code = refund["resultCode"] if row.get("status") == "SUCCESS" or row.get("settledBy") != "inquiry" else None
    if row.get("resultCode") != code:
        yield f"{row.get('resultCode')}, at Alipay {refund['resultCode']}"
    if row.get("refundId", None if row.get("status") == "SUCCESS" else refund["refundId"]) != refund["refundId"]:
        yield f"refundId {row.get('refundId')}, at Alipay {refund['refundId']}"


def _released(row: Json) -> bool:
    """Whether nothing of it ever left, and another refund took its amount."""
    return (row.get("status"), row.get("settledBy"), row.get("resultCode")) == ("FAIL", "refund", None)


def _sums(order: Json | None, here: list[Json], there: list[Json]) -> Iterable[str]:
    """What the order says was given back, and may be given back yet."""
    if order is None or order.get("status") != "SUCCESS":
        if here or there:
            yield f"{len(here)} refunds here and {len(there)} at Alipay of a payment that is not SUCCESS"
        return
    paid, unrefunded, refundable = (number(order.get(name)) for name in ("amountValue", "unrefunded", "refundable"))
    given_back = sum(int(refund["refundAmount"]["value"]) for refund in there if refund["status"] == "SUCCESS")
    if paid is None or unrefunded != paid - given_back:
        yield f"{unrefunded} of {paid} is not given back, at Alipay {given_back} is"
    taken = sum(number(row.get("amountValue")) or 0 for row in here if row.get("status") in ("SUCCESS", "INIT"))
    if paid is None or refundable != paid - taken:
        yield f"{refundable} may be given back, and {taken} was or may have been, of {paid}"


def _limit(order: Json | None, versions: list[Json], there: list[Json]) -> Iterable[str]:
    """Whether more than was paid was given back, promised or asked for."""
    left = [row[name] for row in versions for name in ("refundable", "unrefunded") if name in row]
    wrong = [value for value in left if (value_read := number(value)) is None or value_read < 0]
    if wrong:
        yield f"{wrong} was left"
    asked = sum(int(refund["refundAmount"]["value"]) for refund in there if refund["status"] != "FAIL")
    if asked > (number((order or {}).get("amountValue")) or 0):
        yield f"{asked} is given back or on its way"
    if any(refund["resultCode"] == "REFUND_AMOUNT_EXCEED" for refund in there):
        yield "Alipay was asked for more than was left"


def _answers(row: Json | None, asked: Asked, left: int) -> Iterable[str]:
    """An answer is the refund as it was then. `left` is what the payment's other refunds can leave at the least."""
    stored = final = False
    for answer in asked.answers:
        told = answer.shown.get("status")
        if answer.status == 0 or answer.status >= 500:
            continue
        if answer.status == 409 and answer.shown.get("title") == EXCEEDS:
            if stored or int(asked.amount["value"]) <= left:
                yield f"{answer.method} was refused, and {'it was stored' if stored else f'{left} was left'}"
            continue
        if answer.status not in (200, 202):
            yield f"{answer.method} was answered {answer.status} {answer.shown.get('title', '')}".rstrip()
            continue
        stored = True
        if (answer.shown.get("refundAmount"), answer.shown.get("paymentRequestId")) != (
            asked.amount,
            asked.payment_request_id,
        ):
            yield f"{answer.method} was told of {answer.shown.get('refundAmount')}"
        else:
            yield from told_otherwise(row, answer, "refundId", final)
            final = final or told in FINAL
