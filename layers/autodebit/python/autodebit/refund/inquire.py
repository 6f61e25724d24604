"""Inquire a refund: look at it, and only if it is INIT, ask Alipay's inquiryRefund.

https://docs.antom.com/ac/ams/ir_online
"""

from datetime import UTC, datetime

from autodebit import telemetry
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Final, Reading, Undecided
from autodebit.alipay.strict_json import canonical
from autodebit.errors import GatewayError
from autodebit.polling import NEVER, next_wait, overdue_at
from autodebit.refund.outcome import InProcess, read_inquiry
from autodebit.refund.refund import Refund, Status, Witness
from autodebit.refund.refund_table import RefundTable
from autodebit.settle import said_by, settle
from autodebit.telemetry import logger

SCHEDULE = (15, 15, 15, 120, 600, 600, 3600, 7200, 21600, 54000)
"""Seconds before each inquiry: 15 s three times, as is documented for an ORDER_NOT_EXIST, then as payments."""


class Inquirer:
    """Looks at one refund once."""

    def __init__(self, table: RefundTable, gateway: AlipayGateway) -> None:
        self._table = table
        self._gateway = gateway

    def look(self, refund_request_id: str, inquiries_made: int) -> tuple[Refund, int | None]:
        """The refund after this look, and the seconds to wait until the next, None if the schedule is spent.

        Raises RefundNotFound and TableFault; the state machine tries again.
        """
        refund = self._table.get(refund_request_id)
        inquiry = inquiries_made + 1
        wait_s = next_wait(inquiry, SCHEDULE)
        if not refund.is_init:
            return refund, wait_s
        reading = self._inquire(refund)
        now = datetime.now(UTC)
        refund = settle(self._table, refund, reading, Witness.INQUIRY, now)
        if refund.is_init:
            said = said_by(Witness.INQUIRY, reading) if isinstance(reading, Final) else reading.said
            late_from = overdue_at(now, wait_s) if wait_s is not None else NEVER
            refund = self._table.note_inquiry(refund, said, late_from, in_process=isinstance(reading, InProcess)).row
        if refund.is_init:
            logger.info("refund still INIT", inquiry=inquiry, waitSeconds=wait_s)
            if wait_s is None:
                refund = self._unresolved(refund, now)
        return refund, wait_s

    def _unresolved(self, refund: Refund, now: datetime) -> Refund:
        """Call a person, once."""
        noted = self._table.note_unresolved(refund, now)
        if noted.won:
            telemetry.count("RefundUnresolved")
            logger.error("polling schedule spent", lastInquiry=refund.last_inquiry)
        return noted.row

    def _inquire(self, refund: Refund) -> Reading[Status]:
        """What inquiryRefund says; a call that fails says nothing about the refund."""
        account = {} if refund.merchant_account_id is None else {"merchantAccountId": refund.merchant_account_id}
        body = canonical({"refundRequestId": refund.refund_request_id} | account)
        try:
            return read_inquiry(refund, self._gateway.call("payments/inquiryRefund", body))
        except GatewayError as error:
            telemetry.call_failed("inquiryRefund", error)
            return Undecided(f"inquiry without answer: {error.reason}")
