"""Policies decide where ministack asks nobody: who may invoke a function, deliver an event, write a log, use a key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.arn import parse_arn
from ministack.core.responses import get_account_id, get_region
from ministack.services import apigateway_v1, eventbridge, lambda_svc, sqs


def correct() -> None:
    """Apply this module's corrections to ministack."""
    if app.AUTH:
        _api_gateway_asks_the_function()
        _rules_ask_their_targets()
        _keys_know_the_encryption_context()
        _local_calls_count_as_tls()
        _logging_asks_the_role()
        _updates_name_their_attributes()


def role_allows(role_arn: str, action: str, resource_arn: str) -> bool:
    """Whether the policies of the role allow the action on the resource."""
    role = parse_arn(role_arn)
    name = role.resource.rsplit("/", 1)[-1]
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{role.account_id}:assumed-role/{name}/service",
        principal_type="AssumedRole",
        principal_account=role.account_id,
        action=action,
        resource_arn=resource_arn,
        region=get_region(),
    )
    policies = iam_evaluator._gather_role_policies(name, role.account_id)
    return bool(iam_evaluator.evaluate(context, policies).decision == "Allow")


def function_allows(function_arn: str, service: str, source_arn: str) -> bool:
    """Whether the function's own policy lets a service of AWS invoke it for this source.

    https://docs.aws.amazon.com/lambda/latest/dg/permissions-function-services.html
    """
    found = lambda_svc.function_policy_for_arn(function_arn)
    context = iam_evaluator.EvalContext(
        principal_arn="",
        principal_type="Service",
        principal_account="",
        action="lambda:InvokeFunction",
        resource_arn=function_arn,
        region=get_region(),
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": get_account_id()},
    )
    return bool(
        found and iam_evaluator.evaluate_resource_policy(found[0], context, service=service).decision == "Allow"
    )


def _updates_name_their_attributes() -> None:
    """`dynamodb:Attributes` of an UpdateItem holds the key's attributes and all that its expressions name.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
    """
    context_of = iam_actions.dynamodb_service_context

    def context(body: bytes) -> dict[str, Any]:
        found: dict[str, Any] = context_of(body)
        request = json.loads(body or b"{}")
        if "UpdateExpression" in request:
            expressions = f"{request['UpdateExpression']} {request.get('ConditionExpression', '')}"
            names = request.get("ExpressionAttributeNames", {})
            named = {names.get(word, word) for word in _ATTRIBUTE.findall(expressions)}
            found["dynamodb:Attributes"] = sorted({*request["Key"], *named} - _WORDS)
        return found

    iam_actions.dynamodb_service_context = context


_ATTRIBUTE = re.compile(r"(?<![\w:#.])#?[A-Za-z_0-9]*[A-Za-z_][A-Za-z_0-9]*(?!\w|\s*\()|#\d+")
"""The first segment of a path in an expression; no value and no function."""

_WORDS = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "IN", "BETWEEN"}


def _api_gateway_asks_the_function() -> None:
    """A function that does not let API Gateway invoke it for this method is a 500.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/permissions.html
    """
    invoke_function = apigateway_v1._invoke_lambda_proxy_v1

    async def invoke(
        integration: Mapping[str, Any],
        api: str,
        stage: str,
        settings: Any,
        resource: Any,
        path: str,
        method: str,
        *request: Any,
        **context: Any,
    ) -> Any:
        function = apigateway_v1._extract_lambda_ref_from_integration_uri(integration.get("uri", ""))
        # Encoded, as it came: an ARN has no line ends, and patterns of ARNs stop at one.
        source = f"arn:aws:execute-api:{get_region()}:{get_account_id()}:{api}/{stage}/{method}{quote(path)}"
        if not function_allows(function, "apigateway.amazonaws.com", source):
            return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
        return await invoke_function(integration, api, stage, settings, resource, path, method, *request, **context)

    apigateway_v1._invoke_lambda_proxy_v1 = invoke


def _rules_ask_their_targets() -> None:
    """What may not receive a rule's events gets none: they go to the target's dead-letter queue, if that may.

    Functions and queues are asked themselves, for all else the target's role is.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    invoke_target = eventbridge._invoke_target

    def invoke(target: Mapping[str, Any], event: Any, rule: Mapping[str, Any], view: Any = None) -> None:
        dead_letters = (target.get("DeadLetterConfig") or {}).get("Arn")
        if target_allows(target, rule["Arn"]):
            invoke_target(target, event, rule, view)
        elif dead_letters and target_allows({"Arn": dead_letters}, rule["Arn"]):
            invoke_target({"Arn": dead_letters}, event, rule, view)

    eventbridge._invoke_target = invoke


def target_allows(target: Mapping[str, Any], rule_arn: str) -> bool:
    """Whether a rule may deliver to this target.

    A queue that has no policy may receive, unlike on AWS: it is what a test hangs on a bus to listen.
    """
    arn = parse_arn(target["Arn"])
    match arn.service:
        case "lambda":
            return function_allows(target["Arn"], "events.amazonaws.com", rule_arn)
        case "sqs":
            policy, _ = sqs.queue_policy_for_arn(target["Arn"]) or ("", "")
            own = get_account_id()
            return not policy or sqs.queue_policy_allows(target["Arn"], "events.amazonaws.com", rule_arn, own)
        case "states":
            action = "states:StartExecution"
        case "events" if arn.resource.startswith("api-destination/"):
            action = "events:InvokeApiDestination"
        case "events":
            action = "events:PutEvents"
        case _:
            return True
    return role_allows(target.get("RoleArn", ""), action, target["Arn"])


def _keys_know_the_encryption_context() -> None:
    """Policies may ask for an encryption context; ministack tells them nothing of it, so that no such policy allows.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-encryption-context
    """
    tags_of = iam_actions.request_tag_context

    def context_of(service: str, action: str, body: bytes, parameters: Any) -> dict[str, Any]:
        context = tags_of(service, action, body, parameters)
        if service != "kms":
            return context
        encryption = json.loads(body or b"{}").get("EncryptionContext") or {}
        keys = {"kms:EncryptionContextKeys": list(encryption)} if encryption else {}
        return context | keys | {f"kms:EncryptionContext:{name}": value for name, value in encryption.items()}

    iam_actions.request_tag_context = context_of


def _local_calls_count_as_tls() -> None:
    """A bucket for TLS alone is open to callers on this machine, who would use TLS on AWS and cannot here."""
    pin_origin = app.pin_request_origin
    app.pin_request_origin = lambda source_ip, secure_transport: pin_origin(source_ip, True)


def _logging_asks_the_role() -> None:
    """What a function writes is kept only if its role may make the stream and put events there.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
    """
    write = lambda_svc._emit_lambda_logs

    def write_if_allowed(function: dict[str, Any], *lines: Any, **options: Any) -> None:
        config = function.get("config") or function
        group = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        stream = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{group}:log-stream:any"
        if all(role_allows(config["Role"], f"logs:{call}", stream) for call in ("CreateLogStream", "PutLogEvents")):
            write(function, *lines, **options)

    lambda_svc._emit_lambda_logs = write_if_allowed
