"""Make the environments under .local/venvs that are missing or out of date. Run by Python 3.13, needs nothing else.

    python3.13 local/setup.py [NAME ...]

Each environment is made from one requirements file, and again only when that file changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".local" / "venvs"
UV = "0.13.9"

REQUIREMENTS = {
    "sam": ["local/environments/sam.txt"],
    "checkov": ["local/environments/checkov.txt"],
    "emulator": ["local/emulator/requirements.txt"],
    "lambda": ["local/emulator/lambda-requirements.txt"],
    "alipay": ["local/alipay/requirements.txt"],
    "console": ["local/console/requirements.txt"],
    "dev": [
        "local/environments/dev.txt",
        "layers/dependencies/requirements.txt",
        "functions/reconcile/requirements.txt",
    ],
    "contract": ["local/environments/contract.txt"],
    "fuzz": ["local/environments/fuzz.txt", "layers/dependencies/requirements.txt"],
}
"""The first file is installed; the others are what it includes."""

PACKAGE = ROOT / "layers" / "autodebit" / "python"
WITH_THE_PACKAGE = {"dev", "fuzz"}
"""Environments that import the functions' own package from where it stands."""

BY_NAME_ALONE = {"fuzz"}
"""Environments that are made only when asked for."""


class SetupFailed(Exception):
    """What is wrong and what to do about it."""


def main(names: list[str]) -> None:
    """Make the environments of these names; for no names, all that most work needs."""
    if sys.version_info[:2] != (3, 13):
        raise SetupFailed(f"needs Python 3.13, this is {sys.version.split()[0]}")
    wanted = names or [name for name in REQUIREMENTS if name not in BY_NAME_ALONE]
    stale = [name for name in wanted if not _is_current(name)]
    if not stale:
        return
    uv = _uv()
    with ThreadPoolExecutor(len(stale)) as pool:
        for name, seconds in pool.map(lambda name: _make(uv, name), stale):
            print(f"  environment {name} ready after {seconds:.0f} s", flush=True)


def _stamp(name: str) -> Path:
    return VENVS / name / "requirements.sha256"


def _wanted(name: str) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in REQUIREMENTS[name]:
        digest.update((ROOT / path).read_bytes())
    if name in WITH_THE_PACKAGE:
        digest.update(str(PACKAGE).encode())
    return digest.hexdigest()


def _is_current(name: str) -> bool:
    stamp = _stamp(name)
    return stamp.exists() and stamp.read_text() == _wanted(name) and (VENVS / name / "bin" / "python").exists()


def _uv() -> Path:
    """uv, which fills an environment ten times as fast as pip."""
    uv = VENVS / f"uv-{UV}" / "bin" / "uv"
    if not uv.exists():
        print("  installing uv", flush=True)
        shutil.rmtree(uv.parents[1], ignore_errors=True)
        venv.create(uv.parents[1], with_pip=True)
        _run([uv.parent / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"uv=={UV}"])
    return uv


def _make(uv: Path, name: str) -> tuple[str, float]:
    started = time.monotonic()
    target = VENVS / name
    shutil.rmtree(target, ignore_errors=True)
    _run([uv, "venv", "--quiet", "--python", sys.executable, target])
    no_deps = ["--no-deps"] if name == "alipay" else []  # see local/alipay/requirements.txt
    requirements = ROOT / REQUIREMENTS[name][0]
    _run([uv, "pip", "install", "--quiet", "--python", target / "bin" / "python", *no_deps, "-r", requirements])
    if name in WITH_THE_PACKAGE:
        [packages] = target.glob("lib/python3*/site-packages")
        (packages / "autodebit.pth").write_text(f"{PACKAGE}\n")
    _stamp(name).write_text(_wanted(name))
    return name, time.monotonic() - started


def _run(command: list[str | Path]) -> None:
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SetupFailed(
            f"{' '.join(str(word) for word in command)}\n{done.stdout}{done.stderr}\n"
            "The packages come from the Python package index: check the network, or a proxy's settings, and try again."
        )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupFailed as error:
        raise SystemExit(f"set-up failed: {error}") from None
