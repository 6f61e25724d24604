"""A short soak; `python -m tests.proof.soak` is the long one."""

import time
from collections.abc import Callable
from typing import Any

from tests.kit.stacks import Deployment
from tests.proof.soak.comparison import compare
from tests.proof.soak.fates import draw
from tests.proof.soak.refund_comparison import compare_refunds
from tests.proof.soak.report_files import report_differences
from tests.proof.soak.soak import Soak

PAYMENTS, SEED, PROBABILITY = 80, 20261123, 0.3


def test_payments_and_refunds_whose_every_call_may_fail_all_end_as_alipays_ledger_and_files_say(
    fast: Deployment, record_property: Callable[[str, Any], None]
) -> None:
    began = time.monotonic()
    fates = [draw(SEED, number, PROBABILITY) for number in range(PAYMENTS)]
    found = Soak(fast, SEED, PROBABILITY, clients=16).run(fates)
    faults, payments, refunds = found.faults.total(), found.books.payments, found.books.refunds
    took_s = time.monotonic() - began
    print(f"  {PAYMENTS} payments, {len(refunds.asked)} refunds, {faults} faults, {took_s:.0f} s")
    record_property("faults", faults)
    assert found.differences == []
    assert len(payments.asked) == PAYMENTS
    assert refunds.asked.keys() == {
        refund.refund_request_id
        for fate in fates
        if payments.rows.get(fate.payment_request_id, {}).get("status") == "SUCCESS"
        for refund in fate.refunds
    }
    assert {row["status"] for row in refunds.rows.values()} >= {"SUCCESS", "FAIL"}
    assert any(answer.status == 409 for asked in refunds.asked.values() for answer in asked.answers)
    assert {one.kind[0] for one in found.reconciled} == {"old", "2026"}
    assert faults > 2 * PAYMENTS
    families = {kind.partition(":")[0] for kind in found.faults}
    assert families >= {"pay", "inquiry", "notification", "table", "start of polling", "caller"}
    assert families >= {"refund", "inquiryRefund", "refund notification", "refund caller"}
    # The comparison is not empty: the same books with one debit or one refund too many are not what is promised.
    next(iter(payments.ledger.values()))["debits"] += 1
    assert compare(found.books)
    next(iter(refunds.ledger.values()))["refundAmount"] = {"currency": "HKD", "value": "1"}
    assert compare_refunds(found.books)
    next(row for row in refunds.rows.values() if row["status"] == "SUCCESS")["amountValue"] = "1"
    assert report_differences(found.reconciled, found.books)
