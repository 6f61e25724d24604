"""Count the orders that are INIT, and those that are for too long: what the alarm hears."""

from datetime import datetime, timedelta

from autodebit import telemetry
from autodebit.payment.order_table import OrderTable
from autodebit.polling import INIT_ALARM_S
from autodebit.telemetry import logger

COUNTED_MAX = 1000
"""Where the count of orders INIT for too long stops: that many need no exact number."""

NEW_S = 5 * 60
"""For so long an order that has become too old is new to the alarm: five runs of the sweep, two of which may fail."""


def count_init(table: OrderTable, now: datetime) -> dict[str, int]:
    """How many orders are INIT, how many for more than INIT_ALARM_S, and how many of these are new. Raises TableFault.

    The new ones are what the alarm hears: so it ends by itself, and sounds again for the next order.
    """
    old_at = now - timedelta(seconds=INIT_ALARM_S)
    init = table.init_orders()
    old = table.init_since(old_at, COUNTED_MAX)
    new = table.init_since(old_at, COUNTED_MAX, old_at - timedelta(seconds=NEW_S))
    telemetry.count("OrdersInit", init)
    telemetry.count("OrdersInitOld", old)
    telemetry.count("OrdersInitTooLong", new)
    if old:
        logger.error("orders INIT for more than 15 minutes", orders=old)
    return {"OrdersInit": init, "OrdersInitOld": old, "OrdersInitTooLong": new}
