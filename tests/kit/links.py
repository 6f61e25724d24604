"""A shop that links wallets, and the buyers who hold them: `Links` over a deployed stack."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
from boto3.dynamodb.types import TypeDeserializer

from .forger import Forger
from .merchant import Answer, new_id, payment
from .stacks import Deployment
from .waiting import eventually

Json = dict[str, Any]

_deserialize = TypeDeserializer().deserialize


@dataclass(frozen=True)
class Links:
    """Calls the agreements' routes, is the buyer's hand, and looks into the agreement table."""

    here: Deployment

    # The shop

    def ask(self, agreement_id: str | None = None, plan: str = "waiting", **changes: Any) -> tuple[str, Answer]:
        """POST /agreements; `plan` is the name of one of the simulated Alipay's. The id, and the answer."""
        agreement_id = agreement_id or new_id("agr")
        request = {"agreementId": agreement_id, "customerBelongsTo": "ALIPAY_HK", "extendInfo": f"sim:{plan}:1"}
        fields = {name: value for name, value in (request | changes).items() if value is not None}
        return agreement_id, self.here.merchant.call("POST", "/agreements", json.dumps(fields))

    def get(self, agreement_id: str) -> Answer:
        """GET /agreements/{agreementId}."""
        return self.here.merchant.call("GET", f"/agreements/{quote(agreement_id, safe='')}")

    def revoke(self, agreement_id: str) -> Answer:
        """DELETE /agreements/{agreementId}."""
        return self.here.merchant.call("DELETE", f"/agreements/{quote(agreement_id, safe='')}")

    def pay(self, agreement_id: str, payment_request_id: str | None = None, **method: Any) -> tuple[str, Answer]:
        """POST /payments by the agreement: the payment's id, and the answer."""
        payment_request_id = payment_request_id or new_id("by-agreement")
        request = payment(payment_request_id, paymentMethod={"agreementId": agreement_id, **method})
        return payment_request_id, self.here.merchant.pay(request)

    def became(self, agreement_id: str, status: str, within_s: float = 60.0) -> Json:
        """The agreement once GET shows it so."""

        def shown() -> Json | None:
            found: Json = self.get(agreement_id).json
            return found if found["status"] == status else None

        return eventually(
            shown, f"{agreement_id} is {status}", within_s, every_s=0.2, show=lambda: self.get(agreement_id).text
        )

    def linked(self, plan: str = "approved", **changes: Any) -> str:
        """An agreement that is LINKED: its id."""
        agreement_id, answer = self.ask(plan=plan, **changes)
        assert answer.status == 201, answer.text
        self.became(agreement_id, "LINKED")
        return agreement_id

    # The buyer and Alipay

    def plan(self, name: str, **plan: Any) -> str:
        """Give a plan a name: `ask(plan=name)` follows it."""
        self._sim("plans", {"kind": "agreement", "name": name, "plan": plan})
        return name

    def buyer(self, agreement_id: str, do: str) -> None:
        """The buyer's hand: approve, decline, cancel; or time's: expire."""
        self._sim("buyer", {"authState": self.auth_state(agreement_id), "do": do})

    def notify(self, agreement_id: str, **message: Any) -> Json:
        """One notification about the agreement now: `status`, `body`, `acknowledged`."""
        return self._sim("notify", {"authState": self.auth_state(agreement_id), **message})

    def at_alipay(self, agreement_id: str) -> Json:
        """The agreement in Alipay's ledger, with its codes and tokens in the clear."""
        url = f"{self.here.alipay.url}/_sim/agreements/{self.auth_state(agreement_id)}?secrets=true"
        found: Json = requests.get(url, timeout=10).json()
        return found

    def secrets(self) -> dict[str, str]:
        """Every code and token that was ever issued, by what it is."""
        found = requests.get(f"{self.here.alipay.url}/_sim/agreements?secrets=true", timeout=30).json()["agreements"]
        secrets = {}
        for one in found:
            for code in one["authCodes"]:
                secrets[f"authCode of {one['authState']}"] = code["authCode"]
            for number, tokens in enumerate(one["tokens"]):
                secrets[f"accessToken {number} of {one['authState']}"] = tokens["accessToken"]
                if tokens["refreshToken"]:
                    secrets[f"refreshToken {number} of {one['authState']}"] = tokens["refreshToken"]
        return secrets

    def calls(self, agreement_id: str, api: str) -> list[Json]:
        """The requests about the agreement that Alipay had of this API."""
        url = f"{self.here.alipay.url}/_sim/requests?authState={self.auth_state(agreement_id)}"
        found = requests.get(url, timeout=30).json()["requests"]
        return [request for request in found if request["path"].endswith(f"/{api}")]

    def forger(self) -> Forger:
        """Somebody who writes to the webhook of authorizations."""
        return Forger(self.here, "", "authorization")

    def _sim(self, what: str, given: Json) -> Json:
        response = requests.post(f"{self.here.alipay.url}/_sim/{what}", json=given, timeout=30)
        assert response.ok, f"{what}: {response.status_code} {response.text}"
        answer: Json = response.json()
        return answer

    # The table

    @property
    def table(self) -> str:
        return str(self.here.description["agreementsTable"])

    def row(self, agreement_id: str) -> Json | None:
        """The row as it is now."""
        dynamodb = self.here.aws("dynamodb")
        key = {"agreementId": {"S": agreement_id}}
        item = dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
        return {name: _deserialize(value) for name, value in item.items()} if item else None

    def auth_state(self, agreement_id: str) -> str:
        """The authState of its QR code."""
        row = self.row(agreement_id)
        assert row, agreement_id
        return str(row["authState"])

    def set_instant(self, agreement_id: str, name: str, instant: str) -> None:
        """Let time pass, or come back."""
        self.here.aws("dynamodb").update_item(
            TableName=self.table,
            Key={"agreementId": {"S": agreement_id}},
            UpdateExpression=f"SET {name} = :instant",
            ConditionExpression=f"attribute_exists({name})",
            ExpressionAttributeValues={":instant": {"S": instant}},
        )

    def text_of_rows(self) -> Iterator[str]:
        """Every row of the table, those beside the agreements among them; what is binary as hex."""
        pages = self.here.aws("dynamodb").get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        for page in pages:
            for item in page["Items"]:
                yield json.dumps(item, default=_text)

    def text_of_stream(self) -> Iterator[str]:
        """Every record of the table's stream."""
        streams = self.here.aws("dynamodbstreams")
        arn = streams.list_streams(TableName=self.table)["Streams"][0]["StreamArn"]
        [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while records := (answer := streams.get_records(ShardIterator=iterator, Limit=1000))["Records"]:
            iterator = answer["NextShardIterator"]
            yield from (json.dumps(record["dynamodb"], default=_text) for record in records)

    def text_of_executions(self) -> Iterator[str]:
        """Every execution of the machine, and its history."""
        states = self.here.aws("stepfunctions")
        [machine] = [
            found["stateMachineArn"]
            for found in states.list_state_machines()["stateMachines"]
            if "AgreementStateMachine" in found["name"]
        ]
        for page in states.get_paginator("list_executions").paginate(stateMachineArn=machine):
            for execution in page["executions"]:
                arn = execution["executionArn"]
                yield json.dumps(states.describe_execution(executionArn=arn), default=str)
                for history in states.get_paginator("get_execution_history").paginate(executionArn=arn):
                    yield json.dumps(history["events"], default=str)


def _text(value: Any) -> str:
    """What is binary as text, so that what is not sealed in it is found."""
    return bytes(value).decode("latin-1") if isinstance(value, bytes | bytearray) else str(value)
