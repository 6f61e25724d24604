"""API Gateway's events in, problem documents out."""

import base64
import json
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from autodebit import api, telemetry
from autodebit.api import answer, answers_problems, body_of, headers_of, problem
from autodebit.errors import (
    AutodebitError,
    CertificateRefused,
    CredentialsUnavailable,
    FieldError,
    NotSent,
    OrderNotFound,
    OutcomeUnknown,
    PaymentConflict,
    RequestInvalid,
    TableFault,
)
from autodebit.payment.answers import found, named_order, taken
from autodebit.payment.order import Status

from tests.kit.samples import ID, TOKEN, order

# --- Events ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"", b"{}", '{"a":"電影 é"}'.encode(), b'{"a" : "\\u00e9"}\r\n', bytes(range(128))])
def test_a_body_is_the_bytes_that_came_in_base64_or_not(raw: bytes) -> None:
    assert body_of({"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}) == raw
    assert body_of({"body": raw.decode(), "isBase64Encoded": False}) == raw
    assert body_of({"body": raw.decode()}) == raw


def test_a_body_in_base64_need_not_be_text() -> None:
    raw = bytes(range(256))
    assert body_of({"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}) == raw


@pytest.mark.parametrize("event", [{}, {"body": None}, {"body": ""}, {"body": None, "isBase64Encoded": True}])
def test_without_a_body_there_are_no_bytes(event: dict[str, Any]) -> None:
    assert body_of(event) == b""


@pytest.mark.parametrize("text", ["e", "e30", "e30=\n!", "{}", "é", "e3 0=", "\ud800", "===="])
def test_what_should_be_base64_and_is_none_is_nothing(text: str) -> None:
    assert body_of({"body": text, "isBase64Encoded": True}) == b""


def test_a_body_that_no_codec_takes_is_no_fault_of_ours() -> None:
    assert body_of({"body": '{"a":"\ud800"}'}) == b'{"a":"\xed\xa0\x80"}'


@pytest.mark.parametrize("event", [{}, {"headers": None}, {"headers": {}}])
def test_an_event_may_have_no_headers(event: dict[str, Any]) -> None:
    assert headers_of(event) == {}


@pytest.mark.parametrize("name", ["Client-Id", "client-id", "CLIENT-ID", "cLIENT-iD"])
def test_header_names_have_no_case_and_values_do(name: str) -> None:
    assert headers_of({"headers": {name: "SANDBOX_x", "Signature": "aB"}}) == {
        "client-id": "SANDBOX_x",
        "signature": "aB",
    }


@pytest.mark.parametrize("event", [{}, {"pathParameters": None}, {"pathParameters": {}}])
def test_without_an_id_in_the_path_no_order_is_named(event: dict[str, Any]) -> None:
    with pytest.raises(OrderNotFound):
        named_order(event)


@pytest.mark.parametrize(("text", "named"), [("x" * 64, True), ("x" * 65, False), ("a b", False), ("", False)])
def test_what_cannot_be_an_id_names_no_order(text: str, named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Mock()
    monkeypatch.setattr("autodebit.payment.answers.logger", logger)
    event = {"pathParameters": {"paymentRequestId": text}}
    if named:
        assert named_order(event) == text
        logger.append_keys.assert_called_once_with(paymentRequestId=text)
    else:
        with pytest.raises(OrderNotFound):
            named_order(event)


# --- Answers -----------------------------------------------------------------------------------------------------


def test_an_answer_is_json_and_not_to_be_cached() -> None:
    given = answer(200, {"a": "電影"})
    assert given["statusCode"] == 200
    assert given["body"] == '{"a":"電影"}'
    assert given["headers"] == {"Content-Type": "application/json", "Cache-Control": "no-store"}


def test_an_answer_is_one_line_without_white_space() -> None:
    assert answer(200, {"a": [1, 2], "b": {}})["body"] == '{"a":[1,2],"b":{}}'


@pytest.mark.parametrize("status", list(Status))
def test_a_pay_is_accepted_while_init_and_answered_once_final(status: Status) -> None:
    url = f"https://pay.example.com/v1/payments/{ID}"
    given = taken(order(status=status), url)
    assert json.loads(given["body"])["status"] == status.value
    if status is Status.INIT:
        assert given["statusCode"] == 202
        assert given["headers"]["Location"] == url
        assert given["headers"]["Retry-After"] == "3"
    else:
        assert given["statusCode"] == 200
        assert not {"Location", "Retry-After"} & set(given["headers"])


@pytest.mark.parametrize("status", list(Status))
def test_an_order_that_is_looked_up_is_always_a_200(status: Status) -> None:
    given = found(order(status=status))
    assert given["statusCode"] == 200
    assert "Location" not in given["headers"]
    assert ("Retry-After" in given["headers"]) is (status is Status.INIT)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestInvalid([FieldError("a", "b")]), 400),
        (PaymentConflict(["merchantAccountId"], "INIT", decided=False), 409),
        (OrderNotFound(ID), 404),
        (NotSent("no connection"), 503),
        (CertificateRefused("certificate"), 503),
        (CredentialsUnavailable("ThrottlingException"), 503),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_every_error_of_a_merchants_route_is_a_problem_document(error: AutodebitError, status: int) -> None:
    given = problem(error)
    assert given["statusCode"] == status
    assert given["headers"]["Content-Type"] == "application/problem+json"
    document = json.loads(given["body"])
    assert document["status"] == status
    assert {"type", "title", "status", "detail"} <= set(document)
    assert document["type"] == "about:blank"
    assert all(isinstance(document[name], str) and document[name] for name in ("title", "detail"))
    assert ("errors" in document) is (status in (400, 409))


def test_a_malformed_request_names_every_field() -> None:
    faults = [FieldError("order.goods[0].goodsName", "must be a string"), FieldError("é電", "is required")]
    document = json.loads(problem(RequestInvalid(faults))["body"])
    assert document["errors"] == [
        {"field": "order.goods[0].goodsName", "detail": "must be a string"},
        {"field": "é電", "detail": "is required"},
    ]


# --- What a handler raises ---------------------------------------------------------------------------------------


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Mock:
    logger = Mock()
    monkeypatch.setattr(api, "logger", logger)
    monkeypatch.setattr(telemetry, "logger", logger)
    return logger


def raised(error: Exception) -> dict[str, Any]:
    @answers_problems
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        raise error

    return handler({}, None)


def test_what_a_handler_returns_passes() -> None:
    @answers_problems
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return {"event": event, "context": context}

    assert handler({"a": 1}, "c") == {"event": {"a": 1}, "context": "c"}


def test_a_refusal_is_counted_and_logged_by_its_kind(logged: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Mock(spec=telemetry.refused)
    monkeypatch.setattr(telemetry, "refused", refused)
    raised(CertificateRefused("certificate"))
    refused.assert_called_once_with("CertificateRefused")
    assert logged.info.call_args.kwargs == {"error": "CertificateRefused"}


def test_an_expected_error_is_no_fault(logged: Mock, counted: Mock) -> None:
    assert raised(NotSent("no connection"))["statusCode"] == 503
    counted.assert_not_called()
    logged.error.assert_not_called()
    assert TOKEN not in str(raised(RequestInvalid([FieldError("a", "b")])))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(TOKEN),
        KeyError(TOKEN),
        ValueError(TOKEN),
        RecursionError(TOKEN),
        UnicodeError(TOKEN),
        requests.ConnectionError(TOKEN),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_unexpected_error_is_a_500_that_tells_nothing_of_it(error: Exception, logged: Mock, counted: Mock) -> None:
    given = raised(error)
    assert given["statusCode"] == 500
    assert given["headers"]["Content-Type"] == "application/problem+json"
    document = json.loads(given["body"])
    assert set(document) == {"type", "title", "status", "detail"}
    assert (document["type"], document["status"]) == ("about:blank", 500)
    assert TOKEN not in str(given)
    assert TOKEN not in str(logged.mock_calls)
    assert logged.error.call_args.kwargs["error"] == type(error).__name__
    counted.assert_called_once_with("Fault")


@pytest.mark.parametrize(
    "error",
    [TableFault("UpdateError ThrottlingException"), OutcomeUnknown("HTTP 500"), AutodebitError("ours")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_ours_without_a_problem_is_a_500_too(error: Exception, logged: Mock, counted: Mock) -> None:
    given = raised(error)
    assert given["statusCode"] == 500
    assert str(error) not in given["body"]
    assert logged.error.call_args.kwargs["detail"] == str(error)
    counted.assert_called_once_with("Fault")


def test_a_fault_is_logged_by_its_place_without_what_caused_it(logged: Mock, counted: Mock) -> None:
    @answers_problems
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        try:
            raise ValueError(TOKEN)
        except ValueError as error:
            raise RuntimeError(TOKEN) from error

    handler({}, None)
    assert TOKEN not in str(logged.mock_calls)
    assert any("test_api.py" in line for line in logged.error.call_args.kwargs["stack"])


def test_a_fault_that_is_no_error_of_the_program_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt):
        raised(KeyboardInterrupt())  # type: ignore[arg-type]
