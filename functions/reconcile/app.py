"""A report file has come, an evening has come, or a file leaves more to do. Called by `reconciliation.asl.json`.

The rules are in `autodebit.reconciliation`.
"""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autodebit.event_bus import EventBus
from autodebit.payment.order_table import OrderTable
from autodebit.reconciliation.inbox import Inbox
from autodebit.reconciliation.store import Bucket
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger, metrics

inbox = Inbox(
    Bucket(os.environ["REPORTS_BUCKET"]),
    OrderTable(),
    RefundTable(),
    EventBus(os.environ["EVENT_BUS"]),
    Path(tempfile.mkdtemp()),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The payments and refunds to inquire: they are INIT here, and decided by the file."""
    if "next" in event:
        return inbox.hand_on(event["next"])
    now = datetime.now(UTC)
    if event["source"] == "aws.s3":
        return inbox.receive(event["detail"]["object"]["key"], event["id"], now)
    return inbox.end_of_days(now)
