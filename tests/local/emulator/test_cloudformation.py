"""What templates may have."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.kit.waiting import eventually

from .kit import Emulator


def endpoint(received: list[tuple[str, Any]]) -> HTTPServer:
    """A server that writes down the key and the body of each request."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.headers.get("X-Api-Key", ""), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_a_template_may_have_an_api_destination(stock: Emulator, corrected: Emulator) -> None:
    received: list[tuple[str, Any]] = []
    server = endpoint(received)
    source = f"source-{uuid4().hex[:8]}"

    def template(key: str) -> str:
        auth = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Api-Key", "ApiKeyValue": key}}
        trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "events"}}]}
        arn = {"Fn::GetAtt": ["Destination", "Arn"]}
        allow = {"Effect": "Allow", "Action": "events:InvokeApiDestination", "Resource": arn}
        policy = {"PolicyName": "own", "PolicyDocument": {"Version": "2012-10-17", "Statement": [allow]}}
        resources = {
            "Connection": ("Events::Connection", {"AuthorizationType": "API_KEY", "AuthParameters": auth}),
            "Destination": (
                "Events::ApiDestination",
                {
                    "ConnectionArn": {"Fn::GetAtt": ["Connection", "Arn"]},
                    "InvocationEndpoint": f"http://127.0.0.1:{server.server_port}/events",
                    "HttpMethod": "POST",
                },
            ),
            "Role": ("IAM::Role", {"AssumeRolePolicyDocument": trust, "Policies": [policy]}),
            "Rule": (
                "Events::Rule",
                {
                    "EventPattern": {"source": [source]},
                    "Targets": [{"Id": "1", "Arn": arn, "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}}],
                },
            ),
        }
        typed = {name: {"Type": f"AWS::{kind}", "Properties": given} for name, (kind, given) in resources.items()}
        return json.dumps({"Resources": typed})

    def deployed(emulator: Emulator, key: str, call: str) -> str:
        """The stack's status after it was made or updated."""
        client = emulator.aws("cloudformation")
        getattr(client, call)(StackName=source, TemplateBody=template(key), Capabilities=["CAPABILITY_IAM"])

        def ended() -> str:
            status = str(client.describe_stacks(StackName=source)["Stacks"][0]["StackStatus"])
            return "" if status.endswith("IN_PROGRESS") else status

        return eventually(ended, "the stack", within_s=60)

    def told(key: str) -> bool:
        corrected.aws("events").put_events(Entries=[{"Source": source, "DetailType": "any", "Detail": "{}"}])
        return any(seen == key for seen, _ in received)

    assert deployed(corrected, "first", "create_stack") == "CREATE_COMPLETE"
    eventually(lambda: told("first"), "the event at the endpoint", within_s=60)
    assert received[0][1]["source"] == source
    assert deployed(corrected, "second", "update_stack") == "UPDATE_COMPLETE"
    eventually(lambda: told("second"), "the event with the new key", within_s=60)
    corrected.aws("cloudformation").delete_stack(StackName=source)
    destinations = corrected.aws("events").list_api_destinations
    eventually(lambda: not destinations()["ApiDestinations"], "the end of the destination", within_s=60)

    with pytest.raises(ClientError, match="Unrecognized resource types"):
        deployed(stock, "first", "create_stack")
    server.shutdown()


def test_a_template_says_how_many_of_a_function_run_and_where_its_failures_go(
    stock: Emulator, corrected: Emulator
) -> None:
    def found(emulator: Emulator) -> tuple[int | None, str | None]:
        """The reserved concurrency and the queue for dead letters, after an update."""
        name, (_, queue) = f"stack-{uuid4().hex[:8]}", emulator.queue()
        client, functions = emulator.aws("cloudformation"), emulator.aws("lambda")
        code = {"Runtime": "python3.13", "Handler": "index.handler", "Role": emulator.role()}
        properties = {"FunctionName": name, "Code": {"ZipFile": "def handler(*_): pass"}, **code}
        for call, reserved in ((client.create_stack, 3), (client.update_stack, 2)):
            own = {"ReservedConcurrentExecutions": reserved, "DeadLetterConfig": {"TargetArn": queue}}
            function = {"Type": "AWS::Lambda::Function", "Properties": properties | own}
            call(StackName=name, TemplateBody=json.dumps({"Resources": {"Function": function}}))
            waiter = client.get_waiter("stack_create_complete" if reserved == 3 else "stack_update_complete")
            waiter.wait(StackName=name, WaiterConfig={"Delay": 1})
        concurrency = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        dead_letters = functions.get_function_configuration(FunctionName=name).get("DeadLetterConfig") or {}
        return concurrency, dead_letters.get("TargetArn", "").rpartition(":")[2][:5] or None

    assert found(corrected) == (2, "queue")
    assert found(stock) == (None, None)
