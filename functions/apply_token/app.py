"""One look at an agreement that waits for Alipay, called by the state machine in `functions/polling.asl.json`.

It returns how long the machine waits. The rules are in `autodebit.agreement.look`.
"""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.agreement.agreement_table import TABLE_NAME, AgreementTable
from autodebit.agreement.kms import Kms, SharedKey
from autodebit.agreement.look import Looker
from autodebit.agreement.schedule import wait
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.vault import Vault
from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.secret import secret_reader
from autodebit.polling import parse_schedule
from autodebit.telemetry import logger, metrics

_table = AgreementTable()
_kms = Kms(os.environ["TOKEN_KEY"], TABLE_NAME)
looker = Looker(
    _table,
    AlipayGateway(os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))),
    Vault(_kms, TABLE_NAME, SharedKey(_kms, _table.wrapped_key, _table.keep_wrapped_key)),
    TokenDigests(os.environ["TOKEN_DIGEST_KEY"]),
    parse_schedule(os.environ["INQUIRY_SCHEDULE"]),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The state machine's next input; without `waitSeconds` or `waitUntil` there is no further look."""
    logger.append_keys(agreementId=event["agreementId"])
    agreement, wait_s = looker.look(event["agreementId"], event["inquiry"])
    logger.info("agreement looked at", status=agreement.status.value, waitSeconds=wait_s)
    state = {
        "agreementId": agreement.agreement_id,
        "inquiry": event["inquiry"] + 1,
        "status": "INIT" if wait_s is not None or agreement.is_waiting else agreement.status.value,
    }
    return state if wait_s is None else state | wait(agreement, wait_s, datetime.now(UTC))
