"""Events when something fails: told at least once, the same to the byte, and one bad record delays no other."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit import alarms, books
from tests.kit.bus import Listener, Queue
from tests.kit.event_schemas import DOCS
from tests.kit.faults import PUT_EVENTS, SEND_MESSAGE
from tests.kit.merchant import new_id
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

Json = dict[str, Any]

PUBLISHER = "PublishEvents"


@pytest.fixture(scope="module")
def dead_letters(fast: Deployment) -> Queue:
    queue = Queue(fast.aws("sqs"), fast.outputs["DeadLetterQueue"])
    metric = ("AWS/SQS", "ApproximateNumberOfMessagesVisible", frozenset({("QueueName", queue.name)}))
    assert metric in alarms.listened_to(fast)
    return queue


@pytest.fixture(autouse=True)
def no_faults_left(fast: Deployment) -> Iterator[None]:
    yield
    fast.faults.clear()


@pytest.mark.fault("F44")
@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_call_that_never_arrives_or_whose_answer_is_lost_is_made_again(
    fast: Deployment, shop: Listener, drop: str
) -> None:
    payment_request_id = new_id(f"lost-{drop}")
    with fast.faults.injected({"op": PUT_EVENTS, "match": payment_request_id, "times": 1, "drop": drop}):
        fast.pay_as(payment_request_id)
        shop.heard(payment_request_id)
        eventually(fast.faults.used_up, "the call was dropped")
        copies = 2 if drop == "after" else 1
        eventually(lambda: len(shop.about(payment_request_id)) >= copies, f"{copies} copies", 30)
    assert shop.differing_copies() == {}


@pytest.mark.fault("F44")
@pytest.mark.parametrize("held", ["hold", "withhold"])
def test_a_publisher_that_dies_before_or_after_the_event_is_put_is_followed_by_one_that_puts_it(
    fast: Deployment, shop: Listener, held: str
) -> None:
    payment_request_id = new_id(held)
    fast.faults.add({"op": PUT_EVENTS, "match": payment_request_id, "times": 1, held: True})
    fast.pay_as(payment_request_id)
    eventually(fast.faults.holds, "the call is held", 30)
    fast.functions.kill(PUBLISHER)
    fast.faults.clear()
    shop.heard(payment_request_id, within_s=60)
    copies = 2 if held == "withhold" else 1
    eventually(lambda: len(shop.about(payment_request_id)) >= copies, f"{copies} copies", 30)
    assert shop.differing_copies() == {}


@pytest.mark.fault("F44")
def test_a_bus_that_is_busy_is_waited_for(fast: Deployment, shop: Listener, dead_letters: Queue) -> None:
    payment_request_id, neighbour_id = new_id("busy"), new_id("busy-neighbour")
    throttled = {"op": PUT_EVENTS, "match": payment_request_id, "times": 6, "error": "ThrottlingException"}
    with fast.faults.injected(throttled):
        fast.pay_as(payment_request_id)
        fast.pay_as(neighbour_id)
        for key in (payment_request_id, neighbour_id):
            shop.heard(key, within_s=60)
        eventually(fast.faults.used_up, "every call was throttled")
    assert dead_letters.about(payment_request_id) == []


@pytest.mark.fault("F44")
def test_of_a_call_that_is_taken_in_part_the_rest_is_put_again(fast: Deployment, shop: Listener) -> None:
    ids = [new_id("part") for _ in range(6)]
    with fast.faults.injected({"op": PUT_EVENTS, "times": 2, "fail_entries": f"{ids[2]}|{ids[4]}"}):
        for key in ids:
            fast.pay_as(key)
        for key in ids:
            shop.heard(key, within_s=60)


@pytest.mark.fault("F44")
@pytest.mark.parametrize("status", [400, 500])
def test_one_that_is_never_taken_goes_to_the_dead_letters_and_its_neighbours_wait_less_than_a_minute(
    fast: Deployment, shop: Listener, dead_letters: Queue, status: int
) -> None:
    poison_id = new_id(f"poison-{status}")
    with fast.faults.injected({"op": PUT_EVENTS, "match": poison_id, "times": -1, "error": "Broken", "status": status}):
        fast.pay_as(poison_id)
        neighbours = [new_id("behind-poison") for _ in range(5)]
        began = time.monotonic()
        for key in neighbours:
            fast.pay_as(key)
        for key in neighbours:
            shop.heard(key, within_s=60)
        assert time.monotonic() - began < 60
        letters = dead_letters.awaited(poison_id)
    assert [letter["eventId"] for letter in letters] == [f"{poison_id}:1"]
    assert set(letters[0]) == {"keys", "reason", "eventId", "detail-type"}
    assert shop.about(poison_id) == []


@pytest.mark.fault("F44")
def test_a_row_that_cannot_be_read_or_told_in_one_event_delays_nobody(
    fast: Deployment, shop: Listener, dead_letters: Queue
) -> None:
    unreadable_id, large_id, neighbour_id = (fast.pay(books.ROW_BY_HAND)[0] for _ in range(3))
    for key in (unreadable_id, large_id, neighbour_id):
        shop.heard(key)
    entry = {"M": {"kind": {"S": "PaymentSucceeded"}, "at": {"S": "2026-11-22T09:30:00.000Z"}}}
    text = json.dumps({"order": {"resultMessage": "x" * 300_000}})
    spoilt = [
        (unreadable_id, {"M": {"kind": {"S": "PaymentContradicted"}, "at": {"S": "yesterday"}}}),
        (large_id, {"M": {**entry["M"], "detail": {"S": text}}}),
        (neighbour_id, entry),
    ]
    for key, told in spoilt:
        fast.aws("dynamodb").update_item(
            TableName=fast.description["ordersTable"],
            Key={"paymentRequestId": {"S": key}},
            UpdateExpression="SET told = list_append(told, :told)",
            ExpressionAttributeValues={":told": {"L": [told]}},
        )
    shop.heard(neighbour_id, 2)
    for key, reason in ((unreadable_id, "row cannot be read: ValueError"), (large_id, "too large")):
        [letter] = dead_letters.awaited(key)
        assert letter["reason"] == reason
    for key in (unreadable_id, large_id, neighbour_id):  # the other tests look at every row
        fast.aws("dynamodb").update_item(
            TableName=fast.description["ordersTable"],
            Key={"paymentRequestId": {"S": key}},
            UpdateExpression="REMOVE told[1]",
        )


@pytest.mark.fault("F44")
def test_a_letter_that_cannot_be_kept_is_written_again(fast: Deployment, shop: Listener, dead_letters: Queue) -> None:
    poison_id = new_id("letter")
    with fast.faults.injected(
        {"op": PUT_EVENTS, "match": poison_id, "times": -1, "error": "Broken"},
        {"op": SEND_MESSAGE, "match": poison_id, "times": 1, "error": "InternalError", "status": 500},
    ):
        fast.pay_as(poison_id)
        neighbour_id, _ = fast.pay("behind-letter")
        dead_letters.awaited(poison_id)
        shop.heard(neighbour_id)


@pytest.mark.fault("F36")
def test_a_consumer_that_fails_five_times_loses_nothing(fast: Deployment) -> None:
    """By the rule that docs/events gives merchants to copy."""
    cloudformation, sqs = fast.aws("cloudformation"), fast.aws("sqs")
    cloudformation.create_stack(
        StackName="shop-events",
        TemplateBody=(DOCS / "rule.yaml").read_text("utf-8"),
        Parameters=[{"ParameterKey": "EventBus", "ParameterValue": fast.description["eventBus"]}],
    )

    def outputs() -> dict[str, str] | None:
        [stack] = cloudformation.describe_stacks(StackName="shop-events")["Stacks"]
        if stack["StackStatus"] != "CREATE_COMPLETE":
            return None
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    urls = eventually(outputs, "the rule is deployed", 30)
    assert urls
    ids = [fast.pay("consumed")[0] for _ in range(3)]
    received: dict[str, int] = {}

    def consume() -> bool:
        """The shop takes every event but the first order's, at which it fails."""
        answer = sqs.receive_message(QueueUrl=urls["ShopQueueUrl"], VisibilityTimeout=0, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            event_id = json.loads(message["Body"])["detail"]["eventId"]
            received[event_id] = received.get(event_id, 0) + 1
            if event_id != f"{ids[0]}:1":
                sqs.delete_message(QueueUrl=urls["ShopQueueUrl"], ReceiptHandle=message["ReceiptHandle"])
        return not answer.get("Messages") and len(received) == len(ids)

    eventually(consume, "the shop's queue is empty", 60, every_s=0.2)
    assert received == {f"{ids[0]}:1": 5, f"{ids[1]}:1": 1, f"{ids[2]}:1": 1}
    failed = Queue(sqs, urls["FailedQueueUrl"])
    [kept] = failed.awaited(ids[0])
    assert kept["detail"]["eventId"] == f"{ids[0]}:1"
    assert kept["detail"]["order"] == fast.merchant.order(ids[0]).json
    metric = ("AWS/SQS", "ApproximateNumberOfMessagesVisible", frozenset({("QueueName", failed.name)}))
    assert metric in alarms.listened_to(fast)
