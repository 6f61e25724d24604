"""The stack's inbox: each file that comes is reconciled, told and counted; each day that is over is looked through."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from autodebit import telemetry
from autodebit.alipay.amount import Amount
from autodebit.errors import EventFault, OrderNotFound
from autodebit.event_bus import EventBus
from autodebit.payment.order_table import OrderTable
from autodebit.reconciliation.reconcile import Document, Reconciler, late_day
from autodebit.reconciliation.records import Records
from autodebit.reconciliation.results import finished
from autodebit.reconciliation.store import Bucket
from autodebit.refund.adopt import adopt
from autodebit.refund.refund_table import RefundTable
from autodebit.refund.seen import Seen
from autodebit.telemetry import logger

INBOX = "inbox/"

REST = "rest/"

ToInquire = dict[str, Any]
"""`payments` and `refunds`, by request id, and `next`: the key of `hand_on` for those after them, empty if none are."""


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
        """Reconcile the file of this key under `inbox/`, or go on with what a file left to do, under `rest/`.

        `delivery` is the id of the event that told of it. Raises TableFault and EventFault; the machine tries again.
        """
        if key.startswith(REST):
            of, _, number = key.removeprefix(REST).partition("/")
            return self._step(of, int(number), now)
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
        step = self._step(document["delivery"], 1, now)
        self._conclude(chain(self._reconciler.reported_days(now), [document]))
        return step

    def hand_on(self, key: str) -> ToInquire:
        """Have another execution do what is to be done next: `receive` of this key."""
        empty = self._scratch / "empty"
        empty.touch()
        self._bucket.put(key, empty)
        return _NOTHING

    def end_of_days(self, now: datetime) -> ToInquire:
        """Look through the days of which no further file is expected, and tell of batches that lack lines.

        Raises as `receive`.
        """
        self._conclude(self._reconciler.days(now))
        self._conclude(self._reconciler.batches(late_day(now), now))
        return _NOTHING

    def _conclude(self, documents: Iterable[Document]) -> None:
        for document in documents:
            self._tell(document)
            self._reconciler.done(document)

    def _step(self, delivery: str, number: int, now: datetime) -> ToInquire:
        """Book what this step has to book; what it has to inquire comes back."""
        step = self._reconciler.rest(delivery, number)
        doubts = {key for refund in step["observed"] for key in self._adopt(refund, now)}
        refunds = [*step["refunds"], *sorted(doubts - set(step["refunds"]))]
        following = f"{REST}{delivery}/{step['next']}" if step["next"] else ""
        return {"payments": step["payments"], "refunds": refunds, "next": following}

    def _adopt(self, refund: dict[str, Any], now: datetime) -> Iterator[str]:
        """Book a refund that somebody made in the portal, if its payment is paid here. If it may be one of ours that is
        INIT, the id of that one: it has to be inquired.
        """
        amount = Amount(refund["refundAmount"]["currency"], refund["refundAmount"]["value"])
        request_id = refund["refundRequestId"]
        # An older file may repeat the payment's request id in place of the refund's.
        payment_request_id = refund["paymentRequestId"] or request_id
        seen = Seen(request_id, refund.get("refundId"), amount)
        try:
            known = adopt(self._orders, self._refunds, payment_request_id, seen, now)
        except OrderNotFound:
            return
        if known and known.is_init:
            yield known.key

    def _tell(self, document: Document) -> None:
        [fault] = self._bus.put([finished(document)])
        if fault:
            raise EventFault(fault.reason)
        if document["status"] == "REFUSED":
            telemetry.count("ReportRefused")
            refusal = document["refusal"]
            logger.error("report refused", file=document["file"], line=refusal["line"], reason=refusal["reason"])
            return
        telemetry.count("ReconciliationDifference", document["newDifferences"])
        log = logger.error if document["newDifferences"] else logger.info
        found = {"differences": document["differencesTotal"], "new": document["newDifferences"]}
        log("reconciliation finished", file=document["file"], **found)


_NOTHING: ToInquire = {"payments": [], "refunds": [], "next": ""}
