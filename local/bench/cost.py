"""What payments cost: counted on the deployed template, priced by prices.json.

Three kinds of payment are taken, at the default schedule and in real time:
  at once   pay answers with the result; Alipay notifies it all the same
  notified  pay leaves it open, the notification comes 4.5 s later: after the first look, before the second
  inquired  pay leaves it open, no notification comes, and the sixth inquiry, after 62 s, is the first to be told
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import boto3
import requests

from local import stack
from local.bench.capacity import Meter
from local.bench.payments import pay_fields
from local.bench.recorder import Recorder
from local.bench.workshop import HERE, SHOP
from local.ports import free_port

Json = dict[str, Any]

# What an inquiry is told is planned by number, not by time: a busy machine must not change what is counted.
_PROCESSING = {"answer": "normal", "paymentStatus": "PROCESSING"}
KINDS: dict[str, tuple[int, Json]] = {
    "once": (190, {}),
    "notified": (16, {"pay": ["U"], "inquiry": [_PROCESSING], "result": {"after": 4.2}, "expires": False}),
    "inquired": (
        24,
        {"pay": ["U"], "inquiry": [_PROCESSING] * 5 + ["normal"], "result": {}, "expires": False, "notify": "lost"},
    ),
}
"""How many payments of each kind are taken, and what the simulated Alipay is told to do with them."""

MIXES = {
    "95 % at once, 4 % notified within 5 s, 1 % inquired at 60 s": {"once": 0.95, "notified": 0.04, "inquired": 0.01},
    "100 % at once": {"once": 1.0},
    "100 % unknown, inquired at 60 s": {"inquired": 1.0},
}

VCPU_MB = 1769
"""Memory at which a function has one vCPU. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""

PLATFORM_LINES = {
    "START RequestId: 8476a536-e9f4-11e8-9739-2dfe598c3fcd Version: $LATEST\n",
    "END RequestId: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\n",
    "REPORT RequestId: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\tDuration: 12.34 ms\tBilled Duration: 13 ms\t"
    "Memory Size: 1024 MB\tMax Memory Used: 110 MB\t\n",
}
"""What Lambda itself writes for each invocation; the emulator's own lines are left out and these are counted."""

LOG_OVERHEAD_BYTES = 26
"""CloudWatch Logs charges each event that much more. https://aws.amazon.com/cloudwatch/pricing/"""

METRIC_LINE_BYTES = 203
"""The publisher's one line: how many events it put."""

SECRET_READS_PER_INVOCATION = 1 / 300
"""An environment reads the secret every 300 s; this is one that has a payment a second."""

SAMPLED_TRACES = 0.05
"""X-Ray's default rule: 5 % of what starts a trace (and one a second, which large numbers make small)."""


@dataclass
class Counts:
    """What one payment of a kind uses, as recorded; means over its payments."""

    api_requests: float = 0
    pays: float = 0
    notifications: float = 0
    looks: float = 0
    executions: float = 0
    transitions: float = 0
    write_units: float = 0
    index_write_units: float = 0
    read_units: float = 0
    events: float = 0
    publishes: float = 0
    calls_unreported: float = 0
    calls_disputed: float = 0
    log_bytes: float = 0
    shapes: dict[str, int] = field(default_factory=dict)
    """What the executions' histories held, and how many of them: for who doubts the transitions."""


class Run:
    """The template on the emulator, and everything that is counted there."""

    def __init__(self, recorded: bool = True) -> None:
        self.port = free_port()
        self.recorder = Recorder(self.port)
        services = ("DYNAMODB", "SFN", "SECRETS_MANAGER") if recorded else ()
        variables = tuple((f"AWS_ENDPOINT_URL_{service}", self.recorder.url) for service in services)
        choices = stack.Choices(SHOP / "stack", port=self.port, emulator_variables=variables)
        self.stack = stack.up(choices)
        self.calls = self.recorder.calls

    def down(self) -> None:
        stack.down(SHOP / "stack")
        self.recorder.close()

    def aws(self, service: str) -> Any:
        return stack.aws(self.stack["awsEndpointUrl"], service)

    def alipay(self, path: str, document: Json | None = None) -> Json:
        """The simulated Alipay's control API."""
        url = self.stack["alipayUrl"] + path
        answer = (
            requests.post(url, json=document, timeout=10) if document is not None else requests.get(url, timeout=30)
        )
        answer.raise_for_status()
        return dict(answer.json())

    def rows(self) -> list[Json]:
        """The order table."""
        table = boto3.resource(
            "dynamodb",
            endpoint_url=self.stack["awsEndpointUrl"],
            region_name=self.stack["region"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        ).Table(self.stack["ordersTable"])
        rows: list[Json] = []
        start: Json = {}
        while True:
            page = table.scan(**start)
            rows += page["Items"]
            if "LastEvaluatedKey" not in page:
                return rows
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def pay(self, payment_request_id: str) -> int:
        url = f"{self.stack['apiUrl']}/payments"
        return requests.post(url, json=pay_fields(payment_request_id), timeout=40).status_code


def take_payments(run: Run) -> dict[str, Counts]:
    """Counts for each kind of payment; every order must have ended SUCCESS, by its own witness."""
    for kind, (_, plan) in KINDS.items():
        run.alipay("/_sim/plans", {"paymentRequestIdPrefix": f"{kind}-", "plan": plan})
    ids = {kind: [f"{kind}-{number}" for number in range(count)] for kind, (count, _) in KINDS.items()}
    with ThreadPoolExecutor(4) as clients:
        # The slow ones first: while they are waited for, the others go. The notified ones wait until cold starts are
        # over and nobody is looked at: a first look that comes a second late finds what the notification brings.
        began = time.monotonic()
        answers = list(clients.map(run.pay, [*ids["inquired"], *ids["once"]]))
        time.sleep(max(0.0, 27 - (time.monotonic() - began)))
        answers += clients.map(run.pay, ids["notified"])
    if any(answer not in (200, 202) for answer in answers):
        raise SystemExit(f"payments were refused: {sorted(set(answers))}")
    rows = _wait(run, sum(len(some) for some in ids.values()))
    witnesses = {"once": "pay", "notified": "notify", "inquired": "inquiry"}
    for kind, some in ids.items():
        wrong = [row for row in (rows[name] for name in some) if row[1] != witnesses[kind] or row[0] != "SUCCESS"]
        # On a machine that is busy elsewhere a notification may overtake pay, and a look a notification.
        if len(wrong) > len(some) // 10 or any(status != "SUCCESS" for status, _ in wrong):
            raise SystemExit(f"{kind}: {len(wrong)} of {len(some)} orders were settled otherwise: {wrong[:3]}")
    return {kind: _count(run, kind, len(some)) for kind, some in ids.items()}


def _wait(run: Run, count: int) -> dict[str, tuple[str, str]]:
    """Status and witness of each order, when all are final, notified, and nothing runs any more."""
    machine = run.stack["pollingStateMachineArn"]
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        time.sleep(2)
        items = run.rows()
        final = [item for item in items if item["status"] != "INIT"]
        running = run.aws("stepfunctions").list_executions(stateMachineArn=machine, statusFilter="RUNNING")[
            "executions"
        ]
        if len(final) == count and not running:
            time.sleep(2)
            return {str(i["paymentRequestId"]): (str(i["status"]), str(i.get("settledBy"))) for i in items}
    raise SystemExit(f"{count - len(final)} orders are INIT after 150 s, {len(running)} executions run")


def _count(run: Run, kind: str, payments: int) -> Counts:
    counts = Counts(pays=payments)
    notifications = run.alipay("/_sim/notifications")["notifications"]
    counts.notifications = sum(
        1 for sent in notifications if sent["paymentRequestId"].startswith(f"{kind}-") and not sent["lost"]
    )
    counts.api_requests = counts.pays + counts.notifications
    meter = Meter()
    for call in list(run.calls):
        key = call.request.get("Item") or call.request.get("Key") or {}
        if key.get("paymentRequestId", {}).get("S", "").startswith(f"{kind}-"):
            meter.add(call)
    counts.write_units, counts.index_write_units = meter.write_units, meter.index_write_units
    counts.read_units = meter.read_units
    counts.calls_unreported, counts.calls_disputed = meter.unreported, meter.disputed
    _count_executions(run, kind, counts)
    told = [row.get("told", []) for row in run.rows() if row["paymentRequestId"].startswith(f"{kind}-")]
    counts.events = sum(len(entries) for entries in told)
    counts.publishes = counts.events  # the most there can be: when many settle at once, one invocation puts many
    counts.log_bytes = _log_bytes(run, kind, counts)
    means = {name: value / payments for name, value in vars(counts).items() if name != "shapes"}
    return Counts(**means, shapes=counts.shapes)


def _count_executions(run: Run, kind: str, counts: Counts) -> None:
    """From the histories: each state entered, each retry, and the start, which AWS's price example counts too."""
    client = run.aws("stepfunctions")
    machine = run.stack["pollingStateMachineArn"]
    for page in client.get_paginator("list_executions").paginate(stateMachineArn=machine):
        for execution in page["executions"]:
            if not execution["name"].startswith(f"{kind}-"):
                continue
            counts.executions += 1
            counts.transitions += 1
            pages = client.get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
            history = [event for page in pages for event in page["events"]]
            events = [event["type"] for event in history]
            whole = [event["id"] for event in history] == list(range(1, len(history) + 1))
            if not whole or not events[-1].startswith("Execution"):
                raise SystemExit(f"the history of {execution['name']} is not complete: nothing can be counted from it")
            entered = sum(1 for event in events if event.endswith("StateEntered"))
            attempts = events.count("TaskScheduled") + events.count("LambdaFunctionScheduled")
            retries = attempts - events.count("TaskStateEntered")
            counts.transitions += entered + retries
            counts.looks += attempts
            shape = f"{entered} states entered, {attempts} looks, {retries} retries"
            counts.shapes[shape] = counts.shapes.get(shape, 0) + 1


def _log_bytes(run: Run, kind: str, counts: Counts) -> float:
    """The functions' own lines about these payments, and Lambda's for their invocations."""
    logs = run.aws("logs")
    total = 0.0
    for group in ("InitiatePay", "Notify", "Inquiry", "PublishEvents"):
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/autodebit-{group}")
        for page in pages:
            for event in page["events"]:
                for line in event["message"].splitlines():
                    if line.startswith("{") and f'"{kind}-' in line:
                        total += len(line.encode()) + 1 + LOG_OVERHEAD_BYTES
                    elif line.startswith('{"_aws"') or '"_aws":' in line:
                        total += _metric_share(line, kind, counts)
    platform = sum(len(line.encode()) + LOG_OVERHEAD_BYTES for line in PLATFORM_LINES)
    return total + platform * (counts.pays + counts.notifications + counts.looks + counts.publishes)


def _metric_share(line: str, kind: str, counts: Counts) -> float:
    """Metric lines carry no payment's id: each is shared among the payments of all kinds, which settle once each."""
    return (len(line.encode()) + 1 + LOG_OVERHEAD_BYTES) * counts.pays / sum(count for count, _ in KINDS.values())


@dataclass(frozen=True)
class Cost:
    """Dollars for one payment, by what is charged."""

    parts: dict[str, float]

    @property
    def per_payment(self) -> float:
        return sum(self.parts.values())


def price(counts: Counts, cpu_ms: dict[str, float], memory_mb: int) -> Cost:
    """`cpu_ms`: of one invocation of each function. Billed is that CPU time at the share of a vCPU the memory gives."""
    prices = json.loads((HERE / "prices.json").read_text())["perUnit"]
    invocations = {
        "initiate_pay": counts.pays,
        "notify": counts.notifications,
        "inquiry": counts.looks,
        "publish_events": counts.publishes,
    }
    billed_s = sum(invocations[name] * billed_ms(cpu_ms[name], memory_mb) / 1000 for name in invocations)
    number = sum(invocations.values())
    reading_secrets = number - counts.publishes
    return Cost(
        {
            "apiRequest": counts.api_requests * prices["apiRequest"],
            "lambdaRequest": number * prices["lambdaRequest"],
            "lambdaGbSecond": billed_s * memory_mb / 1024 * prices["lambdaGbSecond"],
            "stateTransition": counts.transitions * prices["stateTransition"],
            "dynamoDbWriteUnit": counts.write_units * prices["dynamoDbWriteUnit"],
            "dynamoDbReadUnit": counts.read_units * prices["dynamoDbReadUnit"],
            "secretsManagerCall": reading_secrets * SECRET_READS_PER_INVOCATION * prices["secretsManagerCall"],
            "logByte": counts.log_bytes * prices["logByte"],
            "eventBridgeEvent": counts.events * prices["eventBridgeEvent"],
            "xrayTrace": counts.executions * SAMPLED_TRACES * prices["xrayTrace"],
        }
    )


def billed_ms(cpu_ms: float, memory_mb: int) -> int:
    """Lambda bills whole milliseconds."""
    return ceil(cpu_ms * max(1.0, VCPU_MB / memory_mb))


def events_cost(counts: Counts, cpu_ms: dict[str, float], memory_mb: int) -> Cost:
    """What events add to a payment. A stream that Lambda reads costs nothing, nor does a larger row within its KB."""
    platform = sum(len(line.encode()) + LOG_OVERHEAD_BYTES for line in PLATFORM_LINES)
    log_bytes = counts.publishes * (platform + METRIC_LINE_BYTES + LOG_OVERHEAD_BYTES)
    return price(Counts(events=counts.events, publishes=counts.publishes, log_bytes=log_bytes), cpu_ms, memory_mb)


def floor_cost(cpu_ms: dict[str, float], memory_mb: int) -> Cost:
    """What no design on these services goes below when every payment is settled at once and notified: two requests,
    two invocations, the row written twice, Lambda's own log lines. No index, no log of ours, no polling.
    """
    platform = sum(len(line.encode()) + LOG_OVERHEAD_BYTES for line in PLATFORM_LINES)
    counts = Counts(api_requests=2, pays=1, notifications=1, write_units=2, log_bytes=2 * platform)
    return price(counts, cpu_ms, memory_mb)


def mixed(counts: dict[str, Counts], mix: dict[str, float]) -> Counts:
    """Counts of an average payment of a mix."""
    names = [name for name in vars(Counts()) if name != "shapes"]
    return Counts(**{n: sum(share * getattr(counts[kind], n) for kind, share in mix.items()) for n in names})


def sweeps_cost_per_month(cpu_ms: float, memory_mb: int) -> float:
    """The three sweeps run every minute, payments or not. `cpu_ms`: of the orders' sweep; the others take less."""
    prices = json.loads((HERE / "prices.json").read_text())["perUnit"]
    queries = 32 * (4 + 1 + 1)  # one a shard: the overdue of each table; all orders, the old, the new among them
    one = (
        prices["lambdaRequest"]
        + billed_ms(cpu_ms, memory_mb) / 1000 * memory_mb / 1024 * prices["lambdaGbSecond"]
        + 700 * prices["logByte"]
        + prices["eventBridgeEvent"]
    )
    return float((3 * one + queries / 2 * prices["dynamoDbReadUnit"]) * 60 * 24 * 30)


def connections(run: Run) -> tuple[int, int]:
    """Calls that reached the simulated Alipay, and the connections they came on."""
    calls = run.alipay("/_sim/requests")["requests"]
    return len(calls), len({call["connection"] for call in calls})


def main() -> None:
    run = Run()
    try:
        counts = take_payments(run)
        print(json.dumps({kind: vars(some) for kind, some in counts.items()}, indent=2))
        print(connections(run))
        operations: dict[str, int] = {}
        for call in run.calls:
            operations[call.operation] = operations.get(call.operation, 0) + 1
        print(operations)
    finally:
        run.down()


if __name__ == "__main__":
    main()
