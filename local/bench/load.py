"""The deployed template under a rising number of clients until something saturates, and the handlers in one process.

    .local/venvs/dev/bin/python -m local.bench.load

Everything runs on this machine, clients included: the figures say what this code does to a machine and what gives way
first, not what AWS bears. Ends with 1 if a payment was lost: an answer that did not come, an order that is not final,
or one that Alipay debited otherwise than once.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local.bench import cost, workshop
from local.bench.payments import pay_fields
from local.bench.workshop import FUNCTIONS, SHOP

STEP_S = 8
MOST_CLIENTS = 64
GAIN = 1.1
"""Twice the clients must bring that much more, or something is saturated."""

INVOCATIONS = 1000


@dataclass(frozen=True)
class Step:
    """What one number of clients got."""

    clients: int
    seconds: float
    times_ms: list[float]
    failed: int
    cpu_s: dict[str, float]

    @property
    def rate(self) -> float:
        return len(self.times_ms) / self.seconds

    def percentile(self, share: float) -> float:
        return sorted(self.times_ms)[min(len(self.times_ms) - 1, int(share * len(self.times_ms)))]


def main() -> int:
    built = workshop.build_ours()
    opt, harness, fixture = workshop.opt(built), workshop.harness(), workshop.make_fixture()
    in_process = {
        name: workshop.run_function(name, "warm", [built / folder, opt, harness], fixture, INVOCATIONS)
        for name, folder in FUNCTIONS.items()
    }
    run = cost.Run(recorded=False)
    try:
        steps = list(_rise(run))
        lost = _lost(run, sum(len(step.times_ms) + step.failed for step in steps))
    finally:
        run.down()

    print("\nHandlers in one process, network stubbed: invocations per second and core, and CPU in ms")
    for name, measured in in_process.items():
        cpu = sorted(measured["cpuMs"])
        p50, p99 = statistics.median(cpu), cpu[int(0.99 * len(cpu))]
        print(f"  {name:<14}{1000 / statistics.mean(cpu):>7.0f}/s   p50 {p50:.2f}   p99 {p99:.2f}")
    both = sum(statistics.mean(in_process[name]["cpuMs"]) for name in ("initiate_pay", "notify"))
    print(f"  payments paid at once and notified: {1000 / both:.0f} per second and core")

    print("\nThe deployed template: payments per second, latency in ms, and who used the cores")
    for step in steps:
        shares = ", ".join(f"{who} {100 * used / step.seconds:.0f} %" for who, used in step.cpu_s.items())
        print(
            f"  {step.clients:>3} clients {step.rate:>6.1f}/s   p50 {step.percentile(0.5):.0f}  p95 "
            f"{step.percentile(0.95):.0f}  p99 {step.percentile(0.99):.0f}   failed {step.failed}   {shares}"
        )
    print(f"  saturated: {_saturated(steps)}")
    print("  nothing lost" if not lost else f"  LOST: {lost}")
    document = {
        "inProcess": {name: measured["cpuMs"] for name, measured in in_process.items()},
        "steps": [
            {
                "clients": s.clients,
                "perSecond": s.rate,
                "failed": s.failed,
                "cpuSeconds": s.cpu_s,
                "timesMs": s.times_ms,
            }
            for s in steps
        ],
        "lost": lost,
    }
    (workshop.ROOT / ".local" / "load.json").write_text(json.dumps(document) + "\n")
    return 1 if lost else 0


def _rise(run: cost.Run) -> Iterator[Step]:
    _step(run, 2, "warming")
    clients, best = 1, 0.0
    while clients <= MOST_CLIENTS:
        step = _step(run, clients, f"load{clients}")
        yield step
        if step.rate < best * GAIN:
            return
        best, clients = max(best, step.rate), clients * 2


def _step(run: cost.Run, clients: int, name: str) -> Step:
    url = f"{run.stack['apiUrl']}/payments"
    until = time.monotonic() + STEP_S
    before, began = _cpu(), time.monotonic()

    def client(number: int) -> tuple[list[float], int]:
        times: list[float] = []
        failed = 0
        with requests.Session() as session:
            while time.monotonic() < until:
                payment = pay_fields(f"{name}-{number}-{len(times) + failed}")
                started = time.perf_counter()
                answer = session.post(url, json=payment, timeout=60)
                if answer.status_code in (200, 202):
                    times.append((time.perf_counter() - started) * 1000)
                else:
                    failed += 1
        return times, failed

    with ThreadPoolExecutor(clients) as pool:
        done = list(pool.map(client, range(clients)))
    seconds = time.monotonic() - began
    used = {who: seconds_used - before.get(who, 0.0) for who, seconds_used in _cpu().items()}
    return Step(clients, seconds, [t for times, _ in done for t in times], sum(failed for _, failed in done), used)


def _saturated(steps: list[Step]) -> str:
    last = steps[-1]
    cores = os.cpu_count() or 1
    together = sum(last.cpu_s.values()) / last.seconds
    if together > 0.85 * cores:
        return f"the machine's {cores} cores ({together:.1f} used by the programs of this test)"
    who, used = max(last.cpu_s.items(), key=lambda item: item[1])
    if used > 0.85 * last.seconds:
        return f"{who}, one thread of Python"
    return f"nothing of ours: {together:.1f} of {cores} cores were used, the rest by other programs or waits"


def _cpu() -> dict[str, float]:
    """CPU seconds so far of each part, as Linux counts them."""
    parts = {"clients": 0.0, "emulator": 0.0, "functions": 0.0, "alipay": 0.0}
    pids = {int(file.read_text()): file.stem for file in (SHOP / "stack" / "run").glob("*.pid")}
    emulator = next((pid for pid, name in pids.items() if name == "emulator"), 0)
    tick = os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid, parent, used = int(stat.parent.name), int(fields[1]), (int(fields[11]) + int(fields[12])) / tick
        if pid == os.getpid():
            parts["clients"] += used
        elif pid in pids:
            parts[pids[pid]] += used
        elif parent == emulator:
            parts["functions"] += used
    return parts


def _lost(run: cost.Run, sent: int) -> dict[str, Any]:
    """What is wrong, after a while for notifications and polling; nothing is an empty answer."""
    deadline = time.monotonic() + 60
    while True:
        rows = run.rows()
        debits = {
            payment["paymentRequestId"]: payment["debits"] for payment in run.alipay("/_sim/payments")["payments"]
        }
        wrong = {
            "notFinal": sum(1 for row in rows if row["status"] == "INIT"),
            "notDebitedOnce": sum(1 for row in rows if debits.get(row["paymentRequestId"]) != 1),
            "debitedWithoutOrder": len(debits.keys() - {row["paymentRequestId"] for row in rows}),
            "answeredWithoutOrder": max(0, sent - len(rows)),
        }
        wrong = {name: count for name, count in wrong.items() if count}
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(2)


if __name__ == "__main__":
    sys.exit(main())
