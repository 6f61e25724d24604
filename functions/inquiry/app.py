"""One look of the polling, called by the state machine in `functions/polling.asl.json`.

It returns how long the machine waits. The rules are in `autodebit.payment.inquire`.
"""

import os
from functools import partial
from typing import Any

from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.secret import secret_reader
from autodebit.payment.inquire import Inquirer
from autodebit.payment.order_table import OrderTable
from autodebit.polling import parse_schedule
from autodebit.refund.observe import adopt_listed
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger, metrics

orders = OrderTable()
inquirer = Inquirer(
    orders,
    AlipayGateway(os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))),
    parse_schedule(os.environ["INQUIRY_SCHEDULE"]),
    int(os.environ["CLOSE_AFTER"]),
    partial(adopt_listed, orders, RefundTable()),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The state machine's next input."""
    logger.append_keys(paymentRequestId=event["paymentRequestId"])
    return inquirer.look(event)
