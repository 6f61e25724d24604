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
