"""The local stack's page, in a real browser, with the keyboard alone."""

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.kit import ROOT
from tests.kit.browser import CHROMIUM, Page, browser
from tests.kit.links import Links
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

PICTURES = ROOT / ".local" / "screenshots"


@pytest.fixture
def page(fast: Deployment) -> Iterator[Page]:
    with browser() as page:
        page.open(fast.description["consoleUrl"])
        yield page


def started(page: Page) -> str:
    """Show a QR code by the keyboard: the agreement's id."""
    eventually(lambda: page.focused == "start", "the first deed has the focus")
    page.press("Enter")
    page.shows("Scan the code with your wallet.")
    return str(page.run("agreement.agreementId"))


def test_a_wallet_is_linked_and_debited_with_the_keyboard_alone(page: Page, links: Links) -> None:
    page.screenshot(PICTURES / "1-start.png")
    agreement_id = started(page)
    eventually(lambda: page.run("document.getElementById('picture').naturalWidth > 100"), "the picture is drawn")
    picture = page.run("document.getElementById('picture').src")
    assert picture.startswith("data:image/svg+xml")
    eventually(lambda: page.run("document.getElementById('left').textContent").startswith("14:"), "it counts down")
    page.screenshot(PICTURES / "2-code.png")
    assert page.focused == "approve"
    page.press("Space")
    links.became(agreement_id, "LINKED")
    seen_at = time.monotonic()
    page.shows("Linked")
    print(f"  the page turned {time.monotonic() - seen_at:.1f} s after the API said LINKED")
    assert page.focused == "pay"
    page.press("Enter")
    page.shows("SUCCESS: HKD 19.90")
    page.screenshot(PICTURES / "3-linked.png")
    page.press("Tab")
    assert page.focused == "unlink"
    page.press("Enter")
    page.shows("The wallet is not linked any more.")
    assert page.focused == "start"


def test_a_code_that_expires_offers_a_new_one(page: Page, links: Links) -> None:
    first = started(page)
    first_picture = page.run("document.getElementById('picture').src")
    soon = datetime.now(UTC) + timedelta(seconds=3)
    links.set_instant(first, "expiresAt", soon.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    page.shows("0:0")
    page.shows("The code has expired.")
    page.screenshot(PICTURES / "4-expired.png")
    assert page.focused == "start"
    assert "Show a new QR code" in page.text
    page.press("Enter")
    page.shows("Scan the code with your wallet.")
    assert page.run("agreement.agreementId") != first
    assert page.run("document.getElementById('picture').src") != first_picture


def test_a_code_can_be_read_by_who_cannot_see_it(page: Page) -> None:
    started(page)
    assert page.run("document.getElementById('picture').alt")
    assert page.run("document.getElementById('status').getAttribute('role')") == "status"
    assert page.run("document.documentElement.lang") == "en"


def test_the_picture_holds_the_text_that_the_api_gave(page: Page) -> None:
    """Two codes have two pictures, and each is an SVG of some hundred dark squares."""
    started(page)
    source = page.run("document.getElementById('picture').src")
    header, _, data = source.partition(",")
    text = base64.b64decode(data).decode() if "base64" in header else data
    assert "svg" in text
    assert page.run("agreement.qrCode.text").startswith("https://qr.")
