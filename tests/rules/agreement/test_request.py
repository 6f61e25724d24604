"""The merchant's request for an agreement, and the bytes of consult that come of it."""

import json
import re
from typing import Any

import pytest
from autodebit.agreement.request import LinkRequest, agreement_id_in, new_auth_state, parse_link_request
from autodebit.errors import RequestInvalid
from hypothesis import example, given
from hypothesis.strategies import from_regex, text

NOTIFY_URL = "https://pay.example.com/v1/notifications/authorization"
REQUEST = {"agreementId": "agr-4711-1", "customerBelongsTo": "ALIPAY_HK"}


def request(**changes: Any) -> LinkRequest:
    fields = {name: value for name, value in (REQUEST | changes).items() if value is not None}
    return parse_link_request(json.dumps(fields).encode())


def consulted(**changes: Any) -> Any:
    return json.loads(request(**changes).consult_body("state", NOTIFY_URL))


def faults(**changes: Any) -> dict[str, str]:
    with pytest.raises(RequestInvalid) as raised:
        request(**changes)
    return {error.field: error.detail for error in raised.value.errors}


def at_fault(**changes: Any) -> list[str]:
    return list(faults(**changes))


def test_consult_asks_for_an_agreement_to_pay_and_names_where_to_notify() -> None:
    assert consulted() == {
        "customerBelongsTo": "ALIPAY_HK",
        "authRedirectUrl": "https://pay.example.com/",
        "scopes": ["AGREEMENT_PAY"],
        "authState": "state",
        "authNotifyUrl": NOTIFY_URL,
        "terminalType": "WEB",
        "env": {"terminalType": "WEB"},
    }


def test_other_fields_of_consult_pass_through() -> None:
    given = {
        "authRedirectUrl": "https://shop.example/linked",
        "env": {"terminalType": "APP", "clientIp": "203.0.113.9"},
        "merchantRegion": "SG",
        "authClientId": "sub-1",
        "merchantAccountId": "acc-1",
        "extendInfo": "x",
        "tomorrowsField": {"a": ["b"]},
    }
    sent = consulted(**given)
    assert {name: sent[name] for name in given} == given
    assert "agreementId" not in sent


def test_the_row_is_told_what_later_calls_name() -> None:
    named = request(merchantRegion="SG", merchantAccountId="acc-1")
    assert (named.agreement_id, named.customer_belongs_to) == ("agr-4711-1", "ALIPAY_HK")
    assert (named.merchant_region, named.merchant_account_id) == ("SG", "acc-1")
    unnamed = request(merchantRegion="", merchantAccountId="")
    assert (unnamed.merchant_region, unnamed.merchant_account_id) == (None, None)
    assert (request().merchant_region, request().merchant_account_id) == (None, None)


def test_an_environment_without_a_terminal_is_a_web_page() -> None:
    assert consulted(env={"clientIp": "203.0.113.9"})["env"] == {"clientIp": "203.0.113.9", "terminalType": "WEB"}


def test_the_same_request_gives_the_same_bytes_in_whatever_order_it_came() -> None:
    turned = LinkRequest(dict(reversed(list(request().fields.items()))))
    assert turned.consult_body("state", NOTIFY_URL) == request().consult_body("state", NOTIFY_URL)


@pytest.mark.parametrize("owned", ["scopes", "authState", "authNotifyUrl", "terminalType"])
def test_what_the_bundle_sets_is_refused_by_its_name(owned: str) -> None:
    assert at_fault(**{owned: "x"}) == [owned]


@pytest.mark.parametrize(
    "changes",
    [
        {"agreementId": None},
        {"agreementId": ""},
        {"agreementId": "a" * 65},
        {"agreementId": "a.b"},
        {"agreementId": "a b"},
        {"agreementId": 1},
        {"customerBelongsTo": None},
        {"customerBelongsTo": " "},
        {"customerBelongsTo": "A" * 65},
        {"authRedirectUrl": "http://shop.example/linked"},
        {"authRedirectUrl": "shop.example"},
        {"authRedirectUrl": "https://"},
        {"authRedirectUrl": "https:///linked"},
        {"authRedirectUrl": "https://shop.example/linked wallets"},
        {"extendInfo": {"no": "string"}},
        {"env": "no object"},
    ],
    ids=str,
)
def test_a_field_at_fault_is_named(changes: dict[str, Any]) -> None:
    assert at_fault(**changes) == list(changes)


LENGTHS = {"authClientId": 64, "merchantRegion": 2, "merchantAccountId": 64, "extendInfo": 2048}
ENV_LENGTHS = {"terminalType": 64, "osType": 64, "osVersion": 16, "userAgent": 1024, "deviceTokenId": 64}
ENV_LENGTHS |= {"clientIp": 64, "cookieId": 64, "extendInfo": 2048}


@pytest.mark.parametrize(("name", "longest"), LENGTHS.items())
def test_optional_texts_have_their_lengths(name: str, longest: int) -> None:
    assert request(**{name: "ü" * longest}).fields[name] == "ü" * longest
    assert faults(**{name: "ü" * (longest + 1)}) == {name: f"must be at most {longest} characters"}


@pytest.mark.parametrize(("name", "longest"), ENV_LENGTHS.items())
def test_texts_of_the_environment_have_their_lengths(name: str, longest: int) -> None:
    assert request(env={name: "ü" * longest}).fields["env"] == {name: "ü" * longest}
    assert faults(env={name: "ü" * (longest + 1)}) == {f"env.{name}": f"must be at most {longest} characters"}


def test_an_address_is_one_of_https_of_at_most_1024_characters() -> None:
    for address in ("https://a", "https://" + "a" * 1016):
        assert request(authRedirectUrl=address).fields["authRedirectUrl"] == address
    assert faults(authRedirectUrl="https://" + "a" * 1017) == {
        "authRedirectUrl": "must be an https URL of at most 1024 characters"
    }


def test_an_id_says_of_what_it_may_be_made() -> None:
    assert faults(agreementId="a.b") == {"agreementId": "must be 1 to 64 characters of A-Z a-z 0-9 _ -"}
    assert request(agreementId="a").agreement_id == "a"


def test_every_fault_is_named_at_once() -> None:
    assert at_fault(agreementId="?", customerBelongsTo=None, scopes=[]) == [
        "scopes",
        "customerBelongsTo",
        "agreementId",
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"a":1,"a":2}', b'{"agreementId":"\xef\xbf\xbd"}', b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestInvalid) as raised:
        parse_link_request(body)
    assert [error.field for error in raised.value.errors] == ["body"]


@example("a")
@example("Z" * 64)
@given(from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_an_auth_state_leads_back_to_its_agreement(agreement_id: str) -> None:
    auth_state = new_auth_state(agreement_id)
    assert re.fullmatch(r"[A-Za-z0-9-]{22,256}", auth_state)
    assert agreement_id_in(auth_state) == agreement_id


@given(text())
def test_any_other_text_leads_nowhere_or_to_an_id(auth_state: str) -> None:
    found = agreement_id_in(auth_state)
    assert found is None or re.fullmatch(r"[A-Za-z0-9_-]{1,64}", found)


@pytest.mark.parametrize(
    "foreign",
    [
        "",
        "auth-cust-4711-1",
        f"{b'a.b'.hex()}-{'0' * 32}",
        f"616-{'0' * 32}",
        f"{b'agr'.hex()}-{'0' * 31}",
        f"{b'agr'.hex()}-{'0' * 33}",
        f"{b'agr'.hex()}{'0' * 32}",
        f"{b'agr'.hex()}-{'0' * 32}\n",
        f"{b'a'.hex() * 65}-{'0' * 32}",
        f"{b'agr'.hex()}-{'A' * 32}",
        f"{b'jkl'.hex().upper()}-{'0' * 32}",
        f"zz-{'0' * 32}",
    ],
)
def test_a_foreign_auth_state_leads_nowhere(foreign: str) -> None:
    assert agreement_id_in(foreign) is None


def test_every_auth_state_is_another() -> None:
    assert len({new_auth_state("agr-4711-1") for _ in range(1000)}) == 1000
