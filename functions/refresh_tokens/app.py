"""Every hour: the tokens that fall due. The rules are in `autodebit.agreement.refresh`."""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.agreement.agreement_table import TABLE_NAME, AgreementTable
from autodebit.agreement.kms import Kms, SharedKey
from autodebit.agreement.refresh import MARGIN_MS, Refresher
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.vault import Vault
from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.secret import secret_reader
from autodebit.telemetry import logger, metrics

_table = AgreementTable()
_kms = Kms(os.environ["TOKEN_KEY"], TABLE_NAME)
refresher = Refresher(
    _table,
    AlipayGateway(os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))),
    Vault(_kms, TABLE_NAME, SharedKey(_kms, _table.wrapped_key, _table.keep_wrapped_key)),
    TokenDigests(os.environ["TOKEN_DIGEST_KEY"]),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """How many agreements were seen to, by what was done. Raises TableFault: the missing datapoint is heard."""
    done = refresher.run(datetime.now(UTC), lambda: context.get_remaining_time_in_millis() > MARGIN_MS)
    return {what.value: number for what, number in done.items()}
