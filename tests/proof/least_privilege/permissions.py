"""What the roles of a running stack may do, and the stack without one part of it."""

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
    """One action on one resource in one statement; without an action, the `*` in that resource."""

    policy: Policy
    statement: int
    action: str | None
    resource: str

    def __str__(self) -> str:
        what = self.action or f"the * in the resource of {self.sid}"
        everywhere = [action for statement in self.policy.statements for action in listed(statement["Action"])]
        several = (
            everywhere.count(self.action) > 1 or len(listed(self.policy.statements[self.statement]["Resource"])) > 1
        )
        on = f" on {self.resource.split(':', 5)[-1]}" if several else ""
        return f"{self.function}: {what}{on}"

    @property
    def function(self) -> str:
        """Whose role it is, a function or a state machine."""
        return self.policy.role.removesuffix("Role")

    @property
    def sid(self) -> str:
        """What its statement is called; those that SAM makes have no name."""
        return str(self.policy.statements[self.statement].get("Sid", ""))

    @property
    def checked(self) -> bool:
        return (self.policy.role, self.sid, self.action) not in LISTED


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


LISTED = {
    (role, entry["statement"], action) for entry in UNCHECKED for role in entry["roles"] for action in entry["actions"]
}
"""Role, statement and action of each that is unchecked."""


@dataclass(frozen=True)
class Invocation:
    """What a function's own policy allows: that a service of AWS invokes it for one source."""

    function: str
    statement_id: str
    service: str
    source: str

    def __str__(self) -> str:
        return f"{self.name}: to be invoked by {self.source.split(':', 5)[-1]}"

    @property
    def name(self) -> str:
        """What the function is called without the stack's name."""
        return self.function.rpartition("-")[2]

    @property
    def is_scheduled(self) -> bool:
        """Whether a rule invokes it, and not a request."""
        return self.service == "events.amazonaws.com"


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
    """Each action of each statement on each resource, and each `*` that is only a part of a resource."""
    for number, statement in enumerate(policy.statements):
        for resource in listed(statement["Resource"]):
            yield from (Permission(policy, number, action, resource) for action in listed(statement["Action"]))
            if "*" in resource and resource != "*":
                yield Permission(policy, number, None, resource)


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
            restored.callback(_put, iam, policy, list(policy.statements))
            of_policy = {(one.statement, one.action, one.resource) for one in lost if one.policy == policy}
            _put(iam, policy, list(_left(policy, of_policy)))
        yield


def _left(policy: Policy, lost: set[tuple[int, str | None, str]]) -> Iterator[Json]:
    """The policy's statements without these, one statement for each action that is left."""
    for number, statement in enumerate(policy.statements):
        for action in listed(statement["Action"]):
            left = [
                resource.replace("*", "") if (number, None, resource) in lost else resource
                for resource in listed(statement["Resource"])
                if (number, action, resource) not in lost
            ]
            if left:
                yield {name: value for name, value in statement.items() if name != "Sid"} | {
                    "Action": action,
                    "Resource": left,
                }


def _put(iam: Any, policy: Policy, statements: list[Json]) -> None:
    if statements:
        document = {"Version": "2012-10-17", "Statement": statements}
        iam.put_role_policy(RoleName=policy.role_name, PolicyName=policy.name, PolicyDocument=json.dumps(document))
    else:
        iam.delete_role_policy(RoleName=policy.role_name, PolicyName=policy.name)


@contextmanager
def uninvited(aws: Any, *lost: Invocation) -> Iterator[None]:
    """The functions without these permissions."""
    with ExitStack() as restored:
        for one in lost:
            aws("lambda").remove_permission(FunctionName=one.function, StatementId=one.statement_id)
            restored.callback(
                aws("lambda").add_permission,
                FunctionName=one.function,
                StatementId=one.statement_id,
                Action="lambda:InvokeFunction",
                Principal=one.service,
                SourceArn=one.source,
            )
        yield
