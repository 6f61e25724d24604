"""What local/emulator corrects, each on ministack as it comes (`stock`) and as this project runs it (`corrected`).

A test whose `stock` half fails says that ministack has learned it: the correction can go. One of each is
started on a free port, with `EMULATOR_PYTHON` and `EMULATOR_LAMBDA_PYTHON` (by default those under .local/venvs).
"""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import textwrap
import time
import urllib.error
import urllib.request
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from local.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[3]
EMULATOR, FAULT_PROXY = "local.emulator.emulator", "local.emulator.faultproxy"
PYTHON = os.environ.get("EMULATOR_PYTHON") or str(REPOSITORY / ".local/venvs/emulator/bin/python")
LAMBDA_PYTHON = os.environ.get("EMULATOR_LAMBDA_PYTHON") or str(REPOSITORY / ".local/venvs/lambda/bin/python")
ACCOUNT, REGION = "000000000000", "us-east-1"
MAX_CONCURRENT = 4

# One handler for all tests: the event says what to do.
HANDLER = """
import json, os, sys, time
calls = 0

class CardDeclined(Exception):
    pass

def handler(event, context):
    global calls
    calls += 1
    if "proxy" in event.get("path", "") or "body" in event:
        event = json.loads(event["body"])
    do = event.get("do")
    if do == "raise":
        raise CardDeclined("no")
    if do == "sleep":
        time.sleep(event["seconds"])
        return None
    if do == "stay":
        open(event["enter"], "w").close()
        while not os.path.exists(event["until"]):
            time.sleep(0.05)
        open(event["enter"] + ".left", "w").close()
        return None
    if do == "environment":
        return {"variables": dict(os.environ), "path": sys.path}
    if do == "import":
        return __import__(event["module"]).__name__
    if do == "version":
        import shared
        return shared.VERSION
    if do == "aws":
        import boto3
        call = getattr(boto3.client(event["service"]), event["call"])
        return call(**event["arguments"]) and "allowed"
    if do == "answer":
        return event["answer"]
    return {"calls": calls, "process": os.getpid()}
"""


class Emulator:
    """One running emulator and the clients for it."""

    def __init__(self, command: list[str], port: int, variables: dict[str, str], directory: Path) -> None:
        self.port, self.endpoint = port, f"http://127.0.0.1:{port}"
        self.clients: dict[str, Any] = {}
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "CALLERS": "own",
        }
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment | variables, stdout=log, stderr=log
            )
        self._await()

    def _await(self) -> None:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.endpoint}/_ministack/health").close()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.05)
        raise TimeoutError(self.log.read_text())

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(20)

    def client(self, service: str, **options: Any) -> Any:
        options = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} | options
        config = Config(retries={"total_max_attempts": 1}, read_timeout=120, max_pool_connections=20)
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, config=config, **options)

    def aws(self, service: str) -> Any:
        """The root user's client for a service."""
        if service not in self.clients:
            self.clients[service] = self.client(service)
        return self.clients[service]

    def role(self, *statements: tuple[str, str]) -> str:
        """A role that may do these (action, resource) pairs."""
        name = f"role-{uuid4().hex}"
        self.aws("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        if statements:
            self.aws("iam").put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
        return f"arn:aws:iam::{ACCOUNT}:role/{name}"

    def client_of(self, service: str, *statements: tuple[str, str], **more: Any) -> Any:
        """The client of a user who may do these (action, resource) pairs, by `policy`."""
        key = self.key(*statements, **more)
        return self.client(service, aws_access_key_id=key.access_key, aws_secret_access_key=key.secret_key)

    def key(self, *statements: tuple[str, str], **more: Any) -> Credentials:
        """The key of a user who may do these (action, resource) pairs, by `policy`."""
        name, iam = f"user-{uuid4().hex}", self.aws("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements, **more))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def function(
        self,
        code: str = HANDLER,
        *,
        role: str | None = None,
        invoked_by: str | None = "apigateway.amazonaws.com",
        **options: Any,
    ) -> str:
        """The ARN of a new function, which this service may invoke."""
        answer = self.aws("lambda").create_function(
            FunctionName=f"function-{uuid4().hex[:8]}",
            Runtime="python3.13",
            Handler="app.handler",
            Role=role or self.role(),
            Code={"ZipFile": zipped({"app.py": code} | options.pop("files", {}))},
            Timeout=options.pop("timeout", 10),
            **options,
        )
        function = str(answer["FunctionArn"])
        if invoked_by:
            self.aws("lambda").add_permission(
                FunctionName=function, StatementId="own", Action="lambda:InvokeFunction", Principal=invoked_by
            )
        return function

    @cached_property
    def plain_function(self) -> str:
        return self.function()

    def invoke(self, function: str | None = None, **event: Any) -> Any:
        answer = self.aws("lambda").invoke(FunctionName=function or self.plain_function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def machine(self, states: dict[str, Any], *, role: str | None = None, **top: Any) -> str:
        """The ARN of a new state machine in JSONata that starts with the first of these states."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **top}
        return str(
            self.aws("stepfunctions").create_state_machine(
                name=f"machine-{uuid4().hex[:8]}",
                definition=json.dumps(definition),
                roleArn=role or self.role(("lambda:InvokeFunction", "*")),
            )["stateMachineArn"]
        )

    def run(self, machine: str, **input_: Any) -> dict[str, Any]:
        """Start an execution and describe it once it has ended; `seconds` is how long it took."""
        begun = time.monotonic()
        arn = self.aws("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(input_))[
            "executionArn"
        ]
        while True:
            execution = self.aws("stepfunctions").describe_execution(executionArn=arn)
            if execution["status"] != "RUNNING":
                return {**execution, "seconds": time.monotonic() - begun}
            time.sleep(0.01)

    def table(self, *ids: str, **options: Any) -> dict[str, Any]:
        """A new table with these items, described."""
        name = f"table-{uuid4().hex[:8]}"
        self.aws("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            **options,
        )
        for id_ in ids:
            self.aws("dynamodb").put_item(TableName=name, Item={"id": {"S": id_}})
        return dict(self.aws("dynamodb").describe_table(TableName=name)["Table"])

    def queue(self, **attributes: str) -> tuple[str, str]:
        """URL and ARN of a new queue."""
        url = self.aws("sqs").create_queue(QueueName=f"queue-{uuid4().hex[:8]}", Attributes=attributes)["QueueUrl"]
        asked = self.aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, asked["Attributes"]["QueueArn"]

    def received(self, queue_url: str) -> list[Any]:
        """What is in the queue now; it is taken out."""
        answer = self.aws("sqs").receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.aws("sqs").delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def api(self, body: dict[str, Any], **properties: Any) -> str:
        """A stack with a REST API made of this OpenAPI body; returns the stack's name."""
        name = f"stack-{uuid4().hex[:8]}"
        self.aws("cloudformation").create_stack(StackName=name, **stack_of(body, **properties))
        self.aws("cloudformation").get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.1})
        return name

    def api_id(self, stack: str) -> str:
        outputs = self.aws("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
        return str(outputs[0]["OutputValue"])

    def request(
        self, stack: str, path: str, *, body: bytes | None = None, key: Credentials | None = None
    ) -> http.client.HTTPResponse:
        url = f"{self.endpoint}/_aws/execute-api/{self.api_id(stack)}/v1{path}"
        signed = AWSRequest("POST" if body else "GET", url, data=body)
        if key:
            SigV4Auth(key, "execute-api", REGION).add_auth(signed)
        request = urllib.request.Request(url, body, dict(signed.headers), method=signed.method)
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error  # type: ignore[return-value]
        return answer


def policy(*statements: tuple[str, str], **more: Any) -> str:
    """A document that allows these (action, resource) pairs, with more fields in each statement."""
    allow = [{"Effect": "Allow", "Action": action, "Resource": resource, **more} for action, resource in statements]
    return json.dumps({"Version": "2012-10-17", "Statement": allow})


def zipped(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, textwrap.dedent(text))
    return packed.getvalue()


def proxy(function: str, **integration: Any) -> dict[str, Any]:
    """An OpenAPI operation that a function answers, as SAM writes it."""
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
    return {
        "responses": {},
        "x-amazon-apigateway-integration": {
            "type": "aws_proxy",
            "httpMethod": "POST",
            "uri": uri,
            **integration,
        },
    }


def stack_of(body: dict[str, Any], **properties: Any) -> dict[str, Any]:
    deployment = f"Deployment{uuid4().hex}"  # SAM, too, makes a new one for each change of the body
    template = {
        "Resources": {
            "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api", "Body": body}},
            deployment: {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
            "Stage": {
                "Type": "AWS::ApiGateway::Stage",
                "Properties": {
                    "RestApiId": {"Ref": "Api"},
                    "DeploymentId": {"Ref": deployment},
                    "StageName": "v1",
                },
            },
        },
        "Outputs": {"Id": {"Value": {"Ref": "Api"}}},
    }
    return {"TemplateBody": json.dumps(template), **properties}


def start_stock(directory: Path, **variables: str) -> Emulator:
    port = free_port()
    own = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "AUTH": "true", "SFN_WAIT_SCALE": "0.1"}
    own |= {"IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0", "LOG_LEVEL": "WARNING"}
    return Emulator([PYTHON, "-m", "ministack"], port, own | variables, directory)


def start_corrected(directory: Path, **variables: str) -> Emulator:
    port = free_port()
    own = {"EMULATOR_PORT": str(port), "EMULATOR_LAMBDA_PYTHON": str(Path(LAMBDA_PYTHON).absolute())}
    own |= {"EMULATOR_WAIT_SCALE": "0.1", "EMULATOR_MAX_CONCURRENT": str(MAX_CONCURRENT)}
    return Emulator([PYTHON, "-m", EMULATOR], port, own | variables, directory)


def task(emulator: Emulator, function: str | None = None, **fields: Any) -> dict[str, Any]:
    """States that hand the input to a function, and end."""
    arguments = {"FunctionName": function or emulator.plain_function, "Payload": "{% $states.input %}"}
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": arguments,
        "End": True,
    }
    return {"Call": state | fields}
