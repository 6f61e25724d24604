"""A wallet linked by its QR code, payments on every path, and two refunds: done by the deployed template with the
simulated Alipay, and checked against its ledger.

    .local/venvs/dev/bin/python -m local.demo

Brings a stack of its own up under .local/demo, beside a running `make up`, and always stops it. Exits 1 if any order
ended otherwise than SCENARIOS expects. Nothing printed comes from the plan: it is what the API answered, what stands in
the order's row, and what the simulator saw.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from local.ports import free_port
from local.stack import ROOT, STACK_NAME, Choices, StackFailed, aws, down, up

Json = dict[str, Any]

DIRECTORY = ROOT / ".local" / "demo"
RUN = DIRECTORY / "run"
AMOUNT = {"currency": "HKD", "value": "1990"}

AGREEMENT_ID = "demo-agreement"
REFUNDED = "demo-agreement-paid"
PART = 990
"""Of REFUNDED, in minor units."""

GIVEN_BACK_WITHIN_S = 90
"""The refund in process takes 4 s at Alipay; the first inquiry comes after 15."""

LINKED_WITHIN_S = 60.0
"""An authCode lives for a minute: what is not LINKED by then never will be."""

LIMIT_S = 45.0
"""An order without its result by then has none: the slowest needs some 10 s, and an auto debit lives for 55 s."""

TICK_S = 0.2
SETTLE_S = 1.0
"""How long a line waits for earlier ones: what the simulator saw is heard up to a tick later than our own answers."""


@dataclass(frozen=True)
class Expectation:
    status: str
    settled_by: str
    debits: int
    answers: tuple[int, ...]  # what POST /payments may answer
    notifications: tuple[int, ...] = ()  # what the notifications that arrive are answered, in their order
    pays: int = 1
    contradictions: int = 0


@dataclass(frozen=True)
class Scenario:
    """One order: `plan` names what the simulated Alipay does with it (docs/simulator.md)."""

    name: str
    sentence: str
    payment_request_id: str
    plan: str
    expected: Expectation
    requests: int = 1
    starts_after_s: float = 0.0
    by_agreement: bool = False


SCENARIOS = (
    Scenario(
        "by agreement",
        "Debited by the wallet that was just linked: the shop names the agreement and never sees a token.",
        "demo-agreement-paid",
        "paid",
        Expectation("SUCCESS", "pay", debits=1, answers=(200,), notifications=(200,)),
        by_agreement=True,
    ),
    Scenario(
        "paid at once",
        "Alipay's answer to pay is the result; the notification after it changes nothing.",
        "demo-paid",
        "paid",
        Expectation("SUCCESS", "pay", debits=1, answers=(200,), notifications=(200,)),
    ),
    Scenario(
        "declined",
        "The buyer's balance is not enough.",
        "demo-declined",
        "declined",
        Expectation("FAIL", "pay", debits=0, answers=(200,), notifications=(200,)),
    ),
    Scenario(
        "unknown, then notified",
        "Neither pay nor an inquiry has a result yet; the notification brings it.",
        "demo-notified",
        "unknown-then-notified",
        Expectation("SUCCESS", "notify", debits=1, answers=(202,), notifications=(200,)),
    ),
    Scenario(
        "notifications lost",
        "The same, but no notification ever arrives: an inquiry finds the result.",
        "demo-lost",
        "unknown-then-inquired",
        Expectation("SUCCESS", "inquiry", debits=1, answers=(202,)),
    ),
    Scenario(
        "connection cut",
        "Alipay debits the buyer, its answer is lost: the identical pay is sent again, one debit.",
        "demo-cut",
        "no-answer",
        Expectation("SUCCESS", "pay", debits=1, answers=(200,), notifications=(200,), pays=2),
    ),
    Scenario(
        "forged notification",
        "A success signed with a stranger's key is refused; an inquiry finds the failure.",
        "demo-forged",
        "forged",
        Expectation("FAIL", "inquiry", debits=0, answers=(202,), notifications=(401,)),
    ),
    Scenario(
        "contradicted later",
        "After the notification a second one, signed too, says the opposite: it changes nothing.",
        "demo-contradicted",
        "contradicted",
        Expectation("SUCCESS", "notify", debits=1, answers=(202,), notifications=(200, 200), contradictions=1),
    ),
    Scenario(
        "16 identical requests",
        "All at the same moment: one pay, one debit. Who asks before the result is there is told 202 INIT.",
        "demo-sixteen",
        "slow",
        Expectation("SUCCESS", "pay", debits=1, answers=(200, 202), notifications=(200,)),
        requests=16,
        starts_after_s=5.0,  # sixteen functions starting at once take the machine from all others,
    ),
)


@dataclass
class Watched:
    """What has been seen of one order so far."""

    scenario: Scenario
    answers: list[int] = field(default_factory=list)
    answers_shown: Counter[str] = field(default_factory=Counter)
    row: Json = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    looked_up: bool = False

    @property
    def done(self) -> bool:
        notified = self.events["notificationAcknowledged"] + self.events["notificationNotAcknowledged"]
        return (
            len(self.answers) == self.scenario.requests
            and self.row.get("status", "INIT") != "INIT"
            and self.looked_up
            and notified >= len(self.scenario.expected.notifications)
        )


class Printer:
    """Draws the timelines of all orders as one, in the order of what happened."""

    def __init__(self) -> None:
        self.started_at = time.time()
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._waiting: list[tuple[float, int, str]] = []
        self._lines = 0

    def fact(self, at: float, scenario: Scenario, who: str, what: str, colour: int = 0) -> None:
        self._lines += 1
        line = f"{max(at - self.started_at, 0):6.2f} s  {scenario.name:<22}  {who:<9}  {self.paint(what, colour)}"
        self._waiting.append((at, self._lines, line))

    def flush(self, until: float) -> None:
        """Print the facts up to this instant."""
        self._waiting.sort()
        while self._waiting and self._waiting[0][0] <= until:
            self.say(self._waiting.pop(0)[2])

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    def paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


GREEN, RED = 32, 31


class Stack:
    """The three places where facts about an order are found."""

    def __init__(self, stack: Json) -> None:
        self.endpoint = stack["awsEndpointUrl"]
        self._api_url, self._alipay_url, self._table = stack["apiUrl"], stack["alipayUrl"], stack["ordersTable"]
        self._dynamodb, self._lambda = aws(self.endpoint, "dynamodb"), aws(self.endpoint, "lambda")
        self._session = _session()

    def warm_up(self) -> None:
        """Have as many environments of each function started as will be busy at once, by calls that come to nothing.

        A dozen cold starts on two cores take seconds, in which notifications and inquiries would wait for each other.
        """
        calls = [
            *[lambda: self._call("POST", "/payments")] * (len(SCENARIOS) - 1),
            *[lambda: self._call("POST", "/notifications/payment")] * 2,
            lambda: self._call("GET", "/payments/none"),
            *[self._inquire_for_nothing] * 2,
        ]
        threads = [threading.Thread(target=call, daemon=True) for call in calls]  # Ctrl-C waits for none of them
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _call(self, method: str, path: str) -> None:
        # What is really wrong, the payments will show.
        with _session() as session, suppress(requests.RequestException):
            session.request(method, f"{self._api_url}{path}", timeout=60)

    def _inquire_for_nothing(self) -> None:
        payload = json.dumps({"paymentRequestId": "none", "inquiry": 0})
        with suppress(BotoCoreError, ClientError):
            self._lambda.invoke(FunctionName=f"{STACK_NAME}-Inquiry", Payload=payload)

    def post(self, body: Json) -> requests.Response:
        with _session() as session:  # a connection of its own: it is called by many threads at once
            return session.post(f"{self._api_url}/payments", json=body, timeout=40)

    def start_link(self) -> Json:
        """Ask for an agreement, whose QR code the buyer scans."""
        request = {"agreementId": AGREEMENT_ID, "customerBelongsTo": "ALIPAY_HK"}
        return _document(self._session.post(f"{self._api_url}/agreements", json=request, timeout=40))

    def agreement(self) -> Json:
        return _document(self._session.get(f"{self._api_url}/agreements/{AGREEMENT_ID}", timeout=30))

    def refund(self, payment_request_id: str, refund_request_id: str, amount: Json, plan: str) -> tuple[int, Json]:
        """Ask for a refund; `plan` is what the simulated Alipay makes of it."""
        request = {"refundRequestId": refund_request_id, "refundAmount": amount, "refundReason": f"sim:{plan}:demo"}
        response = self._session.post(
            f"{self._api_url}/payments/{payment_request_id}/refunds", json=request, timeout=40
        )
        return response.status_code, _document(response)

    def refund_of(self, payment_request_id: str, refund_request_id: str) -> Json:
        path = f"payments/{payment_request_id}/refunds/{refund_request_id}"
        return _document(self._session.get(f"{self._api_url}/{path}", timeout=30))

    def approve(self, qr_code: str) -> None:
        """The buyer's hand."""
        body = {"qrCode": qr_code, "do": "approve"}
        self._session.post(f"{self._alipay_url}/_sim/buyer", json=body, timeout=10).raise_for_status()

    def order(self, payment_request_id: str) -> tuple[int, Json]:
        response = self._session.get(f"{self._api_url}/payments/{payment_request_id}", timeout=30)
        return response.status_code, _document(response)

    def rows(self) -> dict[str, Json]:
        items = self._dynamodb.scan(TableName=self._table, ConsistentRead=True)["Items"]
        rows = [{name: next(iter(value.values())) for name, value in item.items()} for item in items]
        return {row["paymentRequestId"]: row for row in rows}

    def plan(self, payment_request_id: str, plan: str) -> None:
        body = {"paymentRequestId": payment_request_id, "plan": plan}
        self._session.post(f"{self._alipay_url}/_sim/plans", json=body, timeout=10).raise_for_status()

    def simulator(self, path: str) -> Json:
        response = self._session.get(f"{self._alipay_url}/_sim/{path}", timeout=10)
        return _document(response)


class Watcher:
    """Sends the payments, and follows each order through the simulator's events, its answers and its row."""

    def __init__(self, stack: Stack, printer: Printer) -> None:
        self._stack = stack
        self._printer = printer
        self._orders = {scenario.payment_request_id: Watched(scenario) for scenario in SCENARIOS}
        self._answered: queue.SimpleQueue[tuple[float, Watched, int, str]] = queue.SimpleQueue()
        self._seq = 0

    def watch(self) -> list[Watched]:
        """What was seen of each order, when all are done or LIMIT_S is over."""
        for scenario in SCENARIOS:
            self._stack.plan(scenario.payment_request_id, scenario.plan)
        self._printer.started_at = time.time()
        orders = list(self._orders.values())
        to_start = sorted(orders, key=lambda order: order.scenario.starts_after_s)
        while (now := time.time()) < self._printer.started_at + LIMIT_S and not all(order.done for order in orders):
            while to_start and now >= self._printer.started_at + to_start[0].scenario.starts_after_s:
                self._start(to_start.pop(0))
            self._hear_simulator()
            self._hear_answers()
            self._read_rows()
            self._printer.flush(until=time.time() - SETTLE_S)
            time.sleep(TICK_S)
        self._printer.flush(until=time.time())
        return orders

    def _start(self, order: Watched) -> None:
        scenario = order.scenario
        times = f", {scenario.requests} times at once" if scenario.requests > 1 else ""
        self._printer.fact(time.time(), scenario, "merchant", f"POST /payments, {money(AMOUNT)}{times}")
        together = threading.Barrier(scenario.requests)
        for _ in range(scenario.requests):
            # Daemons, as in warm_up.
            threading.Thread(target=self._pay, args=(order, together), daemon=True).start()

    def _pay(self, order: Watched, together: threading.Barrier) -> None:
        body = pay_request(order.scenario)
        together.wait()
        try:
            response = self._stack.post(body)
            status, document = response.status_code, _document(response)
            shown = f"{status} {document.get('status') or document.get('title') or response.text[:40]}"
        except requests.RequestException as error:
            status, shown = 0, f"no answer: {type(error).__name__}"
        self._answered.put((time.time(), order, status, shown))

    def _hear_answers(self) -> None:
        while not self._answered.empty():
            at, order, status, shown = self._answered.get()
            order.answers.append(status)
            order.answers_shown[shown] += 1
            if len(order.answers) == order.scenario.requests:
                counts = order.answers_shown.most_common()
                text = ", ".join(f"{n} x {shown}" if n > 1 else shown for shown, n in counts)
                self._printer.fact(at, order.scenario, "merchant", f"POST /payments -> {text}")

    def _hear_simulator(self) -> None:
        heard = self._stack.simulator(f"events?since={self._seq}")
        self._seq = heard["next"]
        for event in heard["events"]:
            order = self._orders.get(event["paymentRequestId"])
            if order is None:
                continue
            order.events[event["event"]] += 1
            line = told(event, order.events)
            if line:
                self._printer.fact(event["at"], order.scenario, *line)

    def _read_rows(self) -> None:
        for payment_request_id, row in self._stack.rows().items():
            order = self._orders.get(payment_request_id)
            if order is None:
                continue
            before, order.row = order.row, row
            scenario, fact = order.scenario, self._printer.fact
            settled = row["status"] != before.get("status", "INIT")
            at = datetime.fromisoformat(row["settledAt"]).timestamp() if settled else time.time()
            if row.get("lastInquiry") and row["inquiries"] != before.get("inquiries"):
                said = row["lastInquiry"].removeprefix("inquiry ")
                fact(at, scenario, "autodebit", f"inquiry {row['inquiries']} -> {said}")
            if settled:
                fact(at, scenario, "autodebit", f"{row['status']}, settled by {row['settledBy']}", GREEN)
            for contradiction in set(row.get("contradictions", ())) - set(before.get("contradictions", ())):
                fact(
                    time.time(),
                    scenario,
                    "autodebit",
                    f"stored as a contradiction, for a person: {' '.join(contradiction.split()[:2])}",
                )
            if row["status"] != "INIT" and order.answers and not order.looked_up:
                order.looked_up = True
                status, document = self._stack.order(payment_request_id)
                if 202 in order.answers:
                    text = f"GET /payments/{payment_request_id} -> {status} {document.get('status', '')}"
                    fact(time.time(), scenario, "merchant", text)


def link_wallet(stack: Stack, printer: Printer) -> bool:
    """Link a wallet, from its QR code to the token; whether it is LINKED."""
    started = time.monotonic()

    def say(who: str, what: str, colour: int = 0) -> None:
        printer.say(f"{time.monotonic() - started:6.2f} s  {who:<9}  {printer.paint(what, colour)}")

    say("merchant", f"POST /agreements, {AGREEMENT_ID}")
    shown = stack.start_link()
    qr_code = shown.get("qrCode", {}).get("text")
    if not qr_code:
        say("merchant", f"POST /agreements -> {shown.get('title') or shown}", RED)
        return False
    say("merchant", f"POST /agreements -> {shown['status']}, QR code {qr_code}")
    stack.approve(qr_code)
    say("buyer", "scans the QR code and agrees")
    agreement = stack.agreement()
    while agreement.get("status") == "AUTHORIZING" and time.monotonic() < started + LINKED_WITHIN_S:
        time.sleep(TICK_S)
        agreement = stack.agreement()
    linked = agreement.get("status") == "LINKED"
    say("merchant", f"GET /agreements/{AGREEMENT_ID} -> {agreement.get('status')}", GREEN if linked else RED)
    printer.say()
    return linked


def give_back(stack: Stack, printer: Printer) -> bool:
    """Give a payment back, a part at once and the rest after a while; whether the books say so afterwards."""
    started = time.monotonic()

    def say(who: str, what: str, colour: int = 0) -> None:
        printer.say(f"{time.monotonic() - started:6.2f} s  {who:<9}  {printer.paint(what, colour)}")

    printer.say(f"\nThen {REFUNDED} is given back, a part at once and the rest in process:\n")
    part, rest = AMOUNT | {"value": str(PART)}, AMOUNT | {"value": str(int(AMOUNT["value"]) - PART)}
    for refund_request_id, amount, plan in (("demo-refund-1", part, "refunded"), ("demo-refund-2", rest, "in-process")):
        say("merchant", f"POST /payments/{REFUNDED}/refunds, {money(amount)} of {money(AMOUNT)}")
        status, refund = stack.refund(REFUNDED, refund_request_id, amount, plan)
        say("merchant", f"POST {refund_request_id} -> {status} {refund.get('status') or refund.get('title')}")
        while refund.get("status") == "INIT" and time.monotonic() < started + GIVEN_BACK_WITHIN_S:
            time.sleep(TICK_S)
            refund = stack.refund_of(REFUNDED, refund_request_id)
        done = refund.get("status") == "SUCCESS"
        shown = f"{refund.get('status')}, by {refund.get('settledBy')}"
        say("merchant", f"GET {refund_request_id} -> {shown}", GREEN if done else RED)
    shown_by_api = stack.order(REFUNDED)[1].get("refundedAmount")
    kept = AMOUNT | {"value": stack.simulator(f"payments/{REFUNDED}").get("kept", AMOUNT["value"])}
    fine = (shown_by_api, kept["value"]) == (AMOUNT, "0")
    say("merchant", f"GET /payments/{REFUNDED} -> refundedAmount {money(shown_by_api) if shown_by_api else 'none'}")
    say("Alipay", f"keeps {money(kept)} of it for the merchant", GREEN if fine else RED)
    return fine


def pay_request(scenario: Scenario) -> Json:
    """The body of POST /payments. The access token is the buyer's consent; the simulator takes any."""
    method = {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": f"token-{scenario.payment_request_id}"}
    return {
        "paymentRequestId": scenario.payment_request_id,
        "order": {
            "referenceOrderId": scenario.payment_request_id,
            "orderDescription": "Monthly cinema pass",
            "orderAmount": AMOUNT,
        },
        "paymentAmount": AMOUNT,
        "paymentMethod": {"agreementId": AGREEMENT_ID} if scenario.by_agreement else method,
        "settlementStrategy": {"settlementCurrency": "USD"},
    }


def money(amount: Json) -> str:
    """`HKD 19.90`: an amount as people write it; the API, and Alipay, have minor units."""
    return f"{amount['currency']} {int(amount['value']) / 100:.2f}"


def told(event: Json, heard: Counter[str]) -> tuple[str, str, int] | None:
    """Who did what, by an event of the simulator, and its colour; None for what another line says already.

    `heard` counts the order's events so far, this one among them.
    """
    name = event["event"]
    if name == "payAnswered":
        call = "pay" if heard[name] == 1 else f"pay, call {heard[name]}"
        if event["outcome"] != "answer":
            cut = "the connection is cut" if event["outcome"].startswith("reset") else event["outcome"]
            return "Alipay", f"{call} -> no answer, {cut}", 0
        return "Alipay", f"{call} -> {event['resultStatus']} {event['resultCode']}", 0
    if name == "debited":
        return "buyer", f"debited {money(AMOUNT)}", 0
    if name == "concluded" and event["status"] != "SUCCESS":
        return "Alipay", f"the payment's result: {event['status']} {event['resultCode']}", 0
    if name == "inquiryReceived":
        return "autodebit", f"inquiry {heard[name]}", 0
    if name == "notificationSent":
        genuine = event["key"] == "signed"
        key = "signed" if genuine else "signed with another key"
        return "Alipay" if genuine else "forger", f"notification: {event['resultStatus']}, {key}", 0
    if name == "notificationLost":
        return "Alipay", "notification: lost on its way", 0
    if name == "notificationAcknowledged":
        return "autodebit", f"notification -> {event['status']}", 0
    if name == "notificationNotAcknowledged":
        return "autodebit", f"notification -> {event['status'] or 'no answer'}, refused", RED
    if name in ("accepted", "payReceived", "inquiryAnswered", "concluded"):
        return None
    return "Alipay", name, 0


@dataclass(frozen=True)
class Came:
    """How one order ended, by each of the three that keep books on it."""

    api: Json
    row: Json
    alipay: Json
    answers: list[int]
    pay_bodies: list[str]
    notifications: list[int | None]


def ended(stack: Stack, order: Watched) -> Came:
    """How the order stands now."""
    payment_request_id = order.scenario.payment_request_id
    only = f"?paymentRequestId={payment_request_id}"
    calls = stack.simulator(f"requests{only}")["requests"]
    notifications = stack.simulator(f"notifications{only}")["notifications"]
    return Came(
        api=stack.order(payment_request_id)[1],
        row=stack.rows().get(payment_request_id, {}),
        alipay=stack.simulator(f"payments/{payment_request_id}"),
        answers=order.answers,
        pay_bodies=[call["bodySha256"] for call in calls if call["path"].endswith("/payments/pay")],
        notifications=[sent["status"] for sent in sorted(notifications, key=_at) if not sent["lost"]],
    )


def differences(scenario: Scenario, came: Came) -> list[str]:
    """Where what came is not what was expected; empty if all is well."""
    expected = scenario.expected
    compared: list[tuple[str, object, object]] = [
        ("status, by the API", expected.status, came.api.get("status")),
        ("status, by the order's row", expected.status, came.row.get("status")),
        ("status, by Alipay's ledger", expected.status, came.alipay.get("status")),
        ("settledBy, by the API", expected.settled_by, came.api.get("settledBy")),
        ("settledBy, by the order's row", expected.settled_by, came.row.get("settledBy")),
        ("debits", expected.debits, came.alipay.get("debits")),
        ("calls of pay", expected.pays, len(came.pay_bodies)),
        ("different bodies among them", 1, len(set(came.pay_bodies))),
        ("answers to notifications", list(expected.notifications), came.notifications),
        ("contradictions kept", expected.contradictions, len(came.row.get("contradictions", ()))),
        ("answers to POST", scenario.requests, len(came.answers)),
        ("unexpected answers to POST", [], [answer for answer in came.answers if answer not in expected.answers]),
    ]
    return [f"{what}: expected {wanted}, came {got}" for what, wanted, got in compared if wanted != got]


def report(stack: Stack, orders: list[Watched], printer: Printer) -> bool:
    """Print the table; whether every order ended as expected."""
    say, faults = printer.say, []
    say("\n" + _columns("", "expected", "", "came"))
    say(_columns("path", "result", "debits", "API", "order row", "Alipay", "debits"))
    say("-" * 96)
    for order in orders:
        scenario, came = order.scenario, ended(stack, order)
        expected, wrong = scenario.expected, differences(scenario, came)
        faults += [f"{scenario.name} ({scenario.payment_request_id}): {difference}" for difference in wrong]
        verdict = printer.paint("WRONG", RED) if wrong else printer.paint("ok", GREEN)
        say(
            _columns(
                scenario.name,
                _result(expected.status, expected.settled_by),
                expected.debits,
                _result(came.api.get("status"), came.api.get("settledBy")),
                _result(came.row.get("status"), came.row.get("settledBy")),
                came.alipay.get("status", "?"),
                came.alipay.get("debits", "?"),
                verdict,
            )
        )
    if faults:
        say("\nWRONG:\n" + "\n".join(f"  {fault}" for fault in faults))
    return not faults


def keep_books(stack: Stack) -> None:
    """Leave the functions' logs and the simulator's ledger behind, for both are in memory only."""
    logs = aws(stack.endpoint, "logs")
    with (RUN / "functions.log").open("w") as file:
        for group in logs.describe_log_groups()["logGroups"]:
            file.write(f"# {group['logGroupName']}\n")
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
                file.writelines(event["message"].rstrip("\n") + "\n" for event in page["events"])
    ledger = {name: stack.simulator(name)[name] for name in ("payments", "requests", "notifications", "events")}
    (RUN / "ledger.json").write_text(json.dumps(ledger, indent=1) + "\n")


def places() -> str:
    """Where to look when something went wrong; only what is there."""
    described = {
        "functions.log": "what the functions logged, by paymentRequestId",
        "ledger.json": "what the simulated Alipay saw and did",
        "emulator.log": "the AWS emulator",
        "alipay.log": "the simulated Alipay's own troubles",
        "sam-build.log": "sam build",
        "sam-deploy.log": "sam deploy",
    }
    found = [f"  {_shown(RUN / name):<30} {what}" for name, what in described.items() if (RUN / name).exists()]
    return "Where to look:\n" + "\n".join(found) if found else ""


def main() -> int:
    printer = Printer()
    started = time.monotonic()
    printer.say("autodebit, deployed to an AWS emulator on this machine, against a simulated Alipay\n")
    try:
        stack = Stack(up(Choices(directory=DIRECTORY, port=free_port())))
        printer.say("  warming up the functions")
        stack.warm_up()
        up_s = time.monotonic() - started
        printer.say(f"\nThe stack is up after {up_s:.0f} s. A wallet is linked, then {len(SCENARIOS)} orders:\n")
        for scenario in SCENARIOS:
            printer.say(f"  {printer.paint(scenario.name, 1)}\n      {scenario.sentence}")
        printer.say()
        linked = link_wallet(stack, printer)
        orders = Watcher(stack, printer).watch()
        fine = report(stack, orders, printer) and linked
        fine = give_back(stack, printer) and fine
        keep_books(stack)
    finally:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)  # an impatient second Ctrl-C would leave the stack running
        down(DIRECTORY)
    seconds = time.monotonic() - started
    if not fine:
        printer.say(f"\n{places()}\n\nNot every order ended as expected ({seconds:.0f} s).")
        return 1
    printer.say(f"\nEvery order ended as expected ({seconds:.0f} s). Logs and ledger: {_shown(RUN)}")
    printer.say("To link a wallet and pay yourself: make up")
    return 0


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # everything is on this machine: no proxy
    return session


def _document(response: requests.Response) -> Json:
    """The JSON object in the body, an empty one if there is none."""
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _columns(*cells: object) -> str:
    """A line of the table: path; result and debits expected; by the API, the row, the ledger; verdict."""
    widths = (22, 15, 6, 15, 15, 7, 6, 5)
    return " ".join(f"{cell!s:<{width}}" for cell, width in zip(cells, widths, strict=False)).rstrip()


def _result(status: str | None, settled_by: str | None) -> str:
    return f"{status or '?'}/{settled_by or '-'}"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _at(entry: Json) -> float:
    return float(entry["at"])


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    try:
        sys.exit(main())
    except StackFailed as error:
        sys.exit(f"\nfailed: {error}\n\n{places()}\nThen run make demo again.")
    except (requests.RequestException, BotoCoreError, ClientError) as error:
        sys.exit(f"\nfailed: the stack stopped answering: {error}\n\n{places()}\nThen run make demo again.")
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
