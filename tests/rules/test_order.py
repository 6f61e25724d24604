"""The order as merchants see it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.instants import utc_text
from autodebit.payment.order import Order, Status, Witness, order_document
from autodebit.polling import NEVER
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.samples import ID, NOW, PAYMENT_ID, TOKEN, order


def test_an_init_order_leaves_out_what_is_not_known() -> None:
    assert order_document(order()) == {
        "paymentRequestId": ID,
        "status": "INIT",
        "paymentAmount": {"currency": "HKD", "value": "1990"},
        "referenceOrderId": "20261122-000017",
        "createdAt": "2026-11-22T09:30:00Z",
        "expiresAt": "2026-11-22T09:30:55Z",
    }


def test_an_init_order_tells_of_its_cancel_its_next_look_and_that_it_never_left() -> None:
    row = order(never_sent=True, cancel_requested_at=NOW, overdue_at=NOW + timedelta(seconds=70))
    document = order_document(row)
    told = {name: document[name] for name in document.keys() - order_document(order()).keys()}
    assert told == {
        "neverSent": True,
        "nextLookAt": "2026-11-22T09:30:10Z",
        "cancelRequestedAt": "2026-11-22T09:30:00Z",
    }
    settled = order_document(replace(row, status=Status.CANCELLED))
    assert not {"neverSent", "nextLookAt"} & settled.keys()


def test_what_was_given_back_is_shown_but_not_by_the_event_of_the_result() -> None:
    paid = order(status=Status.SUCCESS, refunded=500)
    refunded = {"refundedAmount": {"currency": "HKD", "value": "500"}}
    assert paid.shown_now == {"order": order_document(paid)}
    assert order_document(paid) == order_document(order(status=Status.SUCCESS)) | refunded
    assert paid.shown == {"order": order_document(order(status=Status.SUCCESS))}


def test_an_order_whose_schedule_has_ended_is_spent() -> None:
    assert order(overdue_at=NEVER).is_spent
    assert not order(overdue_at=NOW).is_spent


PAID = Final(Status.SUCCESS, transaction_id=PAYMENT_ID)


@pytest.mark.parametrize(
    ("row", "final", "crossed"),
    [
        (order(cancel_requested_at=NOW), PAID, True),
        (order(cancel_doubted=True), PAID, True),
        (order(status=Status.CANCELLED, cancel_requested_at=NOW), PAID, True),
        (order(status=Status.FAIL, cancel_requested_at=NOW), PAID, False),
        (order(cancel_requested_at=NOW), Final(Status.FAIL), False),
        (order(), PAID, False),
    ],
)
def test_a_success_crosses_a_cancel_that_is_noted_or_doubted(row: Order, final: Final[Status], crossed: bool) -> None:
    assert row.is_crossed_by(final) is crossed


@pytest.mark.parametrize(
    ("row", "final", "disputed"),
    [
        (order(), PAID, False),
        (order(status=Status.CANCELLED), PAID, True),
        (order(status=Status.CANCELLED, cancel_requested_at=NOW), PAID, False),
        (order(status=Status.CANCELLED), Final(Status.FAIL), False),
        (order(status=Status.SUCCESS, payment_id=PAYMENT_ID), PAID, False),
        (order(status=Status.SUCCESS, payment_id="another"), PAID, True),
        (order(status=Status.SUCCESS), Final(Status.FAIL), True),
    ],
)
def test_a_result_is_disputed_if_money_moved_otherwise(row: Order, final: Final[Status], disputed: bool) -> None:
    assert row.disputes(final) is disputed


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAIL, Status.CANCELLED])
@pytest.mark.parametrize("witness", list(Witness))
def test_a_final_order_tells_who_settled_it_and_how(status: Status, witness: Witness) -> None:
    settled = order(
        status=status,
        settled_by=witness,
        settled_at=NOW + timedelta(seconds=3),
        payment_id=PAYMENT_ID,
        result_code="CODE",
        result_message="message",
        payment_time="2026-11-22T17:30:02+08:00",
    )
    document = order_document(settled)
    advice = {"advice": "DO_NOT_RETRY"} if status is Status.FAIL else {}
    assert document == order_document(order()) | advice | {
        "status": status.value,
        "settledBy": witness.value,
        "settledAt": "2026-11-22T09:30:03Z",
        "paymentId": PAYMENT_ID,
        "resultCode": "CODE",
        "resultMessage": "message",
        "paymentTime": "2026-11-22T17:30:02+08:00",
    }


def test_statuses_and_witnesses_are_those_of_the_api() -> None:
    assert list(Status) == ["INIT", "SUCCESS", "FAIL", "CANCELLED"]
    assert list(Witness) == ["pay", "notify", "inquiry", "cancel"]


def test_nothing_of_the_attempt_is_shown() -> None:
    inside = order(
        identity=TOKEN,
        token_digest=TOKEN,
        pay_body_sha256=TOKEN,
        attempt=TOKEN,
        settle_token=TOKEN,
        last_inquiry=TOKEN,
        contradictions=frozenset({TOKEN}),
    )
    assert TOKEN not in str(order_document(inside))


@pytest.mark.parametrize("text", ["2026-11-22T09:30:55Z", "2026-11-22T17:30:55+08:00", "2026-11-22T01:30:55.0-08:00"])
def test_the_expiry_is_one_instant_in_whatever_offset_it_was_written(text: str) -> None:
    written = order(payment_expiry_time=text)
    assert written.expires_at == datetime(2026, 11, 22, 9, 30, 55, tzinfo=UTC)
    assert order_document(written)["expiresAt"] == "2026-11-22T09:30:55Z"


instants = st.datetimes(
    min_value=datetime(1000, 1, 2),
    max_value=datetime(9998, 1, 1),
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@given(one=instants, other=instants)
def test_texts_of_instants_sort_like_the_instants(one: datetime, other: datetime) -> None:
    texts = [utc_text(instant, "milliseconds") for instant in (one, other)]
    assert len(texts[0]) == len(texts[1]) == len("2026-11-22T09:30:00.000Z")
    if abs(one - other) >= timedelta(milliseconds=1):
        assert (texts[0] < texts[1]) is (one < other)


def test_an_amount_is_two_texts() -> None:
    assert Amount("HKD", "1990") == Amount("HKD", "1990")
    assert Amount("HKD", "1990") != Amount("HKD", "01990")
