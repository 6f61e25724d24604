"""HTTPS to Alipay, with what `requests` alone does not do: tell whether a byte left, and limit a whole call."""

import contextlib
import logging
import math
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from autodebit.errors import CertificateRefused, NotSent, OutcomeUnknown

CONNECT_TIMEOUT_S = 3.0

ANSWER_BYTES_MAX = 256 * 1024
"""Bytes; Alipay's answers have some two thousand."""

IDLE_MAX_S = 5.0
"""An older connection is not used again: a frozen function does not see that its peer has closed it, and what is lost
on it would have to be repeated as if it had been sent. By the wall clock: time.monotonic may stand still while Lambda
freezes an environment."""

CUT_AGAIN_S = 0.1

# urllib3 warns about odd headers by quoting them, a signature perhaps.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class _NeverConnected(NewConnectionError):
    """TCP or TLS was not established, or too late, so nothing of the request was written."""


class _CertificateRefused(_NeverConnected):
    """The peer's certificate is not one for the gateway's host."""


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _in_time(self)


class _SecureConnection(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise _CertificateRefused(self, "certificate refused") from error
        except OSError as error:  # a handshake that is cut or refused, which urllib3 reports like a cut request
            raise _NeverConnected(self, "no TLS connection") from error
        _in_time(self)


def _in_time(connection: HTTPConnection) -> None:
    """Nothing leaves after the call's deadline: a name is looked up, and addresses are tried, without a limit."""
    if not _deadlines.connected(connection.sock):
        connection.close()
        raise _NeverConnected(connection, "connected too late")


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Transport:
    """Kept-alive connections; every call is bounded in time and size, follows no redirect and is made once.

    The adapter is used without a session: a session would read proxies and .netrc from the environment, keep cookies,
    and read and unpack the whole body of a redirect that it is told not to follow.
    """

    def __init__(self) -> None:
        self._adapter = HTTPAdapter()
        self._adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        self._used_at = 0.0

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> tuple[dict[str, str], bytes]:
        """Headers (names in lower case) and body of a 200.

        Raises NotSent when no byte of the request can have left, OutcomeUnknown for everything else that is no
        complete 200 within `timeout_s`.
        """
        if not 0 <= time.time() - self._used_at <= IDLE_MAX_S:
            self._adapter.poolmanager.clear()
        request = requests.Request("POST", url, {"Accept-Encoding": "identity", **headers}, data=body).prepare()
        timeout = (min(CONNECT_TIMEOUT_S, timeout_s), timeout_s)
        try:
            with (
                _deadlines.cut_after(timeout_s) as cut,
                contextlib.closing(self._adapter.send(request, stream=True, timeout=timeout)) as response,
            ):
                if response.status_code != 200:
                    raise OutcomeUnknown(f"HTTP {response.status_code}")
                content = response.raw.read(ANSWER_BYTES_MAX + 1, decode_content=False)
                if response.raw.length_remaining or cut.is_set():
                    raise OutcomeUnknown("answer too long" if len(content) > ANSWER_BYTES_MAX else "answer cut short")
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise _unsent(error) or OutcomeUnknown(type(error).__name__) from error
        finally:
            self._used_at = time.time()
        if len(content) > ANSWER_BYTES_MAX:
            raise OutcomeUnknown("answer too long")
        return {name.lower(): value for name, value in response.headers.items()}, content


def _unsent(error: Exception) -> NotSent | None:
    """NotSent if the connection was never established; the adapter wraps what its pool raised in two more errors."""
    cause = error.args[0] if error.args else None
    if isinstance(cause, MaxRetryError):
        cause = cause.reason
    if isinstance(cause, _CertificateRefused):
        return CertificateRefused("certificate")
    if isinstance(error, requests.ConnectTimeout) or isinstance(cause, NewConnectionError):
        return NotSent("no connection")
    return None


class _Deadlines:
    """Bounds whole calls: a peer that sends one byte now and then never runs into a read timeout.

    One thread for all calls of this process, for starting one takes longer than signing a request. It sleeps until a
    deadline, mostly of a call that has long ended, and looks what the next one is.
    """

    def __init__(self) -> None:
        # A connection that its peer announced to close forgets its socket while the answer is still being read from it.
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._until: dict[threading.Event, float] = {}
        self._changed = threading.Condition()
        self._wakes_at: float | None = None
        """On time.monotonic's clock; infinity while there is nothing to wake for, None before the thread is started."""

    def connected(self, connection: socket.socket) -> bool:
        """This socket is cut with the others; False if they have been cut before."""
        with self._changed:
            self._sockets.add(connection)
            return time.monotonic() < min(self._until.values(), default=math.inf)

    @contextlib.contextmanager
    def cut_after(self, timeout_s: float) -> Iterator[threading.Event]:
        """Cut the connections when the block takes longer; the event says whether that was so.

        They are cut again and again, for one that was just being made goes on.
        """
        cut, deadline = threading.Event(), time.monotonic() + timeout_s
        with self._changed:
            self._until[cut] = deadline
            if self._wakes_at is None:
                self._wakes_at = deadline
                threading.Thread(target=self._run, daemon=True).start()
            elif deadline < self._wakes_at:
                self._changed.notify()
        try:
            yield cut
        finally:
            with self._changed:
                del self._until[cut]

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                overdue = [cut for cut, deadline in self._until.items() if deadline <= now]
                for cut in overdue:
                    cut.set()
                if overdue:
                    self._cut()
                self._wakes_at = now + CUT_AGAIN_S if overdue else min(self._until.values(), default=math.inf)
                self._changed.wait(min(self._wakes_at - now, threading.TIMEOUT_MAX))

    def _cut(self) -> None:
        """End every connection of this process: a function's environment makes one call at a time."""
        for connection in list(self._sockets):
            # The plain socket's method: SSLSocket's own would take the TLS layer from under the reading thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


_deadlines = _Deadlines()
