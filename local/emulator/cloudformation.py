"""Templates may say what ministack can do but CloudFormation in it does not: destinations, and more of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import eventbridge, lambda_svc
from ministack.services.cloudformation import provisioners

Call = Callable[[dict[str, Any]], tuple[int, Any, bytes]]
Resource = tuple[str, dict[str, Any]]  # its physical id and its attributes


def correct() -> None:
    """Apply this module's corrections to ministack."""
    _destinations()
    _functions()


def _destinations() -> None:
    """Connections and API destinations, which ministack has; a change set that names one fails in it."""
    provisioners._RESOURCE_HANDLERS |= {
        "AWS::Events::Connection": handler(
            eventbridge._create_connection, eventbridge._update_connection, eventbridge._delete_connection, "connection"
        ),
        "AWS::Events::ApiDestination": handler(
            eventbridge._create_api_destination,
            eventbridge._update_api_destination,
            eventbridge._delete_api_destination,
            "api-destination",
        ),
    }


def _functions() -> None:
    """A function's reserved concurrency and dead letters, which ministack drops."""
    of_functions = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create, update = of_functions["create"], of_functions["update"]

    def completed(made: Resource, properties: dict[str, Any]) -> Resource:
        function = lambda_svc._functions[made[0]]
        reserved = properties.get("ReservedConcurrentExecutions")
        function["concurrency"] = None if reserved is None else int(reserved)
        function["config"]["DeadLetterConfig"] = properties.get("DeadLetterConfig") or {}
        return made

    def created(logical_id: str, properties: dict[str, Any], stack: str) -> Resource:
        return completed(create(logical_id, properties, stack), properties)

    def updated(name: str, old: dict[str, Any], new: dict[str, Any], *more: Any, **named: Any) -> Resource:
        return completed(update(name, old, new, *more, **named), new)

    of_functions |= {"create": created, "update": updated}


def handler(create: Call, update: Call, delete: Call, kind: str) -> dict[str, Callable[..., Any]]:
    """What CloudFormation does with one type of resource of EventBridge, by the calls of its API."""

    def do(call: Call, name: str, properties: dict[str, Any]) -> Resource:
        status, _, body = call({**properties, "Name": name})
        if status >= 400:
            raise ValueError(body.decode())
        arn = f"arn:aws:events:{provisioners.get_region()}:{provisioners.get_account_id()}:{kind}/{name}"
        return name, {"Arn": arn, "ArnForPolicy": arn}

    def made(logical_id: str, properties: dict[str, Any], stack: str) -> Resource:
        name = properties.get("Name") or provisioners._physical_name(stack, logical_id, max_len=64)
        return do(create, name, properties)

    def updated(name: str, old: dict[str, Any], new: dict[str, Any], stack: str) -> Resource:
        return do(update, name, new) if new.get("Name", name) == name else made(name, new, stack)

    def deleted(name: str, properties: dict[str, Any]) -> None:
        delete({"Name": name})

    return {"create": made, "update": updated, "delete": deleted}
