"""Hold docs/openapi.yaml against a stack of its own with at least CASES requests, allowed ones and forbidden ones.

.local/venvs/dev/bin/python -m tests.proof.contract [--seed N]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.kit.openapi import hold_against
from tests.kit.stacks import deployed
from tests.proof import ROOT
from tests.proof.claims import Claim, a_seed, report

CASES = 5000
EXAMPLES = 400
"""Of each kind for each route: comes to more than CASES."""

STATUSES = {200, 201, 400, 401, 404, 409, 502}
"""Those that requests alone can bring about; what takes a fault, a wallet or time is in tests/deployed."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=a_seed())
    seed: int = parser.parse_args().seed
    started = time.monotonic()
    with (
        deployed(ROOT / ".local" / "test-stack-contract", 0.01) as here,
        tempfile.TemporaryDirectory() as folder,
    ):
        held = hold_against(here.description["apiUrl"], Path(folder), examples=EXAMPLES, seed=seed)
    (ROOT / ".local/prove").mkdir(parents=True, exist_ok=True)
    (ROOT / ".local/prove/contract.txt").write_text(held.said)
    claims = [
        Claim("OpenAPI: requests", f"{held.cases:,}, seed {seed}", f"at least {CASES:,}", held.cases >= CASES),
        Claim("OpenAPI: answers that it does not describe", "0" if held.passed else "some", "0", held.passed),
        Claim(
            "OpenAPI: statuses seen",
            ", ".join(map(str, sorted(held.statuses))),
            "every one that a request can bring about",
            set(held.statuses) >= STATUSES and 500 not in held.statuses,
        ),
    ]
    return report("contract", claims, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
