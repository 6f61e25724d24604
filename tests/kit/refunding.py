"""A shop that gives money back, and what Alipay made of it: `Refunds` over a deployed stack."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from .merchant import Answer, new_id
from .stacks import Deployment
from .waiting import GENEROUS_S, eventually

Json = dict[str, Any]

PAID = 1990
"""What a payment of these tests comes to, in minor units."""


@dataclass(frozen=True)
class Refunds:
    """Calls the refunds' routes, is Alipay's hand, and looks into the refund table."""

    here: Deployment

    # The shop

    def paid(self, label: str = "refunded") -> str:
        """A payment that is SUCCESS: its id."""
        payment_request_id, answer = self.here.pay(label)
        assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer
        return payment_request_id

    def ask(
        self, payment_request_id: str, value: str = "990", refund_request_id: str | None = None, **changes: Any
    ) -> tuple[str, Answer]:
        """POST a refund of so much: its id, and the answer. None leaves a field out."""
        refund_request_id = refund_request_id or new_id("ref")
        amount = {"currency": "HKD", "value": value}
        request = {"refundRequestId": refund_request_id, "refundAmount": amount} | changes
        return refund_request_id, self.post(
            payment_request_id, {name: given for name, given in request.items() if given is not None}
        )

    def post(self, payment_request_id: str, request: Json | str) -> Answer:
        """POST /payments/{paymentRequestId}/refunds."""
        body = request if isinstance(request, str) else json.dumps(request, ensure_ascii=False)
        return self.here.merchant.call("POST", f"/payments/{quote(payment_request_id, safe='')}/refunds", body)

    def get(self, payment_request_id: str, refund_request_id: str | None = None) -> Answer:
        """GET the refunds of a payment, or one."""
        one = "" if refund_request_id is None else f"/{quote(refund_request_id, safe='')}"
        return self.here.merchant.call("GET", f"/payments/{quote(payment_request_id, safe='')}/refunds{one}")

    def settled(self, refund_request_id: str, within_s: float = GENEROUS_S) -> Json:
        """The row once it has left INIT."""

        def final() -> Json | None:
            row = self.row(refund_request_id)
            return row if row and row["status"] != "INIT" else None

        return eventually(
            final, f"{refund_request_id} settled", within_s, every_s=0.2, show=lambda: self.row(refund_request_id)
        )

    # Alipay

    def plan(self, plan: str | Json, refund_request_id: str | None = None) -> str:
        """Plan a refund: its id."""
        refund_request_id = refund_request_id or new_id("ref")
        self.sim("plans", {"refundRequestId": refund_request_id, "plan": plan})
        return refund_request_id

    def at_alipay(self, refund_request_id: str) -> Json | None:
        """The refund in Alipay's ledger; None if no call has named it."""
        response = requests.get(f"{self.here.alipay.url}/_sim/refunds/{refund_request_id}", timeout=GENEROUS_S)
        found: Json | None = None if response.status_code == 404 else response.json()
        return found

    def calls(self, refund_request_id: str, call: str = "refund") -> list[Json]:
        """The requests of this API that Alipay had about the refund."""
        url = f"{self.here.alipay.url}/_sim/requests?refundRequestId={refund_request_id}"
        found = requests.get(url, timeout=GENEROUS_S).json()["requests"]
        return [request for request in found if request["path"].endswith(f"/{call}")]

    def notify(self, refund_request_id: str, **message: Any) -> Json:
        """One notification now, again if a busy machine did not answer in time: `status`, `body`, `acknowledged`."""
        for _ in range(10):
            sent = self.sim("notify", {"refundRequestId": refund_request_id, **message})
            if sent["status"] is not None:
                break
        return sent

    def portal(self, payment_request_id: str, value: str) -> Json:
        """Somebody gives so much back in the merchant portal."""
        amount = {"currency": "HKD", "value": value}
        return self.sim("portal", {"paymentRequestId": payment_request_id, "amount": amount})

    def sim(self, what: str, given: Json) -> Json:
        response = requests.post(f"{self.here.alipay.url}/_sim/{what}", json=given, timeout=GENEROUS_S)
        assert response.ok, f"{what}: {response.status_code} {response.text}"
        answer: Json = response.json()
        return answer

    # The table

    def row(self, refund_request_id: str) -> Json | None:
        """The row as it is now."""
        return self.here.seen.refunds.row(refund_request_id)

    def rows_of(self, payment_request_id: str) -> list[Json]:
        """The rows of a payment's refunds."""
        rows = self.here.seen.refunds.rows().values()
        return [row for row in rows if row["paymentRequestId"] == payment_request_id]

    def set_instant(self, refund_request_id: str, name: str, instant: str = "2020-01-01T00:00:00.000Z") -> None:
        """Let time pass, a long one unless told otherwise."""
        self.here.aws("dynamodb").update_item(
            TableName=self.here.seen.refunds.table,
            Key={"refundRequestId": {"S": refund_request_id}},
            UpdateExpression=f"SET {name} = :instant",
            ConditionExpression=f"attribute_exists({name})",
            ExpressionAttributeValues={":instant": {"S": instant}},
        )

    # The books

    def agree(self, payment_request_id: str) -> None:
        """The payment, its refunds and Alipay's ledger say the same: no more than was paid, reserved to the unit."""
        order, payment = self.here.seen.row(payment_request_id), self.here.alipay.payment(payment_request_id)
        assert order
        assert payment
        sums = {"INIT": 0, "SUCCESS": 0, "FAIL": 0}
        for row in self.rows_of(payment_request_id):
            sums[row["status"]] += int(row["amountValue"])
            there = self.at_alipay(row["refundRequestId"])
            if row["status"] != "INIT":
                assert (there["status"] if there and there["known"] else "FAIL") == row["status"], (row, there)
        assert int(order["refundable"]) == PAID - sums["SUCCESS"] - sums["INIT"] >= 0
        assert PAID - int(order["unrefunded"]) == sums["SUCCESS"]
        assert sums["SUCCESS"] <= PAID - int(payment["kept"]) <= sums["SUCCESS"] + sums["INIT"]
