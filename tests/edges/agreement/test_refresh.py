"""Tokens in their years: refreshed in time, told when they cannot be, and never lost by a crash."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock, call

import pytest
from autodebit.agreement.agreement import Agreement, SealedTokens, Status
from autodebit.agreement.refresh import FAULTS_MAX
from autodebit.agreement.schedule import ATTEMPT_S, Due
from autodebit.errors import NotSent, OutcomeUnknown, TableFault, VaultUnavailable

from tests.kit.agreements import ACCESS_TOKEN, AGREEMENT_ID, REFRESH_TOKEN, applied, result

from .conftest import World

NEW_TOKEN = "28101113refreshed0ACCESS0000000000000000000SAMPLE"
NEW_REFRESH = "28101113refreshed0REFRESH000000000000000000SAMPLE"
LOST = OutcomeUnknown("read timeout")


class Killed(BaseException):
    """The process dies here."""


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def run(world: World) -> dict[Due, int]:
    return world.refresher.run(datetime.now(UTC), lambda: True)


@pytest.fixture
def due(world: World) -> World:
    """A world in which the token of one agreement is due."""
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=in_days(11))
    world.linked()
    world.age("dueAt", 1)
    world.alipay.usual["applyToken"] = applied(
        accessToken=NEW_TOKEN, refreshToken=NEW_REFRESH, accessTokenExpiryTime=in_days(730)
    )
    return world


def test_a_token_that_is_due_is_replaced_by_the_newer_ones(due: World, logged: Mock) -> None:
    assert run(due)[Due.REFRESH] == 1
    assert logged.append_keys.call_args == call(agreementId=AGREEMENT_ID)
    agreement = due.get()
    assert due.opened(agreement) == NEW_TOKEN
    assert due.vault.open(agreement.refresh_token or b"", AGREEMENT_ID, "refreshToken") == NEW_REFRESH
    assert due.alipay.called("applyToken")[-1] == {
        "grantType": "REFRESH_TOKEN",
        "customerBelongsTo": "ALIPAY_HK",
        "refreshToken": REFRESH_TOKEN,
    }
    assert agreement.due_at
    assert agreement.due_at > datetime.now(UTC) + timedelta(days=680)
    assert agreement.attempt is None
    assert run(due) == dict.fromkeys(Due, 0)
    text = str(due.rows.scan()["Items"])
    assert not [secret for secret in (NEW_TOKEN, NEW_REFRESH) if secret in text]


def test_a_cancel_that_names_the_token_from_before_the_refresh_ends_the_agreement(due: World) -> None:
    run(due)
    assert due.canceled(ACCESS_TOKEN).status is Status.UNLINKED


def test_without_a_new_refresh_token_the_old_one_goes_on(due: World) -> None:
    due.alipay.usual["applyToken"] = applied(
        accessToken=NEW_TOKEN, refreshToken=None, accessTokenExpiryTime=in_days(730)
    )
    run(due)
    agreement = due.get()
    assert due.vault.open(agreement.refresh_token or b"", AGREEMENT_ID, "refreshToken") == REFRESH_TOKEN
    assert agreement.due_at
    assert agreement.due_at > datetime.now(UTC) + timedelta(days=680)


def test_a_refresh_that_brings_no_later_end_is_tried_again_after_a_day_and_not_every_hour(due: World) -> None:
    before = due.get().token_expires_at
    assert before
    due.alipay.usual["applyToken"] = applied(accessToken=NEW_TOKEN, accessTokenExpiryTime=before.isoformat())
    run(due)
    agreement = due.get()
    assert agreement.due_at
    assert timedelta(hours=23) < agreement.due_at - datetime.now(UTC) < timedelta(hours=25)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (LOST, "refresh: read timeout"),
        (NotSent("no connection"), "refresh: no connection"),
        (result("U", "UNKNOWN_EXCEPTION"), "applyToken U/UNKNOWN_EXCEPTION"),
    ],
    ids=str,
)
def test_a_refresh_without_an_answer_is_made_again_by_the_next_run(
    due: World, logged: Mock, lost: Any, said: str
) -> None:
    due.alipay.told = [lost]
    run(due)
    agreement = due.get()
    assert due.opened(agreement) == ACCESS_TOKEN
    assert (agreement.last_said, agreement.attempt, agreement.unaccounted) == (said, None, 0)
    if isinstance(lost, Exception):
        assert logged.error.call_args.kwargs["error"] == type(lost).__name__
    else:
        assert logged.warning.call_args == call("refresh left open", said=said)
    run(due)
    assert due.opened(due.get()) == NEW_TOKEN
    assert due.alipay.calls[-1] == due.alipay.calls[-2]


def test_a_process_killed_after_the_answer_loses_nothing(due: World) -> None:
    def killed() -> Any:
        raise Killed

    due.alipay.told = [killed]
    with pytest.raises(Killed):
        run(due)
    run(due)
    assert len(due.alipay.called("applyToken")) == 2, "the attempt may still be running"
    due.age("attemptedAt", ATTEMPT_S + 1)
    run(due)
    assert due.opened(due.get()) == NEW_TOKEN


def test_an_attempt_is_counted_from_just_before_its_call(due: World, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_at = []
    opened = due.vault.open

    def slowly(*arguments: Any) -> str:
        time.sleep(0.05)
        opened_at.append(datetime.now(UTC))
        return opened(*arguments)

    monkeypatch.setattr(due.vault, "open", slowly)
    run(due)
    assert due.get().attempted_at >= opened_at[0] - timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        (result("S", "SUCCESS"), 0),
        (result("F", "INVALID_ACCESS_TOKEN"), 0),
        (result("U", "UNKNOWN_EXCEPTION"), 1),
        (LOST, 1),
    ],
    ids=str,
)
def test_a_token_that_comes_for_an_agreement_that_ended_meanwhile_is_revoked(
    due: World, counted: Any, logged: Mock, said: Any, faults: int
) -> None:
    renewed = due.alipay.usual["applyToken"]

    def overtaken() -> Any:
        due.canceled(ACCESS_TOKEN)
        return renewed

    due.alipay.told = [overtaken, said]
    run(due)
    assert due.get().status is Status.UNLINKED
    assert due.alipay.called("revoke") == [{"accessToken": NEW_TOKEN}]
    assert counted.mock_calls.count(call("Fault")) == faults
    if not faults:
        assert logged.warning.call_args == call("agreement ended during its refresh, the new token is revoked")
        return
    heard = "read timeout" if said is LOST else "revoke U/UNKNOWN_EXCEPTION"
    assert logged.error.call_args == call(
        "agreement ended during its refresh, the new token is not revoked", said=heard
    )


@pytest.mark.parametrize("canceled", [True, False])
def test_an_end_is_not_told_of_an_agreement_that_is_ended_during_its_refresh(world: World, canceled: bool) -> None:
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=in_days(9.9))
    world.linked()
    world.age("dueAt", 1)

    def overtaken() -> Any:
        if canceled:
            world.canceled(ACCESS_TOKEN)
        else:
            world.revoker.revoke(AGREEMENT_ID, datetime.now(UTC))
        return result("U", "UNKNOWN_EXCEPTION")

    world.alipay.told = [overtaken]
    run(world)
    assert "AgreementExpiring" not in [told.kind for told in world.get().told]


def test_an_answer_that_comes_when_newer_tokens_are_stored_changes_nothing(due: World) -> None:
    renewed = due.alipay.usual["applyToken"]
    newest = SealedTokens(access_token=b"newest", refresh_token=b"newest", expires_at=None, due_at=None)

    def overtaken() -> Any:
        assert due.table.replace_tokens(due.get(), newest).won
        return renewed

    due.alipay.told = [overtaken]
    run(due)
    assert (due.get().access_token, due.get().refresh_token) == (b"newest", b"newest")
    assert due.alipay.called("revoke") == []


def test_of_two_that_see_the_same_token_due_one_calls(due: World, monkeypatch: pytest.MonkeyPatch) -> None:
    take = due.table.take

    def overtaken(read: Agreement, attempt: str, at: datetime) -> Any:
        assert take(read, "another's", at).won
        return take(read, attempt, at)

    monkeypatch.setattr(due.table, "take", overtaken)
    calls = len(due.alipay.calls)
    run(due)
    assert len(due.alipay.calls) == calls


def test_two_runs_at_once_refresh_once(due: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: run(due), range(8)))
    assert len(due.alipay.called("applyToken")) == 2, "the exchange, and one refresh"


@pytest.mark.parametrize("code", ["INVALID_REFRESH_TOKEN", "USER_STATUS_ABNORMAL"])
def test_a_refusal_is_told_and_the_token_pays_until_its_end(due: World, counted: Any, logged: Mock, code: str) -> None:
    due.alipay.told = [result("F", code)]
    run(due)
    counted.assert_any_call("RefreshRefused")
    assert logged.error.call_args == call("refresh refused", resultCode=code)
    assert run(due)[Due.TELL] == 1
    agreement = due.get()
    assert [told.kind for told in agreement.told] == ["AgreementLinked", "AgreementExpiring"]
    assert due.debits.of(AGREEMENT_ID).access_token == ACCESS_TOKEN
    assert run(due) == dict.fromkeys(Due, 0), "told once"
    due.age("tokenExpiresAt", 1)
    due.age("dueAt", 1)
    assert run(due)[Due.END] == 1
    assert due.get().status is Status.UNLINKED


@pytest.mark.parametrize(
    "code",
    [
        *("INVALID_SIGNATURE", "KEY_NOT_FOUND", "CLIENT_INVALID", "UNKNOWN_CLIENT", "INVALID_CLIENT_STATUS"),
        *("CLIENT_FORBIDDEN_ACCESS_API", "ACCESS_DENIED", "INVALID_API", "API_INVALID", "NO_INTERFACE_DEF"),
        *("METHOD_NOT_SUPPORTED", "MEDIA_TYPE_NOT_ACCEPTABLE", "PARAM_ILLEGAL", "SYSTEM_ERROR"),
    ],
)
def test_what_turns_every_call_of_the_merchant_away_ends_no_refreshing(
    due: World, counted: Any, logged: Mock, code: str
) -> None:
    """Once the account is mended the refresh token is as good as before."""
    due.alipay.told = [result("F", code)]
    run(due)
    counted.assert_any_call("Fault")
    assert logged.error.call_args == call("refresh turned away", resultCode=code)
    agreement = due.get()
    assert (agreement.refresh_refused, agreement.attempt, agreement.unaccounted) == (None, None, 0)
    assert agreement.last_said == f"applyToken F/{code}"
    run(due)
    assert due.opened(due.get()) == NEW_TOKEN


def test_a_refusal_of_the_first_refresh_is_told_30_days_before_the_end(world: World) -> None:
    """However early or late an agreement's share of the spread is."""
    expires_at = datetime.now(UTC) + timedelta(days=365)
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=expires_at.isoformat())
    for number in range(20):
        agreement_id = f"agr-{number}"
        world.alipay.usual["applyToken"] = applied(
            accessToken=f"{ACCESS_TOKEN[:-4]}{number:04d}", accessTokenExpiryTime=expires_at.isoformat()
        )
        agreement = world.linked(agreement_id)
        assert agreement.due_at
        assert expires_at - agreement.due_at > timedelta(days=30), "a day for the refusal"


@pytest.mark.parametrize(
    "said",
    [
        LOST,
        NotSent("no connection"),
        result("U", "UNKNOWN_EXCEPTION"),
        "the same end",
        applied(accessToken=NEW_TOKEN, accessTokenExpiryTime=None),
        "KMS away",
        result("F", "INVALID_REFRESH_TOKEN"),
    ],
    ids=str,
)
def test_an_end_that_no_refresh_has_put_off_is_told_in_its_last_days_once(
    world: World, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = (datetime.now(UTC) + timedelta(days=9.9)).isoformat(timespec="seconds")
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=ends)
    world.linked()
    if said == "KMS away":
        monkeypatch.setattr(world.vault, "open", Mock(side_effect=VaultUnavailable("away")))
    world.alipay.usual["applyToken"] = (
        applied(accessToken=NEW_TOKEN, accessTokenExpiryTime=ends) if isinstance(said, str) else said
    )
    for _ in range(3):
        world.age("dueAt", 1)
        run(world)
    agreement = world.get()
    assert [told.kind for told in agreement.told] == ["AgreementLinked", "AgreementExpiring"]
    assert agreement.status is Status.LINKED
    if said == result("F", "INVALID_REFRESH_TOKEN"):
        return
    monkeypatch.undo()
    world.age("dueAt", 1)
    world.alipay.usual["applyToken"] = applied(accessToken=NEW_REFRESH, accessTokenExpiryTime=in_days(730))
    assert run(world)[Due.REFRESH] == 1, "refreshes are tried on"
    renewed = world.get()
    assert renewed.token_expires_at
    assert renewed.token_expires_at > datetime.now(UTC) + timedelta(days=700)
    assert not renewed.expiring_told, "the next end is told anew"


def test_a_refusal_after_the_end_was_told_leaves_nothing_due_but_the_end(world: World) -> None:
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=in_days(9))
    world.linked()
    world.alipay.told = [LOST, result("F", "INVALID_REFRESH_TOKEN")]
    for _ in range(2):
        world.age("dueAt", 1)
        assert run(world)[Due.END] == 0
    agreement = world.get()
    assert (agreement.expiring_told, agreement.refresh_refused) == (True, "INVALID_REFRESH_TOKEN")
    assert agreement.due_at == agreement.token_expires_at


def test_a_token_that_lives_a_few_days_is_refreshed_and_its_end_not_told(world: World) -> None:
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=in_days(5))
    world.linked()
    world.alipay.usual["applyToken"] = applied(accessToken=NEW_TOKEN, accessTokenExpiryTime=in_days(6))
    assert run(world)[Due.REFRESH] == 1
    agreement = world.get()
    assert [told.kind for told in agreement.told] == ["AgreementLinked"]
    assert agreement.due_at
    assert timedelta(hours=23) < agreement.due_at - datetime.now(UTC) < timedelta(hours=25)


def test_what_cannot_be_refreshed_is_told_30_days_before_its_end(world: World) -> None:
    world.alipay.usual["applyToken"] = applied(refreshToken=None, accessTokenExpiryTime=in_days(40))
    agreement = world.linked()
    assert agreement.due_at
    assert agreement.token_expires_at
    assert agreement.token_expires_at - agreement.due_at == timedelta(days=30)
    assert run(world) == dict.fromkeys(Due, 0)
    world.age("dueAt", 1)
    assert run(world)[Due.TELL] == 1
    assert world.get().due_at == agreement.token_expires_at


def test_a_token_refreshed_while_it_is_being_revoked_is_the_one_that_is_revoked(due: World) -> None:
    usual = due.alipay.usual["applyToken"]

    def overtaken() -> Any:
        due.revoker.revoke(AGREEMENT_ID, datetime.now(UTC))
        assert due.looker.look(AGREEMENT_ID, 0)[0].status is Status.UNLINKING, "it waits for the refresh"
        return usual

    due.alipay.told = [overtaken]
    run(due)
    assert not {"dueShard", "dueAt"} & due.row().keys(), "nothing is due any more"
    assert due.looker.look(AGREEMENT_ID, 1)[0].status is Status.UNLINKED
    assert due.alipay.called("revoke") == [{"accessToken": NEW_TOKEN}]


def test_a_run_gives_up_when_alipay_is_dark_and_stops_when_its_time_is_over(world: World, logged: Mock) -> None:
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=in_days(20))
    for number in range(FAULTS_MAX + 5):
        world.alipay.usual["applyToken"] = applied(
            accessToken=f"{ACCESS_TOKEN[:-4]}{number:04d}", accessTokenExpiryTime=in_days(20)
        )
        world.linked(f"agr-{number}")
        world.age("dueAt", 1, f"agr-{number}")
    assert world.refresher.run(datetime.now(UTC), lambda: False) == dict.fromkeys(Due, 0)
    assert logged.warning.call_args == call("agreements left to the next run")
    world.alipay.usual["applyToken"] = LOST
    run(world)
    refreshing = [body for body in world.alipay.called("applyToken") if "refreshToken" in body]
    assert len(refreshing) == FAULTS_MAX


def test_whatever_is_wrong_with_some_agreements_the_others_have_their_turn(world: World, counted: Any) -> None:
    """What comes of them is no fault that anybody provided for."""
    broken = [f"agr-broken-{number}" for number in range(3)]
    whole = [f"agr-{number}" for number in range(3)]
    for number, agreement_id in enumerate(broken + whole):
        world.alipay.usual["applyToken"] = applied(
            accessToken=f"{ACCESS_TOKEN[:-4]}{number:04d}", accessTokenExpiryTime=in_days(20)
        )
        world.linked(agreement_id)
        world.age("dueAt", 3600 if agreement_id in broken else 1, agreement_id)
    read = world.table.get

    def get(agreement_id: str) -> Any:
        if agreement_id in broken:
            raise OverflowError("date value out of range")
        return read(agreement_id)

    world.table.get = get  # type: ignore[method-assign]
    world.alipay.usual["applyToken"] = applied(accessToken=NEW_TOKEN, accessTokenExpiryTime=in_days(730))
    assert run(world)[Due.REFRESH] == len(whole)
    assert counted.mock_calls.count(call("Fault")) == len(broken)


def test_each_run_that_came_to_its_end_counts_what_it_saw_to_if_only_nothing(
    due: World, counted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(due)
    run(due)
    seen_to = [one for one in counted.mock_calls if one.args[0] == "TokensSeenTo"]
    assert seen_to == [call("TokensSeenTo", 1), call("TokensSeenTo", 0)]
    monkeypatch.setattr(due.table, "due_before", Mock(side_effect=TableFault("away")))
    counted.reset_mock()
    with pytest.raises(TableFault):
        run(due)
    assert counted.mock_calls == []


def test_only_faults_in_a_row_end_a_run(world: World) -> None:
    for number in range(3 * FAULTS_MAX):
        world.alipay.usual["applyToken"] = applied(
            accessToken=f"{ACCESS_TOKEN[:-4]}{number:04d}", accessTokenExpiryTime=in_days(20)
        )
        world.linked(f"agr-{number}")
        world.age("dueAt", 1, f"agr-{number}")
    renewed = applied(accessToken=NEW_TOKEN, accessTokenExpiryTime=in_days(730))
    world.alipay.told = [*[LOST] * (FAULTS_MAX - 1), renewed] * 3
    assert run(world)[Due.REFRESH] == 3


def test_all_that_fell_due_on_one_day_is_refreshed_once_each(
    world: World, pytestconfig: pytest.Config, record_property: Any
) -> None:
    """Ten thousand rows as a link leaves them, due in the course of a day; a run takes those that are due by then.

    With `--refresh-hours 24` the whole day was missed, and one run makes up for it.
    """
    total, refresh_hours = 10_000, pytestconfig.getoption("--refresh-hours")
    expires_at = datetime.now(UTC) + timedelta(days=20)
    world.alipay.usual["applyToken"] = applied(accessTokenExpiryTime=expires_at.isoformat())
    world.linked("agr-0")
    row = world.row("agr-0")
    with world.rows.batch_writer() as batch:
        for number in range(total):
            agreement_id = f"agr-{number}"
            due_at = datetime.now(UTC) + timedelta(hours=max(0, number % 24 - refresh_hours + 1))
            batch.put_item(
                Item=row
                | {
                    "agreementId": agreement_id,
                    "dueShard": f"{number % 32:02d}",
                    "dueAt": due_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                    "accessToken": world.vault.seal(f"token-{number}", agreement_id, "accessToken"),
                    "refreshToken": world.vault.seal(f"refresh-{number}", agreement_id, "refreshToken"),
                }
            )
    world.alipay.usual["applyToken"] = applied(accessToken=NEW_TOKEN, accessTokenExpiryTime=in_days(730))
    due_now = sum(number % 24 < refresh_hours for number in range(total))
    ids = list(world.table.due_before(datetime.now(UTC) + timedelta(hours=23, minutes=30)))
    assert len(set(ids)) == len(ids) == total
    assert len(list(world.table.due_before(datetime.now(UTC)))) == due_now
    done = run(world)
    refreshed = [body["refreshToken"] for body in world.alipay.called("applyToken") if "refreshToken" in body]
    assert done[Due.REFRESH] == len(refreshed) == len(set(refreshed)) == due_now
    assert run(world)[Due.REFRESH] == 0
    record_property("refreshedOnce", due_now)
