"""HTTP as no client library would send it: every byte of a request is the test's own."""

import socket
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from urllib.parse import urlsplit

from .merchant import PATIENCE_S, Answer

Header = tuple[str, str | bytes]


def request(
    url: str, headers: list[Header], body: bytes = b"", *, method: str = "POST", length: int | None = None
) -> bytes:
    """The bytes of a request; `length` is what Content-Length says if not the truth, -1 for no such header."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    length = len(body) if length is None else length
    own: list[Header] = [("Host", parts.netloc), *([("Content-Length", str(length))] if length >= 0 else [])]
    lines = [f"{method} {target} HTTP/1.1".encode()]
    lines += [f"{name}: ".encode() + _bytes(value) for name, value in [*own, *headers]]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 7) -> bytes:
    """A body in chunks, for a request with `Transfer-Encoding: chunked` and no length."""
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


def exchange(url: str, data: bytes, patience_s: float = PATIENCE_S) -> Answer:
    """What comes back for these bytes, after which nothing more is sent; status 0 if it is no answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=patience_s) as connection:
        # A peer that has seen enough closes while the rest is still being sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        response = HTTPResponse(connection)
        try:
            response.begin()
            text = response.read().decode("utf-8")
        except (HTTPException, OSError) as error:
            return Answer(0, {}, repr(error))
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
