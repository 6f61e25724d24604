"""Log lines, one for each fact, and the metrics that alarms and the dashboard use.

Metrics travel in log lines (CloudWatch's embedded metric format). Their one dimension is `service`, the stack's name,
so that the template can name them. PaymentSettled, RefundSettled and SecondsInInit also have `settledBy` and `status`,
Refused has its `cause`, Cancels its `outcome`.
"""

import json
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from autodebit.errors import (
    AnswerRefused,
    AutodebitError,
    CertificateRefused,
    CredentialsUnavailable,
    GatewayError,
    NotSent,
)

NAMESPACE = "autodebit"

_KNOWN_ELSEWHERE = {"function_name", "function_memory_size", "function_arn"}
"""What the library adds to each line, and the log group says already. A line is paid by its length."""


def _line(fields: dict[str, Any]) -> str:
    """A log line. It is ASCII: a message may bring characters that end a line somewhere, or that a terminal obeys."""
    kept = {name: value for name, value in fields.items() if name not in _KNOWN_ELSEWHERE}
    return json.dumps(kept, default=str, separators=(",", ":"))


logger = Logger(log_uncaught_exceptions=False, json_serializer=_line)
metrics = Metrics(namespace=NAMESPACE)
# An invocation that has nothing to count is the usual case.
warnings.filterwarnings("ignore", "No application metrics to publish", UserWarning)


def count(name: str, value: int = 1) -> None:
    """Add to a metric of this invocation."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def fault(error: Exception) -> None:
    """Log and count an unexpected error: where it happened, and its text only if it is ours and quotes nothing."""
    count("Fault")
    logger.error(
        "fault",
        error=type(error).__name__,
        detail=str(error) if isinstance(error, AutodebitError) else None,
        stack=traceback.format_tb(error.__traceback__),
    )


def refused(cause: str) -> None:
    """A request or a notification was refused; `cause` is one of a few words of ours."""
    with single_metric(name="Refused", unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="cause", value=cause)


def call_failed(call: str, error: GatewayError) -> None:
    """A call to Alipay brought no authentic answer; what somebody has to mend is counted where an alarm hears it."""
    logger.warning("call without answer", call=call, reason=error.reason, sent=not isinstance(error, NotSent))
    if isinstance(error, AnswerRefused | CertificateRefused):
        count("AnswerRefused")
    elif isinstance(error, CredentialsUnavailable):
        count("Fault")
    else:
        count("NoAnswer")


def cancel_heard(outcome: str, said: str, keys: Mapping[str, Any]) -> None:
    """A cancel was sent; `outcome` is `accepted`, `refused` or `unanswered`, `said` what was heard."""
    logger.info("cancel sent", **keys, outcome=outcome, said=said)
    with single_metric(name="Cancels", unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="outcome", value=outcome)


def settled(kind: str, *, status: str, settled_by: str, seconds: float, keys: Mapping[str, Any]) -> None:
    """A row left INIT by this invocation's write, `seconds` after its attempt; `kind` is `payment` or the like."""
    logger.info(f"{kind} settled", **keys, status=status, settledBy=settled_by, secondsInInit=round(seconds, 3))
    # Dimensions of their own need a line of their own: one for both.
    line = EphemeralMetrics(namespace=NAMESPACE)
    line.add_dimension(name="settledBy", value=settled_by)
    line.add_dimension(name="status", value=status)
    line.add_metric(name=f"{kind.capitalize()}Settled", unit=MetricUnit.Count, value=1)
    line.add_metric(name="SecondsInInit", unit=MetricUnit.Seconds, value=seconds)
    line.flush_metrics()
