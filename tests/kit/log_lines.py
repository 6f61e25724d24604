"""Which lines a function may write: the runtime's, log lines with a message of ours, and metrics of ours."""

import re

from tests.kit import ROOT

from .observe import Line
from .template import metrics_counted

FORGED = "FORGED"
"""What hostile input writes its own lines with."""

_SOURCE = "\n".join(
    path.read_text() for directory in ("functions", "layers/autodebit") for path in (ROOT / directory).rglob("*.py")
)
_MESSAGES = re.compile(
    "|".join(
        re.sub(r"\\\{.*?\\\}", "[a-z]+", re.escape(message))  # an f-string names the kind of row
        for message in re.findall(r"logger\.\w+\(\s*f?\"([^\"]+)\"", _SOURCE)
    )
)
_RUNTIME = re.compile(
    r"(START|END|REPORT) RequestId: [0-9a-f-]{36}( Version: \$LATEST|(\t[A-Z][A-Za-z ]+: [0-9.]+ (ms|MB))*)"
)
_CONTROL = re.compile("[\0-\b\n-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that begin a line somewhere or that a terminal obeys; the runtime's own lines have tabs."""


def what_is_wrong(line: Line, service: str) -> str | None:
    """Why this line is not one that the code would write, None if it is; hostile text may only be a value in it."""
    fields = line.fields
    if _CONTROL.search(line.text):
        return "a control character"
    if not fields:
        return None if _RUNTIME.fullmatch(line.text) and FORGED not in line.text else "neither JSON nor the runtime's"
    if fields.get("service") != service or any(FORGED in name for name in fields):
        return "fields that are not ours"
    if "_aws" not in fields:
        return None if _MESSAGES.fullmatch(str(fields.get("message"))) else "no message of ours"
    published = [metric["Name"] for told in fields["_aws"]["CloudWatchMetrics"] for metric in told["Metrics"]]
    return (
        None if published and set(published) <= metrics_counted() and FORGED not in line.text else "no metric of ours"
    )
