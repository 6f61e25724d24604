"""The rules by which the stack's clock starts functions and machines: at rest, or all of them every minute."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

from .flows import logged

Json = dict[str, Any]

WITHIN_S = 60 + 10 + 5
"""The emulator looks every ten seconds whether a rule is due."""


def scheduled(aws: Any, stack_name: str) -> dict[str, str]:
    """What each scheduled rule of the stack starts, by the rule's name: the name of a function or machine."""
    events, resources = aws("events"), aws("cloudformation").describe_stack_resources(StackName=stack_name)
    found = {}
    for resource in resources["StackResources"]:
        if resource["ResourceType"] == "AWS::Events::Rule":
            rule = resource["PhysicalResourceId"].rpartition("|")[2]
            if events.describe_rule(Name=rule).get("ScheduleExpression"):
                [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
                found[rule] = target["Arn"].rpartition(":")[2]
    return found


@contextmanager
def at_rest(aws: Any, rules: dict[str, str]) -> Iterator[None]:
    """None of these rules starts anything."""
    for rule in rules:
        aws("events").disable_rule(Name=rule)
    try:
        yield
    finally:
        for rule in rules:
            aws("events").enable_rule(Name=rule)


@contextmanager
def every_minute(aws: Any, rules: dict[str, str]) -> Iterator[None]:
    """Each of these rules every minute, whatever its own schedule is."""
    events = aws("events")
    before = {rule: events.describe_rule(Name=rule) for rule in rules}
    for rule in rules:
        events.put_rule(Name=rule, ScheduleExpression="rate(1 minute)", State="ENABLED")
    try:
        yield
    finally:
        for rule, was in before.items():
            events.put_rule(Name=rule, ScheduleExpression=was["ScheduleExpression"], State=was["State"])


def started(here: Deployment, rules: dict[str, str], *, all_within_s: float) -> set[str]:
    """What these rules start from now on, by its name; all of it, or what there is after this time."""
    since_ms = int(time.time() * 1000)
    wanted = set(rules.values())
    found: set[str] = set()

    def look() -> bool:
        found.update(name for name in wanted - found if _started(here, name, since_ms))
        return found == wanted

    try:
        eventually(look, "a start of each", all_within_s, every_s=1)
    except AssertionError:
        return found
    return found


def _started(here: Deployment, name: str, since_ms: int) -> bool:
    stack = here.description["stackName"]
    if name.startswith(f"{stack}-") and _is_function(here, name):
        return logged(here, name.removeprefix(f"{stack}-"), since_ms)
    states = here.aws("stepfunctions")
    [machine] = [one for one in states.list_state_machines()["stateMachines"] if one["name"] == name]
    executions = states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    return any(one["startDate"].timestamp() * 1000 >= since_ms for one in executions)


def _is_function(here: Deployment, name: str) -> bool:
    client = here.aws("lambda")
    try:
        client.get_function_configuration(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        return False
    return True
