"""The table of transitions against what the readers can say of an order and what the order table can write."""

import ast
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from autodebit.alipay.reading import Final, Reading
from autodebit.payment.order import Order, Status, Witness
from autodebit.payment.outcome import Refused, read_cancel, read_inquiry, read_notification, read_pay
from autodebit.payment.transitions import CROSSED_BY_CANCEL, TRANSITIONS

from tests.kit.samples import NOW, order, paid, result
from tests.kit.template import MODULES

READERS: dict[Witness, list[Callable[[Order, dict[str, Any]], Reading[Status] | Refused]]] = {
    Witness.PAY: [
        lambda row, answer: read_pay(row, answer, first_call=True),
        lambda row, answer: read_pay(row, answer, first_call=False),
    ],
    Witness.NOTIFY: [read_notification],
    Witness.INQUIRY: [read_inquiry],
    Witness.CANCEL: [read_cancel],
}

CONCLUDED = {(Witness.CANCEL, Status.FAIL)}
"""What no single message says: a refused cancel and three inquiries together mean that there never was a payment."""

MESSAGES = [
    paid(notifyType=notify_type, result=result(status, code), paymentStatus=payment_status)
    for notify_type, status, code, payment_status in itertools.product(
        ("PAYMENT_RESULT", "PAYMENT_PENDING"),
        ("S", "F", "U", ""),
        ("SUCCESS", "RISK_REJECT", "ORDER_NOT_EXIST", "ORDER_IS_CLOSED", "ORDER_IS_CANCELED", "PAYMENT_IN_PROCESS"),
        ("SUCCESS", "FAIL", "CANCELLED", "PROCESSING", "PENDING", ""),
    )
]
"""Every combination of what Alipay says where it says it; each reader reads what is its own."""


def test_init_is_left_once_and_for_good() -> None:
    assert {before for before, _ in TRANSITIONS} == {Status.INIT}
    assert {after for _, after in TRANSITIONS} == set(Status) - {Status.INIT}
    assert all(TRANSITIONS.values())


@pytest.mark.parametrize("witness", Witness)
def test_a_witness_may_report_exactly_what_its_reader_can_say(witness: Witness) -> None:
    readings = [read(order(), message) for read in READERS[witness] for message in MESSAGES]
    said = {reading.status for reading in readings if isinstance(reading, Final)}
    said |= {status for concluding, status in CONCLUDED if concluding is witness}
    assert said == {after for (_, after), witnesses in TRANSITIONS.items() if witness in witnesses}


def test_a_cancel_keeps_back_whatever_moves_money_and_nothing_else() -> None:
    assert {Status.SUCCESS} == CROSSED_BY_CANCEL
    for status in Status:
        row = order(cancel_requested_at=NOW)
        assert row.is_crossed_by(Final(status)) is (status in CROSSED_BY_CANCEL)


def test_a_status_is_written_where_a_result_is_stored_and_nowhere_else() -> None:
    """A change of status is `OrderItem.status.set(...)`, which stands in `settle` alone, behind the transitions."""
    tree = ast.parse(MODULES["payment.order_table"].read_text("utf-8"))
    writers = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(ast.unparse(node).startswith("OrderItem.status.set(") for node in ast.walk(function))
    }
    assert writers == {"settle"}
    elsewhere = [module for module, path in MODULES.items() if ".status.set(" in path.read_text("utf-8")]
    assert elsewhere == ["agreement.agreement_table", "payment.order_table", "refund.refund_table"]
