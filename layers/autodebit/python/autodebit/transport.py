"""HTTPS to Alipay with what `requests` alone does not tell: whether a byte left, and when enough is enough."""

import contextlib
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

from autodebit.errors import NotSent, OutcomeUnknown

CONNECT_TIMEOUT_S = 3.0

LONGEST_ANSWER = 256 * 1024
"""Bytes; Alipay's answers have some two thousand."""


class _NeverConnected(NewConnectionError):
    """TCP or TLS was not established, so nothing of the request was written."""


class _CertificateRefused(_NeverConnected):
    """The peer's certificate is not one for the gateway's host."""


_connections: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()


class _Connection(HTTPConnection):
    def connect(self) -> None:
        _connections.add(self)
        super().connect()


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        _connections.add(self)
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise _CertificateRefused(self, "certificate refused") from error
        except OSError as error:  # a handshake that is cut or refused, which urllib3 reports like a cut request
            raise _NeverConnected(self, "no TLS connection") from error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Transport:
    """One kept-alive session; every call is bounded in time and size, follows no redirect and is made once."""

    def __init__(self) -> None:
        self._session = requests.Session()
        # Neither proxies, nor .netrc, nor another CA bundle from the environment.
        self._session.trust_env = False
        adapter = HTTPAdapter()
        adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> tuple[dict[str, str], bytes]:
        """Headers (names in lower case) and body of a 200.

        Raises NotSent when no byte of the request can have left, OutcomeUnknown for everything else that is no
        complete 200 within `timeout_s`.
        """
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            with (
                _cut_after(timeout_s),
                self._session.post(
                    url,
                    data=body,
                    headers=headers,
                    timeout=(min(CONNECT_TIMEOUT_S, timeout_s), timeout_s),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                if response.status_code != 200:
                    raise OutcomeUnknown(f"HTTP {response.status_code}")
                content = response.raw.read(LONGEST_ANSWER + 1, decode_content=False)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise _unsent(error) or OutcomeUnknown(type(error).__name__) from error
        if len(content) > LONGEST_ANSWER:
            raise OutcomeUnknown("answer too long")
        return {name.lower(): value for name, value in response.headers.items()}, content


def _unsent(error: Exception) -> NotSent | None:
    """NotSent if the connection was never established."""
    cause: Any = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(reason, _CertificateRefused):
        return NotSent("certificate")
    if isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return NotSent("no connection")
    return None


@contextlib.contextmanager
def _cut_after(timeout_s: float) -> Iterator[None]:
    """Bound a whole call: a peer that sends one byte now and then never runs into a read timeout."""
    timer = threading.Timer(timeout_s, _cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut() -> None:
    """End every connection of this process: a function's environment makes one call at a time."""
    for connection in list(_connections):
        if connection.sock is not None:
            # The plain socket's method: SSLSocket's own would take the TLS layer from under the reading thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
