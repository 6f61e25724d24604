"""What AWS shows of the stack: rows and each of their versions, log lines, metrics in them, executions."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .rows import Rows
from .template import FUNCTION_NAMES
from .waiting import GENEROUS_S, eventually

Json = dict[str, Any]

LATE_MS = 3000
"""A line may appear this much later than its timestamp says."""


@dataclass(frozen=True)
class Line:
    """One line a function wrote. `fields` is empty if it is not JSON; metrics are lines of their own."""

    function: str
    invocation: str
    text: str
    fields: Json = field(default_factory=dict)


class Observer:
    """Reads through `aws`, which makes a client for a service."""

    def __init__(self, aws: Any, stack: Json) -> None:
        self.orders = Rows(aws, stack["ordersTable"], "paymentRequestId")
        self.refunds = Rows(aws, stack["refundsTable"], "refundRequestId")
        self._logs, self._states = aws("logs"), aws("stepfunctions")
        self.machine = stack["pollingStateMachineArn"]
        self.stack_name = stack["stackName"]
        self._lock = threading.RLock()
        self._lines: list[Line] = []
        self._lines_of: dict[str, list[Line]] = defaultdict(list)
        self._looked_at = 0.0
        self._read_until: dict[str, int] = {}
        self._seen: set[tuple[str, str, int]] = set()

    # The orders

    @property
    def table(self) -> str:
        return self.orders.table

    def row(self, payment_request_id: str) -> Json | None:
        """The row as it is now."""
        return self.orders.row(payment_request_id)

    def rows(self) -> dict[str, Json]:
        """Every row, by paymentRequestId."""
        return self.orders.rows()

    def still_init(self) -> set[str]:
        """The ids of the orders that are INIT."""
        return set(self.open_rows())

    def open_rows(self) -> dict[str, Json]:
        """The rows that are INIT, by paymentRequestId."""
        return self.orders.open_rows()

    def settled(self, payment_request_id: str, within_s: float = GENEROUS_S) -> Json:
        """The row once it has left INIT."""
        return eventually(
            lambda: self._final(payment_request_id),
            f"{payment_request_id} settled",
            within_s,
            show=lambda: self.row(payment_request_id),
        )

    def _final(self, payment_request_id: str) -> Json | None:
        row = self.row(payment_request_id)
        return row if row and row["status"] != "INIT" else None

    def versions(self, payment_request_id: str) -> list[Json]:
        """The row after each write that was applied, the first one first."""
        return self.orders.versions(payment_request_id)

    def all_versions(self) -> dict[str, list[Json]]:
        return self.orders.all_versions()

    def text_of_stream(self) -> Iterator[str]:
        """Every record of the orders' stream: keys, the row before and the row after."""
        return self.orders.text_of_stream()

    # Logs and metrics

    def lines(self, message: str = "", payment_request_id: str = "") -> list[Line]:
        """The lines of all functions; with this message, about this payment."""
        with self._lock:
            self._follow_logs()
            about = self._lines_of[payment_request_id] if payment_request_id else self._lines
            return [line for line in about if not message or line.fields.get("message") == message]

    def awaited(self, message: str, payment_request_id: str, within_s: float = GENEROUS_S) -> Line:
        """The first line with this message about the payment, once it is there."""
        return eventually(lambda: self.lines(message, payment_request_id), f"the line {message!r}", within_s)[0]

    def metric(self, name: str, payment_request_id: str = "") -> int:
        """The sum of a metric as alarms see it; of those invocations only that wrote about this payment."""
        return sum(int(sum(_values(line, name))) for line in self.metric_lines(name, payment_request_id))

    def metric_lines(self, name: str, payment_request_id: str = "") -> list[Line]:
        """The lines that carry it."""
        about = {line.invocation for line in self.lines(payment_request_id=payment_request_id)}
        return [line for line in self.lines() if name in line.fields and line.invocation in about]

    def settlements(self, payment_request_id: str) -> list[Line]:
        """The lines that say the payment was settled."""
        return self.lines("payment settled", payment_request_id)

    def text_of_log_groups(self) -> Iterator[str]:
        """Every line of every log group, the platform's own among them."""
        for groups in self._logs.get_paginator("describe_log_groups").paginate():
            for group in groups["logGroups"]:
                pages = self._logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
                for page in pages:
                    yield from (event["message"] for event in page["events"])

    def search_logs(self, words: str) -> Iterator[Line]:
        """The lines that contain these words, ten thousand of a function at most, without reading all the others."""
        for name in FUNCTION_NAMES:
            group = f"/aws/lambda/{self.stack_name}-{name}"
            found = self._logs.filter_log_events(logGroupName=group, filterPattern=words, limit=10_000)["events"]
            for event in found:
                yield Line(name, "", event["message"], _fields(event["message"]))

    def _follow_logs(self) -> None:
        """Read what is new, five times a second at most: it costs the emulator a look at every invocation so far."""
        time.sleep(max(0.0, self._looked_at + 0.2 - time.monotonic()))
        for name in FUNCTION_NAMES:
            group = f"/aws/lambda/{self.stack_name}-{name}"
            while True:
                since = max(0, self._read_until.get(group, 0) - LATE_MS)
                events = self._logs.filter_log_events(logGroupName=group, startTime=since, limit=10_000)["events"]
                counted: dict[tuple[str, str], int] = defaultdict(int)
                new = 0
                for event in events:
                    stream, text = event["logStreamName"], event["message"]
                    counted[stream, text] += 1
                    # An identical line of one invocation counts as often as it was written.
                    mark = (stream, text, counted[stream, text])
                    if mark in self._seen:
                        continue
                    self._seen.add(mark)
                    line = Line(name, stream, text, _fields(text))
                    self._lines.append(line)
                    self._lines_of[line.fields.get("paymentRequestId", "")].append(line)
                    new += 1
                if events:
                    self._read_until[group] = events[-1]["timestamp"]
                if len(events) < 10_000 or not new:
                    break
        self._looked_at = time.monotonic()

    # Step Functions

    def execution(self, payment_request_id: str, polling_round: int = 0) -> Json | None:
        """The execution that polls the order in this round."""
        arn = self._arn(payment_request_id, polling_round)
        try:
            execution: Json = self._states.describe_execution(executionArn=arn)
        except self._states.exceptions.ExecutionDoesNotExist:
            return None
        return execution

    def ended(self, payment_request_id: str, polling_round: int = 0, within_s: float = GENEROUS_S) -> Json:
        """The execution once it has ended."""
        return eventually(
            lambda: self._ended(payment_request_id, polling_round),
            f"the execution of {payment_request_id} ended",
            within_s,
            show=lambda: self.execution(payment_request_id, polling_round),
        )

    def _ended(self, payment_request_id: str, polling_round: int) -> Json | None:
        execution = self.execution(payment_request_id, polling_round)
        return execution if execution and execution["status"] != "RUNNING" else None

    def history(self, payment_request_id: str, polling_round: int = 0) -> list[Json]:
        """The events of that execution."""
        pages = self._states.get_paginator("get_execution_history").paginate(
            executionArn=self._arn(payment_request_id, polling_round)
        )
        return [event for page in pages for event in page["events"]]

    def executions(self) -> list[Json]:
        """Every execution there was: `name`, `status`."""
        pages = self._states.get_paginator("list_executions").paginate(stateMachineArn=self.machine)
        return [execution for page in pages for execution in page["executions"]]

    def text_of_executions(self) -> Iterator[str]:
        for execution in self.executions():
            described = self._states.describe_execution(executionArn=execution["executionArn"])
            yield json.dumps([described.get(name, "") for name in ("name", "input", "output", "error", "cause")])
            pages = self._states.get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
            for page in pages:
                yield json.dumps(page["events"], default=str)

    def _arn(self, payment_request_id: str, polling_round: int) -> str:
        return f"{self.machine.replace(':stateMachine:', ':execution:')}:{payment_request_id}-{polling_round}"


def _fields(text: str) -> Json:
    if not text.startswith("{"):
        return {}
    try:
        fields = json.loads(text)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _values(line: Line, name: str) -> list[float]:
    value = line.fields[name]
    return value if isinstance(value, list) else [value]
