"""Take each permission of the running stack away, one at a time: some flow must fail, and pass once it is back.

    .local/venvs/dev/bin/python -m tests.proof.least_privilege [--only NAME ...]

Which permissions there are is read from the stack. Each is tried with the flows that concern its role. What the
emulator does not check (unchecked.json) is taken away all at once: if a flow noticed, it would not belong there.

Two kinds are taken from all roles at once, since each is seen by itself: whether a function writes its log, and whether
a schedule starts what it is for. NAMEs are functions and machines, for a run that is not the whole proof.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import requests
from botocore.exceptions import ClientError

from tests.kit import ROOT
from tests.kit.stacks import Deployment, deployed
from tests.kit.template import ROLES, listed, statements
from tests.proof.claims import Claim, report

from .flows import FLOWS, Flow, flows_of, silent_functions
from .permissions import (
    LISTED,
    Invocation,
    Permission,
    invocations,
    permissions,
    policies,
    uninvited,
    without,
)
from .schedules import WITHIN_S, at_rest, every_minute, scheduled, started

SCALE = 0.02
"""The polling's first wait takes 60 ms."""

CACHED = ("secretsmanager:", "kms:")
"""A process that has read a secret or a key needs no permission to."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.least_privilege")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="functions and machines, without Role")
    only = parser.parse_args().only
    began = time.monotonic()
    with deployed(ROOT / ".local" / "test-stack-least-privilege", SCALE) as here, ExitStack() as quiet:
        stack_name = here.description["stackName"]
        rules = scheduled(here.aws, stack_name)
        quiet.enter_context(at_rest(here.aws, rules))
        allowed = [each for policy in policies(here.aws, stack_name) for each in permissions(policy)]
        invited = invocations(here.aws, stack_name)
        if only:
            allowed = [permission for permission in allowed if permission.function in only]
            invited = [invocation for invocation in invited if invocation.name in only]
        flows = [flow for flow, names in FLOWS.items() if not only or set(only) & set(names)]
        if failures := [named(failure) for flow in flows if (failure := failing(here, flow))]:
            raise SystemExit("\n".join(["with every permission:", *failures]))
        said(f"with every permission: every flow passes, after {time.monotonic() - began:.0f} s")

        checked = [permission for permission in allowed if permission.checked]
        to_log = [permission for permission in checked if permission.sid == "Log"]
        by_the_clock = [p for p in checked if p.action == "states:StartExecution" and not flows_of(p.function)]
        others = [permission for permission in checked if permission not in to_log + by_the_clock]
        needed = [permission for permission in others if permission_is_needed(here, permission)]
        needed += needed_to_log(here, to_log)
        invited_in_need = [one for one in invited if not one.is_scheduled and invocation_is_needed(here, one)]
        with without(here.aws, *(permission for permission in allowed if not permission.checked)):
            noticed = first_failing(here, flows)
        said(f"without all that is not checked: {named(noticed) if noticed else 'every flow passes'}")
        timed = [one for one in invited if one.is_scheduled]
        if timed or by_the_clock:
            of_schedules = needed_by_schedules(here, rules, timed, by_the_clock)
            invited_in_need += of_schedules[0]
            needed += of_schedules[1]

    claims = [
        Claim(
            "actions of roles on each resource, and wildcards in resources, without which a flow fails",
            f"{len(needed)} of {len(checked)}",
            "all that the emulator checks",
            bool(needed) and len(needed) == len(checked),
        ),
        Claim(
            "permissions to invoke a function without which a flow fails",
            f"{len(invited_in_need)} of {len(invited)}",
            "all",
            bool(invited) and len(invited_in_need) == len(invited),
        ),
    ]
    if not only:
        unaccounted = not_accounted_for(checked)
        claims.append(
            Claim(
                "permissions that the emulator does not check",
                f"{len(LISTED)} listed with AWS's page, {len(unaccounted)} unaccounted for, "
                f"{'noticed' if noticed else 'unnoticed'} when taken away together",
                "each listed, none unaccounted for, unnoticed",
                not unaccounted and not noticed,
            )
        )
    return report("least-privilege", claims, time.monotonic() - began, whole=not only)


def not_accounted_for(checked: Iterable[Permission]) -> set[tuple[str, str, str | None]]:
    """Role, statement and action of what the template allows and is neither checked nor listed, or is listed only."""
    of_template = {
        (role, statement["Sid"], action)
        for role in ROLES
        for statement in statements(role)
        for action in listed(statement["Action"])
    }
    unaccounted = LISTED ^ (of_template - {(each.policy.role, each.sid, each.action) for each in checked})
    for role, sid, action in sorted(unaccounted):
        said(f"unaccounted for: {role}: {action} of {sid}")
    return unaccounted


def permission_is_needed(here: Deployment, permission: Permission) -> bool:
    loss = without(here.aws, permission)
    if (permission.action or "").startswith(CACHED):
        here.functions.kill(permission.function)
        loss = and_a_second(loss)
    return is_needed(here, str(permission), loss, flows_of(permission.function))


@contextmanager
def and_a_second(loss: AbstractContextManager[None]) -> Iterator[None]:
    """The loss, and as long after it as a read of the secret that failed stands."""
    with loss:
        yield
    time.sleep(1)


def invocation_is_needed(here: Deployment, invocation: Invocation) -> bool:
    return is_needed(here, str(invocation), uninvited(here.aws, invocation), flows_of(invocation.name))


def is_needed(here: Deployment, name: str, loss: AbstractContextManager[None], flows: list[Flow]) -> bool:
    """Whether some flow fails during the loss, and passes again after it."""
    began = time.monotonic()
    with loss:
        fails = first_failing(here, flows)
    still = failing(here, fails[0]) if fails else None
    said(f"without {name}: {named(fails) if fails else 'EVERY FLOW PASSES'} ({time.monotonic() - began:.1f} s)")
    if still:
        said(f"with it again, STILL: {named(still)}")
    return bool(fails) and not still


def needed_to_log(here: Deployment, to_log: list[Permission]) -> list[Permission]:
    """Those without which a function is silent, and writes once they are back."""
    needed = []
    for action in sorted({permission.action or "" for permission in to_log}):
        lost = [permission for permission in to_log if (permission.action or "") == action]
        with without(here.aws, *lost):
            silent = silent_functions(here)
        still = silent_functions(here)
        needed += seen_by_itself(lost, lambda permission: permission.function, silent, still)
    return needed


def needed_by_schedules(
    here: Deployment, rules: dict[str, str], invited: list[Invocation], roles: list[Permission]
) -> tuple[list[Invocation], list[Permission]]:
    """Those without which a schedule does not start what it is for, and does once they are back."""
    with every_minute(here.aws, rules):
        with uninvited(here.aws, *invited), without(here.aws, *roles):
            time.sleep(2)  # what is under way
            began = started(here, rules, all_within_s=WITHIN_S)
        again = started(here, rules, all_within_s=WITHIN_S)
    everything = set(rules.values())
    idle, still = everything - began, everything - again
    return (
        seen_by_itself(invited, lambda one: one.function, idle, still),
        seen_by_itself(roles, target_of, idle, still),
    )


def target_of(permission: Permission) -> str:
    """The name of the machine that the permission starts."""
    return permission.resource.rpartition(":")[2]


def seen_by_itself[One: (Permission, Invocation)](
    lost: Iterable[One], name_of: Callable[[One], str], without_it: set[str], with_it_again: set[str]
) -> list[One]:
    """Those whose function or machine did nothing while they were lost, all at once, and then did."""
    needed = []
    for one in lost:
        name = name_of(one)
        said(f"without {one}: {f'nothing of {name}' if name in without_it else 'NO DIFFERENCE'}")
        if name in with_it_again:
            said(f"with it again, STILL: nothing of {name}")
        elif name in without_it:
            needed.append(one)
    return needed


def first_failing(here: Deployment, flows: list[Flow]) -> tuple[Flow, str] | None:
    """The first of the flows that fails, and why."""
    return next((failure for flow in flows if (failure := failing(here, flow))), None)


def failing(here: Deployment, flow: Flow) -> tuple[Flow, str] | None:
    """The flow and why it fails, if it does."""
    try:
        flow(here)
    except (AssertionError, ClientError, KeyError, ValueError, requests.RequestException) as error:
        return flow, f"{type(error).__name__} {error}".removeprefix("AssertionError ").partition("\n")[0]
    return None


def named(failure: tuple[Flow, str]) -> str:
    flow, why = failure
    return f"{flow.__name__.replace('_', ' ')}: {why[:120]}"


def said(line: str) -> None:
    print(f"  {line}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
