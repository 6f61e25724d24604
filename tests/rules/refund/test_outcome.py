"""What each witness says about a refund: witness by status by code, and what only looks like a success."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from autodebit.alipay.reading import Contradiction, Final, Reading, Undecided
from autodebit.alipay.strict_json import canonical
from autodebit.refund.outcome import ALREADY_GIVEN_BACK, InProcess, read_inquiry, read_notification, read_refund
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.transitions import TRANSITIONS

from tests.kit.refunds import REFUND_ID, REFUND_TIME, given_back, refund, refused
from tests.kit.samples import PAYMENT_ID, result, without

GIVEN_BACK = Final(Status.SUCCESS, "SUCCESS", "success.", REFUND_ID, REFUND_TIME)

CODES = (
    *("SUCCESS", "REFUND_IN_PROCESS", "MERCHANT_BALANCE_NOT_ENOUGH", "REFUND_AMOUNT_EXCEED", "ORDER_STATUS_INVALID"),
    *("ORDER_IS_CANCELED", "ORDER_NOT_EXIST", "REFUND_WINDOW_EXCEED", "PROCESS_FAIL", "SYSTEM_ERROR", "NEW_CODE", ""),
)


SENT = refund(body=canonical({"paymentId": PAYMENT_ID}).decode())


def first(row: Refund, message: dict[str, Any]) -> Reading[Status]:
    return read_refund(row, message, first_call=True)


def again(row: Refund, message: dict[str, Any]) -> Reading[Status]:
    return read_refund(row, message, first_call=False)


Reader = Callable[[Refund, dict[str, Any]], Reading[Status]]

READERS: dict[Witness, list[Reader]] = {
    Witness.REFUND: [first, again],
    Witness.INQUIRY: [read_inquiry],
    Witness.NOTIFY: [read_notification],
}
EVERY_READER = [read for readers in READERS.values() for read in readers]
WITNESSES = [(witness, read) for witness, readers in READERS.items() for read in readers]


@pytest.mark.parametrize("read", EVERY_READER)
def test_a_success_with_id_amount_and_currency_is_final_with_its_facts(read: Any) -> None:
    assert read(refund(), given_back()) == GIVEN_BACK


@pytest.mark.parametrize("read", EVERY_READER)
@pytest.mark.parametrize("other", ["another", 7])
@pytest.mark.parametrize("message", [given_back(), given_back(refundStatus="FAIL"), refused("PROCESS_FAIL")])
def test_what_speaks_of_another_payment_than_was_sent_is_a_contradiction(
    read: Any, other: Any, message: dict[str, Any]
) -> None:
    reading = read(SENT, message | {"paymentId": other})
    assert isinstance(reading, Contradiction)
    assert reading.said.endswith("another paymentId")


@pytest.mark.parametrize("read", EVERY_READER)
def test_the_payment_that_was_sent_or_none_at_all_may_be_named(read: Any) -> None:
    assert read(SENT, given_back()) == GIVEN_BACK
    assert read(SENT, without(given_back(), "paymentId")) == GIVEN_BACK
    assert read(refund(body="", observed=True), given_back(paymentId="whatever was not asked for here")) == GIVEN_BACK


# --- refund ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_a_first_f_is_final(code: str) -> None:
    assert first(refund(), refused(code)) == Final(Status.FAIL, code or None, "text")


@pytest.mark.parametrize("code", CODES)
def test_an_f_of_a_repetition_settles_nothing(code: str) -> None:
    assert again(refund(), refused(code)) == Undecided(f"refund F/{code}")


def test_an_f_that_speaks_of_an_earlier_refund_under_this_id_settles_nothing() -> None:
    answer = refused("REPEAT_REQ_INCONSISTENT")
    assert first(refund(), answer) == Undecided("refund F/REPEAT_REQ_INCONSISTENT")


@pytest.mark.parametrize("read", [first, again])
@pytest.mark.parametrize(("status", "code"), [*itertools.product(("U", "", "X"), CODES)])
def test_what_is_neither_s_nor_f_leaves_the_refund_as_it_is(read: Any, status: str, code: str) -> None:
    in_process = (status, code) == ("U", "REFUND_IN_PROCESS")
    expected = (InProcess if in_process else Undecided)(f"refund {status}/{code}")
    assert read(refund(), refused(code, status)) == expected


@pytest.mark.parametrize("read", [first, again])
def test_a_call_turned_away_for_the_load_may_come_again_at_once(read: Any) -> None:
    assert read(refund(), refused("REQUEST_TRAFFIC_EXCEED_LIMIT", "U")).call_again
    assert not read(refund(), refused("REFUND_IN_PROCESS", "U")).call_again


def test_the_refund_call_does_not_read_a_refund_status() -> None:
    assert first(refund(), given_back(refundStatus="FAIL")) == GIVEN_BACK
    assert isinstance(first(refund(), refused("X", "U") | {"refundStatus": "SUCCESS"}), Undecided)


# --- inquiryRefund ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [*itertools.product(("F", "U", ""), CODES)])
@pytest.mark.parametrize("refund_status", ["SUCCESS", "FAIL", "PROCESSING"])
def test_an_inquiry_that_failed_says_nothing_of_the_refund(status: str, code: str, refund_status: str) -> None:
    answer = given_back(result=result(status, code), refundStatus=refund_status)
    assert read_inquiry(refund(), answer) == Undecided(f"inquiry {status}/{code}")


def test_an_inquired_failure_is_final_with_its_own_reason_and_not_the_calls() -> None:
    answer = given_back(refundStatus="FAIL", refundResultCode="PROCESS_FAIL", refundResultMessage="no")
    assert read_inquiry(refund(), answer) == Final(Status.FAIL, "PROCESS_FAIL", "no", REFUND_ID)


def test_an_inquired_failure_need_not_carry_more_than_its_status() -> None:
    assert read_inquiry(refund(), {"result": result("S", "SUCCESS"), "refundStatus": "FAIL"}) == Final(Status.FAIL)


@pytest.mark.parametrize(
    ("refund_status", "said"),
    [("success", "success"), (None, "without refundStatus"), ("X" * 99, "X" * 64)],
)
def test_any_other_refund_status_leaves_the_refund_as_it_is(refund_status: str | None, said: str) -> None:
    assert read_inquiry(refund(), given_back(refundStatus=refund_status)) == Undecided(f"inquiry S: {said}")


def test_one_that_is_processing_is_in_process() -> None:
    assert read_inquiry(refund(), given_back(refundStatus="PROCESSING")) == InProcess("inquiry S: PROCESSING")


# --- notifyRefund ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "refund_status"), [*itertools.product(("S", "F", "U", ""), ("SUCCESS", "FAIL", "PROCESSING"))]
)
def test_a_notification_is_final_only_if_result_and_refund_status_agree(status: str, refund_status: str) -> None:
    reading = read_notification(refund(), given_back(result=result(status, "CODE"), refundStatus=refund_status))
    final = {
        ("S", "SUCCESS"): Final(Status.SUCCESS, "CODE", "text", REFUND_ID, REFUND_TIME),
        ("F", "FAIL"): Final(Status.FAIL, "CODE", "text", REFUND_ID),
    }
    assert reading == final.get((status, refund_status), Undecided(f"notify {status}/CODE {refund_status}"))


def test_a_refund_status_is_kept_in_its_length() -> None:
    notification = given_back(refundStatus="X" * 65)
    assert read_notification(refund(), notification) == Undecided(f"notify S/SUCCESS {'X' * 64}")
    unnamed = without(given_back(), "refundStatus")
    assert read_notification(refund(), unnamed) == Undecided("notify S/SUCCESS without refundStatus")


# --- What contradicts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", EVERY_READER)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"refundRequestId": "another"}, "another refundRequestId"),
        ({"refundRequestId": None}, "another refundRequestId"),
        ({"refundAmount": {"currency": "HKD", "value": "991"}}, "refundAmount HKD 991"),
        ({"refundAmount": {"currency": "USD", "value": "990"}}, "refundAmount USD 990"),
        ({"refundAmount": {"currency": "HKD"}}, "refundAmount HKD missing"),
        ({"refundAmount": None}, "refundAmount missing missing"),
    ],
)
@pytest.mark.parametrize("status", ["S", "F", "U"])
def test_another_id_amount_or_currency_contradicts_whatever_it_reports(
    read: Any, changes: dict[str, Any], said: str, status: str
) -> None:
    reading = read(refund(), given_back(result=result(status, "CODE"), **changes))
    assert isinstance(reading, Contradiction)
    assert reading.said.endswith(f" {status}/CODE: {said}")


@pytest.mark.parametrize(("witness", "read"), WITNESSES)
@pytest.mark.parametrize("name", ["refundRequestId", "refundAmount"])
def test_a_success_without_id_or_amount_is_none(witness: Witness, read: Any, name: str) -> None:
    reading = read(refund(), without(given_back(), name))
    assert reading == Contradiction(f"{witness} success without refundRequestId and refundAmount")


# --- Who may report what ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("witness", Witness)
def test_a_witness_may_report_exactly_what_its_reader_can_say(witness: Witness) -> None:
    messages = [
        given_back(result=result(status, "CODE"), refundStatus=refund_status)
        for status, refund_status in itertools.product(("S", "F", "U"), ("SUCCESS", "FAIL", "PROCESSING"))
    ]
    readings = [read(refund(), message) for read in READERS[witness] for message in messages]
    said = {reading.status for reading in readings if isinstance(reading, Final)}
    assert said == {after for (_, after), witnesses in TRANSITIONS.items() if witness in witnesses}


def test_refusals_that_tell_of_others_are_final_ones() -> None:
    assert {"REFUND_AMOUNT_EXCEED", "ORDER_STATUS_INVALID", "ORDER_IS_CANCELED"} == ALREADY_GIVEN_BACK
    for code in ALREADY_GIVEN_BACK:
        assert first(refund(), refused(code)) == Final(Status.FAIL, code, "text")
