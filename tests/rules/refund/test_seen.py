"""Which of a payment's refunds one is that Alipay tells of: nothing is booked twice, and nothing in doubt is booked."""

from typing import Any

import pytest
from autodebit.alipay.amount import Amount
from autodebit.refund.refund import Refund, Status
from autodebit.refund.seen import Seen

from tests.kit.refunds import refund
from tests.kit.samples import ID, PAYMENT_ID, order

AMOUNT = Amount("HKD", "500")
DONE: dict[str, Any] = {"status": Status.SUCCESS}


def ours(**changes: Any) -> Refund:
    return refund(refund_request_id="X", amount=AMOUNT, **changes)


def portal(key: str, refund_id: str | None) -> Refund:
    return refund(refund_request_id=key, amount=AMOUNT, status=Status.SUCCESS, observed=True, refund_id=refund_id)


@pytest.mark.parametrize(
    ("request_id", "refund_id", "known"),
    [
        pytest.param("X", None, ours(**DONE), id="its request id"),
        pytest.param("X", "R", ours(status=Status.FAIL), id="its request id, though it failed"),
        pytest.param(None, "R", ours(**DONE, refund_id="R"), id="one of ours, without its request id"),
        pytest.param("X", "R", portal("R", "R"), id="adopted by its refundId, named later"),
        pytest.param("X", None, portal("R", "R"), id="adopted by its refundId, then in a file that has none"),
        pytest.param(None, "R", portal("X", None), id="adopted from a file without refundId"),
        pytest.param(None, "R", ours(), id="one of ours that is INIT"),
        pytest.param(None, "R", ours(**DONE), id="one of ours whose refundId was not told"),
        pytest.param(None, "R", ours(**DONE, never_sent=True), id="one of ours that seemed never to have left"),
    ],
)
def test_what_is_known_or_in_doubt_is_no_other_refund(
    request_id: str | None, refund_id: str | None, known: Refund
) -> None:
    other = refund(refund_request_id="other", amount=Amount("HKD", "1"))
    assert Seen(request_id, refund_id, AMOUNT).among([other, known]) == known


@pytest.mark.parametrize(
    ("request_id", "refund_id", "other"),
    [
        pytest.param("Y", "R2", portal("X", "R"), id="both ids are others"),
        pytest.param("Y", "R2", portal("R", "R"), id="both ids are others than the refundId it was adopted by"),
        pytest.param(None, "R2", portal("R", "R"), id="another refundId"),
        pytest.param("Y", None, portal("X", None), id="another request id"),
        pytest.param("Y", "R", ours(), id="another request id than ours, which is INIT"),
        pytest.param("Y", "R", ours(**DONE), id="another request id than that of ours, whose refundId was not told"),
        pytest.param("Y", None, ours(**DONE, refund_id="R"), id="another request id than ours"),
        pytest.param(None, "R", ours(status=Status.FAIL), id="ours gave nothing back"),
        pytest.param(None, "R", ours(never_sent=True), id="ours never left"),
        pytest.param(None, "R", refund(refund_request_id="X"), id="another amount"),
    ],
)
def test_what_is_another_refund_for_certain_is_not_known(
    request_id: str | None, refund_id: str | None, other: Refund
) -> None:
    assert Seen(request_id, refund_id, AMOUNT).among([other]) is None


def test_one_that_is_named_is_found_before_one_that_it_may_be() -> None:
    assert Seen(None, "R", AMOUNT).among([ours(), portal("R", "R")]) == portal("R", "R")


def test_the_ids_of_the_payment_are_not_the_refunds() -> None:
    of_old_files = Seen(ID, "R", AMOUNT).of(order(payment_id=PAYMENT_ID))
    assert (of_old_files.refund_request_id, of_old_files.key) == (None, "R")
    of_2026 = Seen("X", PAYMENT_ID, AMOUNT).of(order(payment_id=PAYMENT_ID))
    assert (of_2026.refund_id, of_2026.key) == (None, "X")
    assert Seen(ID, PAYMENT_ID, AMOUNT).of(order(payment_id=PAYMENT_ID)).key is None


def test_what_else_was_seen_stays() -> None:
    named = Seen("X", "R", AMOUNT, "2026-11-25T18:00:01+08:00")
    assert named.of(order(payment_id=PAYMENT_ID)) == named
