"""How executions start, wait, retry and fail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.kit.waiting import eventually

from .kit import Emulator, task


def test_a_start_is_idempotent_while_the_execution_is_open(stock: Emulator, corrected: Emulator) -> None:
    def starts(emulator: Emulator) -> list[str]:
        machine = emulator.machine(
            {"Pause": {"Type": "Wait", "Seconds": 10, "Next": "End"}, "End": {"Type": "Succeed"}}
        )

        def start(amount: str) -> str:
            try:
                arn = emulator.aws("stepfunctions").start_execution(
                    stateMachineArn=machine, name="payment", input=json.dumps({"amount": amount})
                )["executionArn"]
                return str(arn).split(":")[-1]
            except ClientError as error:
                return str(error.response["Error"]["Code"])

        answers = [start("1"), start("1"), start("2")]
        while emulator.aws("stepfunctions").list_executions(stateMachineArn=machine, statusFilter="RUNNING")[
            "executions"
        ]:
            time.sleep(0.05)
        return [*answers, start("1")]

    exists = "ExecutionAlreadyExists"
    assert starts(corrected) == ["payment", "payment", exists, exists]
    assert starts(stock) == ["payment", exists, exists, exists]


@pytest.mark.parametrize("name", ["x" * 81, "a b", "a/b", "a#b", "a:b", "\u0007"])
def test_names_are_checked(stock: Emulator, corrected: Emulator, name: str) -> None:
    def start(emulator: Emulator) -> Any:
        machine = emulator.machine({"End": {"Type": "Succeed"}})
        return emulator.aws("stepfunctions").start_execution(stateMachineArn=machine, name=name)

    with pytest.raises(ClientError) as refusal:
        start(corrected)
    assert refusal.value.response["Error"]["Code"] == "InvalidName"
    assert start(stock)


def test_executions_start_at_once(stock: Emulator, corrected: Emulator) -> None:
    def seconds(emulator: Emulator) -> Iterator[float]:
        machine = emulator.machine({"End": {"Type": "Succeed"}})
        return (emulator.run(machine)["seconds"] for _ in range(300))

    # On a busy machine a quick one may be rare; in ministack there is none.
    assert any(took < 0.15 for took in seconds(corrected))
    assert all(took > 0.15 for took in islice(seconds(stock), 12))


def test_only_wait_states_are_scaled(stock: Emulator, corrected: Emulator) -> None:
    pause = {
        "Pause": {"Type": "Wait", "Seconds": "{% $states.input.pause %}", "Next": "End"},
        "End": {"Type": "Succeed"},
    }
    assert 2 <= corrected.run(corrected.machine(pause), pause=20)["seconds"] < 20

    def retried(emulator: Emulator) -> float:
        retry = [{"ErrorEquals": ["CardDeclined", "Runtime.HandlerError"], "IntervalSeconds": 4, "MaxAttempts": 1}]
        emulator.invoke(do="raise")  # a cold start would be timed too
        execution = emulator.run(emulator.machine(task(emulator, Retry=retry)), do="raise")
        assert execution["status"] == "FAILED"
        return float(execution["seconds"])

    assert retried(corrected) > 4
    assert any(retried(stock) < 4 for _ in range(10))


def test_retries_wait_no_longer_than_they_may(stock: Emulator, corrected: Emulator) -> None:
    def seconds(emulator: Emulator, **fields: Any) -> float:
        retrier = {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 2, **fields}
        return float(emulator.run(emulator.machine(task(emulator, Retry=[retrier])), do="raise")["seconds"])

    assert 2 <= seconds(corrected, BackoffRate=30, MaxDelaySeconds=1) < 31
    assert seconds(stock, BackoffRate=30, MaxDelaySeconds=1) > 3  # a tenth of 1 + 30


def test_failures_are_caught_by_name(stock: Emulator, corrected: Emulator) -> None:
    def status(emulator: Emulator) -> str:
        catch = [{"ErrorEquals": ["CardDeclined"], "Next": "Done"}]
        machine = emulator.machine(task(emulator, Catch=catch) | {"Done": {"Type": "Succeed"}})
        return str(emulator.run(machine, do="raise")["status"])

    assert status(corrected) == "SUCCEEDED"
    assert status(stock) == "FAILED"


def test_throttling_has_its_name(stock: Emulator, corrected: Emulator) -> None:
    def error(emulator: Emulator) -> str:
        function = emulator.function()
        emulator.aws("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        return str(emulator.run(emulator.machine(task(emulator, function)))["error"])

    assert error(corrected) == "Lambda.TooManyRequestsException"
    assert error(stock) == "Lambda.Unknown"


def test_a_task_times_out(corrected: Emulator) -> None:
    machine = corrected.machine(task(corrected, TimeoutSeconds=1))
    execution = corrected.run(machine, do="sleep", seconds=5)
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")
    assert execution["seconds"] < 5


def test_a_function_times_out(corrected: Emulator) -> None:
    function = corrected.function(timeout=1)
    execution = corrected.run(corrected.machine(task(corrected, function)), do="sleep", seconds=5)
    assert (execution["status"], execution["error"]) == ("FAILED", "Sandbox.Timedout")


def test_a_distributed_map_speaks_jsonata(stock: Emulator, corrected: Emulator) -> None:
    def execution(emulator: Emulator, *statements: tuple[str, str]) -> dict[str, Any]:
        bucket = f"bucket-{uuid4().hex[:8]}"
        emulator.aws("s3").create_bucket(Bucket=bucket)
        emulator.aws("s3").put_object(Bucket=bucket, Key="lines", Body=b"id,amount\n1,10\n2,20\n3,30\n")
        arguments = {"Bucket": "{% $states.input.bucket %}", "Key": "lines"}
        reading = {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}
        reader = {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": reading, "Arguments": arguments}
        map_ = {
            "Type": "Map",
            "ItemReader": reader,
            "ItemSelector": {"amount": "{% $states.context.Map.Item.Value.amount %}", "of": "{% $states.input.of %}"},
            "ItemBatcher": {"MaxItemsPerBatch": 2, "BatchInput": {"of": "{% $states.input.of %}"}},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "Same",
                "States": {"Same": {"Type": "Pass", "End": True}},
            },
            "Output": {"batches": "{% $states.result %}"},
            "End": True,
        }
        machine = emulator.machine({"Lines": map_}, role=emulator.role(*statements))
        return emulator.run(machine, bucket=bucket, of="report")

    def line(amount: str) -> dict[str, str]:
        return {"amount": amount, "of": "report"}

    start, read = ("states:StartExecution", "*"), ("s3:GetObject", "*")
    shared = {"BatchInput": {"of": "report"}}
    assert json.loads(execution(corrected, start, read)["output"]) == {
        "batches": [{"Items": [line("10"), line("20")], **shared}, {"Items": [line("30")], **shared}]
    }
    assert execution(corrected, start)["error"] == "States.ItemReaderFailed"
    assert execution(corrected, read)["status"] == "FAILED"
    assert execution(stock, start, read)["status"] == "FAILED"


def test_a_distributed_map_bears_the_failures_it_may(corrected: Emulator) -> None:
    def status(tolerated: int) -> str:
        processor = {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Call",
            "States": task(corrected),
        }
        states = {
            "Each": {
                "Type": "Map",
                "Items": "{% $states.input.items %}",
                "ItemProcessor": processor,
                "ToleratedFailurePercentage": tolerated,
                "End": True,
            }
        }
        role = corrected.role(("states:StartExecution", "*"), ("lambda:InvokeFunction", "*"))
        return str(corrected.run(corrected.machine(states, role=role), items=[{}, {"do": "raise"}])["status"])

    assert status(50) == "SUCCEEDED"
    assert status(49) == "FAILED"


def test_an_object_starts_a_machine(corrected: Emulator) -> None:
    name, bucket = f"rule-{uuid4().hex[:8]}", f"bucket-{uuid4().hex[:8]}"
    corrected.aws("s3").create_bucket(Bucket=bucket)
    corrected.aws("s3").put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    machine = corrected.machine({"End": {"Type": "Succeed"}})
    of_bucket = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [bucket]}}}
    corrected.aws("events").put_rule(Name=name, EventPattern=json.dumps(of_bucket))
    target = {"Id": "1", "Arn": machine, "RoleArn": corrected.role(("states:StartExecution", "*"))}
    corrected.aws("events").put_targets(Rule=name, Targets=[target])
    corrected.aws("s3").put_object(Bucket=bucket, Key="inbox/a b.csv", Body=b"x")

    def executions() -> Any:
        return corrected.aws("stepfunctions").list_executions(stateMachineArn=machine)["executions"]

    [started] = eventually(executions, "an execution", within_s=60)
    described = corrected.aws("stepfunctions").describe_execution(executionArn=started["executionArn"])
    assert json.loads(described["input"])["detail"]["object"]["key"] == "inbox/a b.csv"


def test_a_machine_succeeds_with_the_output_it_says(stock: Emulator, corrected: Emulator) -> None:
    def output(emulator: Emulator) -> Any:
        end = {"Type": "Succeed", "Output": {"status": "{% $states.input.status %}"}}
        return json.loads(emulator.run(emulator.machine({"End": end}), status="INIT", more="of it")["output"])

    assert output(corrected) == {"status": "INIT"}
    assert output(stock) == {"status": "INIT", "more": "of it"}


def test_a_result_has_at_most_256_kb(stock: Emulator, corrected: Emulator) -> None:
    def ended(emulator: Emulator, length: int) -> tuple[str, str]:
        execution = emulator.run(emulator.machine(task(emulator)), do="answer", answer="x" * length)
        return execution["status"], execution.get("error", "")

    assert ended(corrected, 250_000) == ("SUCCEEDED", "")
    assert ended(corrected, 263_000) == ("FAILED", "States.DataLimitExceeded")
    assert ended(stock, 263_000) == ("SUCCEEDED", "")
