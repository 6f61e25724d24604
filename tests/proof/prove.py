"""Every claim of docs/guarantee.md, by the command that shows it; exit status 1 if one falls short.

    python -m tests.proof.prove [--seed N] [NAME ...]

With names, some of the proofs only; the figures of the others stay as they were.

A line per claim, then the table of them in docs/guarantee.md, which nobody writes by hand. What a proof prints on its
way goes to .local/prove/NAME.log, its claims to .local/prove/NAME.json.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kit.fault_list import SHOWN
from tests.proof import ROOT
from tests.proof.claims import FIGURES, Claim, a_seed, report

GUARANTEE = ROOT / "docs" / "guarantee.md"
BEGIN, END = "<!-- written by make prove: begin -->\n", "<!-- written by make prove: end -->\n"
PYTHON = Path(sys.executable)
RESULTS = FIGURES / "suite.xml"


@dataclass(frozen=True)
class Proof:
    """A command that keeps its claims by `claims`, or one whose claims are read from what it left behind."""

    name: str
    command: tuple[str | Path, ...]
    by_chance: bool = False
    """It takes a seed."""
    read: Callable[[int], list[Claim]] | None = None

    @property
    def shown(self) -> str:
        """The command as one types it."""
        return " ".join("python" if word == PYTHON else str(word) for word in self.command)


def suite(status: int) -> list[Claim]:
    """What the end-to-end suite counted while it ran, with IAM enforced."""
    root = ElementTree.parse(RESULTS).getroot()
    cases = list(root.iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    noted: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        for each in case.iter("property"):
            noted[each.attrib["name"]].append(each.attrib["value"])

    def total(name: str) -> int:
        return sum(int(value) for value in noted[name])

    def counted(name: str, what: str, least: int) -> Claim:
        return Claim(what, f"{total(name):,}", f"at least {least:,}", total(name) >= least)

    shown = set(noted["fault"]) - set(noted["faultNotShown"])
    return [
        Claim(
            "tests, the deployed ones with IAM enforced",
            f"{len(cases) - len(failed) - len(skipped):,}/{len(cases):,} passed",
            "all",
            status == 0 and not failed and not skipped,
        ),
        Claim("faults shown", f"{len(shown)}/{len(SHOWN)}", "all", shown == set(SHOWN)),
        _crash_points(noted["crashPoints"]),
        counted("hostileWebhook", "hostile inputs to the webhook, each as stated, no 5xx", 40),
        counted("hostileApi", "hostile inputs to the API, each as stated, no 5xx", 25),
        counted("vectorsAccepted", "signature vectors accepted", 15),
        counted("vectorsRejected", "signature vectors rejected", 25),
        Claim("canaries found", f"{total('canaryHits')}", "0", bool(noted["canaryHits"]) and not total("canaryHits")),
    ]


def _crash_points(noted: list[str]) -> Claim:
    """`noted`: one `judged/met`, or nothing if the test failed."""
    judged, _, met = (noted or ["0/0"])[0].partition("/")
    return Claim(
        "crash points of the deployed functions; each order settled, INIT with an alarm, or never stored",
        f"{judged}/{met}",
        "all, at least 30",
        judged == met and int(met) >= 30,
    )


def proof(module: str) -> tuple[str | Path, ...]:
    return (PYTHON, "-m", f"tests.proof.{module}")


SETTLEMENTS, RACES, ROUNDS, TOKENS = 10_000, 200, 2_000, 10_000
LARGE = FIGURES / "large.xml"
MANY = (
    *("tests/deployed/events/test_settlements.py", "tests/deployed/closing/test_closing.py"),
    *("tests/edges/refund/test_refund_table.py", "tests/edges/agreement/test_refresh.py"),
    *("-k", "settlement_is_told or races or never_exceed or fell_due"),
    *("--settlements", str(SETTLEMENTS), "--races", str(RACES)),
    *("--refund-rounds", str(ROUNDS), "--refresh-hours", "24"),
)


def large(status: int) -> list[Claim]:
    """What the suite shows in small, in large."""
    noted = Counter[str]()
    for each in ElementTree.parse(LARGE).iter("property"):
        if each.attrib["value"].isdigit():
            noted[each.attrib["name"]] += int(each.attrib["value"])

    def shown(name: str, what: str, figure: str, wanted: int, *also: str) -> Claim:
        return Claim(what, figure, f"{wanted:,}", status == 0 and noted[name] == wanted and all(noted[a] for a in also))

    settlements, kills, copies = noted["settlementsTold"], noted["publisherKills"], noted["copiesOfEvents"]
    return [
        shown(
            "settlementsTold",
            "settlements told, without a gap, though the publisher was killed at each of its effects",
            f"{settlements:,} told, {kills:,} kills, {copies:,} copies, each equal to the byte",
            SETTLEMENTS,
            *("publisherKills", "copiesOfEvents"),
        ),
        shown(
            "races",
            "cancels that cross a success, half of them after it; the table and Alipay's ledger are equal",
            f"{noted['races']:,}",
            RACES,
        ),
        shown(
            "refundRounds",
            "rounds of 32 refunds at once, half of which die; never above the payment, none refused while it allows it",
            f"{noted['refundRounds']:,}",
            ROUNDS,
        ),
        shown("refreshedOnce", "tokens due on one day, each refreshed once", f"{noted['refreshedOnce']:,}", TOKENS),
    ]


WORKERS = ("--numprocesses", "4", "--no-loadscope-reorder")
"""As `make test` has them."""

PROOFS = (
    Proof("linters", proof("linters")),
    Proof("model", proof("model")),
    Proof("schedules", proof("schedules"), by_chance=True),
    Proof("mutation", proof("mutation")),
    Proof("fuzz", proof("fuzz"), by_chance=True),
    Proof("suite", (PYTHON, "-m", "pytest", *WORKERS, f"--junitxml={RESULTS.relative_to(ROOT)}"), read=suite),
    Proof("large", (PYTHON, "-m", "pytest", *MANY, f"--junitxml={LARGE.relative_to(ROOT)}"), read=large),
    Proof("least-privilege", proof("least_privilege")),
    Proof("contract", proof("contract"), by_chance=True),
    Proof("reconciliation", proof("reconciliation"), by_chance=True),
    Proof("soak", proof("soak"), by_chance=True),
)


def run(each: Proof, seed: int) -> None:
    """Run one proof; afterwards its claims are in FIGURES, and a command that failed without one says so."""
    began = time.monotonic()
    FIGURES.mkdir(parents=True, exist_ok=True)
    for old in (FIGURES / f"{each.name}.json", FIGURES / f"{each.name}.xml"):
        old.unlink(missing_ok=True)
    command = [*each.command, *(["--seed", str(seed)] if each.by_chance else [])]
    print(f"... {each.name}: {each.shown}{f' --seed {seed}' if each.by_chance else ''}", flush=True)
    with (FIGURES / f"{each.name}.log").open("w") as log:
        status = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    claims = each.read(status) if each.read else [Claim(**claim) for claim in claims_of(each.name)]
    if status and all(claim.holds for claim in claims):
        claims.append(Claim(each.name, f"ended with {status}, see .local/prove/{each.name}.log", "0", holds=False))
    report(each.name, claims, time.monotonic() - began)


def claims_of(name: str) -> list[dict[str, Any]]:
    """The claims that a proof kept, or that it kept none."""
    kept = FIGURES / f"{name}.json"
    none_kept = {"name": "every claim", "figure": "not run to the end", "bar": "to be run", "holds": False}
    claims: list[dict[str, Any]] = json.loads(kept.read_text())["claims"] if kept.exists() else [none_kept]
    return claims


def write_guarantee() -> None:
    """Put the sentence and the table of claims into docs/guarantee.md."""
    rows = [
        f"| {claim['name']} | {claim['figure']}{'' if claim['holds'] else ' **(short)**'} "
        f"| {claim['bar']} | `{each.shown}` |"
        for each in PROOFS
        for claim in claims_of(each.name)
    ]
    figures = "\n".join(
        [sentence(), "", "| claim | figure | asked | command |", "| --- | --- | --- | --- |", *rows, ""]
    )
    text = GUARANTEE.read_text()
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    GUARANTEE.write_text(f"{head}{BEGIN}\n{figures}\n{END}{tail}")


def sentence() -> str:
    """The guarantee, with the figures that were found; only if all that it rests on holds."""
    resting = [claim for name in ("model", "schedules") for claim in claims_of(name)]
    if not all(claim["holds"] for claim in resting):
        return "> The last run did not show what is guaranteed: see below."

    def figure(proof: str, claim: str, pattern: str) -> str:
        found = [each["figure"] for each in claims_of(proof) if str(each["name"]).startswith(claim)]
        match = re.search(pattern, str(found[0])) if found else None
        return match[1] if match else "?"

    states = figure("model", "design, safety (", r"([\d,]+) states")
    classes = figure("schedules", "every schedule of 2 initiate, 2 notify, 2 look, 2 faults", r"([\d,]+) classes")
    return (
        "> For up to 2 concurrent initiations, 2 deliveries of a notification, 2 inquiries and 2 crashes at any\n"
        f"> effect, every schedule of the design ({states} states) and, up to equivalence, every schedule of the\n"
        f"> shipped handlers ({classes} classes of schedules) leaves INIT at most once, debits at most once, never\n"
        "> stores a result Alipay did not have, and ends settled or alarmed; each seeded bug is caught."
    )


def need_spin() -> None:
    """SPIN comes as a Debian package only; where we may, we install it."""
    if shutil.which("spin") and shutil.which("gcc"):
        return
    if not shutil.which("apt-get") or os.geteuid() != 0:
        raise SystemExit("the model needs spin and gcc (Debian and Ubuntu: apt-get install spin gcc)")
    print("... installing spin and gcc", flush=True)
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", "spin", "gcc", "libc6-dev"],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(each.name for each in PROOFS))
    parser.add_argument("--seed", type=int, default=a_seed(), help="of all that is taken by chance")
    options = parser.parse_args()
    names = options.names
    chosen = [each for each in PROOFS if not names or each.name in names]
    if unknown := set(names) - {each.name for each in PROOFS}:
        parser.error(f"no such proof: {', '.join(sorted(unknown))}")
    if any(each.name == "model" for each in chosen):
        need_spin()
    began = time.monotonic()
    for each in chosen:
        run(each, options.seed)
    write_guarantee()
    claims = [claim for each in chosen for claim in claims_of(each.name)]
    short = [claim for claim in claims if not claim["holds"]]
    print(f"{len(claims) - len(short)} of {len(claims)} claims hold; {(time.monotonic() - began) / 60:.0f} minutes")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
