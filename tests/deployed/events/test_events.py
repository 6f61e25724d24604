"""What the merchant's systems are told: each change once it is stored, and every copy the same to the byte."""

from typing import Any

import pytest

from tests.kit import books
from tests.kit.bus import Listener
from tests.kit.stacks import Deployment

Json = dict[str, Any]


@pytest.fixture(scope="session")
def shop(fast: Deployment) -> Listener:
    """What the merchant's systems hear."""
    return fast.listener()


def test_a_payment_that_pay_settled_is_told_as_get_shows_it(fast: Deployment, shop: Listener) -> None:
    payment_request_id, answer = fast.pay("told")
    assert answer.status == 200
    [event] = shop.heard(payment_request_id)
    assert (event["source"], event["detail-type"]) == ("autodebit", "PaymentSucceeded")
    assert event["detail"] == {
        "eventId": f"{payment_request_id}:1",
        "sequence": 1,
        "occurredAt": answer.json["settledAt"],
        "order": fast.merchant.order(payment_request_id).json,
    }


def test_a_failure_is_told(fast: Deployment, shop: Listener) -> None:
    payment_request_id, _ = fast.pay("told-fail", pay=["F:USER_BALANCE_NOT_ENOUGH"])
    [event] = shop.heard(payment_request_id)
    assert event["detail-type"] == "PaymentFailed"
    assert event["detail"]["order"] == fast.merchant.order(payment_request_id).json


def test_an_order_that_is_init_tells_nothing(fast: Deployment, shop: Listener) -> None:
    payment_request_id, _ = fast.pay("untold", **books.NEVER)
    later_id, _ = fast.pay("told")
    shop.heard(later_id)
    assert shop.about(payment_request_id) == []
