"""Hundreds of payments of every kind at once, and what the machine has to hold for it.

`spare/test_rotation.py` and `python -m local.bench.load` have more.
"""

import subprocess
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from tests.kit import books
from tests.kit.merchant import Answer, new_id, payment
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]

PAYMENTS = 200
CLIENTS = 16

KINDS: dict[str, tuple[int, Json]] = {
    "load-paid": (140, {}),
    "load-declined": (10, {"pay": ["F:USER_BALANCE_NOT_ENOUGH"]}),
    "load-notified": (20, {"pay": ["U"], "result": {"status": "SUCCESS", "after": 0.5}, "inquiry": ["U"]}),
    "load-inquired": (20, {"pay": ["U"], "result": {"status": "SUCCESS", "after": 0.5}, "notify": "lost"}),
    "load-cut": (10, {"pay": ["reset", "normal"], "notify": "lost"}),
}


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def disk_mb(directory: Path) -> float:
    return (
        int(subprocess.run(["du", "-sk", directory], capture_output=True, text=True, check=True).stdout.split()[0])
        / 1024
    )


def test_payments_of_16_clients_all_end_as_alipays_ledger_says(fast: Deployment) -> None:
    ids = []
    for kind, (number, plan) in KINDS.items():
        fast.alipay.plan_all(kind, **plan)
        ids += [new_id(kind) for _ in range(number)]
    ids = [payment_request_id for offset in range(10) for payment_request_id in ids[offset::10]]  # the kinds mixed
    assert len(ids) == PAYMENTS
    # Each function's code is unpacked at its first use: that is no part of what payments leave behind.
    warming: tuple[Json, ...] = ({"pay": ["U"], **books.PAID_IN_SILENCE}, {})
    for plan in warming:
        warm_id, _ = fast.pay("warm-load", **plan)
        fast.seen.settled(warm_id)
        fast.merchant.order(warm_id)
    eventually(lambda: fast.alipay.notifications(warm_id), "a notification of the second")
    emulator = fast.functions.emulator_pid
    memory_before, disk_before = memory_mb(emulator), disk_mb(fast.directory)

    began = time.monotonic()
    answers: list[Answer] = at_once([partial(fast.merchant.pay, payment(key)) for key in ids], CLIENTS)
    took_s = time.monotonic() - began
    assert Counter(answer.status for answer in answers).keys() <= {200, 202}

    def still_init() -> set[str]:
        return fast.seen.still_init() & set(ids)

    eventually(lambda: not still_init(), "all settled", every_s=0.5, show=still_init)
    rows, ledger, versions = fast.seen.rows(), fast.alipay.payments(), fast.seen.all_versions()
    for key in ids:
        books.left_init_at_most_once(versions[key])
        books.same_result(rows[key], ledger[key])
    assert {key for key in ledger if key.startswith("load-")} == set(ids)
    settled_by = Counter((key.rsplit("-", 1)[0], rows[key]["settledBy"]) for key in ids)
    grown_mb, written_mb = memory_mb(emulator) - memory_before, disk_mb(fast.directory) - disk_before
    slowest = sorted(answer.seconds for answer in answers)
    median_ms, p99_ms = slowest[PAYMENTS // 2] * 1000, slowest[PAYMENTS * 99 // 100] * 1000
    print(f"  {PAYMENTS / took_s:.0f} payments a second, median {median_ms:.0f} ms, p99 {p99_ms:.0f} ms")
    print(f"  emulator: {memory_before:.0f} MB {grown_mb:+.0f} MB; files: {disk_before:.0f} MB {written_mb:+.0f} MB")
    print(f"  {dict(settled_by)}")
    assert grown_mb < 100
    assert written_mb < 10
