"""A proxy in front of the emulator that makes chosen AWS calls slow, fail, vanish, wait, or go stale.

    python -m local.emulator.faultproxy LISTEN_PORT UPSTREAM_PORT [/PREFIX=PORT ...]

Start the emulator with `AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:LISTEN_PORT` (or another service's variable):
functions then call that service through here. The template stays as it is, and signatures stay valid, since the Host
header is passed on. Calls whose path begins with a PREFIX go to that port instead of the emulator's: what a function
calls besides AWS can have its faults here too, and stands in one order with the rest.

| request                | what it does                                                                            |
| ---------------------- | --------------------------------------------------------------------------------------- |
| `POST /_fault/rules`   | adds rules, a JSON array of objects with the fields of `Rule`                           |
| `GET /_fault/rules`    | the rules, with what is left of `skip` and `times`, and how many calls they `applied` to |
| `DELETE /_fault/rules` | removes all rules and lets go of the calls they hold                                    |
| `GET /_fault/log`      | the latest calls: `at` (Unix time), `op`, `rule` (its `name`, or null), `status`        |
| `DELETE /_fault/log`   | forgets them                                                                            |

For each call the first rule that matches and is not used up applies, in this order: `delay`, `hold`, `drop` before,
`error`, `stale`, `fail_entries`, `withhold`, and `drop` after.

S3 is REST: its `op` is `PUT /bucket/key`, and its errors are XML. All other services name the call in X-Amz-Target:
`DynamoDB_20120810.TransactWriteItems`, `AWSEvents.PutEvents`, `TrentService.Decrypt` (KMS), `AmazonSQS.SendMessage`,
`AWSStepFunctions.StartExecution`, `secretsmanager.GetSecretValue`.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import select
import sys
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from xml.sax.saxutils import escape

READS = ("GetItem", "BatchGetItem", "Query", "Scan")
PUT_EVENTS = "AWSEvents.PutEvents"
LOGGED_CALLS_MAX = 10_000
REMEMBERED_READS_MAX = 1_000
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
AS_ROOT = "AWS4-HMAC-SHA256 Credential=test/20000101/us-east-1/events/aws4_request, SignedHeaders=host, Signature=0"


@dataclass
class Rule:
    """What happens to which calls; without an effect, a rule only counts and logs them."""

    op: str  # the beginning of X-Amz-Target (`DynamoDB_20120810.UpdateItem`), or of `METHOD /path` where there is none
    match: str = ""  # a regular expression that the body has to contain
    skip: int = 0  # matching calls to let pass first
    times: int = 1  # calls to apply to; -1: all
    share: float = 1  # of these calls; which of them is drawn from the seed, for each text of match's group by itself
    seed: str = ""
    name: str = ""  # for the log; by default the op
    delay: float = 0  # seconds
    hold: bool = False  # wait until the rules are deleted
    withhold: bool = False  # do it, then wait with the answer until the rules are deleted
    held: int = 0  # calls that wait so now
    drop: Literal["", "before", "after"] = ""  # close the connection: the call never arrives, or its answer is lost
    error: str = ""  # answer with this AWS error instead of calling
    status: int = 400
    message: str = "injected"
    reasons: list[str] = field(default_factory=list)  # of a TransactionCanceledException: a code for each item, or None
    fail_entries: str = ""  # PutEvents: refuse entries whose JSON contains this regular expression, put the others
    stale: bool = False  # the answer that the same eventually consistent read had the last time
    applied: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        re.compile(self.match)
        re.compile(self.fail_entries)
        self.name = self.name or self.op
        self._draws: Counter[str] = Counter()
        if self.drop not in ("", "before", "after"):
            raise ValueError(f"drop: {self.drop!r} is neither before nor after")
        if self.fail_entries and self.op != PUT_EVENTS:
            raise ValueError(f"fail_entries: only {PUT_EVENTS} has entries")

    def takes(self, op: str, body: str) -> bool:
        """Whether the rule applies to this call, which is then counted."""
        if self.times == 0 or not op.startswith(self.op):
            return False
        found = re.search(self.match, body)
        if not found:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.share < 1 and not self._drawn(found):
            return False
        self.times -= self.times > 0
        self.applied += 1
        return True

    def _drawn(self, found: re.Match[str]) -> bool:
        """Whether this call is one of the share: the nth call about the same thing is, or is not, in every run."""
        about = (found[1] or "") if found.re.groups else ""
        self._draws[about] += 1
        return random.Random(f"{self.seed} {self.name} {about} {self._draws[about]}").random() < self.share  # nosec B311


@dataclass
class Answer:
    """A response, without what belongs to its connection."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @classmethod
    def of_json(cls, status: int, document: Any, **headers: str) -> Answer:
        """An answer of ours."""
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return cls(status, [("Content-Type", "application/json"), *named], json.dumps(document).encode())


@dataclass
class Faults:
    """The rules and what has been seen; shared by all connections."""

    rules: list[Rule] = field(default_factory=list)
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LOGGED_CALLS_MAX))
    reads: OrderedDict[tuple[str, bytes], Answer] = field(default_factory=OrderedDict)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def rule_for(self, op: str, body: bytes) -> tuple[Rule | None, threading.Event]:
        """The rule for this call, which is counted, and what lets go of the call if the rule holds it."""
        text = body.decode("utf-8", "replace")
        with self.lock:
            return next((rule for rule in self.rules if rule.takes(op, text)), None), self.released

    def saw(self, op: str, rule: Rule | None, status: int | None) -> None:
        """Log a call; the status is None if the caller got no answer."""
        with self.lock:
            self.log.append({"at": time.time(), "op": op, "rule": rule and rule.name, "status": status})

    def wait(self, rule: Rule, released: threading.Event) -> None:
        """Until the rules are deleted."""
        with self.lock:
            rule.held += 1
        released.wait()

    def remember(self, op: str, body: bytes, answer: Answer) -> None:
        """Keep a read's answer for when it shall be stale."""
        with self.lock:
            self.reads[op, body] = answer
            self.reads.move_to_end((op, body))
            if len(self.reads) > REMEMBERED_READS_MAX:
                self.reads.popitem(last=False)

    def administer(self, method: str, what: str, body: bytes) -> Answer:
        """Answer a request to /_fault/…"""
        with self.lock:
            match method, what:
                case "POST", "rules":
                    try:
                        self.rules.extend([Rule(**rule) for rule in json.loads(body)])
                    except (TypeError, ValueError, re.error) as error:
                        known = [known.name for known in fields(Rule)]
                        return Answer.of_json(400, {"error": str(error), "fields": known})
                case "DELETE", "rules":
                    self.rules.clear()
                    self.released.set()
                    self.released = threading.Event()
                case "DELETE", "log":
                    self.log.clear()
                case "GET", "rules" | "log":
                    pass
                case _:
                    return Answer.of_json(404, {"error": f"no {method} /_fault/{what}"})
            return Answer.of_json(200, [asdict(rule) for rule in self.rules] if what == "rules" else list(self.log))


class Proxy(ThreadingHTTPServer):
    """Listens, and knows where calls go: to the emulator, but for those with one of the prefixes."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, upstream_port: int, prefixes: Mapping[str, int]) -> None:
        super().__init__(("127.0.0.1", port), Connection)
        self.prefixes = {**prefixes, "": upstream_port}
        self.faults = Faults()


class Connection(BaseHTTPRequestHandler):
    """One caller's connection, with one of its own to wherever it calls; all are kept alive."""

    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    upstreams: dict[int, http.client.HTTPConnection]

    def setup(self) -> None:
        """Begin without any."""
        super().setup()
        self.upstreams = {}

    def handle_call(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        faults = self.server.faults
        if self.path.startswith("/_fault/"):
            self.answer(faults.administer(self.command, self.path.removeprefix("/_fault/"), body))
            return
        op = self.headers.get("X-Amz-Target") or f"{self.command} {self.path}"
        rule, released = faults.rule_for(op, body)
        answer = self.outcome(op, body, rule, released)
        faults.saw(op, rule, answer.status if answer else None)
        if answer is None:
            self.close_connection = True
        else:
            self.answer(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = handle_call

    def outcome(self, op: str, body: bytes, rule: Rule | None, released: threading.Event) -> Answer | None:
        """What the caller gets; None: nothing, the connection is closed."""
        faults = self.server.faults
        may_be_stale = eventually_consistent(op, body)
        if rule:
            time.sleep(rule.delay)
            if rule.hold:
                faults.wait(rule, released)
            if rule.drop == "before":
                return None
            if rule.error:
                return aws_error(rule, xml="/s3/aws4_request" in self.headers.get("Authorization", ""))
            if rule.stale and may_be_stale and (op, body) in faults.reads:
                return faults.reads[op, body]
        answer = self.put_events(body, rule) if rule and rule.fail_entries else self.forward(body)
        if answer and may_be_stale:
            faults.remember(op, body, answer)
        if rule and rule.withhold:
            faults.wait(rule, released)
        return None if rule and rule.drop == "after" else answer

    def put_events(self, body: bytes, rule: Rule) -> Answer | None:
        """Have all entries but those that the rule fails put, and answer for each, in order.

        https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
        The call is another than the caller signed, so it is made as the emulator's root.
        """
        request = json.loads(body)
        refused = [bool(re.search(rule.fail_entries, json.dumps(entry))) for entry in request["Entries"]]
        kept = [entry for entry, fails in zip(request["Entries"], refused, strict=True) if not fails]
        put: list[Any] = []
        if kept:
            root = {"Authorization": AS_ROOT, "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}
            answer = self.forward(json.dumps({**request, "Entries": kept}).encode(), root)
            if answer is None or answer.status != 200:
                return answer
            put = json.loads(answer.body)["Entries"]
        put.reverse()
        failure = {"ErrorCode": "InternalFailure", "ErrorMessage": rule.message}
        entries = [failure if fails else put.pop() for fails in refused]
        return Answer.of_json(200, {"FailedEntryCount": sum("ErrorCode" in one for one in entries), "Entries": entries})

    def forward(self, body: bytes, other_headers: Mapping[str, str] | None = None) -> Answer | None:
        """The answer from where the call goes; None if nobody is there, or dies over the call."""
        upstream = self.upstream()
        replaced = HOP_BY_HOP | {name.lower() for name in other_headers or {}}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in replaced}
        headers |= other_headers or {}
        try:
            upstream.request(self.command, self.path, body, headers)
            response = upstream.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            upstream.close()
            return None
        # The length of what a HEAD does not send is part of its answer.
        dropped = HOP_BY_HOP - {"content-length"} if self.command == "HEAD" else HOP_BY_HOP
        kept = [(name, value) for name, value in response.getheaders() if name.lower() not in dropped]
        return Answer(response.status, kept, content)

    def upstream(self) -> http.client.HTTPConnection:
        """The connection for this call."""
        port = next(port for prefix, port in self.server.prefixes.items() if self.path.startswith(prefix))
        upstream = self.upstreams.setdefault(port, http.client.HTTPConnection("127.0.0.1", port))
        # One that was closed in the meantime is readable. To find out by using it would leave open whether the call
        # was done, and to repeat the call could do it twice.
        if upstream.sock and select.select([upstream.sock], [], [], 0)[0]:
            upstream.close()
        return upstream

    def answer(self, answer: Answer) -> None:
        """Send it."""
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def finish(self) -> None:
        """Close all connections."""
        for upstream in self.upstreams.values():
            upstream.close()
        super().finish()

    def log_message(self, *_: Any) -> None:
        """There is /_fault/log."""


def aws_error(rule: Rule, xml: bool) -> Answer:
    """The rule's error as AWS's protocols have it: XML for S3, JSON for the others."""
    if xml:
        text = f"<Error><Code>{escape(rule.error)}</Code><Message>{escape(rule.message)}</Message></Error>"
        return Answer(rule.status, [("Content-Type", "application/xml")], text.encode())
    document: dict[str, Any] = {"__type": rule.error, "message": rule.message, "Message": rule.message}
    if rule.reasons:
        # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
        listed = ", ".join(rule.reasons)
        document["Message"] = document["message"] = (
            f"Transaction cancelled, please refer cancellation reasons for specific reasons [{listed}]"
        )
        document["CancellationReasons"] = [{"Code": code, "Message": None} for code in rule.reasons]
    return Answer.of_json(rule.status, document, x_amzn_ErrorType=rule.error)


def eventually_consistent(op: str, body: bytes) -> bool:
    """Whether DynamoDB might answer this call with what was true a moment ago."""
    if op.rpartition(".")[2] not in READS:
        return False
    return not re.search(rb'"ConsistentRead"\s*:\s*true', body)


if __name__ == "__main__":
    listen, emulator, *others = sys.argv[1:]
    by_prefix = {prefix: int(port) for prefix, _, port in (other.partition("=") for other in others)}
    Proxy(int(listen), int(emulator), by_prefix).serve_forever()
