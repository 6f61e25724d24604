"""The REST API answers as API Gateway's Lambda proxy integration does, and keeps its id over an update."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from ministack.services import apigateway_v1
from ministack.services.cloudformation import provisioners

JSON_ANSWER = {"Content-Type": "application/json"}
INTERNAL_SERVER_ERROR = '{"message": "Internal server error"}'
INTEGRATION_TIMEOUT_MS = 29_000
REQUEST_BYTES_MAX = 10 * 1024 * 1024
NO_PART = "%"
"""In place of an empty part of a path: no route has it."""
ANSWER_BYTES_MAX = 6 * 1024 * 1024


def correct() -> None:
    """Apply this module's corrections to ministack."""
    _limit_integrations()
    _know_other_paths()
    apigateway_v1._lambda_proxy_response = proxy_answer
    _update_in_place()


def proxy_answer(result: Mapping[str, Any]) -> tuple[dict[str, Any], None]:
    """The answer to an invocation's result; a result of the wrong shape is a 502, a throttled function a 500.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
    ministack wraps whatever a function returns in a 200, shows the caller the function's exception, and answers 429
    for a throttled function, a status that API Gateway keeps for its own limits.
    """
    if result.get("throttle"):
        return _plain(500), None
    answer = result.get("body")
    if result.get("error") or not isinstance(answer, dict):
        return _plain(502), None
    try:
        status = int(answer["statusCode"])
    except (KeyError, TypeError, ValueError):
        return _plain(502), None
    body = answer.get("body")
    if not (body is None or isinstance(body, str)) or len(json.dumps(answer)) > ANSWER_BYTES_MAX:
        return _plain(502), None
    return {**answer, "statusCode": status, "body": body or ""}, None


def _plain(status: int) -> dict[str, Any]:
    return {"statusCode": status, "headers": JSON_ANSWER, "body": INTERNAL_SERVER_ERROR}


def _limit_integrations() -> None:
    """An integration has 29 s, or its timeoutInMillis, and a payload 10 MB; ministack waits for ever and takes any.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
    """
    invoke_function = apigateway_v1._invoke_lambda_proxy_v1

    async def invoke(integration: Mapping[str, Any], *request: Any, **context: Any) -> Any:
        body = request[7]
        if body and len(body) > REQUEST_BYTES_MAX:
            return apigateway_v1._gw_error("REQUEST_TOO_LARGE", "Request Too Long")
        timeout_ms = int(integration.get("timeoutInMillis") or INTEGRATION_TIMEOUT_MS)  # text after a patch
        invocation = asyncio.ensure_future(invoke_function(integration, *request, **context))
        done, _ = await asyncio.wait({invocation}, timeout=timeout_ms / 1000)
        if done:
            return invocation.result()
        # Nobody tells the function: it runs on, and what it does after this answer is done all the same.
        return apigateway_v1._gw_error("INTEGRATION_TIMEOUT", "Endpoint request timed out")

    apigateway_v1._invoke_lambda_proxy_v1 = invoke


def _know_other_paths() -> None:
    """A path with an empty part, as `//a` or `/a/`, is no route: 403. ministack drops such parts, and fails with a 500.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
    """
    execute = apigateway_v1._execute_in_scope

    async def executed(request: Any, api_id: str, stage_name: str, method: str, path: str, *rest: Any) -> Any:
        parts = path.removeprefix("/").split("/")
        if path != "/":
            path = "/" + "/".join(part or NO_PART for part in parts)
        return await execute(request, api_id, stage_name, method, path, *rest)

    apigateway_v1._execute_in_scope = executed


def _update_in_place() -> None:
    """A changed OpenAPI body overwrites the API; ministack makes a new API, so that a deployment changes the URL.

    CloudFormation updates AWS::ApiGateway::RestApi without interruption and keeps its id:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-apigateway-restapi.html
    """
    handlers = provisioners._RESOURCE_HANDLERS["AWS::ApiGateway::RestApi"]
    update_rest = handlers["update"]

    def update(
        api_id: str,
        old: dict[str, Any],
        new: dict[str, Any],
        stack_name: str,
        logical_id: str | None = None,
    ) -> Any:
        body = new.get("Body")
        if isinstance(body, dict) and body != old.get("Body"):
            _overwrite(api_id, body)
            old = {**old, "Body": body}
        return update_rest(api_id, old, new, stack_name, logical_id)

    handlers["update"] = update


def _overwrite(api_id: str, body: Mapping[str, Any]) -> None:
    """Replace an API's resources, methods and authorizers by those of an OpenAPI body."""
    resources = apigateway_v1._resources[api_id]
    root = next(resource for resource in resources.values() if resource["path"] == "/")
    root["resourceMethods"] = {}
    apigateway_v1._resources[api_id] = {root["id"]: root}
    apigateway_v1._authorizers_v1[api_id] = {}
    schemes = apigateway_v1._import_security_schemes(api_id, body)
    for path, item in (body.get("paths") or {}).items():
        apigateway_v1._import_path_item(api_id, path, item, schemes, body.get("security"))
