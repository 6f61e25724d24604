"""Whatever is called at once and however badly it is answered, the simulated Alipay's own books stay right."""

import random
from collections import Counter
from typing import Any

import pytest
import requests

from tests.kit.waiting import at_once

from .kit import GatewayClient, payment

PAYMENTS, CALLS, CALLERS = 24, 480, 8
VALUE = 1990
BEHAVIOURS = (
    *("normal", "normal", "normal", "U", "reset-before", "reset-after", "http:500", "unsigned:F:KEY_NOT_FOUND"),
    *({"answer": "U", "processed": True}, {"answer": "otherkey:S", "processed": False}, "F:PROCESS_FAIL"),
)


class Chaos:
    """Calls about few payments, each drawn at random; what is drawn depends on the seed alone."""

    def __init__(self, merchant: GatewayClient, seed: int) -> None:
        self.merchant, self.random, self.seed = merchant, random.Random(seed), seed
        self.requests = [payment(f"chaos-{seed}-{number}") for number in range(PAYMENTS)]
        for request in self.requests:
            plan = {call: self.drawn() for call in ("pay", "inquiry", "cancel")}
            merchant.plan(request["paymentRequestId"], **plan, expires=False, notify="lost")

    def drawn(self) -> list[Any]:
        return [self.random.choice(BEHAVIOURS) for _ in range(3)] + ["normal"]

    def call(self, number: int) -> None:
        """The call of this number; an answer that does not come is no matter here."""
        draw = random.Random(f"{self.seed}/{number}")
        request = draw.choice(self.requests)
        payment_request_id = request["paymentRequestId"]
        name = {"paymentRequestId": payment_request_id}
        what = draw.choice(["pay", "pay", "inquiryPayment", "cancel", "refund", "refund", "portal", "bounce"])
        try:
            if what == "refund":
                self.refund(payment_request_id, draw)
            elif what == "portal":
                amount = {"currency": "HKD", "value": str(draw.randrange(1, VALUE))}
                self.control("portal", {**name, "amount": amount})
            elif what == "bounce":
                self.control("bounce", {"refundRequestId": f"{payment_request_id}-{draw.randrange(6)}"})
            else:
                self.merchant.call(what, request if what == "pay" else name)
        except requests.RequestException:
            pass

    def refund(self, payment_request_id: str, draw: random.Random) -> None:
        shown = requests.get(f"{self.merchant.url}/_sim/payments/{payment_request_id}", timeout=30).json()
        number = draw.randrange(6)
        plan = {"refund": [draw.choice(BEHAVIOURS), "normal"]}
        refund_request_id = f"{payment_request_id}-{number}"
        self.control("plans", {"refundRequestId": refund_request_id, "plan": plan})
        body = {
            "refundRequestId": refund_request_id,
            "paymentId": shown.get("paymentId") or "none yet",
            "refundAmount": {"currency": "HKD", "value": str(100 + 300 * number)},
        }
        self.merchant.call("refund", body)

    def control(self, path: str, body: dict[str, Any]) -> None:
        requests.post(f"{self.merchant.url}/_sim/{path}", json=body, timeout=30)


@pytest.mark.parametrize("seed", range(3))
def test_no_money_is_kept_against_a_cancelled_payment_and_none_is_made(merchant: GatewayClient, seed: int) -> None:
    merchant.control("reset")
    chaos = Chaos(merchant, seed)
    at_once([lambda number=number: chaos.call(number) for number in range(CALLS)], CALLERS)  # type: ignore[misc]
    books = merchant.view("payments")["payments"]
    refunds = merchant.view("refunds")["refunds"]
    statuses = Counter(one["status"] for one in books)
    assert statuses["CANCELLED"] > 0 and statuses["SUCCESS"] > 0, statuses
    assert sum(one["status"] == "SUCCESS" for one in refunds) > 0

    in_process = sum(
        int(one["refundAmount"]["value"]) for one in refunds if one["status"] == "PROCESSING" and one["known"]
    )
    for one in books:
        mine = [refund for refund in refunds if refund["paymentRequestId"] == one["paymentRequestId"]]
        returned = sum(
            int(refund["refundAmount"]["value"])
            for refund in mine
            if refund["status"] == "SUCCESS" and refund["bouncedAt"] is None
        )
        assert one["debits"] <= 1
        assert 0 <= int(one["kept"]) <= VALUE
        if one["status"] == "CANCELLED":
            assert one["kept"] == "0"
        else:
            assert int(one["kept"]) == one["debits"] * VALUE - returned
    balance = int(merchant.view("balance")["balance"]["HKD"])
    assert balance == sum(int(one["kept"]) for one in books) - in_process
