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
import socket
import subprocess
import textwrap
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ConnectionClosedError

REPOSITORY = Path(__file__).resolve().parents[2]
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
        begun = time.time()
        time.sleep(event["seconds"])
        if "leave" in event:
            open(event["leave"], "w").close()
        return {"begun": begun, "ended": time.time()}
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
        config = Config(retries={"total_max_attempts": 1}, read_timeout=30, max_pool_connections=20)
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

    def key(self, *statements: tuple[str, str]) -> Credentials:
        """The key of a user who may do these (action, resource) pairs."""
        name, iam = f"user-{uuid4().hex}", self.aws("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
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
                return execution | {"seconds": time.monotonic() - begun}
            time.sleep(0.01)

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
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error  # type: ignore[return-value]


def policy(*statements: tuple[str, str]) -> str:
    allow = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in statements]
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = start_stock(tmp_path_factory.mktemp("stock"))
    yield emulator
    emulator.stop()


@pytest.fixture(scope="session")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = start_corrected(tmp_path_factory.mktemp("corrected"))
    yield emulator
    emulator.stop()


# Functions


def test_exceptions_keep_their_names(stock: Emulator, corrected: Emulator) -> None:
    assert corrected.invoke(do="raise")["errorType"] == "CardDeclined"
    assert stock.invoke(do="raise")["errorType"] == "Runtime.HandlerError"


def test_an_import_error_keeps_its_name(stock: Emulator, corrected: Emulator) -> None:
    def error(emulator: Emulator) -> str:
        return str(emulator.invoke(emulator.function("import absent"))["errorType"])

    assert error(corrected) == "Runtime.ImportModuleError"
    assert error(stock) != "Runtime.ImportModuleError"


def test_an_environment_outlives_an_exception(stock: Emulator, corrected: Emulator) -> None:
    def outlives(emulator: Emulator) -> bool:
        function = emulator.function()
        before = emulator.invoke(function)["process"]
        emulator.invoke(function, do="raise")
        return bool(emulator.invoke(function)["process"] == before)

    assert outlives(corrected)
    assert not outlives(stock)


def test_a_function_sees_nothing_of_the_emulator(stock: Emulator, corrected: Emulator) -> None:
    assert corrected.invoke(do="import", module="ministack")["errorType"] == "ModuleNotFoundError"
    assert stock.invoke(do="import", module="ministack") == "ministack"

    variables = corrected.invoke(do="environment")["variables"]
    assert not [name for name in variables if name.startswith(("EMULATOR", "MINISTACK", "SFN", "AUTH", "GATEWAY"))]
    assert "CALLERS" not in variables
    assert stock.invoke(do="environment")["variables"]["CALLERS"] == "own"


def test_a_function_sees_what_lambda_sets(corrected: Emulator) -> None:
    variables = corrected.invoke(do="environment")["variables"]
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == corrected.plain_function.split(":")[-1]
    assert variables["AWS_REGION"] == REGION
    assert variables["AWS_ENDPOINT_URL"] == corrected.endpoint
    assert corrected.invoke(do="import", module="boto3") == "boto3"


def test_layers_lie_over_one_another_and_under_the_function(stock: Emulator, corrected: Emulator) -> None:
    def version(emulator: Emulator, **files: str) -> str:
        layers = [
            emulator.aws("lambda").publish_layer_version(
                LayerName=f"layer{number}",
                Content={"ZipFile": zipped({"python/shared.py": f"VERSION = 'layer {number}'"})},
            )["LayerVersionArn"]
            for number in (1, 2)
        ]
        function = emulator.function(Layers=layers, files={f"{name}.py": text for name, text in files.items()})
        return str(emulator.invoke(function, do="version"))

    own = "VERSION = 'function'"
    assert version(corrected, shared=own) == "function"
    assert version(corrected) == "layer 2"
    assert (version(stock, shared=own), version(stock)) != ("function", "layer 2")


def test_functions_run_at_once_up_to_a_limit(stock: Emulator, corrected: Emulator) -> None:
    def most_at_once(emulator: Emulator) -> int:
        with ThreadPoolExecutor(MAX_CONCURRENT + 2) as callers:
            calls = [callers.submit(emulator.invoke, do="sleep", seconds=2) for _ in range(MAX_CONCURRENT + 2)]
            runs = [call.result() for call in calls]
        return max(sum(run["begun"] <= moment["begun"] < run["ended"] for run in runs) for moment in runs)

    assert most_at_once(corrected) == MAX_CONCURRENT
    assert most_at_once(stock) > MAX_CONCURRENT


def test_a_warm_invocation_takes_milliseconds(corrected: Emulator) -> None:
    def seconds() -> float:
        begun = time.perf_counter()
        corrected.invoke()
        return time.perf_counter() - begun

    seconds()
    assert min(seconds() for _ in range(60)) < 0.035  # Nagle's algorithm and a delayed ACK cost 0.040


# API Gateway


def test_an_answer_of_the_wrong_shape_is_a_502(stock: Emulator, corrected: Emulator) -> None:
    def statuses(emulator: Emulator) -> list[int]:
        stack = emulator.api({"paths": {"/": {"post": proxy(emulator.plain_function)}}})
        answers = [
            {"ok": True},
            "text",
            {"statusCode": "x"},
            {"statusCode": 200, "body": {"a": 1}},
            {"statusCode": "201"},
        ]
        events = [json.dumps({"do": "answer", "answer": answer}).encode() for answer in answers]
        return [emulator.request(stack, "/", body=event).status for event in events]

    assert statuses(corrected) == [502, 502, 502, 502, 201]
    assert statuses(stock)[:2] == [200, 200]


def test_an_exception_is_not_shown_to_the_caller(stock: Emulator, corrected: Emulator) -> None:
    def answer(emulator: Emulator) -> tuple[int, bytes]:
        stack = emulator.api({"paths": {"/": {"post": proxy(emulator.plain_function)}}})
        response = emulator.request(stack, "/", body=b'{"do": "raise"}')
        return response.status, response.read()

    assert answer(corrected) == (502, b'{"message": "Internal server error"}')
    assert b"errorMessage" in answer(stock)[1]


def test_a_throttled_function_is_a_500(stock: Emulator, corrected: Emulator) -> None:
    def status(emulator: Emulator) -> int:
        function = emulator.function()
        emulator.aws("lambda").put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        return emulator.request(emulator.api({"paths": {"/": {"get": proxy(function)}}}), "/").status

    assert status(corrected) == 500
    assert status(stock) == 429


def test_a_slow_function_is_a_504_and_runs_on(stock: Emulator, corrected: Emulator, tmp_path: Path) -> None:
    def status(emulator: Emulator, left: Path) -> int:
        stack = emulator.api({"paths": {"/": {"post": proxy(emulator.plain_function)}}})
        api = emulator.aws("apigateway")
        resource = api.get_resources(restApiId=emulator.api_id(stack))["items"][0]["id"]
        api.update_integration(
            restApiId=emulator.api_id(stack),
            resourceId=resource,
            httpMethod="POST",
            patchOperations=[{"op": "replace", "path": "/timeoutInMillis", "value": "300"}],
        )
        event = {"do": "sleep", "seconds": 1, "leave": str(left)}
        return emulator.request(stack, "/", body=json.dumps(event).encode()).status

    assert status(corrected, tmp_path / "corrected") == 504
    assert not (tmp_path / "corrected").exists()
    time.sleep(1)
    assert (tmp_path / "corrected").exists()
    assert status(stock, tmp_path / "stock") != 504


def test_more_than_10_mb_are_refused(stock: Emulator, corrected: Emulator) -> None:
    def status(emulator: Emulator) -> int:
        stack = emulator.api({"paths": {"/": {"post": proxy(emulator.plain_function)}}})
        event = {"do": "answer", "answer": {"statusCode": 200}, "filling": "x" * 10 * 1024 * 1024}
        return emulator.request(stack, "/", body=json.dumps(event).encode()).status

    assert status(corrected) == 413
    assert status(stock) == 200


def test_an_update_keeps_the_url(stock: Emulator, corrected: Emulator) -> None:
    def update(emulator: Emulator, **properties: Any) -> tuple[bool, int]:
        operation = proxy(emulator.plain_function)
        stack = emulator.api({"paths": {"/old": {"post": operation}}}, **properties)
        before = emulator.api_id(stack)
        body = {"paths": {"/new": {"post": operation}, "/old": {"get": operation}}}
        emulator.aws("cloudformation").update_stack(StackName=stack, **stack_of(body, **properties))
        waiter = emulator.aws("cloudformation").get_waiter("stack_update_complete")
        waiter.wait(StackName=stack, WaiterConfig={"Delay": 0.1})
        event = b'{"do": "answer", "answer": {"statusCode": 200}}'
        assert emulator.request(stack, "/new", body=event).status == 200
        return emulator.api_id(stack) == before, emulator.request(stack, "/old", body=event).status

    assert update(corrected) == (True, 403)
    assert update(corrected, Tags=[{"Key": "ms-custom-id", "Value": "pinned"}]) == (True, 403)
    assert update(stock) == (False, 403)


def test_a_tag_of_the_stack_is_the_id(corrected: Emulator) -> None:
    body = {"paths": {"/": {"get": proxy(corrected.plain_function)}}}
    assert corrected.api_id(corrected.api(body, Tags=[{"Key": "ms-custom-id", "Value": "autodebit"}])) == "autodebit"


def test_headers_may_have_several_values(corrected: Emulator) -> None:
    stack = corrected.api({"paths": {"/": {"post": proxy(corrected.plain_function)}}})
    answer = {
        "statusCode": 200,
        "multiValueHeaders": {"Link": ["<a>", "<b>"]},
        "headers": {"Content-Type": "text/plain"},
    }
    response = corrected.request(stack, "/", body=json.dumps({"do": "answer", "answer": answer}).encode())
    assert response.headers.get_all("link") == ["<a>", "<b>"]
    assert response.headers.get_all("content-type") == ["text/plain"]


def test_iam_routes_verify_signatures(corrected: Emulator) -> None:
    operation = proxy(corrected.plain_function) | {"security": [{"sigv4": []}]}
    scheme = {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "awsSigv4",
    }
    stack = corrected.api({"paths": {"/": {"post": operation}}, "securityDefinitions": {"sigv4": scheme}})
    allowed, other = (
        corrected.key(("execute-api:Invoke", "*")),
        corrected.key(("execute-api:ManageConnections", "*")),
    )

    def status(key: Credentials | None) -> int:
        event = b'{"do": "answer", "answer": {"statusCode": 200}}'
        return corrected.request(stack, "/", body=event, key=key).status

    assert status(allowed) == 200
    assert status(other) == 403
    assert status(Credentials(allowed.access_key, "forged")) == 403
    assert status(None) == 403


# Permissions


def test_the_functions_role_decides(corrected: Emulator) -> None:
    table = f"table-{uuid4().hex}"
    corrected.aws("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    secret = corrected.aws("secretsmanager").create_secret(Name=f"secret-{uuid4().hex}", SecretString="s")["ARN"]
    machine = corrected.machine({"End": {"Type": "Succeed"}})
    calls = {
        "dynamodb:PutItem": ("put_item", {"TableName": table, "Item": {"id": {"S": "1"}}}),
        "secretsmanager:GetSecretValue": ("get_secret_value", {"SecretId": secret}),
        "stepfunctions:StartExecution": ("start_execution", {"stateMachineArn": machine}),
    }
    allowed = [
        ("dynamodb:PutItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"),
        ("secretsmanager:GetSecretValue", secret),
        ("states:StartExecution", machine),
    ]
    for role, outcome in ((corrected.role(*allowed), "allowed"), (corrected.role(), "AccessDenied")):
        function = corrected.function(role=role)
        for action, (call, arguments) in calls.items():
            event = {"do": "aws", "service": action.split(":")[0], "call": call, "arguments": arguments}
            answer = corrected.invoke(function, **event)
            assert answer == outcome or outcome in answer["errorMessage"], action


def test_the_machines_role_decides(stock: Emulator, corrected: Emulator) -> None:
    def error(emulator: Emulator) -> Any:
        return emulator.run(emulator.machine(task(emulator), role=emulator.role())).get("error")

    assert error(corrected) == "Lambda.AWSLambdaException"
    assert error(stock) is None
    caught = task(corrected, Catch=[{"ErrorEquals": ["Lambda.AWSLambdaException"], "Next": "Done"}])
    machine = corrected.machine(caught | {"Done": {"Type": "Succeed"}}, role=corrected.role())
    assert corrected.run(machine)["status"] == "SUCCEEDED"


def test_api_gateway_needs_the_functions_permission(stock: Emulator, corrected: Emulator) -> None:
    def status(emulator: Emulator, invoked_by: str | None, source: str = "*") -> int:
        function = emulator.function(invoked_by=None)
        if invoked_by:
            emulator.aws("lambda").add_permission(
                FunctionName=function,
                StatementId="own",
                Action="lambda:InvokeFunction",
                Principal=invoked_by,
                SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{source}",
            )
        stack = emulator.api({"openapi": "3.0.1", "info": {}, "paths": {"/a": {"get": proxy(function)}}})
        return emulator.request(stack, "/a").status

    assert status(corrected, "apigateway.amazonaws.com", "*/v1/GET/a") == status(stock, None)
    assert status(corrected, None) == 500
    assert status(corrected, "events.amazonaws.com") == 500
    assert status(corrected, "apigateway.amazonaws.com", "*/v1/POST/a") == 500


def lines_of(emulator: Emulator, function: str) -> list[str]:
    """What is in the function's log group."""
    logs, group = emulator.aws("logs"), f"/aws/lambda/{function.rpartition(':')[2]}"
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        return []
    return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]


def test_a_function_logs_what_its_role_allows(stock: Emulator, corrected: Emulator) -> None:
    function = stock.function()
    stock.invoke(function)
    assert lines_of(stock, function), "ministack asks no role"
    both = ("logs:CreateLogStream", "*"), ("logs:PutLogEvents", "*")
    for allowed in (both, both[:1], both[1:], ()):
        function = corrected.function(role=corrected.role(*allowed))
        corrected.invoke(function)
        assert bool(lines_of(corrected, function)) is (allowed == both)


def test_a_rule_needs_the_functions_permission(corrected: Emulator) -> None:
    role = corrected.role(("logs:CreateLogStream", "*"), ("logs:PutLogEvents", "*"))
    refused, allowed = (
        corrected.function(role=role, invoked_by=by) for by in ("apigateway.amazonaws.com", "events.amazonaws.com")
    )
    events = corrected.aws("events")
    events.put_rule(Name="rule", EventPattern=json.dumps({"source": ["test"]}))
    targets = [{"Id": str(number), "Arn": arn} for number, arn in enumerate((refused, allowed))]
    events.put_targets(Rule="rule", Targets=targets)
    events.put_events(Entries=[{"Source": "test", "DetailType": "test", "Detail": "{}"}])
    for _ in range(200):
        if lines_of(corrected, allowed):
            break
        time.sleep(0.05)
    assert lines_of(corrected, allowed)
    assert not lines_of(corrected, refused)


# Step Functions


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
    def seconds(emulator: Emulator) -> float:
        machine = emulator.machine({"End": {"Type": "Succeed"}})
        return min(emulator.run(machine)["seconds"] for _ in range(12))

    assert seconds(corrected) < 0.12
    assert seconds(stock) > 0.15


def test_only_wait_states_are_scaled(stock: Emulator, corrected: Emulator) -> None:
    pause = {
        "Pause": {"Type": "Wait", "Seconds": "{% $states.input.pause %}", "Next": "End"},
        "End": {"Type": "Succeed"},
    }
    assert 0.5 <= corrected.run(corrected.machine(pause), pause=5)["seconds"] < 5

    def retried(emulator: Emulator) -> float:
        retry = [{"ErrorEquals": ["CardDeclined", "Runtime.HandlerError"], "IntervalSeconds": 4, "MaxAttempts": 1}]
        emulator.invoke(do="raise")  # a cold start would be timed too
        execution = emulator.run(emulator.machine(task(emulator, Retry=retry)), do="raise")
        assert execution["status"] == "FAILED"
        return float(execution["seconds"])

    assert retried(corrected) > 4
    assert retried(stock) < 4


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


# State


def test_a_saved_deployment_and_every_acknowledged_write_survive_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state"
    emulator = start_corrected(tmp_path, EMULATOR_STATE_DIR=str(state))
    create_orders(emulator)
    emulator.aws("secretsmanager").create_secret(Name="credentials", SecretString="s")
    emulator.aws("s3").create_bucket(Bucket="artifacts")
    function = emulator.function()
    emulator.process.send_signal(signal.SIGUSR1)
    while not (state / "lambda.json").exists() or not (state / "s3.json").exists():
        assert emulator.process.poll() is None
        time.sleep(0.05)

    count_to(emulator, 10)
    emulator.stop(signal.SIGKILL)
    emulator = start_corrected(tmp_path, EMULATOR_STATE_DIR=str(state))
    assert counted(emulator) == (10, 10)
    count_to(emulator, 5)
    emulator.stop()
    emulator = start_corrected(tmp_path, EMULATOR_STATE_DIR=str(state))
    assert counted(emulator) == (10, 15)
    assert emulator.aws("secretsmanager").get_secret_value(SecretId="credentials")["SecretString"] == "s"
    assert emulator.aws("s3").head_bucket(Bucket="artifacts")
    assert emulator.invoke(function)["calls"] == 1
    emulator.stop()


def test_ministack_alone_loses_them(tmp_path: Path) -> None:
    emulator = start_stock(tmp_path, PERSIST_STATE="1", STATE_DIR=str(tmp_path))
    create_orders(emulator)
    emulator.stop()
    emulator = start_stock(tmp_path, PERSIST_STATE="1", STATE_DIR=str(tmp_path))
    count_to(emulator, 10)
    emulator.stop(signal.SIGKILL)
    emulator = start_stock(tmp_path, PERSIST_STATE="1", STATE_DIR=str(tmp_path))
    assert counted(emulator) == (0, 0)
    emulator.stop()


def create_orders(emulator: Emulator) -> None:
    emulator.aws("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def count_to(emulator: Emulator, end: int) -> None:
    for number in range(end):
        emulator.aws("dynamodb").update_item(
            TableName="orders",
            Key={"id": {"S": str(number)}},
            UpdateExpression="ADD writes :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )


def counted(emulator: Emulator) -> tuple[int, int]:
    """Items, and writes to them."""
    items = emulator.aws("dynamodb").scan(TableName="orders")["Items"]
    return len(items), sum(int(item["writes"]["N"]) for item in items)


# Faults


class FaultProxy:
    """A running fault proxy and a table behind it."""

    def __init__(self, emulator: Emulator) -> None:
        self.port = free_port()
        command = [PYTHON, "-m", FAULT_PROXY, str(self.port), str(emulator.port)]
        self.process = subprocess.Popen(command, cwd=REPOSITORY)
        self.table = f"table-{uuid4().hex}"
        emulator.aws("dynamodb").create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        key = emulator.key(("dynamodb:*", "*"))
        self.direct = emulator.aws("dynamodb")
        self.through = boto3.client(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id=key.access_key,
            aws_secret_access_key=key.secret_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        for _ in range(200):
            try:
                self.administer("GET", "log")
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError

    def administer(self, method: str, what: str, document: Any = None) -> Any:
        body = json.dumps(document).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/_fault/{what}", body, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def rule(self, op: str, **fields: Any) -> None:
        self.administer("POST", "rules", [{"op": f"DynamoDB_20120810.{op}", **fields}])

    def add_one(self) -> None:
        self.through.update_item(
            TableName=self.table,
            Key={"id": {"S": "1"}},
            UpdateExpression="ADD writes :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    def writes(self, client: Any = None, **options: Any) -> int:
        item = (client or self.direct).get_item(TableName=self.table, Key={"id": {"S": "1"}}, **options).get("Item")
        return int(item["writes"]["N"]) if item else 0


@pytest.fixture
def faults(corrected: Emulator) -> Iterator[FaultProxy]:
    proxy_ = FaultProxy(corrected)
    yield proxy_
    proxy_.process.kill()
    proxy_.process.wait()


def test_a_call_can_vanish_before_and_after_it_is_done(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", match=faults.table, drop="before")
    faults.rule("UpdateItem", match=faults.table, drop="after", name="lost answer")
    with pytest.raises(ConnectionClosedError):
        faults.add_one()
    assert faults.writes() == 0
    with pytest.raises(ConnectionClosedError):
        faults.add_one()
    assert faults.writes() == 1
    faults.add_one()
    assert faults.writes() == 2
    seen = [(call["rule"], call["status"]) for call in faults.administer("GET", "log")]
    assert seen == [("DynamoDB_20120810.UpdateItem", None), ("lost answer", None), (None, 200)]


def test_a_call_can_fail(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", skip=1, error="ProvisionedThroughputExceededException")
    faults.add_one()
    with pytest.raises(faults.through.exceptions.ProvisionedThroughputExceededException):
        faults.add_one()
    faults.add_one()
    assert faults.writes() == 2


def test_a_call_can_be_slow(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", delay=0.3)
    begun = time.monotonic()
    faults.add_one()
    assert time.monotonic() - begun >= 0.3


def test_a_call_can_be_held(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", hold=True)
    with ThreadPoolExecutor() as other:
        held = other.submit(faults.add_one)
        while faults.administer("GET", "rules")[0]["times"]:
            time.sleep(0.01)
        faults.add_one()
        assert not held.done()
        assert faults.writes() == 1
        faults.administer("DELETE", "rules")
        held.result()
    assert faults.writes() == 2


def test_an_answer_can_be_withheld(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", withhold=True)
    with ThreadPoolExecutor() as other:
        held = other.submit(faults.add_one)
        while not faults.administer("GET", "rules")[0]["held"]:
            time.sleep(0.01)
        assert faults.writes() == 1
        assert not held.done()
        faults.administer("DELETE", "rules")
        held.result()
    assert faults.writes() == 1


def test_calls_with_a_prefix_go_elsewhere_in_one_order_with_the_rest(corrected: Emulator) -> None:
    port, elsewhere = free_port(), ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    prefix = f"/ams/={elsewhere.server_port}"
    command = [PYTHON, "-m", FAULT_PROXY, str(port), str(corrected.port), prefix]
    with subprocess.Popen(command, cwd=REPOSITORY) as process:
        try:
            for path, answered in (("/_ministack/health", 200), ("/ams/pay", 501), ("/_ministack/health", 200)):
                assert status_of(port, path) == answered, "BaseHTTPRequestHandler knows no method at all"
            log = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/_fault/log").read())
        finally:
            process.kill()
            elsewhere.shutdown()
    assert [call["op"] for call in log] == ["GET /_ministack/health", "GET /ams/pay", "GET /_ministack/health"]


def status_of(port: int, path: str) -> int:
    """The status of a GET, once somebody listens."""
    for _ in range(200):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except ConnectionRefusedError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise TimeoutError


def test_a_read_can_be_stale(faults: FaultProxy) -> None:
    assert faults.writes(faults.through) == 0
    faults.add_one()
    faults.rule("GetItem", stale=True, times=-1)
    assert faults.writes(faults.through) == 0
    assert faults.writes(faults.through, ConsistentRead=True) == 1
    faults.administer("DELETE", "rules")
    assert faults.writes(faults.through) == 1


def test_a_share_of_calls_is_the_same_in_every_run_whatever_comes_between(faults: FaultProxy) -> None:
    def failed(seed: str, *others: str) -> list[bool]:
        rule = {"times": -1, "match": "(payment-[ab])", "share": 0.4, "error": "ThrottlingException"}
        faults.rule("GetItem", seed=seed, **rule)
        found = []
        for _ in range(30):
            for key in ("payment-a", *others):
                try:
                    faults.through.get_item(TableName=faults.table, Key={"id": {"S": key}})
                except faults.through.exceptions.ClientError:
                    found += [True] if key == "payment-a" else []
                else:
                    found += [False] if key == "payment-a" else []
        [used] = faults.administer("GET", "rules")
        assert others or used["applied"] == sum(found)
        faults.administer("DELETE", "rules")
        return found

    assert 5 < sum(failed("1")) < 20
    assert failed("1") == failed("1", "payment-b", "payment-b", "another")
    assert failed("1") != failed("2")


def test_a_rule_that_cannot_be_is_refused(faults: FaultProxy) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        faults.rule("UpdateItem", drops="before")
    assert "drop" in json.load(refusal.value)["fields"]


def test_a_call_to_an_emulator_that_is_gone_is_cut_off(faults: FaultProxy, tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen([PYTHON, "-m", FAULT_PROXY, str(port), str(free_port())], cwd=REPOSITORY) as process:
        time.sleep(0.5)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/anything")
        process.kill()


# Start and stop


def test_what_keeps_it_from_starting_is_named(corrected: Emulator) -> None:
    def complaint(**variables: str) -> str:
        run = subprocess.run(
            [PYTHON, "-m", EMULATOR],
            env={"PATH": "/usr/bin:/bin"} | variables,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert run.returncode == 1
        return run.stderr

    assert "EMULATOR_LAMBDA_PYTHON: /absent" in complaint(EMULATOR_LAMBDA_PYTHON="/absent")
    port = str(corrected.port)
    assert f"port {port}" in complaint(EMULATOR_LAMBDA_PYTHON=str(Path(LAMBDA_PYTHON).absolute()), EMULATOR_PORT=port)
    assert "EMULATOR_AUTH" in complaint(EMULATOR_LAMBDA_PYTHON=str(Path(LAMBDA_PYTHON).absolute()), EMULATOR_AUTH="yes")


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    emulator = start_corrected(tmp_path)
    process = emulator.invoke()["process"]
    assert list(tmp_path.glob("emulator-functions-*"))
    emulator.stop()
    assert not list(tmp_path.glob("emulator-functions-*"))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
