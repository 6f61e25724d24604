"""How an agreement ends: by the merchant, the buyer, a dead token or time; and no payment by it afterwards."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock, call

import pytest
from autodebit.agreement.agreement import SealedTokens, Status, UnlinkedBy
from autodebit.agreement.agreement_table import BELONGS_MAX
from autodebit.agreement.schedule import ATTEMPT_S
from autodebit.agreement.token_digest import TokenDigests
from autodebit.errors import (
    AgreementNotFound,
    AgreementNotLinked,
    AgreementNotRevocable,
    NotSent,
    OutcomeUnknown,
    TableFault,
    UnknownAgreement,
    VaultUnavailable,
)
from autodebit.polling import GRACE_S

from tests.kit.agreements import ACCESS_TOKEN, AGREEMENT_ID, applied, result

from .conftest import World

LOST = OutcomeUnknown("read timeout")


class Killed(BaseException):
    """The process dies here."""


def revoke(world: World) -> Any:
    return world.revoker.revoke(AGREEMENT_ID, datetime.now(UTC))


def refused(world: World) -> bool:
    """Whether a payment by it is refused before anything is sent."""
    try:
        world.debits.of(AGREEMENT_ID)
    except AgreementNotLinked:
        return True
    return False


# --- By the merchant ---------------------------------------------------------------------------------------------


def test_a_revocation_is_noted_first_and_then_called(world: World) -> None:
    world.linked()
    assert revoke(world).status is Status.UNLINKING
    assert refused(world)
    assert world.alipay.called("revoke") == []
    assert world.machine.started[-1] == (AGREEMENT_ID, 1)
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 0)
    assert (agreement.status, agreement.unlinked_by, wait_s) == (Status.UNLINKED, UnlinkedBy.MERCHANT, None)
    assert world.alipay.called("revoke") == [{"accessToken": ACCESS_TOKEN}]
    assert (agreement.access_token, agreement.refresh_token) == (None, None)
    assert [told.kind for told in agreement.told] == ["AgreementLinked", "AgreementUnlinked"]


def test_of_two_revocations_at_once_one_has_it_called(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.linked()
    note = world.table.note_unlinking
    noted_at = datetime.now(UTC)

    def overtaken(read: Any, at: datetime, overdue_at: datetime) -> Any:
        assert overdue_at == noted_at + timedelta(seconds=GRACE_S)
        assert note(read, at, overdue_at).won
        return note(read, at, overdue_at)

    monkeypatch.setattr(world.table, "note_unlinking", overtaken)
    assert world.revoker.revoke(AGREEMENT_ID, noted_at).status is Status.UNLINKING
    assert world.machine.started == [(AGREEMENT_ID, 0)], "the exchange; the other one starts the revocation"


def test_revoking_again_changes_nothing(world: World) -> None:
    world.linked()
    revoke(world)
    started = list(world.machine.started)
    assert revoke(world).status is Status.UNLINKING
    world.looker.look(AGREEMENT_ID, 0)
    assert revoke(world).status is Status.UNLINKED
    assert world.machine.started == started


def test_a_revocation_whose_start_fails_is_the_sweeps(world: World, counted: Mock, logged: Mock) -> None:
    world.linked()
    world.machine.fails = True
    revoke(world)
    counted.assert_any_call("Fault")
    assert logged.warning.call_args == call("revocation not started", reason="away")
    [overdue] = list(world.table.overdue(datetime.now(UTC) + timedelta(minutes=2)))
    assert (overdue.key, overdue.polling_round) == (AGREEMENT_ID, 1)


@pytest.mark.parametrize(
    "lost", [LOST, NotSent("no connection"), result("U", "UNKNOWN_EXCEPTION"), result("F", "PROCESS_FAIL")], ids=str
)
def test_a_revocation_is_called_until_alipay_answers(world: World, counted: Mock, lost: Any) -> None:
    world.linked()
    revoke(world)
    world.alipay.told = [lost, lost, lost]
    for look, wait_s in enumerate((3, 3, 6)):
        agreement, waited_s = world.looker.look(AGREEMENT_ID, look)
        assert waited_s == wait_s
        assert (agreement.attempt, agreement.unaccounted) == (None, 0)
        assert agreement.overdue_at
        assert agreement.overdue_at < datetime.now(UTC) + timedelta(minutes=2)
        assert refused(world)
    assert call("PollingSpent") not in counted.mock_calls
    assert world.looker.look(AGREEMENT_ID, 3)[0].status is Status.UNLINKED
    assert len({str(body) for body in world.alipay.called("revoke")}) == 1


@pytest.mark.parametrize(
    ("heard", "said"), [(LOST, "revoke: read timeout"), (result("F", "PROCESS_FAIL"), "revoke F/PROCESS_FAIL")], ids=str
)
def test_a_spent_schedule_is_taken_on_again_the_next_day(
    world: World, counted: Any, logged: Mock, heard: Any, said: str
) -> None:
    world.linked()
    revoke(world)
    world.alipay.told = [heard]
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 3)
    assert (agreement.status, wait_s) == (Status.UNLINKING, None)
    counted.assert_any_call("PollingSpent")
    assert logged.error.call_args == call("revocation not answered", said=said)
    open_calls = [call("revocation left open", said=said)] if heard is not LOST else []
    assert [one for one in logged.warning.mock_calls if one.args[0] == "revocation left open"] == open_calls
    now = datetime.now(UTC)
    assert list(world.table.overdue(now + timedelta(hours=23))) == []
    assert list(world.table.overdue(now + timedelta(hours=25)))


def test_a_token_that_was_dead_before_is_gone_and_noted(world: World) -> None:
    world.linked()
    revoke(world)
    world.alipay.told = [result("F", "INVALID_ACCESS_TOKEN")]
    agreement, _ = world.looker.look(AGREEMENT_ID, 0)
    assert (agreement.status, agreement.unlinked_by) == (Status.UNLINKED, UnlinkedBy.MERCHANT)
    assert agreement.result_code == "INVALID_ACCESS_TOKEN"


def test_kms_away_when_the_revocation_is_due_waits_for_it(
    world: World, kms_away: Callable[[], None], logged: Mock
) -> None:
    world.linked()
    revoke(world)
    kms_away()
    world.kms._keys.clear()  # as in another process
    agreement, wait_s = world.looker.look(AGREEMENT_ID, 0)
    assert (agreement.status, wait_s) == (Status.UNLINKING, 3)
    assert world.alipay.called("revoke") == []
    assert logged.warning.call_args.kwargs["call"] == "revoke"


def test_a_process_killed_while_it_revokes_is_followed_by_another(world: World) -> None:
    exchanged = world.linked()
    revoke(world)

    def killed() -> Any:
        raise Killed

    world.alipay.told = [killed]
    with pytest.raises(Killed):
        world.looker.look(AGREEMENT_ID, 0)
    assert world.looker.look(AGREEMENT_ID, 0)[0].status is Status.UNLINKING
    assert world.get().unaccounted == exchanged.unaccounted, "nothing of it stays at the wallet"
    world.age("attemptedAt", ATTEMPT_S + 1)
    assert world.looker.look(AGREEMENT_ID, 1)[0].status is Status.UNLINKED


@pytest.mark.parametrize("fails", ["get", "note_unlinking"])
def test_a_table_that_fails_is_a_503_and_the_same_request_may_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch, counted: Any, fails: str
) -> None:
    world.linked()
    with monkeypatch.context() as patch:
        patch.setattr(world.table, fails, Mock(side_effect=TableFault("away")))
        with pytest.raises(NotSent) as raised:
            revoke(world)
    assert raised.value.status == 503
    counted.assert_any_call("Fault")
    assert revoke(world).status is Status.UNLINKING


def test_one_whose_time_is_over_is_unlinked_by_expiry_before_that_is_answered(world: World) -> None:
    world.linked()
    world.age("tokenExpiresAt", 1)
    agreement = revoke(world)
    assert (agreement.status, agreement.unlinked_by) == (Status.UNLINKED, UnlinkedBy.EXPIRY)
    assert agreement.unlinked_at == agreement.token_expires_at
    assert world.get() == agreement
    assert [told.kind for told in agreement.told] == ["AgreementLinked", "AgreementUnlinked"]
    assert world.alipay.called("revoke") == []


def test_a_refresh_under_way_links_nothing_again_that_was_answered_as_unlinked(world: World) -> None:
    """The token ends while its refresh is under way, and the merchant revokes the agreement before the answer comes."""
    world.linked()
    usual = world.alipay.usual["applyToken"]

    def overtaken() -> Any:
        world.age("tokenExpiresAt", 1)
        assert revoke(world).status is Status.UNLINKED
        return usual

    world.alipay.told = [overtaken]
    world.age("dueAt", 1)
    world.refresher.run(datetime.now(UTC), lambda: True)
    assert world.get().status is Status.UNLINKED
    assert refused(world)


def test_a_refresh_that_was_stored_first_is_revoked_at_alipay(world: World) -> None:
    world.linked()
    world.age("tokenExpiresAt", 1)
    unlink = world.table.unlink

    def overtaken(*arguments: Any) -> Any:
        world.table.unlink = unlink  # type: ignore[method-assign]
        stored = world.get()
        renewed = SealedTokens(
            access_token=b"sealed anew",
            refresh_token=None,
            expires_at=datetime.now(UTC).replace(year=2037),
            due_at=None,
        )
        assert world.table.replace_tokens(stored, renewed).won
        return unlink(*arguments)

    world.table.unlink = overtaken  # type: ignore[method-assign, assignment]
    assert revoke(world).status is Status.UNLINKING
    assert world.machine.started[-1] == (AGREEMENT_ID, 1)


@pytest.mark.parametrize("status", ["AUTHORIZING", "FAILED"])
def test_what_was_never_linked_cannot_be_revoked(world: World, status: str) -> None:
    world.exchanging()
    if status == "FAILED":
        world.alipay.told = [result("F", "INVALID_AUTHCODE")]
        world.looker.look(AGREEMENT_ID, 0)
    before = world.row()
    with pytest.raises(AgreementNotRevocable):
        revoke(world)
    assert world.row() == before


def test_an_unknown_agreement_cannot_be_revoked(world: World) -> None:
    with pytest.raises(AgreementNotFound):
        revoke(world)


# --- By the buyer ------------------------------------------------------------------------------------------------


def test_a_canceled_token_ends_its_agreement(world: World) -> None:
    world.linked()
    agreement = world.canceled(ACCESS_TOKEN)
    assert (agreement.status, agreement.unlinked_by) == (Status.UNLINKED, UnlinkedBy.BUYER)
    assert refused(world)
    before = world.row()
    assert world.canceled(ACCESS_TOKEN).status is Status.UNLINKED
    assert world.row() == before


def test_a_canceled_token_ends_each_agreement_that_has_it(world: World) -> None:
    """The wallet gave the same token for a second consent."""
    world.linked()
    world.linked("agr-second")
    world.canceled(ACCESS_TOKEN)
    for agreement_id in (AGREEMENT_ID, "agr-second"):
        ended = world.get(agreement_id)
        assert (ended.status, ended.unlinked_by) == (Status.UNLINKED, UnlinkedBy.BUYER)


def test_a_canceled_token_whose_second_link_is_not_stored_yet_ends_the_first_and_comes_again(world: World) -> None:
    world.linked()
    world.exchanging("agr-second")
    world.table.note_token(TokenDigests(world.digest_key).digest(ACCESS_TOKEN), "agr-second")
    with pytest.raises(UnknownAgreement):
        world.canceled(ACCESS_TOKEN)
    assert world.get().status is Status.UNLINKED
    world.looker.look("agr-second", 0)
    assert world.canceled(ACCESS_TOKEN).status is Status.UNLINKED
    assert world.get("agr-second").status is Status.UNLINKED


def test_a_token_leads_to_so_many_agreements_and_no_more(world: World, counted: Mock, logged: Mock) -> None:
    for number in range(BELONGS_MAX):
        assert world.table.note_token("digest", f"agr-{number}")
    assert world.table.note_token("digest", "agr-more") is False
    assert world.table.note_token("digest", "agr-7"), "it leads there already"
    assert len(world.row("token.digest")["belongsTo"]) == BELONGS_MAX
    world.table.note_token = Mock(return_value=False)  # type: ignore[method-assign]
    assert world.linked().status is Status.LINKED
    counted.assert_any_call("Fault")
    assert logged.error.called


def test_a_token_that_nobody_has_is_refused(world: World) -> None:
    world.linked()
    with pytest.raises(UnknownAgreement):
        world.canceled("a token of somebody else")
    assert not refused(world)


def test_a_cancel_before_the_link_is_stored_is_refused_and_later_ends_it(world: World) -> None:
    world.exchanging()
    with pytest.raises(UnknownAgreement):
        world.canceled(ACCESS_TOKEN)
    world.looker.look(AGREEMENT_ID, 0)
    assert world.canceled(ACCESS_TOKEN).status is Status.UNLINKED


def test_a_cancel_that_comes_between_the_digest_and_the_link_is_delivered_again(world: World) -> None:
    world.exchanging()
    link = world.table.link
    refusals = []

    def overtaken(*arguments: Any) -> Any:
        with pytest.raises(UnknownAgreement) as raised:
            world.canceled(ACCESS_TOKEN)
        refusals.append(raised.value)
        return link(*arguments)

    world.table.link = overtaken  # type: ignore[method-assign, assignment]
    world.looker.look(AGREEMENT_ID, 0)
    assert refusals
    assert world.canceled(ACCESS_TOKEN).status is Status.UNLINKED


def test_a_cancel_that_follows_our_own_revocation_is_the_merchants_end(world: World) -> None:
    world.linked()
    revoke(world)
    agreement = world.canceled(ACCESS_TOKEN)
    assert (agreement.status, agreement.unlinked_by) == (Status.UNLINKED, UnlinkedBy.MERCHANT)
    assert world.looker.look(AGREEMENT_ID, 0)[1] is None
    assert world.alipay.called("revoke") == []


# --- By a dead token, and by time --------------------------------------------------------------------------------


@pytest.mark.parametrize(("revoked", "by"), [(False, UnlinkedBy.PAY), (True, UnlinkedBy.MERCHANT)])
def test_a_dead_token_ends_its_agreement(world: World, logged: Mock, revoked: bool, by: UnlinkedBy) -> None:
    world.linked()
    debit = world.debits.of(AGREEMENT_ID)
    if revoked:
        revoke(world)
    world.debits.note_dead(debit)
    agreement = world.get()
    assert (agreement.status, agreement.unlinked_by) == (Status.UNLINKED, by)
    assert refused(world)
    assert logged.warning.call_args == call("agreement's token is dead", agreementId=AGREEMENT_ID, status="UNLINKED")


def test_a_dead_token_does_not_end_an_agreement_that_has_a_newer_one(world: World) -> None:
    world.linked()
    debit = world.debits.of(AGREEMENT_ID)
    world.age("dueAt", 1)
    world.refresher.run(datetime.now(UTC), lambda: True)
    world.debits.note_dead(debit)
    assert world.get().status is Status.LINKED


def test_a_dead_token_does_not_end_an_agreement_that_is_being_refreshed(world: World) -> None:
    world.linked()
    debit = world.debits.of(AGREEMENT_ID)
    usual = world.alipay.usual["applyToken"]

    def overtaken() -> Any:
        world.debits.note_dead(debit)
        return usual

    world.alipay.told = [overtaken]
    world.age("dueAt", 1)
    world.refresher.run(datetime.now(UTC), lambda: True)
    assert world.get().status is Status.LINKED


def test_a_token_whose_time_is_over_pays_nothing_and_is_noted_by_the_next_run(world: World) -> None:
    world.linked()
    world.age("tokenExpiresAt", 1)
    assert refused(world)
    world.age("dueAt", 1)
    world.refresher.run(datetime.now(UTC), lambda: True)
    agreement = world.get()
    assert (agreement.status, agreement.unlinked_by) == (Status.UNLINKED, UnlinkedBy.EXPIRY)
    assert agreement.unlinked_at == agreement.token_expires_at
    assert world.alipay.called("revoke") == []


@pytest.mark.parametrize("agreement_id", ["agr-unknown", AGREEMENT_ID])
def test_an_unknown_agreement_or_one_that_is_not_linked_pays_nothing(world: World, agreement_id: str) -> None:
    world.exchanging()
    with pytest.raises(AgreementNotLinked):
        world.debits.of(agreement_id)


def test_a_token_moved_to_another_agreement_pays_nothing(world: World) -> None:
    world.linked()
    world.linked("agr-other")
    world.rows.update_item(
        Key={"agreementId": "agr-other"},
        UpdateExpression="SET accessToken = :token",
        ExpressionAttributeValues={":token": world.row()["accessToken"]},
    )
    with pytest.raises(VaultUnavailable):
        world.debits.of("agr-other")


# --- At once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_whoever_ends_it_first_it_ends_once(world: World, seed: int) -> None:
    """Merchant, buyer and a dead token at once, in whatever order the threads run."""
    world.linked()
    debit = world.debits.of(AGREEMENT_ID)
    ends = [
        lambda: revoke(world),
        lambda: world.canceled(ACCESS_TOKEN),
        lambda: world.debits.note_dead(debit),
        lambda: world.looker.look(AGREEMENT_ID, 0),
    ] * 3
    random.Random(seed).shuffle(ends)
    with ThreadPoolExecutor(len(ends)) as pool:
        for done in [pool.submit(end) for end in ends]:
            done.result()
    world.looker.look(AGREEMENT_ID, 0)
    agreement = world.get()
    assert agreement.status is Status.UNLINKED
    assert [told.kind for told in agreement.told] == ["AgreementLinked", "AgreementUnlinked"]
    assert refused(world)
    assert "watchShard" not in world.row()
    assert "dueShard" not in world.row()


def test_from_the_note_on_nothing_is_sent_in_200_races(world: World) -> None:
    """A payment that asks after the revocation is noted is refused, however the two interleave."""
    for race in range(200):
        agreement_id = f"agr-{race}"
        world.alipay.usual["applyToken"] = _tokens(race)
        world.linked(agreement_id)
        asked: list[tuple[datetime, bool]] = []

        def pay(agreement_id: str = agreement_id, asked: list[Any] = asked) -> None:
            at = datetime.now(UTC)
            try:
                world.debits.of(agreement_id)
            except AgreementNotLinked:
                asked.append((at, False))
            else:
                asked.append((at, True))

        with ThreadPoolExecutor(5) as pool:
            payments = [pool.submit(pay) for _ in range(2)]
            revoking = pool.submit(world.revoker.revoke, agreement_id, datetime.now(UTC))
            payments += [pool.submit(pay) for _ in range(2)]
            revoking.result()
            noted_at = datetime.now(UTC)
            for payment in payments:
                payment.result()
        pay()
        assert all(not sent for at, sent in asked if at >= noted_at)
        assert asked[-1][1] is False


def _tokens(number: int) -> Any:
    return applied(accessToken=f"{ACCESS_TOKEN[:-4]}{number:04d}")
