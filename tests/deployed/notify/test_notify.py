"""POST /notifications/payment: what is acknowledged, what is refused, and what one notification does."""

from functools import partial
from typing import Any

import pytest

from tests.kit import alarms, books
from tests.kit.merchant import new_id
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]

ACKNOWLEDGEMENT = '{"result":{"resultCode":"SUCCESS","resultStatus":"S","resultMessage":"success"}}'


@pytest.fixture(scope="module")
def open_id(fast: Deployment) -> str:
    """An order that stays INIT whatever happens."""
    payment_request_id, answer = fast.pay("open", **books.NEVER)
    assert answer.status == 202, answer
    return payment_request_id


def test_a_notification_is_acknowledged_with_the_exact_body_and_settles(fast: Deployment) -> None:
    payment_request_id, _ = fast.pay("by-hand", **books.NEVER)
    sent = fast.alipay.notify(payment_request_id, resultStatus="F", resultCode="USER_BALANCE_NOT_ENOUGH")
    assert (sent["status"], sent["body"]) == (200, ACKNOWLEDGEMENT)
    order = fast.merchant.order(payment_request_id).json
    assert (order["status"], order["settledBy"], order["resultCode"]) == ("FAIL", "notify", "USER_BALANCE_NOT_ENOUGH")


def test_a_payment_is_settled_by_its_notification(fast: Deployment) -> None:
    with fast.polling_at(1):
        payment_request_id, answer = fast.pay("notified", pay=["U"], result={"status": "SUCCESS"}, notify={"delay": 0})
        assert answer.status in (200, 202)
        assert fast.seen.settled(payment_request_id)["settledBy"] == "notify"
    delivered = eventually(lambda: fast.alipay.notifications(payment_request_id), "the delivery in Alipay's ledger")
    assert [(one["status"], one["answer"]) for one in delivered] == [(200, ACKNOWLEDGEMENT)]
    books.agree(fast, payment_request_id)


def test_pending_is_acknowledged_and_is_no_success(fast: Deployment, open_id: str) -> None:
    for message in (
        {"notifyType": "PAYMENT_PENDING", "resultStatus": "S"},
        {"notifyType": "PAYMENT_PENDING", "resultStatus": "F", "resultCode": "PROCESS_FAIL"},
        {"resultStatus": "U", "resultCode": "PAYMENT_IN_PROCESS"},
        {"resultStatus": "X", "resultCode": "NEW"},
    ):
        assert fast.alipay.notify(open_id, **message)["body"] == ACKNOWLEDGEMENT, message
        row = fast.seen.row(open_id)
        assert row
        assert row["status"] == "INIT"


@pytest.mark.parametrize("encoding", ["lower", "upper", "plain"])
def test_every_documented_spelling_of_the_signature_is_accepted(fast: Deployment, open_id: str, encoding: str) -> None:
    pending = {"notifyType": "PAYMENT_PENDING", "encoding": encoding}
    assert fast.alipay.notify(open_id, **pending)["status"] == 200


def test_a_notification_is_not_refused_for_its_age(fast: Deployment, open_id: str) -> None:
    old = {"notifyType": "PAYMENT_PENDING", "requestTime": "2020-01-01T00:00:00-08:00"}
    assert fast.alipay.notify(open_id, **old)["status"] == 200


UNAUTHENTIC: dict[str, Json] = {
    "no signature": {"key": "none"},
    "another key": {"key": "otherkey"},
    "one byte changed": {"alterByte": True},
    "an unknown key version": {"keyVersion": "7"},
    "another client": {"clientId": "5Y00SOMEBODYELSE0"},
    "no time": {"headers": {"Request-Time": None}},
    "signed for another path": {"path": "/v1/notifications/payment"},
}
"""One of each kind; every form of a signature is in vectors/notifications.json, on the wire in the hostile tests."""


@pytest.mark.parametrize("message", UNAUTHENTIC.values(), ids=UNAUTHENTIC)
def test_a_notification_that_is_not_provably_alipays_is_answered_401(
    fast: Deployment, open_id: str, message: Json
) -> None:
    before, unproved = books.facts(fast, open_id), fast.seen.metric("NotificationUnproved")
    sent = fast.alipay.notify(open_id, resultStatus="S", **message)
    assert (sent["status"], '"resultStatus":"F"' in sent["body"]) == (401, True), sent
    assert books.facts(fast, open_id) == before
    eventually(lambda: fast.seen.metric("NotificationUnproved") > unproved, "counted where an alarm hears it")


MALFORMED: dict[str, Json] = {
    "no JSON": {"body": "notifyType=PAYMENT_RESULT"},
    "another notifyType": {"notifyType": "UPDATE_AMOUNT_RESULT"},
    "no amount": {"omit": ["paymentAmount"]},
    "an id that is too long": {"set": {"paymentRequestId": "a" * 3000}},
}
"""One of each kind; the rules of a notification have every field and type."""


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED)
def test_a_signed_message_that_is_no_payment_notification_is_answered_400(
    fast: Deployment, open_id: str, message: Json
) -> None:
    before, refused = books.facts(fast, open_id), fast.seen.metric("NotificationRefused")
    sent = fast.alipay.notify(open_id, resultStatus="S", **message)
    assert (sent["status"], '"resultStatus":"F"' in sent["body"]) == (400, True), sent
    assert books.facts(fast, open_id) == before
    eventually(lambda: fast.seen.metric("NotificationRefused") > refused, "counted where an alarm hears it")


def test_a_notification_about_no_order_of_ours_is_answered_404(fast: Deployment, open_id: str) -> None:
    before = books.facts(fast, open_id)
    for unknown in (new_id("unknown"), "a" * 64, "../x", "é"):
        sent = fast.alipay.notify(open_id, resultStatus="S", set={"paymentRequestId": unknown})
        assert (sent["status"], '"resultStatus":"F"' in sent["body"]) == (404, True), sent
    assert books.facts(fast, open_id) == before


@pytest.mark.parametrize(
    "amount",
    [{"currency": "HKD", "value": "1"}, {"currency": "USD", "value": "1990"}, {"currency": "HKD", "value": "01990"}],
)
def test_a_notification_about_another_amount_is_answered_409_and_pays_nothing(fast: Deployment, amount: Json) -> None:
    payment_request_id, _ = fast.pay("amount", **books.NEVER)
    sent = fast.alipay.notify(payment_request_id, resultStatus="S", amount=amount)
    assert (sent["status"], '"resultStatus":"F"' in sent["body"]) == (409, True), sent
    row = fast.seen.row(payment_request_id)
    assert row
    assert row["status"] == "INIT"
    assert len(row["contradictions"]) == 1
    for metric in ("Contradiction", "NotificationRefused"):
        alarms.counted(fast, metric, payment_request_id, 1)


def test_another_amount_is_answered_409_for_a_final_order_too(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay("amount", notify="lost")
    sent = fast.alipay.notify(payment_request_id, resultStatus="S", amount={"currency": "HKD", "value": "1"})
    assert sent["status"] == 409, sent
    assert fast.merchant.order(payment_request_id).json == answer.json
    books.agree(fast, payment_request_id)


@pytest.mark.fault("F21")
@pytest.mark.parametrize("copies", [16, 50])
def test_identical_notifications_at_once_are_all_acknowledged_and_write_once(fast: Deployment, copies: int) -> None:
    with fast.polling_at(1):
        payment_request_id, _ = fast.pay(
            "copies", pay=["U"], result={"status": "SUCCESS"}, notify={"delay": 0, "times": copies}
        )
        delivered = eventually(
            lambda: found if len(found := fast.alipay.notifications(payment_request_id)) >= copies else None,
            f"{copies} deliveries",
        )
    # On a busy machine one may be answered when Alipay no longer listens: it comes again, like any that was lost.
    answers = {(one["status"], one["answer"]) for one in delivered if one["status"]}
    assert answers == {(200, ACKNOWLEDGEMENT)}
    for _ in range(8):
        assert fast.alipay.notify(payment_request_id)["body"] == ACKNOWLEDGEMENT
    settling = [version for version in fast.seen.versions(payment_request_id) if version["status"] != "INIT"]
    assert len(settling) == 1
    eventually(
        lambda: len(fast.seen.lines("notification acknowledged", payment_request_id)) >= copies + 8, "a line for each"
    )
    assert len(fast.seen.settlements(payment_request_id)) == 1
    books.agree(fast, payment_request_id)


@pytest.mark.fault("F22")
def test_pending_after_the_result_changes_nothing(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay("late-pending", notify="lost")
    sent = fast.alipay.notify(payment_request_id, notifyType="PAYMENT_PENDING")
    assert sent["body"] == ACKNOWLEDGEMENT
    assert fast.merchant.order(payment_request_id).json == answer.json
    eventually(lambda: fast.seen.lines("notification acknowledged", payment_request_id), "the line")
    assert fast.seen.metric("Contradiction", payment_request_id) == 0
    books.agree(fast, payment_request_id)


@pytest.mark.fault("F22")
def test_a_failure_after_the_success_changes_nothing_and_calls_a_person(fast: Deployment) -> None:
    payment_request_id, answer = fast.pay("late-failure", notify="lost")
    sent = fast.alipay.notify(payment_request_id, resultStatus="F", resultCode="RISK_REJECT")
    assert sent["body"] == ACKNOWLEDGEMENT
    assert fast.merchant.order(payment_request_id).json == answer.json
    row = fast.seen.row(payment_request_id)
    assert row
    assert row["contradictions"]
    alarms.counted(fast, "Contradiction", payment_request_id, 1)
    books.agree(fast, payment_request_id)


def test_contradictory_notifications_and_an_inquiry_settle_each_order_once(fast: Deployment) -> None:
    def race(number: int) -> str:
        # The inquiry is answered while the notifications are on their way.
        payment_request_id, _ = fast.pay(
            "by-hand-race",
            pay=["U"],
            result={"status": "SUCCESS"},
            inquiry={"answer": "normal", "delay": 0.1 * (number % 5)},
            notify="lost",
        )
        eventually(lambda: fast.alipay.calls(payment_request_id, "inquiryPayment"), "an inquiry at Alipay")
        messages: list[Json] = [{"resultStatus": "S"}, {"resultStatus": "F", "resultCode": "RISK_REJECT"}] * 4
        if number % 2:  # where nothing races, the first one wins, and both shall
            messages.reverse()
        sent = at_once([partial(fast.alipay.notify, payment_request_id, **message) for message in messages])
        assert [one["body"] for one in sent] == [ACKNOWLEDGEMENT] * 8
        return payment_request_id

    ids = at_once([partial(race, number) for number in range(40)], workers=4)
    winners: dict[str, int] = {}
    for payment_request_id in ids:
        row = fast.seen.settled(payment_request_id)
        fast.seen.ended(payment_request_id)
        books.left_init_at_most_once(fast.seen.versions(payment_request_id))
        winner = f"{row['settledBy']} {row['status']}"
        winners[winner] = winners.get(winner, 0) + 1
        assert row["contradictions"], "one half of the notifications said otherwise"
    print(f"  settled by {winners}")
    eventually(
        lambda: [len(fast.seen.settlements(key)) for key in ids] == [1] * len(ids),
        "one settling line for each",
        show=lambda: {key: fast.seen.lines(payment_request_id=key) for key in ids},
    )
    assert len(winners) > 1, f"nothing raced: {winners}"
