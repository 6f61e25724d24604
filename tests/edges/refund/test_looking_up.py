"""GET of a payment's refunds: what was just stored is listed, and whatever is listed is found."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from autodebit.refund.refund_table import RefundItem

from functions.get_refund import app
from tests.kit.refunds import REFUND_REQUEST_ID, transaction
from tests.kit.samples import ID, NOW, paid

from .conftest import World, refund

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")


class Context:
    """What Lambda tells a function of itself."""

    function_name, memory_limit_in_mb, invoked_function_arn, aws_request_id = "GetRefund", 512, "arn", "1"


def get(payment_request_id: str, refund_request_id: str | None = None) -> tuple[int, Any]:
    """Status and body of the answer; API Gateway hands the path's parameters on as they stand in the URL."""
    path = {"paymentRequestId": payment_request_id}
    if refund_request_id is not None:
        path["refundRequestId"] = refund_request_id
    answer: Any = app.handler({"pathParameters": path}, Context())
    return answer["statusCode"], json.loads(answer["body"])


def ids(payment_request_id: str) -> list[str]:
    status, body = get(payment_request_id)
    assert status == 200
    return [each["refundRequestId"] for each in body["refunds"]]


def test_a_refund_is_listed_from_the_write_that_stored_it(world: World) -> None:
    world.paid()
    assert ids(ID) == []
    world.refunds.create(refund())
    assert ids(ID) == [REFUND_REQUEST_ID]


def test_the_list_is_read_consistently_and_from_no_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.paid()
    world.refunds.create(refund())
    read, batch_get = [], RefundItem.batch_get

    def reads(keys: Any, **how: Any) -> Any:
        read.append(how)
        return batch_get(keys, **how)

    monkeypatch.setattr(RefundItem, "batch_get", reads)
    assert ids(ID) == [REFUND_REQUEST_ID]
    assert read == [{"consistent_read": True}]


@pytest.mark.parametrize("portal", ["portal 1/2", "退款#1", "100%", "%41", "..", "a?b=c&d", "\x00"])
def test_a_portal_refund_is_found_by_the_id_that_is_listed(world: World, portal: str) -> None:
    world.paid()
    world.alipay.told = [paid(transactions=[transaction(transactionRequestId=portal)])]
    world.observer.look(world.orders.get(ID), NOW, 0.0)
    assert ids(ID) == [portal]
    status, body = get(ID, quote(portal, safe=""))
    assert (status, body["refundRequestId"]) == (200, portal)


@pytest.mark.parametrize("name", ["", "x", "../" + REFUND_REQUEST_ID, "%FF", "%", "a" * 3000, "%00", REFUND_REQUEST_ID])
def test_what_is_no_refund_of_the_payment_is_not_found(world: World, name: str) -> None:
    world.paid()
    other = world.paid(payment_request_id="another")
    world.refunds.create(refund(payment_request_id=other.key))
    assert get(ID, quote(name, safe="%"))[0] == 404
