"""What a notifyAuthorization message must have to be one."""

import json
from typing import Any

import pytest
from autodebit.agreement.notification import Authorization, Kind, parse_authorization
from autodebit.errors import NotificationMalformed

from tests.kit.agreements import ACCESS_TOKEN, AUTH_CODE, AUTH_STATE, code_created, result


def parsed(**changes: Any) -> Authorization:
    message = {name: value for name, value in code_created(**changes).items() if value is not ...}
    return parse_authorization(json.dumps(message).encode())


def token_message(kind: str, **changes: Any) -> Authorization:
    return parsed(authorizationNotifyType=kind, authCode=..., accessToken=ACCESS_TOKEN, **changes)


def test_a_code_names_its_consult() -> None:
    assert parsed(userLoginId="852-****1234") == Authorization(
        Kind.AUTHCODE_CREATED, AUTH_STATE, AUTH_CODE, "852-****1234", succeeded=True
    )
    assert AUTH_CODE not in repr(parsed())


def test_a_token_is_created_for_a_consult_and_canceled_by_itself() -> None:
    assert token_message("TOKEN_CREATED") == Authorization(
        Kind.TOKEN_CREATED, AUTH_STATE, ACCESS_TOKEN, None, succeeded=True
    )
    assert token_message("TOKEN_CANCELED", authState=...) == Authorization(
        Kind.TOKEN_CANCELED, "", ACCESS_TOKEN, None, succeeded=True
    )


def test_blanks_at_the_ends_of_names_and_values_are_an_old_samples() -> None:
    message = {f"{name} ": f" {value} " if isinstance(value, str) else value for name, value in code_created().items()}
    assert parse_authorization(json.dumps(message).encode()) == parsed()


def test_an_old_sample_calls_the_result_otherwise() -> None:
    renamed = parsed(result=..., resultInfo={"resultStatus ": "S "})
    assert renamed.succeeded
    assert not parsed(result=..., resultInfo={"resultStatus": "F"}).succeeded


@pytest.mark.parametrize(
    ("given", "succeeded"), [(..., True), (result("F", "PROCESS_FAIL")["result"], False), ("S", False), (1, False)]
)
def test_only_a_success_links(given: Any, succeeded: bool) -> None:
    assert parsed(result=given).succeeded is succeeded


@pytest.mark.parametrize("kind", [..., "", "PAYMENT_RESULT", "authcode_created", None, 1, ["AUTHCODE_CREATED"]])
def test_another_type_is_no_authorization(kind: Any) -> None:
    with pytest.raises(NotificationMalformed):
        parsed(authorizationNotifyType=kind)


@pytest.mark.parametrize("code", [..., "", " ", "a" * 129, None, 1, {}])
def test_a_code_is_a_text_of_at_most_128_characters(code: Any) -> None:
    with pytest.raises(NotificationMalformed):
        parsed(authCode=code)
    assert parsed(authCode="a" * 128)


@pytest.mark.parametrize("token", [..., "", "a" * 129, 1])
@pytest.mark.parametrize("kind", ["TOKEN_CREATED", "TOKEN_CANCELED"])
def test_a_token_is_a_text_of_at_most_128_characters(kind: str, token: Any) -> None:
    with pytest.raises(NotificationMalformed):
        parsed(authorizationNotifyType=kind, authCode=..., accessToken=token)


@pytest.mark.parametrize("kind", ["AUTHCODE_CREATED", "TOKEN_CREATED"])
@pytest.mark.parametrize("auth_state", [..., "", " ", "a" * 257, 1])
def test_what_is_created_names_its_consult(kind: str, auth_state: Any) -> None:
    with pytest.raises(NotificationMalformed):
        parsed(authorizationNotifyType=kind, accessToken=ACCESS_TOKEN, authState=auth_state)


def test_texts_are_kept_in_their_lengths() -> None:
    long = parsed(authState="a" * 256, userLoginId="b" * 65)
    assert (long.auth_state, long.user_login_id) == ("a" * 256, "b" * 64)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"authCode":"a","authCode":"b"}', b"null", b'"x"'])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(NotificationMalformed):
        parse_authorization(body)


@pytest.mark.parametrize("changes", [{"authCode ": "another"}, {"others": [{"name": 1, "name ": 2}]}])
def test_a_name_that_occurs_twice_is_refused_also_with_a_blank(changes: dict[str, Any]) -> None:
    with pytest.raises(NotificationMalformed):
        parsed(**changes)


def test_a_refusal_quotes_nothing() -> None:
    with pytest.raises(NotificationMalformed) as raised:
        parsed(authCode=AUTH_CODE * 9)
    assert AUTH_CODE not in str(raised.value)
