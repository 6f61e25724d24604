"""What the roles of a running stack may do, and the stack without one part of it."""

import copy
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

UNCHECKED: list[Json] = json.loads((Path(__file__).parent / "unchecked.json").read_text("utf-8"))
"""What the emulator does not play or check: AWS's page demands it, and tests/template holds the template to it."""


@dataclass(frozen=True)
class Policy:
    """A role's inline policy. `role` is its name in the template, `role_name` its name in the account."""

    role: str
    role_name: str
    name: str
    statements: tuple[Json, ...]


@dataclass(frozen=True)
class Permission:
    """One action in one statement; without an action, the `*` in what that statement is about."""

    policy: Policy
    statement: int
    action: str | None

    def __str__(self) -> str:
        what = self.action or f"the * in the resource of {self.policy.statements[self.statement]['Sid']}"
        return f"{self.policy.role.removesuffix('Role')}: {what}"

    @property
    def checked(self) -> bool:
        return not any(self.policy.role in entry["roles"] and self.action in entry["actions"] for entry in UNCHECKED)

    def taken_from(self, statements: list[Json]) -> None:
        statement = statements[self.statement]
        if self.action is None:
            statement["Resource"] = statement["Resource"].replace("*", "")
        else:
            statement["Action"] = [action for action in listed(statement["Action"]) if action != self.action]


@dataclass(frozen=True)
class Invocation:
    """What a function's own policy allows: that a service of AWS invokes it for one source."""

    function: str
    statement_id: str
    service: str
    source: str

    def __str__(self) -> str:
        return f"{self.function.rpartition('-')[2]}: to be invoked by {self.service}"


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def policies(aws: Any, stack_name: str) -> list[Policy]:
    """Every policy of every role that the stack has in the account."""
    iam, resources = aws("iam"), aws("cloudformation").describe_stack_resources(StackName=stack_name)["StackResources"]
    found = []
    for resource in resources:
        if resource["ResourceType"] == "AWS::IAM::Role":
            role_name = resource["PhysicalResourceId"]
            assert not iam.list_attached_role_policies(RoleName=role_name)["AttachedPolicies"], role_name
            for name in iam.list_role_policies(RoleName=role_name)["PolicyNames"]:
                document = iam.get_role_policy(RoleName=role_name, PolicyName=name)["PolicyDocument"]
                found.append(Policy(resource["LogicalResourceId"], role_name, name, tuple(document["Statement"])))
    return found


def permissions(policy: Policy) -> Iterator[Permission]:
    """Each action of each statement, and each `*` that is only a part of a resource."""
    for number, statement in enumerate(policy.statements):
        yield from (Permission(policy, number, action) for action in listed(statement["Action"]))
        if "*" in statement["Resource"] and statement["Resource"] != "*":
            yield Permission(policy, number, None)


def invocations(aws: Any, stack_name: str) -> list[Invocation]:
    """Every permission that a function of the stack gives to a service."""
    resources = aws("cloudformation").describe_stack_resources(StackName=stack_name)["StackResources"]
    found = []
    for resource in resources:
        if resource["ResourceType"] == "AWS::Lambda::Function":
            function = resource["PhysicalResourceId"]
            try:
                policy = json.loads(aws("lambda").get_policy(FunctionName=function)["Policy"])
            except aws("lambda").exceptions.ResourceNotFoundException:
                continue  # only the state machine calls it, by its role
            for statement in policy["Statement"]:
                source = statement["Condition"]["ArnLike"]["AWS:SourceArn"]
                found.append(Invocation(function, statement["Sid"], statement["Principal"]["Service"], source))
    return found


@contextmanager
def without(aws: Any, *lost: Permission) -> Iterator[None]:
    """The stack's roles without these permissions."""
    iam = aws("iam")
    with ExitStack() as restored:
        for policy in {permission.policy.role: permission.policy for permission in lost}.values():
            statements = copy.deepcopy(list(policy.statements))
            for permission in lost:
                if permission.policy == policy:
                    permission.taken_from(statements)
            restored.callback(_put, iam, policy, list(policy.statements))
            _put(iam, policy, [statement for statement in statements if statement["Action"]])
        yield


def _put(iam: Any, policy: Policy, statements: list[Json]) -> None:
    document = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName=policy.role_name, PolicyName=policy.name, PolicyDocument=json.dumps(document))


@contextmanager
def uninvited(aws: Any, lost: Invocation) -> Iterator[None]:
    """The function without this permission."""
    aws("lambda").remove_permission(FunctionName=lost.function, StatementId=lost.statement_id)
    try:
        yield
    finally:
        aws("lambda").add_permission(
            FunctionName=lost.function,
            StatementId=lost.statement_id,
            Action="lambda:InvokeFunction",
            Principal=lost.service,
            SourceArn=lost.source,
        )
