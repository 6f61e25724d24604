"""`ops agreement`: what happens next to an agreement, in each of its states, on the screen and for scripts."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from autodebit.agreement.agreement import Agreement, QrCode, Status, UnlinkedBy

from ops import documents, screens
from ops.story import agreement_next
from tests.kit.agreements import EXPIRES_AT, agreement, linked
from tests.kit.samples import NOW

LATER = NOW + timedelta(minutes=1)

UNLINKING: dict[str, Any] = {"status": Status.UNLINKING, "overdue_at": LATER + timedelta(minutes=2)}

CASES: list[tuple[Agreement, datetime, list[str]]] = [
    (agreement(), LATER, ["There is no QR code yet"]),
    (agreement(qr_code=QrCode("text", None)), LATER, ["scan the QR code, until 09:45:00Z (in 14 min)"]),
    (agreement(), NOW + timedelta(hours=1), ["The QR code is over", "link again, with a new agreementId"]),
    (agreement(auth_code=b"sealed", auth_code_at=NOW), LATER, ["is being exchanged"]),
    (
        agreement(status=Status.FAILED, perhaps_linked=True, result_code="INVALID_AUTHCODE"),
        LATER,
        ["neither debited nor revoked", "link again, with a new agreementId; if the wallet shows two"],
    ),
    (agreement(status=Status.FAILED, result_code="NO_ANSWER"), LATER, ["Nothing by itself. For the buyer: link again"]),
    (linked(), LATER, ["It pays until 2028-11-21 09:30:00Z (in 729 days)", "refreshed from 2028-11-10 09:30:00Z on"]),
    (linked(), EXPIRES_AT - timedelta(days=1), ["(in 24 h)", "by the next hourly run"]),
    (
        linked(refresh_refused="INVALID_REFRESH_TOKEN", expiring_told=True),
        LATER,
        ["It pays until", "refused to refresh it (INVALID_REFRESH_TOKEN)", "AgreementExpiring was told."],
    ),
    (linked(refresh_token=None), LATER, ["It pays until", "It has no token to refresh it by"]),
    (linked(token_expires_at=None, due_at=None), LATER, ["When its token ends is not known"]),
    (linked(), EXPIRES_AT, ["Nothing: it has ended"]),
    (linked(**UNLINKING), LATER, ["No payment by it is sent", "by 09:33:00Z (in 2 min), the sweep"]),
    (linked(**UNLINKING), NOW + timedelta(hours=1), ["until it answers", "overdue since 09:33:00Z"]),
    (linked(status=Status.UNLINKED, unlinked_by=UnlinkedBy.BUYER, unlinked_at=NOW), LATER, ["Nothing: it has ended"]),
]


@pytest.mark.parametrize(("one", "now", "parts"), CASES)
def test_what_happens_next_is_told_on_the_screen_and_to_scripts(
    one: Agreement, now: datetime, parts: list[str]
) -> None:
    steps = agreement_next(one, now)
    for part in parts:
        assert part in " ".join(steps)
    assert documents.agreement(one, now)["next"] == steps
    screen = screens.as_text(screens.agreement(one, now), width=200)
    assert screen.endswith("What happens next\n" + "".join(f"  {step}\n" for step in steps))
    assert "next " not in screen.partition("What happens next")[0]


def test_each_state_has_its_words() -> None:
    assert {one.status for one, _, _ in CASES} == set(Status)
