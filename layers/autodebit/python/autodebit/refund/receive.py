"""Receive a notification: Alipay's notifyRefund, believed only by its signature.

Wallets may send none: one is accepted, but never waited for. https://docs.antom.com/ac/ams/notify_refund
"""

from datetime import datetime

from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.reading import Contradiction
from autodebit.alipay.signature import SignedMessage
from autodebit.errors import AmountMismatch, RefundNotFound, UnknownRefund
from autodebit.refund.notification import parse_notification
from autodebit.refund.outcome import read_notification
from autodebit.refund.refund import Refund, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.settle import settle
from autodebit.telemetry import logger


class Receiver:
    """Takes one notification."""

    def __init__(self, table: RefundTable, credentials: CredentialsStore) -> None:
        self._table = table
        self._credentials = credentials

    def receive(self, message: SignedMessage, signature_header: str, now: datetime) -> Refund:
        """The refund after the notification was heard.

        Raises SignatureInvalid, NotificationMalformed, UnknownRefund, AmountMismatch; and CredentialsUnavailable or
        TableFault, after which it must be delivered again.
        """
        key_version = self._credentials.authenticate(message, signature_header)
        notification = parse_notification(message.body)
        refund_request_id = notification["refundRequestId"]
        logger.append_keys(refundRequestId=refund_request_id, keyVersion=key_version)
        try:
            refund = self._table.get(refund_request_id)
        except RefundNotFound:
            raise UnknownRefund("no such refund") from None
        reading = read_notification(refund, notification)
        refund = settle(self._table, refund, reading, Witness.NOTIFY, now)
        if isinstance(reading, Contradiction):
            raise AmountMismatch("it does not name the refund's id, amount and currency")
        return refund
