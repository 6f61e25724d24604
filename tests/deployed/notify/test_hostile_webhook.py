"""POST /notifications/payment as an attacker writes to it who has read the code, byte by byte.

What is wanted is a success that Alipay never signed. Each message below is one unless it says otherwise, each comes
with the answer that the contract names, and after each the order is INIT as before.
"""

import base64
import gzip
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512

from tests.kit import books
from tests.kit.faults import GET_SECRET
from tests.kit.forger import Forger
from tests.kit.log_lines import FORGED, what_is_wrong
from tests.kit.observe import Line
from tests.kit.raw_http import Header, chunked, exchange
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

Json = dict[str, Any]
Write = Callable[[Forger], bytes]

PSS_PADDING = PSS(MGF1(SHA256()), PSS.MAX_LENGTH)


def b64(signature: bytes) -> str:
    return base64.b64encode(signature).decode()


def valid(f: Forger) -> str:
    """The percent-encoded value of a genuine signature of the success that is then changed or dressed up."""
    return quote(b64(f.signature()), safe="")


def failure(f: Forger) -> bytes:
    """A genuine message about the very order, which says that nothing was paid."""
    return f.success(result={"resultCode": "RISK_REJECT", "resultStatus": "F", "resultMessage": "no"})


def moved(f: Forger) -> bytes:
    """The same signed bytes, cut at another dot: the first half of the body travels in Request-Time."""
    front, _, back = f.body.partition(b".")
    return f.request(f.header(), back, time=f"{f.time}.".encode() + front)


# Nothing of these is signed by Alipay as it stands there: 401.
FORGED_SIGNATURES: dict[str, Write] = {
    "SHA-1 under the name RSA256": lambda f: f.request(f.header(f.signature(digest=SHA1()))),
    "SHA-512 under the name RSA256": lambda f: f.request(f.header(f.signature(digest=SHA512()))),
    "PSS padding": lambda f: f.request(f.header(f.signature(padding=PSS_PADDING))),
    "algorithm none without a signature": lambda f: f.request("algorithm=none,keyVersion=1,signature="),
    "algorithm none": lambda f: f.request(f.header(f.signature(key=f.own_key), algorithm="none")),
    "HMAC with the public key": lambda f: f.request(f.header(b"\x01" * 32, algorithm="HS256")),
    "the forger's own key": lambda f: f.request(f.header(f.signature(key=f.own_key))),
    "the merchant's own key": lambda f: f.request(f.header(f.signature(key=f.merchants_key))),
    "the forger's key under a version of his": lambda f: f.request(
        f.header(f.signature(key=f.own_key), version="__proto__")
    ),
    "no key version, the forger's key": lambda f: f.request(
        f.header(f.signature(key=f.own_key)).replace("keyVersion=1,", "")
    ),
    "a byte short": lambda f: f.request(f.header(f.signature()[:-1])),
    "a zero byte before it": lambda f: f.request(f.header(b"\0" + f.signature())),
    "all zero": lambda f: f.request(f.header(bytes(256))),
    "one as a signature": lambda f: f.request(f.header(bytes(255) + b"\x01")),
    "junk inside base64": lambda f: f.request(f.header(b64(f.signature())[:9] + "!" + b64(f.signature())[9:])),
    "a space inside base64": lambda f: f.request(f.header(b64(f.signature())[:9] + " " + b64(f.signature())[9:])),
    "base64 of the URL alphabet": lambda f: f.request(
        f.header(base64.urlsafe_b64encode(b"\xff" * 8 + f.signature()[8:]).decode())
    ),
    "base64 without padding": lambda f: f.request(f.header(b64(f.signature()).rstrip("="))),
    "hexadecimal": lambda f: f.request(f.header(f.signature().hex())),
    "percent-encoded twice": lambda f: f.request(f.header(quote(valid(f), safe=""))),
    "the pair twice, the valid one first": lambda f: f.request(f"{f.header()},signature=QUI%3D"),
    "the pair twice, the valid one last": lambda f: f.request(
        f"algorithm=RSA256,keyVersion=1,signature=QUI%3D,signature={valid(f)}"
    ),
    "the header twice": lambda f: f.request(
        f.header(b"one"), more=[("Signature", f.header(f.signature(key=f.own_key)))]
    ),
    "the header folded": lambda f: f.request(f"algorithm=RSA256,\r\n keyVersion=1,signature={b64(bytes(256))}"),
    "names in capitals": lambda f: f.request(f.header().replace("signature=", "Signature=")),
    "semicolons between the pairs": lambda f: f.request(f.header().replace(",", ";")),
    "no header at all": lambda f: f.request(None),
    "the header in the query": lambda f: f.request(None, url=f"{f.url}?Signature={quote(f.header())}"),
    "the header in the body": lambda f: f.request(None, f.success(Signature=f.header())),
    "full-width digits in the key version": lambda f: f.request(f.header(version="１")),
    "bytes that are no text": lambda f: f.request(b"algorithm=\xff\xfe,keyVersion=\xc0\xaf,signature=\xed\xa0\x80"),
    "9,000 empty pairs": lambda f: f.request("," * 9000),
    "an enormous key version": lambda f: f.request(f.header(version="1" * 8000)),
    "signed for another stage": lambda f: f.request(f.header(f.signature(path="/v2/notifications/payment"))),
    "signed for the path behind the stage": lambda f: f.request(f.header(f.signature(path="/notifications/payment"))),
    "signed as an answer of pay": lambda f: f.request(f.header(f.signature(path="/ams/api/v1/payments/pay"))),
    "signed with a query that did not come": lambda f: f.request(f.header(f.signature(path=f"{f.path}?x=1"))),
    "signed as a failure of this order": lambda f: f.request(f.header(f.signature(failure(f)))),
    "signed as pending of this order": lambda f: f.request(f.header(f.signature(f.pending()))),
    "signed about another order": lambda f: f.request(
        f.header(f.signature(f.success(paymentRequestId="somebody-elses")))
    ),
    "signed for another amount": lambda f: f.request(
        f.header(), f.success(paymentAmount={"currency": "HKD", "value": "1"})
    ),
    "signed at another time": lambda f: f.request(f.header(), time="2026-11-22T00:00:00Z"),
    "signed for another client": lambda f: f.request(
        f.header(f.signature(client_id="5Y00SOMEBODYELSE0")), client_id="5Y00SOMEBODYELSE0"
    ),
    "the client's name twice": lambda f: f.request(f.header(f.signature(key=f.own_key)), more=[("Client-Id", "x")]),
    "a client of nothing": lambda f: f.request(f.header(f.signature(client_id="")), client_id=""),
}

# Signed by Alipay, but what arrives is not what was signed, or the gateway has made other text of it: 401.
NOT_AS_SIGNED: dict[str, Write] = {
    "a body of Latin-1": lambda f: f.signed(f.success(x="café").decode().encode("latin-1")),
    "overlong UTF-8": lambda f: f.signed(f.body.replace(b"success.", b"\xc0\xaf")),
    "a surrogate in UTF-8": lambda f: f.signed(f.success(x="\ud800")),
    "UTF-16 with its mark": lambda f: f.signed(f.body.decode().encode("utf-16")),
    "compressed": lambda f: f.request(f.header(), gzip.compress(f.body), more=[("Content-Encoding", "gzip")]),
    "in base64": lambda f: f.request(
        f.header(), base64.b64encode(f.body), more=[("Content-Transfer-Encoding", "base64")]
    ),
    "a byte more": lambda f: f.request(f.header(), f.body + b"\n"),
    "a byte less": lambda f: f.request(f.header(), f.body[:-1]),
    "less than the length says it cuts": lambda f: f.request(f.header(), length=len(f.body) - 1),
    "written anew, the same JSON": lambda f: f.request(f.header(), json.dumps(f.message(), indent=1).encode()),
    "in chunks, and forged": lambda f: f.request(
        f.header(f.signature(key=f.own_key)), chunked(f.body), length=-1, more=[("Transfer-Encoding", "chunked")]
    ),
    "5 MB": lambda f: f.request(f.header(), f.body + b" " * (5 * 2**20)),
}

# Signed by Alipay as it stands there, and no payment notification: 400.
SIGNED_UNREADABLE: dict[str, Write] = {
    "cut at another dot": moved,
    "UTF-16 without a mark": lambda f: f.signed(f.success(paymentRequestId="a").decode().encode("utf-16-be")),
    "a byte order mark": lambda f: f.signed(b"\xef\xbb\xbf" + f.body),
    "something after the object": lambda f: f.signed(f.body + b"x"),
    "two objects": lambda f: f.signed(f.body + f.body),
    "a null byte after it": lambda f: f.signed(f.body + b"\0"),
    "a form": lambda f: f.signed(b"paymentRequestId=" + f.payment_request_id.encode()),
    "the amount twice": lambda f: f.signed(f.body[:-1] + b',"paymentAmount":{"value":"1","currency":"HKD"}}'),
    "the value twice, deep inside": lambda f: f.signed(
        f.body.replace(b'"value": "1990"', b'"value": "1990", "v\\u0061lue": "1"')
    ),
    "in a list": lambda f: f.signed(b"[" + f.body + b"]"),
    "in a string": lambda f: f.signed(json.dumps(f.body.decode()).encode()),
    "nested 10,000 deep": lambda f: f.signed(f.body[:-1] + b',"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    "an amount of 1e400": lambda f: f.signed(f.body.replace(b'"1990"', b"1e400")),
    "an amount of minus zero": lambda f: f.signed(f.body.replace(b'"1990"', b"-0")),
    "an amount of 5,000 digits": lambda f: f.signed(f.body.replace(b'"1990"', b"9" * 5000)),
    "an id in a list": lambda f: f.signed(f.success(paymentRequestId=[f.payment_request_id])),
    "everything under __proto__": lambda f: f.signed(json.dumps({"__proto__": f.message()}).encode()),
    "a result that is nothing": lambda f: f.signed(f.success(result=None)),
    "an id of 1 MB": lambda f: f.signed(f.success(paymentRequestId="a" * 2**20)),
    "a genuine refund": lambda f: f.signed(
        f.success(notifyType="REFUND_RESULT", refundStatus="SUCCESS", refundRequestId="r-1")
    ),
}


def _about(payment_request_id: str, f: Forger) -> bytes:
    return f.signed(f.success(paymentRequestId=payment_request_id))


# Signed by Alipay, about no order of ours: 404. Their ids are log lines, metrics and orders to a terminal.
SIGNED_STRANGERS: dict[str, Write] = {
    name: partial(_about, text)
    for name, text in {
        "an id with a log line": f'\n{{"message":"payment settled","{FORGED}":1}}',
        "an id with a metric": f'"}}\n{{"_aws":{{"CloudWatchMetrics":[]}},"{FORGED}":[1]}}',
        "an id with the runtime's line": f"\r\nSTART RequestId: {FORGED} Version: $LATEST",
        "an id that clears the screen": f"\x1b[2J\x1b[31m{FORGED}\x9b2J\x7f",
        "an id with Unicode's line ends": f"\x85{FORGED}\u2028{FORGED}\u2029",
        "an id that reads backwards": f"\u202e{FORGED}\u2066",
        "an id with a null": f"{FORGED}\0",
        "an id named constructor": "constructor",
        "an id with a path": f"../../orders/{FORGED}",
    }.items()
}


def _amount(currency: str, value: str) -> Write:
    return lambda f: f.signed(f.success(paymentAmount={"currency": currency, "value": value}))


# Signed by Alipay, about our order, and not its amount: 409.
SIGNED_CONTRADICTIONS: dict[str, Write] = {
    "another amount": _amount("HKD", "19900"),
    "another currency": _amount("USD", "1990"),
    "a currency that is none": _amount("XXX", "1990"),
    "a currency in small letters": _amount("hkd", "1990"),
    "an amount with a fraction": _amount("HKD", "1990.0"),
    "an amount with a sign": _amount("HKD", "+1990"),
    "an amount with a leading zero": _amount("HKD", "01990"),
    "an amount with a space": _amount("HKD", "1990 "),
    "an amount in full-width digits": _amount("HKD", "１９９０"),
    "an amount with an exponent": _amount("HKD", "199e1"),
    "an amount with a log line": _amount("HKD", f"\n{{{FORGED}"),
    "a result code with a log line": lambda f: f.signed(
        f.success(
            paymentAmount={"currency": "HKD", "value": "1"},
            result={"resultCode": f'"}}\n{{"{FORGED}":1}}', "resultStatus": "S\x1b[2J", "resultMessage": FORGED},
        )
    ),
}

# Genuine, strangely dressed, and of no effect, for it says PENDING: 200.
ACKNOWLEDGED: dict[str, Write] = {
    "in chunks": lambda f: f.request(
        f.header(f.signature(f.pending())), chunked(f.pending()), length=-1, more=[("Transfer-Encoding", "chunked")]
    ),
    "as another content type": lambda f: f.signed(f.pending(), more=[("Content-Type", "text/xml")]),
    "with a query nobody signed": lambda f: f.signed(f.pending(), url=f"{f.url}?paymentStatus=SUCCESS"),
    "with headers that speak of other things": lambda f: f.signed(
        f.pending(),
        more=[("X-HTTP-Method-Override", "GET"), ("X-Original-URL", "/payments"), ("X-Forwarded-Host", "evil.example")],
    ),
    "with fields called __proto__ and constructor": lambda f: f.signed(
        f.pending(
            __proto__={"notifyType": "PAYMENT_RESULT"}, constructor={"prototype": {"notifyType": "PAYMENT_RESULT"}}
        )
    ),
    "with numbers that fit nowhere": lambda f: f.signed(f.pending(x=[2**63, -(2**63) - 1, -0.0, 1e308, 10**400])),
    "with a field of 1 MB": lambda f: f.signed(f.pending(x="é" * 2**19)),
}

# What no function of ours sees: the gateway, or its emulation, answers or hangs up.
STOPPED: dict[str, tuple[set[int], Write]] = {
    "GET": ({403, 404, 405}, lambda f: f.signed(f.body, method="GET")),
    "PUT": ({403, 404, 405}, lambda f: f.signed(f.body, method="PUT")),
    "a method nobody knows": ({400, 403, 404, 405}, lambda f: f.signed(f.body, method="SETTLE")),
    "more than 10 MB": ({413}, lambda f: f.request(f.header(), f.body + b" " * (10 * 2**20))),
    "headers of 100 kB": ({400, 431}, lambda f: f.request("a" * 100_000)),
    "a null in a header": ({400}, lambda f: f.request(f"{f.header()}\0")),
    "two lengths": ({400}, lambda f: f.signed(f.body, more=[("Content-Length", "1")])),
    "a length below zero": ({400}, lambda f: f.request(f.header(), more=[("Content-Length", "-1")], length=-1)),
    "chunks that are none": (
        {400},
        lambda f: f.request(f.header(), b"zz\r\n" + f.body, length=-1, more=[("Transfer-Encoding", "chunked")]),
    ),
}

CODES = {
    200: ("S", "SUCCESS"),
    400: ("F", "PARAM_ILLEGAL"),
    401: ("F", "INVALID_SIGNATURE"),
    404: ("F", "ORDER_NOT_EXIST"),
    409: ("F", "AMOUNT_MISMATCH"),
}

CASES = [
    (name, status, write)
    for status, table in (
        (401, FORGED_SIGNATURES),
        (401, NOT_AS_SIGNED),
        (400, SIGNED_UNREADABLE),
        (404, SIGNED_STRANGERS),
        (409, SIGNED_CONTRADICTIONS),
        (200, ACKNOWLEDGED),
    )
    for name, write in table.items()
]


@pytest.fixture(scope="module")
def forger(fast: Deployment, lines_before: int) -> Iterator[Forger]:
    """Somebody who writes about an order that Alipay itself never decides."""
    payment_request_id, answer = fast.pay("hostile", **books.NEVER)
    assert answer.status == 202, answer
    rows = set(fast.seen.rows())
    yield Forger(fast, payment_request_id)
    strangers = {row for row in set(fast.seen.rows()) - rows if not row.startswith(("hostile", "by-hand"))}
    assert not strangers, "orders that nobody asked for"


def unchanged(fast: Deployment, payment_request_id: str) -> None:
    """The order is INIT as it was, whoever looked at it and whatever contradictions are kept with it."""
    first, *later = fast.seen.versions(payment_request_id)
    ours = books.WATCHING | books.KEPT_WITH_IT
    for version in later:
        assert {name: value for name, value in version.items() if name not in ours} == {
            name: value for name, value in first.items() if name not in ours
        }


@pytest.mark.parametrize(("status", "write"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_hostile_notification_is_answered_as_the_contract_says_and_settles_nothing(
    fast: Deployment, forger: Forger, answered: list[int], status: int, write: Write, record_property: Any
) -> None:
    answer = exchange(forger.url, write(forger))
    assert answer.status == status, answer
    assert (answer.json["result"]["resultStatus"], answer.json["result"]["resultCode"]) == CODES[status]
    assert FORGED not in answer.text
    unchanged(fast, forger.payment_request_id)
    answered.append(status)
    record_property("hostileWebhook", 1)


@pytest.mark.parametrize(("statuses", "write"), STOPPED.values(), ids=STOPPED)
def test_what_is_no_request_is_answered_before_any_function_runs(
    fast: Deployment, forger: Forger, statuses: set[int], write: Write, record_property: Any
) -> None:
    answer = exchange(forger.url, write(forger))
    assert answer.status in statuses, answer
    assert "resultStatus" not in answer.text
    unchanged(fast, forger.payment_request_id)
    record_property("hostileWebhook", 1)


def test_half_a_notification_is_waited_for_and_never_read(fast: Deployment, forger: Forger) -> None:
    body = forger.body
    assert exchange(forger.url, forger.signed(body, length=len(body) + 1), patience_s=1).status == 0
    unchanged(fast, forger.payment_request_id)


def test_a_genuine_notification_is_no_request_for_a_payment(fast: Deployment, forger: Forger) -> None:
    answer = exchange(forger.url, forger.signed(forger.body, url=f"{fast.merchant.api_url}/payments"))
    assert answer.status == 400, answer
    unchanged(fast, forger.payment_request_id)


def test_the_same_pen_settles_an_order_with_a_genuine_message(fast: Deployment) -> None:
    """So that what is refused above is refused for its one fault."""
    payment_request_id, _ = fast.pay("by-hand", **books.NEVER)
    genuine = Forger(fast, payment_request_id)
    assert exchange(genuine.url, genuine.signed(genuine.body)).status == 200
    assert fast.seen.settled(payment_request_id)["settledBy"] == "notify"


def test_no_line_in_the_logs_is_written_by_an_attacker(
    fast: Deployment, forger: Forger, answered: list[int], lines_before: int, record_property: Any
) -> None:
    spoken: list[Header] = [
        (name, f'"}}{{"_aws":{{}},"{FORGED}":1}}') for name in ("User-Agent", "X-Amzn-Trace-Id", "Via")
    ]
    forgeries = [
        forger.request(f"algorithm={FORGED},keyVersion={FORGED},signature={FORGED}", more=spoken),
        forger.request(forger.header(b"x"), client_id=f'{FORGED}"}}', more=spoken),
        forger.request(forger.header(b"x"), time=f'{FORGED}\t{{"message":"payment settled"}}', more=spoken),
        forger.request(forger.header(b"x"), f'\n{{"{FORGED}":1}}\r\n'.encode(), more=spoken),
    ]
    for forged in forgeries:
        assert exchange(forger.url, forged).status == 401
        answered.append(401)
    refused = len(answered) - answered.count(200)

    def lines() -> list[Line]:
        return [line for line in fast.seen.lines()[lines_before:] if line.function == "Notify"]

    eventually(
        lambda: sum(line.fields.get("message") == "notification refused" for line in lines()) >= refused,
        "a line for each refusal",
        show=lambda: len(lines()),
    )
    for line in lines():
        assert not (wrong := what_is_wrong(line, fast.seen.stack_name)), f"{wrong}: {line.text}"
        quoting = {name for name, value in line.fields.items() if FORGED in str(value)}
        assert quoting <= {"paymentRequestId", "said"}, line.text
    assert fast.seen.settlements(forger.payment_request_id) == []
    assert fast.seen.metric("Contradiction", forger.payment_request_id) == answered.count(409)
    record_property("hostileWebhook", len(forgeries))


FLOOD = 300


def calls_explained(fast: Deployment, forger: Forger) -> bool:
    """Whether Alipay heard of the order by its pay and by the inquiries that its row counts, and by nothing else."""
    row = fast.seen.row(forger.payment_request_id)
    assert row
    return len(fast.alipay.calls(forger.payment_request_id)) == 1 + int(row["inquiries"])


def test_a_flood_of_forgeries_costs_one_secret_read_a_minute_and_no_other_call(
    fast: Deployment, forger: Forger, record_property: Any
) -> None:
    """Counted at the door to AWS of this one function, from its cold start on; Alipay hears nothing either."""
    table = list(FORGED_SIGNATURES.values())
    started = time.monotonic()
    with fast.faults_of("Notify") as faults:
        for number in range(FLOOD):
            assert exchange(forger.url, table[number % len(table)](forger)).status == 401
        [_environment] = fast.functions.processes("Notify")
        calls = faults.calls()
    minutes = 1 + int(time.monotonic() - started) // 60
    assert {call["op"] for call in calls} == {GET_SECRET}
    assert len(calls) <= minutes, calls
    eventually(lambda: calls_explained(fast, forger), "Alipay is called by the order's own polling alone")
    record_property("forgedToOneEnvironment", FLOOD)
    record_property("secretReads", len(calls))


def test_a_flood_at_once_costs_no_more_than_that_in_each_environment(fast: Deployment, forger: Forger) -> None:
    forged = forger.request(forger.header(forger.signature(key=forger.own_key)))
    started = time.monotonic()
    with fast.faults_of("Notify") as faults:
        answers = at_once([lambda: exchange(forger.url, forged)] * FLOOD, workers=8)
        environments = len(fast.functions.processes("Notify"))
        calls = faults.calls()
    minutes = 1 + int(time.monotonic() - started) // 60
    assert {answer.status for answer in answers} == {401}
    assert {call["op"] for call in calls} == {GET_SECRET}
    assert len(calls) <= environments * minutes, (calls, environments)
