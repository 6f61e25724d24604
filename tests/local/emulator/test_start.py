"""What keeps the emulator from starting, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .kit import EMULATOR, LAMBDA_PYTHON, PYTHON, Emulator, start_corrected


def test_what_keeps_it_from_starting_is_named(corrected: Emulator) -> None:
    def complaint(**variables: str) -> str:
        run = subprocess.run(
            [PYTHON, "-m", EMULATOR],
            env={"PATH": "/usr/bin:/bin"} | variables,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert run.returncode == 1
        return run.stderr

    assert "EMULATOR_LAMBDA_PYTHON: /absent" in complaint(EMULATOR_LAMBDA_PYTHON="/absent")
    port = str(corrected.port)
    assert f"port {port}" in complaint(EMULATOR_LAMBDA_PYTHON=str(Path(LAMBDA_PYTHON).absolute()), EMULATOR_PORT=port)
    assert "EMULATOR_AUTH" in complaint(EMULATOR_LAMBDA_PYTHON=str(Path(LAMBDA_PYTHON).absolute()), EMULATOR_AUTH="yes")


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    emulator = start_corrected(tmp_path)
    process = emulator.invoke()["process"]
    assert list(tmp_path.glob("emulator-functions-*"))
    emulator.stop()
    assert not list(tmp_path.glob("emulator-functions-*"))
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
