"""`ops day`: to which day a payment belongs, and a table that no spreadsheet takes for a program."""

import csv
import io
from datetime import datetime, timedelta

import pytest
from autodebit.payment.order import Status, Witness

from ops.day import COLUMNS, day_of, write
from tests.kit.samples import NOW, order

PAID = {"status": Status.SUCCESS, "settled_by": Witness.NOTIFY}
MIDNIGHT = datetime.fromisoformat("2026-11-23T00:00:00+08:00")


@pytest.mark.parametrize(
    ("created_at", "settled_at", "payment_time", "day"),
    [
        (MIDNIGHT - timedelta(seconds=1), None, None, "2026-11-22"),
        (MIDNIGHT, None, None, "2026-11-23"),
        (MIDNIGHT - timedelta(seconds=1), MIDNIGHT, None, "2026-11-23"),
        (MIDNIGHT - timedelta(seconds=1), MIDNIGHT, "2026-11-22T07:59:59-08:00", "2026-11-22"),
    ],
)
def test_a_payment_belongs_to_the_day_of_its_result_by_alipays_clock(
    created_at: datetime, settled_at: datetime | None, payment_time: str | None, day: str
) -> None:
    settled = {**PAID, "settled_at": settled_at} if settled_at else {}
    assert day_of(order(created_at=created_at, payment_time=payment_time, **settled)) == day


@pytest.mark.parametrize("reference", ['=HYPERLINK("x")', "+1", "-1", "@x", "\tx"])
def test_no_cell_is_a_formula(reference: str) -> None:
    out = io.StringIO()
    write([order(reference_order_id=reference)], out)
    [line] = csv.DictReader(io.StringIO(out.getvalue()))
    assert line["referenceOrderId"] == f"'{reference}"


def test_lines_stand_in_the_order_of_time_and_have_every_column() -> None:
    out = io.StringIO()
    later = order(payment_request_id="b", created_at=NOW + timedelta(seconds=1), settled_at=NOW, refunded=990, **PAID)
    write([later, order(payment_request_id="a")], out)
    lines = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [line["paymentRequestId"] for line in lines] == ["a", "b"]
    assert all(set(line) == set(COLUMNS) for line in lines)
    assert [line["refunded"] for line in lines] == ["", "990"]
