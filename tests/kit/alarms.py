"""Whether an alarm heard of it.

The emulator evaluates no embedded metrics. So an alarm has heard of something when a log line carried a metric and the
deployed template has an alarm on exactly that metric, in that namespace, with those dimensions; or when AWS itself
counts what happened (a failed execution, an answer of 5xx) and there is an alarm on that, for this very machine or API.
"""

from typing import Any

from .observe import Line
from .stacks import Deployment
from .waiting import eventually

Json = dict[str, Any]
Metric = tuple[str, str, frozenset[tuple[str, str]]]
"""Namespace, name, dimensions."""


def listened_to(deployment: Deployment) -> set[Metric]:
    """What the deployed alarms listen to."""
    pages = deployment.aws("cloudwatch").get_paginator("describe_alarms").paginate()
    return {
        (
            alarm["Namespace"],
            alarm["MetricName"],
            frozenset((dimension["Name"], dimension["Value"]) for dimension in alarm["Dimensions"]),
        )
        for page in pages
        for alarm in page["MetricAlarms"]
    }


def published(line: Line) -> set[Metric]:
    """What CloudWatch makes of a log line."""
    return {
        (directive["Namespace"], metric["Name"], frozenset((name, line.fields[name]) for name in names))
        for directive in line.fields.get("_aws", {}).get("CloudWatchMetrics", [])
        for metric in directive["Metrics"]
        for names in directive["Dimensions"]
    }


def counted(deployment: Deployment, metric: str, payment_request_id: str = "", times: int | None = None) -> None:
    """An alarm heard this metric from what wrote about the payment, so many times, or at least once."""

    def enough() -> bool:
        found = deployment.seen.metric(metric, payment_request_id)
        return found > 0 if times is None else found == times

    eventually(
        enough, f"{metric} is counted", show=lambda: deployment.seen.lines(payment_request_id=payment_request_id)
    )
    alarmed = listened_to(deployment)
    for line in deployment.seen.metric_lines(metric, payment_request_id):
        heard = {one for one in published(line) if one[1] == metric}
        assert heard & alarmed, f"no alarm listens to {heard}"


def polling_failed(deployment: Deployment, payment_request_id: str, error: str, polling_round: int = 0) -> None:
    """The execution failed so, which Step Functions counts; an alarm listens to this state machine."""
    execution = deployment.seen.ended(payment_request_id, polling_round)
    assert (execution["status"], execution["error"]) == ("FAILED", error)
    machine = frozenset({("StateMachineArn", execution["stateMachineArn"])})
    assert ("AWS/States", "ExecutionsFailed", machine) in listened_to(deployment)


def api_failed(deployment: Deployment, status: int) -> None:
    """The API answered 5xx, which API Gateway counts; an alarm listens to this API and stage."""
    assert 500 <= status < 600
    api = frozenset({("ApiName", deployment.description["stackName"]), ("Stage", "v1")})
    assert ("AWS/ApiGateway", "5XXError", api) in listened_to(deployment)
