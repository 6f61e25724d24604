"""POST /notifications/payment: Alipay's notifyPayment, believed only by its signature.

Acknowledged once its effect is stored or it has none; a passing fault answers 5xx, and Alipay delivers again. Not
refused for its age: redeliveries come for more than 24 hours. https://docs.antom.com/ac/ams/paymentrn_online
"""

import os
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from autodebit import settlement, telemetry
from autodebit.api import Answer, Event, answer, body_of, headers_of, report_fault
from autodebit.credentials import CredentialsStore
from autodebit.errors import (
    AmountMismatch,
    NotificationMalformed,
    NotificationRejected,
    OrderNotFound,
    SignatureInvalid,
    UnknownOrder,
)
from autodebit.messages import parse_notification
from autodebit.order import Order, Witness
from autodebit.order_table import OrderTable
from autodebit.outcome import Contradiction, read_notification
from autodebit.secret import secret_reader
from autodebit.signature import SignedMessage
from autodebit.telemetry import logger, metrics

REFUSALS: dict[type[NotificationRejected], tuple[int, str]] = {
    SignatureInvalid: (401, "INVALID_SIGNATURE"),
    NotificationMalformed: (400, "PARAM_ILLEGAL"),
    UnknownOrder: (404, "ORDER_NOT_EXIST"),
    AmountMismatch: (409, "AMOUNT_MISMATCH"),
}


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
        order = settlement.apply(self._table, order, reading, Witness.NOTIFY, now)
        if isinstance(reading, Contradiction):
            raise AmountMismatch("amount or currency are not the order's")
        return order


receiver = Receiver(OrderTable(), CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"])))


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: Event, context: Any) -> Answer:
    """The acknowledgement, or a refusal in the same shape. https://docs.antom.com/ac/scantopay/notification"""
    try:
        headers = headers_of(event)
        message = SignedMessage(
            # The path Alipay was given, not the route behind the stage or a custom domain's mapping.
            path=urlsplit(f"{event['stageVariables']['publicBaseUrl']}/notifications/payment").path,
            client_id=headers.get("client-id", ""),
            time=headers.get("request-time", ""),
            body=body_of(event),
        )
        order = receiver.receive(message, headers.get("signature", ""), datetime.now(UTC))
    except NotificationRejected as error:
        status, code = REFUSALS[type(error)]
        telemetry.refused(type(error).__name__)
        logger.warning("notification refused", resultCode=code, reason=str(error))
        # Who cannot sign learns nothing of our keys.
        unproved = isinstance(error, SignatureInvalid)
        telemetry.count("NotificationUnproved" if unproved else "NotificationRefused")
        return _result(status, code, "F", "not provably from Alipay" if unproved else str(error))
    except Exception as error:
        report_fault(error)
        return _result(500, "SYSTEM_ERROR", "F", "deliver again")
    logger.info("notification acknowledged", status=order.status.value)
    return _result(200, "SUCCESS", "S", "success")


def _result(status: int, code: str, result_status: str, message: str) -> Answer:
    return answer(status, {"result": {"resultCode": code, "resultStatus": result_status, "resultMessage": message}})
