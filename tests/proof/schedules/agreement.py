"""The rows in memory against the emulator's DynamoDB: the same histories through the same order table.

A history is a few operations of `OrderTable` on two orders, at random. Each runs twice, and every request to DynamoDB
is answered once by `dynamodb` and once by the emulator. What they came to must be equal, and so must all rows.
"""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.kit import store

from . import dynamodb
from .product import EPOCH, Effect, Observation, Product, Run

IDS = ("ord-1", "ord-2")
HISTORIES_A_TABLE = 50
THREADS = 2
CONDITION_FAILED = "ConditionalCheckFailedException"

Serve = Callable[[Effect], Observation]


@contextmanager
def emulator() -> Iterator[Any]:
    """A DynamoDB client of an emulator of its own, which ends with this block."""
    with store.emulator() as endpoint:
        yield botocore.session.get_session().create_client(
            "dynamodb",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=THREADS),
        )


def compare(product: Product, client: Any, histories: int, seed: int = 0) -> tuple[int, list[str]]:
    """How many histories were compared, and what differed."""
    tables = range(-(-histories // HISTORIES_A_TABLE))
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda table: _compare_table(product, client, seed + table), tables))
    return len(tables) * HISTORIES_A_TABLE, [difference for differences in found for difference in differences]


def _compare_table(product: Product, client: Any, seed: int) -> list[str]:
    chance, name = random.Random(seed), f"orders-{seed}"
    _create(client, name)
    memory, remote = Memory(), Remote(client, name)
    differences = []
    for number in range(HISTORIES_A_TABLE):
        history = _history(chance, number)
        ours, theirs = (_play(product, history, serve) for serve in (memory, remote))
        if ours != theirs:
            differences.append(f"{history}\n  memory   {ours}\n  emulator {theirs}")
    if (rows := memory.items()) != (theirs_too := remote.items()):
        differences.append(f"rows of {name}\n  memory   {rows}\n  emulator {theirs_too}")
    client.delete_table(TableName=name)
    return differences


def _create(client: Any, name: str) -> None:
    """The table of `template.yaml`, whose index `dynamodb` describes."""
    [(index, (partition, sort, projected))] = dynamodb.INDEXES.items()
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": "S"} for attribute in (dynamodb.KEY, partition, sort)
        ],
        KeySchema=[{"AttributeName": dynamodb.KEY, "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": partition, "KeyType": "HASH"},
                    {"AttributeName": sort, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": sorted(projected)},
            }
        ],
    )


# --- Both tables -----------------------------------------------------------------------------------------------------


class Memory:
    def __init__(self) -> None:
        self._rows: dynamodb.Rows = {}

    def __call__(self, effect: Effect) -> Observation:
        try:
            self._rows, answer = dynamodb.call(self._rows, effect.operation, json.loads(effect.arguments))
        except dynamodb.ConditionFailed:
            return Observation(0, CONDITION_FAILED)
        return Observation(0, "answer", json.dumps(answer))

    def items(self) -> list[Any]:
        return _sorted(list(self._rows.values()))


class Remote:
    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def __call__(self, effect: Effect) -> Observation:
        request = json.loads(effect.arguments) | {"TableName": self._name}
        try:
            answer = self._client._make_api_call(effect.operation, request)
        except ClientError as error:
            return Observation(0, error.response["Error"]["Code"])
        del answer["ResponseMetadata"]
        return Observation(0, "answer", json.dumps(answer))

    def items(self) -> list[Any]:
        return _sorted(self._client.scan(TableName=self._name)["Items"])


def _sorted(items: list[Any]) -> list[Any]:
    for item in items:
        for value in item.values():
            if "SS" in value:
                value["SS"].sort()
    return sorted(items, key=lambda item: item[dynamodb.KEY]["S"])


# --- Histories -------------------------------------------------------------------------------------------------------


def _history(chance: random.Random, number: int) -> list[Any]:
    """Operations as (name, order, token, seconds, whether the order is as it was read last)."""
    names = chance.choices(list(_OPERATIONS), _WEIGHTS, k=chance.randint(2, 4))
    ids = [f"{number}-{each}" for each in IDS]
    return [["create", ids[0], "a", 0, True]] + [
        [name, chance.choice(ids), chance.choice("ab"), chance.choice((0, 30, 90)), chance.random() < 0.8]
        for name in names
    ]


def _play(product: Product, history: list[Any], serve: Serve) -> str:
    """What each operation of a history came to."""
    run = Run(lambda event, context: _operate(product, event), json.dumps(history), "history", 0)
    while run.effect.kind == "table":
        run.tell(serve(run.effect))
    if run.effect.operation == "raised":
        raise RuntimeError(f"{history}: {run.effect.arguments}")
    return run.effect.arguments


def _operate(product: Product, history: list[Any]) -> list[str]:
    modules = product.modules
    table = modules["autodebit.payment.order_table"].OrderTable()
    errors = modules["autodebit.errors"].AutodebitError
    known: dict[str, Any] = {}
    results = []
    for name, payment_request_id, token, seconds, fresh in history:
        order = known.get(payment_request_id) if fresh else None
        order = order or _order(modules, payment_request_id, token)
        try:
            result = _OPERATIONS[name](modules, table, order, token, EPOCH + timedelta(seconds=seconds))
        except errors as error:
            result = type(error).__name__
        known[payment_request_id] = getattr(result, "row", order)
        results.append(repr(result))
    return results


def _order(modules: Any, payment_request_id: str, token: str) -> Any:
    order = modules["autodebit.payment.order"]
    return order.Order(
        payment_request_id=payment_request_id,
        status=order.Status.INIT,
        amount=order.Amount("HKD", "1990"),
        reference_order_id="1",
        created_at=EPOCH,
        payment_expiry_time="2026-11-22T09:30:55Z",
        identity="1.0",
        pay_body_sha256="1",
        attempt=token,
        attempted_at=EPOCH,
    )


def _settle(modules: Any, table: Any, order: Any, token: str, at: datetime) -> Any:
    status, witness = modules["autodebit.payment.order"].Status, modules["autodebit.payment.order"].Witness
    final = modules["autodebit.alipay.reading"].Final
    if token == "a":
        return table.settle(order, final(status.SUCCESS, "SUCCESS", "ü", "payment", "then"), witness.NOTIFY, at)
    return table.settle(order, final(status.FAIL), witness.INQUIRY, at)


def _overdue(modules: Any, order: Any, at: datetime) -> Any:
    overdue_at = modules["autodebit.rows.table"].stored_instant(at)
    return modules["autodebit.rows.watch"].Overdue(order.payment_request_id, order.polling_round, overdue_at)


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "create": lambda m, table, order, token, at: table.create(order),
    "get": lambda m, table, order, token, at: table.get(order.payment_request_id),
    "settle": _settle,
    "note_never_sent": lambda m, table, order, token, at: table.note_never_sent(order),
    "take_over_never_sent": lambda m, table, order, token, at: table.take_over_never_sent(
        order, token, at, "then", token, token
    ),
    "take_over_sending": lambda m, table, order, token, at: table.take_over_sending(order, token, at),
    "note_inquiry": lambda m, table, order, token, at: table.note_inquiry(order, f"said {token}", at),
    "note_cancel": lambda m, table, order, token, at: table.note_cancel(
        order, token, at, at, at, new_round=token == "a"
    ),
    "note_cancel_refused": lambda m, table, order, token, at: table.note_cancel_refused(order, token, at),
    "note_cancel_unanswered": lambda m, table, order, token, at: table.note_cancel_unanswered(order, f"said {token}"),
    "note_crossed": lambda m, table, order, token, at: table.note_crossed(order, f"said {token}"),
    "note_unresolved": lambda m, table, order, token, at: table.note_unresolved(order, at),
    "note_watched": lambda m, table, order, token, at: table.note_watched(_overdue(m, order, at), at),
    "start_round": lambda m, table, order, token, at: table.start_round(_overdue(m, order, at), at),
    "note_contradiction": lambda m, table, order, token, at: table.note_contradiction(order, f"said {token}", at),
    "overdue": lambda m, table, order, token, at: sorted(map(repr, table.overdue(at, [0]))),
    "init_since": lambda m, table, order, token, at: table.init_since(at, 3),
}
_WEIGHTS = [3, 1, 2, 3, 3, 2, 3, 3, 2, 1, 2, 1, 3, 3, 2, 1, 1]
