"""The merchant's books against Alipay's, payment by payment; their refunds are in `refund_comparison`."""

from collections.abc import Iterable
from typing import Any

from tests.kit.books import left_init_at_most_once

from .books import FINAL, Answer, Asked, Books, Difference, Side

Json = dict[str, Any]

DOUBLE_DEBIT = "double debit"
FALSE_RESULT = "false result"
LOST_RESULT = "lost result"
INIT_LEFT_TWICE = "INIT left twice"
OTHER_BYTES = "call repeated with other bytes"
CONTRADICTING_ANSWER = "answer that contradicts the end"


def compare(books: Books) -> list[Difference]:
    """Every difference between the payments; none is what the guarantee promises."""
    found = []
    payments = books.payments
    for payment_request_id in payments.keys:
        row, payment = payments.rows.get(payment_request_id), payments.ledger.get(payment_request_id)
        asked = payments.asked.get(payment_request_id, Asked(payment_request_id, {}, []))
        checks = {
            DOUBLE_DEBIT: _debits(payment),
            FALSE_RESULT: _false(row, payment, asked),
            LOST_RESULT: lost(row, payment, asked, "pay"),
            INIT_LEFT_TWICE: init_left(payments, payment_request_id),
            OTHER_BYTES: other_bytes(payments, payment_request_id, "pay"),
            CONTRADICTING_ANSWER: _answers(row, asked),
        }
        found += [Difference(payment_request_id, kind, said) for kind, sayings in checks.items() for said in sayings]
    return found


def unheard(open_rows: Iterable[Json], heard: set[str]) -> list[Difference]:
    """The orders that are INIT, may have reached Alipay, and are none of those that the alarm has heard of."""
    silent = {row["paymentRequestId"] for row in open_rows if not row.get("neverSent")} - heard
    return [Difference(key, LOST_RESULT, "INIT for long, and the alarm is not told of it") for key in sorted(silent)]


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


def lost(row: Json | None, known: Json | None, asked: Asked, call: str) -> Iterable[str]:
    """What Alipay knows, or might come to know, and is in no row or in one nobody looks at."""
    if row is None:
        if known:
            yield f"Alipay has it as {known['status']}, and there is no row"
        if any(200 <= answer.status < 300 for answer in asked.answers):
            yield "the caller was told of it, and there is no row"
    elif row.get("status") == "INIT":
        if known and known["status"] in FINAL:
            yield f"INIT, and {known['status']} at Alipay"
        if row.get("neverSent"):
            if known:
                yield f"noted as never sent, and a {call} has reached Alipay"
        elif not {"watchShard", "overdueAt"} <= row.keys():
            yield "INIT, and neither the sweep nor the alarm can find it"


def init_left(side: Side, key: str) -> Iterable[str]:
    """What a row's versions say that is not "INIT once, then one result for good"."""
    versions = side.versions.get(key, [])
    if key not in side.rows and not versions:
        return
    try:
        left_init_at_most_once(versions)
    except AssertionError as error:
        yield str(error).partition("\n")[0]


def other_bytes(side: Side, key: str, call: str) -> Iterable[str]:
    """Whether what was sent again is the same to the byte, and on record at all."""
    bodies, known = side.bodies.get(key, []), side.ledger.get(key)
    if len(set(bodies)) > 1:
        yield f"{len(set(bodies))} different bodies in {len(bodies)} calls"
    if known and len(bodies) != known["calls"][call]:
        yield f"{len(bodies)} calls of {call} on record, {known['calls'][call]} counted"


def _answers(row: Json | None, asked: Asked) -> Iterable[str]:
    """An answer is the order as it was then: what was final is final, and nobody is told of another payment."""
    final = False
    for answer in asked.answers:
        told = answer.shown.get("status")
        if answer.status == 0 or answer.status >= 500:
            continue
        if answer.status not in (200, 202):
            yield f"{answer.method} was answered {answer.status}"
        elif answer.shown.get("paymentAmount") != asked.amount:
            yield f"{answer.method} was told of {answer.shown.get('paymentAmount')}"
        else:
            yield from told_otherwise(row, answer, "paymentId", final)
            final = final or told in FINAL


def told_otherwise(row: Json | None, answer: Answer, id_name: str, final: bool) -> Iterable[str]:
    """What a caller was told that is not so in the end; `final`: of an answer before, it was a result."""
    told, told_id = answer.shown.get("status"), answer.shown.get(id_name)
    if told in FINAL:
        ended = (row or {}).get("status"), (row or {}).get(id_name)
        if (told, told_id) != ended:
            yield f"{answer.method} was told {told} {told_id}, in the end it is {ended}"
    elif told != "INIT" or final:
        yield f"{answer.method} was told {told}{' after a final answer' if final else ''}"
