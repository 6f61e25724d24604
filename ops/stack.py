"""The deployed stack that a command is about: its names, its tables, and the ways to ask its functions for something.

Only `acknowledge` of the order and the refund table writes a row; a result comes only through the deployed functions.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autodebit.agreement.agreement import Agreement
    from autodebit.agreement.agreement_table import AgreementTable
    from autodebit.payment.order import Order
    from autodebit.payment.order_table import OrderTable
    from autodebit.refund.refund import Refund
    from autodebit.refund.refund_table import RefundTable


class OpsFailed(Exception):
    """What is wrong, and what to do about it."""


@dataclass(frozen=True)
class Stack:
    """A stack of the template. `outputs` are the template's."""

    name: str
    outputs: dict[str, str]

    @cached_property
    def settings(self) -> dict[str, str]:
        """The variables of the inquiry function: gateway, secret, schedule, CloseAfter."""
        answer = client("lambda").get_function_configuration(FunctionName=f"{self.name}-Inquiry")
        variables: dict[str, str] = answer["Environment"]["Variables"]
        return variables

    @property
    def close_after_s(self) -> int:
        """The template's CloseAfter."""
        return int(self.settings["CLOSE_AFTER"])

    @property
    def polling_machine(self) -> str:
        """ARN of the state machine that polls payments."""
        return self.outputs["PollingStateMachineArn"]

    @property
    def refund_machine(self) -> str:
        """ARN of the state machine that polls refunds."""
        return self.outputs["RefundStateMachineArn"]

    @cached_property
    def operator(self) -> str:
        """Who acts: the ARN that AWS knows the caller by."""
        return str(client("sts").get_caller_identity()["Arn"])

    @cached_property
    def orders(self) -> "OrderTable":
        from autodebit.payment.order_table import OrderTable

        return OrderTable()

    @cached_property
    def refunds(self) -> "RefundTable":
        from autodebit.refund.refund_table import RefundTable

        return RefundTable()

    @cached_property
    def agreements(self) -> "AgreementTable":
        from autodebit.agreement.agreement_table import AgreementTable

        return AgreementTable()

    def find(self, key: str) -> "Order | Refund":
        """The payment or the refund of this id; `refund:ID` is a refund that has its id in common with a payment.

        Raises OpsFailed if there is neither.
        """
        from autodebit.errors import OrderNotFound, RefundNotFound

        refund_key = key.removeprefix("refund:")
        if refund_key == key:
            with suppress(OrderNotFound):
                return self.orders.get(key)
        try:
            return self.refunds.get(refund_key)
        except RefundNotFound:
            raise OpsFailed(f"there is no payment or refund {key}; `ops agreement` shows agreements") from None

    def open_rows(self) -> "Iterator[Order | Refund]":
        """Every order and refund that is watched or waits for a person, as the tables hold them now."""
        from autodebit.polling import NEVER

        from ops.story import awaits_a_person

        seen = set()
        for order in self.orders.get_many({overdue.key for overdue in self.orders.overdue(NEVER)}):
            seen.add(order.key)
            if order.is_init:
                yield order
        for order in self.orders.get_many(set(self.orders.waiting_for_a_person()) - seen):
            if awaits_a_person(order):
                yield order
        watched = {overdue.key for overdue in self.refunds.overdue(NEVER)}
        for refund in self.refunds.get_many(watched | set(self.refunds.waiting_for_a_person())):
            if refund.is_init or awaits_a_person(refund):
                yield refund

    def agreements_open(self, now: datetime, days: int) -> "Iterator[Agreement]":
        """Agreements that are exchanged or revoked, and those whose token falls due within so many days."""
        from autodebit.polling import NEVER

        watched = {overdue.key for overdue in self.agreements.overdue(NEVER)}
        for key in watched | set(self.agreements.due_before(now + timedelta(days=days))):
            yield self.agreements.get(key)

    def orders_of(self, day: str, reference_order_id: str | None) -> "Iterator[Order]":
        """The payments of a day (`ops.day`), or those of it that have this reference (100 at the most)."""
        from autodebit.polling import NEVER

        from ops.day import day_of

        if reference_order_id is not None:
            orders: Iterable[Order] = self.orders.of_reference(reference_order_id, 100)
        else:
            keys = {settled.payment_request_id for settled in self.orders.settled_on(day)}
            orders = self.orders.get_many(keys | {overdue.key for overdue in self.orders.overdue(NEVER)})
        return (order for order in orders if day_of(order) == day)

    def read_secret(self) -> str:
        """The text of the credentials' secret. Raises CredentialsUnavailable."""
        from autodebit.alipay.secret import secret_reader

        return secret_reader(self.settings["CREDENTIALS_SECRET"])()

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        """What a function of the stack returns. Raises OpsFailed if it fails."""
        answer = client("lambda").invoke(FunctionName=f"{self.name}-{function}", Payload=json.dumps(event).encode())
        returned: dict[str, Any] = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise OpsFailed(f"{self.name}-{function} failed: {returned.get('errorType')}; read its log")
        return returned


def client(service: str) -> Any:
    """A client with the operator's own credentials."""
    import boto3

    return boto3.client(service)


def open_stack(name: str, description: Path | None) -> Stack:
    """The stack of this name, or the local one that `description` (a stack.json) tells of. Raises OpsFailed.

    Sets the variables that the shared package reads when it is imported.
    """
    if region := os.environ.get("AWS_REGION"):  # which the SDKs of other languages know, and boto3 does not
        os.environ["AWS_DEFAULT_REGION"] = region
    if description is not None:
        name = _use_local(description)
    from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

    try:
        [described] = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except NoRegionError:
        raise OpsFailed("no region: set AWS_REGION, or AWS_PROFILE to a profile that has one") from None
    except (BotoCoreError, ClientError) as error:
        raise OpsFailed(f"stack {name}: {error}") from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    os.environ |= {
        "ORDERS_TABLE": outputs["OrdersTable"],
        "REFUNDS_TABLE": outputs["RefundsTable"],
        "AGREEMENTS_TABLE": outputs["AgreementsTable"],
    }
    return Stack(name, outputs)


def _use_local(description: Path) -> str:
    """Aim at the emulator; the name of its stack."""
    try:
        local = json.loads(description.read_text())
    except OSError:
        raise OpsFailed(f"there is no {description}: no local stack is up (make up)") from None
    os.environ |= {
        "AWS_ENDPOINT_URL": local["awsEndpointUrl"],
        "AWS_DEFAULT_REGION": local["region"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    return str(local["stackName"])
