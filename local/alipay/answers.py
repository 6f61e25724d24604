"""Putting an answer on the wire, as well or as badly as planned."""

import os
import select
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any

from local.alipay.plans import Behaviour
from local.alipay.wire import Keys, altered, encode, response_headers

Json = dict[str, Any]

_HANG_S = 60.0
_DRIP_S = 0.5
_MIB = 1 << 20
_HUGE = 50 * _MIB
_BOMB = 100 * _MIB

_HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Sorry</h1></body></html>"


@dataclass(frozen=True)
class Reply:
    """The body of an answer, how it is to be delivered, and the name of what it is about."""

    behaviour: Behaviour
    document: Json
    about: Json = field(default_factory=dict)


def bent(document: Json, behaviour: Behaviour) -> Json:
    """The document with what the plan wants changed or left out."""
    kept = {**document, **behaviour.changed}
    return {name: value for name, value in kept.items() if name not in behaviour.omitted}


def send(http: BaseHTTPRequestHandler, keys: Keys, reply: Reply) -> Json:
    """Send the reply; returns what the ledger says of it."""
    behaviour = reply.behaviour
    result = reply.document["result"]
    told: Json = {"outcome": behaviour.transport, "seal": behaviour.seal, "httpStatus": behaviour.http_status}
    told |= {"resultStatus": result["resultStatus"], "resultCode": result["resultCode"]}
    if behaviour.delay_s:
        time.sleep(behaviour.delay_s)
    told["at"] = time.time()  # before the caller has it, and can act on it
    try:
        _transmit(http, keys, reply)
    except OSError as error:  # the caller may well have gone away: that is what half of the plans are for
        http.close_connection = True
        told["error"] = type(error).__name__
    return told


def _transmit(http: BaseHTTPRequestHandler, keys: Keys, reply: Reply) -> None:
    behaviour = reply.behaviour
    transport = behaviour.transport
    if transport == "hang":
        # Wakes up early when the caller hangs up, so that patience costs no threads.
        select.select([http.connection], [], [], _HANG_S)
        cut(http)
        return
    if transport.startswith("reset"):
        cut(http)
        return
    if transport == "html":
        write(http, behaviour.http_status, {"Content-Type": "text/html;charset=UTF-8"}, _HTML)
        return
    if transport == "http":
        headers = {"Content-Type": "text/html;charset=UTF-8"}
        if 300 <= behaviour.http_status < 400:
            headers["Location"] = f"/_sim/followed/{reply.about.get('paymentRequestId', '')}"
        write(http, behaviour.http_status, headers, _HTML)
        return

    body = encode(reply.document)
    if transport == "broken":
        body = body[: len(body) // 2].decode("utf-8", "ignore").encode("utf-8")
    headers = response_headers(keys, behaviour.seal, http.path, body)
    if behaviour.alter_byte:
        body = altered(body)
    if transport == "truncated":
        write(http, behaviour.http_status, headers, body[: len(body) // 2], length=len(body))
        http.close_connection = True
    elif transport == "gzipbomb":
        write(http, behaviour.http_status, headers | {"Content-Encoding": "gzip"}, _bomb())
    elif transport == "huge":
        _start(http, behaviour.http_status, headers, _HUGE)
        for piece in _huge(body):
            http.wfile.write(piece)
        http.wfile.flush()
    elif transport == "drip":
        _start(http, behaviour.http_status, headers, len(body))
        for byte in body:
            http.wfile.write(bytes([byte]))
            http.wfile.flush()
            time.sleep(_DRIP_S)
    else:
        write(http, behaviour.http_status, headers, body)


def write(
    http: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, length: int | None = None
) -> None:
    """A whole answer; `length` is what Content-Length claims, if not the truth."""
    _start(http, status, headers, len(body) if length is None else length)
    http.wfile.write(body)
    http.wfile.flush()


def _start(http: BaseHTTPRequestHandler, status: int, headers: dict[str, str], length: int) -> None:
    http.send_response(status)
    for name, value in headers.items():
        http.send_header(name, value)
    http.send_header("Content-Length", str(length))
    http.end_headers()


def cut(http: BaseHTTPRequestHandler) -> None:
    """End the connection with a reset (RST) and not a word."""
    http.close_connection = True
    no_lingering = struct.pack("ii", 1, 0)
    http.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
    # The server would send a polite end first; closing the descriptor under it does not.
    os.close(http.connection.detach())


def _huge(body: bytes) -> Iterator[bytes]:
    """The body, blown up by blanks before its last brace; its signature is no longer valid."""
    blanks = b" " * (_MIB // 4)
    left = _HUGE - len(body)
    yield body[:-1]
    while left:
        yield blanks[:left]
        left -= min(left, len(blanks))
    yield body[-1:]


@cache
def _bomb() -> bytes:
    """100 MiB of blanks in 100 KB of gzip."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    blanks = b" " * _MIB
    return b"".join(deflate.compress(blanks) for _ in range(_BOMB // _MIB)) + deflate.flush()
