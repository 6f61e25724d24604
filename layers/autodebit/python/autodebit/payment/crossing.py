"""A success that crosses a cancel: it is kept with the order, and says nothing.

From the moment a cancel is noted until Alipay has answered it, money that moved may be on its way back.
https://docs.antom.com/ac/ams_upm/bp · https://docs.antom.com/ac/scantopay_zh-cn/cancel
"""

from datetime import datetime

from autodebit import telemetry
from autodebit.alipay.reading import Final, Reading
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.order_table import OrderTable
from autodebit.payment.transitions import CROSSED_BY_CANCEL
from autodebit.settle import said_by, settle
from autodebit.telemetry import logger


def settle_unless_crossed(
    table: OrderTable, order: Order, reading: Reading[Status], witness: Witness, at: datetime
) -> Order:
    """The order as it is stored after `witness` was heard: `settle`, but for a success that crosses a cancel.

    `order` is as it was read before the witness was asked. Raises TableFault, and then nothing may be concluded or
    acknowledged.
    """
    while True:
        stored = settle(table, order, reading, witness, at)
        if not isinstance(reading, Final) or reading.status not in CROSSED_BY_CANCEL:
            return stored
        if stored.is_crossed_by(reading):
            kept = table.note_crossed(stored, said_by(witness, reading))
            if kept.won:
                telemetry.count("CancelCrossed")
                logger.warning("success crosses the cancel", **stored.log_keys, witness=witness.value)
                return kept.row
        elif not stored.is_init:
            return stored
        # The cancel was answered between two of these steps: the success has another meaning now.
