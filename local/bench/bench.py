"""The measurements: every figure that this bundle claims, re-run, beside its bar.

    .local/venvs/dev/bin/python -m local.bench.bench

Prints a table, writes .local/bench.json, and ends with 1 if a figure falls short of its bar. Everything is built first;
what is compared is measured in turns in this one run. Another program on the same machine makes all times longer and
the ratios less steady: the table says how busy the machine was.
"""

import json
import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from local.bench import cold, cost, workshop
from local.bench.workshop import FUNCTIONS, HERE, SHOP

COLD_ROUNDS = 11
WARM_ROUNDS = 5
WARM_INVOCATIONS = 150
MEMORY_PAYMENTS = 10_000
REUSE_PAYMENTS = 50
NOTIFY_CPU, OTHERS_CPU = 0.08, 0.13
"""CPU of a warm invocation, as a share of what the official SDK takes to sign one request on the same machine."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One figure of the "must show" list. `bar` is what it may be at most, or at least."""

    what: str
    figure: float
    bar: float
    unit: str = ""
    at_least: bool = False

    @property
    def ok(self) -> bool:
        return self.figure >= self.bar if self.at_least else self.figure <= self.bar

    def text(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "ok" if self.ok else "FALLS SHORT"
        return f"{self.what:<66} {self.figure:>9.3g} {sign} {self.bar:<6g} {self.unit:<8} {verdict}"


def main() -> int:
    began = time.monotonic()
    _say("building: the template, the naive reference")
    built = workshop.build_ours()
    naive = workshop.build_naive()
    sizes = {"ours": workshop.zipped_mb(built / "DependenciesLayer"), "naive": workshop.zipped_mb(naive)}
    naive_bytecode = workshop.with_bytecode(naive)
    opt, harness, fixture = workshop.opt(built), workshop.harness(), workshop.make_fixture()

    _say("payments on the deployed template, about two minutes")
    run = cost.Run()
    try:
        counts = cost.take_payments(run)
        calls, connections = cost.connections(run)
        reuse = _reuse(run, [built / FUNCTIONS["initiate_pay"], opt, harness])
    finally:
        run.down()

    _say(f"cold starts, {COLD_ROUNDS} rounds")
    load_before = os.getloadavg()[0]
    starts = cold.measure(cold.starts(built, opt, naive, naive_bytecode, harness, fixture), COLD_ROUNDS)
    _say("warm invocations, signing")
    paths = {name: [built / folder, opt, harness] for name, folder in FUNCTIONS.items()}
    paths["sweep"] = [built / "SweepFunction", opt, harness]
    paths["publish_events"] = [built / "PublishEventsFunction", opt, harness]
    warm, ours, sdk = _in_turns(paths, fixture)
    _say(f"memory over {MEMORY_PAYMENTS:,} payments")
    with ThreadPoolExecutor(2) as pool:
        measured = pool.map(
            lambda name: workshop.run_function(name, "memory", paths[name], fixture, MEMORY_PAYMENTS), FUNCTIONS
        )
        memory = dict(zip(FUNCTIONS, measured, strict=True))

    memory_mb = _memory_size(built)
    cpu_ms = {name: warm[name] for name in [*FUNCTIONS, "publish_events"]}
    costs = {name: cost.price(cost.mixed(counts, mix), cpu_ms, memory_mb) for name, mix in cost.MIXES.items()}
    floor = cost.floor_cost(cpu_ms, memory_mb)
    events = [cost.events_cost(cost.mixed(counts, mix), cpu_ms, memory_mb) for mix in cost.MIXES.values()]
    sweeps_month = cost.sweeps_cost_per_month(warm["sweep"], memory_mb)

    lines = [
        *(
            Line(f"cold start of {name} / naive", cold.ratio(starts, f"{name} ready", "naive"), 0.2)
            for name in FUNCTIONS
        ),
        *(
            Line(f"cold start of {name} / floor", cold.ratio(starts, f"{name} ready", "floor"), 1.3)
            for name in FUNCTIONS
        ),
        Line("layer of dependencies, zipped", sizes["ours"], 16, "MB"),
        *(
            Line(
                f"CPU of a warm {name} / the SDK's signature",
                warm[name] / sdk["sign"],
                NOTIFY_CPU if name == "notify" else OTHERS_CPU,
            )
            for name in FUNCTIONS
        ),
        Line("send-ready pay request, faster than the SDK by", sdk["sign"] / ours["sign"], 80, "times", at_least=True),
        Line("verification, faster than the SDK by", sdk["verify"] / ours["verify"], 8, "times", at_least=True),
        Line(f"connections for {reuse[0]} calls of one environment, at Alipay", reuse[1], 1),
        Line("one million payments of the mix", costs[next(iter(cost.MIXES))].per_payment * 1e6, 26, "$"),
        Line("executions for an order settled at once", counts["once"].executions, 0),
        *(
            Line(f"memory of {name} after {MEMORY_PAYMENTS:,} payments / after a tenth", _growth(some), 1.05)
            for name, some in memory.items()
        ),
    ]
    wished = Line("  the same, wished", costs[next(iter(cost.MIXES))].per_payment * 1e6, 22, "$")

    print(_cold_table(starts))
    print(f"\nSigning and verifying, CPU: ours {ours['sign']:.3f} ms and {ours['verify'] * 1000:.0f} µs; ", end="")
    print(f"official SDK {sdk['sign']:.1f} ms and {sdk['verify'] * 1000:.0f} µs")
    print(f"Layer, zipped, for both architectures: {sizes['ours']:.1f} MB; naive {sizes['naive']:.1f} MB")
    print(f"Deployed: {calls} calls reached Alipay on {connections} connections")
    print(_cost_table(costs, floor, events, memory_mb, sweeps_month, counts))
    print("\nMust show")
    for line in lines:
        print("  " + line.text())
        if line.unit == "$":
            print("  " + wished.text())
    took_s = time.monotonic() - began
    busy = os.getloadavg()[0]
    print(
        f"\n{took_s:.0f} s on {os.cpu_count()} cores, {platform.machine()}; load before cold starts {load_before:.1f}"
    )

    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "python": platform.python_version()},
        "load": {"beforeColdStarts": load_before, "atEnd": busy},
        "seconds": took_s,
        "mustShow": [asdict(line) | {"ok": line.ok} for line in lines],
        "coldStarts": {name: {"wallMs": some.wall, "cpuMs": some.cpu} for name, some in starts.items()},
        "warmCpuMs": warm,
        "signingMs": {"ours": ours, "sdk": sdk},
        "layerMb": sizes,
        "memoryKb": {name: [some["earlyKb"], some["lateKb"]] for name, some in memory.items()},
        "counts": {kind: vars(some) for kind, some in counts.items()},
        "dollarsPerPayment": {name: some.parts for name, some in costs.items()} | {"floor": floor.parts},
        "sweepsDollarsPerMonth": sweeps_month,
        "connections": {"deployed": [calls, connections], "oneEnvironment": list(reuse)},
    }
    (workshop.ROOT / ".local" / "bench.json").write_text(json.dumps(document, indent=2) + "\n")
    print("All figures: .local/bench.json")
    return 0 if all(line.ok for line in lines) else 1


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def _in_turns(
    paths: dict[str, list[Path]], fixture: Path
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """CPU in ms: of a warm invocation of each function, of our signing and verifying, of the SDK's.

    The median of rounds, each the median of its invocations. In each round all of them have their turn, so that what
    another program takes of the machine takes it of all.
    """
    warm: dict[str, list[float]] = {name: [] for name in paths}
    ours: list[Json] = []
    sdk: list[Json] = []
    for _ in range(WARM_ROUNDS):
        for name, path in paths.items():
            count = 5 if name == "sweep" else WARM_INVOCATIONS  # one run of the sweep makes 128 queries
            warm[name].append(median(workshop.run_function(name, "warm", path, fixture, count)["cpuMs"]))
        ours.append(workshop.run_function("initiate_pay", "signing", paths["initiate_pay"], fixture, 200))
        sdk.append(workshop.run_sdk(fixture, 20))
    signing = [
        {what: median(median(some[f"{what}Ms"]) for some in rounds) for what in ("sign", "verify")}
        for rounds in (ours, sdk)
    ]
    return {name: median(rounds) for name, rounds in warm.items()}, signing[0], signing[1]


def _reuse(run: cost.Run, path: list[Path]) -> tuple[int, int]:
    """Payments of one environment that call the simulated Alipay for real: calls, and connections they came on."""
    plan = {"paymentRequestIdPrefix": "bench-", "plan": {"notify": "lost"}}
    for prefix in ("bench-", "warming-"):
        run.alipay("/_sim/plans", plan | {"paymentRequestIdPrefix": prefix})
    fixture = SHOP / "fixture-reuse.json"
    fixture.touch(mode=0o600)
    fixture.write_text(json.dumps({"secret": Path(run.stack["credentials"]).read_text(), "answers": {}}))
    workshop.run_function(
        "initiate_pay", "reuse", path, fixture, REUSE_PAYMENTS, ALIPAY_GATEWAY_URL=run.stack["alipayUrl"]
    )
    seen = [
        call["connection"]
        for call in run.alipay("/_sim/requests")["requests"]
        if str(call["paymentRequestId"]).startswith(("bench-", "warming-"))
    ]
    return len(seen), len(set(seen))


def _growth(measured: Json) -> float:
    return float(measured["lateKb"]) / float(measured["earlyKb"])


def _memory_size(built: Path) -> int:
    """The functions' memory in the template."""
    for line in (built / "template.yaml").read_text().splitlines():
        if line.strip().startswith("MemorySize:"):
            return int(line.split(":")[1])
    raise SystemExit("the template has no MemorySize")


def _cold_table(starts: dict[str, cold.Times]) -> str:
    rows = [
        "\nCold starts: from the first line of code, python -S, medians; CPU, which is also an idle machine's clock",
        "  ready: import of the function, its clients, the keys parsed;  first: import and the first payment, answered",
        f"  {'':<24}{'CPU ms':>8}{'wall ms':>9}{'/ naive':>9}{'/ floor':>9}",
    ]
    for name, times in starts.items():
        naive, floor = cold.ratio(starts, name, "naive"), cold.ratio(starts, name, "floor")
        rows.append(f"  {name:<24}{times.cpu_ms:>8.0f}{times.wall_ms:>9.0f}{naive:>9.2f}{floor:>9.2f}")
    return "\n".join(rows)


def _cost_table(
    costs: dict[str, cost.Cost],
    floor: cost.Cost,
    events: list[cost.Cost],
    memory_mb: int,
    sweeps_month: float,
    counts: dict[str, cost.Counts],
) -> str:
    prices = json.loads((HERE / "prices.json").read_text())
    columns = [*costs.values(), floor]
    rows = [
        f"\nCost in $ per million payments, {prices['region']}, list prices of {prices['asOf']}, {memory_mb} MB",
        *(f"  {'ABC'[number]}: {name}" for number, name in enumerate(costs)),
        "  floor: paid at once, two requests, two invocations, the row written twice, no log line of ours",
        f"  {'':<48}{'A':>9}{'B':>9}{'C':>9}{'floor':>9}",
    ]
    for part in floor.parts:
        row = "".join(f"{column.parts[part] * 1e6:>9.2f}" for column in columns)
        rows.append(f"  {prices['names'][part]:<48}{row}")
    rows.append(f"  {'together, per million':<48}" + "".join(f"{c.per_payment * 1e6:>9.2f}" for c in columns))
    rows.append(f"  {'of which the events':<48}" + "".join(f"{c.per_payment * 1e6:>9.2f}" for c in events))
    rows.append(f"  {'per thousand':<48}" + "".join(f"{c.per_payment * 1e3:>9.4f}" for c in columns))
    waiting = memory_mb / 1024 * 0.1 * prices["perUnit"]["lambdaGbSecond"] * 1e6
    rows.append(
        f"  Not in it: each 100 ms that Alipay takes to answer pay, {waiting:.2f}; "
        f"the three sweeps, {sweeps_month:.2f} a month"
    )
    units = ", ".join(
        f"{kind}: {some.transitions:.1f} transitions, {some.write_units:.1f} write units "
        f"({some.index_write_units:.1f} of the index; {some.calls_unreported:.1f} calls without a report, "
        f"{some.calls_disputed:.1f} otherwise than computed), "
        f"{some.read_units:.1f} read units, {some.looks:.1f} looks, {some.log_bytes:.0f} log bytes"
        for kind, some in counts.items()
    )
    rows.append(f"  Recorded per payment: {units}")
    rows.append(
        "  Assumed, not recorded: a secret read in 300 invocations, 5 % of executions traced, Lambda's own three log "
        "lines an invocation,\n  and that arm64 takes the CPU time measured here"
    )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
