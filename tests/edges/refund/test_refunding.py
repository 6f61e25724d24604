"""One POST, one look, one notification: what each makes of what Alipay says, with the rows on a real DynamoDB."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock, call

import pytest
from autodebit import repeat, telemetry
from autodebit.alipay.amount import Amount
from autodebit.alipay.reading import Final
from autodebit.errors import (
    AmountMismatch,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    PaymentNotRefundable,
    RefundConflict,
    RefundExceedsRest,
    RefundNotFound,
    RefundWindowOver,
    RequestInvalid,
    TableFault,
    UnknownRefund,
)
from autodebit.payment.inquire import Inquirer as PaymentInquirer
from autodebit.payment.order import Status as OrderStatus
from autodebit.payment.order import Witness as PaymentWitness
from autodebit.polling import NEVER, SENDING_S
from autodebit.refund import initiate
from autodebit.refund.adopt import adopt
from autodebit.refund.initiate import BUDGET_S, LOOK_S
from autodebit.refund.inquire import SCHEDULE
from autodebit.refund.observe import adopt_listed
from autodebit.refund.refund import Refund, Status, Witness, refund_document
from autodebit.refund.refund_table import RefundTable
from autodebit.refund.seen import Seen
from autodebit.rows.guard import Written
from autodebit.rows.table import stored_instant

from tests.kit.refunds import REFUND_ID, REFUND_REQUEST_ID, given_back, refused, transaction
from tests.kit.samples import ID, NOW, PAYMENT_ID, order, paid

from .conftest import NOTIFY_URL, World

LOST = OutcomeUnknown("read timeout")
UNSENT = NotSent("connection refused")
LONG_AGO = "2026-11-22T09:00:00.000Z"
IN_PROCESS = refused("REFUND_IN_PROCESS", "U")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeat, "PAUSE_S", 0.0)


def paid_now(world: World, **changes: Any) -> None:
    """The payment, paid just now: its window is open."""
    world.paid(**{"created_at": datetime.now(UTC)} | changes)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What everybody who works with refunds logs."""
    logger = Mock()
    modules = ("refund.adopt", "refund.initiate", "refund.inquire", "refund.receive", "telemetry")
    for module in modules:
        monkeypatch.setattr(f"autodebit.{module}.logger", logger)
    return logger


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let a POST come so many seconds after the payment was made."""

    def moved(seconds: float) -> None:
        monkeypatch.setattr(initiate, "_now", lambda: NOW + timedelta(seconds=seconds))

    moved(0)
    return moved


# --- What is refused before anything is stored or sent -------------------------------------------------------------


def nothing_happened(world: World) -> bool:
    kept = world.tables["RefundTable"].scan()["Items"]
    return not kept and not world.alipay.called("refund")


@pytest.mark.parametrize(("value", "error"), [("1991", RefundExceedsRest), ("9" * 16, RefundExceedsRest)])
def test_more_than_is_left_is_refused(world: World, value: str, error: type[Exception]) -> None:
    paid_now(world)
    with pytest.raises(error):
        world.ask(value)
    assert nothing_happened(world)


def test_one_unit_above_the_rest_is_refused_and_the_rest_is_not(world: World) -> None:
    paid_now(world)
    world.ask("990")
    world.alipay.usual["refund"] = given_back(
        refundRequestId="ref-2", refundAmount={"currency": "HKD", "value": "1000"}
    )
    with pytest.raises(RefundExceedsRest) as refusal:
        world.ask("1001", "ref-2")
    assert refusal.value.detail.startswith("1000 HKD is left")
    assert world.ask("1000", "ref-2").status is Status.SUCCESS
    with pytest.raises(RefundExceedsRest) as refusal:
        world.ask("1", "ref-3")
    assert refusal.value.detail.startswith("0 HKD is left")


def test_another_currency_is_refused(world: World) -> None:
    paid_now(world)
    with pytest.raises(RequestInvalid) as refusal:
        world.ask(refundAmount={"currency": "USD", "value": "1"})
    assert [error.field for error in refusal.value.errors] == ["refundAmount.currency"]
    assert nothing_happened(world)


@pytest.mark.parametrize("status", [OrderStatus.INIT, OrderStatus.FAIL, OrderStatus.CANCELLED])
def test_a_payment_that_is_not_success_is_refused_by_its_status(world: World, status: OrderStatus) -> None:
    opened = world.orders.create(order()).row
    if status is not OrderStatus.INIT:
        world.orders.settle(opened, Final(status), PaymentWitness.INQUIRY, datetime.now(UTC))
    with pytest.raises(PaymentNotRefundable) as refusal:
        world.ask()
    assert refusal.value.members == {"orderStatus": status.value}
    assert nothing_happened(world)


def test_an_unknown_payment_is_not_found(world: World) -> None:
    with pytest.raises(OrderNotFound):
        world.ask()
    assert nothing_happened(world)


@pytest.mark.parametrize(("seconds", "over"), [(-60, True), (60, False)])
@pytest.mark.parametrize(("wallet", "days"), [("ALIPAY_HK", 365), ("PAYPAY", 90)])
def test_a_window_that_is_over_is_refused(world: World, wallet: str, days: int, seconds: int, over: bool) -> None:
    paid_at = datetime.now(UTC) - timedelta(days=days) + timedelta(seconds=seconds)
    world.paid(created_at=paid_at, payment_method_type=wallet)
    if over:
        with pytest.raises(RefundWindowOver):
            world.ask()
        assert nothing_happened(world)
    else:
        assert world.ask().status is Status.SUCCESS


@pytest.mark.parametrize(
    ("told", "over"),
    [
        ({"paymentTime": "2025-11-22T17:29:58+08:00", "settledAt": "2026-11-22T09:30:00.000Z"}, True),
        ({"paymentTime": "2025-11-22T17:30:02+08:00", "settledAt": "2020-11-22T09:30:00.000Z"}, False),
        ({"settledAt": "2025-11-22T09:29:58.000Z"}, True),
        ({"settledAt": "2025-11-22T09:30:02.000Z", "createdAt": "2025-11-22T09:29:58.000Z"}, False),
        ({"createdAt": "2025-11-22T09:29:58.000Z"}, True),
        ({"createdAt": "2025-11-22T09:30:02.000Z"}, False),
    ],
)
def test_the_window_is_counted_from_alipays_time_or_from_ours(
    world: World, clock: Callable[[float], None], told: dict[str, str], over: bool
) -> None:
    """A year before the POST, by the best that is known of when the payment was paid."""
    world.paid()
    names = {"createdAt": None, "settledAt": None, "paymentTime": None} | told
    kept = {name: value for name, value in names.items() if value}
    world.set_order(**{"createdAt": "2026-11-22T09:30:00.000Z"} | kept)
    world.forget_of_order(*(name for name in ("settledAt", "paymentTime") if name not in kept))
    if over:
        with pytest.raises(RefundWindowOver):
            world.ask()
    else:
        assert world.ask().status is Status.SUCCESS


def test_of_a_payment_whose_rest_is_not_known_nothing_is_left(world: World) -> None:
    paid_now(world)
    world.forget_of_order("refundable")
    with pytest.raises(RefundExceedsRest) as refusal:
        world.ask("1")
    assert refusal.value.detail.startswith("0 HKD is left")
    assert nothing_happened(world)


def test_what_another_refund_took_meanwhile_is_not_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paid_now(world)
    monkeypatch.setattr(RefundTable, "create", Mock(return_value=None))
    with pytest.raises(RefundExceedsRest):
        world.ask()
    assert nothing_happened(world)


@pytest.mark.parametrize("told", ["9999-12-31T23:59:59-08:00", "0001-01-01T00:00:00+08:00"])
def test_a_time_of_payment_that_cannot_be_used_does_not_stop_a_refund(world: World, told: str) -> None:
    """The window is counted from when we settled it."""
    paid_now(world)
    world.set_order(paymentTime=told)
    assert world.ask().status is Status.SUCCESS


# --- What Alipay answers -------------------------------------------------------------------------------------------


def test_s_settles_it_and_what_was_sent_was_stored_before(world: World) -> None:
    paid_now(world)
    world.alipay.told = [lambda: given_back(refundTime="2026-11-25T18:00:01+08:00") if world.row() else {}]
    done = world.ask(refundReason="broken")
    assert (done.status, done.settled_by, done.refund_id) == (Status.SUCCESS, Witness.REFUND, REFUND_ID)
    assert world.left() == (1000, 990)
    assert json.loads(world.alipay.called("refund")[0]) == {
        "refundRequestId": REFUND_REQUEST_ID,
        "refundAmount": {"currency": "HKD", "value": "990"},
        "refundReason": "broken",
        "paymentId": PAYMENT_ID,
        "refundNotifyUrl": NOTIFY_URL,
    }
    assert world.machine.started == []


@pytest.mark.parametrize("code", ["MERCHANT_BALANCE_NOT_ENOUGH", "REFUND_NOT_SUPPORTED", "SYSTEM_ERROR"])
def test_a_first_f_fails_it_and_gives_back_what_was_reserved(world: World, code: str) -> None:
    paid_now(world)
    world.alipay.told = [refused(code)]
    failed = world.ask()
    assert (failed.status, failed.result_code) == (Status.FAIL, code)
    assert world.left() == (1990, None)
    assert world.alipay.called("inquiryPayment") == []


@pytest.mark.parametrize(
    "said",
    [
        pytest.param([IN_PROCESS], id="in process: not repeated"),
        pytest.param([LOST, LOST, LOST], id="no answer"),
        pytest.param([LOST, refused("PROCESS_FAIL")], id="F of a repetition"),
        pytest.param([LOST, UNSENT, UNSENT], id="unsent after one that may have arrived"),
        pytest.param([refused("REQUEST_TRAFFIC_EXCEED_LIMIT", "U"), refused("PROCESS_FAIL")], id="F after the load"),
        pytest.param([refused("REPEAT_REQ_INCONSISTENT")], id="another refund of this id"),
    ],
)
def test_what_is_not_certain_stays_init_reserved_and_polled(world: World, said: list[Any]) -> None:
    paid_now(world)
    world.alipay.told = list(said)
    waiting = world.ask()
    assert (waiting.status, waiting.never_sent) == (Status.INIT, False)
    assert world.left() == (1000, None)
    assert world.machine.started == [(REFUND_REQUEST_ID, 0)]
    calls = world.alipay.called("refund")
    assert (len(calls), len(set(calls))) == (len(said), 1)


def test_a_repetition_that_is_answered_s_settles_it(world: World) -> None:
    paid_now(world)
    world.alipay.told = [LOST, given_back()]
    assert world.ask().status is Status.SUCCESS


def test_a_success_of_another_amount_is_a_contradiction_and_settles_nothing(world: World) -> None:
    paid_now(world)
    world.alipay.told = [given_back(refundAmount={"currency": "HKD", "value": "991"})]
    assert world.ask().is_init
    assert [told.kind for told in world.refunds.get(REFUND_REQUEST_ID).told] == ["RefundContradicted"]
    assert world.left() == (1000, None)


def test_nothing_left_is_noted_and_the_same_request_starts_afresh(world: World) -> None:
    paid_now(world)
    world.alipay.told = [UNSENT]
    with pytest.raises(NotSent, match=r"^connection refused$"):
        world.ask(refundReason="first")
    assert world.refunds.get(REFUND_REQUEST_ID).never_sent
    world.alipay.told = [refused("REFUND_NOT_SUPPORTED")]
    failed = world.ask(refundReason="another")
    assert failed.status is Status.FAIL  # the first F of a refund of which nothing had left
    first, second = world.alipay.called("refund")
    assert first == second
    assert world.left() == (1990, None)


def unsent(world: World, value: str, refund_request_id: str, *, long_ago: bool = True) -> Refund:
    """A refund of which nothing left, and whose amount is reserved."""
    world.alipay.told = [UNSENT]
    with pytest.raises(NotSent):
        world.ask(value, refund_request_id)
    if long_ago:
        world.set(refund_request_id, attemptedAt=LONG_AGO)
    return world.refunds.get(refund_request_id)


def test_what_never_left_makes_room_for_a_refund_that_needs_its_amount(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = Mock(spec=telemetry.settled)
    monkeypatch.setattr(telemetry, "settled", settled)
    paid_now(world)
    unsent(world, "500", "first")
    unsent(world, "700", "second")
    assert world.ask("990").status is Status.SUCCESS
    first, second = world.refunds.get("first"), world.refunds.get("second")
    assert (first.status, first.settled_by, first.result_code) == (Status.FAIL, Witness.REFUND, None)
    assert refund_document(first)["advice"] == "CORRECT_REQUEST"
    assert first.result_message == "Never sent. Another refund of the payment took the amount."
    released, _ = settled.call_args_list
    assert released.args == ("refund",)
    said = dict(released.kwargs)
    assert said.pop("seconds") > 0
    assert said == {"status": "FAIL", "settled_by": "refund", "keys": {**first.log_keys, "resultCode": None}}
    assert [told.kind for told in first.told] == ["RefundFailed"]
    assert second.is_init  # there was room enough
    assert world.left() == (300, 990)
    sent = len(world.alipay.calls)
    assert world.ask("500", "first") == first
    assert len(world.alipay.calls) == sent


@pytest.mark.parametrize("lacking", [1, 500])
def test_no_more_room_is_made_than_is_needed(world: World, lacking: int) -> None:
    paid_now(world)
    unsent(world, str(lacking), "first")
    unsent(world, "700", "second")
    assert world.ask(str(1990 - 700)).is_init  # what Alipay says of 990 is not of this refund
    assert (world.refunds.get("first").status, world.refunds.get("second").status) == (Status.FAIL, Status.INIT)
    assert world.left() == (0, None)


def test_what_makes_just_room_enough_makes_it(world: World) -> None:
    paid_now(world)
    unsent(world, "990", "first")
    world.ask("1990")
    assert world.refunds.get("first").status is Status.FAIL
    assert world.left() == (0, None)


def test_what_has_made_room_before_makes_none_again(world: World) -> None:
    paid_now(world)
    unsent(world, "1990", "first")
    world.ask("990")
    unsent(world, "600", "second")
    with pytest.raises(RefundExceedsRest):
        world.ask("1001", "ref-3")
    assert world.refunds.get("second").is_init


@pytest.mark.parametrize(("seconds", "room"), [(60, False), (60.001, True)])
def test_what_never_left_makes_room_after_a_minute(
    world: World, clock: Callable[[float], None], seconds: float, room: bool
) -> None:
    world.paid()
    unsent(world, "1990", "first", long_ago=False)
    clock(seconds)
    if room:
        assert world.ask().status is Status.SUCCESS
    else:
        with pytest.raises(RefundExceedsRest):
            world.ask()
    assert world.refunds.get("first").is_init is not room


def test_nobody_looks_for_room_where_there_is_enough(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paid_now(world)
    world.ask("990")
    monkeypatch.setattr(RefundTable, "of_order", Mock(side_effect=AssertionError("there is room")))
    assert world.ask("1000", "ref-2").key == "ref-2"


def test_what_is_sent_after_all_makes_no_room(
    world: World, monkeypatch: pytest.MonkeyPatch, logged: Mock, counted: Mock
) -> None:
    """Its own request takes it over at the same moment."""
    paid_now(world)
    unsent(world, "1990", "first")
    monkeypatch.setattr(RefundTable, "release", lambda table, row, _: Written(table.get(row.key), won=False))
    settled = Mock(spec=telemetry.settled)
    monkeypatch.setattr(telemetry, "settled", settled)
    with pytest.raises(RefundExceedsRest):
        world.ask()
    settled.assert_not_called()
    assert world.refunds.get("first").is_init


@pytest.mark.parametrize("value", ["1991", "1990"])
def test_what_would_not_make_room_enough_stays_reserved(world: World, value: str) -> None:
    paid_now(world)
    unsent(world, "990", REFUND_REQUEST_ID)
    unsent(world, "1", "young", long_ago=False)
    with pytest.raises(RefundExceedsRest):
        world.ask(value, "ref-2")
    assert world.refunds.get(REFUND_REQUEST_ID).is_init
    assert world.left() == (999, None)


def test_what_may_have_left_makes_no_room(world: World) -> None:
    paid_now(world)
    world.alipay.told = [LOST, LOST, LOST]
    world.ask("1990")
    world.set(attemptedAt=LONG_AGO)
    with pytest.raises(RefundExceedsRest):
        world.ask("1", "ref-2")
    assert world.left() == (0, None)


def test_a_result_that_cannot_be_stored_stays_init_and_is_polled(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Mock, logged: Mock
) -> None:
    paid_now(world)
    monkeypatch.setattr(RefundTable, "settle", Mock(side_effect=TableFault("gone")))
    assert world.ask().is_init
    assert world.machine.started == [(REFUND_REQUEST_ID, 0)]
    counted.assert_any_call("Fault")
    assert logged.error.call_args.kwargs == {"reason": "gone"}


def test_a_polling_that_does_not_start_is_left_to_the_sweep(world: World, logged: Mock) -> None:
    paid_now(world)
    world.machine.fails = True
    world.alipay.told = [IN_PROCESS]
    assert world.ask().is_init
    [overdue] = world.refunds.overdue(datetime.now(UTC) + timedelta(seconds=31))
    assert overdue.key == REFUND_REQUEST_ID
    assert logged.warning.call_args.kwargs == {"reason": "away"}


def test_a_table_that_fails_before_anything_is_sent_is_a_503(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Mock
) -> None:
    paid_now(world)
    monkeypatch.setattr(RefundTable, "create", Mock(side_effect=TableFault("gone")))
    with pytest.raises(NotSent, match=r"^table$"):
        world.ask()
    assert world.alipay.calls == []
    counted.assert_any_call("Fault")


def test_a_post_ends_before_api_gateway_hangs_up(world: World) -> None:
    """Both tries of a call of the tables end within 4 s."""
    assert BUDGET_S + LOOK_S + 4 <= SENDING_S
    paid_now(world)
    world.alipay.told = [refused("REFUND_AMOUNT_EXCEED")]
    world.ask()
    sent, looked = world.alipay.deadlines
    assert looked == sent + LOOK_S


# --- Alipay's id of the payment ------------------------------------------------------------------------------------


def without_payment_id(world: World) -> None:
    paid_now(world)
    world.forget_of_order("paymentId")


def test_the_inquiry_for_it_shows_what_was_refunded_in_the_portal(world: World) -> None:
    without_payment_id(world)
    world.alipay.usual["inquiryPayment"] = paid(transactions=[transaction()])
    with pytest.raises(RefundExceedsRest) as refusal:
        world.ask("1990")
    assert refusal.value.detail.startswith("1490 HKD is left")
    assert world.alipay.called("refund") == []
    assert world.left() == (1490, 500)


def test_more_than_is_left_is_refused_without_asking_for_it(world: World) -> None:
    without_payment_id(world)
    with pytest.raises(RefundExceedsRest):
        world.ask("1991")
    assert world.alipay.calls == []


def test_a_payment_id_that_is_not_known_is_inquired_first(world: World) -> None:
    without_payment_id(world)
    assert world.ask().status is Status.SUCCESS
    assert [api for api, _ in world.alipay.calls] == ["inquiryPayment", "refund"]
    assert json.loads(world.alipay.called("refund")[0])["paymentId"] == PAYMENT_ID


@pytest.mark.parametrize(
    "said", [LOST, refused("ORDER_NOT_EXIST"), paid(paymentRequestId="another"), paid(paymentId="")]
)
def test_one_that_cannot_be_had_is_a_503_and_nothing_is_stored(world: World, said: Any) -> None:
    without_payment_id(world)
    world.alipay.usual["inquiryPayment"] = said
    with pytest.raises(NotSent, match=r"^paymentId unknown$"):
        world.ask()
    assert nothing_happened(world)


def test_a_look_for_it_that_brings_no_answer_is_counted_and_logged(world: World, logged: Mock, counted: Mock) -> None:
    without_payment_id(world)
    world.alipay.usual["inquiryPayment"] = LOST
    with pytest.raises(NotSent):
        world.ask()
    counted.assert_called_once_with("NoAnswer")
    assert logged.warning.call_args.kwargs == {"call": "inquiryPayment", "reason": "read timeout", "sent": True}


# --- Replays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [given_back(), refused("REFUND_NOT_SUPPORTED")])
def test_a_replay_of_a_settled_refund_shows_it_and_sends_nothing(world: World, said: Any) -> None:
    paid_now(world)
    world.alipay.told = [said]
    first = world.ask()
    assert world.ask(refundReason="whatever else differs", metadata="m") == first
    assert len(world.alipay.calls) == 1


def test_a_replay_is_shown_also_when_nothing_is_left_and_the_window_is_over(world: World) -> None:
    paid_now(world)
    amount = {"currency": "HKD", "value": "1990"}
    world.alipay.usual["refund"] = given_back(refundAmount=amount)
    first = world.ask("1990")
    world.set_order(settledAt="2020-01-01T00:00:00.000Z", createdAt="2020-01-01T00:00:00.000Z")
    assert world.ask("1990") == first


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"value": "991"}, ["refundAmount.value"]),
        ({"refundAmount": {"currency": "USD", "value": "1"}}, ["refundAmount.currency", "refundAmount.value"]),
        ({"payment_request_id": "another"}, ["paymentRequestId"]),
    ],
)
def test_an_id_that_stands_for_another_refund_is_a_conflict(world: World, changes: Any, differing: list[str]) -> None:
    paid_now(world)
    paid_now(world, payment_request_id="another")
    world.ask()
    with pytest.raises(RefundConflict) as conflict:
        world.ask(**changes)
    assert [error.field for error in conflict.value.errors] == differing
    assert len(world.alipay.calls) == 1


def test_a_replay_while_it_may_be_sending_sends_nothing(world: World) -> None:
    paid_now(world)
    world.alipay.told = [IN_PROCESS]
    first = world.ask()
    assert world.ask() == first
    assert len(world.alipay.calls) == 1
    assert world.machine.started == [(REFUND_REQUEST_ID, 0)]


@pytest.mark.parametrize(("seconds", "sent"), [(29, 3), (29.001, 6)])
def test_a_sender_must_be_dead_when_api_gateway_has_hung_up(
    world: World, clock: Callable[[float], None], seconds: float, sent: int
) -> None:
    world.paid()
    world.alipay.usual["refund"] = LOST
    world.ask()
    clock(seconds)
    world.ask()
    assert len(world.alipay.called("refund")) == sent


@pytest.mark.parametrize("unsent_too", [False, True])
def test_who_comes_second_to_a_dead_attempt_shows_what_the_first_left(
    world: World, monkeypatch: pytest.MonkeyPatch, unsent_too: bool
) -> None:
    paid_now(world)
    unsent(world, "990", REFUND_REQUEST_ID)

    def lost(table: RefundTable, row: Refund, attempt: str, at: datetime) -> Written[Refund]:
        taken = take_over(table, row, "first", at).row
        return Written(table.note_never_sent(taken).row if unsent_too else taken, won=False)

    take_over = RefundTable.take_over
    monkeypatch.setattr(RefundTable, "take_over", lost)
    if unsent_too:
        with pytest.raises(NotSent, match=r"^noted by another request$"):
            world.ask()
    else:
        assert world.ask().attempt == "first"
    assert len(world.alipay.called("refund")) == 1


def test_nothing_is_noted_as_unsent_that_another_request_is_sending(world: World) -> None:
    paid_now(world)

    def taken_over() -> Any:
        world.refunds.take_over(world.refunds.get(REFUND_REQUEST_ID), "another", datetime.now(UTC))
        raise UNSENT

    world.alipay.told = [taken_over]
    shown = world.ask()
    assert (shown.is_init, shown.never_sent, shown.attempt) == (True, False, "another")


def test_a_replay_after_the_sender_must_be_dead_repeats_the_first_bytes(world: World) -> None:
    paid_now(world)
    world.alipay.told = [LOST, LOST, LOST]
    world.ask(refundReason="first")
    world.set(attemptedAt=LONG_AGO)
    world.alipay.told = [refused("PROCESS_FAIL")]
    assert world.ask(refundReason="another").is_init  # an F of a repetition
    world.set(attemptedAt=LONG_AGO)
    assert world.ask().status is Status.SUCCESS
    assert len(set(world.alipay.called("refund"))) == 1


def test_a_replay_of_one_whose_schedule_is_spent_is_sent_and_polled_in_a_new_round(world: World) -> None:
    """A refund does not expire, and Alipay may never have heard of it."""
    paid_now(world)
    world.alipay.told = [LOST, LOST, LOST]
    world.ask()
    world.set(attemptedAt=LONG_AGO, overdueAt=stored_instant(NEVER))
    world.alipay.told = [IN_PROCESS]
    assert world.ask().is_init
    assert world.machine.started == [(REFUND_REQUEST_ID, 0), (REFUND_REQUEST_ID, 1)]
    assert len(set(world.alipay.called("refund"))) == 1


@pytest.mark.parametrize("heard", ["refund", "inquiryRefund"])
@pytest.mark.parametrize("spent", [False, True])
def test_a_replay_of_what_alipay_has_in_process_is_polled_and_not_sent(world: World, heard: str, spent: bool) -> None:
    paid_now(world)
    world.alipay.told = [IN_PROCESS] if heard == "refund" else [LOST, LOST, LOST]
    world.ask()
    if heard == "inquiryRefund":
        world.alipay.told = [given_back(refundStatus="PROCESSING")]
        world.inquirer.look(REFUND_REQUEST_ID, 0)
    sent = len(world.alipay.called("refund"))
    world.alipay.told = [refused("ORDER_NOT_EXIST")]
    world.inquirer.look(REFUND_REQUEST_ID, 1)
    world.set(attemptedAt=LONG_AGO, **({"overdueAt": stored_instant(NEVER)} if spent else {}))
    again = world.ask()
    assert (again.is_init, again.is_spent, again.polling_round) == (True, False, int(spent))
    assert world.machine.started == [(REFUND_REQUEST_ID, 0), (REFUND_REQUEST_ID, int(spent))]
    assert len(world.alipay.called("refund")) == sent


def test_a_replay_of_what_has_its_result_is_shown_however_old_and_starts_nothing(world: World) -> None:
    waiting(world)
    found, _ = world.inquirer.look(REFUND_REQUEST_ID, 0)
    assert found.status is Status.SUCCESS
    world.set(attemptedAt=LONG_AGO)
    before, started = world.row(), list(world.machine.started)
    assert world.ask().status is Status.SUCCESS
    assert (world.row(), world.machine.started) == (before, started)


def test_a_round_that_another_request_has_begun_is_not_begun_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid_now(world)
    world.alipay.told = [IN_PROCESS]
    world.ask()
    world.set(attemptedAt=LONG_AGO, overdueAt=stored_instant(NEVER))
    monkeypatch.setattr(RefundTable, "start_next_round", lambda table, row, _: Written(table.get(row.key), won=False))
    assert world.ask().is_init
    assert world.machine.started == [(REFUND_REQUEST_ID, 0)]


def test_a_result_that_comes_while_it_is_in_process_stands(world: World) -> None:
    """The notification overtakes the answer of refund."""
    paid_now(world)
    world.alipay.told = [lambda: IN_PROCESS if world.notified() else {}]
    assert world.ask().status is Status.SUCCESS
    assert world.machine.started == []


def test_of_many_identical_requests_at_once_one_sends(world: World) -> None:
    paid_now(world)
    world.alipay.usual["refund"] = given_back(refundAmount={"currency": "HKD", "value": "1990"})
    with ThreadPoolExecutor(16) as pool:
        shown = list(pool.map(lambda _: world.ask("1990"), range(16)))
    assert len(world.alipay.called("refund")) == 1
    assert {each.key for each in shown} == {REFUND_REQUEST_ID}
    assert world.left() == (0, 1990)


class Killed(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("effect", ["create", "call", "settle", "start"])
def test_a_process_that_dies_anywhere_leaves_one_refund_at_alipay_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch, effect: str, after: bool
) -> None:
    """It dies before or after one of its effects. Then the same request comes again."""
    paid_now(world)
    done: set[str] = set()

    def give_back_once() -> Any:
        done.add(json.loads(world.alipay.calls[-1][1])["refundRequestId"])
        return given_back()

    world.alipay.usual["refund"] = give_back_once
    if effect == "start":
        world.alipay.told = [lambda: give_back_once() and IN_PROCESS]
    owner: Any = {"create": world.refunds, "call": world.alipay, "settle": world.refunds, "start": world.machine}[
        effect
    ]
    effects = getattr(owner, effect)

    def dies(*arguments: Any) -> Any:
        if after:
            effects(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, effect, dies)
        with pytest.raises(Killed):
            world.ask()
    left, _ = world.left()
    assert left in (1000, 1990)
    if left == 1000:
        world.set(attemptedAt=LONG_AGO)
    again = world.ask()
    if effect == "start":
        assert again.is_init  # it is in process
        again, _ = world.inquirer.look(REFUND_REQUEST_ID, 0)
    assert again.status is Status.SUCCESS
    assert len(done) == 1
    assert world.left() == (1000, 990)


# --- Somebody else gave money back ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["REFUND_AMOUNT_EXCEED", "ORDER_STATUS_INVALID", "ORDER_IS_CANCELED"])
def test_a_refusal_that_tells_of_others_has_the_payment_looked_at_once(
    world: World, code: str, counted: Mock, logged: Mock
) -> None:
    paid_now(world)
    world.alipay.told = [refused(code), paid(transactions=[transaction(), transaction(transactionStatus="FAIL")])]
    assert world.ask("1990").status is Status.FAIL
    assert [api for api, _ in world.alipay.calls] == ["refund", "inquiryPayment"]
    portal = world.refunds.get("portal-1")
    assert (portal.status, portal.observed, portal.amount.value) == (Status.SUCCESS, True, "500")
    assert logged.warning.call_args.kwargs == portal.log_keys
    assert [told.kind for told in portal.told] == ["RefundObserved"]
    counted.assert_any_call("RefundObserved")
    assert world.left() == (1490, 500)
    with pytest.raises(RefundExceedsRest):
        world.ask("1491", "ref-2")


def test_one_made_in_the_portal_is_kept_with_all_that_is_told_of_it(world: World) -> None:
    paid_now(world)
    seen = Seen("portal-1", "R", Amount("HKD", "1990"), "2026-11-25T18:00:01+08:00")
    adopted = adopt(world.orders, world.refunds, ID, seen, NOW)
    assert adopted is not None
    assert replace(adopted, told=()) == Refund(
        refund_request_id="portal-1",
        payment_request_id=ID,
        status=Status.SUCCESS,
        amount=seen.amount,
        created_at=NOW,
        observed=True,
        body="",
        attempt=adopted.attempt,
        attempted_at=NOW,
        settled_by=Witness.INQUIRY,
        settled_at=NOW,
        refund_id="R",
        refund_time="2026-11-25T18:00:01+08:00",
    )
    assert "body" not in world.row("portal-1")


def test_one_that_another_process_books_meanwhile_is_counted_by_that_one(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Mock
) -> None:
    paid_now(world)
    seen = Seen("portal-1", "R", Amount("HKD", "500"))
    monkeypatch.setattr(RefundTable, "of_order", lambda *_: [])
    one, other = (adopt(world.orders, world.refunds, ID, seen, NOW) for _ in range(2))
    assert one == other
    counted.assert_called_once_with("RefundObserved")


def test_one_without_any_id_of_its_own_is_logged_and_not_booked(world: World, logged: Mock) -> None:
    paid_now(world)
    listed(world, transaction(transactionRequestId=ID, transactionId=PAYMENT_ID))
    assert logged.warning.call_args.kwargs == {"paymentRequestId": ID}
    assert booked(world) == []


def test_nothing_is_adopted_for_a_payment_without_a_result(world: World) -> None:
    world.orders.create(order())
    assert adopt(world.orders, world.refunds, ID, Seen("portal-1", "R", Amount("HKD", "500")), NOW) is None


def test_five_times_a_payment_may_get_another_refund_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paid_now(world)
    observe = Mock(return_value=None)
    monkeypatch.setattr(RefundTable, "observe", observe)
    with pytest.raises(TableFault):
        adopt(world.orders, world.refunds, ID, Seen("portal-1", "R", Amount("HKD", "500")), NOW)
    assert observe.call_count == 5


@pytest.mark.parametrize("said", [paid(), paid(paymentAmount={"currency": "HKD", "value": "1"})])
def test_a_look_says_what_alipay_answered_whatever_it_means(world: World, said: Any) -> None:
    paid_now(world)
    world.alipay.told = [said]
    assert world.observer.look(world.orders.get(ID), NOW, 7.0) == said
    assert world.alipay.deadlines == [7.0]


def test_a_look_whose_rows_cannot_be_read_is_left_to_the_next_refusal(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Mock, logged: Mock
) -> None:
    paid_now(world)
    monkeypatch.setattr(RefundTable, "observe", Mock(side_effect=TableFault("gone")))
    world.alipay.told = [refused("REFUND_AMOUNT_EXCEED"), paid(transactions=[transaction()])]
    assert world.ask().status is Status.FAIL
    counted.assert_any_call("Fault")
    assert logged.error.call_args.kwargs == {"reason": "gone"}


def test_a_look_that_brings_no_answer_is_counted_and_logged(world: World, counted: Mock, logged: Mock) -> None:
    paid_now(world)
    world.alipay.told = [refused("REFUND_AMOUNT_EXCEED"), LOST]
    assert world.ask().status is Status.FAIL
    counted.assert_any_call("NoAnswer")
    assert logged.warning.call_args.kwargs == {"call": "inquiryPayment", "reason": "read timeout", "sent": True}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transactionAmount": {"currency": "HKD", "value": "991"}}, f"inquiry of {ID}: refund of 991"),
        ({"transactionId": "another"}, "inquiry SUCCESS another"),
    ],
)
def test_one_of_ours_that_is_listed_otherwise_is_a_contradiction(
    world: World, changes: dict[str, Any], said: str
) -> None:
    paid_now(world)
    world.ask("990")
    amount = {"currency": "HKD", "value": "990"}
    ours = {"transactionRequestId": REFUND_REQUEST_ID, "transactionId": REFUND_ID, "transactionAmount": amount}
    listed(world, transaction(**ours | changes))
    assert world.refunds.get(REFUND_REQUEST_ID).contradictions == {said}


def test_a_success_is_no_refusal_whatever_its_code(world: World) -> None:
    paid_now(world)
    code = {"resultStatus": "S", "resultCode": "REFUND_AMOUNT_EXCEED", "resultMessage": "-"}
    world.alipay.told = [given_back(result=code)]
    assert world.ask().status is Status.SUCCESS
    assert world.alipay.called("inquiryPayment") == []


def test_looking_twice_adopts_once(world: World) -> None:
    paid_now(world)
    world.alipay.usual["inquiryPayment"] = paid(transactions=[transaction()])
    for number in range(2):
        world.alipay.told = [refused("REFUND_AMOUNT_EXCEED")]
        world.ask("1000", f"ref-{number}")
    assert len(world.alipay.called("inquiryPayment")) == 2
    assert world.left() == (1490, 500)


@pytest.mark.parametrize(
    "said",
    [
        LOST,
        refused("ORDER_NOT_EXIST"),
        paid(paymentRequestId="another", transactions=[transaction()]),
        paid(transactions=[transaction(transactionAmount={"currency": "USD", "value": "500"})]),
    ],
)
def test_a_look_without_an_answer_about_this_payment_adopts_nothing(world: World, said: Any) -> None:
    paid_now(world)
    world.alipay.told = [refused("REFUND_AMOUNT_EXCEED"), said]
    assert world.ask("1990").status is Status.FAIL
    assert world.left() == (1990, None)


def test_refunds_of_ours_are_not_adopted(world: World) -> None:
    paid_now(world)
    world.ask("990")
    ours = transaction(
        transactionRequestId=REFUND_REQUEST_ID,
        transactionId=REFUND_ID,
        transactionAmount={"currency": "HKD", "value": "990"},
    )
    world.alipay.told = [refused("REFUND_AMOUNT_EXCEED"), paid(transactions=[ours])]
    world.ask("1000", "ref-2")
    assert world.left() == (1000, 990)
    assert world.refunds.get(REFUND_REQUEST_ID).contradictions == frozenset()


@pytest.mark.parametrize("listed", ["990", "991"])
def test_one_of_ours_that_failed_and_is_listed_as_done_is_a_contradiction(world: World, listed: str) -> None:
    paid_now(world)
    world.alipay.told = [refused("PROCESS_FAIL")]
    world.ask("990")
    ours = transaction(transactionRequestId=REFUND_REQUEST_ID, transactionAmount={"currency": "HKD", "value": listed})
    world.alipay.told = [refused("REFUND_AMOUNT_EXCEED"), paid(transactions=[ours])]
    world.ask("1990", "ref-2")
    stored = world.refunds.get(REFUND_REQUEST_ID)
    assert (stored.status, [told.kind for told in stored.told]) == (Status.FAIL, ["RefundFailed", "RefundContradicted"])
    assert world.left() == (1990, None)


def listed(world: World, *transactions: Any) -> None:
    """A look at the payment that lists these refunds."""
    world.alipay.told = [paid(transactions=list(transactions))]
    world.observer.look(world.orders.get(ID), datetime.now(UTC), 0.0)


def booked(world: World) -> list[str]:
    """The keys of the refunds that gave money back; what they gave back is what the order says."""
    done = [each for each in world.refunds.of_order(world.orders.get(ID)) if each.status is Status.SUCCESS]
    assert sum(int(each.amount.value) for each in done) == (world.left()[1] or 0)
    return sorted(each.key for each in done)


def test_a_portal_refund_listed_without_and_with_its_request_id_is_booked_once(world: World) -> None:
    paid_now(world)
    listed(world, transaction(transactionRequestId=None))
    listed(world, transaction())
    listed(world, transaction(transactionRequestId=None))
    assert booked(world) == ["portal-refund-id"]


def test_a_refund_of_ours_listed_without_its_request_id_is_not_adopted(world: World) -> None:
    paid_now(world)
    world.ask("990")
    amount = {"currency": "HKD", "value": "990"}
    listed(world, transaction(transactionRequestId=None, transactionId=REFUND_ID, transactionAmount=amount))
    assert booked(world) == [REFUND_REQUEST_ID]


def test_a_refund_of_ours_that_is_init_is_not_taken_for_one_of_the_portal(world: World) -> None:
    waiting(world)
    amount = {"currency": "HKD", "value": "990"}
    listed(world, transaction(transactionRequestId=None, transactionId=REFUND_ID, transactionAmount=amount))
    assert (booked(world), world.left()) == ([], (1000, None))
    world.inquirer.look(REFUND_REQUEST_ID, 0)
    listed(world, transaction(transactionRequestId=None, transactionId=REFUND_ID, transactionAmount=amount))
    assert booked(world) == [REFUND_REQUEST_ID]


def test_two_portal_refunds_that_repeat_the_payments_request_id_are_two(world: World) -> None:
    paid_now(world)
    for _ in range(2):
        listed(
            world,
            transaction(transactionRequestId=ID, transactionId="portal-a"),
            transaction(transactionRequestId=ID, transactionId="portal-b"),
        )
    assert booked(world) == ["portal-a", "portal-b"]


def test_portal_refunds_that_sum_to_more_than_was_paid_are_a_contradiction_of_the_order(
    world: World, counted: Mock
) -> None:
    paid_now(world)
    amount = {"currency": "HKD", "value": "1491"}
    listed(world, transaction(), transaction(transactionRequestId="p-2", transactionId="b", transactionAmount=amount))
    assert booked(world) == ["portal-1"]
    assert world.orders.get(ID).contradictions == {"refund p-2 of 1491: more than was paid"}
    counted.assert_any_call("Contradiction")


def test_a_refund_of_ours_that_others_have_left_nothing_for_is_not_booked(world: World, counted: Mock) -> None:
    """Alipay says that it gave back more than was paid: our books do not, and a person is called."""
    waiting(world)
    listed(world, transaction(transactionAmount={"currency": "HKD", "value": "1990"}))
    assert world.notified().is_init
    found, _ = world.inquirer.look(REFUND_REQUEST_ID, 0)
    assert (found.is_init, found.last_inquiry) == (True, f"inquiry SUCCESS {REFUND_ID}")
    assert found.contradictions == {f"notify SUCCESS {REFUND_ID}", f"inquiry SUCCESS {REFUND_ID}"}
    assert booked(world) == ["portal-1"]
    counted.assert_any_call("Contradiction")


def test_of_many_who_see_one_portal_refund_at_once_one_books_it(world: World) -> None:
    paid_now(world)
    order_now = world.orders.get(ID)
    seen = [Seen("portal-1", "R", Amount("HKD", "500")), Seen(None, "R", Amount("HKD", "500"))] * 8
    with ThreadPoolExecutor(16) as pool:
        shown = list(pool.map(lambda one: adopt(world.orders, world.refunds, ID, one, order_now.created_at), seen))
    assert len({each.key for each in shown if each}) == 1
    assert world.left() == (1490, 500)


def look_at_payment(world: World, said: Any) -> str:
    """The status of an order that was INIT, after the look of its polling."""
    world.orders.create(order())
    world.alipay.told = [said]
    gateway: Any = world.alipay
    listener = partial(adopt_listed, world.orders, world.refunds)
    looker = PaymentInquirer(world.orders, gateway, (3, 3), 0, listener)
    return str(looker.look({"paymentRequestId": ID, "inquiry": 0})["status"])


def test_the_inquiry_that_settles_a_payment_shows_what_was_refunded_in_the_portal(world: World) -> None:
    another = transaction(transactionRequestId="portal-2", transactionId="b")
    assert look_at_payment(world, paid(transactions=[transaction(), another])) == "SUCCESS"
    assert booked(world) == ["portal-1", "portal-2"]


def test_a_payment_that_was_not_paid_shows_no_refunds(world: World) -> None:
    assert look_at_payment(world, paid(paymentStatus="FAIL", transactions=[transaction()])) == "FAIL"
    assert world.orders.get(ID).refunds == frozenset()


def test_a_portal_refund_that_cannot_be_stored_leaves_the_payment_settled(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Mock
) -> None:
    monkeypatch.setattr(RefundTable, "observe", Mock(side_effect=TableFault("gone")))
    assert look_at_payment(world, paid(transactions=[transaction()])) == "SUCCESS"
    counted.assert_any_call("Fault")


def test_a_payment_that_alipay_has_cancelled_is_a_contradiction_of_the_order(world: World) -> None:
    paid_now(world)
    world.alipay.told = [refused("ORDER_IS_CANCELED"), paid(paymentStatus="CANCELLED")]
    world.ask()
    stored = world.orders.get(ID)
    assert stored.status is OrderStatus.SUCCESS
    assert [told.kind for told in stored.told] == ["PaymentSucceeded", "PaymentContradicted"]


# --- Looks ---------------------------------------------------------------------------------------------------------


def waiting(world: World) -> None:
    paid_now(world)
    world.alipay.told = [IN_PROCESS]
    assert world.ask().is_init


def test_a_look_asks_by_our_id_and_settles_what_has_its_result(world: World) -> None:
    waiting(world)
    found, _ = world.inquirer.look(REFUND_REQUEST_ID, 0)
    assert (found.status, found.settled_by) == (Status.SUCCESS, Witness.INQUIRY)
    assert world.alipay.called("inquiryRefund") == [b'{"refundRequestId":"ref-20261125-000001"}']
    assert world.left() == (1000, 990)


def test_a_look_names_the_account_that_was_paid(world: World) -> None:
    paid_now(world, merchant_account_id="shop-7")
    world.alipay.told = [IN_PROCESS]
    world.ask()
    world.inquirer.look(REFUND_REQUEST_ID, 0)
    [asked] = world.alipay.called("inquiryRefund")
    assert json.loads(asked) == {"refundRequestId": REFUND_REQUEST_ID, "merchantAccountId": "shop-7"}


def test_a_look_that_settles_notes_and_calls_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Mock, logged: Mock
) -> None:
    waiting(world)
    monkeypatch.setattr(RefundTable, "note_inquiry", Mock(side_effect=AssertionError("it has its result")))
    _, wait_s = world.inquirer.look(REFUND_REQUEST_ID, len(SCHEDULE) - 1)
    assert wait_s is None
    counted.assert_not_called()
    assert ["settledBy" in said.kwargs for said in logged.info.call_args_list] == [True]


def test_a_look_that_leaves_it_open_says_so_and_the_last_one_what_was_heard(world: World, logged: Mock) -> None:
    waiting(world)
    world.alipay.usual["inquiryRefund"] = LOST
    world.inquirer.look(REFUND_REQUEST_ID, 0)
    assert logged.warning.call_args.kwargs == {"call": "inquiryRefund", "reason": "read timeout", "sent": True}
    assert logged.info.call_args.kwargs == {"inquiry": 1, "waitSeconds": 15}
    world.inquirer.look(REFUND_REQUEST_ID, len(SCHEDULE) - 1)
    assert logged.info.call_args.kwargs == {"inquiry": len(SCHEDULE), "waitSeconds": None}
    assert logged.error.call_args.kwargs == {"lastInquiry": "inquiry without answer: read timeout"}


def test_an_inquired_failure_gives_back_what_was_reserved(world: World) -> None:
    waiting(world)
    world.alipay.usual["inquiryRefund"] = given_back(refundStatus="FAIL", refundResultCode="PROCESS_FAIL")
    found, _ = world.inquirer.look(REFUND_REQUEST_ID, 0)
    assert (found.status, found.result_code) == (Status.FAIL, "PROCESS_FAIL")
    assert world.left() == (1990, None)


def test_a_refund_that_has_its_result_is_not_inquired(world: World) -> None:
    paid_now(world)
    done = world.ask()
    assert world.inquirer.look(REFUND_REQUEST_ID, 0) == (done, 15)
    assert world.alipay.called("inquiryRefund") == []


@pytest.mark.parametrize("said", [LOST, UNSENT, refused("ORDER_NOT_EXIST"), given_back(refundStatus="PROCESSING")])
def test_the_schedule_goes_to_its_end_and_then_calls_a_person_once(world: World, said: Any, counted: Mock) -> None:
    waiting(world)
    world.alipay.usual["inquiryRefund"] = said
    waits = [world.inquirer.look(REFUND_REQUEST_ID, made)[1] for made in range(len(SCHEDULE) - 1)]
    assert waits == [*SCHEDULE[1:]]
    assert world.refunds.get(REFUND_REQUEST_ID).told == ()
    assert world.inquirer.look(REFUND_REQUEST_ID, len(SCHEDULE) - 1) == (world.refunds.get(REFUND_REQUEST_ID), None)
    stored = world.refunds.get(REFUND_REQUEST_ID)
    assert (stored.status, stored.is_spent, stored.inquiries) == (Status.INIT, True, len(SCHEDULE))
    assert [told.kind for told in stored.told] == ["RefundUnresolved"]
    assert world.left() == (1000, None)
    world.inquirer.look(REFUND_REQUEST_ID, len(SCHEDULE) - 1)
    assert len(world.refunds.get(REFUND_REQUEST_ID).told) == 1
    assert counted.call_args_list.count(call("RefundUnresolved")) == 1


def test_a_look_moves_on_by_when_somebody_must_have_looked_again(world: World) -> None:
    waiting(world)
    world.alipay.usual["inquiryRefund"] = given_back(refundStatus="PROCESSING")
    begun = datetime.now(UTC)
    found, _ = world.inquirer.look(REFUND_REQUEST_ID, 2)
    assert found.overdue_at is not None
    assert found.overdue_at >= begun + timedelta(seconds=120 + 60) - timedelta(milliseconds=1)
    assert found.last_inquiry == "inquiry S: PROCESSING"


def test_a_look_at_a_refund_that_is_not_there_fails(world: World) -> None:
    with pytest.raises(RefundNotFound):
        world.inquirer.look("nobody", 0)


# --- Notifications -------------------------------------------------------------------------------------------------


def test_a_notification_settles_what_is_init(world: World) -> None:
    waiting(world)
    done = world.notified()
    assert (done.status, done.settled_by) == (Status.SUCCESS, Witness.NOTIFY)
    assert world.left() == (1000, 990)
    assert world.notified() == done
    assert world.left() == (1000, 990)


def test_a_notified_failure_gives_back_what_was_reserved(world: World) -> None:
    waiting(world)
    failed = world.notified(refundStatus="FAIL", result={"resultStatus": "F", "resultCode": "PROCESS_FAIL"})
    assert failed.status is Status.FAIL
    assert world.left() == (1990, None)


def test_a_success_after_the_release_is_a_contradiction_kept_and_told_once(world: World, counted: Mock) -> None:
    paid_now(world)
    world.alipay.told = [refused("MERCHANT_BALANCE_NOT_ENOUGH")]
    world.ask()
    for _ in range(3):
        assert world.notified().status is Status.FAIL
    stored = world.refunds.get(REFUND_REQUEST_ID)
    assert stored.contradictions == {f"notify SUCCESS {REFUND_ID}"}
    assert [told.kind for told in stored.told] == ["RefundFailed", "RefundContradicted"]
    assert world.left() == (1990, None)
    counted.assert_any_call("Contradiction")


@pytest.mark.parametrize("settled", [False, True])
def test_another_amount_is_refused_kept_and_changes_nothing(world: World, settled: bool) -> None:
    waiting(world)
    if settled:
        world.notified()
    before: Refund = world.refunds.get(REFUND_REQUEST_ID)
    with pytest.raises(AmountMismatch):
        world.notified(refundAmount={"currency": "HKD", "value": "99"})
    stored = world.refunds.get(REFUND_REQUEST_ID)
    assert stored.status is before.status
    assert stored.contradictions == {"notify S/SUCCESS: refundAmount HKD 99"}


def test_a_notification_is_logged_under_its_refund_and_its_key(world: World, logged: Mock) -> None:
    waiting(world)
    world.notified()
    assert logged.append_keys.call_args.kwargs == {"refundRequestId": REFUND_REQUEST_ID, "keyVersion": "1"}


def test_an_unknown_refund_is_refused(world: World) -> None:
    with pytest.raises(UnknownRefund):
        world.notified()
