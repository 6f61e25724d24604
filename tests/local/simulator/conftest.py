"""One simulator for the tests of a module, and a merchant that talks to it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kit import PYTHON, ROOT, GatewayClient, Receiver, start


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("alipay")
    keys, secret = folder / "keys.json", folder / "secret.json"
    command = [str(PYTHON), "-m", "local.alipay.keys", "--keys", str(keys), "--secret", str(secret)]
    subprocess.run(command, cwd=ROOT, check=True)
    return keys, secret


@pytest.fixture(scope="module")
def merchant(keys: tuple[Path, Path]) -> Iterator[GatewayClient]:
    """One simulator for all tests of a module, with redeliveries a thousand times faster than documented."""
    process, url = start(keys[0], "--notify-scale", "0.001", "--ledger", str(keys[0].with_name("ledger.jsonl")))
    yield GatewayClient(url, json.loads(keys[1].read_text()))
    process.terminate()
    output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert output == ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
