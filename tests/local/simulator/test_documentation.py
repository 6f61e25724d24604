"""docs/simulator.md names every plan, route, quirk and field that there is."""

import re
from pathlib import Path

import pytest
import requests

from local.alipay import presets

from .kit import ROOT, GatewayClient

DOCUMENT = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return re.split(r"\n##+ ", DOCUMENT.split(f"### {title}\n")[1])[0]


@pytest.mark.parametrize(
    ("title", "names"),
    [("Payments", presets.PAYMENTS), ("Agreements", presets.AGREEMENTS), ("Refunds", presets.REFUNDS)],
)
def test_every_plan_is_documented_and_no_other(title: str, names: dict[str, object]) -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", section(title), re.MULTILINE) == list(names)


def test_every_route_of_the_control_api_is_documented_and_no_other(merchant: GatewayClient) -> None:
    routes = requests.get(f"{merchant.url}/_sim/nothing", timeout=5).json()["routes"]
    assert set(re.findall(r"`((?:GET|POST) /_sim/\w+)", DOCUMENT)) == set(routes)


def test_every_quirk_is_documented(merchant: GatewayClient, tmp_path: Path) -> None:
    body = {"directory": str(tmp_path), "quirks": ["none"]}
    answer = requests.post(f"{merchant.url}/_sim/reports", json=body, timeout=5).json()["error"]
    quirks = answer.partition("Known are: ")[2].split(", ")
    assert len(quirks) > 10
    assert [quirk for quirk in quirks if f"`{quirk}`" not in DOCUMENT] == []


def test_the_control_api_lists_the_same_plans(merchant: GatewayClient) -> None:
    assert merchant.view("plans") == {
        "payment": presets.PAYMENTS,
        "agreement": presets.AGREEMENTS,
        "refund": presets.REFUNDS,
    }
