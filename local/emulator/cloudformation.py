"""Templates may have connections and API destinations: ministack has both, but fails a change set that names one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners

Call = Callable[[dict[str, Any]], tuple[int, Any, bytes]]
Resource = tuple[str, dict[str, Any]]  # its physical id and its attributes


def correct() -> None:
    """Apply this module's corrections to ministack."""
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
