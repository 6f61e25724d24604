"""Receive a notification: Alipay's notifyAuthorization, believed only by its signature.

An authCode lives a minute and the first redelivery comes after two: what is not stored at the first delivery is lost.
So an execution that will exchange it is started first, then the code is stored, then it is acknowledged. Where this
process may die:

1. Before the start: nothing happened, and it is delivered again.
2. Started, not stored: the execution looks for the code some seconds, and ends. It is delivered again.
3. Stored: the execution finds it. Had it not been started, the sweep would start it.

https://docs.antom.com/ac/ams/notifyauth
"""

from datetime import datetime

from autodebit import telemetry
from autodebit.agreement.agreement import Agreement, Status, UnlinkedBy
from autodebit.agreement.agreement_table import AgreementTable
from autodebit.agreement.keep_tokens import TokenKeeper
from autodebit.agreement.notification import Authorization, Kind, parse_authorization
from autodebit.agreement.outcome import Tokens
from autodebit.agreement.request import agreement_id_in
from autodebit.agreement.schedule import exchange_overdue_at
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.transitions import Word
from autodebit.agreement.vault import Vault
from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.signature import SignedMessage
from autodebit.errors import AgreementNotFound, PollingFault, UnknownAgreement
from autodebit.polling_machine import PollingMachine
from autodebit.telemetry import logger


class AuthorizationReceiver:
    """Takes one notification."""

    def __init__(
        self,
        table: AgreementTable,
        credentials: CredentialsStore,
        vault: Vault,
        digests: TokenDigests,
        polling: PollingMachine,
    ) -> None:
        self._table = table
        self._credentials = credentials
        self._vault = vault
        self._digests = digests
        self._keeper = TokenKeeper(table, vault, digests)
        self._polling = polling

    def receive(self, message: SignedMessage, signature_header: str, now: datetime) -> Agreement:
        """The agreement after the notification was heard.

        Raises SignatureInvalid, NotificationMalformed, UnknownAgreement; and CredentialsUnavailable, VaultUnavailable
        or TableFault, after which it must be delivered again.
        """
        key_version = self._credentials.authenticate(message, signature_header)
        authorization = parse_authorization(message.body)
        logger.append_keys(authorizationNotifyType=authorization.kind.value, keyVersion=key_version)
        agreements = self._find(authorization)
        logger.append_keys(agreementId=" ".join(agreement.agreement_id for agreement in agreements))
        if not authorization.succeeded:
            logger.warning("authorization without success")
            return agreements[-1]
        if authorization.kind is Kind.TOKEN_CANCELED:
            return self._unlink(agreements, now)
        (agreement,) = agreements
        if agreement.status is not Status.AUTHORIZING:
            return agreement
        if authorization.kind is Kind.TOKEN_CREATED:
            return self._link(agreement, authorization, now)
        return agreement if agreement.is_exchanging else self._keep_code(agreement, authorization, now)

    def _find(self, authorization: Authorization) -> list[Agreement]:
        """The agreements that the notification is about: each that has the token, or the one that was asked for.

        Raises UnknownAgreement.
        """
        try:
            if authorization.kind is Kind.TOKEN_CANCELED:
                return self._table.by_token(self._digests.digest(authorization.secret))
            agreement_id = agreement_id_in(authorization.auth_state)
            if agreement_id is None:
                raise UnknownAgreement("no such authState")
            agreement = self._table.get(agreement_id)
        except AgreementNotFound:
            raise UnknownAgreement("no such agreement") from None
        if agreement.auth_state != authorization.auth_state:
            raise UnknownAgreement("no such authState")
        return [agreement]

    def _keep_code(self, agreement: Agreement, authorization: Authorization, now: datetime) -> Agreement:
        """Have the code exchanged: start who will do it, then store it."""
        sealed = self._vault.seal(authorization.secret, agreement.agreement_id, "authCode")
        try:
            self._polling.start(agreement.agreement_id, agreement.polling_round)
        except PollingFault as error:
            telemetry.count("Fault")
            logger.error("exchange not started", reason=str(error))
        return self._table.note_code(agreement, sealed, now, exchange_overdue_at(now, 0)).row

    def _link(self, agreement: Agreement, authorization: Authorization, now: datetime) -> Agreement:
        """Link by the token itself. It brings neither expiry nor refresh token."""
        sealed = self._keeper.seal(agreement.agreement_id, Tokens(authorization.secret))
        return self._table.link(agreement, Word.NOTIFY, now, sealed, authorization.user_login_id).row

    def _unlink(self, agreements: list[Agreement], now: datetime) -> Agreement:
        """The buyer has ended them in the wallet; or it follows our own revocation."""
        for agreement in agreements:
            while agreement.status in (Status.LINKED, Status.UNLINKING):
                by = UnlinkedBy.BUYER if agreement.status is Status.LINKED else UnlinkedBy.MERCHANT
                agreement = self._table.unlink(agreement, Word.NOTIFY, by, now).row
        if any(agreement.status is Status.AUTHORIZING for agreement in agreements):
            raise UnknownAgreement("its link is not stored yet")
        return agreement
