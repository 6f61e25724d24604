"""The refund table on a real DynamoDB API: what one transaction stores in two rows, and who wins."""

import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.errors import RefundNotFound, TableFault
from autodebit.events import Acknowledgement
from autodebit.payment.order import Order
from autodebit.payment.order import Status as OrderStatus
from autodebit.payment.order_table import OrderItem
from autodebit.polling import NEVER
from autodebit.refund.refund import Refund, SettledRefund, Status, Witness, refund_document
from autodebit.refund.refund_table import RefundItem, refund_in
from autodebit.rows import transaction
from autodebit.rows.guard import Written
from pynamodb.exceptions import PynamoDBException
from pynamodb.transactions import TransactWrite

from tests.kit.before_dynamodb import dynamodb_json, error, loses_answers, peers_before_dynamodb
from tests.kit.peer import Call, Peer, Script
from tests.kit.refunds import REFUND_ID, REFUND_REQUEST_ID, REFUND_TIME
from tests.kit.samples import ID, NOW, order

from .conftest import World, refund

LATER = NOW + timedelta(minutes=1)
GIVEN_BACK = Final(Status.SUCCESS, "SUCCESS", "success.", REFUND_ID, REFUND_TIME)
FAILED = Final(Status.FAIL, "MERCHANT_BALANCE_NOT_ENOUGH")
FINALS = [GIVEN_BACK, FAILED]

CREATED: dict[str, Any] = {
    "refundRequestId": REFUND_REQUEST_ID,
    "paymentRequestId": ID,
    "status": "INIT",
    "currency": "HKD",
    "amountValue": "990",
    "createdAt": "2026-11-22T09:30:00.000Z",
    "body": '{"refundRequestId":"ref-20261125-000001"}',
    "attemptedAt": "2026-11-22T09:30:00.000Z",
    "watchShard": "17",
    "overdueAt": "2026-11-22T09:30:30.000Z",
    "pollingRound": 0,
    "inquiries": 0,
}


def created(world: World, value: str = "990", **changes: Any) -> Refund:
    """A refund of the payment that is INIT."""
    stored = world.refunds.create(refund(amount=Amount("HKD", value), **changes))
    assert stored is not None
    return stored


# --- Creating ------------------------------------------------------------------------------------------------------


def test_storing_a_refund_reserves_its_amount(world: World) -> None:
    world.paid()
    assert created(world) == refund(overdue_at=NOW + timedelta(seconds=30))
    assert world.row() == CREATED | {"attempt": refund().attempt}
    assert world.left() == (1000, None)


@pytest.mark.parametrize(("value", "taken"), [("1", True), ("1990", True), ("1991", False), ("9" * 16, False)])
def test_what_is_left_can_be_reserved_to_the_unit_and_no_more(world: World, value: str, taken: bool) -> None:
    world.paid()
    stored = world.refunds.create(refund(amount=Amount("HKD", value)))
    assert (stored is not None) is taken
    assert world.left() == (1990 - (int(value) if taken else 0), None)
    if not taken:
        with pytest.raises(RefundNotFound):
            world.refunds.get(REFUND_REQUEST_ID)


@pytest.mark.parametrize("value", ["0", "-1"])
@pytest.mark.parametrize("store", ["create", "observe"])
def test_no_write_moves_nothing_or_books_money_the_other_way(world: World, store: str, value: str) -> None:
    payment = world.paid()
    wrong = refund(amount=Amount("HKD", value))
    with pytest.raises(ValueError, match=f"a refund of {value}"):
        world.refunds.create(wrong) if store == "create" else world.refunds.observe(wrong, payment)
    assert world.left() == (1990, None)


@pytest.mark.parametrize("status", [OrderStatus.INIT, OrderStatus.FAIL, OrderStatus.CANCELLED])
def test_an_order_that_is_not_success_refuses_whatever_stands_in_it(world: World, status: OrderStatus) -> None:
    world.paid()
    world.tables["OrderTable"].update_item(
        Key={"paymentRequestId": ID},
        UpdateExpression="SET #s = :s",
        ExpressionAttributeNames={"#s": "status"},
        ExpressionAttributeValues={":s": status.value},
    )
    assert world.refunds.create(refund()) is None
    assert world.left() == (1990, None)


def test_an_order_that_is_not_there_refuses(world: World) -> None:
    assert world.refunds.create(refund()) is None


def test_an_id_that_is_taken_reserves_nothing_and_shows_what_stands_there(world: World) -> None:
    world.paid()
    first = created(world)
    again = world.refunds.create(refund(attempt="another", amount=Amount("HKD", "1")))
    assert again == first
    assert world.left() == (1000, None)


def test_an_id_that_is_taken_is_shown_also_when_nothing_is_left(world: World) -> None:
    world.paid()
    first = created(world, "1990")
    assert world.refunds.create(refund(attempt="another")) == first


# --- Settling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("witness", list(Witness))
@pytest.mark.parametrize("final", FINALS)
def test_a_result_is_booked_on_the_order_with_the_write_that_stores_it(
    world: World, witness: Witness, final: Final[Status]
) -> None:
    world.paid()
    settled = world.refunds.settle(created(world), final, witness, LATER)
    assert settled == Written(world.refunds.get(REFUND_REQUEST_ID), won=True)
    assert (settled.row.status, settled.row.settled_by, settled.row.settled_at) == (final.status, witness, LATER)
    assert (settled.row.result_code, settled.row.refund_id) == (final.result_code, final.transaction_id)
    assert world.left() == ((1000, 990) if final is GIVEN_BACK else (1990, None))
    assert world.row()["settledDay"].startswith("2026-11-25#" if final is GIVEN_BACK else "2026-11-22#")
    assert {"watchShard", "overdueAt"}.isdisjoint(world.row())
    kind = "RefundSucceeded" if final is GIVEN_BACK else "RefundFailed"
    assert [(told.kind, told.at, told.detail) for told in settled.row.told] == [(kind, LATER, None)]


@pytest.mark.parametrize("second", FINALS)
@pytest.mark.parametrize("first", FINALS)
def test_what_was_reserved_is_booked_exactly_once(world: World, first: Final[Status], second: Final[Status]) -> None:
    world.paid()
    before = created(world)
    world.refunds.settle(before, first, Witness.REFUND, LATER)
    once = world.left()
    stored = world.refunds.get(REFUND_REQUEST_ID)
    assert world.refunds.settle(before, second, Witness.NOTIFY, LATER) == Written(stored, won=False)
    assert world.left() == once
    assert world.refunds.get(REFUND_REQUEST_ID) == stored


def test_of_many_witnesses_at_once_one_books(world: World) -> None:
    world.paid()
    before = created(world)
    with ThreadPoolExecutor(16) as pool:
        finals = [GIVEN_BACK, FAILED] * 8
        written = list(pool.map(lambda final: world.refunds.settle(before, final, Witness.NOTIFY, LATER), finals))
    assert [each.won for each in written].count(True) == 1
    stored = world.refunds.get(REFUND_REQUEST_ID)
    assert {each.row for each in written} == {stored}
    assert world.left() == ((1000, 990) if stored.status is Status.SUCCESS else (1990, None))


def test_init_is_no_result(world: World) -> None:
    world.paid()
    with pytest.raises(ValueError, match="notify does not make a refund INIT"):
        world.refunds.settle(created(world), Final(Status.INIT), Witness.NOTIFY, LATER)


def test_a_refund_whose_payment_is_not_success_cannot_be_booked(world: World) -> None:
    world.paid()
    before = created(world)
    world.tables["OrderTable"].delete_item(Key={"paymentRequestId": ID})
    with pytest.raises(ValueError, match="of no payment that is SUCCESS"):
        world.refunds.settle(before, FAILED, Witness.NOTIFY, LATER)
    assert world.refunds.get(REFUND_REQUEST_ID).is_init


# --- Who sends, who looks ------------------------------------------------------------------------------------------


def test_what_never_left_keeps_its_reservation_and_nobody_waits_for_it(world: World) -> None:
    world.paid()
    noted = world.refunds.note_never_sent(created(world))
    assert noted.won
    assert (noted.row.never_sent, noted.row.overdue_at) == (True, None)
    assert world.left() == (1000, None)


def test_what_never_left_is_released_or_taken_over_and_never_both(world: World) -> None:
    world.paid()
    unsent = world.refunds.note_never_sent(created(world)).row
    one = world.refunds.note_never_sent(created(world, "1", refund_request_id="one")).row
    assert world.refunds.take_over(unsent, "another", LATER).won
    assert not world.refunds.release(unsent, LATER).won
    again = world.refunds.note_never_sent(world.refunds.get(REFUND_REQUEST_ID)).row
    assert not world.refunds.release(unsent, LATER).won  # of the attempt before
    assert world.refunds.release(again, LATER).won
    assert world.refunds.release(one, LATER).won
    assert not world.refunds.take_over(one, "another", LATER).won
    assert not world.refunds.release(one, LATER).won
    assert world.left() == (1990, None)


def test_what_may_have_left_is_not_released(world: World) -> None:
    world.paid()
    before = created(world)
    assert not world.refunds.release(before, LATER).won
    assert world.left() == (1000, None)


def test_what_never_left_is_taken_over_once_and_watched_again(world: World) -> None:
    world.paid()
    unsent = world.refunds.note_never_sent(created(world)).row
    taken = world.refunds.take_over(unsent, "another", LATER)
    assert taken.won
    assert (taken.row.attempt, taken.row.attempted_at, taken.row.never_sent) == ("another", LATER, False)
    assert (taken.row.overdue_at, taken.row.polling_round) == (LATER + timedelta(seconds=30), 0)
    assert not world.refunds.take_over(unsent, "third", LATER).won


def test_a_refund_that_is_polled_stays_so_when_its_sending_is_taken_over(world: World) -> None:
    world.paid()
    polled = world.refunds.note_inquiry(created(world), "U", LATER + timedelta(hours=6)).row
    taken = world.refunds.take_over(polled, "another", LATER).row
    assert (taken.overdue_at, taken.polling_round) == (polled.overdue_at, 0)


def test_a_refund_whose_schedule_is_spent_begins_another_round_when_it_is_sent_again(world: World) -> None:
    world.paid()
    spent = world.refunds.note_inquiry(created(world), "U", NEVER).row
    assert spent.is_spent
    taken = world.refunds.take_over(spent, "another", LATER).row
    assert (taken.overdue_at, taken.polling_round) == (LATER + timedelta(seconds=30), 1)


def test_a_take_over_whose_answer_was_lost_knows_its_own(world: World) -> None:
    world.paid()
    before = created(world)
    world.refunds.take_over(before, "another", LATER)
    assert world.refunds.take_over(before, "another", LATER).won


def test_what_alipay_has_in_process_is_taken_over_by_nobody_however_it_was_read(world: World) -> None:
    world.paid()
    before = created(world)
    noted = world.refunds.note_in_process(before, "refund U/REFUND_IN_PROCESS")
    assert (noted.won, noted.row.in_process) == (True, "refund U/REFUND_IN_PROCESS")
    assert world.refunds.note_inquiry(before, "inquiry S: PROCESSING", LATER, in_process=True).row.in_process == (
        "refund U/REFUND_IN_PROCESS"
    )
    taken = world.refunds.take_over(before, "another", LATER)
    assert (taken.won, taken.row.attempt) == (False, before.attempt)


STALE: list[Callable[[World, Refund], Written[Refund]]] = [
    lambda world, stale: world.refunds.note_never_sent(stale),
    lambda world, stale: world.refunds.note_in_process(stale, "U"),
    lambda world, stale: world.refunds.take_over(stale, "another", LATER),
    lambda world, stale: world.refunds.note_inquiry(stale, "U", LATER),
    lambda world, stale: world.refunds.note_unresolved(stale, LATER),
    lambda world, stale: world.refunds.start_next_round(stale, LATER),
]


@pytest.mark.parametrize("late", STALE)
@pytest.mark.parametrize("final", FINALS)
def test_whoever_comes_late_changes_nothing(world: World, final: Final[Status], late: Any) -> None:
    world.paid()
    stale = created(world)
    world.refunds.settle(stale, final, Witness.NOTIFY, LATER)
    before = world.row()
    assert not late(world, stale).won
    assert world.row() == before


def test_an_inquiry_counts_and_moves_on_who_is_late(world: World) -> None:
    world.paid()
    noted = world.refunds.note_inquiry(created(world), "inquiry S: PROCESSING", LATER).row
    assert (noted.inquiries, noted.last_inquiry, noted.overdue_at) == (1, "inquiry S: PROCESSING", LATER)
    assert world.refunds.note_inquiry(noted, "U", LATER).row.inquiries == 2


def test_an_overdue_refund_is_found_by_the_sweep_and_its_next_round_starts_once(world: World) -> None:
    world.paid()
    created(world)
    assert list(world.refunds.overdue(NOW + timedelta(seconds=29))) == []
    [overdue] = world.refunds.overdue(LATER)
    assert (overdue.key, overdue.polling_round) == (REFUND_REQUEST_ID, 0)
    assert world.refunds.start_round(overdue, LATER).row.polling_round == 1
    assert not world.refunds.start_round(overdue, LATER).won
    assert not world.refunds.note_watched(overdue, LATER).won


def test_the_end_of_the_schedule_is_told_once_with_what_get_showed(world: World) -> None:
    world.paid()
    before = created(world)
    noted = world.refunds.note_unresolved(before, LATER)
    assert noted.won
    [told] = noted.row.told
    assert (told.kind, told.at, json.loads(told.detail or "")) == (
        "RefundUnresolved",
        LATER,
        {"refund": refund_document(before)},
    )
    assert not world.refunds.note_unresolved(noted.row, LATER).won
    assert list(world.refunds.waiting_for_a_person()) == [REFUND_REQUEST_ID]


def test_a_refund_that_nobody_waits_for_has_no_next_round(world: World) -> None:
    world.paid()
    unsent = world.refunds.note_never_sent(created(world)).row
    with pytest.raises(ValueError, match="nobody waits"):
        world.refunds.start_next_round(unsent, LATER)


def test_a_refund_that_waited_for_a_person_says_who_looked_and_why(world: World) -> None:
    world.paid()
    noted = world.refunds.note_unresolved(created(world), NOW).row
    taken = world.refunds.acknowledge(noted, "ada", "asked Alipay", LATER)
    assert (taken.won, taken.row.acknowledged) == (True, (Acknowledgement(1, "ada", LATER, "asked Alipay"),))
    assert list(world.refunds.waiting_for_a_person()) == []


def test_a_contradiction_is_kept_told_and_waits_for_a_person_whatever_the_status(world: World) -> None:
    world.paid()
    failed = world.refunds.settle(created(world), FAILED, Witness.REFUND, LATER).row
    noted = world.refunds.note_contradiction(failed, "notify SUCCESS", LATER)
    assert noted.won
    assert noted.row.contradictions == {"notify SUCCESS"}
    assert [told.kind for told in noted.row.told] == ["RefundFailed", "RefundContradicted"]
    assert not world.refunds.note_contradiction(failed, "notify SUCCESS", LATER).won
    assert world.left() == (1990, None)
    assert list(world.refunds.waiting_for_a_person()) == [REFUND_REQUEST_ID]


def test_what_a_result_does_not_say_is_not_in_the_row(world: World) -> None:
    world.paid()
    world.refunds.settle(created(world), FAILED, Witness.REFUND, LATER)
    assert not {"refundId", "refundTime", "resultMessage"} & world.row().keys()


# --- Observed ------------------------------------------------------------------------------------------------------


def observed(**changes: Any) -> Refund:
    facts: dict[str, Any] = {
        "status": Status.SUCCESS,
        "observed": True,
        "settled_by": Witness.INQUIRY,
        "settled_at": NOW,
    }
    return refund(body="", refund_id=REFUND_ID, **{"attempt": "observer"} | facts | changes)


def observe(world: World, one: Refund) -> Refund | None:
    return world.refunds.observe(one, world.orders.get(one.payment_request_id))


def test_an_observed_refund_is_booked_and_told_once(world: World) -> None:
    world.paid()
    stored = observe(world, observed())
    assert stored is not None
    assert [told.kind for told in stored.told] == ["RefundObserved"]
    assert world.row()["tells"] is True, "the stream's filter looks for it"
    assert replace(stored, told=()) == observed()
    assert list(world.refunds.settled_on("2026-11-25")) == [], "it came from Alipay: it is not looked for there"
    assert world.left() == (1000, 990)
    assert observe(world, observed(attempt="again")) == stored
    assert world.left() == (1000, 990)
    assert world.orders.get(ID).refunds == {REFUND_REQUEST_ID}


def test_an_observed_refund_takes_what_others_have_reserved_until_they_give_it_back(world: World) -> None:
    world.paid()
    ours = created(world, "1500")
    observe(world, observed(refund_request_id="portal-1", amount=Amount("HKD", "1990")))
    assert world.left() == (-1500, 1990)
    assert world.refunds.create(refund(refund_request_id="ref-2", amount=Amount("HKD", "1"))) is None
    world.refunds.settle(ours, FAILED, Witness.REFUND, LATER)
    assert world.left() == (0, 1990)
    assert world.refunds.create(refund(refund_request_id="ref-2", amount=Amount("HKD", "1"))) is None


def test_more_than_was_paid_is_neither_observed_nor_settled(world: World) -> None:
    world.paid()
    ours = created(world, "1500")
    assert observe(world, observed(refund_request_id="portal-1", amount=Amount("HKD", "1991"))) is None
    assert observe(world, observed(refund_request_id="portal-1", amount=Amount("HKD", "491"))) is not None
    assert observe(world, observed(refund_request_id="portal-2", attempt="b", amount=Amount("HKD", "1500"))) is None
    assert not world.refunds.settle(ours, GIVEN_BACK, Witness.REFUND, LATER).won
    assert world.refunds.get(ours.key) == ours
    assert world.left() == (-1, 491)


def test_nothing_is_observed_of_an_order_that_got_another_refund_meanwhile(world: World) -> None:
    before = world.paid()
    created(world, "1")
    assert world.refunds.observe(observed(refund_request_id="portal-1"), before) is None
    once = world.orders.get(ID)
    observe(world, observed(refund_request_id="portal-1"))
    assert world.refunds.observe(observed(refund_request_id="portal-2", attempt="another"), once) is None
    assert world.left() == (999, 990)


@pytest.mark.parametrize("final", FINALS)
def test_a_refund_of_ours_is_not_observed(world: World, final: Final[Status]) -> None:
    world.paid()
    ours = created(world)
    assert observe(world, observed()) == ours
    settled = world.refunds.settle(ours, final, Witness.REFUND, LATER).row
    booked = world.left()
    assert observe(world, observed(attempt="again")) == settled
    assert world.left() == booked


def test_nothing_is_observed_of_a_payment_that_is_not_success(world: World) -> None:
    world.orders.create(order())
    assert observe(world, observed()) is None
    with pytest.raises(RefundNotFound):
        world.refunds.get(REFUND_REQUEST_ID)


# --- Listed --------------------------------------------------------------------------------------------------------


def test_the_refunds_of_a_payment_are_listed_oldest_first_as_they_are_stored_now(world: World) -> None:
    world.paid()
    other: Order = world.paid(payment_request_id="another")
    ids = [f"ref-{number:03d}" for number in range(120)]
    shuffled = random.Random(7).sample(ids, len(ids))
    for refund_request_id in shuffled:
        at = NOW + timedelta(seconds=int(refund_request_id[-3:]))
        created(world, "1", refund_request_id=refund_request_id, created_at=at)
    created(world, payment_request_id=other.key)
    assert world.refunds.of_order(world.paid(payment_request_id="new")) == []
    stored = world.orders.get(ID)
    created(world, "1", refund_request_id="later")
    assert [each.key for each in world.refunds.of_order(stored)] == ids


def test_a_refund_with_a_result_is_found_by_its_day_with_what_reconciliation_needs(world: World) -> None:
    world.paid()
    world.refunds.settle(created(world), GIVEN_BACK, Witness.NOTIFY, LATER)
    world.refunds.settle(created(world, "1", refund_request_id="another"), FAILED, Witness.NOTIFY, LATER)
    assert list(world.refunds.settled_on("2026-11-25")) == [
        SettledRefund(
            refund_request_id=REFUND_REQUEST_ID,
            payment_request_id=ID,
            refund_id=REFUND_ID,
            status=Status.SUCCESS,
            amount=Amount("HKD", "990"),
        )
    ]
    [failed] = world.refunds.settled_on("2026-11-22")
    assert (failed.refund_request_id, failed.refund_id, failed.status) == ("another", None, Status.FAIL)


def test_the_image_in_the_stream_is_the_refund(world: World) -> None:
    world.paid()
    world.refunds.settle(created(world), GIVEN_BACK, Witness.NOTIFY, LATER)
    assert refund_in(dynamodb_json(world.row())) == world.refunds.get(REFUND_REQUEST_ID)


def test_every_attribute_comes_back(world: World) -> None:
    world.paid()
    created(world, merchant_account_id="shop-7")
    world.refunds.note_inquiry(world.refunds.get(REFUND_REQUEST_ID), "U", LATER)
    world.refunds.note_contradiction(world.refunds.get(REFUND_REQUEST_ID), "x", LATER)
    world.refunds.settle(world.refunds.get(REFUND_REQUEST_ID), GIVEN_BACK, Witness.INQUIRY, LATER)
    stored = world.refunds.get(REFUND_REQUEST_ID)
    assert replace(stored, told=(), settle_token=None) == refund(
        status=Status.SUCCESS,
        merchant_account_id="shop-7",
        inquiries=1,
        last_inquiry="U",
        contradictions=frozenset({"x"}),
        settled_by=Witness.INQUIRY,
        settled_at=LATER,
        refund_id=REFUND_ID,
        result_code="SUCCESS",
        result_message="success.",
        refund_time=REFUND_TIME,
    )


# --- When transactions conflict or get lost ------------------------------------------------------------------------


@pytest.fixture
def between(tables: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], Peer]]:
    """Puts a peer of the test's own between the tables and DynamoDB."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", tables["OrderTable"].meta.client.meta.endpoint_url)
    with peers_before_dynamodb(monkeypatch, OrderItem, RefundItem) as put:
        yield put


def cancelled(*codes: str) -> Script:
    """DynamoDB's answer to a transaction that was cancelled for these reasons, one a change."""
    reasons = [{"Code": code, "Message": "-"} if code != "None" else {"Code": code} for code in codes]
    document = {
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "message": f"Transaction cancelled [{', '.join(codes)}]",
        "CancellationReasons": reasons,
    }
    return lambda call: call.answer(json.dumps(document).encode(), "400 x", Content_Type="application/x-amz-json-1.0")


def first_ones(script: Script, number: int) -> Script:
    """The first transactions come to this; everything else is handed on."""
    passes = loses_answers(0)
    met: list[Call] = []

    def play(call: Call) -> None:
        if call.headers["x-amz-target"].endswith("TransactWriteItems") and len(met) < number:
            met.append(call)
            script(call)
        else:
            passes(call)

    return play


@pytest.mark.parametrize(
    "reasons",
    [
        ("None", "TransactionConflict"),
        ("TransactionConflict", "None"),
        ("TransactionConflict", "ConditionalCheckFailed"),
        ("ConditionalCheckFailed", "TransactionConflict"),
        ("ThrottlingError", "None"),
        ("None", "ProvisionedThroughputExceeded"),
    ],
)
def test_a_transaction_that_meets_another_is_tried_again_and_concludes_nothing(
    world: World, between: Callable[[Script], Peer], monkeypatch: pytest.MonkeyPatch, reasons: tuple[str, ...]
) -> None:
    monkeypatch.setattr(transaction, "CONFLICT_PAUSE_S", 0.0)
    world.paid()
    peer = between(first_ones(cancelled(*reasons), transaction.CONFLICT_TRIES - 1))
    assert created(world).attempt == refund().attempt
    assert world.left() == (1000, None)
    sent = [json.loads(call.body) for call in peer.calls if b"TransactItems" in call.body]
    assert len(sent) == transaction.CONFLICT_TRIES
    assert {each["ClientRequestToken"] for each in sent} == {refund().attempt}


def test_one_that_meets_others_for_too_long_is_a_fault(
    world: World, between: Callable[[Script], Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten tries within 2 s or little more; each pause is half as long again or half as long, so that they part."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(random, "random", lambda: 0.25)
    world.paid()
    peer = between(first_ones(cancelled("None", "TransactionConflict"), 99))
    with pytest.raises(TableFault, match="TransactionCanceledException"):
        created(world)
    assert len(peer.calls) == 10
    assert pauses == pytest.approx([0.05 * 0.75 * tried for tried in range(1, 10)])
    assert world.left() == (1990, None)


def test_a_transaction_that_does_not_come_to_the_table_is_a_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.paid()
    monkeypatch.setattr(TransactWrite, "_commit", Mock(side_effect=PynamoDBException("no table")))
    with pytest.raises(TableFault):
        created(world)


@pytest.mark.parametrize(
    "reasons", [("None", "None"), ("ValidationError", "None"), ("None", "ItemCollectionSizeLimit")]
)
def test_one_cancelled_for_another_reason_is_a_fault_at_once(
    world: World, between: Callable[[Script], Peer], reasons: tuple[str, ...]
) -> None:
    world.paid()
    peer = between(first_ones(cancelled(*reasons), 99))
    with pytest.raises(TableFault):
        created(world)
    assert len(peer.calls) == 1


def test_a_refusal_by_dynamodb_is_a_fault(world: World, between: Callable[[Script], Peer]) -> None:
    between(error("AccessDeniedException"))
    with pytest.raises(TableFault, match=r"^TransactWriteError AccessDeniedException$"):
        created(world)


def test_a_transaction_whose_answer_was_lost_is_made_once(world: World, between: Callable[[Script], Peer]) -> None:
    world.paid()
    peer = between(loses_answers(1))
    before = created(world)
    assert before.attempt == refund().attempt
    assert world.left() == (1000, None)
    assert [call.headers["x-amz-target"].rpartition(".")[2] for call in peer.calls] == [
        *("TransactWriteItems", "TransactWriteItems"),  # the same token
        *("GetItem", "GetItem"),
    ]
    assert peer.calls[0].body == peer.calls[1].body


def test_a_settlement_whose_answer_was_lost_is_booked_once_and_knows_its_own(
    world: World, between: Callable[[Script], Peer]
) -> None:
    world.paid()
    before = created(world)
    between(loses_answers(1))
    assert world.refunds.settle(before, FAILED, Witness.INQUIRY, LATER).won
    assert world.left() == (1990, None)


def test_a_settlement_whose_answers_were_all_lost_may_have_been_booked_and_is_not_booked_again(
    world: World, between: Callable[[Script], Peer]
) -> None:
    world.paid()
    before = created(world)
    between(loses_answers(2))
    with pytest.raises(TableFault):
        world.refunds.settle(before, FAILED, Witness.INQUIRY, LATER)
    between(loses_answers(0))
    assert not world.refunds.settle(before, FAILED, Witness.INQUIRY, LATER).won
    assert world.left() == (1990, None)


# --- Many at once --------------------------------------------------------------------------------------------------


def settled(world: World, before: Refund, final: Final[Status]) -> bool:
    """Whether this write settled it."""
    return world.refunds.settle(before, final, Witness.NOTIFY, LATER).won


def test_many_partial_refunds_at_once_never_exceed_and_none_is_refused_while_enough_is_left(
    world: World, pytestconfig: pytest.Config, record_property: Any
) -> None:
    """Half of them die before or after their transaction; then all come again, and all are settled twice."""
    rounds = pytestconfig.getoption("--refund-rounds")
    for number in range(rounds):
        chance = random.Random(number)
        payment = world.paid(payment_request_id=f"ord-{number}")
        enough = number % 2 == 1
        values = [chance.choice((1, 10, 62) if enough else (1, 10, 100, 199, 400)) for _ in range(32)]

        def attempt(
            place: int, dies: str, number: int = number, payment: Order = payment, values: list[int] = values
        ) -> str:
            one = refund(
                refund_request_id=f"{payment.key}-{place}",
                payment_request_id=payment.key,
                amount=Amount("HKD", str(values[place])),
                attempt=f"{number}-{place}-{dies}",
            )
            if dies == "before":
                return dies
            stored = world.refunds.create(one)
            return "refused" if stored is None else "stored"

        with ThreadPoolExecutor(32) as pool:
            fates = [chance.choice(("before", "after", "", "")) for _ in values]
            pool.map(attempt, range(32), fates)
            ends = list(pool.map(attempt, range(32), [""] * 32))  # whoever died comes again, and so does everybody
        left = world.orders.get(payment.key).refundable
        assert left is not None
        assert left >= 0
        stored = [value for value, end in zip(values, ends, strict=True) if end == "stored"]
        assert left == 1990 - sum(stored)
        assert all(value > left for value, end in zip(values, ends, strict=True) if end == "refused")
        assert not (enough and "refused" in ends)
        refunds = world.refunds.of_order(world.orders.get(payment.key))
        finals = [chance.choice(FINALS) for _ in refunds]
        with ThreadPoolExecutor(32) as pool:
            won = list(pool.map(partial(settled, world), refunds * 2, finals * 2))
        assert won.count(True) == len(refunds)
        given = sum(int(each.amount.value) for each, final in zip(refunds, finals, strict=True) if final is GIVEN_BACK)
        order_now = world.orders.get(payment.key)
        assert (order_now.refundable, order_now.refunded or 0) == (1990 - given, given)
    record_property("refundRounds", rounds)
