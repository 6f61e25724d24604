"""How the REST API answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials

from tests.kit.waiting import eventually

from .kit import Emulator, proxy, stack_of


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
    def status(emulator: Emulator, **event: Any) -> int:
        stack = emulator.api({"paths": {"/": {"post": proxy(emulator.plain_function)}}})
        api = emulator.aws("apigateway")
        resource = api.get_resources(restApiId=emulator.api_id(stack))["items"][0]["id"]
        api.update_integration(
            restApiId=emulator.api_id(stack),
            resourceId=resource,
            httpMethod="POST",
            patchOperations=[{"op": "replace", "path": "/timeoutInMillis", "value": "300"}],
        )
        return emulator.request(stack, "/", body=json.dumps(event).encode()).status

    assert status(corrected, do="stay", enter=str(tmp_path / "entered"), until=str(tmp_path / "end")) == 504
    (tmp_path / "end").touch()
    eventually((tmp_path / "entered.left").exists, "the end of the function", within_s=60)
    assert status(stock, do="sleep", seconds=1) != 504


def test_a_path_with_an_empty_part_is_no_route(corrected: Emulator) -> None:
    stack = corrected.api({"paths": {"/a/b": {"post": proxy(corrected.plain_function)}}})
    answer = json.dumps({"do": "answer", "answer": {"statusCode": 200}}).encode()
    paths = ("/a/b", "/a/b/", "//a/b", "/a//b", "/a/b//")
    assert [corrected.request(stack, path, body=answer).status for path in paths] == [200, 403, 403, 403, 403]


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
