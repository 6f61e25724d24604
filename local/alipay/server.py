"""The simulated Alipay: the gateway's wallet API, notifyPayment, and a ledger of what really happened.

    python -m local.alipay.keys --keys keys.json --secret secret.json
    python -m local.alipay.server --port 4580 --keys keys.json [--notify-scale 1.0] [--ledger FILE]
                                  [--tls-cert CERT --tls-key KEY] [--host 127.0.0.1]

Wallet API, signed both ways: POST {prefix}/payments/pay, payments/inquiryPayment, payments/cancel. The prefix
is /ams/api/v1, or /ams/sandbox/api/v1 for a client id that starts with SANDBOX_.

Without a plan a payment is paid at once and notified 0.3 s later. The access token (paymentMethodId) can
name a plan, `sim:<plan>:<anything>`: paid, declined, unknown-then-notified, unknown-then-inquired, no-answer,
never, forged.

Control API, JSON, unsigned, for loopback only. Times are epoch seconds; ?paymentRequestId=ID narrows a list.

GET  /_sim/health            200 {"status": "ok"}
POST /_sim/plans             {"paymentRequestId": ID, "plan": PLAN}, or "paymentRequestIdPrefix" instead
GET  /_sim/payments[/ID]     {"payments": [...]}, or one: status, debits, refunds, calls, knownAt, ...
GET  /_sim/requests          {"requests": [...]}: at, path, connection, bodySha256, body (masked), answered
GET  /_sim/notifications     {"notifications": [...]}: at, attempt, lost, status, acknowledged, answer, ...
GET  /_sim/events?since=N    {"events": [...], "next": N}: seq, at, event, paymentRequestId; 10,000 at most
POST /_sim/notify            {"paymentRequestId": ID, ...MESSAGE} -> {"status", "body", "acknowledged"}
POST /_sim/clock             {"ahead": seconds}, or {"at": ISO 8601}: Alipay's clock, and all that hangs on it
POST /_sim/dark              {"on": true}: calls are cut and notifications lost, until {"on": false}
POST /_sim/refuse            {"seconds": S}: connections are refused for so long; those of the wallet
                             API that stand end with their next answer
POST /_sim/reset             forget everything

PLAN, every field optional:
  pay, inquiry, cancel   a BEHAVIOUR, or a list of them, one a call; the last repeats
  result                 {"status": SUCCESS|FAIL|CANCELLED|PROCESSING, "code": C, "after": seconds since pay}:
                         the truth when pay answered U, was cut, or somebody else answered
  expires                false: an open payment stays open when its paymentExpiryTime has passed
  notify                 normal | lost | forged | badsig, or an object:
                         {"lost": true, "lose": first n, "times": n copies at once, "delay": s,
                         "pending": true, "first": forged|badsig|unsigned, "then": [MESSAGE with "delay"]}

BEHAVIOUR, a word or {"answer": word, ...}:
  normal                 the truth
  S, U, U:CODE, F:CODE   this, signed; S and F make it the truth (in an inquiry S claims SUCCESS)
  ORDER_NOT_EXIST        the same as F:ORDER_NOT_EXIST
  unsigned:...           any of those without a signature; badsig:... with random bytes, otherkey:... forged
  hang, reset-before, reset-after (or reset), html, drip, huge, gzipbomb, truncated (closed half way),
  broken (half the JSON, properly signed), http:NNN (3xx: Location /_sim/followed/ID counts visits)
  Object fields: delay (seconds, after processing), amount, paymentRequestId, paymentId, paymentStatus, code,
  set {field: value}, omit [fields], httpStatus, alterByte (after signing), processed (true or false).
  Every call is processed, except reset-before and, unless the plan has a result, http:NNN and unsigned:F.

MESSAGE, a notification that differs from the normal one:
  notifyType, resultStatus, resultCode, amount, paymentId, set, omit, body (raw text), clientId, requestTime,
  url, path (the one signed), key (signed|otherkey|badsig|none), algorithm, keyVersion,
  encoding (lower|upper|plain), alterByte, headers (null removes one)
"""

import argparse
import ipaddress
import json
import re
import signal
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from local.alipay import answers
from local.alipay.clock import Clock
from local.alipay.gateway import CALLS, Gateway, Reply
from local.alipay.ledger import Ledger
from local.alipay.notifier import Notifier
from local.alipay.plans import Behaviour, PlanInvalid, parse_plan
from local.alipay.timetable import Timetable
from local.alipay.wallet import Wallet
from local.alipay.wire import Keys, Rejected, check_request, result

Json = dict[str, Any]

_LARGEST_REQUEST = 1 << 20
_IDLE_S = 75.0
_API_PATH = re.compile(r"/ams/(?:sandbox/)?api/v1/(.+)")


class Alipay:
    """The parts of the simulation, put together."""

    listening: "Server"
    """The one at the door; connections that an earlier one took still talk to that."""

    def __init__(self, keys: Keys, notify_scale: float, ledger_file: Path | None) -> None:
        self.keys = keys
        self.ledger = Ledger(ledger_file)
        self.clock = Clock()
        self.timetable = Timetable(self.clock)
        self.wallet = Wallet(self.ledger, self.timetable, self.clock)
        self.gateway = Gateway(self.wallet)
        self.notifier = Notifier(self.wallet, self.ledger, keys, self.timetable, notify_scale)


class NotFound(Exception):
    """The control API has nothing there."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], alipay: Alipay, tls: ssl.SSLContext | None) -> None:
        self.alipay = alipay
        self.closed_for_s = 0.0
        self.connections = count(1)
        super().__init__(address, Handler)
        if tls is not None:
            # The handshake belongs to the connection's thread: a caller that stalls there stops no other.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def refuse(self, seconds: float) -> None:
        """Close the door for so long: see `serve`."""
        self.closed_for_s = seconds
        self.shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A refused certificate or a caller that went away is no news; anything else is a bug of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Tengine", ""
    disable_nagle_algorithm = True
    wbufsize = 65_536
    timeout = _IDLE_S

    def setup(self) -> None:
        super().setup()
        self.number = next(self.server.connections)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing goes to the console: requests hold access tokens. The ledger knows them masked."""

    def do_POST(self) -> None:
        self._route()

    do_GET = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_POST

    def _route(self) -> None:
        body = self._read_body()
        if body is None:
            return
        if urlsplit(self.path).path.startswith("/_sim/"):
            self._control(body)
        else:
            self._wallet_api(body)
            if self.server.closed_for_s:
                self.close_connection = True

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isascii() or not length.isdigit():
            self.send_error(411)
        elif int(length) > _LARGEST_REQUEST:
            self.send_error(413)
        else:
            return self.rfile.read(int(length))
        self.close_connection = True
        return None

    # The wallet API

    def _wallet_api(self, body: bytes) -> None:
        alipay = self.server.alipay
        entry = alipay.ledger.request(self.path, self.number, body)
        payment_request_id = entry["paymentRequestId"] or ""
        if alipay.wallet.dark:
            alipay.ledger.event("cut", payment_request_id, path=self.path)
            entry["answered"] = {"outcome": "dark"}
            answers.cut(self)
            return
        call = ""
        try:
            call = self._call()
            check_request(alipay.keys, self.path, _lowered(self.headers), body)
            alipay.ledger.event(f"{call}Received", payment_request_id)
            reply = alipay.gateway.answer(call, _parsed(body))
        except Rejected as rejected:
            document = {"result": result("F", rejected.code, rejected.message)}
            reply = Reply(Behaviour(seal="unsigned"), document)
            alipay.ledger.event("rejected", payment_request_id, path=self.path, resultCode=rejected.code)
        told = answers.send(self, alipay.keys, reply)
        entry["answered"] = told
        if call:
            alipay.ledger.event(f"{call}Answered", payment_request_id, **{k: v for k, v in told.items() if k != "at"})

    def _call(self) -> str:
        match = _API_PATH.fullmatch(self.path)
        call = CALLS.get(match[1]) if match else None
        if call is None:
            raise Rejected("NO_INTERFACE_DEF", "API is not defined.")
        if self.command != "POST":
            raise Rejected("METHOD_NOT_SUPPORTED", "The server does not support the requested HTTP method.")
        return call

    # The control API

    def _control(self, body: bytes) -> None:
        url = urlsplit(self.path)
        if url.path.startswith("/_sim/followed/"):
            self.server.alipay.wallet.count_redirect(unquote(url.path.removeprefix("/_sim/followed/")))
            self._json(200, {"result": result("S", "SUCCESS")})
            return
        if not ipaddress.ip_address(self.client_address[0]).is_loopback:
            self._json(403, {"error": "the control API is for loopback only"})
            return
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        try:
            given = json.loads(body) if body else {}
            if not isinstance(given, dict):
                raise PlanInvalid("the body must be an object")
            posted = self.command == "POST"
            self._json(200, self._command(url.path, given) if posted else self._view(url.path, query))
        except NotFound:
            self._json(404, {"error": "not found"})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._json(400, {"error": f"{type(error).__name__}: {error}"})

    def _view(self, path: str, query: Mapping[str, str]) -> Json:
        alipay = self.server.alipay
        wanted = query.get("paymentRequestId")
        if path == "/_sim/health":
            return {"status": "ok"}
        if path == "/_sim/payments":
            return {"payments": alipay.wallet.all()}
        if path.startswith("/_sim/payments/"):
            payment = alipay.wallet.get(unquote(path.removeprefix("/_sim/payments/")))
            if payment is None:
                raise NotFound
            return payment.as_json()
        if path == "/_sim/requests":
            return {"requests": alipay.ledger.requests(wanted)}
        if path == "/_sim/notifications":
            return {"notifications": alipay.ledger.notifications(wanted)}
        if path == "/_sim/events":
            since = int(query.get("since", "0"))
            events = alipay.ledger.events(since, wanted)
            return {"events": events, "next": events[-1]["seq"] if events else since}
        raise NotFound

    def _command(self, path: str, given: Json) -> Json:
        alipay = self.server.alipay
        if path == "/_sim/plans":
            plan = parse_plan(given.get("plan", {}))
            if "paymentRequestIdPrefix" in given:
                alipay.wallet.set_prefix_plan(given["paymentRequestIdPrefix"], plan)
            else:
                alipay.wallet.set_plan(given["paymentRequestId"], plan)
            return {"planned": True}
        if path == "/_sim/notify":
            payment = alipay.wallet.get(given.pop("paymentRequestId"))
            if payment is None or not given.get("url", payment.notify_url):
                raise NotFound
            sent = alipay.notifier.send(payment, given, attempt=0)
            return {
                "status": sent.status,
                "body": sent.body,
                "error": sent.error,
                "acknowledged": sent.acknowledged,
            }
        if path == "/_sim/dark":
            alipay.wallet.dark = bool(given.get("on", True))
            alipay.ledger.event("dark", "", on=alipay.wallet.dark)
            return {"on": alipay.wallet.dark}
        if path == "/_sim/clock":
            ahead = (
                given["ahead"] if "ahead" in given else datetime.fromisoformat(given["at"]).timestamp() - time.time()
            )
            alipay.timetable.set_clock(float(ahead))
            return {"now": alipay.clock.now(), "ahead": alipay.clock.ahead_s}
        if path == "/_sim/refuse":
            seconds = float(given["seconds"])
            alipay.ledger.event("refusing", "", seconds=seconds)
            alipay.listening.refuse(seconds)
            return {"seconds": seconds}
        if path == "/_sim/reset":
            alipay.timetable.set_clock(0.0)
            alipay.wallet.clear()
            return {"reset": True}
        raise NotFound

    def _json(self, status: int, document: Json) -> None:
        body = json.dumps(document).encode("utf-8")
        answers.write(self, status, {"Content-Type": "application/json"}, body)


def _lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _parsed(body: bytes) -> Any:
    """The body as JSON; one that is none has none of the required fields either."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description="The simulated Alipay.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4580, help="0 takes any free port and prints it")
    parser.add_argument("--keys", type=Path, required=True, help="the keys file that keys.py makes")
    parser.add_argument("--notify-scale", type=float, default=1.0, help="scales the waits between redeliveries")
    parser.add_argument("--ledger", type=Path, help="appends every event to this file, one JSON object a line")
    parser.add_argument("--tls-cert", type=Path, help="serve HTTPS with this certificate")
    parser.add_argument("--tls-key", type=Path, help="the certificate's private key")
    options = parser.parse_args()
    if (options.tls_cert is None) != (options.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")

    tls = None
    if options.tls_cert is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls_cert, options.tls_key)
    alipay = Alipay(Keys.load(options.keys), options.notify_scale, options.ledger)
    serve((options.host, options.port), alipay, tls)


def serve(address: tuple[str, int], alipay: Alipay, tls: ssl.SSLContext | None) -> None:
    """Serve until a signal. To refuse connections the server is closed for a while: nobody listens then."""
    server = Server(address, alipay, tls)
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()
        # shutdown() waits for serve_forever(), which runs in this thread: it needs another one.
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    host, port = address[0], server.server_port
    print(f"simulated Alipay ready on {'http' if tls is None else 'https'}://{host}:{port}", flush=True)
    while True:
        alipay.listening = server
        with server:
            server.serve_forever(poll_interval=0.1)
        if stopped.wait(server.closed_for_s) or not server.closed_for_s:
            return
        server = _again((host, port), alipay, tls)


def _again(address: tuple[str, int], alipay: Alipay, tls: ssl.SSLContext | None) -> Server:
    """A new server where the old one was, as soon as the port is free: a caller's own end may have been given it."""
    while True:
        try:
            return Server(address, alipay, tls)
        except OSError:
            time.sleep(0.05)


if __name__ == "__main__":
    main()
