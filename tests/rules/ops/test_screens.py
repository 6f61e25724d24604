"""Screens of `ops`, kept as text: of every fault that leaves an order open, and of what a person has to look at.

After a change that is meant: `KEEP_SCREENS=1 pytest tests/rules/ops`, then read the difference.
"""

import json
import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from autodebit.alipay.amount import Amount
from autodebit.events import Acknowledgement, Told
from autodebit.payment.order import Order, Status, Witness
from autodebit.polling import NEVER
from autodebit.refund.initiate import RELEASABLE_AFTER_S
from autodebit.refund.refund import Refund
from autodebit.refund.refund import Status as RefundStatus
from autodebit.refund.refund import Witness as RefundWitness
from autodebit.refund.refund_table import RELEASED

from ops import documents
from ops.screens import as_text, show, waiting
from ops.story import awaits_a_person, in_brief
from tests.kit.samples import NOW, PAYMENT_ID, order

KEPT = Path(__file__).parent / "screens"

CLOSE_AFTER_S = 900
CLOSE_S = 55 + CLOSE_AFTER_S

Row = Order | Refund


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def polled(overdue_s: float = 300, **changes: Any) -> Order:
    """An order that somebody looks at until so long after it was created."""
    return order(payment_method_type="ALIPAY_HK", overdue_at=later(overdue_s), **changes)


def heard(row: Order, *said: tuple[float, str]) -> Order:
    """The order after inquiries and cancels heard this, each so many seconds after it was created."""
    for seconds, words in said:
        row = replace(row.hears(words, NOW + timedelta(seconds=seconds)), last_inquiry=words)
    return row


def contradicted(row: Order, seconds: float, said: str) -> Order:
    detail = json.dumps({"contradiction": said})
    told = (*row.told, Told("PaymentContradicted", NOW + timedelta(seconds=seconds), detail))
    return replace(row, contradictions=row.contradictions | {said}, told=told)


def unresolved(row: Order, seconds: float) -> Order:
    at = NOW + timedelta(seconds=seconds)
    return replace(row, unresolved_at=at, told=(*row.told, Told("PaymentUnresolved", at, "{}")))


def refused(row: Order, seconds: float, code: str) -> Order:
    at = NOW + timedelta(seconds=seconds)
    return replace(row.hears(f"cancel F/{code}", at), cancel_code=code, cancel_refused_at=at)


def refund(**changes: Any) -> Refund:
    fields: dict[str, Any] = {
        "refund_request_id": "ref-1",
        "payment_request_id": order().key,
        "status": RefundStatus.INIT,
        "amount": Amount("HKD", "990"),
        "created_at": NOW,
        "body": "{}",
        "attempt": "a",
        "attempted_at": NOW,
        "overdue_at": later(135),
    }
    return Refund(**(fields | changes))


NOT_EXIST = "inquiry F/ORDER_NOT_EXIST"
PROCESSING = "inquiry S: PROCESSING"

SCREENS: dict[str, tuple[Row, float]] = {
    "F01 killed once INIT was stored": (polled(30), 45),
    "F02 killed before pay was sent": (heard(polled(20), (5, NOT_EXIST), (10, NOT_EXIST)), 12),
    "F05 F06 F27 never sent": (order(never_sent=True), 120),
    "F07 F08 pay without answer": (heard(polled(), (0, "pay without answer: ReadTimeout"), (5, PROCESSING)), 7),
    "F09 HTTP 502 to pay": (heard(polled(), (0, "pay without answer: HTTP 502"), (5, NOT_EXIST)), 7),
    "F10 unsigned success to pay": (heard(polled(), (0, "pay without answer: unsigned SUCCESS"), (5, PROCESSING)), 7),
    "F14 pay was repeated otherwise": (heard(polled(), (0, "pay F/REPEAT_REQ_INCONSISTENT"), (5, PROCESSING)), 7),
    "F16 pay is in process": (heard(polled(), (0, "pay U/PAYMENT_IN_PROCESS"), (5, PROCESSING)), 7),
    "F10 unsigned success to an inquiry": (heard(polled(), (5, "inquiry without answer: unsigned SUCCESS")), 60),
    "F11 our signature is refused": (heard(polled(), (5, "inquiry without answer: unsigned INVALID_SIGNATURE")), 60),
    "F12 answer signed by another key": (heard(polled(), (5, "inquiry without answer: not authentic: signature")), 60),
    "F13 another amount": (
        heard(contradicted(polled(), 3, "notify S/SUCCESS: paymentAmount is HKD 1"), (5, PROCESSING)),
        60,
    ),
    "F16 PROCESSING for an hour": (
        unresolved(
            refused(
                heard(polled(7000), (5, PROCESSING), (10, PROCESSING), (CLOSE_S, PROCESSING)),
                CLOSE_S + 1,
                "ORDER_STATUS_INVALID",
            ),
            CLOSE_S + 7,
        ),
        3600,
    ),
    "F16 PROCESSING until the schedule was spent": (
        unresolved(heard(replace(polled(), overdue_at=NEVER), (5, PROCESSING), (87000, PROCESSING)), 87000),
        90000,
    ),
    "F18 inquiries fail": (
        heard(polled(), (5, "inquiry U/REQUEST_TRAFFIC_EXCEED_LIMIT"), (10, "inquiry without answer: ReadTimeout")),
        60,
    ),
    "F30 nobody looks": (heard(polled(80), (5, PROCESSING)), 400),
    "F35 F41 success crosses the cancel": (
        heard(
            polled(
                CLOSE_S + 20,
                cancel_requested_at=later(CLOSE_S),
                cancel_attempted_at=later(CLOSE_S),
                crossed=frozenset({f"notify SUCCESS {PAYMENT_ID}"}),
            ),
            (CLOSE_S - 1, PROCESSING),
        ),
        CLOSE_S + 3,
    ),
    "F39 killed once the cancel was noted": (
        heard(
            polled(CLOSE_S + 16, cancel_requested_at=later(CLOSE_S), cancel_attempted_at=later(CLOSE_S)),
            (CLOSE_S - 1, PROCESSING),
        ),
        CLOSE_S + 30,
    ),
    "F40 cancel without answer": (
        heard(
            polled(CLOSE_S + 140, cancel_requested_at=later(CLOSE_S), last_cancel="cancel without answer: ReadTimeout"),
            (CLOSE_S - 1, PROCESSING),
            *((CLOSE_S + 6 * n, "cancel without answer: ReadTimeout") for n in range(10)),
        ),
        CLOSE_S + 70,
    ),
    "F42 the wallet cannot be cancelled": (
        unresolved(
            refused(heard(polled(CLOSE_S + 600), (CLOSE_S, PROCESSING)), CLOSE_S + 1, "PAYMENT_METHOD_NOT_SUPPORTED"),
            CLOSE_S + 7,
        ),
        CLOSE_S + 60,
    ),
    "F42 past the window, closed by hand": (
        refused(heard(polled(600), (5, PROCESSING)), 60, "CANCEL_WINDOW_EXCEED"),
        90,
    ),
    "F42 no balance to give back from": (
        unresolved(
            refused(heard(polled(CLOSE_S + 600), (CLOSE_S, PROCESSING)), CLOSE_S + 1, "MERCHANT_BALANCE_NOT_ENOUGH"),
            CLOSE_S + 7,
        ),
        CLOSE_S + 60,
    ),
    "F43 Alipay has no such payment": (
        replace(
            refused(heard(polled(CLOSE_S + 20), (5, NOT_EXIST)), CLOSE_S + 1, "ORDER_NOT_EXIST"),
            absences=2,
            absent_at=NOW + timedelta(seconds=CLOSE_S + 16),
        ),
        CLOSE_S + 17,
    ),
    "F43 late success": (
        contradicted(
            order(
                status=Status.FAIL,
                settled_by=Witness.CANCEL,
                settled_at=later(CLOSE_S + 31),
                result_code="ORDER_NOT_EXIST",
            ),
            CLOSE_S + 60,
            f"notify SUCCESS {PAYMENT_ID}",
        ),
        CLOSE_S + 90,
    ),
    "acknowledged": (
        replace(
            contradicted(
                order(
                    status=Status.SUCCESS,
                    settled_by=Witness.PAY,
                    settled_at=later(1),
                    payment_id=PAYMENT_ID,
                    result_code="SUCCESS",
                    told=(Told("PaymentSucceeded", NOW),),
                ),
                60,
                "notify FAIL",
            ),
            acknowledged=(Acknowledgement(2, "arn:aws:iam::1:user/ada", NOW + timedelta(hours=1), "refunded by hand"),),
        ),
        7200,
    ),
    "F57 refund without answer": (
        refund(inquiries=2, last_inquiry="inquiry without answer: ReadTimeout", overdue_at=later(90)),
        29,
    ),
    "cancelled, never sent": (
        order(never_sent=True, status=Status.CANCELLED, settled_by=Witness.CANCEL, settled_at=later(600)),
        700,
    ),
    "success of a payment that was cancelled": (
        order(
            status=Status.CANCELLED,
            settled_by=Witness.CANCEL,
            settled_at=later(CLOSE_S + 1),
            cancel_requested_at=later(CLOSE_S),
            crossed=frozenset({f"notify SUCCESS {PAYMENT_ID}"}),
        ),
        CLOSE_S + 60,
    ),
    "refund never sent": (refund(never_sent=True, overdue_at=None), 30),
    "refund whose amount another one took": (
        refund(
            never_sent=True,
            overdue_at=None,
            status=RefundStatus.FAIL,
            settled_by=RefundWitness.REFUND,
            settled_at=later(300),
            result_message=RELEASED,
        ),
        600,
    ),
    "refund failed": (
        refund(
            status=RefundStatus.FAIL,
            settled_by=RefundWitness.NOTIFY,
            settled_at=later(60),
            overdue_at=None,
            result_code="MERCHANT_BALANCE_NOT_ENOUGH",
            inquiries=2,
            last_inquiry=NOT_EXIST,
        ),
        600,
    ),
    "refund without a result": (
        refund(
            overdue_at=NEVER,
            in_process="refund U/REFUND_IN_PROCESS",
            inquiries=10,
            last_inquiry="inquiry S: PROCESSING",
            told=(Told("RefundUnresolved", later(88000), "{}"),),
        ),
        90000,
    ),
    "F61 refund succeeded after it had failed": (
        refund(
            status=RefundStatus.FAIL,
            settled_by=RefundWitness.REFUND,
            settled_at=later(1),
            overdue_at=None,
            result_code="MERCHANT_BALANCE_NOT_ENOUGH",
            contradictions=frozenset({"notify SUCCESS 2026"}),
            told=(
                Told("RefundFailed", NOW),
                Told("RefundContradicted", NOW + timedelta(minutes=5), '{"contradiction": "notify SUCCESS 2026"}'),
            ),
        ),
        600,
    ),
}


def same_as_kept(name: str, text: str) -> None:
    path = KEPT / f"{name}.txt"
    if "KEEP_SCREENS" in os.environ:
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("name", SCREENS)
def test_one_screen_tells_the_whole_story(name: str) -> None:
    row, seconds = SCREENS[name]
    text = as_text(show(row, [], NOW + timedelta(seconds=seconds), CLOSE_AFTER_S))
    assert len(text.splitlines()) <= 24
    same_as_kept(name, text)


def test_a_payment_that_has_its_result_names_the_refund_that_has_none() -> None:
    row, _ = SCREENS["acknowledged"]
    text = as_text(show(row, [refund()], NOW, CLOSE_AFTER_S))
    assert "Its refund ref-1 has no result yet: `ops show ref-1`." in text
    assert "Nothing: it has its result." not in text


def test_what_is_open_is_a_list() -> None:
    rows = [row for row, _ in SCREENS.values() if row.is_init or awaits_a_person(row)]
    same_as_kept("open", as_text(waiting(rows, NOW + timedelta(seconds=120))))
    same_as_kept("nothing open", as_text(waiting([], NOW)))


@pytest.mark.parametrize("name", ["F16 PROCESSING for an hour", "F13 another amount", "refund without a result"])
def test_an_open_row_that_a_person_has_to_look_at_is_marked_until_it_is_acknowledged(name: str) -> None:
    row, seconds = SCREENS[name]
    looked_at = acknowledged(row)
    marked, healthy = in_brief(row, later(seconds)), in_brief(looked_at, later(seconds))
    assert marked == f"a person has to look; {healthy}"


def test_the_minute_after_which_a_refund_that_never_left_makes_room_is_the_true_one() -> None:
    row, seconds = SCREENS["refund never sent"]
    assert "a minute after it was tried" in as_text(show(row, [], later(seconds), CLOSE_AFTER_S))
    assert RELEASABLE_AFTER_S == 60


@pytest.mark.parametrize("name", SCREENS)
def test_a_result_is_said_to_be_believed_only_if_somebody_said_it(name: str) -> None:
    row, seconds = SCREENS[name]
    said = as_text(show(row, [], later(seconds), CLOSE_AFTER_S))
    assert ("Believed: this is the result." in said) == (not row.is_init and not row.never_sent)
    assert ("Ended here" in said) == (not row.is_init and row.never_sent)


def acknowledged(row: Row) -> Row:
    return replace(row, acknowledged=(Acknowledgement(len(row.told), "ada", NOW, "asked"),))


def test_a_refund_that_got_its_result_later_waits_for_nobody() -> None:
    row, _ = SCREENS["refund without a result"]
    assert awaits_a_person(row)
    settled: dict[str, Any] = {"status": RefundStatus.SUCCESS, "settled_by": RefundWitness.NOTIFY, "settled_at": NOW}
    assert not awaits_a_person(replace(row, **settled))
    contradicted_one, _ = SCREENS["F61 refund succeeded after it had failed"]
    assert awaits_a_person(contradicted_one)
    assert not awaits_a_person(acknowledged(contradicted_one))


@pytest.mark.parametrize("name", SCREENS)
def test_scripts_are_told_the_same(name: str) -> None:
    row, seconds = SCREENS[name]
    document = json.loads(json.dumps(documents.row(row, NOW + timedelta(seconds=seconds), CLOSE_AFTER_S)))
    assert {"story", "next"} < set(document)
    assert document["next"]


def test_every_screen_that_is_kept_is_shown() -> None:
    assert {path.stem for path in KEPT.iterdir()} == {*SCREENS, "open", "nothing open"}
