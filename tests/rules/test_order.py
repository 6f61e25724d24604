"""The order as merchants see it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from autodebit.alipay.amount import Amount
from autodebit.instants import utc_text
from autodebit.payment.order import Status, Witness, order_document
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
