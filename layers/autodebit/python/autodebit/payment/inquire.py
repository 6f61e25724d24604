"""Inquire a payment: look at the order, and only if it is INIT, ask Alipay's inquiryPayment.

https://docs.antom.com/ac/scantopay/integration_guide
"""

from datetime import UTC, datetime

from autodebit import telemetry
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Final, Reading, Undecided
from autodebit.alipay.strict_json import canonical
from autodebit.errors import GatewayError
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.order_table import OrderTable
from autodebit.payment.outcome import read_inquiry
from autodebit.polling import NEVER, next_wait, overdue_at
from autodebit.settle import settle
from autodebit.telemetry import logger


class Inquirer:
    """Looks at one order once. `schedule` holds the waits in seconds."""

    def __init__(self, table: OrderTable, gateway: AlipayGateway, schedule: tuple[int, ...]) -> None:
        self._table = table
        self._gateway = gateway
        self._schedule = schedule

    def look(self, payment_request_id: str, inquiries_made: int) -> tuple[Order, int | None]:
        """The order after this look, and the seconds to wait until the next, None if the schedule is spent.

        Raises OrderNotFound and TableFault; the state machine tries again.
        """
        order = self._table.get(payment_request_id)
        inquiry = inquiries_made + 1
        wait_s = next_wait(inquiry, self._schedule)
        if order.status is not Status.INIT:
            return order, wait_s
        reading = self._inquire(order)
        now = datetime.now(UTC)
        order = settle(self._table, order, reading, Witness.INQUIRY, now)
        if not isinstance(reading, Final):
            late_from = overdue_at(now, wait_s) if wait_s is not None else NEVER
            order = self._table.note_inquiry(order, inquiry, reading.said, late_from).row
        if order.status is Status.INIT:
            logger.info("payment still INIT", inquiry=inquiry, waitSeconds=wait_s)
            if wait_s is None:
                telemetry.count("PollingSpent")
                logger.error("polling schedule spent", lastInquiry=order.last_inquiry)
        return order, wait_s

    def _inquire(self, order: Order) -> Reading[Status]:
        """What inquiryPayment says; a call that fails says nothing about the payment."""
        try:
            return read_inquiry(order, self._gateway.call("payments/inquiryPayment", inquiry_body(order)))
        except GatewayError as error:
            telemetry.call_failed("inquiryPayment", error)
            return Undecided(f"inquiry without answer: {error.reason}")


def inquiry_body(order: Order) -> bytes:
    """The body of inquiryPayment; the merchant's id is the one that is always known.

    Where one client id serves several accounts, the account is named too: https://docs.antom.com/ac/ams/paymentri_online
    """
    account = {} if order.merchant_account_id is None else {"merchantAccountId": order.merchant_account_id}
    return canonical({"paymentRequestId": order.payment_request_id} | account)
