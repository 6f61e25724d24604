"""The agreement table on a real DynamoDB: what each write keeps and tells, and what it asks of the row it finds."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from autodebit.agreement.agreement import Agreement, QrCode, SealedTokens, Status, UnlinkedBy, shown_at
from autodebit.agreement.agreement_table import AgreementItem, KeyItem, TokenItem, agreement_in
from autodebit.agreement.transitions import TOLD, TRANSITIONS, Word
from autodebit.events import shown_json
from autodebit.rows.watch import Overdue

from tests.kit.agreements import AGREEMENT_ID, AUTH_STATE, EXPIRES_AT, agreement
from tests.kit.before_dynamodb import dynamodb_json, loses_answers, peers_before_dynamodb
from tests.kit.peer import Peer, Script
from tests.kit.samples import NOW

from .conftest import World

LATER = NOW + timedelta(minutes=1)
TOKENS = SealedTokens(
    access_token=b"sealed access",
    refresh_token=b"sealed refresh",
    expires_at=EXPIRES_AT,
    due_at=EXPIRES_AT - timedelta(days=40),
)
QR_CODE = QrCode("https://qr.example-wallet.com/2810", "https://img.example-wallet.com/2810")
CREATED = {
    "agreementId": AGREEMENT_ID,
    "status": "AUTHORIZING",
    "customerBelongsTo": "ALIPAY_HK",
    "createdAt": "2026-11-22T09:30:00.000Z",
    "authState": AUTH_STATE,
    "expiresAt": "2026-11-22T09:45:00.000Z",
    "attempt": "attempt",
    "attemptedAt": "2026-11-22T09:30:00.000Z",
    "unaccounted": 0,
    "pollingRound": 0,
}


def opened(world: World, **changes: Any) -> Agreement:
    written = world.table.create(agreement(**changes))
    assert written.won
    return written.row


def linked(world: World, **changes: Any) -> Agreement:
    tokens = replace(TOKENS, **changes)
    return world.table.link(opened(world), Word.EXCHANGE, LATER, tokens, "852-****1234").row


def in_status(world: World, status: Status) -> Agreement:
    """An agreement that came to this status by the words that lead there."""
    if status is Status.AUTHORIZING:
        return opened(world)
    if status is Status.FAILED:
        return world.table.fail(opened(world), Word.EXCHANGE, "INVALID_AUTHCODE", LATER).row
    one = linked(world)
    if status in (Status.UNLINKING, Status.UNLINKED):
        one = world.table.note_unlinking(one, LATER, LATER).row
    if status is Status.UNLINKED:
        one = world.table.unlink(one, Word.REVOKE, UnlinkedBy.MERCHANT, LATER).row
    assert one.status is status
    return one


# --- What is kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"merchant_region": "SG", "merchant_account_id": "acc-1"}], ids=str)
def test_a_new_agreement_is_kept_as_it_is_and_read_as_it_was(world: World, changes: dict[str, Any]) -> None:
    new = agreement(**changes)
    assert opened(world, **changes) == new == world.get()
    account = {"merchantRegion": "SG", "merchantAccountId": "acc-1"} if changes else {}
    assert world.row() == CREATED | account


@pytest.mark.parametrize("qr_code", [QR_CODE, QrCode(QR_CODE.text, None), QrCode(None, QR_CODE.image_url)], ids=str)
def test_a_qr_code_is_kept_whichever_form_of_it_came(world: World, qr_code: QrCode) -> None:
    written = world.table.note_qr_code(opened(world), qr_code)
    assert written.won
    assert written.row == world.get()
    assert (world.get().qr_code, world.get().attempt) == (qr_code, None)
    assert None not in world.row().values()


def test_what_an_answer_of_another_attempt_brings_is_not_kept(world: World) -> None:
    old = opened(world)
    world.table.ask_again(old, "another", LATER, "another state", LATER)
    assert not world.table.note_qr_code(old, QR_CODE).won
    assert not world.table.put_back(old, "said", unaccounted=1).won
    assert (world.get().qr_code, world.get().attempt, world.get().unaccounted) == (None, "another", 0)


def test_a_consult_that_is_asked_again_has_a_state_and_a_time_of_its_own_and_one_asks(world: World) -> None:
    read = world.table.put_back(opened(world), "said", unaccounted=0).row
    state, until = f"{AUTH_STATE[:-1]}0", LATER + timedelta(minutes=5)
    asked = world.table.ask_again(read, "second", LATER, state, until)
    assert asked.won
    now = world.get()
    assert (now.attempt, now.attempted_at, now.auth_state, now.expires_at) == ("second", LATER, state, until)
    assert not world.table.ask_again(read, "third", LATER, "another state", until).won
    world.table.put_back(now, "said", unaccounted=0)
    assert not world.table.ask_again(read, "third", LATER, "another state", until).won, "it was asked since"


def test_a_call_is_taken_once_and_counted_if_its_trace_may_stay(world: World) -> None:
    one = world.table.note_qr_code(opened(world), QR_CODE).row
    assert world.table.take(one, "second", LATER, unaccounted=1).won
    assert not world.table.take(one, "third", LATER).won
    now = world.get()
    assert (now.attempt, now.attempted_at, now.unaccounted) == ("second", LATER, 1)
    back = world.table.put_back(now, "PROCESS_FAIL", unaccounted=1)
    assert (back.row.attempt, back.row.last_said, back.row.unaccounted) == (None, "PROCESS_FAIL", 1)
    assert world.table.take(back.row, "fourth", LATER).row.unaccounted == 1


def test_what_is_sealed_is_kept_to_the_byte(world: World) -> None:
    world.table.note_code(opened(world), b"sealed code", NOW, LATER)
    assert bytes(world.row()["authCode"]) == b"sealed code"
    world.table.link(world.get(), Word.EXCHANGE, LATER, TOKENS, None)
    row = world.row()
    assert (bytes(row["accessToken"]), bytes(row["refreshToken"])) == (TOKENS.access_token, TOKENS.refresh_token)
    assert "authCode" not in row
    assert world.table.keep_wrapped_key(b"wrapped") == b"wrapped"
    assert bytes(world.row("vault.key")["wrappedKey"]) == b"wrapped"


def test_a_token_without_an_end_is_never_due(world: World) -> None:
    one = linked(world, expires_at=None, due_at=None)
    assert (one.token_expires_at, one.due_at) == (None, None)
    assert not {"dueShard", "dueAt", "tokenExpiresAt"} & world.row().keys()


def test_newer_tokens_stand_in_the_place_of_all_that_was_said_of_the_old_ones(world: World) -> None:
    one = world.table.note_refresh_refused(linked(world), "USER_STATUS_ABNORMAL", NOW).row
    assert (one.refresh_refused, one.due_at) == ("USER_STATUS_ABNORMAL", NOW)
    one = world.table.note_expiring(one, LATER, None).row
    assert (one.expiring_told, one.due_at) == (True, None)
    later = replace(
        TOKENS, access_token=b"newer", refresh_token=None, expires_at=EXPIRES_AT + timedelta(days=1), due_at=LATER
    )
    renewed = world.table.replace_tokens(one, later).row
    assert (renewed.access_token, renewed.refresh_token, renewed.due_at) == (b"newer", None, LATER)
    assert (renewed.refresh_refused, renewed.expiring_told) == (None, False)
    assert list(world.table.due_before(LATER)) == [AGREEMENT_ID]
    assert list(world.table.due_before(LATER - timedelta(milliseconds=1))) == []


def test_a_refusal_of_the_refresh_ends_its_attempt_and_is_of_the_token_that_was_read(world: World) -> None:
    one = linked(world)
    taken = world.table.take(one, "refresh", LATER).row
    assert world.table.note_refresh_refused(taken, "INVALID_REFRESH_TOKEN", LATER).row.attempt is None
    world.table.replace_tokens(world.get(), replace(TOKENS, access_token=b"newer"))
    assert not world.table.note_refresh_refused(one, "INVALID_REFRESH_TOKEN", LATER).won
    assert not world.table.replace_tokens(one, TOKENS).won
    assert not world.table.note_expiring(one, LATER, None).won


# --- Which status may be left, and what is told of it -------------------------------------------------------------


LEAVING: dict[Status, Callable[[World, Agreement, Word], Any]] = {
    Status.LINKED: lambda world, one, word: world.table.link(one, word, LATER, TOKENS, "852-****1234"),
    Status.FAILED: lambda world, one, word: world.table.fail(one, word, "REASON", LATER, perhaps_linked=True),
    Status.UNLINKED: lambda world, one, word: world.table.unlink(one, word, UnlinkedBy.BUYER, LATER, "REASON"),
}


@pytest.mark.parametrize("after", LEAVING)
@pytest.mark.parametrize("before", Status)
@pytest.mark.parametrize("word", Word)
def test_a_status_is_left_by_the_word_that_may_and_the_event_shows_what_the_row_shows(
    world: World, before: Status, after: Status, word: Word
) -> None:
    one = in_status(world, before)
    row = world.row()
    if word not in TRANSITIONS.get((before, after), ()):
        with pytest.raises(ValueError, match="does not make"):
            LEAVING[after](world, one, word)
        assert world.row() == row
        return
    written = LEAVING[after](world, one, word)
    assert written.won
    now = world.get()
    assert written.row == now
    told = now.told[-1]
    assert (now.status, told.kind, told.at) == (after, TOLD[after], LATER)
    assert told.detail == shown_json(shown_at(now, LATER))
    assert not {"attempt", "authCode", "watchShard", "overdueAt"} & world.row().keys()
    assert not LEAVING[after](world, one, word).won, "it is left once"
    match after:
        case Status.LINKED:
            assert (now.linked_at, now.token_expires_at, now.user_login_id) == (LATER, EXPIRES_AT, "852-****1234")
            assert (now.access_token, now.due_at) == (TOKENS.access_token, TOKENS.due_at)
        case Status.FAILED:
            assert (now.result_code, now.perhaps_linked) == ("REASON", True)
        case Status.UNLINKED:
            assert (now.unlinked_by, now.unlinked_at, now.result_code) == (UnlinkedBy.BUYER, LATER, "REASON")
            assert not {"accessToken", "refreshToken", "dueShard", "dueAt"} & world.row().keys()


def test_a_revocation_that_is_noted_is_watched_in_a_round_of_its_own_and_due_no_more(world: World) -> None:
    one = linked(world)
    noted = world.table.note_unlinking(one, NOW, LATER)
    assert noted.won
    assert (noted.row.status, noted.row.polling_round, noted.row.overdue_at) == (Status.UNLINKING, 1, LATER)
    assert not {"dueShard", "dueAt"} & world.row().keys()
    assert not world.table.note_unlinking(one, NOW, LATER).won


def test_what_nobody_said_is_not_kept(world: World) -> None:
    one = world.table.link(opened(world), Word.NOTIFY, LATER, TOKENS, None).row
    assert "userLoginId" not in world.row()
    world.table.unlink(one, Word.NOTIFY, UnlinkedBy.BUYER, LATER)
    assert "resultCode" not in world.row()


def test_an_end_is_told_once_and_only_of_the_token_that_was_read(world: World) -> None:
    one = linked(world)
    noted = world.table.note_expiring(one, LATER, EXPIRES_AT)
    assert (noted.row.told[-1].kind, noted.row.due_at) == ("AgreementExpiring", EXPIRES_AT)
    assert noted.row.told[-1].detail == shown_json(shown_at(noted.row, LATER))
    assert not world.table.note_expiring(one, LATER, EXPIRES_AT).won


@pytest.mark.parametrize("word", [Word.PAY, Word.EXPIRY, Word.NOTIFY])
def test_a_dead_token_ends_nothing_once_a_call_has_begun_that_may_bring_another(world: World, word: Word) -> None:
    one = linked(world)
    world.table.take(one, "refresh", LATER)
    assert world.table.unlink(one, word, UnlinkedBy.PAY, LATER).won is (word is not Word.PAY)


@pytest.mark.parametrize("word", [Word.PAY, Word.EXPIRY, Word.NOTIFY])
def test_no_end_of_a_token_ends_an_agreement_that_has_a_newer_one(world: World, word: Word) -> None:
    one = linked(world)
    world.table.replace_tokens(one, replace(TOKENS, access_token=b"newer"))
    assert not world.table.unlink(one, word, UnlinkedBy.PAY, LATER).won
    assert world.get().status is Status.LINKED


# --- The watch ---------------------------------------------------------------------------------------------------


def test_the_watch_is_kept_up_by_who_read_it_last(world: World) -> None:
    world.table.note_code(opened(world), b"sealed code", NOW, LATER)
    [read] = world.table.overdue(LATER)
    assert read == Overdue(AGREEMENT_ID, 0, "2026-11-22T09:31:00.000Z")
    assert list(world.table.overdue(LATER - timedelta(milliseconds=1))) == []
    later = LATER + timedelta(minutes=1)
    noted = world.table.note_watched(read, later)
    assert (noted.won, noted.row.overdue_at, noted.row.polling_round) == (True, later, 0)
    assert not world.table.note_watched(read, LATER).won
    lost = world.table.start_round(read, LATER)
    assert (lost.won, lost.row) == (False, world.get())
    [read] = world.table.overdue(later)
    later += timedelta(minutes=1)
    started = world.table.start_round(read, later)
    assert (started.won, started.row.overdue_at, started.row.polling_round) == (True, later, 1)


def test_a_look_is_noted_only_while_the_agreement_is_watched(world: World) -> None:
    one = opened(world)
    assert not world.table.note_look(one, LATER).won
    watched = world.table.note_code(one, b"sealed code", NOW, NOW).row
    assert watched.is_exchanging
    assert world.table.note_look(watched, LATER).row.overdue_at == LATER
    assert not world.table.note_code(watched, b"another", NOW, NOW).won


def test_a_row_in_the_stream_is_the_agreement(world: World) -> None:
    one = linked(world)
    assert agreement_in(dynamodb_json(world.row())) == one


# --- Answers that are lost ----------------------------------------------------------------------------------------


@pytest.fixture
def between(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], Peer]]:
    """Puts a peer of the test's own between the table and DynamoDB."""
    with peers_before_dynamodb(monkeypatch, AgreementItem, TokenItem, KeyItem) as put:
        yield put


def test_a_write_whose_answer_was_lost_knows_itself(world: World, between: Callable[[Script], Peer]) -> None:
    between(loses_answers(1))
    assert opened(world) == agreement()
    one = world.get()
    between(loses_answers(1))
    assert world.table.link(one, Word.EXCHANGE, LATER, TOKENS, None).won
    between(loses_answers(0))
    assert not world.table.link(one, Word.EXCHANGE, LATER, TOKENS, None).won
    assert [told.at for told in world.get().told] == [LATER]


def test_what_is_read_by_its_key_is_read_consistently(world: World, between: Callable[[Script], Peer]) -> None:
    opened(world)
    world.table.note_token("digest", AGREEMENT_ID)
    world.table.keep_wrapped_key(b"wrapped")
    peer = between(loses_answers(0))
    world.table.get(AGREEMENT_ID)
    world.table.by_token("digest")
    world.table.wrapped_key()
    assert [json.loads(call.body)["ConsistentRead"] for call in peer.calls] == [True] * 4


def test_an_agreement_of_another_request_is_not_taken_for_ones_own(world: World) -> None:
    first = opened(world)
    other = world.table.create(agreement(attempt="another", customer_belongs_to="DANA"))
    assert (other.won, other.row) == (False, first)
    assert world.get().created_at == NOW < datetime.now(UTC)
