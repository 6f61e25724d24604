"""POST /notifications/authorization: Alipay's notifyAuthorization. The rules are in `autodebit.agreement.receive`."""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.acknowledge import acknowledges, signed_message
from autodebit.agreement.agreement_table import TABLE_NAME, AgreementTable
from autodebit.agreement.kms import Kms, OwnKey
from autodebit.agreement.receive import AuthorizationReceiver
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.vault import Vault
from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.secret import secret_reader
from autodebit.api import Event
from autodebit.polling_machine import PollingMachine
from autodebit.telemetry import logger, metrics

_kms = Kms(os.environ["TOKEN_KEY"], TABLE_NAME)
receiver = AuthorizationReceiver(
    AgreementTable(),
    CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"])),
    Vault(_kms, TABLE_NAME, OwnKey(_kms)),
    TokenDigests(os.environ["TOKEN_DIGEST_KEY"]),
    PollingMachine(os.environ["AGREEMENT_STATE_MACHINE"], 0, "agreementId"),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@acknowledges
def handler(event: Event, context: Any) -> None:
    """Acknowledged when it returns; refusals as `autodebit.errors` has them."""
    message, signature_header = signed_message(event, "/notifications/authorization")
    agreement = receiver.receive(message, signature_header, datetime.now(UTC))
    logger.info("notification acknowledged", status=agreement.status.value)
