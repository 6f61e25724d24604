"""Revoke an agreement: note it first, so that no payment by it is sent any more, then have Alipay called.

Dying after the note is no harm: the sweep finds an agreement that nobody looks at.
"""

from datetime import datetime

from autodebit import telemetry
from autodebit.agreement.agreement import Agreement, Status, UnlinkedBy
from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.transitions import Word
from autodebit.errors import AgreementNotRevocable, NotSent, PollingFault, TableFault
from autodebit.polling import overdue_at
from autodebit.polling_machine import PollingMachine
from autodebit.telemetry import logger


class Revoker:
    """Notes the revocation of one agreement."""

    def __init__(self, table: AgreementTable, polling: PollingMachine) -> None:
        self._table = table
        self._polling = polling

    def revoke(self, agreement_id: str, now: datetime) -> Agreement:
        """The agreement: UNLINKING, or UNLINKED. Raises AgreementNotFound, AgreementNotRevocable and NotSent."""
        try:
            return self._revoke(agreement_id, now)
        except TableFault as error:
            # Nobody is called from here. If the revocation was noted all the same, the sweep goes on with it.
            telemetry.fault(error)
            raise NotSent("agreement table") from error

    def _revoke(self, agreement_id: str, now: datetime) -> Agreement:
        agreement = self._table.get(agreement_id)
        while agreement.status is Status.LINKED:
            if agreement.is_token_over(now):
                # There is nothing to call Alipay for. It is written, or a refresh under way would link it again.
                agreement = self._table.unlink(
                    agreement, Word.EXPIRY, UnlinkedBy.EXPIRY, agreement.token_expires_at or now
                ).row
                continue
            written = self._table.note_unlinking(agreement, now, overdue_at(now, 0))
            agreement = written.row
            if written.won:
                self._have_revoked(agreement)
        if agreement.status not in (Status.UNLINKING, Status.UNLINKED):
            raise AgreementNotRevocable(agreement_id)
        return agreement

    def _have_revoked(self, agreement: Agreement) -> None:
        try:
            self._polling.start(agreement.agreement_id, agreement.polling_round)
        except PollingFault as error:
            logger.warning("revocation not started", reason=str(error))
            telemetry.count("Fault")
