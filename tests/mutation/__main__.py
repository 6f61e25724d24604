"""Mutation testing of the modules that decide about money: does a test of tests/core fail for every change of them?

    .local/venvs/dev/bin/python -m tests.mutation [MODULE ...]

At least 95 of 100 mutants must be noticed. survivors.toml holds each of the others with the reason why it changes
nothing that can be observed; they count against the figure all the same. A survivor that is not in the file fails the
run, and so does one in the file that a test notices by now.

Own code, because mutmut leaves decorated functions and everything outside of functions alone, and so the table of pay
fields, and cosmic-ray imports everything anew for each of 1,500 mutants.
"""

import os
import sys
import time
import tomllib
from pathlib import Path

from tests.claims import Claim, report
from tests.core import store

from . import trial
from .mutants import Mutant, mutants

GROUPS = {
    "signature": ("signature", "credentials"),
    "outcome": ("outcome", "settlement"),
    "request validation": ("messages", "pay_fields", "api"),
    "order store": ("order", "order_table", "polling"),
}
LISTED = Path(__file__).parent / "survivors.toml"
LEAST_KILLED = 0.95


def main(modules: list[str]) -> int:
    """Try the mutants of all groups, or of these modules alone."""
    begun = time.monotonic()
    groups = {
        group: [m for name in names if not modules or name in modules for m in _mutants(name)]
        for group, names in GROUPS.items()
    }
    everything = [mutant for group in groups.values() for mutant in group]
    with store.emulator() as os.environ[store.ENDPOINT]:
        print(f"{len(everything)} mutants; what the tests touch", flush=True)
        survived = _survivors(everything, trial.reach())
    names = {mutant.name for mutant in survived}
    reasons = _reasons({mutant.module for mutant in everything})
    for mutant in survived:
        if mutant.name not in reasons:
            print("survived, without a reason:", *mutant.name, sep="\n    ")
    for name in reasons.keys() - names:
        print("listed, but noticed or gone:", *name, sep="\n    ")
    claims = [_killed(f"mutants noticed, {group}", tried, survived) for group, tried in groups.items() if tried]
    claims += [
        _killed("mutants noticed", everything, survived),
        _none("survivors without a reason", len(names - reasons.keys())),
        _none("listed survivors that are noticed", len(reasons.keys() - names)),
    ]
    return report("mutation", claims, time.monotonic() - begun)


def _mutants(module: str) -> list[Mutant]:
    return mutants(module, (trial.PACKAGE / f"{module}.py").read_text("utf-8"))


def _survivors(everything: list[Mutant], reach: trial.Reach) -> list[Mutant]:
    survived = []
    for decided, survivor in trial.survivors(everything, reach):
        if survivor:
            survived.append(survivor)
        if decided % 100 == 0:
            print(f"  {decided} tried, {len(survived)} not noticed", flush=True)
    return survived


def _reasons(modules: set[str]) -> dict[tuple[str, str, str], str]:
    listed = tomllib.loads(LISTED.read_text("utf-8"))["survivor"]
    return {(s["module"], s["line"], s["change"]): s["reason"] for s in listed if s["module"] in modules}


def _killed(name: str, tried: list[Mutant], survived: list[Mutant]) -> Claim:
    killed = len(tried) - sum(mutant in survived for mutant in tried)
    share = killed / len(tried)
    return Claim(name, f"{killed} of {len(tried)}, {share:.1%}", f"{LEAST_KILLED:.0%}", share >= LEAST_KILLED)


def _none(name: str, number: int) -> Claim:
    return Claim(name, str(number), "0", number == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
