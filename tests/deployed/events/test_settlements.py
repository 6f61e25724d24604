"""Many settlements, while the publisher is killed again and again at each of its effects: every change is told.

The whole number is `pytest tests/deployed/events/test_settlements.py --settlements 10000`.
"""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from typing import Any

import pytest
from autodebit.events import replay
from autodebit.payment.order_table import order_in

from tests.kit.bus import Listener, Queue
from tests.kit.faults import PUT_EVENTS, SEND_MESSAGE
from tests.kit.merchant import new_id
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

Json = dict[str, Any]

POISON = "never-put"
"""How ids begin whose events the bus refuses while the publisher is killed: each is kept as a letter, or told."""

EFFECTS = [(op, held) for op in (PUT_EVENTS, SEND_MESSAGE) for held in ("hold", "withhold")]
"""Killed with the call under way that never arrives, and with the one that was carried out and not answered."""


def kill_at_each_effect(here: Deployment, over: threading.Event) -> Counter[str]:
    """How often the publisher was killed at which effect, until it is over and each has had its turn."""
    kills: Counter[str] = Counter()
    for op, held in cycle(EFFECTS):
        if over.is_set() and len(kills) == len(EFFECTS):
            return kills
        here.faults.add({"op": op, held: True}, {"op": PUT_EVENTS, "times": -1, "fail_entries": POISON})
        if eventually_holds(here, over):
            here.functions.kill("PublishEvents")
            kills[f"{op} {held}"] += 1
        here.faults.clear()
        if over.is_set():  # nothing calls any more: give it something
            here.pay_as(new_id(POISON))
    raise AssertionError("not reached")


def eventually_holds(here: Deployment, over: threading.Event) -> bool:
    """Whether a call came that is held now; with nothing to do none comes."""
    try:
        return eventually(here.faults.holds, "a call is held", 2 if over.is_set() else 10)
    except AssertionError:
        return False


def test_every_settlement_is_told_whenever_the_publisher_dies(
    fast: Deployment, shop: Listener, pytestconfig: pytest.Config, record_property: Any
) -> None:
    settlements = pytestconfig.getoption("--settlements")
    number, over = count(1), threading.Event()

    def pay(_: int) -> str:
        payment_request_id = new_id(POISON if next(number) % 50 == 0 else "settled")
        assert fast.pay_as(payment_request_id).status == 200
        return payment_request_id

    with ThreadPoolExecutor(1) as killer, ThreadPoolExecutor(8) as shoppers:
        killing = killer.submit(kill_at_each_effect, fast, over)
        ids = list(shoppers.map(pay, range(settlements)))
        over.set()
        kills = killing.result()
    letters = Queue(fast.aws("sqs"), fast.outputs["DeadLetterQueue"])

    def untold() -> set[str]:
        heard = {event["detail"]["eventId"] for event in shop.all()}
        buried = {letter["eventId"] for letter in letters.about(POISON)}
        return {f"{key}:1" for key in ids} - heard - buried

    eventually(lambda: not untold(), "every settlement is told, or kept as a letter", 300, every_s=3, show=untold)
    copies = Counter(event["detail"]["eventId"] for event in shop.all())
    assert shop.differing_copies() == {}, "a copy differs"
    assert {event_id for event_id in copies if event_id.startswith("settled-")} >= {
        f"{key}:1" for key in ids if key.startswith("settled-")
    }, "only what the bus refuses is kept as a letter"
    for key in ids[:: max(1, settlements // 200)]:
        item = fast.aws("dynamodb").get_item(
            TableName=fast.description["ordersTable"], Key={"paymentRequestId": {"S": key}}
        )["Item"]
        heard = {shop.details(event) for event in shop.about(key)}
        assert heard <= {event.detail for event in replay(order_in(item))}, "a replay differs from what was sent"
    assert set(kills) == {f"{op} {held}" for op, held in EFFECTS}
    record_property("settlementsTold", settlements)
    record_property("publisherKills", kills.total())
    record_property("copiesOfEvents", copies.total() - len(copies))
    print(f"  {settlements} settlements, {kills.total()} kills, {copies.total() - len(copies)} copies")
