"""`make up`: what it refuses at once, before anything is stopped or started, and what it says before it stops."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from local import stack
from local.ports import free_port
from tests.kit.samples import KEYS, secret

GATEWAY = "https://open-sea-global.alipay.com"


def up(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    def touched(*_: Any) -> None:
        raise AssertionError("something was stopped or started")

    for name in ("down", "start_emulator", "build", "deploy"):
        monkeypatch.setattr(stack, name, touched)
    stack.up(stack.choices_from({"ALIPAY_GATEWAY_URL": GATEWAY, "ALIPAY_CREDENTIALS": str(path)}))


UNUSABLE: dict[str, tuple[bytes, str]] = {
    "empty": (b"\n", "is empty"),
    "no JSON": (b"{", "JSON"),
    "UTF-16": (secret().encode("utf-16"), "UTF-8"),
    "no private key": (secret(privateKey="").encode(), "privateKey"),
    "a private key that is none": (secret(privateKey="QUJD").encode(), "privateKey"),
    "no key of Alipay's": (secret(alipayPublicKeys={}).encode(), "alipayPublicKeys"),
    "our own public key": (secret(alipayPublicKeys={"1": KEYS["merchant"]["public"]}).encode(), "your own public key"),
}


@pytest.mark.parametrize(("content", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_secret_that_no_payment_can_be_made_with_is_named_at_once(
    content: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret.json"
    path.write_bytes(content)
    with pytest.raises(stack.StackFailed) as failed:
        up(monkeypatch, path)
    assert str(failed.value).startswith(f"{path}: ")
    assert said in str(failed.value)
    assert json.loads(secret())["privateKey"][:40] not in str(failed.value)


def test_a_usable_secret_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.json"
    path.write_text(secret())
    with pytest.raises(AssertionError, match="stopped or started"):
        up(monkeypatch, path)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[int]:
    """A program of the stack in `tmp_path`."""
    (tmp_path / "run").mkdir()
    command = [str(stack.VENVS / "dev/bin/python"), "-c", "print(flush=True); input()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as program:
        assert program.stdout
        program.stdout.readline()  # only then its command line is sure to be there
        (tmp_path / "run" / "alipay.pid").write_text(str(program.pid))
        yield program.pid
        program.kill()


def test_a_stack_that_runs_is_told_of_before_it_is_stopped(
    running: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopping(*_: Any) -> None:
        raise AssertionError("stopped")

    monkeypatch.setattr(stack, "down", stopping)
    with pytest.raises(AssertionError, match="stopped"):
        stack.up(stack.Choices(tmp_path, free_port()))
    assert "its payments are gone" in capsys.readouterr().out


def test_what_takes_long_says_how_long_when_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("start_emulator", "_store_secret", "build"):
        monkeypatch.setattr(stack, name, lambda *_: None)
    monkeypatch.setattr(stack, "deploy", Mock(side_effect=stack.StackFailed("deploy")))
    path = tmp_path / "secret.json"
    path.write_text(secret())
    with pytest.raises(stack.StackFailed, match="deploy"):
        stack.up(stack.Choices(tmp_path, free_port(), GATEWAY, path))
    said = capsys.readouterr().out
    assert re.findall(r"sam (\w+): some [0-9]+ s", said) == ["build", "deploy"]


def test_a_stack_that_runs_is_stopped_once(running: int, tmp_path: Path) -> None:
    assert stack.down(tmp_path)
    assert not stack.down(tmp_path)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"ALIPAY_GATEWAY_URL": "http://open-sea-global.alipay.com"}, "ALIPAY_GATEWAY_URL"),
        ({"ALIPAY_GATEWAY_URL": GATEWAY, "ALIPAY_CREDENTIALS": "/nowhere"}, "ALIPAY_CREDENTIALS"),
        ({"ALIPAY_CREDENTIALS": __file__}, "ALIPAY_GATEWAY_URL"),
        ({"AWS_EMULATOR_PORT": "http"}, "AWS_EMULATOR_PORT"),
        ({"AWS_EMULATOR_PORT": "70000"}, "AWS_EMULATOR_PORT"),
        ({"INQUIRY_TIME_SCALE": "-1"}, "INQUIRY_TIME_SCALE"),
    ],
)
def test_a_variable_that_does_not_do_is_named(variables: dict[str, str], named: str) -> None:
    with pytest.raises(stack.StackFailed, match=named):
        stack.choices_from(variables)


def test_make_ops_without_a_command_shows_those_that_there_are() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "ops"], cwd=stack.ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.endswith("--help\n")
