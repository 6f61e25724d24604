"""`ops events replay --dead-letters`: a bad letter stops no other one, stays, and is named."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from autodebit.errors import OrderNotFound
from autodebit.events import Event, Told
from autodebit.payment.order import Order

from ops import telling
from ops.stack import Stack
from tests.kit.samples import NOW, order


class Queue:
    """Letters as SQS has them: what was received is hidden until it is deleted."""

    def __init__(self, *bodies: str) -> None:
        self.visible = {str(number): body for number, body in enumerate(bodies)}
        self.hidden: dict[str, str] = {}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        received, self.visible = self.visible, {}
        self.hidden |= received
        messages = [
            {"MessageId": f"message-{number}", "ReceiptHandle": number, "Body": body}
            for number, body in received.items()
        ]
        return {"Messages": messages} if messages else {}

    def delete_message(self, *, ReceiptHandle: str, **_: Any) -> None:  # noqa: N803 (as AWS spells it)
        del self.hidden[ReceiptHandle]

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        counts = {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": str(len(self.hidden))}
        return {"Attributes": counts}


class Orders:
    def get(self, key: str) -> Order:
        if key == "unreadable-1":
            raise ValueError("status")
        if not key.startswith("ord-"):
            raise OrderNotFound(key)
        return order(payment_request_id=key, told=(Told("PaymentSucceeded", NOW, "{}"),))


class Telling(Stack):
    """A stack whose bus takes everything but what is about `ord-refused`."""

    orders = Orders()  # type: ignore[assignment]
    refunds = agreements = Orders()  # type: ignore[assignment]


def told_from(monkeypatch: pytest.MonkeyPatch, *letters: object) -> tuple[telling.Letters, Queue]:
    queue = Queue(*(letter if isinstance(letter, str) else json.dumps(letter) for letter in letters))

    def put(_: Stack, events: Iterable[Event]) -> tuple[int, list[str]]:
        ids = [event.event_id for event in events]
        refused = [event_id for event_id in ids if event_id.startswith("ord-refused")]
        return len(ids) - len(refused), refused

    monkeypatch.setattr(telling, "client", lambda _: queue)
    monkeypatch.setattr(telling, "put", put)
    return telling.dead_letters(Telling("s", {"DeadLetterQueue": "q"})), queue


def about(key: str) -> dict[str, Any]:
    return {"keys": {"paymentRequestId": key}, "reason": "x"}


@pytest.mark.parametrize(
    ("letter", "name", "why"),
    [
        (about("gone-1"), "gone-1", "there is no row of this paymentRequestId"),
        (about("unreadable-1"), "unreadable-1", "it cannot be read (ValueError)"),
        (about("ord-refused"), "ord-refused", "the bus did not take ord-refused:1"),
        ({"hello": 1}, "message-1", "it has neither the key of a row nor the times of a batch"),
        ([], "message-1", "it has neither the key of a row nor the times of a batch"),
        ({"keys": {"colour": "red"}}, "red", "it has neither the key of a row nor the times of a batch"),
        ({"DDBStreamBatchInfo": {}}, "message-1", "it has neither the key of a row nor the times of a batch"),
        ("no JSON", "message-1", "it cannot be read (JSONDecodeError)"),
    ],
)
def test_a_bad_letter_stays_and_is_named_and_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch, letter: object, name: str, why: str
) -> None:
    letters, queue = told_from(monkeypatch, about("ord-1"), letter, about("ord-2"))
    assert letters == telling.Letters(told=2, bad=[(name, why)], remain=1)
    assert list(queue.hidden) == ["1"]
    said = "\n".join(telling.lines(letters))
    assert f"{name}: {why}. Its letter stays in the queue." in said
    assert "2 events told again; letters that remain: 1" in said
    assert "hidden for 5 minutes" in said
    assert letters.document == {"told": 2, "bad": [{"letter": name, "why": why}], "remain": 1}


def test_a_letter_about_one_event_tells_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    letters, queue = told_from(monkeypatch, about("ord-1") | {"eventId": "ord-1:2"}, about("ord-1"))
    assert letters == telling.Letters(told=1, bad=[], remain=0)
    assert list(telling.lines(letters)) == ["1 events told again; letters that remain: 0"]
    assert not queue.hidden


def test_letters_that_were_read_a_short_while_ago_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    letters, queue = told_from(monkeypatch, about("gone-1"))
    assert not queue.visible
    again = telling.dead_letters(Telling("s", {"DeadLetterQueue": "q"}))
    assert (letters.remain, again) == (1, telling.Letters(told=0, bad=[], remain=1))
