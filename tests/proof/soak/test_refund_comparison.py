"""The comparison of refunds finds what it is there to find: two refunds that are right, and each way to be wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from .books import Answer, Asked, Books, Side
from .comparison import CONTRADICTING_ANSWER, INIT_LEFT_TWICE, OTHER_BYTES
from .refund_comparison import (
    EXCEEDS,
    FALSE_REFUND,
    GIVEN_TWICE,
    LOST_REFUND,
    MORE_THAN_PAID,
    compare_refunds,
)

Json = dict[str, Any]

PAYMENT, FIRST, SECOND = "soak-1-000001", "soak-1-000001-r1", "soak-1-000001-r2"
PAID = 1000


def amount(value: int) -> Json:
    return {"currency": "HKD", "value": str(value)}


def books(status: str = "SUCCESS", code: str = "SUCCESS") -> Books:
    """600 of 1000 were given back, or not; 500 more were refused, since the first refund was under way."""
    given = 600 if status == "SUCCESS" else 0
    order = {"status": "SUCCESS", "amountValue": str(PAID), "refundable": PAID - given, "unrefunded": PAID - given}
    versions = [
        order | {"refundable": PAID, "unrefunded": PAID},
        order | {"refundable": 400, "unrefunded": PAID},
        order,
    ]
    init = {
        "refundRequestId": FIRST,
        "paymentRequestId": PAYMENT,
        "status": "INIT",
        "currency": "HKD",
        "amountValue": "600",
        "watchShard": "07",
        "overdueAt": "2026-11-22T09:30:30.000Z",
    }
    row = {name: value for name, value in init.items() if name not in ("watchShard", "overdueAt")}
    row |= {"status": status, "resultCode": code, "refundId": "R1", "settledBy": "notify"}
    refund = {
        "refundRequestId": FIRST,
        "paymentRequestId": PAYMENT,
        "refundId": "R1",
        "status": status,
        "resultCode": code,
        "refundAmount": amount(600),
        "calls": {"refund": 2},
    }
    shown = {"paymentRequestId": PAYMENT, "refundAmount": amount(600)}
    answers = [
        Answer("POST", 0),
        Answer("POST", 503),
        Answer("POST", 202, shown | {"status": "INIT"}),
        Answer("GET", 200, shown | {"status": status, "refundId": "R1"}),
    ]
    payment = {
        "debits": 1,
        "paymentAmount": amount(PAID),
        "kept": str(PAID - given),
        "refunds": int(given > 0),
    }
    return Books(
        Side({}, {PAYMENT: order}, {PAYMENT: versions}, {PAYMENT: payment}, {}),
        Side(
            asked={
                FIRST: Asked(PAYMENT, amount(600), answers),
                SECOND: Asked(PAYMENT, amount(500), [Answer("POST", 409, {"title": EXCEEDS, "status": 409})]),
            },
            rows={FIRST: row},
            versions={FIRST: [init, dict(row)]},
            ledger={FIRST: refund},
            bodies={FIRST: ["a", "a"]},
        ),
    )


def still_init(found: Books, at_alipay: str = "PROCESSING", **attributes: Any) -> None:
    """The refund was never settled, and its amount is reserved."""
    refunds = found.refunds
    refunds.versions[FIRST] = refunds.versions[FIRST][:1]
    refunds.rows[FIRST] = refunds.versions[FIRST][0] | attributes
    refunds.asked[FIRST].answers.pop()
    refunds.ledger[FIRST] |= {"status": at_alipay}
    if at_alipay == "PROCESSING":
        found.payments.ledger[PAYMENT] |= {"kept": str(PAID), "refunds": 0}
        found.payments.rows[PAYMENT] |= {"unrefunded": PAID}


def never_arrived(found: Books) -> None:
    """No refund has reached Alipay."""
    found.refunds.ledger.clear()
    found.refunds.bodies.clear()
    found.payments.ledger[PAYMENT] |= {"kept": str(PAID), "refunds": 0}
    found.payments.rows[PAYMENT] |= {"unrefunded": PAID}


def unsent(found: Books) -> None:
    still_init(found, neverSent=True)
    never_arrived(found)


def released(found: Books) -> None:
    """Nothing of it left, and another refund of the payment might take its amount."""
    never_arrived(found)
    del found.refunds.rows[FIRST]["resultCode"], found.refunds.rows[FIRST]["refundId"]
    found.refunds.rows[FIRST] |= {"status": "FAIL", "settledBy": "refund"}
    found.refunds.versions[FIRST][1] = dict(found.refunds.rows[FIRST])
    found.refunds.asked[FIRST].answers[3].shown["status"] = "FAIL"
    del found.refunds.asked[FIRST].answers[3].shown["refundId"]
    found.payments.rows[PAYMENT] |= {"refundable": PAID}


def failed_by_inquiry(found: Books) -> None:
    """inquiryRefund says that it failed, and not why."""
    for row in (found.refunds.rows[FIRST], found.refunds.versions[FIRST][1]):
        row |= {"settledBy": "inquiry"}
        del row["resultCode"]


@pytest.mark.parametrize(("status", "code"), [("SUCCESS", "SUCCESS"), ("FAIL", "REFUND_NOT_SUPPORTED")])
def test_books_that_agree_show_no_difference(status: str, code: str) -> None:
    assert compare_refunds(books(status, code)) == []


def test_what_nobody_can_know_is_no_difference_while_the_refund_is_init_and_watched() -> None:
    assert compare_refunds(books()) == []
    for unknown in (still_init, unsent):
        found = books()
        unknown(found)
        assert compare_refunds(found) == []


def test_a_refund_that_failed_without_a_code_is_right_if_it_never_left_or_an_inquiry_told() -> None:
    found = books()
    released(found)
    assert compare_refunds(found) == []
    found = books("FAIL", "REFUND_NOT_SUPPORTED")
    failed_by_inquiry(found)
    assert compare_refunds(found) == []


def lost(found: Books) -> None:
    """There is no row, and the order knows nothing of it."""
    found.refunds.rows.clear()
    found.refunds.versions.clear()


def another(found: Books) -> None:
    """The same money again, under an id of its own."""
    found.refunds.ledger["other"] = found.refunds.ledger[FIRST] | {
        "refundRequestId": "other",
        "refundAmount": amount(1),
    }


def unwatched(found: Books) -> None:
    still_init(found)
    del found.refunds.rows[FIRST]["overdueAt"]


def sent_after_all(found: Books) -> None:
    still_init(found, neverSent=True)


def init_after_final(found: Books) -> None:
    found.refunds.asked[FIRST].answers.append(
        Answer("GET", 200, {"status": "INIT", "paymentRequestId": PAYMENT, "refundAmount": amount(600)})
    )


def refused_although_left(found: Books) -> None:
    found.refunds.asked[SECOND].amount["value"] = "400"


def refused_although_stored(found: Books) -> None:
    found.refunds.asked[FIRST].answers.append(Answer("POST", 409, {"title": EXCEEDS, "status": 409}))


def released_and_arrived(found: Books) -> None:
    ledger = dict(found.refunds.ledger[FIRST])
    released(found)
    found.refunds.ledger[FIRST] = ledger | {"status": "FAIL"}


FALSIFIED: list[tuple[str, Callable[[Books], Any]]] = [
    (GIVEN_TWICE, lambda found: found.payments.ledger[PAYMENT].update(refunds=2)),
    (GIVEN_TWICE, lambda found: found.payments.ledger[PAYMENT].update(kept="0")),
    (GIVEN_TWICE, lambda found: found.refunds.ledger[FIRST].update(refundAmount=amount(601))),
    (GIVEN_TWICE, lambda found: found.refunds.ledger[FIRST].update(paymentRequestId="soak-1-000002")),
    (GIVEN_TWICE, lambda found: found.refunds.asked.pop(FIRST)),
    (GIVEN_TWICE, another),
    (FALSE_REFUND, lambda found: found.refunds.ledger[FIRST].update(status="FAIL")),
    (FALSE_REFUND, lambda found: found.refunds.ledger[FIRST].update(status="PROCESSING")),
    (FALSE_REFUND, lambda found: found.refunds.ledger[FIRST].update(refundId="R2")),
    (FALSE_REFUND, lambda found: found.refunds.ledger[FIRST].update(resultCode="PROCESS_FAIL")),
    (FALSE_REFUND, lambda found: found.refunds.rows[FIRST].update(status="FAIL")),
    (FALSE_REFUND, lambda found: found.refunds.rows[FIRST].update(amountValue="60")),
    (FALSE_REFUND, lambda found: found.refunds.rows[FIRST].update(paymentRequestId="soak-1-000002")),
    (FALSE_REFUND, lambda found: found.refunds.rows[FIRST].pop("refundId")),
    (FALSE_REFUND, lambda found: found.payments.rows[PAYMENT].update(unrefunded=0)),
    (FALSE_REFUND, lambda found: found.payments.rows[PAYMENT].update(refundable=399)),
    (FALSE_REFUND, lambda found: found.payments.rows[PAYMENT].update(status="FAIL")),
    (FALSE_REFUND, lambda found: found.refunds.ledger.clear()),
    (FALSE_REFUND, released_and_arrived),
    (LOST_REFUND, lambda found: still_init(found, "SUCCESS")),
    (LOST_REFUND, lambda found: still_init(found, "FAIL")),
    (LOST_REFUND, unwatched),
    (LOST_REFUND, sent_after_all),
    (LOST_REFUND, lost),
    (MORE_THAN_PAID, lambda found: found.payments.versions[PAYMENT][1].update(refundable=-1)),
    (MORE_THAN_PAID, lambda found: found.payments.versions[PAYMENT][1].update(unrefunded=-1)),
    (MORE_THAN_PAID, lambda found: found.refunds.ledger[FIRST].update(refundAmount=amount(PAID + 1))),
    (MORE_THAN_PAID, lambda found: found.refunds.ledger[FIRST].update(resultCode="REFUND_AMOUNT_EXCEED")),
    (INIT_LEFT_TWICE, lambda found: found.refunds.versions[FIRST].insert(1, {"status": "FAIL"})),
    (INIT_LEFT_TWICE, lambda found: found.refunds.versions[FIRST].append(found.refunds.versions[FIRST][0])),
    (INIT_LEFT_TWICE, lambda found: found.refunds.versions.clear()),
    (OTHER_BYTES, lambda found: found.refunds.bodies.update({FIRST: ["a", "b"]})),
    (OTHER_BYTES, lambda found: found.refunds.bodies.update({FIRST: ["a"]})),
    (CONTRADICTING_ANSWER, lambda found: found.refunds.asked[FIRST].answers[3].shown.update(status="FAIL")),
    (CONTRADICTING_ANSWER, lambda found: found.refunds.asked[FIRST].answers[3].shown.update(refundId="R2")),
    (CONTRADICTING_ANSWER, lambda found: found.refunds.asked[FIRST].answers[2].shown.update(refundAmount=amount(1))),
    (CONTRADICTING_ANSWER, lambda found: found.refunds.asked[FIRST].answers.append(Answer("POST", 409))),
    (CONTRADICTING_ANSWER, lambda found: found.refunds.asked[FIRST].answers.append(Answer("GET", 404))),
    (CONTRADICTING_ANSWER, init_after_final),
    (CONTRADICTING_ANSWER, refused_although_left),
    (CONTRADICTING_ANSWER, refused_although_stored),
]


@pytest.mark.parametrize(("kind", "falsify"), FALSIFIED)
def test_whatever_is_falsified_is_found_and_named(kind: str, falsify: Callable[[Books], Any]) -> None:
    found = books()
    falsify(found)
    differences = compare_refunds(found)
    assert kind in {difference.kind for difference in differences}
    assert PAYMENT in {difference.payment_request_id for difference in differences}


WRONG: tuple[Any, ...] = (None, True, -1, "x", "", [], {}, "999999")
"""What may stand in a row in whose place; the last is no wrong type, but nowhere right."""

IN_REFUND = ("paymentRequestId", "status", "currency", "amountValue", "resultCode", "refundId")
IN_ORDER = ("status", "amountValue", "refundable", "unrefunded")


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", IN_REFUND)
def test_whatever_stands_in_a_refunds_row_is_read_and_found(name: str, wrong: Any) -> None:
    found = books()
    found.refunds.rows[FIRST][name] = wrong
    assert compare_refunds(found)
    del found.refunds.rows[FIRST][name]
    assert compare_refunds(found)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", IN_ORDER)
def test_whatever_stands_in_an_order_of_the_refunds_is_read_and_found(name: str, wrong: Any) -> None:
    found = books()
    found.payments.rows[PAYMENT][name] = wrong
    assert compare_refunds(found)
    del found.payments.rows[PAYMENT][name]
    assert compare_refunds(found)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", ["status", "refundAmount", "refundId", "paymentRequestId"])
def test_whatever_a_caller_was_told_is_read_and_found(name: str, wrong: Any) -> None:
    found = books()
    found.refunds.asked[FIRST].answers[3].shown[name] = wrong
    assert compare_refunds(found)
