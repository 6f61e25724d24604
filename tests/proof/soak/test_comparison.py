"""The comparison finds what it is there to find: one payment that is right, and each way in which it may be wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from .books import Answer, Asked, Books, Difference, Side
from .comparison import (
    CONTRADICTING_ANSWER,
    DOUBLE_DEBIT,
    FALSE_RESULT,
    INIT_LEFT_TWICE,
    LOST_RESULT,
    OTHER_BYTES,
    compare,
    unheard,
)

Json = dict[str, Any]

KEY = "soak-1-000001"
AMOUNT = {"currency": "HKD", "value": "1990"}


def payments(status: str = "SUCCESS", code: str = "SUCCESS") -> Side:
    """A payment that was answered 202 first, ended so, and was looked up then."""
    init = {
        "paymentRequestId": KEY,
        "status": "INIT",
        "currency": "HKD",
        "amountValue": "1990",
        "watchShard": "07",
        "overdueAt": "2026-11-22T09:30:30.000Z",
    }
    row = {name: value for name, value in init.items() if name not in ("watchShard", "overdueAt")}
    row |= {"status": status, "resultCode": code, "paymentId": "P1", "settledBy": "notify"}
    payment = {
        "status": status,
        "resultCode": code,
        "paymentId": "P1",
        "paymentAmount": AMOUNT,
        "debits": int(status == "SUCCESS"),
        "calls": {"pay": 2},
    }
    answers = [
        Answer("POST", 0),
        Answer("POST", 503),
        Answer("POST", 202, {"status": "INIT", "paymentAmount": AMOUNT}),
        Answer("GET", 200, {"status": status, "paymentAmount": AMOUNT, "paymentId": "P1"}),
    ]
    return Side(
        asked={KEY: Asked(KEY, AMOUNT, answers)},
        rows={KEY: row},
        versions={KEY: [init, dict(row)]},
        ledger={KEY: payment},
        bodies={KEY: ["a", "a"]},
    )


def found_in(found: Side) -> list[Difference]:
    return compare(Books(found, Side({}, {}, {}, {}, {})))


def still_init(found: Side, **attributes: Any) -> None:
    """The order was never settled."""
    found.versions[KEY] = found.versions[KEY][:1]
    found.rows[KEY] = found.versions[KEY][0] | attributes
    found.asked[KEY].answers.pop()


def never_arrived(found: Side) -> None:
    """No pay has reached Alipay."""
    found.ledger.clear()
    found.bodies.clear()


@pytest.mark.parametrize(
    ("status", "code"), [("SUCCESS", "SUCCESS"), ("FAIL", "RISK_REJECT"), ("CANCELLED", "ORDER_IS_CANCELED")]
)
def test_books_that_agree_show_no_difference(status: str, code: str) -> None:
    assert found_in(payments(status, code)) == []


def test_what_nobody_can_know_is_no_difference_while_the_order_is_init_and_watched() -> None:
    processing, unsent, not_stored = payments(), payments(), payments()
    still_init(processing)
    processing.ledger[KEY] |= {"status": "PROCESSING", "debits": 0}
    still_init(unsent, neverSent=True)
    for found in (unsent, not_stored):
        never_arrived(found)
    not_stored.rows.clear()
    not_stored.versions.clear()
    del not_stored.asked[KEY].answers[2:]
    assert [found_in(found) for found in (processing, unsent, not_stored)] == [[], [], []]


def unwatched(found: Side) -> None:
    still_init(found)
    found.ledger[KEY] |= {"status": "PROCESSING", "debits": 0}
    del found.rows[KEY]["overdueAt"]


def unsent_and_arrived(found: Side) -> None:
    still_init(found, neverSent=True)
    found.ledger[KEY] |= {"status": "PROCESSING", "debits": 0}


def told_and_not_stored(found: Side) -> None:
    never_arrived(found)
    found.rows.clear()
    found.versions.clear()
    found.asked[KEY].answers.pop()


def not_stored(found: Side) -> None:
    found.rows.clear()
    found.versions.clear()
    del found.asked[KEY].answers[2:]


def init_after_final(found: Side) -> None:
    found.asked[KEY].answers.append(Answer("GET", 200, {"status": "INIT", "paymentAmount": AMOUNT}))


def left_twice(found: Side) -> None:
    found.versions[KEY].insert(1, found.versions[KEY][1] | {"status": "FAIL"})


def init_again(found: Side) -> None:
    found.versions[KEY][1:1] = [found.versions[KEY][1], found.versions[KEY][0]]


FALSIFIED: list[tuple[str, Callable[[Side], Any]]] = [
    (DOUBLE_DEBIT, lambda found: found.ledger[KEY].update(debits=2)),
    (FALSE_RESULT, lambda found: found.ledger[KEY].update(status="FAIL", debits=0)),
    (FALSE_RESULT, lambda found: found.ledger[KEY].update(status="PROCESSING", debits=0)),
    (FALSE_RESULT, lambda found: found.ledger[KEY].update(debits=0)),
    (FALSE_RESULT, lambda found: found.ledger[KEY].update(paymentId="P2")),
    (FALSE_RESULT, lambda found: found.ledger[KEY].update(paymentAmount=AMOUNT | {"value": "1"})),
    (FALSE_RESULT, lambda found: found.rows[KEY].update(resultCode="PROCESS_FAIL")),
    (FALSE_RESULT, lambda found: found.rows[KEY].pop("paymentId")),
    (FALSE_RESULT, lambda found: found.rows[KEY].update(amountValue="1")),
    (FALSE_RESULT, never_arrived),
    (LOST_RESULT, still_init),
    (LOST_RESULT, unwatched),
    (LOST_RESULT, unsent_and_arrived),
    (LOST_RESULT, told_and_not_stored),
    (LOST_RESULT, not_stored),
    (INIT_LEFT_TWICE, left_twice),
    (INIT_LEFT_TWICE, init_again),
    (INIT_LEFT_TWICE, lambda found: found.versions.clear()),
    (OTHER_BYTES, lambda found: found.bodies.update({KEY: ["a", "b"]})),
    (OTHER_BYTES, lambda found: found.bodies.update({KEY: ["a"]})),
    (CONTRADICTING_ANSWER, lambda found: found.asked[KEY].answers[3].shown.update(status="FAIL")),
    (CONTRADICTING_ANSWER, lambda found: found.asked[KEY].answers[3].shown.update(paymentId="P2")),
    (CONTRADICTING_ANSWER, lambda found: found.asked[KEY].answers[2].shown.update(paymentAmount={})),
    (CONTRADICTING_ANSWER, lambda found: found.asked[KEY].answers.append(Answer("POST", 409))),
    (CONTRADICTING_ANSWER, lambda found: found.asked[KEY].answers[3].shown.update(status="PAID")),
    (CONTRADICTING_ANSWER, init_after_final),
]


@pytest.mark.parametrize(("kind", "falsify"), FALSIFIED)
def test_whatever_is_falsified_is_found_and_named(kind: str, falsify: Callable[[Side], Any]) -> None:
    found = payments()
    falsify(found)
    assert kind in {difference.kind for difference in found_in(found)}


def test_an_order_that_the_alarm_has_not_heard_of_is_named_however_many_others_it_has() -> None:
    rows = [{"paymentRequestId": key} for key in ("a", "b")] + [{"paymentRequestId": "c", "neverSent": True}]
    assert unheard(rows, {"a", "b", "of another run"}) == []
    assert [difference.payment_request_id for difference in unheard(rows, {"a", "c", "of another run"})] == ["b"]
