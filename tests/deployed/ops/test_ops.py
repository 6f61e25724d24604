"""`ops` on the deployed stack, by a user who has the documented policy and nothing else."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from autodebit.events import replay
from autodebit.instants import alipay_day
from autodebit.payment.order_table import order_in
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.kit.books import NEVER
from tests.kit.bus import Listener
from tests.kit.canaries import canaries, search
from tests.kit.forger import Forger
from tests.kit.operator import Operator, operator
from tests.kit.refunding import Refunds
from tests.kit.stacks import Deployment, nowhere
from tests.kit.waiting import eventually


@pytest.fixture(scope="module")
def person(fast: Deployment) -> Operator:
    return operator(fast)


@pytest.fixture(scope="module")
def open_payment(fast: Deployment) -> str:
    """A payment that Alipay has no result of."""
    payment_request_id, _ = fast.pay("ops-open", **NEVER)
    return payment_request_id


def test_what_is_open_is_listed_and_its_story_told(person: Operator, open_payment: str) -> None:
    listed = {row.get("order", {}).get("paymentRequestId"): row for row in person.document("open")}
    assert listed[open_payment]["next"]
    shown = person.document("show", open_payment)
    assert [entry["who"] for entry in shown["story"]][:2] == ["merchant", "pay"]
    assert open_payment in person.ops("show", open_payment)
    assert "there is no payment" in person.ops("show", "nobody-1", status=1)


def test_a_refund_that_has_its_id_in_common_with_its_payment_is_named_as_a_refund(
    fast: Deployment, person: Operator
) -> None:
    shared, _ = fast.pay("ops-shared")
    _, answer = Refunds(fast).ask(shared, refund_request_id=shared)
    assert answer.status == 200
    assert person.document("show", shared)["order"]["paymentRequestId"] == shared
    assert person.document("show", f"refund:{shared}")["refund"]["refundRequestId"] == shared
    assert "there is no payment" in person.ops("show", "refund:nobody-1", status=1)


def test_inquire_asks_alipay_now_and_its_answer_settles(fast: Deployment, person: Operator) -> None:
    with fast.polling_at(100):
        payment_request_id, _ = fast.pay("ops-inquire", **NEVER)
        assert "PROCESSING" in person.ops("inquire", payment_request_id)
        fast.alipay.plan(payment_request_id, result={"status": "SUCCESS"}, notify="lost")
        shown = person.document("inquire", payment_request_id)["order"]
    assert (shown["status"], shown["settledBy"]) == ("SUCCESS", "inquiry")
    assert "has its result" in person.ops("inquire", payment_request_id, status=1)


def _is_init(fast: Deployment, payment_request_id: str) -> bool:
    row = fast.seen.row(payment_request_id)
    return row is not None and row["status"] == "INIT"


@pytest.mark.parametrize(
    ("pay", "why"),
    [("unsigned:S", "the answer has no signature"), ("reset-before", "Nothing was heard"), ("U", "No result yet")],
)
def test_what_pay_was_answered_is_told_with_why_it_was_not_believed(
    fast: Deployment, person: Operator, pay: str, why: str
) -> None:
    payment_request_id, _ = fast.pay("ops-pay", **(NEVER | {"pay": [pay] * 3}))
    eventually(lambda: (fast.seen.row(payment_request_id) or {}).get("heard"), "pay's answer is in the row")
    told = [entry for entry in person.document("show", payment_request_id)["story"] if entry["who"] == "pay"]
    assert why in str(told)


def test_what_is_polled_no_more_is_polled_again(fast: Deployment, person: Operator) -> None:
    with fast.closing_after(0):
        payment_request_id, _ = fast.pay("ops-poll", **NEVER)
        fast.seen.ended(payment_request_id)
    assert "schedule is spent" in person.ops("show", payment_request_id)
    fast.alipay.plan(payment_request_id, result={"status": "FAIL", "code": "RISK_REJECT"}, notify="lost")
    assert "is polled from now on" in person.ops("poll", payment_request_id)
    assert fast.seen.settled(payment_request_id)["settledBy"] == "inquiry"


def test_cancel_is_the_merchants_cancel(fast: Deployment, person: Operator) -> None:
    payment_request_id, _ = fast.pay("ops-cancel", **NEVER)
    assert person.document("cancel", payment_request_id)["order"]["settledBy"] == "cancel"
    paid, _ = fast.pay("ops-paid")
    assert "409" in person.ops("cancel", paid, status=1)


def test_nothing_is_asked_about_what_never_left(fast: Deployment, person: Operator) -> None:
    with nowhere() as url, fast.functions.configured("InitiatePay", ALIPAY_GATEWAY_URL=url):
        payment_request_id, answer = fast.pay("ops-unsent")
    assert answer.status == 503
    assert "ever left" in person.ops("inquire", payment_request_id, status=1)
    assert "could not be sent" in person.ops("show", payment_request_id)
    ended = person.ops("cancel", payment_request_id)
    assert "CANCELLED. Ended here" in ended
    assert "Believed" not in ended


def test_who_acknowledges_takes_it_off_the_list(fast: Deployment, person: Operator) -> None:
    payment_request_id, _ = fast.pay("by-hand-ops")
    assert fast.alipay.notify(payment_request_id, resultStatus="F", resultCode="RISK_REJECT")["status"] == 200
    listed = [row["order"]["paymentRequestId"] for row in person.document("open") if "order" in row]
    assert payment_request_id in listed
    assert "acknowledge" in person.ops("show", payment_request_id)
    assert "user/operator" in person.ops("acknowledge", payment_request_id, "--why", "asked the buyer")
    listed = [row["order"]["paymentRequestId"] for row in person.document("open") if "order" in row]
    assert payment_request_id not in listed
    shown = person.ops("show", payment_request_id)
    assert "asked the buyer" in shown
    assert "does not wait for a person" in person.ops("acknowledge", payment_request_id, "--why", "again", status=1)


def test_the_policy_lets_nobody_write_a_result(fast: Deployment, person: Operator, open_payment: str) -> None:
    table, key = fast.description["ordersTable"], {"paymentRequestId": {"S": open_payment}}
    dynamodb = person.client("dynamodb")
    for expression in ("SET #name = :value", "SET acknowledged = :value, #name = :value"):
        with pytest.raises(ClientError, match="AccessDenied"):
            dynamodb.update_item(
                TableName=table,
                Key=key,
                UpdateExpression=expression,
                ExpressionAttributeNames={"#name": "status"},
                ExpressionAttributeValues={":value": {"S": "SUCCESS"}},
            )
    with pytest.raises(ClientError, match="AccessDenied"):
        dynamodb.put_item(TableName=table, Item=key | {"status": {"S": "SUCCESS"}})
    with pytest.raises(ClientError, match="AccessDenied"):
        dynamodb.delete_item(TableName=table, Key=key)
    assert _is_init(fast, open_payment)


def test_check_finds_the_deployed_stack_right_and_a_foreign_key_wrong(fast: Deployment, person: Operator) -> None:
    assert all(one["right"] for one in person.document("check"))
    secret, manager = fast.credentials, fast.aws("secretsmanager")
    pem = Forger(fast, "x").own_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    manager.put_secret_value(
        SecretId=fast.description["credentialsSecret"], SecretString=json.dumps(secret | {"privateKey": pem})
    )
    try:
        found = person.ops("check", status=1)
    finally:
        manager.put_secret_value(SecretId=fast.description["credentialsSecret"], SecretString=json.dumps(secret))
    assert "INVALID_SIGNATURE" in found


def test_verify_knows_the_stacks_own_messages(fast: Deployment, person: Operator, open_payment: str) -> None:
    forger = Forger(fast, open_payment)
    head = f"Client-Id: {forger.client_id}\nRequest-Time: {forger.time}\nSignature: {forger.header()}\n\n".encode()
    assert person.document("verify", "-", message=head + forger.body)["genuine"]
    found = person.document("verify", "-", message=head + forger.body + b"\n", status=1)
    assert [fault["name"] for fault in found["faults"]] == ["body-line-ends"]


def test_a_replay_sends_again_what_was_sent(fast: Deployment, person: Operator) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)
    payment_request_id, _ = fast.pay("ops-replay")
    listener: Listener = fast.listener("replay")
    ended = datetime.now(UTC) + timedelta(seconds=2)
    person.ops("events", "replay", "--from", _iso(began), "--to", _iso(ended))
    [sent] = replay(order_in(_image(fast, payment_request_id)))
    events = listener.heard(payment_request_id)
    assert {event["detail"]["eventId"] for event in events} == {sent.event_id}
    assert person.document("events", "replay", "--from", "2020-01-01T00:00:00", "--to", "2020-01-02T00:00:00") == {
        "told": 0,
        "refused": [],
    }
    person.ops("events", "replay", status=1)


def _iso(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat(timespec="seconds")


def _image(fast: Deployment, payment_request_id: str) -> Any:
    found = fast.aws("dynamodb").get_item(
        TableName=fast.description["ordersTable"],
        Key={"paymentRequestId": {"S": payment_request_id}},
        ConsistentRead=True,
    )
    return found["Item"]


def test_what_a_dead_letter_is_about_is_told_and_the_letter_deleted(fast: Deployment, person: Operator) -> None:
    payment_request_id, _ = fast.pay("ops-letter")
    queue, url = fast.aws("sqs"), fast.outputs["DeadLetterQueue"]
    letter = f'{{"keys": {{"paymentRequestId": "{payment_request_id}"}}, "reason": "x"}}'
    queue.send_message(QueueUrl=url, MessageBody=letter)
    listener = fast.listener("letter")
    assert person.document("events", "replay", "--dead-letters")["told"] >= 1
    assert listener.heard(payment_request_id)
    assert not queue.receive_message(QueueUrl=url).get("Messages")


def test_a_letter_that_cannot_be_told_stays_and_stops_no_other(fast: Deployment, person: Operator) -> None:
    payment_request_id, _ = fast.pay("ops-letters")
    queue, url = fast.aws("sqs"), fast.outputs["DeadLetterQueue"]
    for letter in ({"keys": {"paymentRequestId": "gone-1"}}, {"keys": {"paymentRequestId": payment_request_id}}):
        queue.send_message(QueueUrl=url, MessageBody=json.dumps(letter))
    try:
        said = person.ops("events", "replay", "--dead-letters", status=1)
        assert "gone-1: there is no row of this paymentRequestId" in said
        assert "1 events told again; letters that remain: 1" in said
        assert person.document("events", "replay", "--dead-letters", status=1) == {"told": 0, "bad": [], "remain": 1}
    finally:
        queue.purge_queue(QueueUrl=url)


def test_a_day_is_a_table_of_its_payments(fast: Deployment, person: Operator) -> None:
    payment_request_id, _ = fast.pay("ops-day")
    printed = person.ops("day", alipay_day(datetime.now(UTC)))
    lines = {line["paymentRequestId"]: line for line in csv.DictReader(io.StringIO(printed))}
    assert lines[payment_request_id]["status"] == "SUCCESS"
    assert lines[payment_request_id]["value"] == "1990"
    nothing = person.document("day", alipay_day(datetime.now(UTC)), "--reference", "nobody's")
    assert nothing == []


def test_agreements_are_listed(person: Operator) -> None:
    assert isinstance(person.document("agreements"), list)
    assert "no agreement" in person.ops("agreement", "nobody-1", status=1)


def test_no_secret_was_printed(fast: Deployment, person: Operator) -> None:
    size, hits = search(person.heard, canaries(fast.credentials["privateKey"]))
    assert size
    assert hits == set()
