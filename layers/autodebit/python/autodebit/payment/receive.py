"""Receive a notification: Alipay's notifyPayment, believed only by its signature.

It is acknowledged once its effect is stored, or if it has none; after a passing fault Alipay delivers again. It is not
refused for its age: redeliveries come for more than 24 hours. https://docs.antom.com/ac/ams/paymentrn_online
"""

from datetime import datetime

from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.reading import Contradiction
from autodebit.alipay.signature import SignedMessage
from autodebit.errors import AmountMismatch, OrderNotFound, UnknownOrder
from autodebit.payment.crossing import settle_unless_crossed
from autodebit.payment.notification import parse_notification
from autodebit.payment.order import Order, Witness
from autodebit.payment.order_table import OrderTable
from autodebit.payment.outcome import read_notification
from autodebit.telemetry import logger


class Receiver:
    """Takes one notification."""

    def __init__(self, table: OrderTable, credentials: CredentialsStore) -> None:
        self._table = table
        self._credentials = credentials

    def receive(self, message: SignedMessage, signature_header: str, now: datetime) -> Order:
        """The order after the notification was heard.

        Raises SignatureInvalid, NotificationMalformed, UnknownOrder, AmountMismatch; and CredentialsUnavailable or
        TableFault, after which it must be delivered again.
        """
        key_version = self._credentials.authenticate(message, signature_header)
        notification = parse_notification(message.body)
        payment_request_id = notification["paymentRequestId"]
        logger.append_keys(paymentRequestId=payment_request_id, keyVersion=key_version)
        try:
            order = self._table.get(payment_request_id)
        except OrderNotFound:
            raise UnknownOrder("no such order") from None
        reading = read_notification(order, notification)
        order = settle_unless_crossed(self._table, order, reading, Witness.NOTIFY, now)
        if isinstance(reading, Contradiction):
            raise AmountMismatch("it does not name the order's id, amount and currency")
        return order
