"""Handle the tokens that fall due: refresh them long before they end, tell the end of those that cannot be refreshed,
and note ends.

One agreement after the other. Each is a row of its own, so that a crash loses only the call that is under way. A later
run repeats that call with the same refresh token, and the newest answer wins.

https://docs.antom.com/ac/autodebitpay/refresh_accesstoken
"""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from autodebit import telemetry
from autodebit.agreement.agreement import Agreement, Status, UnlinkedBy
from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.calls import call, refresh_body, revoke_body
from autodebit.agreement.keep_tokens import TokenKeeper
from autodebit.agreement.outcome import Refused, Revoked, Tokens, read_revoke, read_tokens
from autodebit.agreement.schedule import EXPIRING, Due, due, due_once_told, is_dead, is_ending, refresh_again_at
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.transitions import Word
from autodebit.agreement.vault import Vault
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import OF_THE_ACCOUNT
from autodebit.errors import GatewayError
from autodebit.rows.watch import WATCH_SHARDS
from autodebit.telemetry import logger

FAULTS_MAX = 10
"""Agreements in a row that could not be seen to, after which a run gives up: the next hour's does the rest."""

MARGIN_MS = 40_000
"""A run begins no more when its function has less time than this left: two calls may take half of it."""


class Refresher:
    """Goes over the agreements about which something is to be done."""

    def __init__(self, table: AgreementTable, gateway: AlipayGateway, vault: Vault, digests: TokenDigests) -> None:
        self._table = table
        self._gateway = gateway
        self._vault = vault
        self._keeper = TokenKeeper(table, vault, digests)

    def run(self, now: datetime, more: Callable[[], bool]) -> dict[Due, int]:
        """How many agreements were seen to, by what was done; it stops when `more` says so.

        Raises TableFault if it is not known which are due; then it counts nothing, which the alarm hears.
        """
        done = dict.fromkeys(Due, 0)
        faults = 0
        shards = list(range(WATCH_SHARDS))
        random.shuffle(shards)  # no shard is always the last
        for agreement_id in self._table.due_before(now, shards):
            if faults == FAULTS_MAX or not more():
                logger.warning("agreements left to the next run")
                break
            logger.append_keys(agreementId=agreement_id)
            try:
                done[self._see_to(agreement_id)] += 1
                faults = 0
            except Exception as error:  # whatever is wrong with one agreement, the others have their turn
                faults += 1
                telemetry.fault(error)
        telemetry.count("TokensSeenTo", sum(done.values()))
        return done

    def _see_to(self, agreement_id: str) -> Due:
        """Do what is due about one agreement. Raises GatewayError, AgreementNotFound and TableFault."""
        now = datetime.now(UTC)
        agreement = self._table.get(agreement_id)
        what = due(agreement, now)
        if what is Due.REFRESH:
            try:
                self._refresh(agreement, now)
            except Exception:
                self._tell_if_ending(agreement)
                raise
            self._tell_if_ending(agreement)
        elif what is Due.TELL:
            self._table.note_expiring(agreement, now, due_once_told(agreement))
        elif what is Due.END:
            self._table.unlink(agreement, Word.EXPIRY, UnlinkedBy.EXPIRY, agreement.token_expires_at or now)
        return what

    def _tell_if_ending(self, tried: Agreement) -> None:
        """Tell the end of an agreement in its last days whose refresh was `tried` and brought no later one."""
        now = datetime.now(UTC)
        if not is_ending(tried, now):
            return
        agreement = self._table.get(tried.agreement_id)
        if is_ending(agreement, now) and agreement.token_expires_at == tried.token_expires_at:
            self._table.note_expiring(agreement, now, due_once_told(agreement))

    def _refresh(self, agreement: Agreement, now: datetime) -> None:
        """Refresh its tokens, if nobody else calls Alipay about this agreement."""
        if not is_dead(agreement, now):
            return
        refresh_token = self._vault.open(agreement.refresh_token or b"", agreement.agreement_id, "refreshToken")
        taken = self._table.take(agreement, uuid4().hex, datetime.now(UTC))
        if not taken.won:
            return
        agreement = taken.row
        try:
            answer = call(self._gateway, "applyToken", refresh_body(agreement, refresh_token))
        except GatewayError as error:
            self._table.put_back(agreement, f"refresh: {error.reason}", unaccounted=0)
            raise
        reading = read_tokens(answer)
        if isinstance(reading, Tokens):
            self._keep(agreement, reading)
        elif isinstance(reading, Refused) and reading.code in OF_THE_ACCOUNT:
            telemetry.count("Fault")
            logger.error("refresh turned away", resultCode=reading.code)
            self._table.put_back(agreement, f"applyToken F/{reading.code}", unaccounted=0)
        elif isinstance(reading, Refused):
            self._note_refused(agreement, reading.code, now)
        else:
            logger.warning("refresh left open", said=reading.said)
            self._table.put_back(agreement, reading.said, unaccounted=0)

    def _keep(self, agreement: Agreement, tokens: Tokens) -> None:
        """Put the new tokens in place of the old, also if the agreement is being revoked: then these are revoked."""
        sealed = self._keeper.seal(agreement.agreement_id, tokens)
        if tokens.refresh_token is None:  # the old one goes on being used
            sealed = replace(sealed, refresh_token=agreement.refresh_token)
        expires_at = tokens.expires_at or agreement.token_expires_at
        if expires_at is not None:
            due_at = refresh_again_at(agreement.agreement_id, expires_at, datetime.now(UTC))
            sealed = replace(sealed, expires_at=expires_at, due_at=due_at)
        old = agreement.access_token
        while agreement.access_token == old:  # it is LINKED or UNLINKING: no other has a token
            kept = sealed if agreement.status is Status.LINKED else replace(sealed, due_at=None)
            agreement = self._table.replace_tokens(agreement, kept).row
        if agreement.status is Status.UNLINKED:
            self._revoke(agreement, tokens.access_token)

    def _revoke(self, agreement: Agreement, token: str) -> None:
        """Nobody may be debited by a token that came for an agreement which has ended meanwhile; it is kept nowhere."""
        try:
            answer = call(self._gateway, "revoke", revoke_body(agreement, token))
        except GatewayError as error:
            said = error.reason
        else:
            reading = read_revoke(answer)
            if isinstance(reading, Revoked):
                logger.warning("agreement ended during its refresh, the new token is revoked")
                return
            said = reading.said
        telemetry.count("Fault")
        logger.error("agreement ended during its refresh, the new token is not revoked", said=said)

    def _note_refused(self, agreement: Agreement, code: str, now: datetime) -> None:
        telemetry.count("RefreshRefused")
        logger.error("refresh refused", resultCode=code)
        expires_at = agreement.token_expires_at
        if expires_at is not None:
            due_at = expires_at if agreement.expiring_told else max(now, expires_at - EXPIRING)
            self._table.note_refresh_refused(agreement, code, due_at)
