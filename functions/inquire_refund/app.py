"""One look at a refund, called by the state machine in `functions/polling.asl.json`.

It returns how long the machine waits. The rules are in `autodebit.refund.inquire`.
"""

import os
from typing import Any

from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.secret import secret_reader
from autodebit.refund.inquire import Inquirer
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger, metrics

inquirer = Inquirer(
    RefundTable(),
    AlipayGateway(os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The state machine's next input; without `waitSeconds` there is no further look."""
    logger.append_keys(refundRequestId=event["refundRequestId"])
    refund, wait_s = inquirer.look(event["refundRequestId"], event["inquiry"])
    state = {
        "refundRequestId": refund.refund_request_id,
        "inquiry": event["inquiry"] + 1,
        "status": refund.status.value,
    }
    return state if wait_s is None else state | {"waitSeconds": wait_s}
