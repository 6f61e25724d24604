"""The merchant's books against Alipay's, payment by payment."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.kit.books import left_init_at_most_once

Json = dict[str, Any]

DOUBLE_DEBIT = "double debit"
FALSE_RESULT = "false result"
LOST_RESULT = "lost result"
INIT_LEFT_TWICE = "INIT left twice"
OTHER_BYTES = "pay repeated with other bytes"
CONTRADICTING_ANSWER = "answer that contradicts the end"

FINAL = ("SUCCESS", "FAIL", "CANCELLED")


@dataclass(frozen=True)
class Answer:
    """What one request of a caller was answered. Status 0: the caller gave up, or the connection broke."""

    method: str
    status: int
    order: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One payment as its caller knows it."""

    amount: Json
    answers: list[Answer]


@dataclass(frozen=True)
class Books:
    """Everything that is known of the payments at the end, by paymentRequestId."""

    asked: dict[str, Asked]
    rows: dict[str, Json]
    versions: dict[str, list[Json]]
    """Each row after every write."""
    ledger: dict[str, Json]
    """Alipay's payments: those that a pay has reached."""
    pay_bodies: dict[str, list[str]]
    """The SHA-256 of every pay that arrived."""


@dataclass(frozen=True)
class Difference:
    """Something that must not be."""

    payment_request_id: str
    kind: str
    said: str


def compare(books: Books) -> list[Difference]:
    """Every difference; none is what the guarantee promises."""
    found = []
    for payment_request_id in sorted(books.asked.keys() | books.rows.keys() | books.ledger.keys()):
        row, payment = books.rows.get(payment_request_id), books.ledger.get(payment_request_id)
        asked = books.asked.get(payment_request_id, Asked({}, []))
        checks = {
            DOUBLE_DEBIT: _debits(payment),
            FALSE_RESULT: _false(row, payment, asked),
            LOST_RESULT: _lost(row, payment, asked),
            INIT_LEFT_TWICE: _init_left(row, books.versions.get(payment_request_id, [])),
            OTHER_BYTES: _bodies(payment, books.pay_bodies.get(payment_request_id, [])),
            CONTRADICTING_ANSWER: _answers(row, asked),
        }
        found += [Difference(payment_request_id, kind, said) for kind, sayings in checks.items() for said in sayings]
    return found


def unheard(open_rows: Iterable[Json], heard: set[str]) -> list[Difference]:
    """The orders that are INIT, may have reached Alipay, and are none of those that the alarm has heard of."""
    silent = {row["paymentRequestId"] for row in open_rows if not row.get("neverSent")} - heard
    return [Difference(key, LOST_RESULT, "INIT for long, and the alarm is not told of it") for key in sorted(silent)]


def by_kind(differences: Iterable[Difference]) -> dict[str, set[str]]:
    """The payments at fault."""
    payments: dict[str, set[str]] = defaultdict(set)
    for difference in differences:
        payments[difference.kind].add(difference.payment_request_id)
    return payments


def _debits(payment: Json | None) -> Iterable[str]:
    if payment and payment["debits"] > 1:
        yield f"debited {payment['debits']} times"


def _false(row: Json | None, payment: Json | None, asked: Asked) -> Iterable[str]:
    """What the row says and Alipay does not."""
    if row is None:
        return
    amount = {"currency": row["currency"], "value": row["amountValue"]}
    if amount != asked.amount:
        yield f"the row's amount is {amount}, asked for was {asked.amount}"
    if payment and payment["paymentAmount"] != amount:
        yield f"the row's amount is {amount}, Alipay's {payment['paymentAmount']}"
    if row["status"] == "INIT":
        return
    if payment is None:
        yield f"{row['status']}, and no pay has reached Alipay"
        return
    if (row["status"], row.get("resultCode")) != (payment["status"], payment["resultCode"]):
        yield f"{row['status']} {row.get('resultCode')}, at Alipay {payment['status']} {payment['resultCode']}"
    if row.get("paymentId", None if row["status"] == "SUCCESS" else payment["paymentId"]) != payment["paymentId"]:
        yield f"paymentId {row.get('paymentId')}, at Alipay {payment['paymentId']}"
    if payment["debits"] != (row["status"] == "SUCCESS"):
        yield f"{row['status']}, and debited {payment['debits']} times"


def _lost(row: Json | None, payment: Json | None, asked: Asked) -> Iterable[str]:
    """What is known of the payment, or might come to be known, and is in no row or in one nobody looks at."""
    if row is None:
        if payment:
            yield f"Alipay has it as {payment['status']}, and there is no order"
        if any(200 <= answer.status < 300 for answer in asked.answers):
            yield "the caller was told of an order, and there is none"
    elif row["status"] == "INIT":
        if payment and payment["status"] in FINAL:
            yield f"INIT, and {payment['status']} at Alipay"
        if row.get("neverSent"):
            if payment:
                yield "noted as never sent, and a pay has reached Alipay"
        elif not {"watchShard", "overdueAt"} <= row.keys():
            yield "INIT, and neither the sweep nor the alarm can find it"


def _init_left(row: Json | None, versions: list[Json]) -> Iterable[str]:
    if row is None and not versions:
        return
    try:
        left_init_at_most_once(versions)
    except AssertionError as error:
        yield str(error).partition("\n")[0]


def _bodies(payment: Json | None, bodies: list[str]) -> Iterable[str]:
    if len(set(bodies)) > 1:
        yield f"{len(set(bodies))} different bodies in {len(bodies)} calls"
    if payment and len(bodies) != payment["calls"]["pay"]:
        yield f"{len(bodies)} calls of pay on record, {payment['calls']['pay']} counted"


def _answers(row: Json | None, asked: Asked) -> Iterable[str]:
    """An answer is the order as it was then: what was final is final, and nobody is told of another payment."""
    final = False
    for answer in asked.answers:
        told = answer.order.get("status")
        if answer.status == 0 or answer.status >= 500:
            continue
        if answer.status not in (200, 202):
            yield f"{answer.method} was answered {answer.status}"
        elif answer.order.get("paymentAmount") != asked.amount:
            yield f"{answer.method} was told of {answer.order.get('paymentAmount')}"
        elif told in FINAL:
            final = True
            ended = (row or {}).get("status"), (row or {}).get("paymentId")
            if (told, answer.order.get("paymentId")) != ended:
                yield f"{answer.method} was told {told} {answer.order.get('paymentId')}, in the end it is {ended}"
        elif final:
            yield f"{answer.method} was told {told} after a final answer"
