"""DynamoDB on this machine, alone: the emulator without a stack."""

import contextlib
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from local.ports import free_port
from tests.kit import ROOT

from .waiting import GENEROUS_S

PYTHON = ROOT / os.environ.get("EMULATOR_PYTHON", ".local/venvs/emulator/bin/python")
ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB"


@contextlib.contextmanager
def emulator() -> Iterator[str]:
    """The endpoint of an emulator that ends with this context."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PYTHON, "-m", "local.emulator.emulator"],
                cwd=ROOT,
                env={"PATH": "/usr/bin:/bin", "HOME": directory, "TMPDIR": directory, "EMULATOR_PORT": str(port)},
                stdout=output,
                stderr=output,
            )
        try:
            deadline = time.monotonic() + GENEROUS_S
            while not _is_healthy(endpoint):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(log.read_text())
                time.sleep(0.05)
            yield endpoint
        finally:
            process.terminate()
            process.wait(GENEROUS_S)


def _is_healthy(endpoint: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{endpoint}/_ministack/health"):
        return True
    return False
