"""The refund as it is shown, what disputes it, and what the list of a payment's transactions says of refunds."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.payment.order import order_document
from autodebit.polling import NEVER
from autodebit.refund.observe import refunds_in
from autodebit.refund.refund import Status, Witness, refund_document
from autodebit.refund.seen import Seen

from tests.kit.refunds import REFUND_ID, REFUND_REQUEST_ID, REFUND_TIME, refund, transaction
from tests.kit.samples import ID, NOW, order, paid, result

RESULT: dict[str, Any] = {
    "settled_by": Witness.REFUND,
    "settled_at": NOW + timedelta(seconds=1),
    "refund_id": REFUND_ID,
    "result_code": "SUCCESS",
    "result_message": "success.",
}
OPEN = {
    "refundRequestId": REFUND_REQUEST_ID,
    "paymentRequestId": ID,
    "status": "INIT",
    "refundAmount": {"currency": "HKD", "value": "990"},
    "createdAt": "2026-11-22T09:30:00Z",
}


def test_what_is_not_known_yet_is_left_out() -> None:
    assert refund_document(refund()) == OPEN


def test_a_refund_that_succeeded_is_shown_with_its_result() -> None:
    assert refund_document(refund(status=Status.SUCCESS, refund_time=REFUND_TIME, **RESULT)) == OPEN | {
        "status": "SUCCESS",
        "settledBy": "refund",
        "settledAt": "2026-11-22T09:30:01Z",
        "refundId": REFUND_ID,
        "resultCode": "SUCCESS",
        "resultMessage": "success.",
        "refundTime": REFUND_TIME,
    }


def test_a_refund_that_failed_is_shown_with_advice() -> None:
    failed = refund(status=Status.FAIL, **RESULT | {"result_code": "MERCHANT_BALANCE_NOT_ENOUGH"})
    assert refund_document(failed)["advice"] == "RETRY_LATER"


def test_a_refund_that_made_room_for_another_is_asked_for_again_with_less() -> None:
    released = refund(status=Status.FAIL, never_sent=True, settled_by=Witness.REFUND, settled_at=NOW)
    assert refund_document(released)["advice"] == "CORRECT_REQUEST"


def test_a_refund_that_nobody_asked_for_here_says_so() -> None:
    assert refund_document(refund(status=Status.SUCCESS, observed=True, **RESULT))["observed"] is True


@pytest.mark.parametrize("witness", Witness)
def test_who_reported_the_result_is_shown_as_the_api_names_it(witness: Witness) -> None:
    names = {Witness.REFUND: "refund", Witness.NOTIFY: "notify", Witness.INQUIRY: "inquiry"}
    settled = refund(status=Status.SUCCESS, **RESULT | {"settled_by": witness})
    assert refund_document(settled)["settledBy"] == names[witness]
    assert settled.kind == "refund"


def test_every_event_shows_the_refund_as_it_is() -> None:
    settled = refund(status=Status.SUCCESS, **RESULT)
    assert settled.shown_now == settled.shown == {"refund": refund_document(settled)}


@pytest.mark.parametrize(("overdue_at", "spent"), [(None, False), (NOW, False), (NEVER, True)])
def test_a_schedule_is_spent_when_nobody_is_ever_late(overdue_at: datetime | None, spent: bool) -> None:
    assert refund(overdue_at=overdue_at).is_spent is spent


def test_what_never_left_and_when_it_is_looked_at_are_shown_while_it_is_init() -> None:
    assert refund_document(refund(never_sent=True)) == OPEN | {"neverSent": True}
    assert refund_document(refund(overdue_at=NOW + timedelta(seconds=75))) == OPEN | {
        "nextLookAt": "2026-11-22T09:30:15Z"
    }
    assert refund_document(refund(overdue_at=NEVER)) == OPEN
    assert "neverSent" not in refund_document(refund(status=Status.SUCCESS, never_sent=True, **RESULT))


def test_a_new_refund_is_ours_in_its_first_round_and_not_inquired_yet() -> None:
    new = refund()
    assert (new.observed, new.never_sent, new.polling_round, new.inquiries) == (False, False, 0, 0)


def test_what_has_its_result_is_not_looked_at_again() -> None:
    settled = refund(status=Status.SUCCESS, overdue_at=NOW + timedelta(seconds=75), **RESULT)
    assert settled.next_look_at is None
    assert "nextLookAt" not in refund_document(settled)


def test_a_log_line_names_the_refund_and_its_payment() -> None:
    assert refund(refund_id=REFUND_ID).log_keys == {
        "refundRequestId": REFUND_REQUEST_ID,
        "paymentRequestId": ID,
        "refundId": REFUND_ID,
    }


def test_the_bytes_of_the_call_are_not_shown() -> None:
    assert "body" not in refund_document(refund())


@pytest.mark.parametrize(
    ("status", "refund_id", "says", "names", "disputed"),
    [
        (Status.SUCCESS, REFUND_ID, Status.SUCCESS, REFUND_ID, False),
        (Status.SUCCESS, REFUND_ID, Status.SUCCESS, None, False),
        (Status.SUCCESS, None, Status.SUCCESS, "another", False),
        (Status.SUCCESS, REFUND_ID, Status.SUCCESS, "another", True),
        (Status.SUCCESS, REFUND_ID, Status.FAIL, REFUND_ID, True),
        (Status.FAIL, None, Status.SUCCESS, REFUND_ID, True),
        (Status.FAIL, REFUND_ID, Status.FAIL, "another", False),
    ],
)
def test_a_result_disputes_another_if_money_came_back_by_one_account_only_or_twice(
    status: Status, refund_id: str | None, says: Status, names: str | None, disputed: bool
) -> None:
    assert refund(status=status, refund_id=refund_id).disputes(Final(says, transaction_id=names)) is disputed


# --- The order -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refunded", [None, 0])
def test_an_order_of_which_nothing_was_given_back_shows_no_sum(refunded: int | None) -> None:
    assert "refundedAmount" not in order_document(order(refunded=refunded))


def test_an_order_shows_what_was_given_back_and_its_events_do_not() -> None:
    row = order(refunded=1980)
    assert order_document(row)["refundedAmount"] == {"currency": "HKD", "value": "1980"}
    assert "refundedAmount" not in row.shown["order"]
    assert row.shown_now["order"] == order_document(row)


# --- What an inquiry of the payment lists --------------------------------------------------------------------------

PORTAL = Seen("portal-1", "portal-refund-id", Amount("HKD", "500"))


def seen(*transactions: Any, **changes: Any) -> list[Seen]:
    return list(refunds_in(paid(transactions=list(transactions), **changes)))


def test_a_refund_that_succeeded_is_seen() -> None:
    assert seen(transaction()) == [PORTAL]


def test_one_without_a_request_id_is_known_by_alipays_own() -> None:
    [unnamed] = seen(transaction(transactionRequestId=None))
    assert unnamed == Seen(None, "portal-refund-id", Amount("HKD", "500"))
    assert unnamed.key == "portal-refund-id"


def test_one_without_alipays_id_is_known_by_its_request_id() -> None:
    [unnamed] = seen(transaction(transactionId=None))
    assert unnamed == Seen("portal-1", None, Amount("HKD", "500"))


def test_ids_are_kept_in_the_lengths_that_rows_have() -> None:
    [long] = seen(transaction(transactionRequestId="r" * 99, transactionId="i" * 99))
    assert (long.refund_request_id, long.refund_id) == ("r" * 64, "i" * 64)


@pytest.mark.parametrize(
    "other",
    [
        None,
        [],
        "REFUND",
        transaction(transactionType="CAPTURE"),
        transaction(transactionStatus="FAIL"),
        transaction(transactionStatus="PROCESSING"),
        transaction(transactionAmount=None),
        transaction(transactionAmount={"value": "500"}),
        transaction(transactionAmount={"currency": "HKD", "value": "0"}),
        transaction(transactionAmount={"currency": "HKD", "value": "5.00"}),
        transaction(transactionAmount={"currency": "HKD", "value": "1" * 17}),
        transaction(transactionAmount={"currency": "HKD", "value": 500}),
        transaction(transactionRequestId="", transactionId=""),
    ],
)
def test_whatever_else_is_listed_is_passed_over(other: Any) -> None:
    assert seen(other, transaction()) == [PORTAL]


@pytest.mark.parametrize("changes", [{"result": result("F", "X")}, {"result": result("U", "X")}])
def test_an_inquiry_that_failed_lists_nothing(changes: dict[str, Any]) -> None:
    assert seen(transaction(), **changes) == []


@pytest.mark.parametrize("transactions", [None, {}, "x"])
def test_a_list_that_is_none_lists_nothing(transactions: Any) -> None:
    assert list(refunds_in(paid(transactions=transactions))) == []
