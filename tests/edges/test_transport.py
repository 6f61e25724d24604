"""HTTP over real sockets: what is certain not to have left, and every answer that tells nothing."""

import contextlib
import functools
import gzip
import resource
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from autodebit.alipay import transport
from autodebit.alipay.transport import ANSWER_BYTES_MAX, Transport
from autodebit.errors import CertificateRefused, GatewayError, NotSent, OutcomeUnknown

from tests.kit.peer import Call, Certificates, Peer, Script
from tests.kit.waiting import eventually

BODY = b'{"paymentRequestId":"ord-20261122-000017"}'

Serve = Callable[..., Peer]

TIMEOUT_S = 0.5
GIVEN_UP_S = 15.0
"""Far more than TIMEOUT_S on a busy machine, far less than a slow peer would take."""

SLOW_BYTES = 1000
"""So many, each 50 ms after the last, take three times as long as GIVEN_UP_S at least."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    peers: list[Peer] = []

    def started(script: Script, tls: ssl.SSLContext | None = None) -> Peer:
        peers.append(Peer(script, tls))
        return peers[-1]

    yield started
    for peer in peers:
        peer.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def trusting(certificates: Certificates) -> Transport:
    """A transport that trusts the authority of these tests instead of the world's."""
    over = Transport()
    over._adapter.send = functools.partial(over._adapter.send, verify=str(certificates.authority))  # type: ignore[method-assign]
    return over


def post(url: str, timeout_s: float = 30.0, over: Transport | None = None) -> tuple[dict[str, str], bytes]:
    return (over or Transport()).post(f"{url}/ams/api/v1/payments/pay", BODY, {"client-id": "x"}, timeout_s)


def refused(url: str, timeout_s: float = 30.0, over: Transport | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as failed:
        post(url, timeout_s, over)
    return failed.value


# --- A complete answer -------------------------------------------------------------------------------------------


def test_a_complete_200_is_returned_byte_for_byte(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b' {"a" : "\\/"}\r\n', Signature="s", Response_Time="t", Client_Id="c"))
    headers, body = post(peer.url)
    assert body == b' {"a" : "\\/"}\r\n'
    assert (headers["signature"], headers["response-time"], headers["client-id"]) == ("s", "t", "c")


def test_what_is_sent_is_the_body_byte_for_byte_in_one_post(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b"{}"))
    post(peer.url)
    (call,) = peer.calls
    assert call.head.startswith(b"POST /ams/api/v1/payments/pay HTTP/1.1\r\n")
    assert call.body == BODY
    assert call.headers["client-id"] == "x"
    assert call.headers["accept-encoding"] == "identity"


def test_a_chunked_answer_is_put_together(serve: Serve) -> None:
    peer = serve(
        lambda call: call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    )
    assert post(peer.url)[1] == b"abcde"


def test_a_packed_answer_is_not_unpacked_for_the_bytes_that_came_are_what_is_signed(serve: Serve) -> None:
    packed = gzip.compress(b"{}")
    peer = serve(lambda call: call.answer(packed, Content_Encoding="gzip"))
    assert post(peer.url)[1] == packed


def test_an_answer_may_be_as_long_as_the_limit(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b"x" * ANSWER_BYTES_MAX))
    assert len(post(peer.url)[1]) == ANSWER_BYTES_MAX


# --- Certain: nothing left ---------------------------------------------------------------------------------------


def test_a_refused_connection_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = refused(f"http://127.0.0.1:{port}")
    assert isinstance(error, NotSent)
    assert error.reason == "no connection"


def test_a_host_without_an_address_was_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = refused("https://gateway.invalid")
    assert isinstance(error, NotSent)
    assert error.reason == "no connection"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_is_found_after_the_deadline_gets_no_byte_of_the_request(
    scheme: str, serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking a name up has no timeout; a cancel that left so late could cross the one after it."""
    peer = serve(lambda call: call.answer(b"{}"), certificates.server("127.0.0.1") if scheme == "https" else None)
    found = socket.getaddrinfo

    def slowly(*arguments: Any, **named: Any) -> Any:
        time.sleep(0.4)
        return found(*arguments, **named)

    over = trusting(certificates)
    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    assert isinstance(refused(f"{scheme}://127.0.0.1:{peer.port}", over=over, timeout_s=0.2), NotSent)
    monkeypatch.undo()
    assert post(f"{scheme}://127.0.0.1:{peer.port}", over=over)[1] == b"{}"
    assert len(peer.calls) == 1, "of the second call"


def test_a_host_that_swallows_connections_was_sent_nothing() -> None:
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    waiting = []
    try:
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(full.getsockname())
            waiting.append(client)
        started = time.monotonic()
        error = refused(f"http://127.0.0.1:{full.getsockname()[1]}", timeout_s=0.6)
    finally:
        for client in [*waiting, full]:
            client.close()
    assert time.monotonic() - started < GIVEN_UP_S
    if not isinstance(error, NotSent):
        pytest.skip("this system takes more connections than asked for")


def test_connecting_takes_three_seconds_at_most() -> None:
    assert transport.CONNECT_TIMEOUT_S == 3.0


@pytest.mark.parametrize(
    ("hosts", "self_signed", "trusted"),
    [(["127.0.0.1"], True, True), (["127.0.0.1"], False, False), (["example.com"], False, True)],
    ids=["self-signed", "of an unknown authority", "of another host"],
)
def test_a_certificate_that_is_not_the_gateways_gets_no_byte_of_the_request(
    hosts: list[str], self_signed: bool, trusted: bool, serve: Serve, certificates: Certificates
) -> None:
    peer = serve(lambda call: call.answer(b"{}"), certificates.server(*hosts, self_signed=self_signed))
    over = trusting(certificates) if trusted else Transport()
    error = refused(f"https://127.0.0.1:{peer.port}", over=over)
    assert isinstance(error, CertificateRefused)
    assert peer.bytes_in_clear == b""


def test_the_gateways_own_certificate_is_believed(serve: Serve, certificates: Certificates) -> None:
    peer = serve(lambda call: call.answer(b"{}"), certificates.server("127.0.0.1"))
    over = trusting(certificates)
    assert post(f"https://127.0.0.1:{peer.port}", over=over)[1] == b"{}"


@pytest.mark.parametrize("how", ["cut", "reset", "plain http", "silent", "dripping"])
def test_a_tls_handshake_that_fails_sent_nothing(how: str) -> None:
    """The handshake is over before a byte of the request is written."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def spoil() -> None:
            connection, _ = server.accept()
            connection.recv(1024)
            if how == "plain http":
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            if how == "silent":
                done.wait(2 * GIVEN_UP_S)
            if how == "dripping":
                with contextlib.suppress(OSError):
                    Call(connection, b"POST /", b"").drip(b"\x16\x03\x03\x10\x00" + bytes(SLOW_BYTES))
            call = Call(connection, b"POST /", b"")
            call.reset() if how == "reset" else call.close()

        threading.Thread(target=spoil, daemon=True).start()
        started = time.monotonic()
        error = refused(f"https://127.0.0.1:{server.getsockname()[1]}", timeout_s=0.6)
        done.set()
    assert isinstance(error, NotSent)
    assert time.monotonic() - started < GIVEN_UP_S


# --- It may have left --------------------------------------------------------------------------------------------

ANNOUNCED = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n"
ELSEWHERE = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n"

USELESS: dict[str, Script] = {
    "reset after reading": Call.reset,
    "closed after reading": Call.close,
    "HTTP 500": lambda call: call.answer(b'{"result":{"resultStatus":"S"}}', "500 Internal Server Error"),
    "HTTP 502 in HTML": lambda call: call.answer(b"<html>", "502 Bad Gateway"),
    "HTTP 503": lambda call: call.answer(b"", "503 Service Unavailable", Retry_After="0"),
    "HTTP 429": lambda call: call.answer(b"", "429 Too Many Requests", Retry_After="0"),
    "HTTP 401": lambda call: call.answer(b"", "401 Unauthorized", WWW_Authenticate="Basic realm=x"),
    "HTTP 201": lambda call: call.answer(b"{}", "201 Created"),
    "HTTP 204": lambda call: call.send(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "HTTP 206": lambda call: call.answer(b"{}", "206 Partial Content"),
    "HTTP 304": lambda call: call.send(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "a redirect without a location": lambda call: call.answer(b"", "302 Found"),
    "a redirect elsewhere": lambda call: call.answer(b"", "302 Found", Location="/elsewhere"),
    "a redirect that keeps the method": lambda call: call.answer(b"", "307 Temporary Redirect", Location="/elsewhere"),
    "a redirect for good": lambda call: call.answer(b"{}", "308 Permanent Redirect", Location="/elsewhere"),
    "a redirect to no URL": lambda call: call.answer(b"", "302 Found", Location="http://[::1"),
    "a redirect to no text": lambda call: call.answer(b"", "302 Found", Location="/\xff\xfe"),
    "a redirect to another scheme": lambda call: call.answer(b"", "302 Found", Location="file:///etc/passwd"),
    "a redirect to a port that is none": lambda call: call.answer(b"", "302 Found", Location="http://x:99999999/"),
    "not HTTP": lambda call: call.send(b"\x00\xff\xfe\r\n\r\n"),
    "SSH": lambda call: call.send(b"SSH-2.0-OpenSSH_9.9\r\n").close(),
    "two lengths": lambda call: call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}"),
    "a line without end": lambda call: call.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000).close(),
    "a thousand headers": lambda call: call.send(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n"),
    "a chunk that is none": lambda call: call.send(CHUNKED + b"xyz\r\n{}\r\n0\r\n\r\n"),
    "too long": lambda call: call.answer(b"x" * (ANSWER_BYTES_MAX + 1)),
    "a truncated chunk": lambda call: call.send(CHUNKED + b"ff\r\n{}").close(),
    "truncated before the body": lambda call: call.send(ANNOUNCED).close(),
    "truncated within the body": lambda call: call.send(ANNOUNCED + b"{}").close(),
}


@pytest.mark.parametrize("how", USELESS)
def test_what_is_no_complete_200_tells_nothing_and_is_asked_for_once(how: str, serve: Serve) -> None:
    peer = serve(USELESS[how])
    error = refused(peer.url)
    assert type(error) is OutcomeUnknown
    assert len(peer.calls) == 1
    assert peer.connections == 1


def test_a_connection_reset_before_the_request_was_read_tells_nothing(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def spoil() -> None:
            connection, _ = server.accept()
            time.sleep(0.1)
            Call(connection, b"POST /", b"").reset()

        threading.Thread(target=spoil, daemon=True).start()
        error = refused(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert type(error) is OutcomeUnknown


def test_a_status_is_told_as_the_reason(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b"", "429 Too Many Requests"))
    assert refused(peer.url).reason == "HTTP 429"


# --- Bounds of time ----------------------------------------------------------------------------------------------

SLOW: dict[str, Script] = {
    "silence": lambda call: call.pause(2 * GIVEN_UP_S),
    "headers drip": lambda call: call.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * SLOW_BYTES),
    "the status drips": lambda call: call.drip(b"HTTP/1.1 200 " + b"O" * SLOW_BYTES),
    "a body drips": lambda call: call.send(ANNOUNCED).drip(b"x" * SLOW_BYTES),
    "chunks drip": lambda call: call.send(CHUNKED).drip(b"1\r\nx\r\n" * SLOW_BYTES),
    "the body of a connection that closes drips": lambda call: call.send(CLOSING).drip(b"x" * SLOW_BYTES),
    "a body without a length drips": lambda call: call.send(b"HTTP/1.0 200 OK\r\n\r\n").drip(b"x" * SLOW_BYTES),
    "the body of a redirect drips": lambda call: call.send(ELSEWHERE).drip(b"x" * SLOW_BYTES),
    "HTTP 100 for ever": lambda call: [
        call.send(b"HTTP/1.1 100 Continue\r\n").drip(b"\r\n") for _ in range(SLOW_BYTES)
    ],
}


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("how", SLOW)
def test_a_slow_answer_is_given_up_in_time(how: str, tls: bool, serve: Serve, certificates: Certificates) -> None:
    peer = serve(SLOW[how], certificates.server("127.0.0.1") if tls else None)
    over = trusting(certificates)
    started = time.monotonic()
    error = refused(f"http{'s' if tls else ''}://127.0.0.1:{peer.port}", TIMEOUT_S, over)
    elapsed = time.monotonic() - started
    assert type(error) is OutcomeUnknown
    assert elapsed < GIVEN_UP_S
    assert len(peer.calls) == 1


def test_after_an_answer_was_given_up_the_next_call_has_its_own_time(serve: Serve) -> None:
    peer = serve(lambda call: call.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * SLOW_BYTES))
    over = Transport()
    refused(peer.url, TIMEOUT_S, over)
    peer.script = lambda call: call.pause(0.3).answer(b"{}")
    assert post(peer.url, 5.0, over)[1] == b"{}"


def test_a_call_with_little_time_is_cut_in_time_after_one_with_much(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b"{}"))
    over = Transport()
    post(peer.url, 60.0, over)
    peer.script = SLOW["headers drip"]
    started = time.monotonic()
    refused(peer.url, TIMEOUT_S, over)
    assert time.monotonic() - started < GIVEN_UP_S


# --- Bounds of size ----------------------------------------------------------------------------------------------


def zipped(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


BOMB = zipped(120)


def endless(call: Call) -> None:
    call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n")
    for _ in range(50):
        call.send(b"x" * (1 << 20))


LARGE: dict[str, Script] = {
    "50 MB": endless,
    "a gzip bomb": lambda call: call.answer(BOMB, Content_Encoding="gzip"),
    "a gzip bomb in a redirect": lambda call: call.answer(BOMB, "302 Found", Location="/x", Content_Encoding="gzip"),
    "a gzip bomb in a fault": lambda call: call.answer(BOMB, "500 Internal Server Error", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("how", LARGE)
def test_a_large_answer_takes_little_memory(how: str, serve: Serve) -> None:
    peer = serve(LARGE[how])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(OutcomeUnknown):
        assert len(post(peer.url, 10.0)[1]) <= ANSWER_BYTES_MAX
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 60


# --- Connections -------------------------------------------------------------------------------------------------


def test_a_second_call_goes_over_the_same_connection(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b"{}"))
    over = Transport()
    for _ in range(3):
        post(peer.url, over=over)
    assert (peer.connections, len(peer.calls)) == (1, 3)


def test_a_connection_the_peer_closed_meanwhile_is_replaced_and_the_call_sent_once(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b"{}").close())
    over = Transport()
    post(peer.url, over=over)
    eventually(lambda: peer.calls[0].connection.fileno() == -1, "the peer closed")
    assert post(peer.url, over=over)[1] == b"{}"
    assert (peer.connections, len(peer.calls)) == (2, 2)


def test_a_connection_that_dies_under_the_second_call_is_not_tried_again(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b"{}"))
    over = Transport()
    post(peer.url, over=over)
    peer.script = Call.reset
    assert type(refused(peer.url, over=over)) is OutcomeUnknown
    assert len(peer.calls) == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = serve(lambda call: call.answer(b"{}"))
    over = Transport()
    post(peer.url, over=over)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + transport.IDLE_MAX_S + 1)
    post(peer.url, over=over)
    assert (peer.connections, len(peer.calls)) == (2, 2)


def test_no_cookie_is_kept(serve: Serve) -> None:
    peer = serve(lambda call: call.answer(b"{}", Set_Cookie="a=b; Path=/"))
    over = Transport()
    for _ in range(2):
        post(peer.url, over=over)
    assert "cookie" not in peer.calls[1].headers


def test_after_a_failure_the_next_call_is_fresh(serve: Serve) -> None:
    peer = serve(Call.reset)
    over = Transport()
    refused(peer.url, over=over)
    peer.script = lambda call: call.answer(b"{}")
    assert post(peer.url, over=over)[1] == b"{}"


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_in_the_environment_sees_nothing(name: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    peer, proxy = serve(lambda call: call.answer(b"{}")), serve(lambda call: call.answer(b"proxy"))
    monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert post(peer.url)[1] == b"{}"
    assert proxy.connections == 0


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_in_the_environment_is_not_trusted(
    name: str, serve: Serve, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = serve(lambda call: call.answer(b"{}"), certificates.server("127.0.0.1"))
    monkeypatch.setenv(name, str(certificates.authority))
    error = refused(f"https://127.0.0.1:{peer.port}")
    assert isinstance(error, CertificateRefused)


def test_no_password_of_the_environment_is_sent(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    peer = serve(lambda call: call.answer(b"{}"))
    post(peer.url)
    assert "authorization" not in peer.calls[0].headers
