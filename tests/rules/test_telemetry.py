"""Which metric a failed call counts under, so that an alarm hears what somebody has to mend; and how lines look."""

import json
import logging
from unittest.mock import Mock

import pytest
from autodebit import telemetry
from autodebit.errors import (
    AnswerRefused,
    CertificateRefused,
    CredentialsUnavailable,
    GatewayError,
    NotSent,
    OutcomeUnknown,
)


@pytest.mark.parametrize(
    ("error", "metric"),
    [
        (AnswerRefused("unsigned INVALID_SIGNATURE"), "AnswerRefused"),
        (CertificateRefused("certificate"), "AnswerRefused"),
        (CredentialsUnavailable("ThrottlingException"), "Fault"),
        (NotSent("no connection"), "NoAnswer"),
        (OutcomeUnknown("HTTP 500"), "NoAnswer"),
    ],
    ids=lambda value: getattr(value, "reason", value),
)
def test_a_failed_call_is_counted_by_who_has_to_act(error: GatewayError, metric: str, counted: Mock) -> None:
    telemetry.call_failed("pay", error)
    counted.assert_called_once_with(metric)


@pytest.mark.parametrize(
    "text", ['\n{"message":"payment settled"}', "\x1b[2J", "\x7f", "\x9b2J", "\x85", "\u2028", "電影"]
)
def test_a_log_line_is_one_line_of_ascii_whatever_it_quotes(text: str) -> None:
    record = logging.LogRecord("autodebit", logging.ERROR, __file__, 1, "contradicts", None, None)
    record.said = text
    line = telemetry.logger.registered_formatter.format(record)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["said"] == text


def test_a_log_line_does_not_repeat_what_its_log_group_says() -> None:
    class Context:
        function_name, memory_limit_in_mb, invoked_function_arn, aws_request_id = "shop-Notify", 512, "arn", "r-1"

    @telemetry.logger.inject_lambda_context(clear_state=True)
    def handler(event: object, context: object) -> str:
        record = logging.LogRecord("autodebit", logging.INFO, __file__, 1, "payment settled", None, None)
        return telemetry.logger.registered_formatter.format(record)

    line = json.loads(handler({}, Context()))
    telemetry.logger.remove_keys(["function_request_id", "cold_start"])
    assert line["function_request_id"] == "r-1"
    assert not line.keys() & {"function_name", "function_memory_size", "function_arn"}
