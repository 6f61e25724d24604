"""Run every linter on the repository, and again on a copy with a seeded defect that it must name.

    .local/venvs/dev/bin/python -m tests.proof.linters

An exception in the template (`checkov: skip`) counts only if the linter would complain without it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kit.template import RESOURCES
from tests.proof import ROOT
from tests.proof.claims import Claim, report

VENVS = ROOT / ".local" / "venvs"

Done = subprocess.CompletedProcess[str]


def main() -> int:
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        claims = list(pool.map(lambda prove: prove(), (checkov, cfn_lint, bandit, hashes)))
    return report("linters", claims, time.monotonic() - started)


def checkov() -> Claim:
    """Without its exceptions, the defective copy has exactly those findings and the seeded one of each table."""
    command = [VENVS / "checkov/bin/checkov", "--file", "template.yaml", "--framework", "cloudformation"]
    command += ["--skip-download", "--output", "json"]
    clean = json.loads(_run(command, ROOT).stdout)["results"]
    with _copy("template.yaml") as copy:
        _change(copy / "template.yaml", "checkov:", "without:")
        _change(copy / "template.yaml", "PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false")
        defective = json.loads(_run(command, copy).stdout)["results"]
    open_, excepted, found = (
        {(check["check_id"], check["resource"]) for check in checks}
        for checks in (clean["failed_checks"], clean["skipped_checks"], defective["failed_checks"])
    )
    tables = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::DynamoDB::Table"]
    seeded = {("CKV_AWS_28", f"AWS::DynamoDB::Table.{name}") for name in tables}
    reasons = {check["check_result"]["suppress_comment"] for check in clean["skipped_checks"]}
    return Claim(
        "checkov",
        f"{len(open_)} open, {len(excepted)} exceptions for {len(reasons)} reasons, "
        f"{len(excepted - found)} of them not needed, {_seeded(found - excepted == seeded)}",
        "0 open, every exception needed and reasoned, seeded defect found",
        not open_ and found == excepted | seeded and all(reasons),
    )


def cfn_lint() -> Claim:
    command = [VENVS / "sam/bin/sam", "validate", "--lint"]
    clean = _run(command, ROOT)
    with _copy("template.yaml", "samconfig.toml") as copy:
        _change(copy / "template.yaml", "BillingMode: PAY_PER_REQUEST", "BillingMode: PAY_PER_MONTH")
        defective = _run(command, copy)
    return _claim("cfn-lint", [clean], defective, "E3030")


def bandit() -> Claim:
    command = [VENVS / "dev/bin/bandit", "--quiet", "--recursive"]
    local = [*command, "local", "--configfile", "pyproject.toml"]
    clean = [_run([*command, "functions", "layers"], ROOT), _run(local, ROOT)]
    with _copy("pyproject.toml") as copy:
        (copy / "local").mkdir()
        (copy / "local" / "program.py").write_text("import subprocess\n\nsubprocess.run('true', shell=True)\n")
        defective = _run(local, copy)
    return _claim("bandit", clean, defective, "B602")


def hashes() -> Claim:
    """The layer's own build takes a package with its hash, and refuses it with another or none."""
    locked = (ROOT / "layers/dependencies/requirements.txt").read_text()
    [six] = [entry for entry in locked.replace("\\\n", "").splitlines() if entry.startswith("six==")]
    pinned, _, known = six.partition(" ")
    taken, forged, bare = (_build_layer(f"{pinned} {text}\n") for text in (known, "--hash=sha256:" + 64 * "0", ""))
    return Claim(
        "hashes",
        f"locked package {'taken' if not taken.returncode else 'refused'}, "
        f"{bool(forged.returncode) + bool(bare.returncode)} of 2 others refused",
        "taken only as it is locked",
        not taken.returncode and "DO NOT MATCH" in forged.stderr and "--require-hashes" in bare.stderr,
    )


def _build_layer(requirements: str) -> Done:
    with _copy("layers/dependencies") as copy:
        layer = copy / "layers" / "dependencies"
        (layer / "requirements.txt").write_text(requirements)
        # What merges and trims the packages expects all of them.
        (layer / "merge.py").write_text("")
        (layer / "trim.py").write_text("")
        makefile = layer / "Makefile"
        variables = [f"PYTHON={VENVS / 'sam/bin/python'}", f"ARTIFACTS_DIR={copy / 'built'}"]
        return _run(["make", "-f", makefile, "build-DependenciesLayer", *variables], layer)


def _claim(name: str, clean: list[Done], defective: Done, finding: str) -> Claim:
    open_ = [done for done in clean if done.returncode]
    for done in open_:
        print(done.stdout, done.stderr, file=sys.stderr)
    found = bool(defective.returncode) and finding in defective.stdout + defective.stderr
    figure = f"{'findings, see above' if open_ else '0 open'}, {_seeded(found)}"
    return Claim(name, figure, "0 open, seeded defect found", not open_ and found)


def _seeded(found: bool) -> str:
    return f"seeded defect {'found' if found else 'missed'}"


@contextmanager
def _copy(*names: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            source, target = ROOT / name, Path(directory) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        yield Path(directory)


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    if old not in text:
        raise ValueError(f"{path.name} has no {old!r} to change")
    path.write_text(text.replace(old, new), "utf-8")


def _run(command: list[Any], directory: Path) -> Done:
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    environment["PATH"] = f"{VENVS / 'sam/bin'}:{environment['PATH']}"
    return subprocess.run(
        [str(word) for word in command], cwd=directory, env=environment, capture_output=True, text=True
    )


if __name__ == "__main__":
    raise SystemExit(main())
