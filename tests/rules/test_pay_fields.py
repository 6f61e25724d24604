"""The merchant's request against the field table of the pay API: lengths, what is required, types, amounts."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from autodebit.alipay.amount import Amount, multiple_fault
from autodebit.errors import FieldError
from autodebit.payment.fields import OWNED, PAYMENT_REQUEST_ID, check_pay_fields
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.samples import TOKEN, full_request, request

Path = tuple[str | int, ...]

NAME_LENGTHS = {"firstName": 32, "middleName": 32, "lastName": 32, "fullName": 128}
ADDRESS_LENGTHS = {"region": 2, "state": 8, "city": 32, "address1": 256, "address2": 256, "zipCode": 32}
ENV_LENGTHS = {
    "terminalType": 64,
    "osType": 64,
    "userAgent": 1024,
    "deviceTokenId": 64,
    "clientIp": 64,
    "cookieId": 64,
    "extendInfo": 2048,
}

LENGTHS: dict[str, int] = {
    "creditPayPlan.creditPayFeeType": 64,
    "creditPayPlan.feePercentage": 6,
    "paymentRequestId": 64,
    "paymentMethod.paymentMethodType": 64,
    "paymentMethod.paymentMethodId": 128,
    "paymentMethod.extendInfo": 2048,
    "order.referenceOrderId": 64,
    "order.orderDescription": 256,
    "order.goods[0].referenceGoodsId": 64,
    "order.goods[0].goodsName": 256,
    "order.goods[0].goodsCategory": 64,
    "order.buyer.referenceBuyerId": 64,
    **{f"order.buyer.buyerName.{name}": length for name, length in NAME_LENGTHS.items()},
    "order.buyer.buyerPhoneNo": 24,
    "order.buyer.buyerEmail": 64,
    **{f"order.shipping.shippingName.{name}": length for name, length in NAME_LENGTHS.items()},
    **{f"order.shipping.shippingAddress.{name}": length for name, length in ADDRESS_LENGTHS.items()},
    "order.shipping.shippingCarrier": 128,
    "order.shipping.shippingPhoneNo": 16,
    "order.merchant.referenceMerchantId": 32,
    "order.merchant.merchantMCC": 32,
    "order.merchant.merchantName": 256,
    "order.merchant.merchantDisplayName": 64,
    **{f"order.merchant.merchantAddress.{name}": length for name, length in ADDRESS_LENGTHS.items()},
    **{f"order.env.{name}": length for name, length in ENV_LENGTHS.items()},
    **{f"env.{name}": length for name, length in ENV_LENGTHS.items()},
    "creditPayPlan.installmentNum": 8,
    "appId": 32,
    "merchantRegion": 2,
    "userRegion": 2,
    "merchantAccountId": 32,
}
"""Characters. https://docs.antom.com/ac/ams/payment_agreement"""

REQUIRED = [
    "paymentRequestId",
    "paymentAmount",
    "paymentAmount.currency",
    "paymentAmount.value",
    "paymentMethod",
    "paymentMethod.paymentMethodType",
    "paymentMethod.paymentMethodId",
    "order",
    "order.referenceOrderId",
    "order.orderDescription",
    "order.orderAmount",
    "order.orderAmount.currency",
    "order.orderAmount.value",
    "order.goods[0].referenceGoodsId",
    "order.goods[0].goodsName",
    "order.goods[0].goodsUnitAmount.currency",
    "order.goods[0].goodsUnitAmount.value",
    "order.shipping.shippingAddress.region",
    "order.merchant.referenceMerchantId",
    "order.merchant.merchantAddress.region",
    "order.env.terminalType",
]

OBJECTS = [
    "paymentAmount",
    "paymentMethod",
    "order",
    "order.orderAmount",
    "order.goods[0]",
    "order.goods[0].goodsUnitAmount",
    "order.buyer",
    "order.buyer.buyerName",
    "order.shipping",
    "order.shipping.shippingName",
    "order.shipping.shippingAddress",
    "order.merchant",
    "order.merchant.merchantAddress",
    "order.env",
    "settlementStrategy",
    "creditPayPlan",
    "env",
]

TEXTS = [
    *LENGTHS,
    "paymentAmount.currency",
    "paymentAmount.value",
    "order.orderAmount.currency",
    "order.orderAmount.value",
    "order.goods[0].goodsUnitAmount.currency",
    "order.goods[0].goodsUnitAmount.value",
    "order.goods[0].goodsQuantity",
    "order.env.terminalType",
    "order.env.osType",
    "settlementStrategy.settlementCurrency",
    "paymentExpiryTime",
    "creditPayPlan.creditPayFeeType",
    "creditPayPlan.feePercentage",
]


def steps(path: str) -> list[str | int]:
    return [int(step) if step.isdigit() else step for step in re.findall(r"[A-Za-z0-9]+", path)]


def at(path: str, value: Any) -> dict[str, Any]:
    """The full request with `value` at `path`."""
    changed = full_request()
    inner: Any = changed
    *way, last = steps(path)
    for step in way:
        inner = inner[step]
    inner[last] = value
    return changed


def lacking(path: str) -> dict[str, Any]:
    changed = full_request()
    inner: Any = changed
    *way, last = steps(path)
    for step in way:
        inner = inner[step]
    del inner[last]
    return changed


def faulty(fields: dict[str, Any]) -> list[str]:
    return [error.field for error in check_pay_fields(fields)]


def test_the_least_and_the_fullest_request_pass() -> None:
    assert check_pay_fields(request()) == []
    assert check_pay_fields(full_request()) == []
    least = request()
    del least["settlementStrategy"]
    assert check_pay_fields(least) == []


@pytest.mark.parametrize(("path", "longest"), LENGTHS.items())
def test_a_text_may_have_its_documented_length_and_not_one_character_more(path: str, longest: int) -> None:
    assert faulty(at(path, "x" * longest)) == []
    assert faulty(at(path, "x" * (longest + 1))) == [path]


@pytest.mark.parametrize("path", ["order.orderDescription", "order.goods[0].goodsName", "order.buyer.buyerEmail"])
@pytest.mark.parametrize("character", ["é", "電", "🎬", "\u0301", "\n", "\0"])
def test_lengths_count_characters_and_not_bytes(path: str, character: str) -> None:
    longest = LENGTHS[path]
    assert faulty(at(path, "x" + character * (longest - 1))) == []
    assert faulty(at(path, "x" + character * longest)) == [path]


@pytest.mark.parametrize("path", REQUIRED)
def test_a_required_field_that_is_missing_is_named(path: str) -> None:
    assert check_pay_fields(lacking(path)) == [FieldError(path, "is required")]


@pytest.mark.parametrize("path", REQUIRED)
def test_a_required_field_is_not_there_by_being_null(path: str) -> None:
    assert faulty(at(path, None)) == [path]


@pytest.mark.parametrize("path", [path for path in REQUIRED if path in TEXTS])
def test_a_required_text_says_something(path: str) -> None:
    for nothing in ("", " ", "\t\n", "\u3000"):
        assert faulty(at(path, nothing)) == [path]


@pytest.mark.parametrize("path", sorted({*TEXTS, *OBJECTS, "order.goods"} - set(REQUIRED) - {"order.goods[0]"}))
def test_every_other_field_may_be_left_out(path: str) -> None:
    assert check_pay_fields(lacking(path)) == []


@pytest.mark.parametrize("path", ["env", "order.env"])
def test_a_mini_programs_payment_names_the_program(path: str) -> None:
    of_mini_app = at(f"{path}.terminalType", "MINI_APP")
    assert check_pay_fields(of_mini_app) == []
    del of_mini_app["appId"]
    assert check_pay_fields(of_mini_app) == [FieldError("appId", "is required with terminalType MINI_APP")]


@pytest.mark.parametrize("env", [{}, {"clientIp": "203.0.113.9"}])
def test_the_payments_own_environment_need_not_say_a_terminal_as_the_orders_must(env: dict[str, str]) -> None:
    assert check_pay_fields(at("env", env)) == []
    assert faulty(at("order.env", env)) == ["order.env.terminalType"]


@pytest.mark.parametrize("path", ["env", "order", "order.env"])
def test_what_a_mini_programs_payment_needs_is_not_asked_of_what_is_no_object(path: str) -> None:
    without_program = at(path, 5)
    del without_program["appId"]
    assert faulty(without_program) == [path]


@pytest.mark.parametrize("path", TEXTS)
def test_a_text_is_a_string_and_nothing_else(path: str) -> None:
    values: list[Any] = [None, True, False, 0, 1, 20, 1.5, float("nan"), 10**400, [], ["x"], {}, {"x": "y"}]
    for value in values:
        assert [error.field for error in check_pay_fields(at(path, value))] == [path]
    others: list[Any] = [[], ["x"], {}, {"x": "y"}]
    for value in others:
        assert check_pay_fields(at(path, value)) == [FieldError(path, "must be a string")]


@pytest.mark.parametrize(
    ("path", "value", "cure"),
    [
        ("metadata", None, "must not be null: leave it out"),
        ("order.buyer.buyerEmail", None, "must not be null: leave it out"),
        ("order.orderDescription", None, "is required; null is no value"),
        ("order", None, "is required; null is no value"),
        ("order.goods", None, "must not be null: leave it out"),
        ("metadata", True, 'must be a string: write "true"'),
        ("metadata", False, 'must be a string: write "false"'),
        ("order.goods.0.goodsQuantity", 2, 'must be a string: write the number in quotes, as "20"'),
        ("paymentAmount.value", 19.9, 'must be a string: write the number in quotes, as "20"'),
    ],
)
def test_what_the_official_sdks_bodies_hold_in_place_of_a_string_is_refused_with_its_cure(
    path: str, value: Any, cure: str
) -> None:
    assert [error.detail for error in check_pay_fields(at(path, value))] == [cure]


@pytest.mark.parametrize(
    ("wallet", "currency", "value", "multiple"),
    [
        ("ALIPAY_HK", "HKD", "1991", None),
        ("OCTOPUS", "HKD", "1991", 10),
        ("OCTOPUS", "HKD", "1990", None),
        ("JKOPAY", "TWD", "1990", 100),
        ("JKOPAY", "TWD", "1900", None),
        ("DANA", "IDR", "30050", 100),
        ("OCTOPUS", "IDR", "30050", 100),
        ("DANA", "IDR", "30000", None),
    ],
)
def test_an_amount_is_a_multiple_of_what_the_wallet_and_the_currency_move(
    wallet: str, currency: str, value: str, multiple: int | None
) -> None:
    fields = request(
        paymentAmount={"currency": currency, "value": value},
        paymentMethod={"paymentMethodType": wallet, "paymentMethodId": "token"},
    )
    errors = check_pay_fields(fields)
    assert [error.field for error in errors] == ["paymentAmount.value"] * (multiple is not None)
    assert all(f"a multiple of {multiple} in {currency}" in error.detail for error in errors)


@pytest.mark.parametrize(
    ("currency", "wallet", "within"),
    [("IDR", None, "100 in IDR"), ("IDR", "DANA", "100 in IDR"), ("TWD", "JKOPAY", "100 in TWD with JKOPAY")],
)
def test_of_what_an_amount_must_be_a_multiple_is_told(currency: str, wallet: str | None, within: str) -> None:
    faults = multiple_fault(Amount(currency, "150"), "refundAmount", wallet)
    assert faults == [FieldError("refundAmount.value", f"must be a multiple of {within}, in minor units")]


def test_a_fault_of_the_wallet_hides_none_of_the_amount() -> None:
    fields = request(paymentAmount={"currency": "IDR", "value": "30050"}, paymentMethod={"paymentMethodType": "DANA"})
    assert {error.field for error in check_pay_fields(fields)} == {
        "paymentMethod.paymentMethodId",
        "paymentAmount.value",
    }


@pytest.mark.parametrize("business_type", ["1", "5", "2|4", "1|2|3|4|5"])
def test_a_business_type_is_one_of_five_or_some_of_them(business_type: str) -> None:
    extra = {"chinaExtraTransInfo": {"businessType": business_type, "hotelName": "a hotel"}}
    assert check_pay_fields(at("order.extendInfo", extra)) == []


@pytest.mark.parametrize("business_type", [None, "6", "1,2", "", "1|6", "1|2|3|4|5|1"])
def test_any_other_business_type_is_named(business_type: str | None) -> None:
    extra = {} if business_type is None else {"businessType": business_type}
    rule = "must be of 1 (hotel), 2 (air), 3 (study abroad), 4 (goods), 5 (other), joined by |"
    assert check_pay_fields(at("order.extendInfo", {"chinaExtraTransInfo": extra})) == [
        FieldError("order.extendInfo.chinaExtraTransInfo.businessType", rule if extra else "is required")
    ]


AN_AGREEMENT = "must be 1 to 64 characters of A-Z a-z 0-9 _ -"


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("agreementId", "a", None),
        ("agreementId", "A-Z_09-", None),
        ("agreementId", "a" * 64, None),
        ("agreementId", "a" * 65, AN_AGREEMENT),
        ("agreementId", "a b", AN_AGREEMENT),
        ("agreementId", "", AN_AGREEMENT),
        ("agreementId", None, "is required; null is no value"),
        ("paymentMethodType", "x" * 64, None),
        ("paymentMethodType", "x" * 65, "must be at most 64 characters"),
        ("extendInfo", "x" * 2048, None),
        ("extendInfo", "x" * 2049, "must be at most 2048 characters"),
        ("paymentMethodId", TOKEN, "must be left out where agreementId is given"),
    ],
)
def test_an_agreement_stands_for_the_token(name: str, value: Any, detail: str | None) -> None:
    faults = check_pay_fields(request(paymentMethod={"agreementId": "agr-1", name: value}))
    assert faults == ([FieldError(f"paymentMethod.{name}", detail)] if detail else [])


@pytest.mark.parametrize("path", [path for path in REQUIRED if not path.startswith("paymentMethod")])
def test_a_payment_by_agreement_needs_everything_else(path: str) -> None:
    fields = lacking(path) | {"paymentMethod": {"agreementId": "agr-1"}}
    assert check_pay_fields(fields) == [FieldError(path, "is required")]


@pytest.mark.parametrize("path", OBJECTS)
def test_an_object_is_an_object_and_nothing_else(path: str) -> None:
    values: list[Any] = [True, 1, "x", "", [], [{}]]
    for value in values:
        assert check_pay_fields(at(path, value)) == [FieldError(path, "must be an object")]


@pytest.mark.parametrize("value", [True, 1, "x", {}, {"0": {}}])
def test_goods_is_a_list_and_nothing_else(value: Any) -> None:
    assert check_pay_fields(at("order.goods", value)) == [FieldError("order.goods", "must be a list")]


def test_goods_has_at_most_a_hundred_items() -> None:
    item = full_request()["order"]["goods"][0]
    assert faulty(at("order.goods", [])) == []
    assert faulty(at("order.goods", [item] * 100)) == []
    assert faulty(at("order.goods", [item] * 101)) == ["order.goods"]


def test_each_item_of_goods_is_named_by_its_position() -> None:
    item = full_request()["order"]["goods"][0]
    goods = [item, item | {"goodsName": 5}, item, {}]
    assert sorted(faulty(at("order.goods", goods))) == [
        "order.goods[1].goodsName",
        "order.goods[3].goodsName",
        "order.goods[3].referenceGoodsId",
    ]


# --- Amounts, currencies, ids, numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["paymentAmount.value", "order.orderAmount.value"])
@pytest.mark.parametrize("value", ["1", "9", "10", "1990", "9" * 16])
def test_an_amount_is_one_to_sixteen_digits(path: str, value: str) -> None:
    assert faulty(at(path, value)) == []


@pytest.mark.parametrize("path", ["paymentAmount.value", "order.orderAmount.value"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        "01",
        "-1",
        "+1",
        "1.0",
        "1,000",
        "1e3",
        "0x1",
        "1 ",
        "1\n",
        "\n1",
        " 1",
        "1_0",
        "１９",
        "١",
        "¹",
        "১",
        "10000000000000000",
        "99999999999999999",
        "NaN",
        "Infinity",
        "HKD",
    ],
)
def test_an_amount_is_nothing_else(path: str, value: str) -> None:
    assert faulty(at(path, value)) == [path]


def test_nothing_is_debited_for_nothing_but_an_order_may_state_it() -> None:
    assert faulty(at("paymentAmount.value", "0")) == ["paymentAmount.value"]
    assert faulty(at("order.orderAmount.value", "0")) == []


CURRENCIES = [
    "paymentAmount.currency",
    "order.orderAmount.currency",
    "order.goods[0].goodsUnitAmount.currency",
    "settlementStrategy.settlementCurrency",
]


@pytest.mark.parametrize("path", CURRENCIES)
@pytest.mark.parametrize("currency", ["JPY", "USD", "XYZ"])
def test_a_currency_is_three_capital_letters(path: str, currency: str) -> None:
    assert faulty(at(path, currency)) == []


@pytest.mark.parametrize("path", CURRENCIES)
@pytest.mark.parametrize(
    "currency", ["", "HK", "HKDD", "hkd", "Hkd", "HK1", "HK ", "HKD\n", " HKD", "ＨＫＤ", "ÄÖÜ", "344"]
)
def test_a_currency_is_nothing_else(path: str, currency: str) -> None:
    assert faulty(at(path, currency)) == [path]


@pytest.mark.parametrize("value", ["100", "30000", "9999999999999900"])
def test_rupiah_are_debited_whole(value: str) -> None:
    assert faulty(request(paymentAmount={"currency": "IDR", "value": value})) == []


@pytest.mark.parametrize("value", ["1", "10", "50", "30001", "30010", "9999999999999990"])
def test_a_fraction_of_a_rupiah_cannot_be_debited(value: str) -> None:
    assert faulty(request(paymentAmount={"currency": "IDR", "value": value})) == ["paymentAmount.value"]
    assert faulty(request(paymentAmount={"currency": "JPY", "value": value})) == []


def test_the_order_amount_need_not_equal_the_payments() -> None:
    assert faulty(at("order.orderAmount", {"currency": "USD", "value": "1"})) == []


@pytest.mark.parametrize("value", ["a", "A-Z_09-", "-", "_", "0" * 64])
def test_a_paymentrequestid_is_letters_digits_underscores_and_hyphens(value: str) -> None:
    assert faulty(request(paymentRequestId=value)) == []


@pytest.mark.parametrize(
    "value", ["", "a b", "a.b", "a/b", "a:b", "a\n", "\na", "é", "１", "a" * 65, "a%20", "a\0", "ａ"]
)
def test_a_paymentrequestid_is_nothing_else(value: str) -> None:
    assert faulty(request(paymentRequestId=value)) == ["paymentRequestId"]


@pytest.mark.parametrize(
    ("value", "well"),
    [("1", True), ("100", True), ("0", False), ("01", False), ("-1", False), ("1.5", False), ("", False)],
)
def test_a_quantity_of_goods_is_a_whole_number_from_one(value: str, well: bool) -> None:
    assert faulty(at("order.goods[0].goodsQuantity", value)) == ([] if well else ["order.goods[0].goodsQuantity"])


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T17:30:40",
        "2026-11-22 17:30:40Z",
        "2026-11-22T17:30:40z",
        "2026-11-22T17:30Z",
        "20261122T173040Z",
        "2026-11-22T17:30:40+0800",
        "2026-11-22T17:30:40+08",
        "2026-11-22T17:30:40,5Z",
        "2026-11-22T17:30:40.Z",
        "2026-11-22T17:30:40.1234567Z",
        "2026-W47-7T17:30:40Z",
        "２０２６-11-22T17:30:40Z",
        "2026-11-22T17:30:40Z\n",
        " 2026-11-22T17:30:40Z",
        "1795339803871",
        "tomorrow",
        "",
        "Z",
        # Well formed, but no such date or time.
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-22T24:00:01Z",
        "2026-11-22T23:60:00Z",
        "2026-11-22T23:59:60Z",
        "2026-11-22T17:30:40+24:00",
        "2026-11-22T17:30:40+99:99",
        "2026-11-22T17:30:40+08:60",
    ],
)
def test_an_expiry_is_a_date_and_time_with_an_offset(text: str) -> None:
    assert faulty(request(paymentExpiryTime=text)) == ["paymentExpiryTime"]


# --- What the service does not know, and what it owns ------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "order", "paymentMethod", "order.goods[0]", "order.extendInfo"])
@pytest.mark.parametrize("value", ["", "x" * 5000, [], {}, ["a", {"b": ["c"]}], {"a": {"b": "c"}}])
def test_fields_of_next_year_pass(place: str, value: Any) -> None:
    path = f"{place}.fieldOfNextYear" if place else "fieldOfNextYear"
    assert faulty(at(path, value)) == []


@pytest.mark.parametrize("value", [None, True, 1, 1.5, [1], {"a": None}, ["x", [False]]])
def test_a_scalar_that_is_no_string_is_named_even_in_a_field_of_next_year(value: Any) -> None:
    (field,) = faulty(at("order.fieldOfNextYear", value))
    assert field.startswith("order.fieldOfNextYear")


@pytest.mark.parametrize("name", ["productCode", "paymentNotifyUrl"])
@pytest.mark.parametrize("value", ["AGREEMENT_PAYMENT", "https://example.com", "", None, 1, {}, []])
def test_a_field_that_the_service_fills_in_is_named_once(name: str, value: Any) -> None:
    assert name in OWNED
    assert faulty(request(**{name: value})) == [name]


def test_an_owned_name_is_owned_at_the_top_alone() -> None:
    assert faulty(at("order.productCode", "x")) == []


# --- All faults at once ------------------------------------------------------------------------------------------


def test_every_field_at_fault_is_named_at_once() -> None:
    fields = full_request() | {"productCode": "x", "paymentNotifyUrl": "y", "appId": "x" * 33, "userRegion": 5}
    fields["paymentRequestId"] = "a b"
    fields["paymentAmount"] = {"currency": "hkd"}
    fields["order"]["goods"].append({"goodsName": ""})
    del fields["order"]["referenceOrderId"]
    fields["order"]["buyer"]["buyerName"] = "A"
    fields["env"] = []
    assert sorted(faulty(fields)) == sorted(
        [
            "productCode",
            "paymentNotifyUrl",
            "appId",
            "userRegion",
            "paymentRequestId",
            "paymentAmount.currency",
            "paymentAmount.value",
            "order.goods[1].goodsName",
            "order.goods[1].referenceGoodsId",
            "order.referenceOrderId",
            "order.buyer.buyerName",
            "env",
        ]
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"paymentAmount": {"currency": "IDR", "value": "30001"}}, "paymentAmount.value"),
        ({"paymentExpiryTime": "2026-02-30T00:00:00Z"}, "paymentExpiryTime"),
    ],
    ids=["a fraction of a rupiah", "a date that is none"],
)
def test_a_fault_of_sense_is_named_beside_a_fault_of_form(change: dict[str, Any], field: str) -> None:
    assert sorted(faulty(request(appId=5, **change))) == sorted(["appId", field])


def test_an_empty_object_lacks_what_is_required_and_nothing_more() -> None:
    assert sorted(faulty({})) == ["order", "paymentAmount", "paymentMethod", "paymentRequestId"]


# --- No value is repeated ----------------------------------------------------------------------------------------

CANARY = "CANARY-5f1d"


@pytest.mark.parametrize("path", sorted({*TEXTS, *OBJECTS, "order.goods"}))
def test_no_error_repeats_what_was_sent(path: str) -> None:
    for value in (CANARY * 500, [CANARY], {"x": [CANARY, 5]}, f"{CANARY}\n"):
        errors = check_pay_fields(at(path, value))
        assert CANARY not in repr(errors)


def test_the_access_token_is_in_no_error_wherever_it_stands() -> None:
    wrong = [TOKEN * 5, [TOKEN], {TOKEN[:5]: TOKEN}, f"{TOKEN} "]
    for path in (*TEXTS, *OBJECTS):
        for value in wrong:
            assert TOKEN not in repr(check_pay_fields(at(path, value)))


leaves = st.sampled_from([CANARY, CANARY * 30, f"{CANARY}\u00e9", 5, True, None, 1.5])
junk = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner))


@given(st.lists(st.tuples(st.sampled_from(sorted({*TEXTS, *OBJECTS, "order.goods"})), junk), max_size=4))
def test_whatever_is_wrong_where_the_check_ends_and_quotes_nothing(changes: list[tuple[str, Any]]) -> None:
    fields = full_request()
    for path, value in changes:
        inner: Any = fields
        *way, last = steps(path)
        try:
            for step in way:
                inner = inner[step]
            inner[last] = copy.deepcopy(value)
        except (TypeError, KeyError, IndexError):
            continue
    errors = check_pay_fields(fields)
    assert CANARY not in repr(errors)
    assert len({error.field for error in errors}) == len(errors)
    if "null" in json.dumps(fields) or "true" in json.dumps(fields):
        assert errors


# --- What no rule names ------------------------------------------------------------------------------------------


def nested(levels: int, leaf: Any, wrap: Callable[[Any], Any]) -> Any:
    return wrap(nested(levels - 1, leaf, wrap)) if levels else leaf


@pytest.mark.parametrize(
    ("wrap", "step"), [(lambda inner: {"a": inner}, ".a"), (lambda inner: [inner], "[0]")], ids=["objects", "lists"]
)
def test_what_no_rule_names_may_be_nested_fifteen_deep_and_no_deeper(wrap: Callable[[Any], Any], step: str) -> None:
    assert check_pay_fields(request(metadata=nested(15, "x", wrap))) == []
    (error,) = check_pay_fields(request(metadata=nested(16, "x", wrap)))
    assert error.field == "metadata" + step * 16


@pytest.mark.parametrize("name", OWNED)
def test_a_name_that_the_service_fills_in_is_any_name_elsewhere(name: str) -> None:
    assert check_pay_fields(request(metadata={name: "x"})) == []
    (error,) = check_pay_fields(request(metadata={name: 5}))
    assert error.field == f"metadata.{name}"


def test_a_text_that_is_not_required_may_say_nothing() -> None:
    assert check_pay_fields(request(appId="", metadata="")) == []


@pytest.mark.parametrize(("digits", "fits"), [(1, True), (16, True), (17, False)])
def test_a_quantity_has_sixteen_digits_at_most(digits: int, fits: bool) -> None:
    goods = [{"referenceGoodsId": "g", "goodsName": "n", "goodsQuantity": "1" * digits}]
    errors = check_pay_fields(request(order=request()["order"] | {"goods": goods}))
    assert [error.field for error in errors] == ([] if fits else ["order.goods[0].goodsQuantity"])
    assert all(error.detail for error in errors)


@pytest.mark.parametrize(("text", "matches"), [("x", True), ("x" * 64, True), ("x" * 65, False), ("", False)])
def test_an_id_that_is_looked_up_has_at_most_64_characters(text: str, matches: bool) -> None:
    assert bool(PAYMENT_REQUEST_ID.fullmatch(text)) is matches
