"""One look of the polling: the order first, and only if it is INIT, Alipay's inquiryPayment.

Called by the state machine in `functions/polling.asl.json`, which waits as long as it is told here.
https://docs.antom.com/ac/scantopay/integration_guide
"""

import os
from datetime import UTC, datetime
from typing import Any

from autodebit import settlement, telemetry
from autodebit.credentials import CredentialsStore
from autodebit.errors import GatewayError
from autodebit.gateway import AlipayGateway
from autodebit.order import Order, Status, Witness
from autodebit.order_table import NEVER, OrderTable
from autodebit.outcome import Final, Open, Reading, read_inquiry
from autodebit.polling import following_look, next_wait, parse_schedule
from autodebit.secret import secret_reader
from autodebit.telemetry import logger, metrics


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
        order = settlement.apply(self._table, order, reading, Witness.INQUIRY, now)
        if not isinstance(reading, Final):
            look_at = following_look(now, wait_s) if wait_s is not None else NEVER
            order = self._table.note_inquiry(order, inquiry, reading.said, look_at).order
        if order.status is Status.INIT:
            logger.info("payment still INIT", inquiry=inquiry, waitSeconds=wait_s)
            if wait_s is None:
                telemetry.count("PollingSpent")
                logger.error("polling schedule spent", lastInquiry=order.last_inquiry)
        return order, wait_s

    def _inquire(self, order: Order) -> Reading:
        """What inquiryPayment says; a call that fails says nothing about the payment."""
        try:
            return read_inquiry(order, self._gateway.inquire(order))
        except GatewayError as error:
            telemetry.call_failed("inquiryPayment", error)
            return Open(f"inquiry without answer: {error.reason}")


inquirer = Inquirer(
    OrderTable(),
    AlipayGateway(os.environ["ALIPAY_GATEWAY_URL"], CredentialsStore(secret_reader(os.environ["CREDENTIALS_SECRET"]))),
    parse_schedule(os.environ["INQUIRY_SCHEDULE"]),
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The state machine's next input; without `waitSeconds` there is no further look."""
    logger.append_keys(paymentRequestId=event["paymentRequestId"])
    order, wait_s = inquirer.look(event["paymentRequestId"], event["inquiry"])
    state = {
        "paymentRequestId": order.payment_request_id,
        "inquiry": event["inquiry"] + 1,
        "status": order.status.value,
    }
    return state if wait_s is None else state | {"waitSeconds": wait_s}
