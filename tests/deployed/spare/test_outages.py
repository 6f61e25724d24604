"""Everything gone for a while: the gateway dark with a thousand orders open, the emulator and its tables killed."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
import requests

from tests.kit import books
from tests.kit.merchant import Answer, new_id, payment
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]

ORDERS = 1000
DARK_S = 600
SCHEDULE = ",".join(["300", *["600"] * 60])
"""Without the first minute's short waits: the orders are open long enough to be many, however slowly they come."""
SCALE = 1 / 30

PAYMENTS = 150
KINDS: dict[str, Json] = {
    "killed-paid": {},
    "killed-inquired": {"pay": ["U"], "result": {"status": "SUCCESS", "after": 0.2}, "notify": "lost"},
    "killed-notified": {"pay": ["U"], "result": {"status": "SUCCESS", "after": 1}, "inquiry": ["U"]},
}


def inquired_in_the_dark(here: Deployment, ids: list[str], dark_at: float) -> int:
    """How many inquiries of these orders have come since then."""
    inquired = here.alipay.inquired()
    return sum(at > dark_at for key in ids for at in inquired[key])


@pytest.mark.fault("F37")
def test_an_emulator_killed_amid_the_load_loses_no_order(
    spare: Deployment, record_property: Callable[[str, object], None]
) -> None:
    """Tables are on disk before a write is answered; executions and logs since the deployment are gone."""
    before = spare
    before.save()
    for kind, plan in KINDS.items():
        before.alipay.plan_all(kind, **plan)
    ids = [new_id(kind) for _ in range(PAYMENTS // len(KINDS)) for kind in KINDS]
    answered: dict[str, Answer] = {}

    def pay(key: str) -> Answer:
        answer = eventually(lambda: pay_once(before, key), f"an answer for {key}", every_s=0.2)
        answered[key] = answer
        return answer

    def kill() -> tuple[Deployment, dict[str, Answer]]:
        eventually(lambda: len(answered) > PAYMENTS // 2, "half of the load")
        final = {key: answer for key, answer in answered.items() if answer.status == 200}
        before.kill_emulator()
        return before.restart_emulator(), final

    with ThreadPoolExecutor(1) as killer:
        killed = killer.submit(kill)
        at_once([partial(pay, key) for key in ids], 8)
        after, final = killed.result()
    assert final
    still_init = after.seen.open_rows()
    print(f"  {len(answered)} payments, {len(final)} final when it was killed, {len(still_init)} INIT afterwards")

    for key in still_init:
        after.make_overdue(key)
    after.functions.invoke("Sweep")
    ledger = after.alipay.payments()
    eventually(
        lambda: not after.seen.still_init() & ledger.keys(),
        "every order that Alipay knows is settled",
        show=lambda: after.seen.still_init() & ledger.keys(),
    )
    rows, ledger = after.seen.rows(), after.alipay.payments()
    assert set(ids) <= rows.keys()
    for key in ids:
        books.same_result(rows[key], ledger.get(key))
        books.final_or_watched(rows[key])
    for key, row in still_init.items():  # the stream begins anew with the restart
        versions = after.seen.versions(key)
        books.left_init_at_most_once([row, *versions])
        assert versions[-1]["status"] == rows[key]["status"]
    for key, answer in final.items():
        assert after.merchant.order(key).json == answer.json, "a final order changed"
    assert set(ids) - ledger.keys() == after.seen.still_init() & set(ids)
    print(f"  settled as {dict(Counter((rows[key]['status'], rows[key].get('settledBy')) for key in ids))}")
    record_property("ordersAfterRestart", f"{len(ids)}/{len(ids)}")


@pytest.mark.fault("F38")
def test_after_ten_dark_minutes_each_of_1000_open_orders_is_settled_by_its_next_inquiry(
    spare: Deployment, record_property: Callable[[str, object], None]
) -> None:
    wait_s = 600 * SCALE
    ids = [new_id("dark") for _ in range(ORDERS)]
    look = {"paymentRequestId": spare.pay("warm", notify="lost")[0], "inquiry": 0}
    spare.alipay.plan_all("dark-", **books.NEVER)
    with (
        spare.functions.configured("InitiatePay", INQUIRY_SCHEDULE=SCHEDULE),
        spare.functions.configured("Inquiry", INQUIRY_SCHEDULE=SCHEDULE),
        spare.polling_at(SCALE),
    ):
        at_once([lambda: spare.functions.invoke("Inquiry", look)] * 8)
        answers = at_once([partial(spare.merchant.pay, payment(key)) for key in ids], 16)
        assert {answer.status for answer in answers} == {202}
        with spare.alipay.dark():
            dark_at = time.time()
            for key in ids:
                spare.alipay.plan(key, **books.PAID_IN_SILENCE)
            assert spare.seen.still_init() >= set(ids)
            time.sleep(max(0.0, dark_at + DARK_S * SCALE - time.time()))
            eventually(
                lambda: inquired_in_the_dark(spare, ids, dark_at) > ORDERS / 2, "most have been inquired", every_s=2
            )
            dark_until = time.time()
        light_at = time.time()
        eventually(lambda: not spare.seen.still_init() & set(ids), "all settled", every_s=0.5)
    rows, inquired = spare.seen.rows(), spare.alipay.inquired()
    gaps = [later - before for key in ids for before, later in pairwise(inquired[key])]
    print(
        f"  {ORDERS} orders, {sum(map(len, inquired.values()))} inquiries, dark for {light_at - dark_at:.0f} s,"
        f" {wait_s:.0f} s planned between two inquiries of an order:"
        f" {min(gaps):.2f} s at least, {median(gaps):.2f} s the median, {max(gaps):.2f} s at most"
    )
    assert {(rows[key]["status"], rows[key]["settledBy"]) for key in ids} == {("SUCCESS", "inquiry")}
    for key in ids:  # one may come in the moment between
        certainly, perhaps = (sum(at > since for at in inquired[key]) for since in (light_at, dark_until))
        assert certainly <= 1 <= perhaps, "the first inquiry after it settles"
    assert min(gaps) > 0.9 * wait_s
    record_property("ordersSettledAfterDark", f"{ORDERS}/{ORDERS}")
    record_property("shortestGapOfPlanned", f"{min(gaps) / wait_s:.3f}")


def pay_once(deployment: Deployment, payment_request_id: str) -> Answer | None:
    """The answer, unless it is none or one after which the same request is to be sent again."""
    try:
        answer = deployment.merchant.pay(payment(payment_request_id))
    except requests.RequestException:
        return None
    return answer if answer.status in (200, 202) else None
