"""Every crossing of a cancel, on a real table: what is stored when its steps meet another witness's, or a death."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from autodebit import telemetry
from autodebit.alipay.gateway import TIMEOUT_S, AlipayGateway
from autodebit.alipay.reading import Final
from autodebit.errors import (
    AnswerRefused,
    CancelNotNoted,
    NotSent,
    OrderDecided,
    OrderNotFound,
    OutcomeUnknown,
    PollingFault,
    TableFault,
)
from autodebit.payment.cancel import Canceller
from autodebit.payment.cancel_call import CancelCall
from autodebit.payment.closing import CANCEL_UNDER_WAY_S
from autodebit.payment.crossing import settle_unless_crossed
from autodebit.payment.inquire import Inquirer
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.order_table import OrderTable
from autodebit.polling import GRACE_S, NEVER
from autodebit.polling_machine import PollingMachine
from autodebit.rows.guard import Written
from autodebit.rows.watch import Overdue

from tests.kit.samples import ID, PAYMENT_ID, order, paid, result

Json = dict[str, Any]
Answer = Json | Exception | Callable[[], "Answer"]

TABLE = OrderTable()
SCHEDULE = (3, 3, 600)
PAID = Final(Status.SUCCESS, "SUCCESS", "success.", PAYMENT_ID)

DONE = {"result": result("S", "SUCCESS"), "paymentRequestId": ID, "paymentId": PAYMENT_ID}
UNKNOWN = {"result": result("U", "UNKNOWN_EXCEPTION")}
PROCESSING = {"result": result("S", "SUCCESS"), "paymentStatus": "PROCESSING"}
NOBODY = {"result": result("F", "ORDER_NOT_EXIST")}
INQUIRED = paid()


def refused(code: str) -> Json:
    return {"result": result("F", code)}


class Alipay:
    """Answers each call as it is told, the last answer again and again; a callable happens before its answer."""

    def __init__(self) -> None:
        self.cancels: list[Answer] = [DONE]
        self.inquiries: list[Answer] = [PROCESSING]
        self.calls: list[tuple[str, bytes]] = []
        self.deadline = 0.0
        """Of the latest call."""

    def call(self, endpoint: str, body: bytes, deadline: float = 0.0) -> Json:
        self.calls.append((endpoint, body))
        self.deadline = deadline
        answers = self.cancels if endpoint == "payments/cancel" else self.inquiries
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        while callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def made(self, endpoint: str) -> int:
        return [name for name, _ in self.calls].count(f"payments/{endpoint}")


class Death(BaseException):
    """The process dies here."""


def dies() -> Answer:
    raise Death


class World:
    """One order, Alipay, and every way to move them."""

    def __init__(self) -> None:
        self.alipay = Alipay()
        self.polling = Mock(spec=PollingMachine)
        self.table = TABLE

    def opened(self, *, close_in_s: float = 900, **changes: Any) -> Order:
        """An order that is closed in so many seconds with CloseAfter 900; in the past if negative."""
        created_at = datetime.now(UTC) + timedelta(seconds=close_in_s - 955)
        given = {
            "created_at": created_at,
            "attempted_at": created_at,
            "payment_expiry_time": (created_at + timedelta(seconds=55)).isoformat(),
        }
        return TABLE.create(order(**(given | changes))).row

    def cancel(self, close_after_s: int = 900) -> Order:
        call = CancelCall(self.table, self._gateway(), close_after_s)
        return Canceller(self.table, call, self.polling).cancel(ID)

    def look(self, close_after_s: int = 900, **state: Any) -> Json:
        inquirer = Inquirer(self.table, self._gateway(), SCHEDULE, close_after_s)
        return inquirer.look({"paymentRequestId": ID, "round": self.row.polling_round, "inquiry": 0} | state)

    def notified(self, final: Final[Status] = PAID, witness: Witness = Witness.NOTIFY) -> Order:
        return settle_unless_crossed(self.table, self.row, final, witness, datetime.now(UTC))

    def later(self, seconds: float = 60) -> None:
        """Let so much time pass for whoever sends a cancel."""
        self._move("cancelAttemptedAt", seconds)

    def _move(self, name: str, seconds: float) -> None:
        from autodebit.payment.order_table import OrderItem

        item = OrderItem.get(ID)
        if text := getattr(item, name):
            moved = (datetime.fromisoformat(text) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
            item.update(actions=[getattr(OrderItem, name).set(moved.replace("+00:00", "Z"))])

    def _gateway(self) -> AlipayGateway:
        return self.alipay  # type: ignore[return-value]

    @property
    def row(self) -> Order:
        return TABLE.get(ID)


@pytest.fixture
def world(rows: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(telemetry, "settled", Mock())
    yield World()
    telemetry.metrics.clear_metrics()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What is logged and counted as a fault."""
    fault = Mock(spec=telemetry.fault)
    monkeypatch.setattr(telemetry, "fault", fault)
    return fault


# --- The merchant's cancel ---------------------------------------------------------------------------------------


def test_a_cancel_that_alipay_accepts_ends_the_order(world: World) -> None:
    world.opened()
    cancelled = world.cancel()
    assert cancelled == world.row
    assert (cancelled.status, cancelled.settled_by) == (Status.CANCELLED, Witness.CANCEL)
    assert (cancelled.payment_id, cancelled.result_code, cancelled.overdue_at) == (PAYMENT_ID, None, None)
    assert world.alipay.calls == [("payments/cancel", b'{"paymentRequestId":"' + ID.encode() + b'"}')]
    world.polling.start.assert_not_called()


def test_a_call_to_cancel_has_the_time_that_any_call_has(world: World) -> None:
    world.opened()
    began_s = time.monotonic()
    world.cancel()
    assert began_s + TIMEOUT_S <= world.alipay.deadline <= time.monotonic() + TIMEOUT_S


@pytest.mark.parametrize(("took_s", "wait_s"), [(0.0, 6), (1.9, 5), (4.9, 2), (5.0, 1), (10.0, 1)])
def test_an_unanswered_cancel_is_repeated_six_seconds_after_it_was_sent(
    world: World, monkeypatch: pytest.MonkeyPatch, took_s: float, wait_s: int
) -> None:
    world.opened()
    world.alipay.cancels = [UNKNOWN]
    monkeypatch.setattr("autodebit.payment.cancel.time", Mock(monotonic=Mock(side_effect=[7.0, 7.0 + took_s])))
    world.cancel()
    world.polling.start.assert_called_once_with(ID, 1, wait_s)


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        (DONE, ("accepted", "SUCCESS")),
        (refused("PROCESS_FAIL"), ("refused", "PROCESS_FAIL")),
        (UNKNOWN, ("unanswered", "cancel U/UNKNOWN_EXCEPTION")),
        (OutcomeUnknown("ReadTimeout"), ("unanswered", "cancel without answer: ReadTimeout")),
    ],
    ids=["accepted", "refused", "unanswered", "silent"],
)
def test_what_a_cancel_heard_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: Answer, heard: tuple[str, str]
) -> None:
    cancel_heard, call_failed = Mock(spec=telemetry.cancel_heard), Mock(spec=telemetry.call_failed)
    monkeypatch.setattr(telemetry, "cancel_heard", cancel_heard)
    monkeypatch.setattr(telemetry, "call_failed", call_failed)
    world.opened()
    world.alipay.cancels = [answer]
    world.cancel()
    cancel_heard.assert_called_once_with(*heard, {"paymentRequestId": ID, "paymentId": None})
    failed = [(("cancel", answer),)] if isinstance(answer, Exception) else []
    assert call_failed.call_args_list == failed


def test_the_account_that_pay_named_is_named(world: World) -> None:
    world.opened(merchant_account_id="shop-7")
    world.cancel()
    assert json.loads(world.alipay.calls[0][1]) == {"paymentRequestId": ID, "merchantAccountId": "shop-7"}


@pytest.mark.parametrize("never_sent", [False, True], ids=["sent", "never sent"])
def test_an_order_that_is_cancelled_is_shown_and_nobody_is_asked(world: World, never_sent: bool) -> None:
    opened = world.opened()
    if never_sent:
        TABLE.note_never_sent(opened)
    first = world.cancel()
    world.table = Mock(wraps=TABLE)
    assert world.cancel() == first
    assert world.alipay.made("cancel") == (not never_sent)
    assert [call[0] for call in world.table.mock_calls] == ["get"]


@pytest.mark.parametrize("never_sent", [False, True], ids=["sent", "never sent"])
@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAIL])
def test_an_order_that_is_paid_or_failed_is_not_cancelled(world: World, status: Status, never_sent: bool) -> None:
    opened = world.opened()
    if never_sent:
        TABLE.note_never_sent(opened)
    world.notified(Final(status))
    with pytest.raises(OrderDecided) as decided:
        world.cancel()
    assert (decided.value.status, decided.value.members) == (409, {"orderStatus": status.value})
    assert status.value in decided.value.detail
    assert world.alipay.calls == []
    assert world.row.contradictions == frozenset()


def test_without_an_order_there_is_nothing_to_cancel(world: World) -> None:
    with pytest.raises(OrderNotFound):
        world.cancel()


def test_what_never_left_is_cancelled_without_a_call(world: World) -> None:
    TABLE.note_never_sent(world.opened())
    cancelled = world.cancel()
    assert (cancelled.status, cancelled.settled_by) == (Status.CANCELLED, Witness.CANCEL)
    assert cancelled.cancel_requested_at is None
    assert world.alipay.calls == []


def test_what_a_request_is_about_to_send_is_cancelled_with_a_call(world: World) -> None:
    """The request takes the order over between this cancel's read and its write."""
    unsent = TABLE.note_never_sent(world.opened()).row
    real = TABLE.settle

    def taken_over_meanwhile(*arguments: Any) -> Any:
        TABLE.take_over_never_sent(unsent, "again", datetime.now(UTC), unsent.payment_expiry_time, "2" * 64, "d")
        return real(*arguments)

    world.table = Mock(wraps=TABLE)
    world.table.settle.side_effect = taken_over_meanwhile
    world.alipay.cancels = [NOBODY]
    after = world.cancel()
    assert (after.status, after.attempt, after.never_sent) == (Status.INIT, "again", False)
    assert world.alipay.made("cancel") == 1


def test_what_turns_out_never_to_have_left_is_cancelled_without_a_call(world: World) -> None:
    """The request finds that nothing left, between this cancel's read and its note."""
    sent = world.opened()
    real = TABLE.note_cancel

    def unsent_meanwhile(*arguments: Any, **named: Any) -> Any:
        TABLE.note_never_sent(sent)
        return real(*arguments, **named)

    world.table = Mock(wraps=TABLE)
    world.table.note_cancel.side_effect = unsent_meanwhile
    assert world.cancel().status is Status.CANCELLED
    assert world.alipay.calls == []


def test_a_cancel_is_noted_though_a_new_round_began_meanwhile_and_is_not_noted_if_one_always_does(
    world: World,
) -> None:
    world.opened()
    real, rounds = TABLE.note_cancel, [1]

    def round_meanwhile(order: Order, *arguments: Any, **named: Any) -> Any:
        if rounds[0]:
            rounds[0] -= 1
            TABLE.start_next_round(order, datetime.now(UTC))
        return real(order, *arguments, **named)

    world.table = Mock(wraps=TABLE)
    world.table.note_cancel.side_effect = round_meanwhile
    world.alipay.cancels = [UNKNOWN]
    assert world.cancel().cancel_requested_at is not None
    assert world.alipay.made("cancel") == 1

    rounds[0] = 3
    with pytest.raises(CancelNotNoted):
        world.cancel()
    assert world.alipay.made("cancel") == 1


def test_a_cancel_that_came_and_went_meanwhile_answers_for_this_one(world: World) -> None:
    world.opened()
    world.alipay.cancels = [refused("PROCESS_FAIL")]

    def other_meanwhile(*arguments: Any, **named: Any) -> Any:
        world.table = TABLE
        world.cancel()
        return TABLE.note_cancel(*arguments, **named)

    world.table = Mock(wraps=TABLE)
    world.table.note_cancel.side_effect = other_meanwhile
    assert world.cancel().cancel_code == "PROCESS_FAIL"
    assert world.alipay.made("cancel") == 1


def test_an_order_that_is_decided_once_its_cancel_is_noted_is_not_cancelled(world: World) -> None:
    world.opened()

    def noted_and_decided(*arguments: Any, **named: Any) -> Any:
        TABLE.note_cancel(*arguments, **named)
        world.table = TABLE
        world.notified(Final(Status.FAIL))
        raise TableFault("ReadTimeoutError")

    world.table = Mock(wraps=TABLE)
    world.table.note_cancel.side_effect = noted_and_decided
    with pytest.raises(OrderDecided):
        world.cancel()
    assert world.alipay.calls == []


def test_the_success_of_what_never_left_is_a_contradiction(world: World) -> None:
    TABLE.note_never_sent(world.opened())
    world.cancel()
    assert world.notified().contradictions or world.row.contradictions
    assert world.row.crossed == frozenset()


@pytest.mark.parametrize(
    "answer", [UNKNOWN, OutcomeUnknown("ReadTimeout"), AnswerRefused("unsigned answer"), NotSent("refused"), {}]
)
def test_a_cancel_without_an_answer_stays_noted_and_is_gone_on_with(world: World, answer: Answer) -> None:
    world.opened()
    world.alipay.cancels = [answer if answer != {} else {"result": result("X", "")}]
    noted = world.cancel()
    assert (noted.status, noted.polling_round) == (Status.INIT, 1)
    assert noted.cancel_requested_at is not None
    assert noted.cancel_attempted_at is None, "its attempt has ended"
    assert noted.next_look_at is not None
    assert timedelta(seconds=0) < noted.next_look_at - noted.cancel_requested_at <= timedelta(seconds=6)
    world.polling.start.assert_called_once_with(ID, 1, 6)


def test_a_cancel_that_is_refused_is_not_noted_any_more_and_its_code_is_kept(world: World) -> None:
    world.opened()
    world.alipay.cancels = [refused("PAYMENT_METHOD_NOT_SUPPORTED")]
    after = world.cancel()
    assert (after.status, after.cancel_requested_at) == (Status.INIT, None)
    assert (after.cancel_code, after.cancel_doubted) == ("PAYMENT_METHOD_NOT_SUPPORTED", False)
    world.polling.start.assert_called_once_with(ID, 1, 6)
    assert world.notified().status is Status.SUCCESS


def test_a_cancel_about_another_payment_is_a_contradiction_and_no_answer(world: World) -> None:
    world.opened()
    world.alipay.cancels = [DONE | {"paymentRequestId": "another"}]
    after = world.cancel()
    assert after.status is Status.INIT
    assert after.cancel_requested_at is not None
    assert world.row.contradictions == {"cancel S/SUCCESS: another paymentRequestId"}


def test_an_order_whose_schedule_is_spent_is_looked_at_again(world: World) -> None:
    TABLE.note_inquiry(world.opened(), "inquiry U", NEVER)
    world.alipay.cancels = [UNKNOWN]
    after = world.cancel()
    assert after.overdue_at is not None
    assert after.overdue_at < datetime.now(UTC) + timedelta(seconds=60)


# --- A table that fails ------------------------------------------------------------------------------------------


def test_if_the_order_cannot_be_read_nothing_is_noted_and_nothing_sent(world: World, faults: Mock) -> None:
    world.table = Mock(wraps=TABLE)
    world.table.get.side_effect = TableFault("away")
    with pytest.raises(CancelNotNoted):
        world.cancel()
    assert CancelNotNoted.status == 503
    assert world.alipay.calls == []
    faults.assert_called_once()


@pytest.mark.parametrize("never_sent", [False, True], ids=["sent", "never sent"])
def test_a_note_that_was_not_written_is_answered_503(world: World, faults: Mock, never_sent: bool) -> None:
    before = world.opened()
    if never_sent:
        before = TABLE.note_never_sent(before).row
    world.table = Mock(wraps=TABLE)
    world.table.note_cancel.side_effect = world.table.settle.side_effect = TableFault("throttled")
    with pytest.raises(CancelNotNoted):
        world.cancel()
    assert world.row == before
    assert world.alipay.calls == []
    faults.assert_called_once()
    assert world.table.note_cancel.call_count + world.table.settle.call_count == 1, "it is not tried again"


@pytest.mark.parametrize("never_sent", [False, True], ids=["sent", "never sent"])
def test_a_note_whose_answer_was_lost_is_found_and_gone_on_with(world: World, never_sent: bool) -> None:
    if never_sent:
        TABLE.note_never_sent(world.opened())
    else:
        world.opened()
    world.table = Mock(wraps=TABLE)

    def applied(write: Callable[..., Any]) -> Callable[..., Any]:
        def lost(*arguments: Any, **named: Any) -> Any:
            write(*arguments, **named)
            raise TableFault("ReadTimeoutError")

        return lost

    world.table.note_cancel.side_effect = applied(TABLE.note_cancel)
    if never_sent:
        world.table.settle.side_effect = applied(TABLE.settle)
    assert world.cancel().status is Status.CANCELLED
    assert world.alipay.made("cancel") == (not never_sent)


def test_if_nobody_knows_whether_it_was_noted_nobody_says_so(world: World) -> None:
    world.opened()
    world.table = Mock(wraps=TABLE)
    world.table.note_cancel.side_effect = TableFault("silent")
    world.table.get.side_effect = [TABLE.get(ID), TableFault("silent")]
    with pytest.raises(TableFault):
        world.cancel()
    assert world.alipay.calls == []


def test_an_answer_that_cannot_be_stored_leaves_the_cancel_noted(world: World, faults: Mock) -> None:
    world.opened()
    world.table = Mock(wraps=TABLE)
    world.table.settle.side_effect = TableFault("throttled")
    after = world.cancel()
    assert (after.status, world.row.status) == (Status.INIT, Status.INIT)
    assert world.row.cancel_requested_at is not None
    world.polling.start.assert_called_once()
    faults.assert_called_once()
    world.later()
    world.table = TABLE
    assert world.look()["status"] == "CANCELLED"


def test_polling_that_does_not_start_is_the_sweeps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Mock()
    monkeypatch.setattr("autodebit.payment.cancel.logger", logger)
    world.opened()
    world.alipay.cancels = [UNKNOWN]
    world.polling.start.side_effect = PollingFault("throttled")
    after = world.cancel()
    assert after.overdue_at is not None
    assert [found.key for found in TABLE.overdue(after.overdue_at)] == [ID]
    assert logger.warning.call_args.kwargs == {"reason": "throttled"}


# --- Deaths ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["merchant", "closing"])
def test_when_the_process_dies_with_the_cancel_noted_the_next_look_sends_it(world: World, by: str) -> None:
    world.opened(close_in_s=900 if by == "merchant" else -1)
    world.alipay.cancels = [dies, DONE]
    with pytest.raises(Death):
        world.cancel() if by == "merchant" else world.look()
    noted = world.row
    assert noted.status is Status.INIT
    assert noted.cancel_requested_at is not None
    assert [found.key for found in TABLE.overdue(datetime.now(UTC) + timedelta(minutes=2))] == [ID]
    assert world.look()["status"] == "INIT", "for all that is known it is still being sent"
    assert world.alipay.made("cancel") == 1
    world.later(13)
    assert world.look()["status"] == "CANCELLED"
    assert len({body for endpoint, body in world.alipay.calls if endpoint == "payments/cancel"}) == 1


def test_an_execution_of_an_earlier_round_ends(world: World) -> None:
    world.opened()
    world.alipay.cancels = [UNKNOWN]
    world.cancel()
    asked = len(world.alipay.calls)
    assert world.look(round=0) == {"paymentRequestId": ID, "round": 0, "status": "INIT", "superseded": True}
    assert len(world.alipay.calls) == asked


def test_a_look_that_a_cancel_overtakes_takes_no_deadline_away(world: World) -> None:
    """The merchant's process dies with the cancel noted: who looked meanwhile must not put its sweep off by hours."""
    world.opened()
    world.alipay.cancels = [dies]

    def meanwhile() -> Answer:
        with pytest.raises(Death):
            world.cancel()
        return PROCESSING

    world.alipay.inquiries = [meanwhile]
    assert world.look(inquiry=1)["superseded"]
    overdue_at = world.row.overdue_at
    assert overdue_at is not None
    assert overdue_at < datetime.now(UTC) + timedelta(seconds=31)
    assert world.row.last_inquiry is None


def test_an_execution_that_knows_no_round_goes_on(world: World) -> None:
    world.opened()
    inquirer = Inquirer(TABLE, world._gateway(), SCHEDULE, 900)
    following = inquirer.look({"paymentRequestId": ID, "inquiry": 1, "waitSeconds": 3, "status": "INIT"})
    assert (following["inquiry"], following["waitSeconds"]) == (2, 600)


# --- A success that crosses the cancel ---------------------------------------------------------------------------


@pytest.mark.parametrize("witness", [Witness.PAY, Witness.NOTIFY, Witness.INQUIRY])
def test_a_success_between_the_note_and_the_answer_is_kept_and_says_nothing(world: World, witness: Witness) -> None:
    world.opened()
    heard: list[Order] = []

    def meanwhile() -> Answer:
        heard.append(world.notified(witness=witness))
        return DONE

    world.alipay.cancels = [meanwhile]
    cancelled = world.cancel()
    assert heard[0].status is Status.INIT
    assert cancelled.status is Status.CANCELLED
    assert cancelled.crossed == {f"{witness} SUCCESS {PAYMENT_ID}"}
    assert cancelled.contradictions == frozenset()


def test_a_success_after_the_cancel_was_accepted_is_kept_and_no_contradiction(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Mock
) -> None:
    logger = Mock()
    monkeypatch.setattr("autodebit.payment.crossing.logger", logger)
    world.opened()
    world.cancel()
    for _ in range(8):
        assert world.notified().status is Status.CANCELLED
    assert world.row.crossed == {f"notify SUCCESS {PAYMENT_ID}"}
    assert world.row.contradictions == frozenset()
    assert counted.call_args_list == [(("CancelCrossed",),)] * 8
    assert logger.warning.call_args.kwargs == {"paymentRequestId": ID, "paymentId": PAYMENT_ID, "witness": "notify"}


def test_a_success_whose_cancel_is_refused_before_it_can_be_kept_settles(world: World) -> None:
    world.opened()
    world.alipay.cancels = [UNKNOWN]
    world.cancel()

    def refused_meanwhile(*arguments: Any) -> Any:
        TABLE.note_cancel_refused(world.row, "PROCESS_FAIL", datetime.now(UTC))
        return TABLE.note_crossed(*arguments)

    world.table = Mock(wraps=TABLE)
    world.table.note_crossed.side_effect = refused_meanwhile
    assert world.notified().status is Status.SUCCESS
    assert world.row.crossed == frozenset()


def test_a_success_that_a_cancel_held_up_which_was_refused_by_then_settles(world: World) -> None:
    opened = world.opened()
    real, answers = TABLE.settle, [Written(opened, won=False)]
    world.table = Mock(wraps=TABLE)
    world.table.settle.side_effect = lambda *arguments: answers.pop() if answers else real(*arguments)
    assert world.notified().status is Status.SUCCESS


@pytest.mark.parametrize("final", [Final(Status.FAIL, "RISK_REJECT"), Final(Status.CANCELLED)])
def test_a_failure_ends_the_order_while_the_cancel_is_unanswered(world: World, final: Final[Status]) -> None:
    world.opened()
    world.alipay.cancels = [UNKNOWN]
    world.cancel()
    assert world.notified(final, Witness.INQUIRY).status is final.status
    with_late_success = world.notified()
    if final.status is Status.CANCELLED:
        assert with_late_success.crossed, "it is our cancel that closed it"
    else:
        assert world.row.contradictions == {f"notify SUCCESS {PAYMENT_ID}"}


def test_a_success_that_crossed_a_refused_cancel_is_heard_by_the_next_look(world: World) -> None:
    world.opened()

    def meanwhile() -> Answer:
        assert world.notified().status is Status.INIT
        return refused("PAYMENT_METHOD_NOT_SUPPORTED")

    world.alipay.cancels = [meanwhile]
    assert world.cancel().status is Status.INIT
    world.alipay.inquiries = [INQUIRED]
    assert world.look()["status"] == "SUCCESS"
    assert world.row.settled_by is Witness.INQUIRY


def test_a_success_that_is_stored_before_the_cancel_is_noted_stands(world: World) -> None:
    world.opened(close_in_s=-1)
    world.alipay.inquiries = [INQUIRED]
    assert world.look()["status"] == "SUCCESS", "closing inquires first"
    assert world.alipay.made("cancel") == 0


def test_a_success_that_arrives_while_closing_inquires_stands(world: World) -> None:
    world.opened(close_in_s=-1)

    def meanwhile() -> Answer:
        assert world.notified().status is Status.SUCCESS
        return PROCESSING

    world.alipay.inquiries = [meanwhile]
    assert world.look()["status"] == "SUCCESS"
    assert world.alipay.made("cancel") == 0


def test_an_inquiry_that_says_success_while_the_cancel_is_unanswered_is_followed_by_the_cancel(world: World) -> None:
    world.opened()
    world.alipay.cancels = [UNKNOWN, DONE]
    world.cancel()
    world.alipay.inquiries = [INQUIRED]
    assert world.look()["status"] == "CANCELLED"
    assert world.row.crossed == {f"inquiry SUCCESS {PAYMENT_ID}"}


def test_a_late_answer_that_accepts_the_cancel_of_a_paid_order_is_a_contradiction(world: World) -> None:
    """An attempt that was thought dead is answered S after a later one was refused and the order was paid."""
    world.opened()

    def stalls() -> Answer:
        world.later(13)
        world.alipay.cancels = [refused("PROCESS_FAIL")]
        assert world.cancel().cancel_requested_at is None
        world.alipay.inquiries = [INQUIRED]
        assert world.look()["status"] == "SUCCESS"
        return DONE

    world.alipay.cancels = [stalls]
    with pytest.raises(OrderDecided):
        world.cancel()
    assert world.row.contradictions == {f"cancel CANCELLED {PAYMENT_ID}"}


def test_a_refusal_of_an_attempt_that_is_not_the_latest_takes_no_note_away(world: World) -> None:
    world.opened()

    def stalls() -> Answer:
        world.later(13)
        world.alipay.cancels = [UNKNOWN]
        assert world.cancel().cancel_requested_at is not None
        return refused("PROCESS_FAIL")

    world.alipay.cancels = [stalls]
    assert world.cancel().cancel_requested_at is not None
    assert world.row.cancel_code is None


# --- Two cancels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["merchant", "look"])
def test_while_one_cancel_is_being_sent_no_other_is(world: World, other: str) -> None:
    world.opened()

    def meanwhile() -> Answer:
        if other == "merchant":
            assert world.cancel().cancel_requested_at is not None
        else:
            assert "waitUntil" in world.look()
        return DONE

    world.alipay.cancels = [meanwhile]
    assert world.cancel().status is Status.CANCELLED
    assert world.alipay.made("cancel") == 1


def test_a_look_that_repeats_a_cancel_whose_sender_died_is_not_overdue_meanwhile(world: World) -> None:
    world.opened()
    world.alipay.cancels = [dies]
    with pytest.raises(Death):
        world.cancel()
    world.later(CANCEL_UNDER_WAY_S + 1)

    def meanwhile() -> Answer:
        assert world.row.overdue_at is not None
        assert world.row.overdue_at > datetime.now(UTC) + timedelta(seconds=GRACE_S)
        return DONE

    world.alipay.cancels = [meanwhile]
    assert world.look()["status"] == "CANCELLED"


def test_a_look_that_saw_a_cancel_which_is_refused_meanwhile_does_not_repeat_it(world: World) -> None:
    world.opened()
    world.alipay.cancels = [UNKNOWN, refused("PROCESS_FAIL")]
    world.cancel()

    def meanwhile() -> Answer:
        assert world.cancel().cancel_requested_at is None
        return PROCESSING

    world.alipay.inquiries = [meanwhile]
    world.look()
    assert world.alipay.made("cancel") == 2
    assert world.row.cancel_requested_at is None


# --- What became of a cancel nobody knows -------------------------------------------------------------------------


@pytest.fixture
def in_doubt(world: World) -> World:
    """The first cancel has no answer, the second was refused: Alipay may have done the first."""
    world.opened()
    world.alipay.cancels = [UNKNOWN, refused("CANCEL_WINDOW_EXCEED")]
    world.cancel()
    world.cancel()
    assert (world.row.cancel_requested_at, world.row.cancel_doubted) == (None, True)
    return world


@pytest.mark.parametrize("witness", [Witness.PAY, Witness.NOTIFY])
def test_in_doubt_a_success_that_may_be_older_than_the_cancel_is_kept_and_says_nothing(
    in_doubt: World, witness: Witness
) -> None:
    assert in_doubt.notified(witness=witness).status is Status.INIT
    assert in_doubt.row.crossed == {f"{witness} SUCCESS {PAYMENT_ID}"}


def test_in_doubt_an_inquiry_decides(in_doubt: World) -> None:
    in_doubt.notified()
    in_doubt.alipay.inquiries = [INQUIRED]
    assert in_doubt.look()["status"] == "SUCCESS"


def test_in_doubt_an_inquiry_that_says_cancelled_ends_the_order_and_a_late_success_is_no_contradiction(
    in_doubt: World,
) -> None:
    in_doubt.alipay.inquiries = [{"result": result("S", "SUCCESS"), "paymentStatus": "CANCELLED"}]
    assert in_doubt.look()["status"] == "CANCELLED"
    assert in_doubt.notified().crossed
    assert in_doubt.row.contradictions == frozenset()


def test_an_inquiry_that_was_asked_before_a_cancel_came_and_went_does_not_decide(world: World) -> None:
    world.opened()

    def meanwhile() -> Answer:
        world.alipay.cancels = [UNKNOWN, refused("PROCESS_FAIL")]
        world.cancel()
        world.cancel()
        return INQUIRED

    world.alipay.inquiries = [meanwhile]
    world.look()
    assert world.row.status is Status.INIT
    assert world.row.crossed == {f"inquiry SUCCESS {PAYMENT_ID}"}


def test_an_inquiry_that_was_asked_while_a_cancel_was_under_way_does_not_decide(world: World) -> None:
    world.opened()
    world.alipay.cancels = [UNKNOWN]
    world.cancel()

    def meanwhile() -> Answer:
        world.alipay.cancels = [refused("PROCESS_FAIL")]
        world.cancel()
        return INQUIRED

    world.alipay.inquiries = [meanwhile]
    world.look()
    assert world.row.status is Status.INIT


# --- A cancel while pay is being sent ------------------------------------------------------------------------------


def test_a_payment_whose_cancel_is_noted_is_not_sent_again(world: World) -> None:
    world.opened()
    world.alipay.cancels = [UNKNOWN]
    world.cancel()
    assert not TABLE.take_over_sending(world.row, "again", datetime.now(UTC)).won


def test_a_payment_whose_cancel_is_noted_is_not_left_alone_when_it_turns_out_that_nothing_left(world: World) -> None:
    before = world.opened()
    world.alipay.cancels = [UNKNOWN]
    world.cancel()
    assert not TABLE.note_never_sent(before).won
    assert world.row.overdue_at is not None


def test_what_was_heard_of_nothing_is_forgotten_when_the_payment_is_sent_at_last(world: World) -> None:
    world.opened(close_in_s=-1)
    world.alipay.cancels = world.alipay.inquiries = [NOBODY]
    world.look()
    assert (world.row.absences, world.row.cancel_code) == (1, "ORDER_NOT_EXIST")
    unsent = TABLE.note_never_sent(world.row).row
    expiry = (datetime.now(UTC) + timedelta(seconds=55)).isoformat()
    sent = TABLE.take_over_never_sent(unsent, "again", datetime.now(UTC), expiry, "2" * 64, "d").row
    assert (sent.absences, sent.absent_at, sent.cancel_code, sent.cancel_refused_at) == (0, None, None, None)


def test_an_order_that_never_left_is_nobodys_to_look_at(world: World) -> None:
    TABLE.note_never_sent(world.opened(close_in_s=-1))
    assert world.look()["superseded"]
    assert world.alipay.calls == []


# --- Closing -----------------------------------------------------------------------------------------------------


def test_at_the_close_time_an_order_is_inquired_and_then_cancelled(world: World) -> None:
    world.opened(close_in_s=-1)
    assert world.look()["status"] == "CANCELLED"
    assert [endpoint for endpoint, _ in world.alipay.calls] == ["payments/inquiryPayment", "payments/cancel"]
    assert world.row.settled_by is Witness.CANCEL


def test_before_the_close_time_it_is_inquired_alone_and_the_look_at_the_close_time_comes_next(world: World) -> None:
    row = world.opened(close_in_s=300)
    following = world.look(inquiry=1)
    assert world.alipay.made("cancel") == 0
    wait_until = datetime.fromisoformat(following["waitUntil"])
    assert timedelta(0) <= wait_until - (row.expires_at + timedelta(seconds=900)) < timedelta(seconds=1)
    assert following["inquiry"] == 1, "the schedule's look comes after it"
    assert world.row.overdue_at is not None
    assert world.row.overdue_at - wait_until <= timedelta(seconds=5)
    assert world.row.next_look_at is not None
    assert abs(world.row.next_look_at - wait_until) <= timedelta(seconds=1)


def test_with_close_after_0_it_is_never_cancelled(world: World) -> None:
    world.opened(close_in_s=-100_000)
    assert world.look(0)["waitSeconds"] == 3
    assert "waitSeconds" not in world.look(0, inquiry=2)
    assert world.alipay.made("cancel") == 0
    assert world.row.overdue_at == NEVER


def test_a_cancel_is_repeated_ten_times_six_seconds_apart_and_then_with_each_look(world: World) -> None:
    world.opened(close_in_s=-1)
    world.alipay.cancels = [UNKNOWN]
    state = world.look(inquiry=1)
    waits: list[int] = []
    while len(waits) < 10:
        waits.append(state["waitSeconds"])
        state = world.look(**state)
    assert waits == [6] * 9 + [600]
    assert state["waitSeconds"] == 600, "the schedule is spent, and the cancel still noted"
    assert world.alipay.made("cancel") == 11
    assert len({body for endpoint, body in world.alipay.calls if endpoint == "payments/cancel"}) == 1
    assert [told.kind for told in world.row.told] == ["PaymentUnresolved"]


def test_closing_that_is_refused_is_told_once_and_the_polling_goes_on(world: World) -> None:
    world.opened(close_in_s=-1)
    world.alipay.cancels = [refused("PAYMENT_METHOD_NOT_SUPPORTED")]
    state = world.look(inquiry=0)
    assert (state["waitSeconds"], world.row.told) == (6, ())
    waits: list[int | None] = []
    while "waitSeconds" in state:
        state = world.look(**state)
        waits.append(state.get("waitSeconds"))
    assert waits == [3, 600, None]
    assert world.alipay.made("cancel") == 1
    assert [told.kind for told in world.row.told] == ["PaymentUnresolved"]
    assert world.row.unresolved_at is not None


def test_a_refusal_that_the_next_inquiry_explains_calls_nobody(world: World) -> None:
    world.opened(close_in_s=-1)
    world.alipay.cancels = [refused("ORDER_STATUS_INVALID")]
    state = world.look()
    world.alipay.inquiries = [{"result": result("S", "SUCCESS"), "paymentStatus": "FAIL"}]
    assert world.look(**state)["status"] == "FAIL"
    assert [told.kind for told in world.row.told] == ["PaymentFailed"]


def test_a_cancel_that_the_merchant_had_refused_is_sent_again_at_the_close_time(world: World) -> None:
    world.opened(close_in_s=1)
    world.alipay.cancels = [refused("PROCESS_FAIL"), DONE]
    world.cancel()
    from autodebit.payment.order_table import OrderItem

    for name in ("createdAt", "cancelRefusedAt"):
        world._move(name, 60)
    earlier = (world.row.expires_at - timedelta(seconds=60)).isoformat()
    OrderItem.get(ID).update(actions=[OrderItem.paymentExpiryTime.set(earlier)])
    assert world.look()["status"] == "CANCELLED"


# --- What never reached Alipay -----------------------------------------------------------------------------------


def test_what_alipay_never_had_fails_after_three_inquiries_and_a_cancel(world: World) -> None:
    world.opened(close_in_s=-1)
    world.alipay.cancels = world.alipay.inquiries = [NOBODY]
    state = world.look(inquiry=1)
    for absent in (1, 2):
        assert (world.row.status, world.row.absences) == (Status.INIT, absent)
        again = datetime.fromisoformat(state["waitUntil"]) - datetime.now(UTC)
        assert timedelta(seconds=10) < again <= timedelta(seconds=16)
        assert world.look(**state)["status"] == "INIT"
        assert world.row.absences == absent, "too early to count"
        world._move("absentAt", 15)
        state = world.look(**state)
    failed = world.row
    assert (failed.status, failed.result_code, failed.settled_by) == (Status.FAIL, "ORDER_NOT_EXIST", Witness.CANCEL)
    assert world.alipay.made("cancel") == 1
    assert [told.kind for told in failed.told] == ["PaymentFailed"]


def test_its_late_success_is_a_contradiction_however_often_it_is_delivered(world: World) -> None:
    test_what_alipay_never_had_fails_after_three_inquiries_and_a_cancel(world)
    for _ in range(8):
        assert world.notified().status is Status.FAIL
    assert world.row.contradictions == {f"notify SUCCESS {PAYMENT_ID}"}
    assert [told.kind for told in world.row.told] == ["PaymentFailed", "PaymentContradicted"]


def test_the_inquiries_before_the_close_time_count_if_they_were_after_the_expiry(world: World) -> None:
    world.opened(close_in_s=60)
    world.alipay.cancels = world.alipay.inquiries = [NOBODY]
    for _ in range(3):
        world.look()
        world._move("absentAt", 15)
    assert (world.row.status, world.row.absences) == (Status.INIT, 3)
    assert world.cancel().status is Status.INIT, "the merchant's cancel is before the close time"
    assert world.look()["status"] == "INIT"


def test_a_payment_that_was_settled_meanwhile_is_not_failed(world: World) -> None:
    world.opened(close_in_s=-1)
    world.alipay.cancels = world.alipay.inquiries = [NOBODY]
    world.look()
    settled = replace(world.notified(), absences=3)
    table = Mock()
    call = CancelCall(table, Mock(), 900)
    assert call.conclude(settled, datetime.now(UTC)) is settled
    assert table.mock_calls == []


def test_a_payment_that_turns_up_is_not_failed(world: World) -> None:
    world.opened(close_in_s=-1)
    world.alipay.cancels = [NOBODY, DONE]
    world.alipay.inquiries = [NOBODY, PROCESSING]
    world.look()
    world._move("absentAt", 15)
    assert world.look()["status"] == "CANCELLED"
    assert world.alipay.made("cancel") == 2


def test_an_absence_that_no_other_follows_is_inquired_on_the_schedule_and_a_person_is_called_once(
    world: World,
) -> None:
    world.opened(close_in_s=-1)
    world.alipay.cancels = [NOBODY]
    world.alipay.inquiries = [NOBODY, refused("SYSTEM_ERROR")]
    assert "waitUntil" in world.look(inquiry=1)
    world._move("absentAt", 15)
    assert "waitUntil" in world.look(inquiry=1), "it may have been an answer by chance"
    assert world.row.unresolved_at is None
    world._move("absentAt", 15)
    assert world.look(inquiry=1)["waitSeconds"] == 600
    assert world.row.unresolved_at is not None
    assert "waitSeconds" not in world.look(inquiry=2)


def test_with_close_after_0_a_cancel_without_an_answer_calls_a_person_at_the_end_of_the_schedule(
    world: World,
) -> None:
    world.opened(close_in_s=-100_000)
    world.alipay.cancels = [UNKNOWN]
    world.cancel(0)
    world.later()
    assert world.look(0, inquiry=1)["waitSeconds"] == 6
    assert world.row.unresolved_at is None
    world.later()
    assert world.look(0, inquiry=2)["waitSeconds"] == 6
    assert world.row.unresolved_at is not None


def test_with_close_after_0_nothing_is_concluded_from_absence(world: World) -> None:
    world.opened(close_in_s=-100_000)
    world.alipay.cancels = world.alipay.inquiries = [NOBODY]
    for _ in range(5):
        world.look(0)
        world._move("absentAt", 15)
    assert world.cancel(0).status is Status.INIT
    assert world.look(0)["status"] == "INIT"


# --- The sweep ---------------------------------------------------------------------------------------------------


def test_a_round_that_the_sweep_starts_supersedes_the_one_before(world: World) -> None:
    row = world.opened()
    assert row.overdue_at is not None
    text = row.overdue_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    TABLE.start_round(Overdue(ID, 0, text), row.overdue_at)
    assert world.look(round=0)["superseded"]
    assert "superseded" not in world.look(round=1)
