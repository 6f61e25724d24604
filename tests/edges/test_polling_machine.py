"""Starting executions, with Step Functions' answers played back."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from autodebit.errors import PollingFault, PollingThrottled
from autodebit.polling_machine import PollingMachine
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:Polling"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:Polling:ord-1-2"
START = {
    "stateMachineArn": ARN,
    "name": "ord-1-2",
    "input": json.dumps({"paymentRequestId": "ord-1", "round": 2, "inquiry": 0, "waitSeconds": 3}),
}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PollingMachine, Stubber]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    # The proof of schedules, once it is collected, lets no call through to AWS that no emulator stands for.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    machine = PollingMachine(ARN, 3)
    with Stubber(machine._client) as stub:
        yield machine, stub
        stub.assert_no_pending_responses()


def test_an_execution_is_started_under_the_rounds_name(played: tuple[PollingMachine, Stubber]) -> None:
    machine, stub = played
    stub.add_response("start_execution", {"executionArn": EXECUTION, "startDate": "2026-11-22T09:30:00Z"}, START)
    assert machine.start("ord-1", 2) is True


def test_what_was_heard_goes_with_it(played: tuple[PollingMachine, Stubber]) -> None:
    machine, stub = played
    told = json.dumps({**json.loads(START["input"]), "heard": "pay U/PAYMENT_IN_PROCESS"})
    begun = {"executionArn": EXECUTION, "startDate": "2026-11-22T09:30:00Z"}
    stub.add_response("start_execution", begun, START | {"input": told})
    assert machine.start("ord-1", 2, None, "pay U/PAYMENT_IN_PROCESS") is True


def test_a_name_that_is_taken_is_an_answer(played: tuple[PollingMachine, Stubber]) -> None:
    machine, stub = played
    stub.add_client_error("start_execution", "ExecutionAlreadyExists")
    assert machine.start("ord-1", 2) is False


@pytest.mark.parametrize("code", ["ThrottlingException", "ExecutionLimitExceeded", "AccessDenied", "InvalidName"])
def test_any_other_refusal_is_a_fault(played: tuple[PollingMachine, Stubber], code: str) -> None:
    machine, stub = played
    stub.add_client_error("start_execution", code)
    with pytest.raises(PollingFault):
        machine.start("ord-1", 2)
    stub.add_client_error("describe_execution", code)
    with pytest.raises(PollingFault):
        machine.is_running("ord-1", 2)


def test_step_functions_out_of_reach_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = PollingMachine(ARN, 3)

    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://states")

    monkeypatch.setattr(machine._client, "start_execution", unreachable)
    with pytest.raises(PollingFault):
        machine.start("ord-1", 2)


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE"])
def test_only_an_execution_that_runs_is_running(played: tuple[PollingMachine, Stubber], status: str) -> None:
    machine, stub = played
    response = {
        "executionArn": EXECUTION,
        "stateMachineArn": ARN,
        "status": status,
        "startDate": "2026-11-22T09:30:00Z",
    }
    stub.add_response("describe_execution", response, {"executionArn": EXECUTION})
    assert machine.is_running("ord-1", 2) is (status == "RUNNING")


def test_a_start_is_tried_twice_within_three_seconds_in_all() -> None:
    """A kept connection may have died since; a start is idempotent by its name."""
    config = PollingMachine(ARN, 3)._client.meta.config
    assert 2 * (config.connect_timeout + config.read_timeout) <= 3
    assert config.retries["total_max_attempts"] == 2


@pytest.mark.parametrize(("code", "throttled"), [("ThrottlingException", True), ("AccessDenied", False)])
def test_a_start_refused_for_the_load_is_told_from_any_other(
    played: tuple[PollingMachine, Stubber], code: str, throttled: bool
) -> None:
    machine, stub = played
    stub.add_client_error("start_execution", code)
    with pytest.raises(PollingFault) as refused:
        machine.start("ord-1", 2)
    assert isinstance(refused.value, PollingThrottled) is throttled
