"""A short soak; `python -m tests.proof.soak` is the long one."""

import time
from collections.abc import Callable
from typing import Any

from tests.kit.stacks import Deployment
from tests.proof.soak.comparison import compare
from tests.proof.soak.fates import draw
from tests.proof.soak.soak import Soak

PAYMENTS, SEED, PROBABILITY = 120, 20261123, 0.3


def test_payments_whose_every_call_may_fail_all_end_as_alipays_ledger_says(
    fast: Deployment, record_property: Callable[[str, Any], None]
) -> None:
    began = time.monotonic()
    found = Soak(fast, SEED, PROBABILITY, clients=16).run(
        [draw(SEED, number, PROBABILITY) for number in range(PAYMENTS)]
    )
    faults = found.faults.total()
    print(f"  {PAYMENTS} payments, {faults} faults, {time.monotonic() - began:.0f} s")
    record_property("faults", faults)
    assert found.differences == []
    assert len(found.books.asked) == PAYMENTS
    assert faults > 2 * PAYMENTS
    families = {kind.partition(":")[0] for kind in found.faults}
    assert families >= {"pay", "inquiry", "notification", "table", "start of polling", "caller"}
    # The comparison is not empty: the same books with one debit too many are not what the guarantee promises.
    next(iter(found.books.ledger.values()))["debits"] += 1
    assert compare(found.books)
