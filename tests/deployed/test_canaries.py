"""At the very end, of all that the other tests left behind: nothing secret came out, and all books agree."""

import base64
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from . import books
from .merchant import ACCESS_TOKEN, BUYER_EMAIL, payment
from .stacks import Deployment


def spellings(secret: str) -> set[str]:
    """The secret as it is, URL-encoded, escaped for JSON, and as base64, wherever in a longer text it may stand."""
    spelt = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), secret.replace("/", "\\/")}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret.encode()).decode().rstrip("=")
        # The first and the last characters depend on what stands around it.
        inner = encoded[(0, 2, 3)[offset] : len(encoded) - 2]
        spelt |= {inner, inner.replace("+", "-").replace("/", "_"), quote(inner, safe="")}
    return spelt


def canaries(deployment: Deployment) -> dict[str, set[str]]:
    key = deployment.credentials["privateKey"]
    return {
        "the access token": spellings(ACCESS_TOKEN),
        "the buyer's e-mail": spellings(BUYER_EMAIL),
        # 60 characters from its middle, which no public key shares.
        "the private key": spellings(key[len(key) // 2 : len(key) // 2 + 60]) | spellings(key[600:640]),
    }


def outputs(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Everything that comes out of the service, by where it does."""
    for text in deployment.seen.text_of_logs():
        yield "logs", text
    for text in deployment.merchant.heard:
        yield "answers", text
    for version in (version for versions in deployment.seen.all_versions().values() for version in versions):
        yield "table", repr(version)
    for text in deployment.seen.text_of_executions():
        yield "executions", text


def test_no_secret_came_out_anywhere(everything: list[Deployment]) -> None:
    for deployment in everything:
        read = dict.fromkeys(("logs", "answers", "table", "executions"), 0)
        secrets = canaries(deployment)
        for where, text in outputs(deployment):
            read[where] += 1
            for name, spelt in secrets.items():
                assert not any(canary in text for canary in spelt), f"{name} in {where}"
        print(f"  searched {read}")
        assert all(read.values()), f"nothing to search: {read}"


def test_the_search_would_find_them() -> None:
    """Each spelling is found in a text that holds the secret that way."""
    body = str(payment())
    encoded = [base64.b64encode(b"x" * pad + body.encode()).decode() for pad in range(3)]
    for secret in (ACCESS_TOKEN, BUYER_EMAIL):
        for text in (body, quote(body), *encoded):
            assert any(canary in text for canary in spellings(secret))


def test_every_order_agrees_with_alipays_ledger(everything: list[Deployment]) -> None:
    for deployment in everything:
        versions, ledger = deployment.seen.all_versions(), deployment.alipay.payments()
        settled = Counter(line.fields["paymentRequestId"] for line in deployment.seen.lines("payment settled"))
        assert max(settled.values()) == 1, settled.most_common(3)
        for payment_request_id, found in versions.items():
            books.left_init_at_most_once(found)
            if not payment_request_id.startswith("by-hand"):
                books.same_result(found[-1], ledger.get(payment_request_id))
        unknown = set(ledger) - set(versions)
        assert not unknown, f"Alipay knows payments that the table does not: {unknown}"
        assert all(payment["debits"] <= 1 for payment in ledger.values())
        print(f"  {len(versions)} orders, {len(ledger)} payments")


def test_every_alarm_of_ours_listens_to_what_the_log_lines_carry(everything: list[Deployment]) -> None:
    fast, _ = everything
    published: dict[str, set[tuple[str, ...]]] = {}
    for line in fast.seen.lines():
        for directive in line.fields.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                for names in directive["Dimensions"]:
                    values = sorted(f"{name}={line.fields[name]}" for name in names)
                    published.setdefault(f"{directive['Namespace']} {metric['Name']}", set()).add(tuple(values))
    alarms = [
        alarm
        for page in fast.aws("cloudwatch").get_paginator("describe_alarms").paginate()
        for alarm in page["MetricAlarms"]
        if alarm["Namespace"] == "autodebit"
    ]
    assert alarms
    for alarm in alarms:
        wanted = tuple(sorted(f"{dimension['Name']}={dimension['Value']}" for dimension in alarm["Dimensions"]))
        heard = published.get(f"{alarm['Namespace']} {alarm['MetricName']}", set())
        assert wanted in heard, f"{alarm['AlarmName']} waits for {wanted}, published was {heard}"
