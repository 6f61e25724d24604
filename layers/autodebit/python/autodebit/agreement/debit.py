"""The token at the moment of pay, for a payment that names an agreement; and what a debit tells of the agreement."""

from datetime import UTC, datetime

from autodebit.agreement.agreement import Debit, Status, UnlinkedBy
from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.schedule import is_dead
from autodebit.agreement.transitions import Word
from autodebit.agreement.vault import Opener
from autodebit.errors import AgreementNotFound, AgreementNotLinked
from autodebit.telemetry import logger


class Debits:
    """Opens tokens for payments."""

    def __init__(self, table: AgreementTable, vault: Opener) -> None:
        self._table = table
        self._vault = vault

    def of(self, agreement_id: str) -> Debit:
        """What debits by this agreement now. Raises AgreementNotLinked, VaultUnavailable and TableFault."""
        try:
            agreement = self._table.get(agreement_id)
        except AgreementNotFound:
            raise AgreementNotLinked(agreement_id) from None
        if not agreement.may_pay(datetime.now(UTC)):
            raise AgreementNotLinked(agreement_id)
        return Debit(agreement, self._vault.open(agreement.access_token or b"", agreement_id, "accessToken"))

    def note_dead(self, debit: Debit) -> None:
        """Alipay answered INVALID_ACCESS_TOKEN, signed: the agreement is over, unless it has a newer token since, or
        a refresh under way that may bring one. Then its next payment tells. Raises TableFault.
        """
        used, now = debit.agreement.access_token, datetime.now(UTC)
        agreement = self._table.get(debit.agreement.agreement_id)
        while agreement.access_token == used:  # it is LINKED or UNLINKING: no other has a token
            if not is_dead(agreement, now):
                break
            by = UnlinkedBy.PAY if agreement.status is Status.LINKED else UnlinkedBy.MERCHANT
            agreement = self._table.unlink(agreement, Word.PAY, by, now).row
        logger.warning("agreement's token is dead", agreementId=agreement.agreement_id, status=agreement.status.value)
