"""Telling again: events from the rows onto the bus, the same to the byte as they were sent before."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from autodebit.errors import AgreementNotFound, AutodebitError, OrderNotFound, RefundNotFound
from autodebit.event_bus import BATCH_MAX, EventBus, batches
from autodebit.events import Event, replay
from botocore.exceptions import BotoCoreError, ClientError

from ops.stack import Stack, client

if TYPE_CHECKING:
    from autodebit.events import Telling

PUTS_MAX = 4
"""Calls for one event before it is given up."""

EARLIER = timedelta(minutes=5)
"""How much earlier than its record in the stream an event may be dated: what is told is dated before it is stored."""

HIDDEN_S = 300
"""For so long nobody else gets a letter that is being worked on."""


class BadLetter(Exception):
    """Why nothing can be told of a dead letter."""


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


@dataclass(frozen=True, slots=True)
class Letters:
    """What came of the dead letters. `bad`: those that stay, and why; `remain`: letters in the queue, hidden or not."""

    told: int
    bad: list[tuple[str, str]]
    remain: int

    @property
    def document(self) -> dict[str, Any]:
        """As scripts read it."""
        bad = [{"letter": letter, "why": why} for letter, why in self.bad]
        return {"told": self.told, "bad": bad, "remain": self.remain}


def dead_letters(stack: Stack) -> Letters:
    """Tell what the dead letters are about, and delete each letter whose events the bus took; a bad one stays."""
    queue, url = client("sqs"), stack.outputs["DeadLetterQueue"]
    told, bad = 0, list[tuple[str, str]]()
    while messages := _received(queue, url):
        for message in messages:
            told_now, why = _tell_letter(stack, message["Body"])
            told += told_now
            if why is None:
                queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            else:
                bad.append((_name_of(message), why))
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    attributes = queue.get_queue_attributes(QueueUrl=url, AttributeNames=list(counts))["Attributes"]
    return Letters(told, bad, sum(int(attributes[count]) for count in counts))


def lines(letters: Letters) -> Iterator[str]:
    """The same for a person."""
    for letter, why in letters.bad:
        yield f"{letter}: {why}. Its letter stays in the queue."
    yield f"{letters.told} events told again; letters that remain: {letters.remain}"
    if letters.remain:
        yield f"A letter that was read is hidden for {HIDDEN_S // 60} minutes: only after that it is tried again."


def _received(queue: Any, url: str) -> list[dict[str, str]]:
    received: list[dict[str, str]] = queue.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=HIDDEN_S, WaitTimeSeconds=1
    ).get("Messages", [])
    return received


def _tell_letter(stack: Stack, body: str) -> tuple[int, str | None]:
    """How many events of a letter were told, and why it has to stay, if it has to."""
    try:
        told, refused = put(stack, list(_of_letter(stack, json.loads(body))))
    except (BadLetter, AutodebitError, BotoCoreError, ClientError) as error:
        return 0, str(error)
    except Exception as error:  # whatever a letter or its row is like, it must not stop the others
        return 0, f"it cannot be read ({type(error).__name__})"
    return told, f"the bus did not take {', '.join(refused)}" if refused else None


def _name_of(message: dict[str, str]) -> str:
    """The key of the row that a letter is about, or the queue's id of the letter."""
    try:
        return ", ".join(map(str, json.loads(message["Body"])["keys"].values()))
    except (ValueError, LookupError, TypeError, AttributeError):
        return message["MessageId"]


def _of_letter(stack: Stack, letter: Any) -> Iterator[Event]:
    """The events that a letter is about: one, all of one row, or all of the time of a batch. Raises BadLetter."""
    tables: dict[Any, Any] = {
        "paymentRequestId": stack.orders,
        "refundRequestId": stack.refunds,
        "agreementId": stack.agreements,
    }
    match letter:
        case {"keys": {**keys}} if len(keys) == 1 and keys.keys() <= tables.keys():
            [(name, key)] = keys.items()
        case {
            "DDBStreamBatchInfo": {
                "approximateArrivalOfFirstRecord": str(first),
                "approximateArrivalOfLastRecord": str(last),
            }
        }:
            yield from told_between(stack, _instant(first) - EARLIER, _instant(last) + timedelta(seconds=1))
            return
        case _:
            raise BadLetter("it has neither the key of a row nor the times of a batch")
    try:
        row: Telling = tables[name].get(key)
    except (OrderNotFound, RefundNotFound, AgreementNotFound):
        raise BadLetter(f"there is no row of this {name}") from None
    yield from (event for event in replay(row) if letter.get("eventId") in (None, event.event_id))


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _readers(stack: Stack) -> "dict[str, Callable[[dict[str, Any]], Telling]]":
    from autodebit.agreement.agreement_table import agreement_in
    from autodebit.payment.order_table import order_in
    from autodebit.refund.refund_table import refund_in

    return {"OrdersTable": order_in, "RefundsTable": refund_in, "AgreementsTable": agreement_in}
