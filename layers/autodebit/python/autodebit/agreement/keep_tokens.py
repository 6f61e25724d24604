"""Make tokens ready to be kept: first store the way back from a token to its agreement, then seal the token."""

from autodebit import telemetry
from autodebit.agreement.agreement import SealedTokens
from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.outcome import Tokens
from autodebit.agreement.schedule import first_due_at
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.vault import Vault
from autodebit.telemetry import logger


class TokenKeeper:
    """Seals what links an agreement."""

    def __init__(self, table: AgreementTable, vault: Vault, digests: TokenDigests) -> None:
        self._table = table
        self._vault = vault
        self._digests = digests

    def seal(self, agreement_id: str, tokens: Tokens) -> SealedTokens:
        """The tokens as the agreement's row keeps them. Raises VaultUnavailable and TableFault."""
        if not self._table.note_token(self._digests.digest(tokens.access_token), agreement_id):
            telemetry.count("Fault")
            logger.error("a token that too many agreements have: its cancellation will not end this one")
        refresh = tokens.refresh_token
        return SealedTokens(
            access_token=self._vault.seal(tokens.access_token, agreement_id, "accessToken"),
            refresh_token=None if refresh is None else self._vault.seal(refresh, agreement_id, "refreshToken"),
            expires_at=tokens.expires_at,
            due_at=first_due_at(agreement_id, tokens.expires_at, refreshable=refresh is not None),
        )
