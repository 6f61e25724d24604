"""The simulated Alipay, a program of its own: its gateway, its notifications, and a ledger of what really happened.

    python -m local.alipay.keys --keys keys.json --secret secret.json
    python -m local.alipay.server --port 4580 --keys keys.json [--notify-scale 1.0] [--ledger FILE]
                                  [--tls-cert CERT --tls-key KEY] [--host 127.0.0.1]

The gateway is signed both ways and lives under /ams/api/v1, or /ams/sandbox/api/v1 for a client id that starts with
SANDBOX_. The control API, /_sim/, is JSON, unsigned, and for loopback only. docs/simulator.md tells of both.
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from local.alipay import answers
from local.alipay.control import Control, NoSuchRoute, NotFound
from local.alipay.ledger import NAMES
from local.alipay.plans import Behaviour, PlanInvalid, PlanUnknown
from local.alipay.simulation import Simulation
from local.alipay.wire import Keys, Rejected, check_request, result
from local.alipay.world import NotPossible

Json = dict[str, Any]

_LARGEST_REQUEST = 1 << 20
_IDLE_S = 75.0
_API_PATH = re.compile(r"/ams/(?:sandbox/)?api/v1/(.+)")


class Door:
    """The simulation, and the server that listens for it now: to refuse connections, that one is closed for a while."""

    listening: "Server"
    """Connections that an earlier one took still talk to that."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.control = Control(simulation, lambda seconds: self.listening.refuse(seconds))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], door: Door, tls: ssl.SSLContext | None) -> None:
        self.door = door
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
        elif len(body := self.rfile.read(int(length))) == int(length):
            return body
        # An error was answered, or the caller hung up in the middle: half a request is none.
        self.close_connection = True
        return None

    # The wallet API

    def _wallet_api(self, body: bytes) -> None:
        alipay = self.server.door.simulation
        ledger = alipay.world.ledger
        entry = ledger.request(self.path, self.number, body)
        about = {name: entry[name] for name in NAMES if entry.get(name)}
        if alipay.world.dark:
            ledger.event("cut", about, path=self.path)
            entry["answered"] = {"outcome": "dark"}
            answers.cut(self)
            return
        name = ""
        try:
            call = alipay.gateway.find(self._endpoint())
            check_request(alipay.keys, self.path, _lowered(self.headers), body)
            name = call[0]
            ledger.event(f"{name}Received", about)
            reply = alipay.gateway.answer(call, _parsed(body))
        except Rejected as rejected:
            document = {"result": result("F", rejected.code, rejected.message)}
            reply = answers.Reply(Behaviour(seal="unsigned"), document)
            ledger.event("rejected", about, path=self.path, resultCode=rejected.code)
        entry |= reply.about
        told = answers.send(self, alipay.keys, reply)
        entry["answered"] = told
        if name:
            ledger.event(f"{name}Answered", about | reply.about, **told)

    def _endpoint(self) -> str:
        match = _API_PATH.fullmatch(self.path)
        if match is None:
            raise Rejected("NO_INTERFACE_DEF", "API is not defined.")
        if self.command != "POST":
            raise Rejected("METHOD_NOT_SUPPORTED", "The server does not support the requested HTTP method.")
        return match[1]

    # The control API

    def _control(self, body: bytes) -> None:
        door = self.server.door
        url = urlsplit(self.path)
        path = url.path.removeprefix("/_sim/")
        if path.startswith("followed/"):
            door.simulation.payments.count_redirect(unquote(path.removeprefix("followed/")))
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
            self._json(200, door.control.command(path, given) if posted else door.control.view(path, query))
        except NoSuchRoute:
            error = f"no route {self.command} {url.path}"
            self._json(404, {"error": error, "routes": door.control.routes})
        except NotFound as missing:
            self._json(404, {"error": str(missing)})
        except NotPossible as refused:
            self._json(409, {"error": str(refused)})
        except (AttributeError, KeyError, TypeError, ValueError, PlanUnknown) as error:
            self._json(400, {"error": f"{type(error).__name__}: {error}"})

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
    simulation = Simulation(Keys.load(options.keys), options.notify_scale, options.ledger)
    serve((options.host, options.port), Door(simulation), tls)


def serve(address: tuple[str, int], door: Door, tls: ssl.SSLContext | None) -> None:
    """Serve until a signal. To refuse connections the server is closed for a while: nobody listens then."""
    server = Server(address, door, tls)
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
        door.listening = server
        with server:
            server.serve_forever(poll_interval=0.1)
        if stopped.wait(server.closed_for_s) or not server.closed_for_s:
            return
        server = _again((host, port), door, tls)


def _again(address: tuple[str, int], door: Door, tls: ssl.SSLContext | None) -> Server:
    """A new server where the old one was, as soon as the port is free: a caller's own end may have been given it."""
    while True:
        try:
            return Server(address, door, tls)
        except OSError:
            time.sleep(0.05)


if __name__ == "__main__":
    main()
