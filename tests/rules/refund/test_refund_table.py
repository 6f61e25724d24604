"""The refund table's model against the template."""

from autodebit.refund.refund_table import RefundItem, RefundsForAPerson, SettledRefunds, WatchedRefunds

from tests.kit.indexes import assert_declared


def test_the_template_declares_the_key_and_the_indexes_that_are_used() -> None:
    assert_declared("RefundTable", RefundItem, WatchedRefunds, SettledRefunds, RefundsForAPerson)
