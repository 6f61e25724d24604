"""`make up`: what it refuses at once, before anything is stopped or started."""

import json
from pathlib import Path
from typing import Any

import pytest

from local import stack
from tests.kit.samples import KEYS, secret

GATEWAY = "https://open-sea-global.alipay.com"


def up(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    def touched(*_: Any) -> None:
        raise AssertionError("something was stopped or started")

    for name in ("down", "start_emulator", "build", "deploy"):
        monkeypatch.setattr(stack, name, touched)
    stack.up(stack.choices_from({"ALIPAY_GATEWAY_URL": GATEWAY, "ALIPAY_CREDENTIALS": str(path)}))


UNUSABLE: dict[str, tuple[bytes, str]] = {
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
