"""What is shown of an agreement, when it may be debited, and which changes of status there are."""

import ast
from datetime import timedelta
from typing import Any

import pytest
from autodebit.agreement.agreement import Agreement, QrCode, Status, UnlinkedBy, agreement_document
from autodebit.agreement.transitions import TOLD, TRANSITIONS, Word

from tests.kit.agreements import EXPIRES_AT, agreement, linked
from tests.kit.samples import NOW
from tests.kit.template import MODULES

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


def test_an_end_says_whose_it_was_and_why() -> None:
    ended = linked(status=Status.UNLINKED, unlinked_by=UnlinkedBy.BUYER, unlinked_at=LATER)
    assert (shown(ended)["unlinkedBy"], shown(ended)["unlinkedAt"]) == ("buyer", "2026-11-22T09:45:00Z")
    failed = agreement(status=Status.FAILED, result_code="INVALID_AUTHCODE", perhaps_linked=True)
    assert shown(failed)["resultCode"] == "INVALID_AUTHCODE"
    assert shown(failed)["perhapsLinked"] is True
    assert "perhapsLinked" not in shown(agreement(status=Status.FAILED, result_code="NO_PAY_OPTIONS"))
    assert "expiresAt" not in shown(failed)


def test_no_status_is_entered_twice_and_an_end_is_never_left() -> None:
    assert all(before is not after for before, after in TRANSITIONS)
    assert {Status.UNLINKED, Status.FAILED} & {before for before, _ in TRANSITIONS} == set()
    assert {after for _, after in TRANSITIONS} == set(Status) - {Status.AUTHORIZING}
    assert all(TRANSITIONS.values())
    assert set().union(*TRANSITIONS.values()) == set(Word)


def test_only_the_merchant_asks_for_a_revocation_and_only_a_signed_word_ends_one() -> None:
    assert TRANSITIONS[Status.LINKED, Status.UNLINKING] == {Word.MERCHANT}
    assert Word.MERCHANT not in TRANSITIONS[Status.UNLINKING, Status.UNLINKED]


def test_every_entering_of_a_status_is_told_but_the_beginning_of_a_revocation() -> None:
    assert set(TOLD) == {after for _, after in TRANSITIONS} - {Status.UNLINKING}


def test_a_status_is_written_behind_the_transitions_and_nowhere_else() -> None:
    tree = ast.parse(MODULES["agreement.agreement_table"].read_text("utf-8"))
    writers = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(ast.unparse(node).startswith("AgreementItem.status.set(") for node in ast.walk(function))
    }
    assert writers == {"_leave"}
