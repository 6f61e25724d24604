"""Lambda may freeze an environment, and `time.monotonic` with it: ages are told by the wall clock."""

import time

import pytest
from autodebit.alipay.credentials import MAX_AGE_S, CredentialsStore
from autodebit.alipay.signature import SignedMessage, sign
from autodebit.alipay.transport import IDLE_MAX_S, Transport
from autodebit.errors import CredentialsUnavailable

from tests.kit.peer import Peer
from tests.kit.samples import CLIENT_ID, KEYS, private_key, secret


class WallClock:
    """A day passes while the monotonic clock stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_795_339_803.0
        standing = time.monotonic()
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "monotonic", lambda: standing)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    return WallClock(monkeypatch)


def read_by(reads: list[str]) -> str:
    if not reads:
        raise CredentialsUnavailable("ReadTimeoutError")
    return reads.pop(0)


def test_a_new_key_of_alipays_is_taken_after_a_freeze(clock: WallClock) -> None:
    new = secret(alipayPublicKeys={"2": KEYS["alipay2"]["public"]})
    reads = [secret(), new]
    store = CredentialsStore(lambda: read_by(reads), clock=time.time)
    store.get()
    clock.now += MAX_AGE_S
    message = SignedMessage("/v1/notifications/payment", CLIENT_ID, "2026-11-22T01:30:03-08:00", b"{}")
    assert store.authenticate(message, sign(message, private_key("alipay2"), "2")) == "2"


def test_one_failed_read_refuses_nothing_after_a_freeze(clock: WallClock) -> None:
    reads: list[str] = []
    store = CredentialsStore(lambda: read_by(reads), clock=time.time)
    with pytest.raises(CredentialsUnavailable):
        store.get()
    reads.append(secret())
    clock.now += 60
    assert store.get().client_id == CLIENT_ID


def test_a_clock_that_was_set_back_makes_nothing_younger(clock: WallClock) -> None:
    reads = [secret(), secret(privateKeyVersion="2")]
    store = CredentialsStore(lambda: read_by(reads), clock=time.time)
    store.get()
    clock.now -= 3600
    assert store.get().private_key_version == "2"


@pytest.mark.parametrize("passed_s", [IDLE_MAX_S + 1, -3600.0])
def test_a_connection_from_before_a_freeze_is_not_used_again(monkeypatch: pytest.MonkeyPatch, passed_s: float) -> None:
    peer = Peer(lambda call: call.answer(b"{}"))
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall)
    try:
        over = Transport()
        for _ in range(2):
            over.post(f"{peer.url}/ams/api/v1/payments/pay", b"{}", {}, 30.0)
        assert peer.connections == 1
        wall += passed_s
        over.post(f"{peer.url}/ams/api/v1/payments/pay", b"{}", {}, 30.0)
    finally:
        peer.stop()
    assert peer.connections == 2
