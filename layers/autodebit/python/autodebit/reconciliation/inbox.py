"""The stack's inbox: each file that comes is reconciled, told and counted; each day that is over is looked through."""

from datetime import datetime
from pathlib import Path
from typing import Any

from autodebit import telemetry
from autodebit.alipay.amount import Amount
from autodebit.errors import EventFault
from autodebit.event_bus import EventBus
from autodebit.payment.order_table import OrderTable
from autodebit.reconciliation.reconcile import Document, Reconciler, late_day
from autodebit.reconciliation.records import Records
from autodebit.reconciliation.results import finished
from autodebit.reconciliation.store import Bucket
from autodebit.refund.adopt import Seen, adopt
from autodebit.refund.refund_table import RefundTable
from autodebit.telemetry import logger

INBOX = "inbox/"

ToInquire = dict[str, list[str]]
"""`payments` and `refunds`, by request id."""


class Inbox:
    """`scratch` is a folder for what does not fit into memory."""

    def __init__(self, bucket: Bucket, orders: OrderTable, refunds: RefundTable, bus: EventBus, scratch: Path) -> None:
        self._orders = orders
        self._refunds = refunds
        self._bucket = bucket
        self._bus = bus
        self._scratch = scratch
        self._reconciler = Reconciler(bucket, Records(orders, refunds), scratch)

    def receive(self, key: str, delivery: str, now: datetime) -> ToInquire:
        """Reconcile the file of this key under `inbox/`. Raises TableFault and EventFault; the machine tries again.

        `delivery` is the id of the event that told of it.
        """
        name = key.removeprefix(INBOX)
        logger.append_keys(file=name)
        file = self._scratch / f"{delivery}.file"
        encoding = self._bucket.fetch_declared(key, file)
        if encoding is None:
            logger.warning("file is gone")
            return _NOTHING
        document = self._reconciler.file(name, file, delivery, encoding, now)
        file.unlink()
        if document is None:
            logger.info("file is known")
            return _NOTHING
        for refund in document.get("observed", ()):
            self._adopt(refund, now)
        return self._tell(document)

    def end_of_days(self, now: datetime) -> ToInquire:
        """Look through the day of which no further file is expected since today. Raises as `receive`."""
        document = self._reconciler.day(late_day(now), now)
        if document is None:
            logger.info("no files are fetched, so none is missing")
            return _NOTHING
        return self._tell(document)

    def _adopt(self, refund: dict[str, Any], now: datetime) -> None:
        """Book a refund that somebody made in the portal, if its payment is paid here and its amount can be."""
        amount = Amount(refund["refundAmount"]["currency"], refund["refundAmount"]["value"])
        payment_request_id, refund_request_id = refund["paymentRequestId"], refund["refundRequestId"]
        for order in self._orders.get_many([payment_request_id] if payment_request_id else []):
            paid = order.refundable is not None and order.amount.currency == amount.currency
            if paid and int(amount.value) > 0:
                seen = Seen(refund_request_id, refund.get("refundId"), amount)
                adopt(self._refunds, payment_request_id, seen, now)

    def _tell(self, document: Document) -> ToInquire:
        [refusal] = self._bus.put([finished(document)])
        if refusal:
            raise EventFault(refusal.reason)
        if document["status"] == "REFUSED":
            telemetry.count("ReportRefused")
            logger.error("report refused", line=document["refusal"]["line"], reason=document["refusal"]["reason"])
            return _NOTHING
        telemetry.count("ReconciliationDifference", document["newDifferences"])
        log = logger.error if document["newDifferences"] else logger.info
        log("reconciliation finished", differences=document["differencesTotal"], new=document["newDifferences"])
        return {"payments": document["inquired"]["payments"], "refunds": document["inquired"]["refunds"]}


_NOTHING: ToInquire = {"payments": [], "refunds": []}
