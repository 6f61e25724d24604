"""A proxy between the functions and the emulator that writes down every AWS call they make.

Functions are sent here by AWS_ENDPOINT_URL_DYNAMODB and its like; their signatures stay valid, since the Host header is
passed on.
"""

import http.client
import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Call:
    """One call and its answer."""

    operation: str
    request: Json
    status: int
    answer: Json


class Recorder:
    """Listens on a free port of this machine until it is closed."""

    def __init__(self, upstream_port: int) -> None:
        self.calls: list[Call] = []
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.upstream_port = upstream_port
        self._server.calls = self.calls
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    upstream_port: int
    calls: list[Call]


class _Connection(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    upstream: http.client.HTTPConnection | None = None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.upstream = self.upstream or http.client.HTTPConnection("127.0.0.1", self.server.upstream_port)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        self.upstream.request("POST", self.path, body, headers)
        answer = self.upstream.getresponse()
        content = answer.read()
        operation = self.headers.get("X-Amz-Target", "").rsplit(".", 1)[-1]
        self.server.calls.append(Call(operation, _json(body), answer.status, _json(content)))
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing goes to the console."""


def _json(body: bytes) -> Json:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
