"""What each witness's message means: tables of every documented evidence, and of what nobody documented."""

from collections.abc import Callable
from typing import Any

import pytest
from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Contradiction, Final, Reading, Undecided
from autodebit.errors import NotificationMalformed
from autodebit.payment.identity import digest
from autodebit.payment.notification import parse_notification
from autodebit.payment.order import Order, Status
from autodebit.payment.outcome import Absent, Present, read_inquiry, read_notification, read_pay
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.kit.samples import ID, PAYMENT_ID, body, order, paid, result, without

Reader = Callable[[Order, dict[str, Any]], Reading[Status]]


def first_pay(order: Order, answer: dict[str, Any]) -> Reading[Status]:
    return read_pay(order, answer, first_call=True)


def repeated_pay(order: Order, answer: dict[str, Any]) -> Reading[Status]:
    return read_pay(order, answer, first_call=False)


OWN_CALLS = [first_pay, repeated_pay, read_inquiry]
READERS = [*OWN_CALLS, read_notification]

FAILED = [
    "ACCESS_DENIED",
    "CURRENCY_NOT_SUPPORT",
    "EXPIRED_CODE",
    "INVALID_ACCESS_TOKEN",
    "INVALID_CONTRACT",
    "INVALID_MERCHANT_STATUS",
    "INVALID_PAYMENT_CODE",
    "INVALID_PAYMENT_METHOD_META_DATA",
    "KEY_NOT_FOUND",
    "MERCHANT_KYB_NOT_QUALIFIED",
    "MERCHANT_NOT_REGISTERED",
    "NO_INTERFACE_DEF",
    "NO_PAY_OPTIONS",
    "ORDER_NOT_EXIST",
    "PARAM_ILLEGAL",
    "PAYMENT_AMOUNT_EXCEED_LIMIT",
    "PAYMENT_COUNT_EXCEED_LIMIT",
    "PAYMENT_NOT_QUALIFIED",
    "PROCESS_FAIL",
    "RISK_REJECT",
    "SETTLE_CONTRACT_NOT_MATCH",
    "SYSTEM_ERROR",
    "USER_AMOUNT_EXCEED_LIMIT",
    "USER_BALANCE_NOT_ENOUGH",
    "USER_KYC_NOT_QUALIFIED",
    "USER_NOT_EXIST",
    "USER_PAYMENT_VERIFICATION_FAILED",
    "USER_STATUS_ABNORMAL",
    "VERIFY_TIMES_EXCEED_LIMIT",
    "VERIFY_UNMATCHED",
]
"""F of pay, but for those that speak of an earlier payment. https://docs.antom.com/ac/ams/payment_agreement"""

OF_AN_EARLIER_PAYMENT = ["REPEAT_REQ_INCONSISTENT", "ORDER_IS_CLOSED", "ORDER_IS_CANCELED"]
UNKNOWN = ["PAYMENT_IN_PROCESS", "REQUEST_TRAFFIC_EXCEED_LIMIT", "UNKNOWN_EXCEPTION"]
OF_THE_TRANSPORT = [
    "INVALID_SIGNATURE",
    "CLIENT_INVALID",
    "UNKNOWN_CLIENT",
    "INVALID_CLIENT_STATUS",
    "CLIENT_FORBIDDEN_ACCESS_API",
    "INVALID_API",
    "API_INVALID",
    "METHOD_NOT_SUPPORTED",
    "MEDIA_TYPE_NOT_ACCEPTABLE",
]

NO_STATUS: list[Any] = [
    None,
    "",
    "X",
    "s",
    "f",
    "u",
    "S ",
    " S",
    "SS",
    "SUCCESS",
    "FAIL",
    "true",
    1,
    0,
    True,
    False,
    [],
    ["S"],
    {},
]


def test_the_tables_hold_every_documented_result_code_of_pay() -> None:
    assert len({"SUCCESS", *FAILED, *OF_AN_EARLIER_PAYMENT, *UNKNOWN}) == 37


# --- pay ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [first_pay, repeated_pay])
def test_pay_with_s_is_a_success_on_the_first_and_on_a_repeated_call(read: Reader) -> None:
    assert read(order(), paid()) == Final(
        Status.SUCCESS, "SUCCESS", "success.", PAYMENT_ID, "2026-11-22T01:30:02-08:00"
    )


@pytest.mark.parametrize("code", [*FAILED, *OF_THE_TRANSPORT, "FRAUD_REJECT", "A_CODE_OF_NEXT_YEAR"])
def test_pay_with_f_fails_the_order_on_the_first_call_alone(code: str) -> None:
    answer = {"result": result("F", code)}
    assert first_pay(order(), answer) == Final(Status.FAIL, code, "text")
    assert repeated_pay(order(), answer) == Undecided(f"pay F/{code}")


@pytest.mark.parametrize("code", OF_AN_EARLIER_PAYMENT)
@pytest.mark.parametrize("read", [first_pay, repeated_pay])
def test_an_f_that_speaks_of_an_earlier_payment_is_left_to_inquiry(read: Reader, code: str) -> None:
    assert read(order(), {"result": result("F", code)}) == Undecided(f"pay F/{code}")


@pytest.mark.parametrize("code", [*UNKNOWN, "SUCCESS", "USER_BALANCE_NOT_ENOUGH", "A_CODE_OF_NEXT_YEAR"])
@pytest.mark.parametrize("read", [first_pay, repeated_pay])
def test_pay_with_u_leaves_the_order_init_whatever_its_code(read: Reader, code: str) -> None:
    turned_away = code == "REQUEST_TRAFFIC_EXCEED_LIMIT"
    assert read(order(), paid(result=result("U", code))) == Undecided(f"pay U/{code}", call_again=turned_away)


@pytest.mark.parametrize("status", NO_STATUS)
@pytest.mark.parametrize("read", READERS)
def test_a_status_nobody_documented_is_never_final(read: Reader, status: Any) -> None:
    assert isinstance(read(order(), paid(result=result(status, "SUCCESS"))), Undecided)


@pytest.mark.parametrize("answer", [{}, {"result": None}, {"result": "S"}, {"result": ["S"]}, {"resultStatus": "S"}])
@pytest.mark.parametrize("read", OWN_CALLS)
def test_an_answer_without_a_result_is_never_final(read: Reader, answer: dict[str, Any]) -> None:
    assert isinstance(read(order(), answer), Undecided)
    assert isinstance(read(order(), paid() | {"result": answer.get("result")}), Undecided)


@pytest.mark.parametrize("code", ["USER_BALANCE_NOT_ENOUGH", "PAYMENT_IN_PROCESS", "", None, 7])
def test_the_status_decides_and_not_the_code(code: Any) -> None:
    assert first_pay(order(), paid(result=result("S", code))).status is Status.SUCCESS  # type: ignore[union-attr]
    assert first_pay(order(), {"result": result("F", "SUCCESS")}).status is Status.FAIL  # type: ignore[union-attr]


def test_the_code_that_leaves_an_f_open_must_be_that_code_exactly() -> None:
    assert isinstance(first_pay(order(), {"result": result("F", "order_is_closed")}), Final)
    assert isinstance(first_pay(order(), {"result": result("F", "ORDER_IS_CLOSED" + "D" * 64)}), Final)


# --- inquiryPayment ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payment_status", "status"),
    [("SUCCESS", Status.SUCCESS), ("FAIL", Status.FAIL), ("CANCELLED", Status.CANCELLED)],
)
def test_an_inquiry_that_worked_reports_the_payments_final_status(payment_status: str, status: Status) -> None:
    reading = read_inquiry(order(), paid(paymentStatus=payment_status))
    assert isinstance(reading, Final)
    assert reading.status is status
    assert reading.transaction_time == ("2026-11-22T01:30:02-08:00" if status is Status.SUCCESS else None)


def test_an_inquiry_tells_why_with_the_payments_code_and_not_the_calls() -> None:
    answer = paid(paymentStatus="FAIL", paymentResultCode="RISK_REJECT", paymentResultMessage="no")
    assert read_inquiry(order(), answer) == Final(Status.FAIL, "RISK_REJECT", "no", PAYMENT_ID)


@pytest.mark.parametrize(
    "payment_status",
    ["PROCESSING", "PENDING", "AUTHORIZED", "success", "SUCCESS ", "CANCELED", "", None, 1, True, ["SUCCESS"], {}],
)
def test_any_other_payment_status_leaves_the_order_open(payment_status: Any) -> None:
    assert isinstance(read_inquiry(order(), paid(paymentStatus=payment_status)), Undecided)


def test_an_inquiry_without_a_payment_status_leaves_the_order_open() -> None:
    assert read_inquiry(order(), without(paid(), "paymentStatus")) == Undecided("inquiry S: without paymentStatus")


@pytest.mark.parametrize(
    ("call", "code"),
    [
        *(("F", code) for code in ["ORDER_NOT_EXIST", "PROCESS_FAIL", "SYSTEM_ERROR", *OF_AN_EARLIER_PAYMENT]),
        *(("F", code) for code in OF_THE_TRANSPORT),
        *(("U", code) for code in UNKNOWN),
        ("F", "SUCCESS"),
        ("U", "SUCCESS"),
    ],
)
@pytest.mark.parametrize("payment_status", [None, "SUCCESS", "FAIL", "CANCELLED", "PROCESSING"])
def test_an_inquiry_that_failed_says_nothing_of_the_payment(call: str, code: str, payment_status: str | None) -> None:
    kind = Absent if (call, code) == ("F", "ORDER_NOT_EXIST") else Undecided
    for answer in (paid(result=result(call, code), paymentStatus=payment_status), {"result": result(call, code)}):
        assert read_inquiry(order(), answer) == kind(f"inquiry {call}/{code}")


# --- notifyPayment -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notify_type", "status", "expected"),
    [
        ("PAYMENT_RESULT", "S", Status.SUCCESS),
        ("PAYMENT_RESULT", "F", Status.FAIL),
        ("PAYMENT_RESULT", "U", None),
        ("PAYMENT_PENDING", "S", None),
        ("PAYMENT_PENDING", "F", None),
        ("PAYMENT_PENDING", "U", None),
        ("payment_result", "S", None),
        ("REFUND_RESULT", "S", None),
        ("UPDATE_AMOUNT_RESULT", "S", None),
        ("", "S", None),
    ],
)
@pytest.mark.parametrize("code", ["SUCCESS", "USER_BALANCE_NOT_ENOUGH", "ORDER_IS_CLOSED", "SUSPECTED_RISK"])
def test_only_payment_result_with_s_or_f_settles(
    notify_type: str, status: str, code: str, expected: Status | None
) -> None:
    reading = read_notification(order(), paid(notifyType=notify_type, result=result(status, code)))
    if expected is None:
        assert reading == Undecided(f"notify {notify_type} {status}/{code}")
    else:
        assert isinstance(reading, Final)
        assert (reading.status, reading.result_code, reading.transaction_id) == (expected, code, PAYMENT_ID)


# --- Id, amount and currency -------------------------------------------------------------------------------------

OTHER_IDS = [None, "", "ord-20261122-000018", ID.upper(), ID + " ", ID + "\n", 17, True, [ID], {"": ID}]
OTHER_AMOUNTS = [
    None,
    "1990",
    1990,
    [],
    {},
    ["HKD", "1990"],
    {"currency": "HKD"},
    {"value": "1990"},
    {"currency": "HKD", "value": None},
    {"currency": "HKD", "value": 1990},
    {"currency": "HKD", "value": 1990.0},
    {"currency": "HKD", "value": ["1990"]},
    {"currency": "HKD", "value": "1"},
    {"currency": "HKD", "value": "199"},
    {"currency": "HKD", "value": "19900"},
    {"currency": "HKD", "value": "01990"},
    {"currency": "HKD", "value": "1990 "},
    {"currency": "HKD", "value": "+1990"},
    {"currency": "HKD", "value": "1990.00"},
    {"currency": "HKD", "value": "19.90"},
    {"currency": "HKD", "value": "1.99e3"},
    {"currency": "HKD", "value": "１９９０"},
    {"currency": "USD", "value": "1990"},
    {"currency": "hkd", "value": "1990"},
    {"currency": "HKD ", "value": "1990"},
    {"currency": "", "value": "1990"},
    {"currency": None, "value": "1990"},
    {"currency": 344, "value": "1990"},
    {"currency": "1990", "value": "HKD"},
]


@pytest.mark.parametrize("other", OTHER_IDS)
@pytest.mark.parametrize("read", READERS)
def test_a_message_with_another_id_contradicts_whatever_its_result(read: Reader, other: Any) -> None:
    for status in ("S", "F", "U"):
        for payment_status in ("SUCCESS", "FAIL", "PROCESSING"):
            reading = read(
                order(), paid(paymentRequestId=other, result=result(status, "X"), paymentStatus=payment_status)
            )
            assert isinstance(reading, Contradiction)
            assert "another paymentRequestId" in reading.said


@pytest.mark.parametrize("other", OTHER_AMOUNTS)
@pytest.mark.parametrize("read", READERS)
def test_a_message_with_another_amount_contradicts_whatever_its_result(read: Reader, other: Any) -> None:
    for status in ("S", "F", "U"):
        for payment_status in ("SUCCESS", "FAIL", "PROCESSING"):
            reading = read(order(), paid(paymentAmount=other, result=result(status, "X"), paymentStatus=payment_status))
            assert isinstance(reading, Contradiction)
            assert "paymentAmount" in reading.said


@pytest.mark.parametrize("missing", [["paymentRequestId"], ["paymentAmount"], ["paymentRequestId", "paymentAmount"]])
@pytest.mark.parametrize("read", READERS)
def test_a_success_without_id_or_amount_is_none(read: Reader, missing: list[str]) -> None:
    reading = read(order(), without(paid(), *missing))
    assert isinstance(reading, Contradiction)
    assert "success without" in reading.said


@pytest.mark.parametrize(
    "carried", [[], ["paymentRequestId"], ["paymentAmount"], ["paymentRequestId", "paymentAmount"]]
)
def test_a_failure_answered_to_ones_own_call_need_not_carry_id_and_amount(carried: list[str]) -> None:
    facts = {name: paid()[name] for name in carried}
    assert isinstance(first_pay(order(), facts | {"result": result("F", "RISK_REJECT")}), Final)
    inquired = facts | {"result": result("S", "SUCCESS")}
    assert read_inquiry(order(), inquired | {"paymentStatus": "FAIL"}) == Final(Status.FAIL)
    assert read_inquiry(order(), inquired | {"paymentStatus": "CANCELLED"}) == Final(Status.CANCELLED)


BY = [(first_pay, "pay"), (repeated_pay, "pay"), (read_inquiry, "inquiry"), (read_notification, "notify")]


@pytest.mark.parametrize(("read", "witness"), BY)
def test_a_contradiction_says_who_said_what_against_the_order(read: Reader, witness: str) -> None:
    other = {"currency": "USD", "value": "1" * 17}
    said = f"{witness} S/SUCCESS: paymentAmount USD {'1' * 16}"
    assert read(order(), paid(paymentAmount=other)) == Contradiction(said)
    missing = Contradiction(f"{witness} S/SUCCESS: paymentAmount missing missing")
    assert read(order(), paid(paymentAmount={})) == missing
    without_id = Contradiction(f"{witness} success without paymentRequestId and paymentAmount")
    assert read(order(), without(paid(), "paymentRequestId")) == without_id


@pytest.mark.parametrize(("read", "witness"), BY)
def test_of_a_status_8_and_of_a_code_64_characters_are_kept(read: Reader, witness: str) -> None:
    reading = read(order(), paid(paymentRequestId="another", result=result("S" * 9, "C" * 65)))
    assert reading == Contradiction(f"{witness} {'S' * 8}/{'C' * 64}: another paymentRequestId")


def test_what_leaves_an_order_open_is_kept_as_it_was_said() -> None:
    assert first_pay(order(), {}) == Undecided("pay /")
    assert read_inquiry(order(), {}) == Undecided("inquiry /")
    assert read_inquiry(order(), paid(paymentStatus="P" * 65)) == Present(f"inquiry S: {'P' * 64}")
    pending = paid(notifyType="PAYMENT_PENDING")
    assert read_notification(order(), pending) == Undecided("notify PAYMENT_PENDING S/SUCCESS")


def test_what_a_contradiction_quotes_is_short() -> None:
    reading = first_pay(
        order(),
        paid(result=result("S" * 9999, "C" * 9999), paymentAmount={"currency": "H" * 9999, "value": "1" * 9999}),
    )
    assert isinstance(reading, Contradiction)
    assert len(reading.said) < 200


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("status", list(Status))
def test_a_reading_is_the_same_whatever_status_the_order_has(read: Reader, status: Status) -> None:
    for message in (paid(), paid(result=result("F", "RISK_REJECT")), paid(paymentRequestId="x")):
        assert read(order(status=status), message) == read(order(), message)


# --- What of a message is kept -----------------------------------------------------------------------------------


@pytest.mark.parametrize("read", READERS)
def test_what_is_kept_of_a_message_is_bounded(read: Reader) -> None:
    long = "x" * 10_000
    reading = read(
        order(),
        paid(
            result=result("S", long, long),
            paymentResultCode=long,
            paymentResultMessage=long,
            paymentId=long,
            paymentTime=long,
        ),
    )
    assert reading == Final(Status.SUCCESS, "x" * 64, "x" * 256, "x" * 64, "x" * 64)
    for said in (paid(paymentStatus=long, notifyType="PAYMENT_PENDING", result=result("U", long)),):
        assert len(read(order(), said).said) < 200  # type: ignore[union-attr]


@pytest.mark.parametrize("nothing", ["", None, 5, [], {}, True])
@pytest.mark.parametrize("read", READERS)
def test_what_says_nothing_is_not_kept(read: Reader, nothing: Any) -> None:
    message = paid(
        result=result("S", nothing, nothing),
        paymentResultCode=nothing,
        paymentResultMessage=nothing,
        paymentId=nothing,
        paymentTime=nothing,
    )
    assert read(order(), message) == Final(Status.SUCCESS)


# --- Two results of one order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [Status.SUCCESS, Status.FAIL, Status.CANCELLED])
@pytest.mark.parametrize("said", [Status.SUCCESS, Status.FAIL, Status.CANCELLED])
@pytest.mark.parametrize("payment_id", [PAYMENT_ID, "another", None])
def test_a_second_result_disputes_the_first_if_money_moved_by_one_alone_or_twice(
    stored: Status, said: Status, payment_id: str | None
) -> None:
    settled = order(status=stored, payment_id=PAYMENT_ID)
    twice = stored is said is Status.SUCCESS and payment_id == "another"
    by_one_alone = (stored is Status.SUCCESS) != (said is Status.SUCCESS)
    assert settled.disputes(Final(said, transaction_id=payment_id)) is (by_one_alone or twice)


def test_a_paymentid_disputes_none_where_none_is_stored() -> None:
    """The first witness of a success may have left it out: a second success is no second payment for naming it."""
    assert not order(status=Status.SUCCESS, payment_id=None).disputes(Final(Status.SUCCESS, transaction_id=PAYMENT_ID))


@pytest.mark.parametrize("read", READERS)
def test_a_text_that_quotes_a_token_is_kept_without_it(read: Reader) -> None:
    for token in ("28100303" * 16, "2025-abcDEF_ghij-klm", "a" * 15 + "1", "1" + "a" * 15, "ab.cd/ef+gh=ij~k2-_"):
        text = f"paymentMethodId [{token}] is illegal, see REPEAT_REQ_INCONSISTENT and order 202611220000017"
        kept = "paymentMethodId [***] is illegal, see REPEAT_REQ_INCONSISTENT and order 202611220000017"
        final = read(
            order(token_digest=digest(ID, token)), paid(result=result("S", "SUCCESS", text), paymentResultMessage=text)
        )
        assert isinstance(final, Final)
        assert final.result_message == kept


# --- Any JSON at all ---------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ids = st.sampled_from([ID, ID + "0", ID.upper(), ""]) | anything
currencies = st.sampled_from(["HKD", "HKD", "USD", "hkd"]) | anything
values = st.sampled_from(["1990", "1990", "199", "01990", "19900"]) | anything
messages = st.fixed_dictionaries(
    {"notifyType": st.sampled_from(["PAYMENT_RESULT", "PAYMENT_PENDING"]) | st.text(max_size=8)},
    optional={
        "result": st.fixed_dictionaries(
            {},
            optional={
                "resultStatus": st.sampled_from(["S", "S", "F", "U"]) | anything,
                "resultCode": st.sampled_from(["SUCCESS", "ORDER_IS_CLOSED"]) | anything,
                "resultMessage": anything,
            },
        )
        | anything,
        "paymentStatus": st.sampled_from(["SUCCESS", "SUCCESS", "FAIL", "PROCESSING"]) | anything,
        "paymentRequestId": ids,
        "paymentAmount": st.fixed_dictionaries({}, optional={"currency": currencies, "value": values}) | anything,
        "paymentId": anything,
        "paymentTime": anything,
        "paymentResultCode": anything,
        "paymentResultMessage": anything,
    },
)


@given(message=messages)
def test_no_json_object_is_a_success_unless_id_amount_and_currency_are_the_orders(message: dict[str, Any]) -> None:
    named = message.get("paymentRequestId") == ID and message.get("paymentAmount") in (
        {"currency": "HKD", "value": "1990"},
        {"value": "1990", "currency": "HKD"},
    )
    for read in READERS:
        reading = read(order(), message)
        assert isinstance(reading, Final | Undecided | Contradiction)
        if isinstance(reading, Final) and reading.status is Status.SUCCESS:
            assert named
            assert message["result"]["resultStatus"] == "S"


@given(
    message=messages,
    amount=st.builds(Amount, st.sampled_from(["HKD", "USD"]), st.sampled_from(["1990", "199", "1"])),
    payment_request_id=st.sampled_from([ID, "ord-1"]),
)
def test_an_authentic_success_settles_no_other_order(
    message: dict[str, Any], amount: Amount, payment_request_id: str
) -> None:
    assume((amount, payment_request_id) != (Amount("HKD", "1990"), ID))
    for read in READERS:
        reading = read(order(amount=amount, payment_request_id=payment_request_id), paid())
        assert isinstance(reading, Contradiction)


@given(message=messages)
def test_every_notification_that_can_be_read_has_a_reading(message: dict[str, Any]) -> None:
    try:
        notification = parse_notification(body(message))
    except NotificationMalformed:
        return
    assert isinstance(read_notification(order(), notification), Final | Undecided | Contradiction)
