"""Check the models of the design, `payment.pml` and `agreement.pml`, with SPIN: every claim must hold, and every twin
must be refuted.

    python -m tests.proof.model [--jobs N] [NAME ...]

Needs `spin` (6.5) and `gcc`. Prints a line for each claim: its bounds, the states stored, the depth reached and the
depth allowed. A search that was cut short counts as a failure, and so does a statement of the model that no schedule
reaches. With names, only those claims and twins. Exit status 1 if anything fell short.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.claims import Claim as Proved
from tests.proof.claims import report

MODELS = Path(__file__).parent
PAYMENT, AGREEMENT = "payment.pml", "agreement.pml"

MEMORY_MB = 3000
"""Of one search; two run at a time."""

TIMEOUT_S = 600

SAFETY = ("ONE_DEBIT", "LEFT_ONCE", "ALIPAYS_RESULT", "ACK_IS_STORED", "KNOWS_ITS_WRITE", "ONE_POLLS", "KEPT")

SAFETY_OF_LINKING = (
    *("ONE_AT_A_TIME", "END_IS_THE_END", "HAS_A_TOKEN", "FAILED_IS_TRUE"),
    *("REVOKED_IS_TRUE", "ENDED_IS_TRUE", "NOTHING_SENT", "ACK_IS_STORED"),
)

FULL = {"POSTS": 2, "DELIVERIES": 2, "LOOKS": 2, "CRASHES": 2, "SLIPS": 1, "SWEEPS": 1}


CLOSING = FULL | {"CANCELS": 1, "SWEEPS": 0}
"""With closing: looks that cancel, and a cancel by the merchant."""

SMALL = {"POSTS": 1, "DELIVERIES": 1, "LOOKS": 2, "CRASHES": 1, "SLIPS": 0, "SWEEPS": 1, "CANCELS": 1}
"""The same with the sweep, and less of everything else."""


EXCHANGE = {"CODES": 2, "LOOKERS": 2, "LOOKS": 2, "LOSSES": 1, "CRASHES": 1}
END = {"LOOKERS": 2, "LOOKS": 2, "PAYS": 1, "LOSSES": 1, "CRASHES": 1}


@dataclass(frozen=True)
class Claim:
    """One search. `says` is the liveness claim, or None for all safety claims, with no deadlock, at once."""

    name: str
    says: str | None = None
    bounds: dict[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    whole: bool = False
    """Every statement of the model must be reached."""
    model: str = PAYMENT


@dataclass(frozen=True)
class Twin:
    """The design with one bug, and the claim that must refute it, all others being left out."""

    name: str
    refuted_by: str
    bounds: dict[str, int] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    model: str = PAYMENT


CLAIMS = (
    Claim("safety", bounds=FULL, whole=True),
    Claim("safety, three requests", bounds=FULL | {"POSTS": 3, "CRASHES": 1, "SLIPS": 0}),
    Claim("safety, two sweeps at once", bounds=FULL | {"SWEEPS": 2, "CRASHES": 1}),
    Claim("SETTLES", "SETTLES", FULL),
    Claim("NEVER_SILENT", "NEVER_SILENT", FULL | {"SLIPS": 0}),
    Claim("NEVER_SILENT, no execution ever starts", "NEVER_SILENT", FULL, ("NO_START",)),
    Claim("safety of closing", bounds=CLOSING),
    Claim("safety of closing, with the sweep", bounds=SMALL),
    Claim(
        "safety of closing, what never arrived", bounds=CLOSING | {"CRASHES": 1, "SLIPS": 0}, flags=("NEVER_PLACED",)
    ),
    Claim("SETTLES, with closing", "SETTLES", SMALL),
    Claim("CANCEL_ENDS", "CANCEL_ENDS", SMALL),
    Claim("safety of linking, to the link", bounds=EXCHANGE, model=AGREEMENT),
    Claim("safety of linking, one execution", bounds=EXCHANGE | {"LOOKERS": 1, "LOSSES": 3}, model=AGREEMENT),
    Claim("safety of linking, to the end", bounds=END, flags=("ENDS",), model=AGREEMENT),
)

TWINS = (
    Twin("NO_GUARD", "LEFT_ONCE"),
    Twin("REPLAY_UNDER_A_NEW_ID", "ONE_DEBIT"),
    Twin("REPLAY_WITHOUT_A_CLAIM", "ALIPAYS_RESULT"),
    Twin("TAKEN_OVER_WHILE_SENDING", "ALIPAYS_RESULT"),
    Twin("UNSENT_TAKEN_OVER_TWICE", "ALIPAYS_RESULT", {"POSTS": 3}),
    Twin("F_OF_A_REPEATED_PAY_BELIEVED", "ALIPAYS_RESULT"),
    Twin("UNSIGNED_F_BELIEVED", "ALIPAYS_RESULT"),
    Twin("UNSIGNED_S_BELIEVED", "ALIPAYS_RESULT"),
    Twin("FORGED_NOTIFICATION_BELIEVED", "ALIPAYS_RESULT"),
    Twin("PENDING_SETTLES", "ALIPAYS_RESULT"),
    Twin("AMOUNT_NOT_COMPARED", "ALIPAYS_RESULT"),
    Twin("CONTRADICTION_SETTLES", "ALIPAYS_RESULT"),
    Twin("ORDER_NOT_EXIST_FAILS", "ALIPAYS_RESULT"),
    Twin("FAILED_ON_EXHAUSTION", "ALIPAYS_RESULT"),
    Twin("ACKNOWLEDGED_BEFORE_THE_WRITE", "ACK_IS_STORED"),
    Twin("FAULT_ACKNOWLEDGED", "ACK_IS_STORED"),
    Twin("OWN_WRITE_TAKEN_FOR_ANOTHERS", "KNOWS_ITS_WRITE"),
    Twin("SWEEP_DOES_NOT_ASK_WHETHER_IT_RUNS", "ONE_POLLS"),
    Twin("NO_SWEEP", "SETTLES"),
    Twin("SWEEP_SKIPS_ENDED_EXECUTIONS", "SETTLES"),
    Twin("NOT_OVERDUE_WHEN_CREATED", "SETTLES"),
    Twin("NOT_OVERDUE_WHEN_TAKEN_OVER", "SETTLES"),
    Twin("UNSENT_ALTHOUGH_IT_MAY_HAVE_LEFT", "SETTLES"),
    Twin("UNSENT_NOTED_FOR_ANOTHER", "SETTLES"),
    Twin("SPENT_WITHOUT_ALARM", "SETTLES"),
    Twin("NO_COUNT", "NEVER_SILENT", flags=("NO_START",)),
    Twin("SUCCESS_BELIEVED_WHILE_CANCELLING", "KEPT", CLOSING),
    Twin("MARK_AFTER_THE_CALL", "KEPT", CLOSING),
    Twin("TAKEN_OVER_WHILE_CANCELLING", "KEPT", CLOSING),
    Twin("F_OF_A_REPEATED_CANCEL_BELIEVED", "ALIPAYS_RESULT", CLOSING),
    Twin("INQUIRY_OLDER_THAN_THE_CANCEL_BELIEVED", "ALIPAYS_RESULT", CLOSING),
    Twin("ASKED_WHILE_A_CANCEL_WAS_UNANSWERED", "ALIPAYS_RESULT", CLOSING),
    Twin("CANCELLED_ON_SILENCE", "ALIPAYS_RESULT", CLOSING),
    Twin("NEVER_SENT_NOT_ASKED_AGAIN", "KEPT", CLOSING),
    Twin("ABSENCE_BEFORE_THE_EXPIRY_COUNTS", "KEPT", SMALL, ("NEVER_PLACED",)),
    Twin("ONE_ABSENCE_IS_ENOUGH", "KEPT", SMALL, ("NEVER_PLACED",)),
    Twin("ABSENCES_OUTLIVE_A_TAKEOVER", "KEPT", SMALL | {"POSTS": 2}, ("NEVER_PLACED",)),
    Twin("NOTED_CANCEL_FORGOTTEN", "CANCEL_ENDS", SMALL),
    Twin("NEVER_SENT_NOTED_OVER_A_CANCEL", "CANCEL_ENDS", SMALL),
    *(
        Twin(name, refuted_by, EXCHANGE, model=AGREEMENT)
        for name, refuted_by in (
            ("NO_LOCK", "ONE_AT_A_TIME"),
            ("TAKEN_OVER_WHILE_CALLING", "ONE_AT_A_TIME"),
            ("COUNTED_AFTER_THE_CALL", "FAILED_IS_TRUE"),
            ("SILENCE_IS_NO_TRACE", "FAILED_IS_TRUE"),
            ("F_AFTER_A_LOST_CALL_IS_PLAIN", "FAILED_IS_TRUE"),
            ("CODE_ACKNOWLEDGED_BEFORE_THE_WRITE", "ACK_IS_STORED"),
        )
    ),
    *(
        Twin(name, refuted_by, END, ("ENDS",), AGREEMENT)
        for name, refuted_by in (
            ("REVOKED_WHILE_REFRESHING", "REVOKED_IS_TRUE"),
            ("NOTE_DROPS_THE_LOCK", "REVOKED_IS_TRUE"),
            ("REFRESH_DROPPED_WHEN_UNLINKING", "REVOKED_IS_TRUE"),
            ("SILENCE_REVOKES", "REVOKED_IS_TRUE"),
            ("PAYS_WHILE_UNLINKING", "NOTHING_SENT"),
            ("DEAD_TOKEN_ENDS_A_NEWER_ONE", "ENDED_IS_TRUE"),
            ("DEAD_TOKEN_ENDS_WHILE_REFRESHING", "ENDED_IS_TRUE"),
        )
    ),
)

TWIN_BOUNDS = FULL | {"CRASHES": 1}


@dataclass
class Search:
    """What one run of pan came to."""

    name: str
    claim: str
    bounds: dict[str, int]
    states: int = 0
    depth: int = 0
    depth_limit: int = 0
    complete: bool = False
    errors: int = -1
    violated: str | None = None
    unreached: list[str] = field(default_factory=list)
    memory_mb: int = 0
    seconds: float = 0.0
    ok: bool = False


def search(model: str, name: str, claim: str, defines: list[str], bounds: dict[str, int], depth_limit: int) -> Search:
    """Generate, compile and run one verifier; `claim` is "safety" or the name of a liveness claim."""
    found = Search(name, claim, bounds, depth_limit=depth_limit)
    began = time.monotonic()
    liveness = claim != "safety"
    macros = [f"-D{macro}={value}" for macro, value in bounds.items()] + [f"-D{macro}" for macro in defines]
    with tempfile.TemporaryDirectory(prefix="payment-model-") as directory:
        shutil.copy(MODELS / model, directory)
        run(["spin", "-a", *macros, *([f"-D{claim}"] if liveness else []), model], directory)
        # Weak fairness costs two bits for each process; three words are enough for sixteen and more.
        compiled = ["-DNFAIR=3"] if liveness else ["-DSAFETY"]
        run(["gcc", "-O2", "-w", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", *compiled, "-o", "pan", "pan.c"], directory)
        arguments = ["-a", "-f"] if liveness else []
        output = run(["./pan", f"-m{depth_limit}", "-w24", *arguments], directory)
    read(output, found)
    found.seconds = round(time.monotonic() - began, 1)
    return found


def run(command: list[str], directory: str) -> str:
    """The output of a command; pan's exit status says nothing that its output does not."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode and command[0] != "./pan":
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def read(output: str, found: Search) -> None:
    """Take the figures out of pan's report."""

    def number(pattern: str) -> int:
        match = re.search(pattern, output, re.MULTILINE)
        return int(float(match[1])) if match else -1

    found.errors = number(r"errors: (\d+)$")
    found.states = number(r"^ *([\d.e+]+) states, stored")
    found.depth = number(r"depth reached (\d+),")
    found.memory_mb = number(r"^ *([\d.]+)\s+total actual memory usage")
    cut = ("Search not completed", "max search depth too small", "MEMLIM bound")
    found.complete = found.errors >= 0 and found.depth < found.depth_limit and not any(text in output for text in cut)
    if violated := re.search(r"^pan:1: (.*?) \(at depth", output, re.MULTILINE):
        found.violated = violated[1]
    found.unreached = [
        line.strip() for line in re.findall(r'^\t(.*, state \d+, ".*")$', output, re.MULTILINE) if '"-end-"' not in line
    ]


def check_claim(claim: Claim) -> Search:
    limit = 100_000
    found = search(claim.model, claim.name, claim.says or "safety", list(claim.flags), claim.bounds, limit)
    found.ok = found.complete and found.errors == 0 and not (claim.whole and found.unreached)
    return found


def check_twin(twin: Twin) -> Search:
    """Refuted if the claim meant for it, and no other, finds an error."""
    safety = (*SAFETY, "ENOUGH_ROUNDS") if twin.model == PAYMENT else SAFETY_OF_LINKING
    liveness = twin.refuted_by not in safety
    left_out = [f"{name}=1" for name in safety if name != twin.refuted_by]
    defines = [f"TWIN_{twin.name}", *twin.flags, *left_out]
    bounds = TWIN_BOUNDS | twin.bounds if twin.model == PAYMENT else twin.bounds
    found = search(twin.model, twin.name, twin.refuted_by if liveness else "safety", defines, bounds, 100_000)
    found.claim = twin.refuted_by
    expected = "acceptance cycle" if liveness else "assertion violated"
    found.ok = found.errors > 0 and (found.violated or "").startswith(expected)
    return found


def bounds_text(bounds: dict[str, int]) -> str:
    return " ".join(f"{name.lower()}={value}" for name, value in bounds.items())


def report_claim(found: Search) -> str:
    return (
        f"{'holds ' if found.ok else 'FAILED'}  {found.name}: {bounds_text(found.bounds)}; {found.states:,} states, "
        f"depth {found.depth:,} of {found.depth_limit:,}, errors {found.errors}"
        + ("" if found.complete else ", SEARCH CUT SHORT")
        + (f", {found.violated}" if found.violated else "")
        + (f", unreached: {'; '.join(found.unreached)}" if found.unreached and not found.ok else "")
        + f" ({found.memory_mb:,} MB, {found.seconds:.0f} s)"
    )


def report_twin(found: Search) -> str:
    if found.ok:
        return f"refuted   {found.name}: by {found.claim}, after {found.states:,} states ({found.seconds:.0f} s)"
    return f"SURVIVED  {found.name}: {found.claim} finds {found.violated or 'nothing'}, {found.states:,} states"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these claims and twins")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--jobs", type=int, default=min(2, os.cpu_count() or 1), help="searches at a time (%(default)s)"
    )
    options = parser.parse_args()
    if missing := [tool for tool in ("spin", "gcc") if not shutil.which(tool)]:
        print(f"not found: {', '.join(missing)} (Debian: apt-get install spin gcc)", file=sys.stderr)
        return 2
    claims = [claim for claim in CLAIMS if not options.names or claim.name in options.names]
    twins = [twin for twin in TWINS if not options.names or twin.name in options.names]
    if unknown := set(options.names) - {*(each.name for each in CLAIMS), *(each.name for each in TWINS)}:
        parser.error(f"no such claim or twin: {', '.join(sorted(unknown))}")

    began = time.monotonic()
    checked: list[Search] = []
    tried: list[Search] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(check_claim, claims):
            checked.append(found)
            print(report_claim(found), flush=True)
        for found in pool.map(check_twin, twins):
            tried.append(found)
            print(report_twin(found), flush=True)
    proved = [
        Proved(
            f"design, {found.name} ({bounds_text(found.bounds)})",
            f"{found.states:,} states, depth {found.depth:,} of {found.depth_limit:,}, {found.errors} errors",
            "search exhausted, depth limit not reached, 0 errors",
            found.ok,
        )
        for found in checked
    ]
    if tried:
        refuted, least = sum(found.ok for found in tried), min(10, len(twins))
        holds = refuted == len(tried) >= least
        proved.append(Proved("broken designs refuted", f"{refuted}/{len(tried)}", f"all, at least {least}", holds))
    return report("model", proved, time.monotonic() - began, whole=not options.names)


if __name__ == "__main__":
    sys.exit(main())
