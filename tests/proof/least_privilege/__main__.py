"""Take each permission of the running stack away, one at a time: some flow must fail, and pass once it is back.

    .local/venvs/dev/bin/python -m tests.proof.least_privilege

Which permissions there are is read from the stack. What the emulator does not check (unchecked.json) is taken away
all at once: if a flow noticed, it would not belong there.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from botocore.exceptions import ClientError

from tests.kit import ROOT
from tests.kit.stacks import Deployment, deployed
from tests.kit.template import ROLES, actions
from tests.proof.claims import Claim, report

from .flows import FLOWS, Flow, the_sweep_runs_every_minute
from .permissions import (
    UNCHECKED,
    Invocation,
    Permission,
    invocations,
    permissions,
    policies,
    uninvited,
    without,
)

SCALE = 0.02
"""The polling's first wait takes 60 ms."""


def main() -> int:
    started = time.monotonic()
    with deployed(ROOT / ".local" / "test-stack-least-privilege", SCALE) as here:
        stack_name = here.description["stackName"]
        allowed = [each for policy in policies(here.aws, stack_name) for each in permissions(policy)]
        if fails := first_failing(here, FLOWS):
            raise SystemExit(f"with every permission: {named(fails)}")
        checked = [permission for permission in allowed if permission.checked]
        needed = [permission for permission in checked if permission_is_needed(here, permission)]
        invited = invocations(here.aws, stack_name)
        invited_in_need = [invocation for invocation in invited if invocation_is_needed(here, invocation)]
        with without(here.aws, *(permission for permission in allowed if not permission.checked)):
            noticed = first_failing(here, FLOWS)
        print(f"  without all that is not checked: {named(noticed) if noticed else 'every flow passes'}", flush=True)

    listed = {(role, action) for entry in UNCHECKED for role in entry["roles"] for action in entry["actions"]}
    of_template = {(role, action) for role in ROLES for action in actions(role)}
    unaccounted = listed ^ (of_template - {(permission.policy.role, permission.action) for permission in checked})
    claims = [
        Claim(
            "actions of roles, and wildcards in their resources, without which a flow fails",
            f"{len(needed)} of {len(checked)}",
            "all that the emulator checks",
            bool(needed) and needed == checked,
        ),
        Claim(
            "permissions to invoke a function without which a flow fails",
            f"{len(invited_in_need)} of {len(invited)}",
            "all",
            bool(invited) and invited_in_need == invited,
        ),
        Claim(
            "permissions that the emulator does not check",
            f"{len(listed)} listed with AWS's page, {len(unaccounted)} unaccounted for, "
            f"{'noticed' if noticed else 'unnoticed'} when taken away together",
            "each listed, none unaccounted for, unnoticed",
            not unaccounted and not noticed,
        ),
    ]
    return report("least-privilege", claims, time.monotonic() - started)


def permission_is_needed(here: Deployment, permission: Permission) -> bool:
    loss = without(here.aws, permission)
    if permission.action == "secretsmanager:GetSecretValue":  # a process that has read it needs no permission to
        here.functions.kill(permission.policy.role.removesuffix("Role"))
        loss = and_a_second(loss)
    return is_needed(here, str(permission), loss, FLOWS)


@contextmanager
def and_a_second(loss: AbstractContextManager[None]) -> Iterator[None]:
    """The loss, and as long after it as a read of the secret that failed stands."""
    with loss:
        yield
    time.sleep(1)


def invocation_is_needed(here: Deployment, invocation: Invocation) -> bool:
    flows: list[Flow] = [the_sweep_runs_every_minute] if invocation.service == "events.amazonaws.com" else FLOWS
    return is_needed(here, str(invocation), uninvited(here.aws, invocation), flows)


def is_needed(here: Deployment, name: str, loss: AbstractContextManager[None], flows: list[Flow]) -> bool:
    """Whether some flow fails during the loss, and passes again after it."""
    with loss:
        fails = first_failing(here, flows)
    still = first_failing(here, [fails[0]]) if fails else None
    print(f"  without {name}: {named(fails) if fails else 'EVERY FLOW PASSES'}", flush=True)
    if still:
        print(f"  with it again, STILL: {named(still)}", flush=True)
    return bool(fails) and not still


def first_failing(here: Deployment, flows: list[Flow]) -> tuple[Flow, str] | None:
    """The first of the flows that fails, and why."""
    for flow in flows:
        try:
            flow(here)
        except (AssertionError, ClientError) as error:
            return flow, (str(error).splitlines() or [type(error).__name__])[0]
    return None


def named(failure: tuple[Flow, str]) -> str:
    flow, why = failure
    return f"{flow.__name__.replace('_', ' ')}: {why[:120]}"


if __name__ == "__main__":
    raise SystemExit(main())
