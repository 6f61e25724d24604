"""Refunds and their payment on a real DynamoDB, and an Alipay that answers as it is told."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4
from zlib import crc32

import pytest
from autodebit.alipay.reading import Final
from autodebit.alipay.signature import SignedMessage
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.order_table import OrderItem, OrderTable
from autodebit.refund.initiate import Initiator
from autodebit.refund.inquire import Inquirer
from autodebit.refund.observe import Observer
from autodebit.refund.receive import Receiver
from autodebit.refund.refund import Refund
from autodebit.refund.refund_table import RefundItem, RefundTable
from autodebit.refund.request import parse_refund_request

from tests.kit import refunds as samples
from tests.kit.refunds import REFUND_REQUEST_ID, given_back, refund_request
from tests.kit.samples import ID, PAYMENT_ID, body, order, paid
from tests.kit.stand_ins import Gateway, Machine, Said, Signed
from tests.kit.template import RESOURCES

Json = dict[str, Any]

USUAL: dict[str, Said] = {"refund": given_back(), "inquiryRefund": given_back(), "inquiryPayment": paid()}
"""What Alipay says unless it is told otherwise."""

NOTIFY_URL = "https://shop.example/v1/notifications/refund"


class _Run:
    number = ""


def refund(**changes: Any) -> Refund:
    """The sample, with tokens that no other test has: DynamoDB makes no transaction of an old token again."""
    sample = samples.refund(**changes)
    return replace(sample, attempt=f"{sample.attempt}-{crc32(sample.key.encode()):x}-{_Run.number}")


@pytest.fixture
def tables(dynamodb: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tables of orders and refunds as the template declares them, empty: a table by its resource's name."""
    monkeypatch.setattr(_Run, "number", uuid4().hex[:8])
    models: dict[str, Any] = {"OrderTable": OrderItem, "RefundTable": RefundItem}
    names = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    made = {}
    for resource, item in models.items():
        declared = RESOURCES[resource]["Properties"]
        kept = {name: declared[name] for name in names}
        made[resource] = dynamodb.create_table(TableName=item.Meta.table_name, **kept)
        monkeypatch.setattr(item.Meta, "host", dynamodb.meta.client.meta.endpoint_url, raising=False)
        monkeypatch.setattr(item.Meta, "read_timeout_seconds", 60.0)  # a busy machine is no fault
        monkeypatch.setattr(item, "_connection", None)
    yield made
    for table in made.values():
        table.delete()


class World:
    """One payment of 19.90 HKD, its refunds, one Alipay, and everybody who works with them."""

    def __init__(self, tables: Any) -> None:
        self.tables = tables
        self.orders, self.refunds = OrderTable(), RefundTable()
        self.alipay = Gateway("payments", USUAL, bytes)
        self.machine = Machine("refundRequestId", 15)
        gateway: Any = self.alipay
        machine: Any = self.machine
        credentials: Any = Signed()
        self.initiator = Initiator(self.orders, self.refunds, gateway, machine)
        self.inquirer = Inquirer(self.refunds, gateway)
        self.observer = Observer(self.orders, self.refunds, gateway)
        self.receiver = Receiver(self.refunds, credentials)

    def paid(self, **changes: Any) -> Order:
        """The payment, which is SUCCESS."""
        opened = self.orders.create(order(**changes)).row
        final = Final(Status.SUCCESS, "SUCCESS", "success.", PAYMENT_ID, None)
        return self.orders.settle(opened, final, Witness.PAY, opened.created_at).row

    def ask(
        self, value: str = "990", refund_request_id: str = REFUND_REQUEST_ID, payment_request_id: str = ID, **more: Any
    ) -> Refund:
        """POST a refund of so much."""
        amount = {"currency": "HKD", "value": value}
        fields = refund_request(**{"refundRequestId": refund_request_id, "refundAmount": amount} | more)
        request = parse_refund_request(body(fields))
        return self.initiator.initiate(payment_request_id, request, NOTIFY_URL, time.monotonic() + 21)

    def left(self) -> tuple[int | None, int | None]:
        """What the payment can still give back, and what it has given back."""
        stored = self.orders.get(ID)
        return stored.refundable, stored.refunded

    def row(self, refund_request_id: str = REFUND_REQUEST_ID) -> Json:
        key = {"refundRequestId": refund_request_id}
        return dict(self.tables["RefundTable"].get_item(Key=key, ConsistentRead=True)["Item"])

    def set(self, refund_request_id: str = REFUND_REQUEST_ID, **attributes: Any) -> None:
        """Let attributes of the row be so."""
        for name, value in attributes.items():
            self.tables["RefundTable"].update_item(
                Key={"refundRequestId": refund_request_id},
                UpdateExpression=f"SET {name} = :value",
                ExpressionAttributeValues={":value": value},
            )

    def set_order(self, **attributes: str) -> None:
        """Let attributes of the payment be so."""
        self.tables["OrderTable"].update_item(
            Key={"paymentRequestId": ID},
            UpdateExpression=f"SET {', '.join(f'{name} = :{name}' for name in attributes)}",
            ExpressionAttributeValues={f":{name}": value for name, value in attributes.items()},
        )

    def forget_of_order(self, *names: str) -> None:
        """Let the payment be without these attributes."""
        self.tables["OrderTable"].update_item(
            Key={"paymentRequestId": ID}, UpdateExpression=f"REMOVE {', '.join(names)}"
        )

    def notified(self, **changes: Any) -> Refund:
        """What comes of a notification, a success unless told otherwise."""
        message = SignedMessage("/", "", "", json.dumps(given_back(**changes)).encode())
        return self.receiver.receive(message, "", order().created_at)


@pytest.fixture
def world(tables: Any) -> World:
    return World(tables)
