"""What makes a replay, and what the caller of another payment under the same id is told."""

from typing import Any

import pytest
from autodebit.api import problem
from autodebit.errors import PaymentConflict
from autodebit.payment.identity import AGREEMENT, IDENTITY, VERSION, differing, digest, identity

from tests.kit.samples import TOKEN
from tests.kit.samples import request as pay_request

FIELDS = (
    "paymentAmount.currency",
    "paymentAmount.value",
    "paymentMethod.paymentMethodType",
    "paymentMethod.paymentMethodId",
    "paymentMethod.agreementId",
    "order.referenceOrderId",
    "order.orderAmount.currency",
    "order.orderAmount.value",
    "order.merchant.referenceMerchantId",
    "merchantAccountId",
)
"""In the order in which rows hold their digests."""


def put(request: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The request with `value` at a path whose objects are made where they are missing."""
    *parents, name = path.split(".")
    place = request
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = value
    return request


def test_the_fields_of_rows_that_are_stored_stay() -> None:
    assert IDENTITY[1] == FIELDS


@pytest.mark.parametrize("path", FIELDS)
def test_another_value_of_an_identifying_field_is_another_payment_and_is_named(path: str) -> None:
    assert differing(identity(pay_request()), put(pay_request(), path, "another")) == [path]


@pytest.mark.parametrize("path", FIELDS)
def test_an_identifying_field_that_comes_or_goes_is_named(path: str) -> None:
    with_it = put(pay_request(), path, "there")
    without_it = put(pay_request(), path, None)
    assert differing(identity(without_it), with_it) == differing(identity(with_it), without_it) == [path]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata", "a retry of ours"),
        ("env", {"terminalType": "WEB", "clientIp": "203.0.113.10"}),
        ("order.env", {"terminalType": "WEB"}),
        ("paymentExpiryTime", "2026-11-22T09:30:30Z"),
        ("order.orderDescription", "another text"),
        ("order.goods", [{"referenceGoodsId": "1", "goodsName": "a pass"}]),
        ("settlementStrategy.settlementCurrency", "EUR"),
        ("order.merchant.merchantName", "another name"),
    ],
)
def test_whatever_else_differs_is_the_same_payment(path: str, value: Any) -> None:
    assert differing(identity(pay_request()), put(pay_request(), path, value)) == []


@pytest.mark.parametrize("named", ["ALIPAY_HK", None])
def test_a_payment_by_agreement_is_the_same_whether_its_wallet_is_named_or_not(named: str | None) -> None:
    def by_agreement(wallet: str | None, agreement: str = "agr-1") -> dict[str, Any]:
        method = {"paymentMethodType": wallet, "agreementId": agreement}
        return pay_request() | {"paymentMethod": {name: value for name, value in method.items() if value}}

    other = None if named else "ALIPAY_HK"
    assert differing(identity(by_agreement(named)), by_agreement(other)) == []
    assert differing(identity(by_agreement(named)), by_agreement(named, "agr-2")) == [AGREEMENT]


def test_the_stored_identity_names_its_version_and_no_value() -> None:
    stored = identity(pay_request())
    assert stored.startswith(f"{VERSION}.")
    assert TOKEN not in stored
    assert "1990" not in stored


def test_digests_that_rows_hold_stay() -> None:
    assert digest("ord-1", "a token") == "k9bIXtRsSqHQy0II"


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_that_is_empty_is_one_that_is_missing(path: str) -> None:
    assert differing(identity(put(pay_request(), path, None)), put(pay_request(), path, "")) == []


def test_a_payment_by_agreement_and_one_by_token_differ_in_their_wallet_too() -> None:
    by_agreement = pay_request() | {"paymentMethod": {"paymentMethodType": "DANA", "agreementId": "agr-1"}}
    differ = [f"paymentMethod.{name}" for name in ("paymentMethodType", "paymentMethodId", "agreementId")]
    assert differing(identity(by_agreement), pay_request()) == differ
    assert differing(identity(pay_request()), by_agreement) == differ


def test_the_digest_of_a_token_differs_from_payment_to_payment() -> None:
    assert digest("ord-1", TOKEN) != digest("ord-2", TOKEN)


def test_a_row_is_compared_by_the_version_that_it_was_stored_with(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = identity(pay_request())
    monkeypatch.setitem(IDENTITY, VERSION + 1, (*IDENTITY[VERSION], "metadata"))
    assert differing(stored, put(pay_request(), "metadata", "later releases compare it")) == []


@pytest.mark.parametrize(
    ("status", "decided", "advice"),
    [("INIT", False, "Do not pay again now"), ("FAIL", True, "only if that is FAIL or CANCELLED")],
)
def test_a_conflict_names_the_fields_and_the_orders_status_and_says_what_to_do(
    status: str, decided: bool, advice: str
) -> None:
    answered = problem(PaymentConflict(["paymentMethod.paymentMethodId"], status, decided=decided))
    assert answered["statusCode"] == 409
    assert '"orderStatus":"' + status in answered["body"]
    assert (
        '"errors":[{"field":"paymentMethod.paymentMethodId","detail":"differs from the first request"}]'
        in (answered["body"])
    )
    assert "Look the order of this paymentRequestId up" in answered["body"]
    assert advice in answered["body"]
