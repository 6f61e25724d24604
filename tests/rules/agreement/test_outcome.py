"""What consult, applyToken and revoke say, and what only looks as if it said something."""

from datetime import UTC, datetime
from typing import Any

import pytest
from autodebit.agreement.agreement import QrCode
from autodebit.agreement.outcome import Refused, Revoked, Tokens, read_consult, read_revoke, read_tokens
from autodebit.alipay.reading import Undecided

from tests.kit.agreements import ACCESS_TOKEN, REFRESH_TOKEN, applied, consulted, result


def detail(kind: Any, value: Any, code_type: Any = "QRCODE") -> dict[str, Any]:
    return {"displayType": kind, "codeValue": value, "codeValueType": code_type}


def form(*details: Any) -> dict[str, Any]:
    return consulted(authCodeForm={"codeDetails": list(details)})


def test_consult_shows_a_text_and_a_picture() -> None:
    assert read_consult(consulted()) == QrCode(
        "https://qr.example-wallet.com/2810", "https://img.example-wallet.com/2810"
    )


@pytest.mark.parametrize("kind", ["IMAGE", "SMALLIMAGE", "MIDDLEIMAGE", "BIGIMAGE"])
def test_every_size_of_picture_is_one(kind: str) -> None:
    assert read_consult(form(detail(kind, "https://img"))) == QrCode(None, "https://img")


def test_the_first_of_each_kind_counts_and_what_cannot_be_read_is_passed_over() -> None:
    unreadable = ["x", {}, detail("TEXT", ""), detail("TEXT", 1), detail("TEXT", "a" * 2049)]
    unreadable += [detail(None, "of no kind"), detail("URL", "of a kind that nobody knows")]
    wanted = form(*unreadable, detail("TEXT", "one"), detail("TEXT", "two"), detail("TEXT", "three", "BARCODE"))
    assert read_consult(wanted) == QrCode("one", None)
    assert read_consult(form(*(detail(kind, kind) for kind in ("SMALLIMAGE", "BIGIMAGE")))) == QrCode(
        None, "SMALLIMAGE"
    )
    assert read_consult(form(detail("TEXT", "a" * 2048))) == QrCode("a" * 2048, None)
    assert read_consult(form(detail("TEXT", "bar", "BARCODE"), detail("TEXT", "qr"))) == QrCode("qr", None)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (form(), "consult S without a QR code"),
        (consulted(authCodeForm=None), "consult S without a QR code"),
        (consulted(authCodeForm=[]), "consult S without a QR code"),
        (consulted(authCodeForm={"codeDetails": {}}), "consult S without a QR code"),
        (result("S", "SUCCESS"), "consult S without a QR code"),
        (result("U", "UNKNOWN_EXCEPTION"), "consult U/UNKNOWN_EXCEPTION"),
        (consulted() | result("X", "SUCCESS"), "consult X/SUCCESS"),
        ({}, "consult /"),
    ],
)
def test_consult_without_a_qr_code_decides_nothing(answer: dict[str, Any], said: str) -> None:
    assert read_consult(answer) == Undecided(said)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (None, None),
        ("", None),
        ("No pay options.", "No pay options."),
        ("no agreement 281012020262467128", "no agreement ***"),
        ("No. " * 65, "No. " * 64),
    ],
)
def test_a_refused_consult_says_what_alipay_said_at_most_256_characters_and_no_token(
    said: str | None, shown: str | None
) -> None:
    answer = {"result": {"resultStatus": "F", "resultCode": "NO_PAY_OPTIONS", "resultMessage": said}}
    assert read_consult(answer) == Refused("NO_PAY_OPTIONS", shown)


def test_a_refusal_names_its_code() -> None:
    assert read_tokens(result("F", "INVALID_AUTHCODE")) == Refused("INVALID_AUTHCODE")


def test_an_exchange_brings_tokens_and_when_they_end() -> None:
    assert read_tokens(applied()) == Tokens(
        ACCESS_TOKEN, REFRESH_TOKEN, datetime(2037, 12, 31, 16, tzinfo=UTC), "852-****1234"
    )
    assert ACCESS_TOKEN not in repr(read_tokens(applied()))
    assert REFRESH_TOKEN not in repr(read_tokens(applied()))


@pytest.mark.parametrize(
    "expiry", [None, "", "never", "2038-01-01T00:00:00", 1, "9999-12-31T23:59:59-08:00", "0001-01-01T00:00:00+08:00"]
)
def test_a_token_whose_end_cannot_be_read_is_one_without_a_known_end(expiry: Any) -> None:
    tokens = read_tokens(applied(accessTokenExpiryTime=expiry))
    assert isinstance(tokens, Tokens)
    assert tokens.expires_at is None


@pytest.mark.parametrize("refresh_token", [None, "", " ", "a" * 129, 1])
def test_without_a_usable_refresh_token_there_is_none(refresh_token: Any) -> None:
    tokens = read_tokens(applied(refreshToken=refresh_token))
    assert isinstance(tokens, Tokens)
    assert tokens.refresh_token is None


@pytest.mark.parametrize("access_token", [None, "", "  ", "a" * 129, 1, ["a"]])
def test_a_success_without_a_usable_token_links_nothing(access_token: Any) -> None:
    assert isinstance(read_tokens(applied(accessToken=access_token)), Undecided)


@pytest.mark.parametrize("length", [1, 128])
def test_a_token_of_1_to_128_characters_is_one(length: int) -> None:
    assert isinstance(read_tokens(applied(accessToken="a" * length)), Tokens)


def test_a_token_may_come_alone() -> None:
    alone = read_tokens(result("S", "SUCCESS") | {"accessToken": ACCESS_TOKEN})
    assert alone == Tokens(ACCESS_TOKEN) == Tokens(ACCESS_TOKEN, None, None, None)


def test_a_login_is_kept_in_its_length() -> None:
    tokens = read_tokens(applied(userLoginId="a" * 65))
    assert isinstance(tokens, Tokens)
    assert tokens.user_login_id == "a" * 64


@pytest.mark.parametrize("code", ["AUTH_IN_PROCESS", "UNKNOWN_EXCEPTION", "REQUEST_TRAFFIC_EXCEED_LIMIT"])
def test_an_unknown_outcome_is_no_failure(code: str) -> None:
    assert read_tokens(result("U", code)) == Undecided(f"applyToken U/{code}")


def test_a_revocation_is_over_when_it_was_done_or_had_been_before() -> None:
    assert read_revoke(result("S", "SUCCESS")) == Revoked()
    assert read_revoke(result("F", "INVALID_ACCESS_TOKEN")) == Revoked("INVALID_ACCESS_TOKEN")


@pytest.mark.parametrize(
    ("status", "code"),
    [("F", "PROCESS_FAIL"), ("F", "OAUTH_FAILED"), ("U", "INVALID_ACCESS_TOKEN"), ("U", "UNKNOWN_EXCEPTION"), ("", "")],
)
def test_any_other_answer_leaves_a_revocation_to_the_next_try(status: str, code: str) -> None:
    assert read_revoke(result(status, code)) == Undecided(f"revoke {status}/{code}")
