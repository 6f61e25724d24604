"""Telling again: events from the rows onto the bus, the same to the byte as they were sent before."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from autodebit.event_bus import BATCH_MAX, EventBus, batches
from autodebit.events import Event, replay

from ops.stack import Stack, client

if TYPE_CHECKING:
    from autodebit.events import Telling

PUTS_MAX = 4
"""Calls for one event before it is given up."""

EARLIER = timedelta(minutes=5)
"""How much earlier than its record in the stream an event may be dated: what is told is dated before it is stored."""

HIDDEN_S = 300
"""For so long nobody else gets a letter that is being worked on."""


def told_between(stack: Stack, start: datetime, end: datetime) -> Iterator[Event]:
    """Every event of the three tables from `start` on, before `end`. It reads the tables through."""
    for table, read in _readers(stack).items():
        pages = (
            client("dynamodb")
            .get_paginator("scan")
            .paginate(
                TableName=stack.outputs[table],
                FilterExpression="tells = :yes",
                ExpressionAttributeValues={":yes": {"BOOL": True}},
            )
        )
        for page in pages:
            for image in page["Items"]:
                yield from (event for event in replay(read(image)) if start <= event.at < end)


def put(stack: Stack, events: Iterable[Event]) -> tuple[int, list[str]]:
    """How many events were put on the bus, and the ids of those that it did not take."""
    bus, told, refused = EventBus(stack.outputs["EventBus"]), 0, list[str]()
    for batch in batches(events, BATCH_MAX):
        left = batch
        for number in range(PUTS_MAX):
            time.sleep(number and 0.1 * 3**number)
            left = [event for event, refusal in zip(left, bus.put(left), strict=True) if refusal]
            if not left:
                break
        told += len(batch) - len(left)
        refused += [event.event_id for event in left]
    return told, refused


def dead_letters(stack: Stack) -> tuple[int, list[str]]:
    """Tell what the dead letters are about, and delete each letter whose events the bus took.

    How many events were told, and the ids of those that the bus did not take, whose letters stay.
    """
    queue, url = client("sqs"), stack.outputs["DeadLetterQueue"]
    told, refused = 0, list[str]()
    while True:
        answer = queue.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=HIDDEN_S)
        if not answer.get("Messages"):
            return told, refused
        for message in answer["Messages"]:
            put_now, refused_now = put(stack, _of_letter(stack, json.loads(message["Body"])))
            told, refused = told + put_now, refused + refused_now
            if not refused_now:
                queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _of_letter(stack: Stack, letter: dict[str, Any]) -> Iterator[Event]:
    """The events that a letter is about: one, all of one row, or all of the time of a batch."""
    if "keys" not in letter:
        batch = letter["DDBStreamBatchInfo"]
        first, last = (_instant(batch[f"approximateArrivalOf{place}Record"]) for place in ("First", "Last"))
        yield from told_between(stack, first - EARLIER, last + timedelta(seconds=1))
        return
    [(name, key)] = letter["keys"].items()
    tables = {"paymentRequestId": stack.orders, "refundRequestId": stack.refunds, "agreementId": stack.agreements}
    row: Telling = tables[name].get(key)  # type: ignore[attr-defined]
    yield from (event for event in replay(row) if letter.get("eventId") in (None, event.event_id))


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _readers(stack: Stack) -> "dict[str, Callable[[dict[str, Any]], Telling]]":
    from autodebit.agreement.agreement_table import agreement_in
    from autodebit.payment.order_table import order_in
    from autodebit.refund.refund_table import refund_in

    return {"OrdersTable": order_in, "RefundsTable": refund_in, "AgreementsTable": agreement_in}
