"""Look at an agreement that waits for Alipay: exchange its authCode, or revoke its token. Called by the state machine.

One call at a time: an attempt first puts its own token into the row, and a dead attempt is taken over. Where this
process may die while it exchanges:

1. Before the call: the row says that a call may be unaccounted for; the next look makes it again with the same code.
2. After the answer, before the write, as when KMS fails there: the same. Alipay may answer with the same tokens, with
   others, or INVALID_AUTHCODE; the last ends as FAILED, perhaps linked at the wallet, and a person is told.
3. After the write: LINKED.
"""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from autodebit import telemetry
from autodebit.agreement.agreement import Agreement, Status, UnlinkedBy
from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.calls import call, exchange_body, revoke_body
from autodebit.agreement.keep_tokens import TokenKeeper
from autodebit.agreement.outcome import Refused, Revoked, Tokens, read_revoke, read_tokens
from autodebit.agreement.schedule import (
    CODE_LOOKS,
    EXCHANGE_S,
    REVOKE_AGAIN_S,
    exchange_is_over,
    exchange_overdue_at,
    is_dead,
    next_exchange_wait,
)
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.transitions import Word
from autodebit.agreement.vault import Vault
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Undecided
from autodebit.errors import GatewayError, NotSent
from autodebit.polling import next_wait, overdue_at
from autodebit.telemetry import logger

NO_ANSWER = "NO_ANSWER"
"""The resultCode of an agreement whose code was over before Alipay said anything of it; none of Alipay's own."""


class Looker:
    """Looks at one agreement once. `schedule` holds the waits between the calls of revoke in seconds."""

    def __init__(
        self,
        table: AgreementTable,
        gateway: AlipayGateway,
        vault: Vault,
        digests: TokenDigests,
        schedule: tuple[int, ...],
    ) -> None:
        self._table = table
        self._gateway = gateway
        self._vault = vault
        self._keeper = TokenKeeper(table, vault, digests)
        self._schedule = schedule

    def look(self, agreement_id: str, looks_made: int) -> tuple[Agreement, int | None]:
        """The agreement after this look, and the seconds to wait until the next; None if there is none.

        Raises AgreementNotFound, TableFault and VaultUnavailable; the state machine tries again.
        """
        agreement = self._table.get(agreement_id)
        if agreement.is_exchanging:
            return self._exchange(agreement, looks_made)
        if agreement.status is Status.UNLINKING:
            return self._revoke(agreement, looks_made)
        if agreement.status is Status.AUTHORIZING and looks_made < CODE_LOOKS:
            return agreement, 1
        return agreement, None

    # The exchange

    def _exchange(self, agreement: Agreement, looks_made: int) -> tuple[Agreement, int | None]:
        now = datetime.now(UTC)
        received_at = agreement.auth_code_at or now
        if is_dead(agreement, now):
            if exchange_is_over(received_at, now):
                return self._fail(agreement, agreement.last_said or NO_ANSWER), None
            agreement = self._apply_token(agreement)
            if not agreement.is_exchanging:
                return agreement, None
            now = datetime.now(UTC)
        wait_s = next_exchange_wait(looks_made, received_at, now)
        if wait_s is None:  # the sweep comes back to it when the code is over
            over_at = received_at + timedelta(seconds=EXCHANGE_S)
            return self._table.note_look(agreement, max(now, over_at)).row, None
        return self._table.note_look(agreement, exchange_overdue_at(now, wait_s)).row, wait_s

    def _apply_token(self, agreement: Agreement) -> Agreement:
        """Call applyToken once, if nobody else does, and act on what it says."""
        try:
            code = self._vault.open(agreement.auth_code or b"", agreement.agreement_id, "authCode")
        except NotSent as error:
            telemetry.call_failed("applyToken", error)
            return agreement
        taken = self._table.take(agreement, uuid4().hex, datetime.now(UTC), unaccounted=1)
        if not taken.won:
            return taken.row
        before, agreement = agreement, taken.row
        try:
            reading = read_tokens(call(self._gateway, "applyToken", exchange_body(agreement, code)))
        except GatewayError as error:
            unaccounted = before.unaccounted if isinstance(error, NotSent) else agreement.unaccounted
            return self._table.put_back(agreement, NO_ANSWER, unaccounted=unaccounted).row
        if isinstance(reading, Tokens):
            return self._link(agreement, reading)
        if isinstance(reading, Refused):
            return self._fail(agreement, reading.code, called_before=before.unaccounted > 0)
        logger.info("exchange left open", said=reading.said)
        return self._table.put_back(agreement, _code_of(reading), unaccounted=agreement.unaccounted).row

    def _link(self, agreement: Agreement, tokens: Tokens) -> Agreement:
        """Keep the tokens, sealed; a notification may have linked it meanwhile, without the token that refreshes."""
        sealed = self._keeper.seal(agreement.agreement_id, tokens)
        written = self._table.link(agreement, Word.EXCHANGE, datetime.now(UTC), sealed, tokens.user_login_id)
        if written.won or written.row.status is not Status.LINKED:
            return written.row
        return self._table.replace_tokens(written.row, sealed).row

    def _fail(self, agreement: Agreement, code: str, *, called_before: bool | None = None) -> Agreement:
        """FAILED; perhaps linked at the wallet if a call before this answer was never accounted for."""
        perhaps = agreement.unaccounted > 0 if called_before is None else called_before
        written = self._table.fail(agreement, Word.EXCHANGE, code, datetime.now(UTC), perhaps_linked=perhaps)
        if written.won and perhaps:
            telemetry.count("PerhapsLinked")
            logger.error("agreement failed, perhaps linked at the wallet", resultCode=code)
        return written.row

    # The revocation

    def _revoke(self, agreement: Agreement, looks_made: int) -> tuple[Agreement, int | None]:
        now = datetime.now(UTC)
        if is_dead(agreement, now):
            agreement = self._call_revoke(agreement)
            if agreement.status is not Status.UNLINKING:
                return agreement, None
            now = datetime.now(UTC)
        wait_s = next_wait(looks_made, self._schedule)
        if wait_s is None:
            telemetry.count("PollingSpent")
            logger.error("revocation not answered", said=agreement.last_said)
        return self._table.note_look(
            agreement, overdue_at(now, REVOKE_AGAIN_S if wait_s is None else wait_s)
        ).row, wait_s

    def _call_revoke(self, agreement: Agreement) -> Agreement:
        """Call revoke once, if nobody else calls Alipay about this agreement, and act on what it says."""
        try:
            token = self._vault.open(agreement.access_token or b"", agreement.agreement_id, "accessToken")
        except NotSent as error:
            telemetry.call_failed("revoke", error)
            return agreement
        taken = self._table.take(agreement, uuid4().hex, datetime.now(UTC))
        if not taken.won:
            return taken.row
        agreement = taken.row
        try:
            reading = read_revoke(call(self._gateway, "revoke", revoke_body(agreement, token)))
        except GatewayError as error:
            return self._table.put_back(agreement, f"revoke: {error.reason}", unaccounted=0).row
        if isinstance(reading, Revoked):
            at = datetime.now(UTC)
            return self._table.unlink(agreement, Word.REVOKE, UnlinkedBy.MERCHANT, at, reading.code).row
        logger.warning("revocation left open", said=reading.said)
        return self._table.put_back(agreement, reading.said, unaccounted=0).row


def _code_of(reading: Undecided) -> str:
    """The result code at the end of what was said, if there is one."""
    _, slash, code = reading.said.rpartition("/")
    return code if slash and code else NO_ANSWER
