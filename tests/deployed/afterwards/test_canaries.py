"""At the very end, of all that the other tests left behind: nothing secret came out, and all books agree."""

import base64
import json
import string
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from tests.conftest import BOOKS, CLOSING, PAYING
from tests.kit import books
from tests.kit.canaries import canaries, places, search, spellings
from tests.kit.merchant import ACCESS_TOKEN, BUYER_EMAIL, BUYER_NAME, payment
from tests.kit.stacks import Deployment


def test_no_secret_came_out_anywhere(everything: list[Deployment], record_property: Any) -> None:
    sizes, hits = Counter[str](), []
    for deployment in everything:
        secrets = canaries(deployment.credentials["privateKey"])
        for place, texts in places(deployment).items():
            size, found = search(texts, secrets)
            sizes[place] += size
            hits += [f"{name} in {place}" for name in sorted(found)]
    print(f"  searched {dict(sizes)}")
    record_property("canariesSearchedBytes", sizes.total())
    record_property("canaryHits", len(hits))
    assert all(size for place, size in sizes.items() if place != "dead letters"), "nothing to search"
    assert not hits


def test_the_search_reaches_every_place(fast: Deployment) -> None:
    """What is no secret is in all of them: the id of a payment that was polled."""
    payment_request_id, _ = fast.pay("everywhere", pay=["U"], result={"status": "SUCCESS"}, notify="lost")
    fast.seen.ended(payment_request_id)
    fast.merchant.order(payment_request_id)
    wanted = {"the id": {payment_request_id}, "the stack": {fast.description["stackName"]}}
    found = {place: search(texts, wanted)[1] for place, texts in places(fast).items()}
    assert {place for place, names in found.items() if "the id" in names} >= {
        *("logs", "answers", "table", "stream", "executions")
    }, found
    assert found["configuration"] == {"the stack"}
    assert search(places(fast)["printed"], {"sam": {"Successfully created"}})[1], "what the deployment printed"


HEARD = {
    "Agreements": CLOSING,
    "Perhaps": CLOSING,
    "Reconciliation": BOOKS,
    "Refresh": CLOSING,
    "Refund": BOOKS,
    "Report": BOOKS,
    "Tokens": CLOSING,
    "Unresolved": CLOSING,
}
"""How the metrics begin that are not counted in the flows of payments, and whose tests have them counted."""

KEY = base64.b64encode(bytes(range(256)) * 5).decode()
"""As long as a private key's base64."""

SECRETS = {
    "token": ACCESS_TOKEN,
    "e-mail": BUYER_EMAIL,
    "name": BUYER_NAME,
    "key": KEY,
    "line of the key": KEY[704:768],
}

UNRESERVED = string.ascii_letters + string.digits + "-._~"

WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False),
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "URL": quote,
    "URL, every sign": lambda text: quote(text, safe=""),
    "URL in lower case": lambda text: "".join(
        sign if sign in UNRESERVED else "".join(f"%{byte:02x}" for byte in sign.encode()) for sign in text
    ),
    "form": quote_plus,
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex with colons": lambda text: text.encode().hex(":"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after one byte": lambda text: base64.b64encode(b"{" + text.encode() + b"}").decode(),
    "base64 after two": lambda text: base64.b64encode(b'{"' + text.encode() + b'"}').decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b'{"' + text.encode()).decode(),
    "base64 in a URL": lambda text: quote(base64.b64encode(b"{" + text.encode()), safe=""),
    "base64 of a request": lambda text: base64.b64encode(json.dumps(payment(note=text)).encode()).decode(),
}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found_however_it_is_written(secret: str, written: str) -> None:
    text = f'{{"level":"INFO","message":"{WRITTEN[written](SECRETS[secret])}"}}'
    name = "the private key" if "key" in secret else "the planted one"
    planted = canaries(KEY) | {"the planted one": spellings(SECRETS[secret].encode())}
    size, found = search(["a line", text], planted)
    assert size > len(text)
    assert name in found


@pytest.mark.parametrize("written", ["hex", "HEX", "hex with colons"])
def test_the_bytes_of_the_private_key_are_found_too(written: str) -> None:
    der = base64.b64decode(KEY)[600:660]
    text = {"hex": der.hex(), "HEX": der.hex().upper(), "hex with colons": der.hex(":")}[written]
    assert search([text], canaries(KEY))[1] == {"the private key"}


def test_what_is_no_secret_is_not_found() -> None:
    """The part of a token that any token may share, and what the private key has in common with the public one."""
    harmless = [ACCESS_TOKEN[:10], BUYER_EMAIL.partition("@")[2], base64.b64encode(bytes(range(256))).decode()[:360]]
    assert search(harmless, canaries(base64.b64encode(bytes(range(256)) + bytes(900)).decode())) == (
        sum(map(len, harmless)) + 2,
        set(),
    )


def test_every_order_agrees_with_alipays_ledger(everything: list[Deployment]) -> None:
    for deployment in everything:
        versions, ledger = deployment.seen.all_versions(), deployment.alipay.payments()
        ours = {key: found for key, found in versions.items() if not key.startswith(books.ROW_BY_HAND)}
        lines = Counter(line.fields["paymentRequestId"] for line in deployment.seen.lines("payment settled"))
        settled = Counter({key: count for key, count in lines.items() if key in ours})
        assert max(settled.values()) == 1, settled.most_common(3)
        for payment_request_id, found in ours.items():
            books.left_init_at_most_once(found)
            if not payment_request_id.startswith("by-hand"):
                books.same_result(found[-1], ledger.get(payment_request_id))
        unknown = set(ledger) - set(versions)
        assert not unknown, f"Alipay knows payments that the table does not: {unknown}"
        assert all(payment["debits"] <= 1 for payment in ledger.values())
        print(f"  {len(versions)} orders, {len(ledger)} payments")


def test_every_alarm_of_ours_listens_to_what_the_log_lines_carry(
    part: str | None, everything: list[Deployment]
) -> None:
    fast, *_ = everything
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
        if alarm["Namespace"] == "autodebit" and part in (None, _counted_in(alarm["MetricName"]))
    ]
    assert alarms
    for alarm in alarms:
        wanted = tuple(sorted(f"{dimension['Name']}={dimension['Value']}" for dimension in alarm["Dimensions"]))
        heard = published.get(f"{alarm['Namespace']} {alarm['MetricName']}", set())
        assert wanted in heard, f"{alarm['AlarmName']} waits for {wanted}, published was {heard}"


def _counted_in(metric: str) -> str:
    return next((part for begins, part in HEARD.items() if metric.startswith(begins)), PAYING)
