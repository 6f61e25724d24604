"""Ask Alipay once to cancel a payment, and conclude what follows from its answer.

https://docs.antom.com/ac/ams/paymentc_online
"""

from datetime import UTC, datetime

from autodebit import telemetry
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Contradiction, Final, Undecided
from autodebit.errors import GatewayError
from autodebit.payment.closing import ORDER_NOT_EXIST, close_time, never_placed
from autodebit.payment.crossing import settle_unless_crossed
from autodebit.payment.naming import naming_body
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.order_table import OrderTable
from autodebit.payment.outcome import Refused, read_cancel


class CancelCall:
    """Asks Alipay once to cancel an order, and concludes what follows from the answer.

    `close_after_s` is the template's CloseAfter.
    """

    def __init__(self, table: OrderTable, gateway: AlipayGateway, close_after_s: int) -> None:
        self._table = table
        self._gateway = gateway
        self._close_after_s = close_after_s

    def send(self, order: Order, deadline: float) -> Order:
        """The order after the cancel that was just noted was sent; `deadline` is on time.monotonic's clock.

        Raises TableFault; the note stands then, if it is not answered.
        """
        try:
            reading = read_cancel(order, self._gateway.call("payments/cancel", naming_body(order), deadline))
        except GatewayError as error:
            telemetry.call_failed("cancel", error)
            reading = Undecided(f"cancel without answer: {error.reason}")
        now = datetime.now(UTC)
        if isinstance(reading, Refused):
            telemetry.cancel_heard("refused", reading.code, order.log_keys)
            heard = order.hears(f"cancel F/{reading.code}", now)
            return self.conclude(self._table.note_cancel_refused(heard, reading.code, now).row, now)
        if isinstance(reading, Final):
            telemetry.cancel_heard("accepted", "SUCCESS", order.log_keys)
            return settle_unless_crossed(self._table, order, reading, Witness.CANCEL, now)
        telemetry.cancel_heard("unanswered", reading.said, order.log_keys)
        if isinstance(reading, Contradiction):
            settle_unless_crossed(self._table, order, reading, Witness.CANCEL, now)
        return self._table.note_cancel_unanswered(order.hears(reading.said, now), reading.said).row

    def conclude(self, order: Order, at: datetime) -> Order:
        """The order, which is FAIL if it is proved that Alipay never had the payment. Raises TableFault."""
        if not order.is_init or not never_placed(order, close_time(order, self._close_after_s)):
            return order
        return settle_unless_crossed(
            self._table, order, Final(Status.FAIL, result_code=ORDER_NOT_EXIST), Witness.CANCEL, at
        )
