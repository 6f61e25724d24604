"""Executions start, retry and invoke functions as Standard workflows of Step Functions do."""

from __future__ import annotations

import contextvars
import json
import random
import re
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from ministack import app
from ministack.core.arn import parse_arn
from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
from ministack.services import stepfunctions

from .permissions import role_allows

NAME_LENGTH_MAX = 80
RESULT_BYTES_MAX = 256 * 1024
FORBIDDEN_IN_NAME = re.compile(r'[\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ufffe\uffff]')

_role_arn: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "role of the running state machine", default=None
)
_thread = threading.local()  # an execution is a thread of its own


def correct() -> None:
    """Apply this module's corrections to ministack."""
    _name_executions()
    _start_at_once()
    _pause_for_retries()
    _wait_for_instants()
    _invoke_as_the_role()
    _map_in_jsonata()
    _succeed_with_output()


def _name_executions() -> None:
    """StartExecution checks the name, and is idempotent while the execution of that name is open.

    The same name and input as a running execution get the answer of the first request; a closed execution or another
    input is ExecutionAlreadyExists: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    ministack takes every name, and refuses it the second time whatever the state and the input.
    """
    start_new = stepfunctions._start_execution

    def start(request: Mapping[str, Any]) -> Any:
        name = request.get("name")
        if name is None:
            return start_new(request)
        if not 1 <= len(name) <= NAME_LENGTH_MAX or FORBIDDEN_IN_NAME.search(name):
            return error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
        machine = stepfunctions._resolve_state_machine_arn(request.get("stateMachineArn", ""))
        arn = f"{(machine or '').replace(':stateMachine:', ':execution:')}:{name}"
        running = stepfunctions._executions.get(arn)
        if running and running["status"] == "RUNNING" and running["input"] == request.get("input", "{}"):
            return json_response({"executionArn": arn, "startDate": running["startDate"]})
        return start_new(request)

    stepfunctions._start_execution = start


def _start_at_once() -> None:
    """An execution starts at once; in ministack each begins 150 ms late, which scaled waits make much of."""
    run_states = stepfunctions._run_execution

    def run(arn: str) -> None:
        execution = stepfunctions._executions.get(arn) or {}
        machine = stepfunctions._state_machines.get(execution.get("stateMachineArn")) or {}
        _role_arn.set(machine.get("roleArn"))
        _thread.starting = True
        run_states(arn)

    def sleep(seconds: float) -> None:
        if getattr(_thread, "starting", False):
            _thread.starting = False
        else:
            time.sleep(seconds)

    stepfunctions._run_execution = run
    stepfunctions.time = SimpleNamespace(**{**vars(time), "sleep": sleep})


def _pause_for_retries() -> None:
    """A Retry waits as long as it says, MaxDelaySeconds and JitterStrategy included; only Wait states are scaled.

    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-retrying-after-an-error
    ministack knows neither field, never waits longer than 60 s, and scales Retry with Wait.
    """
    find_retrier, scaled_sleep = stepfunctions._find_matching_retrier, stepfunctions._scaled_sleep

    def find(retriers: list[Any], error: str, retries: Mapping[int, int]) -> tuple[Any, int]:
        retrier, index = find_retrier(retriers, error, retries)
        _thread.retry_delay_s = None if retrier is None else retry_delay_s(retrier, retries.get(index, 0))
        return retrier, index

    def sleep(seconds: float) -> None:
        delay_s, _thread.retry_delay_s = getattr(_thread, "retry_delay_s", None), None
        if delay_s is None:
            scaled_sleep(seconds)
        else:
            time.sleep(delay_s)

    stepfunctions._find_matching_retrier = find
    stepfunctions._scaled_sleep = sleep


def _wait_for_instants() -> None:
    """A Wait for an instant ends then; only waits of so many seconds are scaled. ministack scales both."""

    def sleep_until(timestamp: str) -> None:
        time.sleep(max(0.0, (datetime.fromisoformat(timestamp) - datetime.now(UTC)).total_seconds()))

    stepfunctions._sleep_until = sleep_until


def retry_delay_s(retrier: Mapping[str, Any], retries_made: int) -> float:
    """Seconds until the next retry."""
    delay_s = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries_made
    delay_s = min(delay_s, retrier.get("MaxDelaySeconds", delay_s))
    if retrier.get("JitterStrategy") == "FULL":
        # Nothing secret: it spreads retries.
        return random.uniform(0, delay_s)  # nosec B311
    return delay_s


def _invoke_as_the_role() -> None:
    """A function is invoked with the permissions of the machine's role; a throttled one is told from a failed one.

    https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html (the size of a task's result)
    ministack invokes without asking, calls throttling `Lambda.Unknown`, which is not what templates retry, and takes
    results of any size.
    """
    call_function = stepfunctions._call_lambda
    failed = stepfunctions._ExecutionError

    def call(function: str, event: Any) -> Any:
        arn = function
        if not arn.startswith("arn:"):
            arn = f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:{function}"
        _ask_the_role("lambda:InvokeFunction", arn, error="Lambda.AWSLambdaException")
        try:
            result = call_function(function, event)
        except failed as failure:
            if failure.error == "Lambda.Unknown" and "TooManyRequestsException" in str(failure.cause):
                raise failed("Lambda.TooManyRequestsException", failure.cause) from None
            raise
        if len(json.dumps(result, ensure_ascii=False).encode()) > RESULT_BYTES_MAX:
            raise failed("States.DataLimitExceeded", f"The task returned more than {RESULT_BYTES_MAX} bytes.")
        return result

    stepfunctions._call_lambda = call


def _ask_the_role(action: str, resource: str, *, error: str) -> None:
    """Fail the running state with AWS's words unless the machine's role allows this."""
    role_arn = _role_arn.get()
    if not app.AUTH or not role_arn or role_allows(role_arn, action, resource):
        return
    role = parse_arn(role_arn)
    user = f"arn:aws:sts::{role.account_id}:assumed-role/{role.resource.rsplit('/', 1)[-1]}/execution"
    raise stepfunctions._ExecutionError(
        error,
        f"User: {user} is not authorized to perform: {action} on resource: {resource} because no identity-based policy "
        f"allows the {action} action",
    )


def _succeed_with_output() -> None:
    """A Succeed state in JSONata answers its Output; ministack answers the state's input.

    https://docs.aws.amazon.com/step-functions/latest/dg/state-succeed.html
    """
    output_of = stepfunctions._apply_output_path

    def output(state: Mapping[str, Any], data: Any, context: Any = None) -> Any:
        if state.get("Type") == "Succeed" and stepfunctions._state_query_language(state, context) == "JSONata":
            return stepfunctions._apply_jsonata_output(state, data, context, default=data)
        return output_of(state, data, context)

    stepfunctions._apply_output_path = output


def _map_in_jsonata() -> None:
    """A distributed map in JSONata: what is read, selected, put in batches and made of the results.

    https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
    ministack evaluates none of its expressions, knows no batches, and reads any bucket.
    """
    run_children = stepfunctions._run_distributed_map

    def run(state: dict[str, Any], given: Any, effective: Any, processor: Any, execution: Any, context: Any) -> Any:
        if stepfunctions._state_query_language(state, context) != "JSONata":
            return run_children(state, given, effective, processor, execution, context)
        machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
        _ask_the_role("states:StartExecution", machine["stateMachineArn"], error="States.TaskFailed")
        items = [_selected(state, given, context, *one) for one in enumerate(_items(state, given, context))]
        if "ItemBatcher" in state:
            items = batches(stepfunctions._apply_jsonata_template(state["ItemBatcher"], given, context), items)
        kept = {name: value for name, value in state.items() if name in MAP_LIMITS}
        results, _ = run_children(kept | {"End": True}, items, items, processor, execution, context)
        output = stepfunctions._apply_jsonata_output(state, given, context, result=results, default=results)
        stepfunctions._apply_state_assign(state, given, context, result=results)
        return output, stepfunctions._next_or_end(state)

    stepfunctions._run_distributed_map = run


MAP_LIMITS = ("Label", "MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage")


def _items(state: Mapping[str, Any], given: Any, context: Any) -> list[Any]:
    """What the map is over, by its ItemReader or its Items."""
    if "ResultWriter" in state:
        raise stepfunctions._ExecutionError("States.Runtime", "the emulator has no ResultWriter")
    if "ItemReader" not in state:
        return stepfunctions._jsonata_state_field(state, "Items", "array", given, context)
    reader = stepfunctions._apply_jsonata_template(state["ItemReader"], given, context)
    bucket, key = reader["Arguments"]["Bucket"], reader["Arguments"].get("Key")
    if reader["Resource"].endswith("s3:getObject"):
        _ask_the_role("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", error="States.ItemReaderFailed")
    else:
        _ask_the_role("s3:ListBucket", f"arn:aws:s3:::{bucket}", error="States.ItemReaderFailed")
    return stepfunctions._read_map_items(reader, given, context)


def _selected(state: Mapping[str, Any], given: Any, context: Mapping[str, Any], number: int, item: Any) -> Any:
    """An item as ItemSelector presents it."""
    selector = state.get("ItemSelector")
    if selector is None:
        return item
    of_item = {**context, "Map": {"Item": {"Index": number, "Value": item}}}
    return stepfunctions._apply_jsonata_template(selector, given, of_item)


def batches(batcher: Mapping[str, Any], items: list[Any]) -> list[dict[str, Any]]:
    """The items in the batches that child executions get."""
    size = batcher["MaxItemsPerBatch"]
    shared = {"BatchInput": batcher["BatchInput"]} if "BatchInput" in batcher else {}
    return [{"Items": items[first : first + size], **shared} for first in range(0, len(items), size)]
