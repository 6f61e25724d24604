"""docs/openapi.yaml held against a running stack by schemathesis, a program of its own."""

import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.kit import ROOT

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


@dataclass(frozen=True)
class Conformance:
    """What a run came to: the program's own words, its cases, and how often each status was answered."""

    said: str
    passed: bool
    cases: int
    statuses: Counter[int]


def hold_against(api_url: str, folder: Path, *, examples: int, seed: int) -> Conformance:
    """Send what the description allows and what it forbids, `examples` of each kind to each route."""
    document = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text("utf-8"))
    # The local stack asks for no signature, and schemathesis would miss its refusal.
    del document["security"], document["components"]["securitySchemes"]
    described, answers = folder / "openapi.json", folder / "answers.har"
    described.write_text(json.dumps(document))
    command: list[str | Path] = [ROOT / ".local/venvs/contract/bin/st", "run", described, "--url", api_url]
    options = {
        "--phases": "examples,coverage,fuzzing",
        "--checks": ",".join(CHECKS),
        "--max-examples": str(examples),
        "--seed": str(seed),
        "--request-timeout": "60",
        "--suppress-health-check": "all",
        "--report-har-path": str(answers),
    }
    words = [word for option in options.items() for word in option]
    run = subprocess.run(
        [*command, *words, "--report", "har", "--continue-on-failure", "--no-color"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    cases = re.search(r"(\d+) generated", run.stdout)
    entries = json.loads(answers.read_text("utf-8"))["log"]["entries"] if answers.exists() else []
    statuses = Counter(int(entry["response"]["status"]) for entry in entries)
    return Conformance(run.stdout + run.stderr, run.returncode == 0, int(cases[1]) if cases else 0, statuses)
