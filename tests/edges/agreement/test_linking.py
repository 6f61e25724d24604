"""From the QR code to the token, with every answer that Alipay may give or lose, on a real table."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock, call

import pytest
from autodebit.agreement.agreement import Agreement, QrCode, Status, agreement_document, qr_code_expires_at
from autodebit.agreement.request import LinkRequest
from autodebit.agreement.schedule import ATTEMPT_S, EXCHANGE_GRACE_S
from autodebit.agreement.transitions import Word
from autodebit.errors import (
    AgreementConflict,
    ConsultRefused,
    ConsultUnanswered,
    NotSent,
    OutcomeUnknown,
    TableFault,
    UnknownAgreement,
    VaultUnavailable,
)

from tests.kit.agreements import ACCESS_TOKEN, AGREEMENT_ID, AUTH_CODE, REFRESH_TOKEN, agreement, applied, result

from .conftest import World

OTHER_TOKEN = "28101113another0TOKEN000000000000000000000000SAMPLE"
INVALID = result("F", "INVALID_AUTHCODE")
LOST = OutcomeUnknown("read timeout")
QR_CODE = QrCode("https://qr.example-wallet.com/2810", None)


class Killed(BaseException):
    """The process dies here."""


# --- The QR code -------------------------------------------------------------------------------------------------


def test_a_first_request_shows_a_qr_code_and_a_replay_the_same(world: World) -> None:
    first, new = world.link()
    again, new_again = world.link(authRedirectUrl="https://shop.example/other", env={"clientIp": "203.0.113.9"})
    assert (new, new_again) == (True, False)
    assert first.qr_code == again.qr_code is not None
    [body] = world.alipay.called("consult")
    assert body["authState"] == first.auth_state == world.get().auth_state


def test_sixteen_simultaneous_first_requests_show_one_qr_code(world: World) -> None:
    usual = world.alipay.usual["consult"]
    assert isinstance(usual, dict)

    def slowly() -> dict[str, Any]:
        time.sleep(0.4)
        return usual

    world.alipay.usual["consult"] = slowly
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: world.link(), range(16)))
    assert len(world.alipay.calls) == 1
    assert sorted(new for _, new in answers) == [False] * 15 + [True]
    assert len({str(agreement.qr_code) for agreement, _ in answers}) == 1


def test_another_wallet_is_another_request(world: World) -> None:
    world.link()
    with pytest.raises(AgreementConflict):
        world.link(customerBelongsTo="DANA")


def test_no_answer_is_asked_again_with_the_same_bytes(world: World) -> None:
    world.alipay.told = [LOST, result("U", "UNKNOWN_EXCEPTION")]
    assert world.link()[0].qr_code
    assert world.alipay.calls[0] == world.alipay.calls[1] == world.alipay.calls[2]


def test_no_answer_at_all_is_a_503_and_the_same_request_goes_on_with_a_new_state(world: World) -> None:
    world.alipay.told = [LOST, LOST, LOST]
    with pytest.raises(ConsultUnanswered):
        world.link()
    assert world.get().qr_code is None
    agreement, new = world.link()
    assert new
    assert agreement.qr_code
    states = [body["authState"] for body in world.alipay.called("consult")]
    assert (len(set(states[:3])), len(set(states))) == (1, 2)


def test_nothing_sent_is_a_503_at_once(world: World, logged: Mock) -> None:
    world.alipay.told = [NotSent("no connection")]
    with pytest.raises(ConsultUnanswered):
        world.link()
    assert len(world.alipay.calls) == 1
    assert world.get().unaccounted == 0
    assert logged.warning.call_args.kwargs == {"call": "consult", "reason": "no connection", "sent": False}


@pytest.mark.parametrize("fails", ["create", "ask_again"])
def test_a_table_that_fails_before_consult_is_a_503_and_nothing_was_sent(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Any, fails: str
) -> None:
    if fails == "ask_again":
        world.alipay.told = [LOST, LOST, LOST]
        with pytest.raises(ConsultUnanswered):
            world.link()
    calls = len(world.alipay.calls)
    with monkeypatch.context() as patch:
        patch.setattr(world.table, fails, Mock(side_effect=TableFault("away")))
        with pytest.raises(NotSent) as raised:
            world.link()
    assert raised.value.status == 503
    assert len(world.alipay.calls) == calls
    counted.assert_any_call("Fault")
    assert world.link()[0].qr_code


def test_a_qr_code_that_cannot_be_stored_is_a_503_and_the_same_request_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Mock
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(world.table, "note_qr_code", Mock(side_effect=TableFault("away")))
        with pytest.raises(ConsultUnanswered):
            world.link()
    counted.assert_any_call("Fault")
    world.age("attemptedAt", 30)
    assert world.link()[0].qr_code


def test_a_refusal_names_its_code_and_ends_the_agreement(world: World, logged: Mock) -> None:
    refusal = result("F", "NO_PAY_OPTIONS")
    refusal["result"]["resultMessage"] = "No pay options."
    world.alipay.told = [refusal]
    with pytest.raises(ConsultRefused) as raised:
        world.link()
    assert raised.value.members == {"resultCode": "NO_PAY_OPTIONS", "resultMessage": "No pay options."}
    assert logged.warning.call_args == call("consult refused", resultCode="NO_PAY_OPTIONS")
    agreement, new = world.link()
    assert (agreement.status, agreement.result_code, new) == (Status.FAILED, "NO_PAY_OPTIONS", False)
    assert not agreement.perhaps_linked
    assert len(world.alipay.calls) == 1


def test_a_consult_whose_process_died_is_taken_over_once_it_must_be_dead(world: World) -> None:
    world.alipay.told = [_killed]
    with pytest.raises(Killed):
        world.link()
    world.age("attemptedAt", 30)
    assert world.link()[0].qr_code


def _killed() -> dict[str, Any]:
    raise Killed


def request() -> LinkRequest:
    return LinkRequest({"agreementId": AGREEMENT_ID, "customerBelongsTo": "ALIPAY_HK"})


def other_asks(world: World) -> Agreement:
    """Another request for the same agreement has consult under way."""
    now = datetime.now(UTC)
    return world.table.create(
        agreement(attempt="other", created_at=now, attempted_at=now, expires_at=qr_code_expires_at(now))
    ).row


ENDS: dict[str, Callable[[World, Agreement], Any]] = {
    "answered": lambda world, other: world.table.note_qr_code(other, QR_CODE),
    "refused": lambda world, other: world.table.fail(other, Word.CONSULT, "NO_PAY_OPTIONS", datetime.now(UTC)),
    "unanswered": lambda world, other: world.table.put_back(other, "consult without answer", unaccounted=0),
}
"""What a consult of another request comes to."""


def shown_or_refused(world: World, end: str) -> None:
    """This request shows what the other came to, and asks nothing itself."""
    if end == "unanswered":
        with pytest.raises(ConsultUnanswered):
            world.link()
    else:
        shown, new = world.link()
        assert (shown, new) == (world.get(), False)
        assert shown.status is (Status.FAILED if end == "refused" else Status.AUTHORIZING)
    assert world.alipay.calls == []


@pytest.mark.parametrize("end", ENDS)
def test_while_another_request_asks_its_answer_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    other = other_asks(world)
    read = world.table.get
    reads: list[str] = []

    def get(agreement_id: str) -> Agreement:
        reads.append(agreement_id)
        if len(reads) == 3:
            ENDS[end](world, other)
        return read(agreement_id)

    monkeypatch.setattr(world.table, "get", get)
    shown_or_refused(world, end)


@pytest.mark.parametrize("end", ENDS)
def test_of_two_that_take_over_a_dead_consult_one_asks(world: World, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    other = other_asks(world)
    world.age("attemptedAt", 30)
    ask_again = world.table.ask_again

    def overtaken(dead: Agreement, attempt: str, at: datetime, state: str, until: datetime) -> Any:
        ENDS[end](world, ask_again(other, "second", at, f"{state[:-1]}f", until).row)
        return ask_again(dead, attempt, at, state, until)

    monkeypatch.setattr(world.table, "ask_again", overtaken)
    shown_or_refused(world, end)


@pytest.mark.parametrize("linked", [False, True])
def test_an_agreement_past_its_qr_code_is_shown_at_once_whatever_call_is_under_way(world: World, linked: bool) -> None:
    if linked:
        created(world, other_asks(world))
    else:
        world.exchanging()
    assert world.table.take(world.get(), "exchange or refresh", datetime.now(UTC)).won
    assert world.linker.link(request(), "", time.monotonic() - 1) == (world.get(), False)


def test_another_request_that_asks_for_too_long_is_waited_for_no_longer_than_there_is_time(world: World) -> None:
    other_asks(world)
    with pytest.raises(ConsultUnanswered):
        world.linker.link(request(), "", time.monotonic() - 1)
    assert world.alipay.calls == []


# --- The code ----------------------------------------------------------------------------------------------------


def test_a_code_is_stored_sealed_and_somebody_is_started_to_exchange_it(world: World, logged: Mock) -> None:
    agreement = world.exchanging()
    assert logged.append_keys.mock_calls == [
        call(authorizationNotifyType="AUTHCODE_CREATED", keyVersion="1"),
        call(agreementId=AGREEMENT_ID),
    ]
    assert agreement.is_exchanging
    assert agreement.auth_code_at
    assert agreement.overdue_at == agreement.auth_code_at + timedelta(seconds=EXCHANGE_GRACE_S)
    assert world.notified(agreement) == agreement
    assert world.machine.started == [(AGREEMENT_ID, 0)], "once"
    row = world.row()
    assert AUTH_CODE not in str(row)
    assert AUTH_CODE.encode() not in bytes(row["authCode"])
    assert row["overdueAt"]


def test_the_start_comes_before_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    agreement, _ = world.link()
    monkeypatch.setattr(world.table, "note_code", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        world.notified(agreement)
    assert world.machine.started == [(AGREEMENT_ID, 0)]
    looked, wait_s = world.looker.look(AGREEMENT_ID, 0)
    assert (looked.is_exchanging, wait_s) == (False, 1)
    assert world.looker.look(AGREEMENT_ID, 5)[1] is None


def test_a_start_that_fails_is_the_sweeps(world: World, counted: Mock, logged: Mock) -> None:
    agreement, _ = world.link()
    world.machine.fails = True
    world.notified(agreement)
    counted.assert_any_call("Fault")
    assert logged.error.call_args == call("exchange not started", reason="away")
    [overdue] = list(world.table.overdue(datetime.now(UTC).replace(year=2100)))
    assert (overdue.key, overdue.polling_round) == (AGREEMENT_ID, 0)


def test_thirty_two_codes_at_once_are_one_exchange(world: World) -> None:
    agreement, _ = world.link()

    def notify(number: int) -> Any:
        other = {} if number % 2 else {"authCode": f"281011another{number}"}
        return world.notified(agreement, **other)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(notify, range(32)))
        list(pool.map(lambda _: world.looker.look(AGREEMENT_ID, 0), range(32)))
    assert world.get().status is Status.LINKED
    assert len(world.alipay.called("applyToken")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"authState": "auth-cust-4711-1"},
        {"authState": f"{b'agr-unknown'.hex()}-{'0' * 32}"},
        {"authState": f"{AGREEMENT_ID.encode().hex()}-{'0' * 32}"},
    ],
)
def test_a_foreign_unknown_or_wrong_state_is_refused_and_changes_nothing(world: World, changes: Any) -> None:
    world.link()
    before = world.row()
    unknown = changes["authState"].startswith(b"agr-unknown".hex())
    with pytest.raises(UnknownAgreement, match="no such agreement" if unknown else "no such authState"):
        world.notified(**changes)
    assert world.row() == before
    assert world.machine.started == []


def test_a_code_without_success_changes_nothing(world: World, logged: Mock) -> None:
    agreement, _ = world.link()
    assert world.notified(agreement, **result("F", "PROCESS_FAIL")) == world.get() == agreement
    assert logged.warning.call_args == call("authorization without success")


def test_a_code_that_comes_late_is_exchanged_all_the_same(world: World) -> None:
    agreement, _ = world.link()
    world.age("expiresAt", 300)
    assert agreement_document(world.get(), datetime.now(UTC))["status"] == "EXPIRED"
    world.notified(agreement)
    assert world.looker.look(AGREEMENT_ID, 0)[0].status is Status.LINKED


def test_kms_away_stores_and_starts_nothing(world: World, kms_away: Callable[[], None]) -> None:
    agreement, _ = world.link()
    kms_away()
    with pytest.raises(VaultUnavailable):
        world.notified(agreement)
    assert not world.get().is_exchanging
    assert world.machine.started == []


# --- The exchange ------------------------------------------------------------------------------------------------


def test_an_exchange_links_and_keeps_its_tokens_sealed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.table, "replace_tokens", Mock(side_effect=AssertionError("they are kept already")))
    agreement = world.linked()
    assert world.alipay.deadlines[-1] > time.monotonic()
    assert world.opened(agreement) == ACCESS_TOKEN
    assert world.vault.open(agreement.refresh_token or b"", AGREEMENT_ID, "refreshToken") == REFRESH_TOKEN
    assert (agreement.user_login_id, agreement.auth_code, agreement.attempt) == ("852-****1234", None, None)
    assert agreement.due_at
    text = str(world.rows.scan()["Items"])
    assert not [secret for secret in (AUTH_CODE, ACCESS_TOKEN, REFRESH_TOKEN) if secret in text]
    [body] = world.alipay.called("applyToken")
    assert body == {"grantType": "AUTHORIZATION_CODE", "customerBelongsTo": "ALIPAY_HK", "authCode": AUTH_CODE}
    assert [(told.kind, ACCESS_TOKEN in (told.detail or "")) for told in agreement.told] == [("AgreementLinked", False)]


@pytest.mark.parametrize("expiry", ["9999-12-31T23:59:59-08:00", "0001-01-01T00:00:00+08:00"])
def test_a_token_whose_end_cannot_be_used_links_all_the_same(world: World, expiry: str) -> None:
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=expiry)
    agreement = world.linked()
    assert (agreement.token_expires_at, agreement.due_at) == (None, None)
    assert world.opened(agreement) == ACCESS_TOKEN


def test_what_names_the_account_goes_into_every_call(world: World) -> None:
    agreement, _ = world.link(merchantRegion="SG", merchantAccountId="acc-1")
    world.notified(agreement)
    world.looker.look(AGREEMENT_ID, 0)
    world.revoker.revoke(AGREEMENT_ID, datetime.now(UTC))
    world.looker.look(AGREEMENT_ID, 0)
    [applied_with], [revoked_with] = world.alipay.called("applyToken"), world.alipay.called("revoke")
    assert (applied_with["merchantRegion"], applied_with["merchantAccountId"]) == ("SG", "acc-1")
    assert revoked_with == {"accessToken": ACCESS_TOKEN, "merchantAccountId": "acc-1"}


@pytest.mark.parametrize("lost", [LOST, result("U", "AUTH_IN_PROCESS"), applied(accessToken="")], ids=str)
@pytest.mark.parametrize("token", [ACCESS_TOKEN, OTHER_TOKEN])
def test_an_answer_that_was_lost_is_asked_for_again_and_whatever_token_comes_links(
    world: World, lost: Any, token: str
) -> None:
    world.exchanging()
    world.alipay.told = [lost, applied(accessToken=token)]
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 0)
    assert (agreement.status, agreement.unaccounted, wait_s) == (Status.AUTHORIZING, 1, 1)
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 1)
    assert (agreement.status, wait_s) == (Status.LINKED, None)
    assert world.opened(agreement) == token
    assert world.alipay.calls[-1] == world.alipay.calls[-2]


def test_an_answer_that_leaves_it_open_is_logged(world: World, logged: Mock, counted: Mock) -> None:
    world.exchanging()
    world.alipay.told = [result("U", "AUTH_IN_PROCESS"), LOST]
    world.looker.look(AGREEMENT_ID, 0)
    assert logged.info.call_args == call("exchange left open", said="applyToken U/AUTH_IN_PROCESS")
    world.looker.look(AGREEMENT_ID, 1)
    assert logged.warning.call_args.kwargs == {"call": "applyToken", "reason": "read timeout", "sent": True}
    counted.assert_any_call("NoAnswer")


def test_the_looks_of_a_round_are_spent_before_the_minute_and_the_sweep_comes_back_when_it_is_over(
    world: World,
) -> None:
    world.exchanging()
    world.alipay.told = [LOST]
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 13)
    assert wait_s is None
    assert agreement.auth_code_at
    assert agreement.overdue_at == agreement.auth_code_at + timedelta(seconds=55)
    world.table.take(world.get(), "another's", datetime.now(UTC))
    world.age("authCodeAt", 3600)
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 13)
    assert wait_s is None
    assert agreement.overdue_at
    assert before <= agreement.overdue_at <= datetime.now(UTC), "another calls still: at once"


def test_a_code_refused_at_the_first_call_failed_and_nothing_is_linked(world: World, counted: Mock) -> None:
    world.exchanging()
    world.alipay.told = [INVALID]
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 0)
    assert (agreement.status, agreement.result_code, wait_s) == (Status.FAILED, "INVALID_AUTHCODE", None)
    assert not agreement.perhaps_linked
    assert [told.kind for told in agreement.told] == ["AgreementFailed"]
    assert call("PerhapsLinked") not in counted.mock_calls


@pytest.mark.parametrize("lost", [LOST, result("U", "AUTH_IN_PROCESS")], ids=str)
def test_a_code_refused_after_a_call_that_is_unaccounted_for_is_perhaps_linked(
    world: World, counted: Any, logged: Mock, lost: Any
) -> None:
    world.exchanging()
    world.alipay.told = [lost, INVALID]
    world.looker.look(AGREEMENT_ID, 0)
    agreement, _ = world.looker.look(AGREEMENT_ID, 1)
    assert (agreement.status, agreement.perhaps_linked) == (Status.FAILED, True)
    assert "perhapsLinked" in (agreement.told[0].detail or "")
    counted.assert_any_call("PerhapsLinked")
    assert logged.error.call_args == call(
        "agreement failed, perhaps linked at the wallet", resultCode="INVALID_AUTHCODE"
    )


def test_a_code_refused_when_a_token_has_linked_it_meanwhile_is_nobodys_concern(world: World, counted: Mock) -> None:
    agreement = world.exchanging()

    def overtaken() -> dict[str, Any]:
        created(world, agreement)
        return INVALID

    world.alipay.told = [LOST, overtaken]
    world.looker.look(AGREEMENT_ID, 0)
    linked, _ = world.looker.look(AGREEMENT_ID, 1)
    assert (linked.status, linked.perhaps_linked) == (Status.LINKED, False)
    assert call("PerhapsLinked") not in counted.mock_calls


def test_a_call_of_which_nothing_left_is_no_trace_at_the_wallet(world: World) -> None:
    world.exchanging()
    world.alipay.told = [NotSent("no connection"), INVALID]
    world.looker.look(AGREEMENT_ID, 0)
    agreement, _ = world.looker.look(AGREEMENT_ID, 1)
    assert (agreement.status, agreement.perhaps_linked) == (Status.FAILED, False)


@pytest.mark.parametrize(
    ("heard", "code", "perhaps"),
    [
        ([result("U", "AUTH_IN_PROCESS")], "AUTH_IN_PROCESS", True),
        ([LOST], "NO_ANSWER", True),
        ([NotSent("no connection")], "NO_ANSWER", False),
        ([applied(accessToken="")], "NO_ANSWER", True),
        ([result("U", "")], "NO_ANSWER", True),
    ],
    ids=str,
)
def test_a_code_whose_minute_is_over_failed_with_what_was_heard_last(
    world: World, heard: list[Any], code: str, perhaps: bool
) -> None:
    world.exchanging()
    world.alipay.told = list(heard)
    world.looker.look(AGREEMENT_ID, 0)
    world.age("authCodeAt", 55)
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 13)
    assert (agreement.status, agreement.result_code, wait_s) == (Status.FAILED, code, None)
    assert agreement.perhaps_linked is perhaps
    assert len(world.alipay.called("applyToken")) == 1, "none after 55 s"


def test_what_an_unanswered_consult_left_is_no_reason_of_a_failed_exchange(
    world: World, kms_away: Callable[[], None]
) -> None:
    """`resultCode` is a code, also where applyToken was never called."""
    world.alipay.told = [LOST, LOST, LOST]
    with pytest.raises(ConsultUnanswered):
        world.link()
    assert world.get().last_said
    world.exchanging()
    kms_away()
    world.looker.look(AGREEMENT_ID, 0)
    world.age("authCodeAt", 55)
    agreement, _ = world.looker.look(AGREEMENT_ID, 13)
    assert (agreement.status, agreement.result_code) == (Status.FAILED, "NO_ANSWER")


@pytest.mark.parametrize(
    ("then", "status", "perhaps"),
    [
        (applied(), Status.LINKED, False),
        (applied(accessToken=OTHER_TOKEN), Status.LINKED, False),
        (INVALID, Status.FAILED, True),
    ],
    ids=["the same token", "another token", "INVALID_AUTHCODE"],
)
def test_a_process_killed_after_the_answer_is_followed_by_one_call_more(
    world: World, then: Any, status: Status, perhaps: bool
) -> None:
    world.exchanging()
    world.alipay.told = [_killed, then]
    with pytest.raises(Killed):
        world.looker.look(AGREEMENT_ID, 0)
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 1)
    assert (agreement.status, wait_s, len(world.alipay.called("applyToken"))) == (Status.AUTHORIZING, 2, 1)
    world.age("attemptedAt", ATTEMPT_S + 1)
    agreement, _ = world.looker.look(AGREEMENT_ID, 2)
    assert (agreement.status, agreement.perhaps_linked) == (status, perhaps)
    assert (agreement.access_token is not None) is (status is Status.LINKED)


def test_kms_away_when_the_exchange_is_due_waits_for_it(
    world: World, kms_away: Callable[[], None], logged: Mock
) -> None:
    world.exchanging()
    kms_away()
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 0)
    assert (agreement.status, wait_s) == (Status.AUTHORIZING, 1)
    assert world.alipay.called("applyToken") == []
    assert logged.warning.call_args.kwargs["call"] == "applyToken"


# --- Tokens that come by themselves ------------------------------------------------------------------------------


def created(world: World, agreement: Any, token: str = ACCESS_TOKEN) -> Any:
    return world.notified(agreement, authorizationNotifyType="TOKEN_CREATED", authCode=None, accessToken=token)


def test_a_token_links_without_an_exchange(world: World) -> None:
    agreement, _ = world.link()
    linked = created(world, agreement)
    assert (linked.status, linked.token_expires_at, linked.refresh_token) == (Status.LINKED, None, None)
    assert world.opened(linked) == ACCESS_TOKEN
    assert world.alipay.called("applyToken") == []
    assert world.notified(agreement).status is Status.LINKED
    assert world.machine.started == []


def test_a_token_after_a_link_changes_nothing(world: World) -> None:
    agreement = world.linked()
    before = world.row()
    created(world, agreement, OTHER_TOKEN)
    assert world.row() == before


def test_a_token_between_code_and_exchange_is_one_agreement(world: World) -> None:
    agreement = world.exchanging()
    created(world, agreement)
    assert world.looker.look(AGREEMENT_ID, 0)[0].status is Status.LINKED
    assert world.alipay.called("applyToken") == []


@pytest.mark.parametrize("token", [ACCESS_TOKEN, OTHER_TOKEN])
def test_a_token_that_overtakes_the_answer_of_the_exchange_is_replaced_by_the_one_that_refreshes(
    world: World, token: str
) -> None:
    agreement = world.exchanging()

    def overtaken() -> dict[str, Any]:
        created(world, agreement)
        return applied(accessToken=token)

    world.alipay.told = [overtaken]
    linked, _ = world.looker.look(AGREEMENT_ID, 0)
    assert (linked.status, world.opened(linked)) == (Status.LINKED, token)
    assert linked.refresh_token is not None
    assert [told.kind for told in linked.told] == ["AgreementLinked"]


def test_an_agreement_that_ended_before_the_answer_of_its_exchange_stays_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token linked it, and the buyer cancelled that."""
    agreement = world.exchanging()
    monkeypatch.setattr(world.table, "replace_tokens", Mock(side_effect=AssertionError("it has no tokens any more")))

    def overtaken() -> dict[str, Any]:
        created(world, agreement)
        world.canceled(ACCESS_TOKEN)
        return applied(accessToken=OTHER_TOKEN)

    world.alipay.told = [overtaken]
    ended, wait_s = world.looker.look(AGREEMENT_ID, 0)
    assert (ended.status, wait_s) == (Status.UNLINKED, None)
    assert world.get() == ended


@pytest.mark.parametrize("again", ["AUTHCODE_CREATED", "TOKEN_CREATED"])
def test_after_the_end_nothing_links(world: World, again: str) -> None:
    agreement = world.linked()
    world.canceled(ACCESS_TOKEN)
    before = world.row()
    world.notified(agreement, authorizationNotifyType=again, accessToken=OTHER_TOKEN)
    assert world.row() == before
