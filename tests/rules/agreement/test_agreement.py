"""What is shown of an agreement, and when it may be debited."""

from datetime import timedelta
from typing import Any

import pytest
from autodebit.agreement.agreement import (
    Agreement,
    Debit,
    QrCode,
    SealedTokens,
    Status,
    UnlinkedBy,
    agreement_document,
)

from tests.kit.agreements import EXPIRES_AT, agreement, linked
from tests.kit.samples import NOW

QR_CODE = QrCode("https://qr.example-wallet.com/2810", "https://img.example-wallet.com/2810")
LATER = NOW + timedelta(minutes=15)


def shown(row: Agreement, minutes: float = 1) -> dict[str, Any]:
    return agreement_document(row, NOW + timedelta(minutes=minutes))


def test_a_qr_code_is_shown_as_long_as_it_can_be_used() -> None:
    waiting = agreement(qr_code=QR_CODE)
    assert shown(waiting) == {
        "agreementId": "agr-4711-1",
        "status": "AUTHORIZING",
        "customerBelongsTo": "ALIPAY_HK",
        "qrCode": {"text": QR_CODE.text, "imageUrl": QR_CODE.image_url},
        "createdAt": "2026-11-22T09:30:00Z",
        "expiresAt": "2026-11-22T09:45:00Z",
    }
    assert "qrCode" not in shown(agreement(qr_code=QR_CODE, auth_code=b"sealed", auth_code_at=NOW))
    assert "qrCode" not in shown(waiting, 15)
    assert shown(agreement(qr_code=QrCode("text", None)))["qrCode"] == {"text": "text"}


def test_time_alone_ends_a_qr_code() -> None:
    waiting = agreement(qr_code=QR_CODE)
    assert [shown(waiting, minutes)["status"] for minutes in (14.99, 15)] == ["AUTHORIZING", "EXPIRED"]
    exchanging = agreement(qr_code=QR_CODE, auth_code=b"sealed", auth_code_at=LATER)
    assert shown(exchanging, 16)["status"] == "AUTHORIZING", "a late authorization still links"


def test_a_linked_agreement_shows_no_token() -> None:
    row = linked(user_login_id="852-****1234", auth_code=None)
    assert shown(row) == {
        "agreementId": "agr-4711-1",
        "status": "LINKED",
        "customerBelongsTo": "ALIPAY_HK",
        "userLoginId": "852-****1234",
        "createdAt": "2026-11-22T09:30:00Z",
        "linkedAt": "2026-11-22T09:30:00Z",
        "tokenExpiresAt": "2028-11-21T09:30:00Z",
    }
    assert "sealed" not in repr(row)


@pytest.mark.parametrize(
    "held",
    [
        agreement(auth_code=b"sealed"),
        linked(access_token=b""),
        linked(refresh_token=None),
        SealedTokens(access_token=b"sealed", refresh_token=None, expires_at=None, due_at=None),
        SealedTokens(access_token=b"", refresh_token=b"sealed", expires_at=None, due_at=None),
        Debit(agreement(), "sealed"),
    ],
)
def test_no_code_and_no_token_is_in_what_a_log_line_or_a_traceback_would_show(held: object) -> None:
    assert "sealed" not in repr(held)


def test_an_event_whose_entry_says_nothing_shows_the_agreement_as_it_began() -> None:
    waiting = agreement(qr_code=QR_CODE)
    assert waiting.shown == {"agreement": agreement_document(waiting, NOW)}


def test_a_debit_is_of_its_agreements_wallet() -> None:
    assert Debit(linked(), "token").customer_belongs_to == "ALIPAY_HK"


def test_a_new_agreement_has_no_call_to_account_for_and_is_in_its_first_round() -> None:
    new = agreement()
    assert (new.unaccounted, new.polling_round, new.expiring_told, new.perhaps_linked) == (0, 0, False, False)


@pytest.mark.parametrize(
    ("row", "exchanging", "waiting"),
    [
        (agreement(), False, False),
        (agreement(auth_code=b"sealed"), True, True),
        (linked(), False, False),
        (linked(auth_code=b"sealed"), False, False),
        (linked(status=Status.UNLINKING), False, True),
        (linked(status=Status.UNLINKED), False, False),
    ],
)
def test_alipay_is_waited_for_while_a_code_is_exchanged_or_a_token_revoked(
    row: Agreement, exchanging: bool, waiting: bool
) -> None:
    assert (row.is_exchanging, row.is_waiting) == (exchanging, waiting)


def test_time_alone_ends_a_token() -> None:
    row = linked()
    before, at = EXPIRES_AT - timedelta(seconds=1), EXPIRES_AT
    assert row.may_pay(before)
    assert not row.may_pay(at)
    assert agreement_document(row, before)["status"] == "LINKED"
    over = agreement_document(row, at)
    assert (over["status"], over["unlinkedBy"], over["unlinkedAt"]) == ("UNLINKED", "expiry", "2028-11-21T09:30:00Z")
    assert linked(token_expires_at=None).may_pay(at + timedelta(days=9999)), "a token without a known end"


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.LINKED}))
def test_only_a_linked_agreement_may_pay(status: Status) -> None:
    assert not linked(status=status).may_pay(NOW)


def test_the_end_of_its_token_changes_nothing_of_an_agreement_that_is_not_linked_any_more() -> None:
    revoking = agreement_document(linked(status=Status.UNLINKING), EXPIRES_AT)
    assert (revoking["status"], "unlinkedBy" in revoking, "unlinkedAt" in revoking) == ("UNLINKING", False, False)
    ended = linked(status=Status.UNLINKED, unlinked_by=UnlinkedBy.BUYER, unlinked_at=LATER)
    assert agreement_document(ended, EXPIRES_AT)["unlinkedBy"] == "buyer"


def test_statuses_and_who_ended_it_are_shown_in_the_words_of_the_api() -> None:
    statuses = [shown(linked(status=status))["status"] for status in Status]
    assert statuses == ["AUTHORIZING", "LINKED", "UNLINKING", "UNLINKED", "FAILED"]
    enders = [shown(linked(status=Status.UNLINKED, unlinked_by=by))["unlinkedBy"] for by in UnlinkedBy]
    assert enders == ["merchant", "buyer", "pay", "expiry"]


def test_an_end_says_whose_it_was_and_why() -> None:
    ended = linked(status=Status.UNLINKED, unlinked_by=UnlinkedBy.BUYER, unlinked_at=LATER)
    assert (shown(ended)["unlinkedBy"], shown(ended)["unlinkedAt"]) == ("buyer", "2026-11-22T09:45:00Z")
    failed = agreement(status=Status.FAILED, result_code="INVALID_AUTHCODE", perhaps_linked=True)
    assert shown(failed)["resultCode"] == "INVALID_AUTHCODE"
    assert shown(failed)["perhapsLinked"] is True
    assert "perhapsLinked" not in shown(agreement(status=Status.FAILED, result_code="NO_PAY_OPTIONS"))
    assert "expiresAt" not in shown(failed)
