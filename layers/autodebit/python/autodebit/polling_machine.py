"""Starting the executions that poll: the state machine in `functions/polling.asl.json`.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
"""

import json
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from autodebit.errors import PollingFault, PollingThrottled
from autodebit.polling import execution_name

THROTTLED = frozenset({"ThrottlingException", "TooManyRequestsException"})


class PollingMachine:
    """Starts one state machine. `first_wait_s` is the schedule's first wait, `key_name` what its input calls a key."""

    def __init__(self, state_machine_arn: str, first_wait_s: int, key_name: str = "paymentRequestId") -> None:
        self._arn = state_machine_arn
        self.key_name = key_name
        self.first_wait_s = first_wait_s

    @cached_property
    def _client(self) -> Any:
        # Imported and built when polling starts: most payments are settled by pay, and their cold start is shorter.
        import boto3
        from botocore.config import Config

        # Two tries, 3 s at most: a kept connection may have died meanwhile, and a start is idempotent by its name. Who
        # waits for it has little time left, and the sweep makes up for it.
        config = Config(connect_timeout=0.5, read_timeout=1, retries={"total_max_attempts": 2})
        return boto3.client("stepfunctions", config=config)

    def start(self, key: str, polling_round: int, wait_s: int | None = None, heard: str | None = None) -> bool:
        """Have the row of this key polled, first after `wait_s` or the schedule's first wait.

        The first look notes what was `heard` before. True: it is polled, by this start or by an earlier one of the same
        round. False: the round's name is taken, by an execution that has ended or has another input. Raises
        PollingFault.
        """
        message = {
            self.key_name: key,
            "round": polling_round,
            "inquiry": 0,
            "waitSeconds": self.first_wait_s if wait_s is None else wait_s,
        }
        if heard is not None:
            message["heard"] = heard
        try:
            self._client.start_execution(
                stateMachineArn=self._arn,
                name=execution_name(key, polling_round),
                input=json.dumps(message),
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return False
        except (BotoCoreError, ClientError) as error:
            raise _fault(error) from error
        return True

    def is_running(self, key: str, polling_round: int) -> bool:
        """Whether that round's execution, which exists, has not ended. Raises PollingFault."""
        name = execution_name(key, polling_round)
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            return bool(self._client.describe_execution(executionArn=arn)["status"] == "RUNNING")
        except (BotoCoreError, ClientError) as error:
            raise _fault(error) from error


def _fault(error: BotoCoreError | ClientError) -> PollingFault:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return PollingThrottled(code) if code in THROTTLED else PollingFault(code or type(error).__name__)
