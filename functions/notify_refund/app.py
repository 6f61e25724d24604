"""POST /notifications/refund: Alipay's notifyRefund. The rules are in `autodebit.refund.receive`."""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit.acknowledge import acknowledges, signed_message
from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.secret import secret_reader
from autodebit.api import Event
from autodebit.refund.receive import Receiver
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger, metrics

receiver = Receiver(RefundTable(), CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"])))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@acknowledges
def handler(event: Event, context: Any) -> None:
    """Acknowledged when it returns; refusals as `autodebit.errors` has them."""
    message, signature_header = signed_message(event, "/notifications/refund")
    refund = receiver.receive(message, signature_header, datetime.now(UTC))
    logger.info("notification acknowledged", status=refund.status.value)
