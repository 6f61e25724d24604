"""10,000 payments with refunds through the deployed template, every call faulty with probability 0.3, then compared.

    python -m tests.proof.soak [--payments 10000] [--seed S] [--fault-probability 0.3] [--clients 16] [--only NUMBER]

The seed decides what goes wrong with each payment; `--only` runs one of them alone. Which payments meet in a killed
process or at a closed port is the machine's to say.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.kit import ROOT
from tests.kit.stacks import Deployment, deployed
from tests.proof.claims import Claim, a_seed, none, report

from .books import Difference, by_kind
from .comparison import (
    CONTRADICTING_ANSWER,
    DOUBLE_DEBIT,
    FALSE_RESULT,
    INIT_LEFT_TWICE,
    LOST_RESULT,
    OTHER_BYTES,
)
from .fates import Fate, draw
from .refund_comparison import FALSE_REFUND, GIVEN_TWICE, LOST_REFUND, MORE_THAN_PAID
from .report_files import REPORTED
from .soak import SCALE, Findings, Soak
from .tally import KINDS

Json = dict[str, Any]

PAYMENTS = 10_000
SHOWN = 20
"""Payments at fault that are printed in full."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--payments", type=int, default=PAYMENTS)
    parser.add_argument("--seed", type=int, default=a_seed())
    parser.add_argument("--fault-probability", type=float, default=0.3)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--only", type=int, metavar="NUMBER")
    options = parser.parse_args()
    numbers = range(options.payments) if options.only is None else [options.only]
    print(f"  seed {options.seed}", flush=True)
    fates = [draw(options.seed, number, options.fault_probability) for number in numbers]
    began = time.monotonic()
    with deployed(ROOT / ".local" / "soak-stack", SCALE) as deployment:
        soak = Soak(deployment, options.seed, options.fault_probability, options.clients)
        findings = soak.run(fates)
        _show(findings)
        print(f"  emulator: {_peak_mb(deployment.functions.emulator_pid)} MB at most", flush=True)
        for difference in findings.differences[:SHOWN]:
            _explain(difference, findings, deployment, {fate.payment_request_id: fate for fate in fates})
    return report(
        "soak", _claims(findings, fates, options.seed), time.monotonic() - began, whole=len(fates) >= PAYMENTS
    )


def _show(findings: Findings) -> None:
    print(f"\n  {findings.storm_s:.0f} s of faults, {findings.quiet_s:.0f} s until everything was settled")
    for kind in KINDS:
        print(f"  {findings.faults[kind]:>7,}  {kind}")
    for side, what in ((findings.books.payments, "payments"), (findings.books.refunds, "refunds")):
        for ended, number in sorted(Counter(_ended(row) for row in side.rows.values()).items()):
            print(f"  {number:>7,}  {what}: {ended}")
    refused = [asked for asked in findings.books.refunds.asked.values() if any(a.status == 409 for a in asked.answers)]
    print(f"  {len(refused):>7,}  refunds: refused, for more than is left")
    for one in findings.reconciled:
        print(f"  {one.summary['status']} {one.file}: {one.summary.get('lines')} lines")


def _peak_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


def _ended(row: Json) -> str:
    if row["status"] != "INIT":
        return f"{row['status']} by {row['settledBy']}"
    return f"INIT: {'nothing was sent' if row.get('neverSent') else row.get('lastInquiry')}"


def _explain(difference: Difference, findings: Findings, deployment: Deployment, fates: dict[str, Fate]) -> None:
    key, books = difference.payment_request_id, findings.books
    print(f"\n  {difference.kind.upper()} {key}: {difference.said}")
    if key:
        print(f"    fate    {fates.get(key)}")
        for side in (books.payments, books.refunds):
            for one in (one for one in side.keys if one.startswith(key)):
                print(f"    {one}")
                print(f"    answers {side.asked.get(one)}")
                print(f"    row     {side.rows.get(one)}")
                print(f"    ledger  {side.ledger.get(one)}")
        for line in deployment.seen.search_logs(key):
            print(f"    {line.function}: {line.text.rstrip()}")


def _claims(findings: Findings, fates: list[Fate], seed: int) -> list[Claim]:
    at_fault, books = by_kind(findings.differences), findings.books
    asked, asked_back = len(books.payments.asked), len(books.refunds.asked)
    paid = {key for key, row in books.payments.rows.items() if row["status"] == "SUCCESS"}
    to_give_back = sum(len(fate.refunds) for fate in fates if fate.payment_request_id in paid)
    came = [kind for kind in KINDS if findings.faults[kind]]
    whole = len(fates) >= PAYMENTS  # in a shorter one the rare kinds may well be missing
    missing = ", ".join(kind for kind in KINDS if whole and kind not in came)
    return [
        Claim("payments", f"{asked:,} from seed {seed}", f"{len(fates):,}", asked == len(fates)),
        Claim("refunds", f"{asked_back:,}", f"{to_give_back:,}", asked_back == to_give_back),
        Claim("faults injected", f"{findings.faults.total():,}", "some", findings.faults.total() > 0),
        Claim(
            "kinds of fault that came about",
            f"{len(came)}{' without ' + missing if missing else ''}",
            f"{len(KINDS)}" if whole else "some",
            bool(came) and not missing,
        ),
        *(none(f"{kind}s", len(at_fault[kind])) for kind in (DOUBLE_DEBIT, FALSE_RESULT, LOST_RESULT)),
        none("refunds given back twice", len(at_fault[GIVEN_TWICE])),
        *(none(f"{kind}s", len(at_fault[kind])) for kind in (FALSE_REFUND, LOST_REFUND)),
        none("sums of refunds above what was paid", len(at_fault[MORE_THAN_PAID])),
        none("orders and refunds that left INIT twice", len(at_fault[INIT_LEFT_TWICE])),
        none("payments and refunds sent with differing bytes", len(at_fault[OTHER_BYTES])),
        none("callers told what was not so in the end", len(at_fault[CONTRADICTING_ANSWER])),
        Claim("report files reconciled", f"{len(findings.reconciled)}", "some", bool(findings.reconciled)),
        none("differences in report files", sum(one.kind == REPORTED for one in findings.differences)),
        none("difference", len({difference.payment_request_id for difference in findings.differences})),
    ]


if __name__ == "__main__":
    sys.exit(main())
