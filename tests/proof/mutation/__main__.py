"""Mutation testing of the modules that decide about money: do the tests without a deployment notice every change?

    .local/venvs/dev/bin/python -m tests.proof.mutation [--sample SHARE [--seed N]] [--tests PATH] [MODULE ...]

With a sample, that share of each group's mutants, drawn by chance: minutes instead of hours. With tests, only these
look: what they notice is noticed by all.

At least 95 of 100 mutants must be noticed. survivors.toml holds each of the others with the reason why it changes
nothing that can be observed; they are not tried, and count as not noticed. A survivor that is not in the file fails the
run, and so does one in the file whose line is gone.

Own code, because mutmut leaves decorated functions and everything outside of functions alone, and so the table of pay
fields, and cosmic-ray imports everything anew for each of 1,500 mutants.
"""

import argparse
import math
import random
import sys
import time
import tomllib
from pathlib import Path

from tests.kit import store
from tests.proof.claims import Claim, a_seed, none, report

from .mutants import Mutant, mutants
from .trial import TESTS, Trials, reach, source_of

GROUPS = {
    "signature": ("alipay.signature", "alipay.credentials"),
    "outcome": (
        "alipay.amount",
        "alipay.reading",
        "alipay.masking",
        "alipay.mismatch",
        "payment.identity",
        "payment.outcome",
        "payment.transitions",
        "settle",
        "contradiction",
    ),
    "request validation": (
        "alipay.fields",
        "alipay.strict_json",
        "payment.fields",
        "payment.expiry",
        "payment.request",
        "payment.notification",
        "api",
    ),
    "linking": (
        *("agreement.agreement", "agreement.agreement_table", "agreement.calls", "agreement.debit"),
        *("agreement.fields", "agreement.keep_tokens", "agreement.kms", "agreement.link", "agreement.look"),
        *("agreement.notification", "agreement.outcome", "agreement.receive", "agreement.refresh"),
        *("agreement.request", "agreement.revoke", "agreement.schedule", "agreement.token_digest"),
        *("agreement.transitions", "agreement.vault"),
    ),
    "closing": ("payment.advice", "payment.cancel", "payment.cancel_call", "payment.closing", "payment.crossing"),
    "events": ("events", "publish", "rows.attention", "rows.told"),
    "reconciliation": ("reconciliation.compare",),
    "order store": ("rows.guard", "rows.table", "rows.watch", "payment.order", "payment.order_table", "polling"),
    "refunds": (
        "rows.settling",
        "rows.transaction",
        *("refund.adopt", "refund.advice", "refund.initiate", "refund.inquire", "refund.notification"),
        *("refund.observe", "refund.outcome", "refund.receive", "refund.refund", "refund.refund_table"),
        *("refund.request", "refund.seen", "refund.transitions", "refund.window"),
    ),
}
LISTED = Path(__file__).parent / "survivors.toml"
LEAST_NOTICED = 0.95

Name = tuple[str, str, str]


def main() -> int:
    """Try the mutants of all groups, or of these modules alone, or a share of them."""
    parser = argparse.ArgumentParser(prog="tests.proof.mutation")
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--sample", type=float, default=1.0, metavar="SHARE")
    parser.add_argument("--seed", type=int, default=a_seed())
    parser.add_argument("--tests", action="append", metavar="PATH")
    options = parser.parse_args()
    modules, begun = options.modules, time.monotonic()
    groups = {
        group: [mutant for name in names if not modules or name in modules for mutant in of(name)]
        for group, names in GROUPS.items()
    }
    present = {mutant.name for tried in groups.values() for mutant in tried}
    if options.sample < 1:
        print(f"seed {options.seed}", flush=True)
        chance = random.Random(options.seed)
        groups = {
            group: chance.sample(tried, math.ceil(options.sample * len(tried))) for group, tried in groups.items()
        }
    everything = [mutant for tried in groups.values() for mutant in tried]
    reasons = _reasons({mutant.module for mutant in everything})
    listed = [mutant for mutant in everything if mutant.name in reasons]
    with store.emulator() as one, store.emulator() as other:
        print(f"{len(everything)} mutants, {len(listed)} of them listed", flush=True)
        paths = options.tests or TESTS
        tried = [mutant for mutant in everything if mutant.name not in reasons]
        trials = Trials(tried, paths, reach(paths, one), [one, other], _Progress(begun))
        trials.run()
    survived = [*trials.survived, *listed]
    gone = reasons.keys() - present
    _show("listed, but gone", gone)
    claims = [_noticed(f"mutants noticed, {group}", tried, survived) for group, tried in groups.items() if tried]
    claims += [
        _noticed("mutants noticed", everything, survived),
        none("survivors without a reason", len({mutant.name for mutant in trials.survived})),
        none("listed survivors that are gone from the code", len(gone)),
    ]
    return report(
        "mutation", claims, time.monotonic() - begun, whole=not (modules or options.tests) and options.sample == 1
    )


def of(module: str) -> list[Mutant]:
    """All mutants of a module of the shared package."""
    return mutants(module, source_of(module).read_text("utf-8"))


class _Progress:
    """Tells how far it is, and names a survivor as soon as it is one."""

    def __init__(self, begun: float) -> None:
        self._begun, self._named = begun, 0

    def __call__(self, decided: int, survived: list[Mutant]) -> None:
        for mutant in survived[self._named :]:
            print(f"  not noticed: {' | '.join(mutant.name)}", flush=True)
        self._named = len(survived)
        if decided % 100 == 0:
            print(f"  {decided} tried, {len(survived)} not noticed, {time.monotonic() - self._begun:.0f} s", flush=True)


def _reasons(modules: set[str]) -> dict[Name, str]:
    listed = tomllib.loads(LISTED.read_text("utf-8"))["survivor"]
    return {
        (each["module"], each["line"], each["change"]): each["reason"] for each in listed if each["module"] in modules
    }


def _show(what: str, names: set[Name]) -> None:
    for module, line, change in sorted(names):
        print(f"{what}: {module}\n    {line}\n    {change}")


def _noticed(name: str, tried: list[Mutant], survived: list[Mutant]) -> Claim:
    lost = {id(mutant) for mutant in survived}
    noticed = sum(id(mutant) not in lost for mutant in tried)
    share = noticed / len(tried)
    return Claim(name, f"{noticed} of {len(tried)}, {share:.1%}", f"{LEAST_NOTICED:.0%}", share >= LEAST_NOTICED)


if __name__ == "__main__":
    sys.exit(main())
