"""The merchant's request for a refund: what is refused, and the bytes that come of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from autodebit.errors import NotificationMalformed, RequestInvalid
from autodebit.refund.advice import refund_advice
from autodebit.refund.notification import parse_notification
from autodebit.refund.request import parse_refund_request
from autodebit.refund.window import window_over

from tests.kit.refunds import given_back, refund_request
from tests.kit.samples import PAYMENT_ID, body, order, without


def faults(**changes: Any) -> dict[str, str]:
    """The fields at fault, and what is said of them."""
    with pytest.raises(RequestInvalid) as refusal:
        parse_refund_request(body(refund_request(**changes)))
    return {error.field: error.detail for error in refusal.value.errors}


@pytest.mark.parametrize("value", ["0", "-1", "+1", "01", "1.0", "1e3", " 1", "", "1" * 17, "１"])
def test_a_value_that_is_no_positive_whole_number_is_refused(value: str) -> None:
    assert set(faults(refundAmount={"currency": "HKD", "value": value})) == {"refundAmount.value"}


@pytest.mark.parametrize("value", ["1", "9" * 16])
def test_one_minor_unit_and_sixteen_digits_are_amounts(value: str) -> None:
    request = parse_refund_request(body(refund_request(refundAmount={"currency": "HKD", "value": value})))
    assert request.amount.value == value


@pytest.mark.parametrize("currency", ["hkd", "HK", "HKDX", ""])
def test_a_currency_that_is_none_is_refused(currency: str) -> None:
    assert set(faults(refundAmount={"currency": currency, "value": "1"})) == {"refundAmount.currency"}


@pytest.mark.parametrize("refund_request_id", ["", "a" * 65, "a b", "a/b", "ü", "a.b"])
def test_an_id_of_other_characters_or_lengths_is_refused(refund_request_id: str) -> None:
    assert set(faults(refundRequestId=refund_request_id)) == {"refundRequestId"}


@pytest.mark.parametrize(("name", "longest"), [("refundReason", 256), ("referenceRefundId", 64), ("metadata", 2048)])
def test_optional_texts_have_their_lengths(name: str, longest: int) -> None:
    assert parse_refund_request(body(refund_request(**{name: "ü" * longest}))).fields[name] == "ü" * longest
    assert faults(**{name: "ü" * (longest + 1)}) == {name: f"must be at most {longest} characters"}


def test_an_id_says_of_what_it_may_be_made() -> None:
    assert faults(refundRequestId="a.b") == {"refundRequestId": "must be 1 to 64 characters of A-Z a-z 0-9 _ -"}
    for refund_request_id in ("a", "Z" * 64):
        request = parse_refund_request(body(refund_request(refundRequestId=refund_request_id)))
        assert request.refund_request_id == refund_request_id


@pytest.mark.parametrize("name", ["refundRequestId", "refundAmount"])
def test_a_refund_has_an_id_and_an_amount(name: str) -> None:
    with pytest.raises(RequestInvalid) as refusal:
        parse_refund_request(body(without(refund_request(), name)))
    assert [(error.field, error.detail) for error in refusal.value.errors] == [(name, "is required")]


@pytest.mark.parametrize("name", ["paymentId", "refundNotifyUrl"])
def test_fields_that_the_service_fills_in_are_refused_by_name(name: str) -> None:
    assert faults(**{name: "x"}) == {name: "is set by the service; leave it out"}


def test_every_fault_is_named_at_once() -> None:
    assert set(faults(refundRequestId="!", refundAmount={"currency": "x"}, refundReason=1)) == {
        *("refundRequestId", "refundAmount.currency", "refundAmount.value", "refundReason")
    }


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"refundRequestId":"a","refundRequestId":"b"}'])
def test_what_is_no_object_is_refused_as_a_whole(text: bytes) -> None:
    with pytest.raises(RequestInvalid) as refusal:
        parse_refund_request(text)
    assert [error.field for error in refusal.value.errors] == ["body"]


def test_the_body_holds_what_was_asked_and_what_the_service_fills_in() -> None:
    request = parse_refund_request(body(refund_request(refundReason="broken", metadata="free", other={"a": "b"})))
    sent = json.loads(request.body(PAYMENT_ID, "https://shop.example/notifications/refund"))
    assert sent == refund_request(refundReason="broken", metadata="free", other={"a": "b"}) | {
        "paymentId": PAYMENT_ID,
        "refundNotifyUrl": "https://shop.example/notifications/refund",
    }


def test_the_same_fields_in_another_order_give_the_same_bytes() -> None:
    fields = refund_request(refundReason="broken")
    turned = dict(reversed(fields.items()))
    one, other = (parse_refund_request(body(given)).body(PAYMENT_ID, "https://a") for given in (fields, turned))
    assert one == other


# --- Held against the payment --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wallet", "currency", "value", "fault"),
    [
        ("ALIPAY_HK", "HKD", "1", None),
        ("ALIPAY_HK", "USD", "1", "refundAmount.currency"),
        ("DANA", "IDR", "100", None),
        ("DANA", "IDR", "150", "refundAmount.value"),
        (None, "IDR", "1", "refundAmount.value"),
        ("OCTOPUS", "HKD", "15", "refundAmount.value"),
        ("OCTOPUS", "HKD", "20", None),
    ],
)
def test_an_amount_must_be_of_the_payments_currency_and_one_that_moves(
    wallet: str | None, currency: str, value: str, fault: str | None
) -> None:
    request = parse_refund_request(body(refund_request(refundAmount={"currency": currency, "value": value})))
    of = "HKD" if currency == "USD" else currency
    paid = order(amount=type(request.amount)(of, "1000"), payment_method_type=wallet)
    assert [error.field for error in request.faults(paid)] == ([fault] if fault else [])


PAID_AT = datetime(2026, 2, 28, 9, 30, 2, tzinfo=UTC)


@pytest.mark.parametrize(("wallet", "days"), [("ALIPAY_HK", 365), ("ALIPAY_CN", 365), (None, 365), ("PAYPAY", 90)])
def test_the_window_ends_to_the_second(wallet: str | None, days: int) -> None:
    last = PAID_AT + timedelta(days=days)
    assert not window_over(PAID_AT, wallet, last)
    assert window_over(PAID_AT, wallet, last + timedelta(seconds=1))


# --- What to do about a failure ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("MERCHANT_BALANCE_NOT_ENOUGH", "RETRY_LATER"),
        ("PARAM_ILLEGAL", "CORRECT_REQUEST"),
        ("CURRENCY_NOT_SUPPORT", "CORRECT_REQUEST"),
        ("REFUND_AMOUNT_EXCEED", "CORRECT_REQUEST"),
        ("PARTIAL_REFUND_NOT_SUPPORTED", "CORRECT_REQUEST"),
        ("ACCESS_DENIED", "FIX_SETUP"),
        ("KEY_NOT_FOUND", "FIX_SETUP"),
        ("INVALID_MERCHANT_STATUS", "FIX_SETUP"),
        ("NO_INTERFACE_DEF", "FIX_SETUP"),
        ("INVALID_API", "FIX_SETUP"),
        ("REFUND_WINDOW_EXCEED", "DO_NOT_RETRY"),
        ("PROCESS_FAIL", "DO_NOT_RETRY"),
        ("A_NEW_CODE", "DO_NOT_RETRY"),
        (None, "DO_NOT_RETRY"),
    ],
)
def test_a_code_has_one_advice(code: str | None, advice: str) -> None:
    assert refund_advice(code) == advice


# --- A notification ------------------------------------------------------------------------------------------------


def test_a_notification_is_read_with_what_it_needs() -> None:
    assert parse_notification(body(given_back())) == given_back()


@pytest.mark.parametrize("name", ["notifyType", "result", "refundStatus", "refundRequestId", "refundAmount"])
def test_a_notification_without_what_it_needs_is_malformed(name: str) -> None:
    with pytest.raises(NotificationMalformed):
        parse_notification(body(without(given_back(), name)))
    with pytest.raises(NotificationMalformed):
        parse_notification(body(given_back(**{name: 1})))


@pytest.mark.parametrize("part", ["currency", "value"])
def test_a_notified_amount_has_both_its_parts(part: str) -> None:
    amount = without(given_back()["refundAmount"], part)
    with pytest.raises(NotificationMalformed, match=f"^refundAmount.{part} is missing or is no string$"):
        parse_notification(body(given_back(refundAmount=amount)))


@pytest.mark.parametrize("notify_type", ["PAYMENT_RESULT", "PAYMENT_PENDING", "refund_result", ""])
def test_a_notification_of_something_else_is_malformed(notify_type: str) -> None:
    with pytest.raises(NotificationMalformed, match=r"^notifyType is (not one of a refund|missing or is no string)$"):
        parse_notification(body(given_back(notifyType=notify_type)))
