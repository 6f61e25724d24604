"""The order table's model against the template."""

from autodebit.payment.order_table import OrderItem, OrdersByReference, OrdersForAPerson, SettledOrders, WatchedOrders

from tests.kit.indexes import assert_declared


def test_the_template_declares_the_key_and_the_indexes_that_are_used() -> None:
    assert_declared("OrderTable", OrderItem, WatchedOrders, SettledOrders, OrdersForAPerson, OrdersByReference)
