"""The order table on a real DynamoDB API: what is stored, who wins, and what a call that goes wrong comes to."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.errors import OrderNotFound, TableFault
from autodebit.events import Acknowledgement
from autodebit.payment.closing import ABSENCES_MIN, CANCEL_UNDER_WAY_S
from autodebit.payment.order import Order, Status, Witness, order_document
from autodebit.payment.order_table import OrderItem, OrderTable, order_in
from autodebit.payment.transitions import TRANSITIONS
from autodebit.polling import NEVER
from autodebit.rows.guard import Written
from autodebit.rows.watch import WATCH_SHARDS, Overdue

from tests.kit.before_dynamodb import dynamodb_json, error, loses_answers, peers_before_dynamodb
from tests.kit.peer import Peer, Script
from tests.kit.samples import ID, NOW, PAYMENT_ID, order

LATER = NOW + timedelta(minutes=1)
PAID = Final(Status.SUCCESS, "SUCCESS", "success.", PAYMENT_ID, "2026-11-22T01:30:02-08:00")
FAILED = Final(Status.FAIL)

TABLE = OrderTable()

KEPT: dict[str, Any] = {
    "paymentRequestId": ID,
    "currency": "HKD",
    "amountValue": "1990",
    "referenceOrderId": "20261122-000017",
    "createdAt": "2026-11-22T09:30:00.000Z",
    "paymentExpiryTime": "2026-11-22T09:30:55Z",
    "identity": "1..........",
    "payBodySha256": "1" * 64,
    "attempt": "attempt",
    "attemptedAt": "2026-11-22T09:30:00.000Z",
    "pollingRound": 0,
    "inquiries": 0,
}
OPENED = KEPT | {"status": "INIT", "watchShard": "18", "overdueAt": "2026-11-22T09:30:30.000Z"}


def row(rows: Any, payment_request_id: str = ID) -> dict[str, Any]:
    return dict(rows.get_item(Key={"paymentRequestId": payment_request_id}, ConsistentRead=True)["Item"])


UNTIL = NOW + timedelta(seconds=30)
"""From when nobody looking at an order just opened is late."""


def watched(**changes: Any) -> Order:
    return order(**({"overdue_at": UNTIL} | changes))


def opened(**changes: Any) -> Order:
    return TABLE.create(order(**changes)).row


# --- Opening and reading -----------------------------------------------------------------------------------------


def test_an_order_is_opened_as_one_row_that_the_sweep_can_see(rows: Any) -> None:
    assert TABLE.create(order()) == Written(watched(), won=True)
    assert row(rows) == OPENED


def test_an_order_is_read_as_it_was_written(rows: Any) -> None:
    given = order(
        created_at=NOW + timedelta(milliseconds=1),
        attempted_at=NOW + timedelta(milliseconds=999),
        merchant_account_id="shop-7",
        agreement_id="agr-1",
        payment_method_type="ALIPAY_HK",
        token_digest="3" * 64,
    )
    TABLE.create(given)
    assert TABLE.get(ID) == replace(given, overdue_at=given.attempted_at + timedelta(seconds=30))


def test_an_id_that_is_taken_opens_nothing_and_shows_what_stands_there(rows: Any) -> None:
    opened()
    assert TABLE.create(order(attempt="another", identity="1.f")) == Written(watched(), won=False)
    assert row(rows) == OPENED


def test_the_opening_whose_answer_was_lost_knows_its_own_row(rows: Any) -> None:
    opened()
    assert TABLE.create(order()) == Written(watched(), won=True)


def test_an_order_that_is_not_there_is_not_found(rows: Any) -> None:
    with pytest.raises(OrderNotFound) as missing:
        TABLE.get(ID)
    assert str(missing.value) == ID


def test_every_attribute_comes_back(rows: Any) -> None:
    rows.put_item(
        Item=KEPT
        | {
            "status": "CANCELLED",
            "neverSent": True,
            "pollingRound": 3,
            "inquiries": 12,
            "lastInquiry": "inquiry U/",
            "settledBy": "inquiry",
            "settledAt": "2026-11-22T09:31:00.000Z",
            "settleToken": "token",
            "paymentId": PAYMENT_ID,
            "resultCode": "CODE",
            "resultMessage": "message",
            "paymentTime": "2026-11-22T01:30:02-08:00",
            "contradictions": {"a", "b"},
        }
    )
    assert TABLE.get(ID) == order(
        status=Status.CANCELLED,
        never_sent=True,
        polling_round=3,
        inquiries=12,
        last_inquiry="inquiry U/",
        settled_by=Witness.INQUIRY,
        settled_at=LATER,
        settle_token="token",
        payment_id=PAYMENT_ID,
        result_code="CODE",
        result_message="message",
        payment_time="2026-11-22T01:30:02-08:00",
        contradictions=frozenset({"a", "b"}),
    )


# --- The INIT guard ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("witness", list(Witness))
def test_a_result_is_stored_if_this_witness_may_report_it_and_else_nothing_is(
    rows: Any, witness: Witness, status: Status
) -> None:
    before = opened()
    if (witness, status) == (Witness.CANCEL, Status.FAIL):
        before = TABLE.note_inquiry(replace(before, absences=3, absent_at=NOW), "F", LATER).row
    if witness in TRANSITIONS.get((Status.INIT, status), ()):
        assert TABLE.settle(before, Final(status), witness, LATER).won
        assert (row(rows)["status"], row(rows)["settledBy"]) == (status.value, witness.value)
    else:
        with pytest.raises(ValueError, match=f"{witness} does not make an order {status}"):
            TABLE.settle(before, Final(status), witness, LATER)
        assert row(rows) == OPENED


@pytest.mark.parametrize("witness", sorted(TRANSITIONS[Status.INIT, Status.SUCCESS]))
def test_a_result_is_stored_and_the_order_leaves_the_index(rows: Any, witness: Witness) -> None:
    written = TABLE.settle(opened(), PAID, witness, LATER)
    assert written.won
    assert written.row == TABLE.get(ID)
    stored = row(rows)
    assert stored.pop("settleToken") == written.row.settle_token
    assert stored == KEPT | {
        "status": "SUCCESS",
        "settledBy": witness.value,
        "settledAt": "2026-11-22T09:31:00.000Z",
        "settledDay": "2026-11-22#18",
        "refundable": 1990,
        "unrefunded": 1990,
        "paymentId": PAYMENT_ID,
        "resultCode": "SUCCESS",
        "resultMessage": "success.",
        "paymentTime": "2026-11-22T01:30:02-08:00",
        "tells": True,
        "told": [{"kind": "PaymentSucceeded", "at": "2026-11-22T09:31:00.000Z"}],
    }


def test_what_a_result_does_not_say_is_not_stored(rows: Any) -> None:
    TABLE.settle(opened(), FAILED, Witness.PAY, LATER)
    unsaid = {"paymentId", "resultCode", "resultMessage", "paymentTime", "refundable", "unrefunded"}
    assert not unsaid & set(row(rows))


@pytest.mark.parametrize("first", [PAID, FAILED, Final(Status.CANCELLED)])
def test_a_second_result_changes_nothing_and_is_told_the_first(rows: Any, first: Final[Status]) -> None:
    stale = opened()
    settled = TABLE.settle(stale, first, Witness.INQUIRY, LATER).row
    assert TABLE.settle(stale, PAID, Witness.NOTIFY, LATER) == Written(settled, won=False)
    assert TABLE.get(ID) == settled


def test_of_many_results_at_once_one_wins(rows: Any) -> None:
    stale = opened()
    with ThreadPoolExecutor(8) as witnesses:
        written = list(witnesses.map(lambda _: TABLE.settle(stale, PAID, Witness.NOTIFY, LATER), range(8)))
    assert [each.won for each in written].count(True) == 1
    assert {each.row for each in written} == {TABLE.get(ID)}


CHANGES: list[Callable[[Order], Written[Order]]] = [
    lambda stale: TABLE.settle(stale, PAID, Witness.PAY, LATER),
    lambda stale: TABLE.note_never_sent(stale),
    lambda stale: TABLE.take_over_never_sent(stale, "another", LATER, "2026-11-22T09:31:55Z", "2", "digest"),
    lambda stale: TABLE.take_over_sending(stale, "another", LATER),
    lambda stale: TABLE.note_inquiry(stale, "U", LATER),
    lambda stale: TABLE.note_watched(Overdue(ID, 0, OPENED["overdueAt"]), LATER),
    lambda stale: TABLE.start_round(Overdue(ID, 0, OPENED["overdueAt"]), LATER),
    lambda stale: TABLE.note_cancel(stale, "another", LATER, LATER, LATER, new_round=True),
    lambda stale: TABLE.note_cancel_refused(stale, "PROCESS_FAIL", LATER),
    lambda stale: TABLE.note_cancel_unanswered(stale, "cancel U"),
    lambda stale: TABLE.note_crossed(stale, "notify SUCCESS"),
    lambda stale: TABLE.note_unresolved(stale, LATER),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("unsent", [{}, {"neverSent": True}], ids=["sent", "neverSent"])
def test_nothing_changes_an_order_that_is_final(
    rows: Any, change: Callable[[Order], Written[Order]], unsent: dict[str, bool]
) -> None:
    final = OPENED | {"status": "FAIL"} | unsent
    rows.put_item(Item=final)
    assert change(order()).row == TABLE.get(ID)
    assert row(rows) == final


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_creates_an_order_that_was_not_opened(rows: Any, change: Callable[[Order], Written[Order]]) -> None:
    with pytest.raises(OrderNotFound):
        change(order())
    assert rows.scan()["Items"] == []


# --- Who sends ---------------------------------------------------------------------------------------------------


def test_an_order_that_never_left_leaves_the_index_until_it_is_taken_over(rows: Any) -> None:
    written = TABLE.note_never_sent(opened())
    assert written == Written(order(never_sent=True), won=True)
    assert row(rows) == KEPT | {"status": "INIT", "neverSent": True}
    taken = TABLE.take_over_never_sent(written.row, "another", LATER, "2026-11-22T09:31:55Z", "2" * 64, "digest")
    expected = watched(
        attempt="another",
        attempted_at=LATER,
        overdue_at=LATER + timedelta(seconds=30),
        payment_expiry_time="2026-11-22T09:31:55Z",
        pay_body_sha256="2" * 64,
        token_digest="digest",
    )
    assert taken == Written(expected, won=True)
    assert row(rows) == OPENED | {
        "attempt": "another",
        "attemptedAt": "2026-11-22T09:31:00.000Z",
        "paymentExpiryTime": "2026-11-22T09:31:55Z",
        "payBodySha256": "2" * 64,
        "tokenDigest": "digest",
        "overdueAt": "2026-11-22T09:31:30.000Z",
    }


def test_who_was_taken_over_cannot_note_that_nothing_left(rows: Any) -> None:
    before = opened()
    TABLE.take_over_sending(before, "another", LATER)
    stored = row(rows)
    assert TABLE.note_never_sent(before) == Written(TABLE.get(ID), won=False)
    assert row(rows) == stored


def test_that_nothing_left_can_be_noted_twice_by_the_same_attempt_alone(rows: Any) -> None:
    before = opened()
    TABLE.note_never_sent(before)
    assert TABLE.note_never_sent(before).won
    assert TABLE.get(ID).never_sent


def test_another_attempts_note_is_not_ones_own(rows: Any) -> None:
    rows.put_item(Item=KEPT | {"status": "INIT", "neverSent": True, "attempt": "another"})
    assert not TABLE.note_never_sent(order()).won


def test_an_order_that_never_left_is_taken_over_once(rows: Any) -> None:
    unsent = TABLE.note_never_sent(opened()).row
    first = TABLE.take_over_never_sent(unsent, "first", LATER, "2026-11-22T09:31:55Z", "2", "digest")
    assert TABLE.take_over_never_sent(unsent, "second", NOW, "2026-11-22T09:32:55Z", "3", "digest") == replace(
        first, won=False
    )


@pytest.mark.parametrize("attempt", ["attempt", "another"])
def test_what_may_have_left_is_not_started_afresh(rows: Any, attempt: str) -> None:
    opened()
    written = TABLE.take_over_never_sent(order(attempt=attempt), "second", LATER, "2026-11-22T09:31:55Z", "2", "digest")
    assert written == Written(watched(), won=False)
    assert row(rows) == OPENED


def test_a_take_over_whose_answer_was_lost_knows_its_own_write(rows: Any) -> None:
    before = opened()
    unsent = TABLE.note_never_sent(before).row
    TABLE.take_over_never_sent(unsent, "mine", LATER, "2026-11-22T09:31:55Z", "2", "digest")
    assert TABLE.take_over_never_sent(unsent, "mine", LATER, "2026-11-22T09:31:55Z", "2", "digest").won
    TABLE.take_over_sending(TABLE.get(ID), "next", LATER)
    assert TABLE.take_over_sending(before, "next", LATER).won


def test_a_sending_is_repeated_by_one_and_the_index_stays(rows: Any) -> None:
    before = opened()
    taken = TABLE.take_over_sending(before, "first", LATER)
    assert taken == Written(watched(attempt="first", attempted_at=LATER), won=True)
    assert row(rows) == OPENED | {"attempt": "first", "attemptedAt": "2026-11-22T09:31:00.000Z"}
    assert TABLE.take_over_sending(before, "second", NOW) == replace(taken, won=False)


def test_what_never_left_is_not_repeated(rows: Any) -> None:
    unsent = TABLE.note_never_sent(opened()).row
    assert TABLE.take_over_sending(unsent, "second", LATER) == Written(unsent, won=False)


# --- Who looks ---------------------------------------------------------------------------------------------------


def test_an_inquiry_is_noted_and_moves_the_next_look(rows: Any) -> None:
    assert TABLE.note_inquiry(opened(), "inquiry S: PROCESSING", LATER).won
    assert row(rows) == OPENED | {
        "inquiries": 1,
        "lastInquiry": "inquiry S: PROCESSING",
        "overdueAt": "2026-11-22T09:31:00.000Z",
    }


def test_an_order_that_never_left_is_not_put_back_into_the_index_by_an_inquiry(rows: Any) -> None:
    unsent = TABLE.note_never_sent(opened()).row
    assert TABLE.note_inquiry(unsent, "U", LATER) == Written(unsent, won=False)
    assert "overdueAt" not in row(rows)


def overdue(**changes: Any) -> Overdue:
    return replace(Overdue(ID, 0, str(OPENED["overdueAt"])), **changes)


def test_an_order_that_is_watched_moves_its_look_alone(rows: Any) -> None:
    opened()
    assert TABLE.note_watched(overdue(), LATER).won
    assert row(rows) == OPENED | {"overdueAt": "2026-11-22T09:31:00.000Z"}
    assert not TABLE.note_watched(overdue(), NOW).won
    assert row(rows)["overdueAt"] == "2026-11-22T09:31:00.000Z"


def test_a_round_is_opened_once(rows: Any) -> None:
    opened()
    assert TABLE.start_round(overdue(polling_round=4), LATER) == Written(
        watched(polling_round=5, overdue_at=LATER), won=True
    )
    assert row(rows) == OPENED | {"pollingRound": 5, "overdueAt": "2026-11-22T09:31:00.000Z"}
    assert not TABLE.start_round(overdue(polling_round=5), NOW).won
    assert row(rows)["pollingRound"] == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda: TABLE.note_watched(overdue(), LATER),
        lambda: TABLE.start_round(overdue(), LATER),
        lambda: TABLE.note_never_sent(order()),
        lambda: TABLE.settle(order(), PAID, Witness.PAY, LATER),
    ],
)
def test_when_the_look_before_said_it_would_come_is_forgotten_with_it(
    rows: Any, change: Callable[[], Written[Order]]
) -> None:
    rows.put_item(Item=OPENED | {"lookAt": "2026-11-22T09:30:20.000Z"})
    assert change().won
    assert "lookAt" not in row(rows)


def test_a_spent_schedule_is_out_of_the_sweeps_view_for_ever(rows: Any) -> None:
    TABLE.note_inquiry(opened(), "U", NEVER)
    assert row(rows)["overdueAt"] == "9999-12-31T00:00:00.000Z"
    assert list(TABLE.overdue(datetime(9999, 12, 30, tzinfo=UTC))) == []


def test_a_row_in_the_stream_is_the_order(rows: Any) -> None:
    paid = TABLE.settle(opened(), PAID, Witness.NOTIFY, LATER).row
    assert order_in(dynamodb_json(row(rows))) == paid


# --- Cancels -----------------------------------------------------------------------------------------------------


def cancelled(before: Order, attempt: str = "cancel", at: datetime = NOW) -> Written[Order]:
    return TABLE.note_cancel(before, attempt, at, at + timedelta(seconds=20), LATER, new_round=False)


def test_a_cancel_is_noted_with_who_sends_it_and_when_somebody_goes_on_with_it(rows: Any) -> None:
    noted = cancelled(opened())
    assert noted == Written(TABLE.get(ID), won=True)
    assert row(rows) == OPENED | {
        "cancelRequestedAt": "2026-11-22T09:30:00.000Z",
        "cancelAttempt": "cancel",
        "cancelAttemptedAt": "2026-11-22T09:30:00.000Z",
        "overdueAt": "2026-11-22T09:30:20.000Z",
        "lookAt": "2026-11-22T09:31:00.000Z",
    }


@pytest.mark.parametrize(("after_s", "won"), [(0, False), (CANCEL_UNDER_WAY_S, False), (CANCEL_UNDER_WAY_S + 1, True)])
def test_a_cancel_is_sent_again_once_no_other_may_be_under_way(rows: Any, after_s: int, won: bool) -> None:
    first = cancelled(opened()).row
    again = cancelled(first, "again", NOW + timedelta(seconds=after_s))
    assert again.won is won
    now = TABLE.get(ID)
    assert (now.cancel_attempt, now.cancel_doubted) == (("again", True) if won else ("cancel", False))
    assert now.cancel_requested_at == NOW, "since the first"


def test_a_note_of_a_cancel_whose_answer_was_lost_knows_itself_and_no_other(
    rows: Any, between: Callable[[Script], Peer]
) -> None:
    before = opened()
    between(loses_answers(1))
    assert cancelled(before).won
    between(loses_answers(0))
    assert not cancelled(before, "another").won


def test_what_a_cancel_heard_is_kept_and_its_attempt_is_over(rows: Any) -> None:
    noted = cancelled(opened()).row
    heard = noted.hears("cancel U/UNKNOWN_EXCEPTION", LATER)
    assert TABLE.note_cancel_unanswered(heard, "cancel U/UNKNOWN_EXCEPTION").won
    open_still = TABLE.get(ID)
    assert open_still.last_cancel == "cancel U/UNKNOWN_EXCEPTION"
    assert (open_still.cancel_attempted_at, open_still.cancel_requested_at) == (None, NOW)
    assert [entry.said for entry in open_still.heard] == ["cancel U/UNKNOWN_EXCEPTION"]
    refused = open_still.hears("cancel F/PROCESS_FAIL", LATER)
    assert TABLE.note_cancel_refused(refused, "PROCESS_FAIL", LATER).won
    over = TABLE.get(ID)
    assert (over.last_cancel, over.cancel_code, over.cancel_refused_at) == (
        "cancel F/PROCESS_FAIL",
        "PROCESS_FAIL",
        LATER,
    )
    assert (over.cancel_requested_at, over.cancel_attempted_at) == (None, None)
    assert [entry.said for entry in over.heard] == ["cancel U/UNKNOWN_EXCEPTION", "cancel F/PROCESS_FAIL"]


@pytest.mark.parametrize(("absences", "won"), [(ABSENCES_MIN - 1, False), (ABSENCES_MIN, True)])
def test_a_cancel_that_finds_no_payment_fails_the_order_if_the_row_says_how_often_it_was_absent(
    rows: Any, absences: int, won: bool
) -> None:
    before = replace(opened(), absences=absences, absent_at=NOW)
    TABLE.note_inquiry(before, "F", LATER)
    assert TABLE.settle(before, FAILED, Witness.CANCEL, LATER).won is won


def test_a_failure_that_another_tells_of_does_not_ask_whether_it_was_ever_sent(rows: Any) -> None:
    """It was read before a replay sent it after all."""
    read = TABLE.note_never_sent(opened()).row
    TABLE.take_over_never_sent(read, "another", LATER, "2026-11-22T09:31:55Z", "2", "digest")
    assert not TABLE.settle(read, Final(Status.CANCELLED), Witness.CANCEL, LATER).won, "it is sent by now"
    assert TABLE.settle(read, FAILED, Witness.NOTIFY, LATER).won


def test_a_success_that_was_asked_for_while_a_cancel_was_under_way_is_not_certain_after_its_refusal(rows: Any) -> None:
    first = cancelled(opened()).row
    asked = cancelled(first, "again", LATER).row
    TABLE.note_cancel_refused(asked, "PROCESS_FAIL", LATER)
    assert not TABLE.settle(asked, PAID, Witness.INQUIRY, LATER).won, "the first cancel may still take effect"
    assert not TABLE.settle(TABLE.get(ID), PAID, Witness.NOTIFY, LATER).won
    assert TABLE.settle(TABLE.get(ID), PAID, Witness.INQUIRY, LATER).won, "asked since"


# --- The index ---------------------------------------------------------------------------------------------------


def many(number: int, **changes: Any) -> list[str]:
    ids = [f"ord-{place:03d}" for place in range(number)]
    for place, payment_request_id in enumerate(ids):
        opened(payment_request_id=payment_request_id, attempted_at=NOW + timedelta(seconds=place), **changes)
    return ids


def test_overdue_is_what_should_have_been_looked_at_by_now(rows: Any) -> None:
    ids = many(40)
    found = list(TABLE.overdue(NOW + timedelta(seconds=30 + 20)))
    assert {each.key for each in found} == set(ids[:21])
    assert {each.overdue_at for each in found} == {f"2026-11-22T09:30:{30 + s:02d}.000Z" for s in range(21) if s < 30}
    assert {each.polling_round for each in found} == {0}


def test_the_orders_of_a_shard_come_longest_overdue_first_and_every_page_of_them(rows: Any) -> None:
    with rows.batch_writer() as batch:
        for place in range(120):
            overdue_at = (NOW + timedelta(seconds=(place * 7) % 120)).isoformat(timespec="milliseconds")[:23] + "Z"
            batch.put_item(
                Item=OPENED
                | {"paymentRequestId": f"o-{place}", "watchShard": "07", "overdueAt": overdue_at, "pollingRound": 2}
            )
    found = list(TABLE.overdue(LATER + timedelta(hours=1), [7]))
    assert len(found) == 120
    assert [each.overdue_at for each in found] == sorted(each.overdue_at for each in found)
    assert {each.polling_round for each in found} == {2}
    assert list(TABLE.overdue(LATER + timedelta(hours=1), [6, 8])) == []


def test_every_order_is_in_one_of_the_shards(rows: Any) -> None:
    many(200)
    shards = {row["watchShard"] for row in rows.scan()["Items"]}
    assert shards == {f"{shard:02d}" for shard in range(WATCH_SHARDS)}
    assert len(list(TABLE.overdue(LATER + timedelta(hours=1)))) == 200
    assert WATCH_SHARDS == 32


def test_a_final_order_is_overdue_no_more(rows: Any) -> None:
    TABLE.settle(opened(), PAID, Witness.PAY, LATER)
    assert list(TABLE.overdue(NEVER)) == []


def test_orders_that_are_init_for_long_are_counted_up_to_a_limit(rows: Any) -> None:
    many(40)
    assert TABLE.init_since(NOW, 100) == 0
    assert TABLE.init_since(NOW + timedelta(seconds=20), 100) == 20
    assert TABLE.init_since(LATER, 100) == 40
    for most in (1, 2, 39, 40):
        assert TABLE.init_since(LATER, most) == most


def test_only_orders_that_are_new_among_the_old_ones_are_counted_for_the_alarm(rows: Any) -> None:
    many(40)
    assert TABLE.init_since(LATER, 100, NOW + timedelta(seconds=30)) == 10
    assert TABLE.init_since(NOW + timedelta(seconds=35), 100, NOW + timedelta(seconds=30)) == 5
    assert TABLE.init_since(LATER, 100, LATER) == 0


def test_every_order_that_is_init_is_counted(rows: Any) -> None:
    many(40)
    TABLE.settle(order(payment_request_id="ord-000"), FAILED, Witness.PAY, LATER)
    assert TABLE.init_orders() == 39


def test_a_spent_order_is_counted_and_a_final_or_unsent_one_is_not(rows: Any) -> None:
    TABLE.note_inquiry(opened(), "U", NEVER)
    TABLE.note_never_sent(opened(payment_request_id="never-sent"))
    TABLE.settle(opened(payment_request_id="final"), FAILED, Witness.PAY, LATER)
    assert TABLE.init_since(LATER, 100) == 1


# --- Contradictions ----------------------------------------------------------------------------------------------


def contradicted(said: str, status: Status) -> dict[str, Any]:
    shown = order_document(order(status=status))
    detail = json.dumps({"order": shown, "contradiction": said}, separators=(",", ":"))
    return {"kind": "PaymentContradicted", "at": "2026-11-22T09:31:00.000Z", "detail": detail}


@pytest.mark.parametrize("status", list(Status))
def test_contradictions_are_kept_and_told_whatever_the_status_and_each_once(rows: Any, status: Status) -> None:
    rows.put_item(Item=OPENED | {"status": status.value})
    new = [TABLE.note_contradiction(order(), said, LATER).won for said in ("a", "b", "a")]
    assert new == [True, True, False]
    told = [contradicted(said, status) for said in ("a", "b")]
    waits = {"attentionShard": "18", "attentionSince": "2026-11-22T09:31:00.000Z"}
    gained = {"contradictions": {"a", "b"}, "told": told, "tells": True} | waits
    assert row(rows) == OPENED | {"status": status.value} | gained


def test_what_was_heard_comes_back_with_its_times(rows: Any) -> None:
    heard = opened()
    for second, said in enumerate(("a", "a", "b")):
        heard = TABLE.note_inquiry(heard.hears(said, NOW + timedelta(seconds=second)), said, LATER).row
    assert [(entry.said, entry.times) for entry in TABLE.get(ID).heard] == [("a", 2), ("b", 1)]
    assert TABLE.get(ID).heard == heard.heard
    assert heard.heard[0].until == NOW + timedelta(seconds=1)
    assert [set(entry) for entry in row(rows)["heard"]] == [{"said", "at", "times", "until"}, {"said", "at"}]


def test_a_row_keeps_no_more_contradictions_than_it_can_hold(rows: Any) -> None:
    opened()
    new = [TABLE.note_contradiction(order(), f"said {number}", LATER).won for number in range(12)]
    assert new == [True] * 10 + [False] * 2
    assert (len(row(rows)["contradictions"]), len(row(rows)["told"])) == (10, 10)


def test_what_is_told_of_an_order_stands_in_order(rows: Any) -> None:
    stale = opened()
    TABLE.note_contradiction(stale, "a", LATER)
    TABLE.settle(stale, PAID, Witness.NOTIFY, LATER)
    TABLE.note_contradiction(stale, "b", LATER)
    assert [told.kind for told in TABLE.get(ID).told] == [
        "PaymentContradicted",
        "PaymentSucceeded",
        "PaymentContradicted",
    ]
    assert [json.loads(told.detail or "{}").get("order", {}).get("status") for told in TABLE.get(ID).told] == [
        "INIT",
        None,
        "SUCCESS",
    ]


def test_the_usual_row_costs_one_write_unit(rows: Any) -> None:
    """Each KB begun is one more: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html"""
    heard = {"said": "inquiry S: PROCESSING", "at": "2026-11-22T09:30:05.000Z", "times": 3}
    created = OPENED | {
        "inquiries": 3,
        "lastInquiry": "inquiry S: PROCESSING",
        "heard": [heard | {"until": "2026-11-22T09:30:18.000Z"}],
        "merchantAccountId": "2188120000000000",
    }
    rows.put_item(Item=created | {"paymentRequestId": "x" * 64, "referenceOrderId": "y" * 64})
    TABLE.settle(order(payment_request_id="x" * 64), PAID, Witness.NOTIFY, LATER)
    image = dynamodb_json(row(rows, "x" * 64))
    assert sum(len(name) + stored_bytes(value) for name, value in image.items()) <= 1024


def stored_bytes(value: dict[str, Any]) -> int:
    [(kind, held)] = value.items()
    if kind == "L":
        return 3 + sum(1 + stored_bytes(inner) for inner in held)
    if kind == "M":
        return 3 + sum(1 + len(name) + stored_bytes(inner) for name, inner in held.items())
    plain = {"S": len(str(held).encode()), "N": len(str(held)) // 2 + 2, "BOOL": 1}
    return plain[kind]


def test_an_order_waits_for_a_person_until_somebody_has_seen_all_that_is_told(rows: Any) -> None:
    stale = TABLE.note_contradiction(opened(), "a", NOW).row
    assert list(OrderTable().waiting_for_a_person()) == [ID]
    seen = TABLE.note_contradiction(stale, "b", LATER).row
    assert row(rows)["attentionSince"] == "2026-11-22T09:30:00.000Z"
    assert TABLE.acknowledge(stale, "ada", "refunded", LATER) == Written(seen, won=False)
    taken = TABLE.acknowledge(seen, "ada", "refunded", LATER)
    assert (taken.won, taken.row.acknowledged) == (True, (Acknowledgement(2, "ada", LATER, "refunded"),))
    assert taken.row == TABLE.get(ID)
    assert list(TABLE.waiting_for_a_person()) == []
    assert not TABLE.acknowledge(seen, "bob", "again", LATER).won
    again = TABLE.note_contradiction(taken.row, "c", LATER).row
    assert list(TABLE.waiting_for_a_person()) == [ID]
    assert row(rows)["attentionSince"] == f"{LATER:%Y-%m-%dT%H:%M:%S}.000Z", "not since what is acknowledged"
    assert [entry.by for entry in TABLE.acknowledge(again, "bob", "too", LATER).row.acknowledged] == ["ada", "bob"]


def test_the_orders_of_a_reference_are_listed_newest_first_up_to_a_limit(rows: Any) -> None:
    longest = "r" * 64
    for number in (1, 0, 2):
        created = NOW + timedelta(seconds=number)
        TABLE.create(order(payment_request_id=f"o-{number}", reference_order_id=longest, created_at=created))
    TABLE.create(order())
    listed = TABLE.of_reference(longest, 2)
    assert listed == [TABLE.get("o-2"), TABLE.get("o-1")]


def test_an_order_without_a_result_waits_for_a_person(rows: Any) -> None:
    unresolved = TABLE.note_unresolved(opened(), NOW).row
    assert list(TABLE.waiting_for_a_person()) == [ID]
    assert TABLE.acknowledge(unresolved, "ada", "asked Alipay", LATER).won
    assert list(TABLE.waiting_for_a_person()) == []


def test_what_nobody_has_to_look_at_cannot_be_acknowledged(rows: Any) -> None:
    assert not TABLE.acknowledge(opened(), "ada", "why not", LATER).won
    assert row(rows) == OPENED


def test_a_contradiction_creates_no_order(rows: Any) -> None:
    with pytest.raises(OrderNotFound) as missing:
        TABLE.note_contradiction(order(), "a", NOW)
    assert str(missing.value) == ID
    assert rows.scan()["Items"] == []


# --- When DynamoDB does not answer -------------------------------------------------------------------------------


@pytest.fixture
def between(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], Peer]]:
    """Puts a peer of the test's own between the table and DynamoDB."""
    with peers_before_dynamodb(monkeypatch, OrderItem) as put:
        yield put


USES: dict[str, Callable[[], Any]] = {
    "create": lambda: TABLE.create(order()),
    "get": lambda: TABLE.get(ID),
    "settle": lambda: TABLE.settle(order(), PAID, Witness.PAY, LATER),
    "note_contradiction": lambda: TABLE.note_contradiction(order(), "a", NOW),
    "overdue": lambda: list(TABLE.overdue(LATER)),
    "init_since": lambda: TABLE.init_since(LATER, 1),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
def test_a_refusal_by_dynamodb_is_a_fault_that_names_the_refusal_alone(
    between: Callable[[Script], Peer], use: str, code: str
) -> None:
    between(error(code))
    with pytest.raises(TableFault) as fault:
        USES[use]()
    kind, _, said = str(fault.value).partition(" ")
    assert kind.endswith("Error")
    assert said == code


def test_a_table_that_hangs_is_a_fault_after_two_tries(between: Callable[[Script], Peer]) -> None:
    """Within 4 s by its time limits, as the next test has it; here: long before DynamoDB's answer."""
    answered_after_s = 60.0
    peer = between(lambda call: call.pause(answered_after_s))
    begun = time.monotonic()
    with pytest.raises(TableFault, match=r"^UpdateError ReadTimeoutError$"):
        USES["settle"]()
    assert 2 < time.monotonic() - begun < answered_after_s / 2
    assert len(peer.calls) == 2


def test_a_connection_is_not_waited_for_longer_than_leaves_time_for_an_answer() -> None:
    meta = OrderItem.Meta
    assert 2 * (meta.connect_timeout_seconds + meta.read_timeout_seconds) < 4


def test_a_result_whose_answer_was_lost_knows_its_own_write(rows: Any, between: Callable[[Script], Peer]) -> None:
    before = opened()
    peer = between(loses_answers(1))
    written = TABLE.settle(before, PAID, Witness.PAY, LATER)
    assert written == Written(TABLE.get(ID), won=True)
    assert [call.headers["x-amz-target"].rpartition(".")[2] for call in peer.calls[:3]] == [
        "UpdateItem",
        "UpdateItem",
        "GetItem",
    ]


def test_a_result_whose_answers_were_all_lost_may_have_been_stored(
    rows: Any, between: Callable[[Script], Peer]
) -> None:
    before = opened()
    between(loses_answers(2))
    with pytest.raises(TableFault):
        TABLE.settle(before, PAID, Witness.PAY, LATER)
    assert row(rows)["status"] == "SUCCESS"


def test_a_reference_that_no_order_can_have_is_not_asked_for(rows: Any, between: Callable[[Script], Peer]) -> None:
    """DynamoDB refuses a key of more than 2,048 bytes."""
    peer = between(loses_answers(0))
    assert TABLE.of_reference("r" * 65, 2) == []
    assert peer.calls == []


def test_an_order_is_read_consistently(rows: Any, between: Callable[[Script], Peer]) -> None:
    opened()
    peer = between(loses_answers(0))
    TABLE.get(ID)
    assert json.loads(peer.calls[0].body)["ConsistentRead"] is True


def test_the_index_is_read_in_pages_of_a_hundred(rows: Any, between: Callable[[Script], Peer]) -> None:
    peer = between(loses_answers(0))
    list(TABLE.overdue(LATER, [3]))
    (asked,) = (json.loads(call.body) for call in peer.calls)
    assert asked["Limit"] == 100


def test_counting_stops_as_soon_as_there_are_enough_and_looks_at_the_latest_first(
    rows: Any, between: Callable[[Script], Peer]
) -> None:
    opened()
    peer = between(loses_answers(0))
    assert TABLE.init_since(LATER, 1) == 1
    asked = [json.loads(call.body) for call in peer.calls]
    assert len(asked) == 19  # shards 00 to 18, where the order is
    assert {each["ScanIndexForward"] for each in asked} == {False}


def test_an_acknowledgement_whose_answer_was_lost_knows_its_own_write(
    rows: Any, between: Callable[[Script], Peer]
) -> None:
    seen = TABLE.note_contradiction(opened(), "a", NOW).row
    between(loses_answers(1))
    assert TABLE.acknowledge(seen, "ada", "refunded", LATER).won
    assert len(TABLE.get(ID).acknowledged) == 1


# --- The days ----------------------------------------------------------------------------------------------------


def test_an_order_with_a_result_is_found_by_its_day(rows: Any) -> None:
    ids = many(40)
    for payment_request_id in ids[:30]:
        TABLE.settle(TABLE.get(payment_request_id), PAID, Witness.NOTIFY, LATER)
    found = list(TABLE.settled_on("2026-11-22"))
    assert sorted(each.payment_request_id for each in found) == ids[:30]
    assert {(each.status, each.amount, each.payment_id) for each in found} == {
        (Status.SUCCESS, Amount("HKD", "1990"), PAYMENT_ID)
    }
    assert list(TABLE.settled_on("2026-11-21")) == []


def test_many_orders_are_read_at_once_and_those_that_are_not_there_are_left_out(rows: Any) -> None:
    ids = many(120)
    found = list(TABLE.get_many([*ids, "ord-of-nobody"]))
    assert sorted(each.payment_request_id for each in found) == ids
    assert TABLE.get(ids[7]) in found
