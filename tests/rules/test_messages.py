"""Messages as bytes: what is read of untrusted ones, and which bytes stand for one payment."""

import contextlib
import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from autodebit.alipay.amount import Amount
from autodebit.alipay.strict_json import JsonInvalid, parse_object, text_at
from autodebit.errors import AutodebitError, NotificationMalformed, RequestInvalid
from autodebit.payment.naming import naming_body
from autodebit.payment.notification import parse_notification
from autodebit.payment.request import PayRequest, parse_cancel_request, parse_pay_request
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.samples import ID, NOW, TOKEN, body, full_request, order, paid, request, result, without

NOTIFY_URL = "https://pay.example.com/v1/notifications/payment"


def parsed(fields: Any) -> PayRequest:
    return parse_pay_request(body(fields), NOW)


def faults(text: bytes, now: datetime = NOW) -> list[tuple[str, str]]:
    with pytest.raises(RequestInvalid) as refused:
        parse_pay_request(text, now)
    return [(error.field, error.detail) for error in refused.value.errors]


# --- Untrusted JSON ----------------------------------------------------------------------------------------------

NO_OBJECTS = [
    b"",
    b" ",
    b"null",
    b"true",
    b"1",
    b'"x"',
    b"[]",
    b"[{}]",
    b"{",
    b"}",
    b"{}{}",
    b"{} x",
    b"{'a':'b'}",
    b'{"a":}',
    b'{"a":"b",}',
    b'{"a":"b"//\n}',
    b'{a:"b"}',
    b'{"a":"\x00"}',
    b'{"a":"\n"}',
    b'{"a":"\\x"}',
    b'{"a":' + b"1" * 5000 + b"}",
    b"\xef\xbb\xbf{}",
    '{"a":"é"}'.encode("latin-1"),
    '{"a":"b"}'.encode("utf-16"),
    '{"a":"b"}'.encode("utf-16-le"),
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\xc0\xaf"}',
    b"\xff\xfe",
    b'{"a":"\\ud800"}',
    b'{"a":"\\udc00\\ud800"}',
    b'{"\\udfff":"a"}',
    b'{"a":{"b":["\\ud83c"]}}',
    b'{"a":"b","a":"b"}',
    b'{"a":"b","\\u0061":"c"}',
    b'{"x":{"a":"b","a":"c"}}',
    b'{"x":[{"a":{"b":"1","b":"2"}}]}',
    b"<html>",
    b"a=b&c=d",
]


@pytest.mark.parametrize("text", NO_OBJECTS)
def test_what_is_not_one_json_object_is_refused_by_every_reader(text: bytes) -> None:
    ((field, detail),) = faults(text)
    assert field == "body"
    assert detail
    with pytest.raises(NotificationMalformed):
        parse_notification(text)
    with pytest.raises(JsonInvalid) as unread:
        parse_object(text)
    assert str(unread.value) == detail


@pytest.mark.parametrize("depth", [10, 200, 500, 700, 1000, 5000, 20_000, 100_000])
@pytest.mark.parametrize(("opening", "inner", "closing"), [(b"[", b"", b"]"), (b'{"a":', b'"x"', b"}")])
def test_no_depth_of_nesting_is_more_than_a_malformed_request(
    depth: int, opening: bytes, inner: bytes, closing: bytes
) -> None:
    nested = opening * depth + inner + closing * depth
    deep = body(request())[:-1] + b',"metadata":' + nested + b"}"
    message = body(paid())[:-1] + b',"metadata":' + nested + b"}"
    outcomes = []
    for text in (deep, nested, opening * depth, message):
        for parse in (_sent, parse_notification, parse_object):
            try:
                parse(text)
            except (AutodebitError, JsonInvalid, RecursionError) as error:
                outcomes.append(type(error))
    assert set(outcomes) <= {RequestInvalid, NotificationMalformed, JsonInvalid}


def _sent(text: bytes) -> bytes:
    return parse_pay_request(text, NOW).pay_call("2026-11-22T09:30:55Z", NOTIFY_URL).body


@pytest.mark.parametrize("scalar", ["NaN", "Infinity", "-Infinity", "1e999", "-0", "1.0", "9" * 4000, "true", "null"])
def test_numbers_booleans_and_null_are_faults_of_their_field(scalar: str) -> None:
    text = body(request())[:-1] + b',"metadata":' + scalar.encode() + b"}"
    assert [field for field, _ in faults(text)] == ["metadata"]


def test_text_of_every_script_is_text() -> None:
    described = "電影通行證 🎬 é \u0000 \u2028 ‮"
    fields = request()
    fields["order"]["orderDescription"] = described
    for text in (json.dumps(fields).encode(), json.dumps(fields, ensure_ascii=False).encode()):
        assert parse_pay_request(text, NOW).fields["order"]["orderDescription"] == described


def test_no_refusal_of_unreadable_json_quotes_it() -> None:
    for text in (
        b'{"paymentMethodId":"' + TOKEN.encode(),
        b'{"' + TOKEN.encode() + b'":"a","' + TOKEN.encode() + b'":"b"}',
    ):
        assert TOKEN not in repr(faults(text))


# --- The request -------------------------------------------------------------------------------------------------


def test_a_request_gives_what_the_order_needs_of_it() -> None:
    read = parsed(request())
    assert read.payment_request_id == ID
    assert read.reference_order_id == "20261122-000017"
    assert read.amount == Amount("HKD", "1990")
    assert read.expiry_fault is None


def test_every_fault_is_in_the_exception_and_none_of_their_values() -> None:
    fields = request(paymentRequestId="a b", productCode=TOKEN, paymentExpiryTime="2026-11-22T09:29:00Z")
    fields["paymentMethod"]["paymentMethodId"] = TOKEN * 9
    with pytest.raises(RequestInvalid) as refused:
        parsed(fields)
    assert sorted(error.field for error in refused.value.errors) == [
        "paymentExpiryTime",
        "paymentMethod.paymentMethodId",
        "paymentRequestId",
        "productCode",
    ]
    assert TOKEN not in str(refused.value)
    assert TOKEN not in repr(refused.value.errors)


# --- paymentExpiryTime -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 8, -8, 5.75, 14, -12])
@pytest.mark.parametrize("ahead", [timedelta(microseconds=1), timedelta(seconds=1), timedelta(seconds=59.999999)])
def test_an_expiry_within_the_next_minute_is_sent_as_it_was_written(ahead: timedelta, offset: float) -> None:
    text = _written(NOW + ahead, offset)
    read = parsed(request(paymentExpiryTime=text))
    assert read.expiry_fault is None
    assert read.expiry_time(NOW) == text
    assert json.loads(read.pay_call(text, NOTIFY_URL).body)["paymentExpiryTime"] == text


@pytest.mark.parametrize("offset", [0, 8, -8])
@pytest.mark.parametrize("ahead", [0, -0.000001, -1, -3600, 60, 60.000001, 61, 86400])
def test_an_expiry_outside_the_next_minute_is_a_fault_of_a_new_payment_alone(ahead: float, offset: float) -> None:
    read = parsed(request(paymentExpiryTime=_written(NOW + timedelta(seconds=ahead), offset)))
    assert read.expiry_fault is not None
    assert read.expiry_fault.field == "paymentExpiryTime"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.9Z"])
def test_the_ends_of_time_are_outside_the_window(text: str) -> None:
    assert parsed(request(paymentExpiryTime=text)).expiry_fault is not None


def test_an_expiry_that_is_no_date_is_refused_alone_and_beside_other_faults() -> None:
    impossible = "2026-13-01T00:00:00Z"
    assert [field for field, _ in faults(body(request(paymentExpiryTime=impossible)))] == ["paymentExpiryTime"]
    for beside in ("appId", "paymentExpiryTime.x", "paymentExpiryTime[0]", "paymentExpiryTime."):
        named = [field for field, _ in faults(body(request(paymentExpiryTime=impossible) | {beside: 5}))]
        assert sorted(named) == sorted([beside, "paymentExpiryTime"])


@pytest.mark.parametrize("expiry", ["2026-13-01T00:00:00Z", "soon", 5, None, [], {}, True])
@pytest.mark.parametrize("faults_before", [98, 99, 100, 101, 1000])
def test_an_expiry_that_is_none_is_refused_behind_however_many_other_faults(expiry: Any, faults_before: int) -> None:
    fields = {f"field{number}": number for number in range(faults_before)}
    assert faults(body(fields | request(paymentExpiryTime=expiry)))
    assert faults(body(request(paymentExpiryTime=expiry) | fields))


def test_the_errors_of_a_hopeless_request_fit_into_an_answer() -> None:
    named = faults(body({f"field{number}": number for number in range(50_000)} | {"goods": [1] * 50_000}))
    assert len(named) <= 100


@pytest.mark.parametrize(
    "fields", [{"n" * 100_000: {str(n): n for n in range(99)}}, {f"{n}" * 50_000: n for n in range(99)}]
)
def test_the_errors_of_a_request_with_enormous_names_fit_too(fields: dict[str, Any]) -> None:
    """Each of a hundred faults inside of one name would repeat that name."""
    named = faults(body(request() | fields))
    assert len(named) == 99
    assert max(len(field) for field, _ in named) <= 256


def test_a_body_that_was_not_utf8_before_it_came_here_is_refused() -> None:
    """API Gateway hands on text: what was no UTF-8 has become U+FFFD, and the payment would be another one."""
    came = body(request(metadata="caf\xe9")).replace(b"\\u00e9", b"\xe9").decode("utf-8", "replace").encode()
    assert faults(came) == [("body", "must be UTF-8 text")]
    assert parsed(request(metadata="\ufffd")).fields["metadata"] == "\ufffd", "written as an escape it is meant"


def test_an_expiry_outside_the_window_is_named_beside_other_faults() -> None:
    named = [field for field, _ in faults(body(request(paymentExpiryTime="2026-11-22T09:29:00Z", appId=5)))]
    assert sorted(named) == ["appId", "paymentExpiryTime"]


@pytest.mark.parametrize("microsecond", [0, 1, 999_999])
def test_without_an_expiry_one_is_set_55_seconds_ahead(microsecond: int) -> None:
    text = parsed(request()).expiry_time(NOW.replace(microsecond=microsecond))
    assert text == "2026-11-22T09:30:55Z"


def test_a_replay_with_the_expiry_of_then_is_the_same_payment() -> None:
    first = parsed(request(paymentExpiryTime="2026-11-22T09:30:50Z"))
    late = parse_pay_request(body(request(paymentExpiryTime="2026-11-22T09:30:50Z")), NOW + timedelta(days=1))
    assert late.expiry_fault is not None
    assert late.identity == first.identity


def _written(instant: datetime, offset_h: float) -> str:
    offset = timedelta(hours=offset_h)
    local = (instant + offset).replace(tzinfo=None)
    sign, minutes = ("-", -offset) if offset < timedelta(0) else ("+", offset)
    hours, rest = divmod(int(minutes.total_seconds()) // 60, 60)
    return local.isoformat() + (f"{sign}{hours:02d}:{rest:02d}" if offset else "Z")


# --- The body of pay ---------------------------------------------------------------------------------------------


def test_the_body_of_pay_is_the_request_and_what_the_service_fills_in() -> None:
    fields = full_request() | {"fieldOfNextYear": {"b": ["1", {"z": "é"}], "a": ""}}
    sent = json.loads(parsed(fields).pay_call("2026-11-22T09:30:55Z", NOTIFY_URL).body)
    assert sent == fields | {
        "productCode": "AGREEMENT_PAYMENT",
        "paymentExpiryTime": "2026-11-22T09:30:55Z",
        "paymentNotifyUrl": NOTIFY_URL,
    }


def test_the_bytes_of_pay_are_these() -> None:
    """Fixed for good: a function of the next release must repeat the very bytes of this one."""
    sent = parsed(request()).pay_call("2026-11-22T09:30:55Z", NOTIFY_URL).body
    assert sent == (
        b'{"order":{"orderAmount":{"currency":"HKD","value":"1990"},"orderDescription":"Monthly cinema pass",'
        b'"referenceOrderId":"20261122-000017"},"paymentAmount":{"currency":"HKD","value":"1990"},'
        b'"paymentExpiryTime":"2026-11-22T09:30:55Z","paymentMethod":{"paymentMethodId":"' + TOKEN.encode() + b'",'
        b'"paymentMethodType":"ALIPAY_HK"},"paymentNotifyUrl":"https://pay.example.com/v1/notifications/payment",'
        b'"paymentRequestId":"ord-20261122-000017","productCode":"AGREEMENT_PAYMENT",'
        b'"settlementStrategy":{"settlementCurrency":"USD"}}'
    )


def test_other_scripts_are_sent_as_they_are() -> None:
    order = request()["order"] | {"orderDescription": "電影 🎬"}
    sent = parsed(request(order=order)).pay_call("2026-11-22T09:30:55Z", NOTIFY_URL).body
    assert '"orderDescription":"電影 🎬"'.encode() in sent


def _shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        order.shuffle(names)
        return {name: _shuffled(value[name], order) for name in names}
    return [_shuffled(item, order) for item in value] if isinstance(value, list) else value


def test_a_request_names_what_makes_it_another_payment() -> None:
    stored = parsed(request()).identity
    assert parsed(request()).differing(stored) == []
    assert parsed(request(paymentAmount={"currency": "HKD", "value": "1991"})).differing(stored) == [
        "paymentAmount.value"
    ]


@pytest.mark.parametrize("named", [{}, {"paymentMethodType": "ALIPAY_HK"}], ids=["unnamed", "named"])
def test_an_agreements_wallet_and_token_stand_in_its_place(named: dict[str, str]) -> None:
    by_agreement = parsed(request(paymentMethod={"agreementId": "agr-1", "extendInfo": "x"} | named))
    assert (by_agreement.agreement_id, parsed(request()).agreement_id) == ("agr-1", None)
    debit = Mock(customer_belongs_to="ALIPAY_HK", access_token=TOKEN)
    call = by_agreement.pay_call("e", NOTIFY_URL, debit)
    assert json.loads(call.body)["paymentMethod"] == {
        "extendInfo": "x",
        "paymentMethodType": "ALIPAY_HK",
        "paymentMethodId": TOKEN,
    }
    assert call.sha256 == hashlib.sha256(call.body).hexdigest()
    assert TOKEN not in repr(call), "what an exception or a log line shows of it"


def test_another_wallet_than_the_agreements_is_refused() -> None:
    other = parsed(request(paymentMethod={"agreementId": "agr-1", "paymentMethodType": "DANA"}))
    with pytest.raises(RequestInvalid) as refused:
        other.pay_call("e", NOTIFY_URL, Mock(customer_belongs_to="ALIPAY_HK", access_token=TOKEN))
    assert [error.field for error in refused.value.errors] == ["paymentMethod.paymentMethodType"]


@pytest.mark.parametrize("text", [b"", b" \n", b"{}", b" { } "])
def test_a_request_to_cancel_says_nothing(text: bytes) -> None:
    parse_cancel_request(text)


@pytest.mark.parametrize("text", [b"x", b"[]", b"null", b'{"a":"b"}'])
def test_a_request_to_cancel_that_says_something_is_refused(text: bytes) -> None:
    with pytest.raises(RequestInvalid) as refused:
        parse_cancel_request(text)
    assert [error.field for error in refused.value.errors] == ["body"]


def test_the_agreements_wallet_decides_which_amounts_move() -> None:
    def by_octopus(value: str) -> PayRequest:
        amount = {"currency": "HKD", "value": value}
        return parsed(request(paymentAmount=amount, paymentMethod={"agreementId": "agr-octopus"}))

    debit = Mock(customer_belongs_to="OCTOPUS", access_token=TOKEN)
    assert by_octopus("1990").pay_call("e", NOTIFY_URL, debit).payment_method_type == "OCTOPUS"
    with pytest.raises(RequestInvalid) as refused:
        by_octopus("1991").pay_call("e", NOTIFY_URL, debit)
    assert [error.field for error in refused.value.errors] == ["paymentAmount.value"]


@given(order=st.randoms(use_true_random=False), escaped=st.booleans(), indent=st.sampled_from([None, 1, 4]))
def test_one_payment_has_the_same_bytes_and_identity_in_whatever_order_and_dress_it_comes(
    order: random.Random, escaped: bool, indent: int | None
) -> None:
    fields = full_request() | {"metadata": "é🎬", "fieldOfNextYear": {"b": ["2", "1"], "a": {"d": "", "c": "x"}}}
    plain = parsed(fields)
    text = json.dumps(_shuffled(fields, order), ensure_ascii=escaped, indent=indent).encode()
    other = parse_pay_request(text, NOW)
    assert other.pay_call("e", NOTIFY_URL).body == plain.pay_call("e", NOTIFY_URL).body
    assert other.identity == plain.identity


def test_the_order_of_a_list_is_part_of_the_bytes() -> None:
    one = parsed(request(x=["1", "2"]))
    other = parsed(request(x=["2", "1"]))
    assert one.pay_call("e", NOTIFY_URL).body != other.pay_call("e", NOTIFY_URL).body


# --- inquiryPayment, notifications ----------------------------------------------------------------------


def test_an_inquiry_names_the_merchants_id() -> None:
    assert naming_body(order()) == b'{"paymentRequestId":"ord-20261122-000017"}'


def test_an_inquiry_names_the_account_that_pay_named() -> None:
    read = parsed(request(merchantAccountId="shop-7"))
    text = naming_body(order(merchant_account_id=read.merchant_account_id))
    assert text == b'{"merchantAccountId":"shop-7","paymentRequestId":"ord-20261122-000017"}'


@pytest.mark.parametrize("fields", [{}, {"merchantAccountId": ""}])
def test_a_pay_without_an_account_is_inquired_without_one(fields: dict[str, str]) -> None:
    assert parsed(request(**fields)).merchant_account_id is None


@pytest.mark.parametrize("notify_type", ["PAYMENT_RESULT", "PAYMENT_PENDING"])
def test_a_notification_of_a_payment_is_read_whole(notify_type: str) -> None:
    message = paid(notifyType=notify_type, metadata=None, promotionResult=[], fieldOfNextYear=1.5)
    assert parse_notification(body(message)) == without(message, "metadata")
    assert parse_notification(body(without(message, "paymentTime")))


NEEDED = [
    "notifyType",
    "result.resultCode",
    "result.resultStatus",
    "paymentRequestId",
    "paymentAmount.currency",
    "paymentAmount.value",
]


@pytest.mark.parametrize("path", ["paymentId", "paymentCreateTime"])
@pytest.mark.parametrize("value", [None, "", "missing"])
def test_a_notification_may_lack_what_other_editions_omit(path: str, value: Any) -> None:
    message = paid(result={"resultStatus": "S", "resultCode": "SUCCESS"})
    message = without(message, path) if value == "missing" else message | {path: value}
    assert path not in parse_notification(body(message))


@pytest.mark.parametrize("value", [None, 1, True, [], {}, "missing"])
@pytest.mark.parametrize("path", [*NEEDED, "result", "paymentAmount"])
def test_a_notification_that_lacks_a_field_or_has_it_of_another_type_is_malformed(path: str, value: Any) -> None:
    message = paid(result=result("S", "SUCCESS"), paymentAmount={"value": "1990", "currency": "HKD"})
    inner: Any = message
    *way, last = path.split(".")
    for step in way:
        inner = inner[step]
    if value == "missing":
        del inner[last]
    else:
        inner[last] = value
    with pytest.raises(NotificationMalformed) as refused:
        parse_notification(body(message))
    assert path in str(refused.value)


@pytest.mark.parametrize("payment_request_id", ["x", "x" * 64, "é" * 64])
def test_a_notification_about_what_may_be_an_id_is_read(payment_request_id: str) -> None:
    read = parse_notification(body(paid(paymentRequestId=payment_request_id)))
    assert read["paymentRequestId"] == payment_request_id


@pytest.mark.parametrize("payment_request_id", ["", "x" * 65, "é" * 65])
def test_a_notification_about_what_cannot_be_an_id_is_malformed(payment_request_id: str) -> None:
    with pytest.raises(NotificationMalformed):
        parse_notification(body(paid(paymentRequestId=payment_request_id)))


@pytest.mark.parametrize(
    "notify_type", ["REFUND_RESULT", "CAPTURE_RESULT", "DISPUTE_CREATED", "payment_result", "PAYMENT_RESULT "]
)
def test_a_notification_of_something_else_is_refused(notify_type: str) -> None:
    with pytest.raises(NotificationMalformed) as refused:
        parse_notification(body(paid(notifyType=notify_type)))
    assert str(refused.value) == "notifyType is not one of a payment"


def test_no_refusal_of_a_notification_quotes_it() -> None:
    for message in (paid(notifyType=TOKEN), paid(paymentRequestId=TOKEN * 9), paid(paymentAmount=TOKEN)):
        with pytest.raises(NotificationMalformed) as refused:
            parse_notification(body(message))
        assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("a", "b"), "x"),
        (("a",), None),
        (("a", "b", "c"), None),
        (("n",), None),
        (("l", "0"), None),
        (("z", "z"), None),
    ],
)
def test_text_is_found_only_where_a_string_is(path: tuple[str, ...], text: str | None) -> None:
    assert text_at({"a": {"b": "x"}, "n": 5, "l": ["x"]}, *path) == text


# --- Anything at all ---------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
names = st.sampled_from([*full_request(), "productCode", "paymentNotifyUrl"])
expiries = st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", fullmatch=True)


def _only_ever_refused(text: bytes) -> None:
    try:
        read = parse_pay_request(text, NOW)
    except RequestInvalid as error:
        named = [fault.detail for fault in error.errors]
    else:
        named = ["none"]
        sent = json.loads(read.pay_call(read.expiry_time(NOW), NOTIFY_URL).body)
        assert without(sent, "productCode", "paymentNotifyUrl", "paymentExpiryTime") == without(
            read.fields, "paymentExpiryTime"
        )
        assert read.identity
    assert named
    assert all(named)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(text: bytes) -> None:
    _only_ever_refused(text)


@given(json_values)
def test_any_json_is_a_request_or_refused(value: Any) -> None:
    _only_ever_refused(json.dumps(value).encode())


@given(
    changes=st.dictionaries(names, json_values | st.text(), max_size=3),
    removed=st.sets(names, max_size=3),
    expiry=st.none() | expiries,
)
def test_any_change_of_a_request_leaves_a_request_or_is_refused(
    changes: dict[str, Any], removed: set[str], expiry: str | None
) -> None:
    fields = without(full_request() | changes, *removed)
    _only_ever_refused(json.dumps(fields if expiry is None else fields | {"paymentExpiryTime": expiry}).encode())


@given(st.integers(0, len(body(full_request()))), st.binary(max_size=3), st.integers(0, 3))
def test_any_damage_to_a_request_leaves_a_request_or_is_refused(place: int, junk: bytes, lost: int) -> None:
    text = body(full_request())
    _only_ever_refused(text[:place] + junk + text[place + lost :])


@given(st.binary(max_size=100) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_an_object_and_a_notification_or_refused(text: bytes) -> None:
    for parse, refusal in ((parse_object, JsonInvalid), (parse_notification, NotificationMalformed)):
        with contextlib.suppress(refusal):
            assert isinstance(parse(text), dict)


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1)), st.sampled_from([0, 8, -8, 5.5]))
def test_the_window_of_the_expiry_is_open_at_both_ends(instant: datetime, offset: float) -> None:
    now = instant.replace(tzinfo=UTC)
    for ahead_us, well in ((0, False), (1, True), (59_999_999, True), (60_000_000, False)):
        text = _written(now + timedelta(microseconds=ahead_us), offset)
        read = parse_pay_request(body(request(paymentExpiryTime=text)), now)
        assert (read.expiry_fault is None) is well
