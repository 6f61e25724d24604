"""What the merchant's systems are told: each change once it is stored, and every copy the same to the byte."""

from typing import Any

from autodebit.events import replay
from autodebit.payment.order_table import order_in

from tests.kit import books
from tests.kit.bus import Listener, Queue
from tests.kit.event_schemas import faults
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

Json = dict[str, Any]


def test_a_payment_that_pay_settled_is_told_as_get_shows_it(fast: Deployment, shop: Listener) -> None:
    payment_request_id, answer = fast.pay("told")
    assert answer.status == 200
    [event] = shop.heard(payment_request_id)
    assert (event["source"], event["detail-type"]) == ("autodebit", "PaymentSucceeded")
    assert event["detail"] == {
        "eventId": f"{payment_request_id}:1",
        "sequence": 1,
        "occurredAt": answer.json["settledAt"],
        "order": fast.merchant.order(payment_request_id).json,
    }
    assert faults(event) == []


def test_a_failure_is_told(fast: Deployment, shop: Listener) -> None:
    payment_request_id, _ = fast.pay("told-fail", pay=["F:USER_BALANCE_NOT_ENOUGH"])
    [event] = shop.heard(payment_request_id)
    assert event["detail-type"] == "PaymentFailed"
    assert event["detail"]["order"] == fast.merchant.order(payment_request_id).json
    assert faults(event) == []


def test_an_order_that_is_init_tells_nothing(fast: Deployment, shop: Listener) -> None:
    payment_request_id, _ = fast.pay("untold", **books.NEVER)
    later_id, _ = fast.pay("told")
    shop.heard(later_id)
    assert shop.about(payment_request_id) == []


def test_contradictions_are_told_once_however_often_they_come(fast: Deployment, shop: Listener) -> None:
    payment_request_id, _ = fast.pay("by-hand-told", **books.NEVER)
    for value in ("1", "1", "2", "1"):
        sent = fast.alipay.notify(payment_request_id, resultStatus="S", amount={"currency": "HKD", "value": value})
        assert sent["status"] == 409
    assert fast.alipay.notify(payment_request_id, resultStatus="F", resultCode="RISK_REJECT")["status"] == 200
    events = shop.heard(payment_request_id, 3)
    assert [event["detail-type"] for event in events] == ["PaymentContradicted"] * 2 + ["PaymentFailed"]
    assert [event["detail"]["order"]["status"] for event in events] == ["INIT", "INIT", "FAIL"]
    assert all("HKD" in event["detail"]["contradiction"] for event in events[:2])
    assert [fault for event in events for fault in faults(event)] == []
    assert len(books.row_of(fast, payment_request_id)["told"]) == 3


def test_a_replay_from_the_row_sends_what_was_sent(fast: Deployment, shop: Listener) -> None:
    payment_request_id, _ = fast.pay("by-hand-replayed")
    fast.alipay.notify(payment_request_id, resultStatus="F", resultCode="RISK_REJECT")
    heard = shop.heard(payment_request_id, 2)
    key = {"paymentRequestId": {"S": payment_request_id}}
    item = fast.aws("dynamodb").get_item(TableName=fast.description["ordersTable"], Key=key)["Item"]
    replayed = replay(order_in(item))
    assert [event.kind for event in replayed] == [event["detail-type"] for event in heard]
    assert [event.detail for event in replayed] == [shop.details(event) for event in heard]


def test_all_that_is_heard_is_as_the_schemas_say_and_no_event_is_missing(fast: Deployment, shop: Listener) -> None:
    """Of every order of this stack, whatever the other tests did to it; what could not be put is kept as a letter."""
    letters = Queue(fast.aws("sqs"), fast.outputs["DeadLetterQueue"])

    def missing() -> set[str]:
        told = {key: len(row.get("told", [])) for key, row in fast.seen.rows().items()}
        wanted = {f"{key}:{sequence}" for key, count in told.items() for sequence in range(1, count + 1)}
        buried = {letter["eventId"] for letter in letters.about("eventId")}
        return wanted - buried - {event["detail"]["eventId"] for event in shop.all()}

    eventually(lambda: not missing(), "every entry of every row is heard", 60, every_s=1, show=missing)
    assert [fault for event in shop.all() for fault in faults(event)] == []
    assert shop.differing_copies() == {}
