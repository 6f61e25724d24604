"""The vault on a real KMS: what is sealed opens where it belongs, and nowhere else."""

import os
import re
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from autodebit.agreement import kms as module
from autodebit.agreement.agreement_table import TABLE_NAME
from autodebit.agreement.kms import KEY_GRACE_S, KEY_MAX_AGE_S, Kms, OwnKey, SharedKey
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.vault import Vault
from autodebit.errors import VaultUnavailable
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.kit.agreements import ACCESS_TOKEN

from .conftest import World


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """The client of KMS, counted; `error` is raised by each call once it is set."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[str] = []
        self.arguments: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            self.arguments.append(arguments)
            if self.error:
                raise self.error
            return getattr(self._client, name)(**arguments)

        return call


@pytest.fixture
def client(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted(aws("kms"))
    monkeypatch.setattr(module, "client", lambda: counted)
    return counted


def vault_of(key: str, table: str = TABLE_NAME, clock: Callable[[], float] = time.time) -> Vault:
    kms = Kms(key, table, clock)
    return Vault(kms, table, OwnKey(kms, clock))


def refused(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Decrypt")


def test_what_is_sealed_opens_in_another_process(keys: tuple[str, str]) -> None:
    sealed = vault_of(keys[0]).seal(ACCESS_TOKEN, "agr-1", "accessToken")
    assert ACCESS_TOKEN.encode() not in sealed
    assert vault_of(keys[0]).open(sealed, "agr-1", "accessToken") == ACCESS_TOKEN


def test_the_same_token_is_never_sealed_to_the_same_bytes(keys: tuple[str, str]) -> None:
    vault = vault_of(keys[0])
    assert len({vault.seal(ACCESS_TOKEN, "agr-1", "accessToken") for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("table", "agreement_id", "field"),
    [
        (TABLE_NAME, "agr-2", "accessToken"),
        (TABLE_NAME, "agr-1", "refreshToken"),
        (TABLE_NAME, "agr-1", "authCode"),
        ("another table", "agr-1", "accessToken"),
    ],
)
def test_moved_to_another_table_row_or_field_it_does_not_open(
    keys: tuple[str, str], table: str, agreement_id: str, field: str
) -> None:
    sealed = vault_of(keys[0]).seal(ACCESS_TOKEN, "agr-1", "accessToken")
    with pytest.raises(VaultUnavailable):
        vault_of(keys[0], table).open(sealed, agreement_id, field)


def test_a_changed_byte_does_not_open(keys: tuple[str, str]) -> None:
    vault = vault_of(keys[0])
    sealed = vault.seal(ACCESS_TOKEN, "agr-1", "accessToken")
    # The wrapped key in between is KMS's own to authenticate; the emulator's does not.
    for position in (0, 1, 2, *range(len(sealed) - 60, len(sealed))):
        changed = bytes([*sealed[:position], sealed[position] ^ 1, *sealed[position + 1 :]])
        with pytest.raises(VaultUnavailable):
            vault.open(changed, "agr-1", "accessToken")
    for short in (b"", sealed[:1], sealed[:50]):
        with pytest.raises(VaultUnavailable):
            vault.open(short, "agr-1", "accessToken")


def test_what_is_cut_short_is_not_taken_to_kms(keys: tuple[str, str], client: Counted) -> None:
    sealed = vault_of(keys[0]).seal(ACCESS_TOKEN, "agr-1", "accessToken")
    client.calls.clear()
    for short in (b"", sealed[:1], sealed[:50], sealed[: 3 + len(Parts(sealed).wrapped) + 11]):
        with pytest.raises(VaultUnavailable, match="another version"):
            vault_of(keys[0]).open(short, "agr-1", "accessToken")
    assert client.calls == []


class Parts:
    """The parts of what is sealed, read by their documented lengths."""

    def __init__(self, sealed: bytes) -> None:
        assert sealed[0] == 1
        length = sealed[1] * 256 + sealed[2]
        self.wrapped, rest = sealed[3 : 3 + length], sealed[3 + length :]
        self.nonce, self.ciphertext = rest[:12], rest[12:]


def test_what_is_sealed_has_the_form_that_earlier_releases_read(keys: tuple[str, str]) -> None:
    """Version, length of the wrapped key, wrapped key, nonce, AES-GCM: bound to table, agreement and field."""
    key = Kms(keys[0], TABLE_NAME).generate()
    sealed = Vault(Kms(keys[0], TABLE_NAME), TABLE_NAME, lambda: key).seal(ACCESS_TOKEN, "agr-1", "accessToken")
    parts = Parts(sealed)
    assert parts.wrapped == key.wrapped
    assert len(parts.ciphertext) == len(ACCESS_TOKEN) + 16
    place = b'{"agreement":"agr-1","field":"accessToken","table":"%s"}' % TABLE_NAME.encode()
    assert AESGCM(key.plain).decrypt(parts.nonce, parts.ciphertext, place).decode() == ACCESS_TOKEN


def test_a_data_key_is_asked_for_this_table_and_as_long_as_it_is_to_be(keys: tuple[str, str], client: Counted) -> None:
    kms = Kms(keys[0], TABLE_NAME)
    key = kms.generate()
    assert len(key.plain) == 32
    Kms(keys[0], TABLE_NAME).unwrap(key.wrapped)
    generated, decrypted = client.arguments
    assert generated == {"KeyId": keys[0], "KeySpec": "AES_256", "EncryptionContext": {"table": TABLE_NAME}}
    assert decrypted == {
        "KeyId": keys[0],
        "CiphertextBlob": key.wrapped,
        "EncryptionContext": {"table": TABLE_NAME},
    }


def test_both_tries_of_a_call_to_kms_end_within_six_seconds() -> None:
    module.client.cache_clear()
    config = module.client().meta.config
    assert config.retries["total_max_attempts"] == 2
    assert 2 * (config.connect_timeout + config.read_timeout) <= 6
    module.client.cache_clear()


def test_at_the_beginning_of_time_nothing_is_cached_either(keys: tuple[str, str], client: Counted) -> None:
    clock = Clock()
    clock.now = 0.0
    sealed = vault_of(keys[0], clock=clock).seal(ACCESS_TOKEN, "agr-1", "accessToken")
    assert vault_of(keys[0], clock=clock).open(sealed, "agr-1", "accessToken") == ACCESS_TOKEN
    client.error = refused("ThrottlingException")
    with pytest.raises(VaultUnavailable):
        vault_of(keys[0], clock=clock).open(sealed, "agr-1", "accessToken")


def test_another_key_does_not_open(aws: Any, keys: tuple[str, str]) -> None:
    sealed = vault_of(keys[0]).seal(ACCESS_TOKEN, "agr-1", "accessToken")
    with pytest.raises(VaultUnavailable):
        vault_of(aws("kms").create_key()["KeyMetadata"]["Arn"]).open(sealed, "agr-1", "accessToken")


def test_who_opens_many_tokens_asks_kms_once_in_five_minutes(
    keys: tuple[str, str], client: Counted, world: World
) -> None:
    shared = SharedKey(Kms(keys[0], TABLE_NAME), world.table.wrapped_key, world.table.keep_wrapped_key)
    sealing = Vault(Kms(keys[0], TABLE_NAME), TABLE_NAME, shared)
    sealed = {f"agr-{n}": sealing.seal(f"token {n}", f"agr-{n}", "accessToken") for n in range(50)}
    clock = Clock()
    opening = vault_of(keys[0], clock=clock)
    client.calls.clear()
    for _ in range(2):
        assert [opening.open(one, name, "accessToken") for name, one in sealed.items()] == [
            f"token {n}" for n in range(50)
        ]
        clock.now += KEY_MAX_AGE_S - 1
    assert client.calls == ["decrypt"]
    clock.now += 2
    opening.open(sealed["agr-1"], "agr-1", "accessToken")
    assert client.calls == ["decrypt", "decrypt"]


def test_the_table_has_one_key_whoever_needs_it_first(keys: tuple[str, str], world: World) -> None:
    assert world.table.wrapped_key() is None
    first = world.table.keep_wrapped_key(b"first")
    assert first == world.table.keep_wrapped_key(b"second") == world.table.wrapped_key() == b"first"


def test_a_process_reads_the_tables_key_once_and_makes_none_if_there_is_one(
    keys: tuple[str, str], client: Counted, world: World
) -> None:
    def shared() -> SharedKey:
        return SharedKey(Kms(keys[0], TABLE_NAME), stored, world.table.keep_wrapped_key)

    reads = []

    def stored() -> bytes | None:
        reads.append(1)
        return world.table.wrapped_key()

    first = shared()()
    client.calls.clear()
    second = shared()
    assert second().plain == second().plain == first.plain
    assert client.calls == ["decrypt"]
    assert len(reads) == 2, "one of each process"


@pytest.mark.parametrize(
    "error",
    [
        refused("ThrottlingException"),
        refused("Throttling"),
        refused("KMSInternalException", 500),
        EndpointConnectionError(endpoint_url="kms"),
    ],
    ids=str,
)
def test_while_kms_is_away_what_is_cached_works_for_minutes(
    keys: tuple[str, str], client: Counted, error: Exception
) -> None:
    clock = Clock()
    vault = vault_of(keys[0], clock=clock)
    sealed = vault.seal(ACCESS_TOKEN, "agr-1", "accessToken")
    client.error = error
    for age_s in (0, KEY_MAX_AGE_S, KEY_GRACE_S - 1):
        clock.now += age_s
        assert vault.open(sealed, "agr-1", "accessToken") == ACCESS_TOKEN
        clock.now -= age_s
    clock.now += KEY_MAX_AGE_S + KEY_GRACE_S
    with pytest.raises(VaultUnavailable) as raised:
        vault.open(sealed, "agr-1", "accessToken")
    assert ACCESS_TOKEN not in str(raised.value)


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "KMSInvalidStateException"])
def test_a_key_that_is_denied_or_disabled_serves_no_longer_than_its_time(
    keys: tuple[str, str], client: Counted, code: str
) -> None:
    clock = Clock()
    vault = vault_of(keys[0], clock=clock)
    sealed = vault.seal(ACCESS_TOKEN, "agr-1", "accessToken")
    client.error = refused(code)
    assert vault.open(sealed, "agr-1", "accessToken") == ACCESS_TOKEN
    clock.now += KEY_MAX_AGE_S
    with pytest.raises(VaultUnavailable, match=code):
        vault.open(sealed, "agr-1", "accessToken")


def test_nothing_cached_and_kms_away_opens_nothing(keys: tuple[str, str], client: Counted) -> None:
    sealed = vault_of(keys[0]).seal(ACCESS_TOKEN, "agr-1", "accessToken")
    client.error = refused("ThrottlingException")
    with pytest.raises(VaultUnavailable):
        vault_of(keys[0]).open(sealed, "agr-1", "accessToken")
    with pytest.raises(VaultUnavailable):
        vault_of(keys[0]).seal(ACCESS_TOKEN, "agr-1", "accessToken")


def test_who_only_seals_makes_a_key_of_its_own_and_never_asks_to_decrypt(
    keys: tuple[str, str], client: Counted
) -> None:
    clock = Clock()
    vault = vault_of(keys[0], clock=clock)
    for _ in range(3):
        vault.seal(ACCESS_TOKEN, "agr-1", "authCode")
    clock.now += KEY_MAX_AGE_S
    vault.seal(ACCESS_TOKEN, "agr-1", "authCode")
    assert client.calls == ["generate_data_key", "generate_data_key"]


def test_a_key_is_kept_for_minutes_and_no_longer(keys: tuple[str, str]) -> None:
    clock = Clock()
    kms = Kms(keys[0], TABLE_NAME, clock)
    for _ in range(5):
        kms.generate()
        clock.now += KEY_MAX_AGE_S
    assert len(kms._keys) == (KEY_MAX_AGE_S + KEY_GRACE_S) // KEY_MAX_AGE_S


@pytest.mark.parametrize("later_s", [KEY_MAX_AGE_S, -1])
def test_a_key_of_another_time_is_had_anew_after_the_clock_was_set_back_too(
    keys: tuple[str, str], client: Counted, later_s: float
) -> None:
    clock = Clock()
    vault = vault_of(keys[0], clock=clock)
    sealed = vault.seal(ACCESS_TOKEN, "agr-1", "accessToken")
    vault.open(sealed, "agr-1", "accessToken")
    assert client.calls == ["generate_data_key"]
    clock.now += later_s
    vault.open(sealed, "agr-1", "accessToken")
    vault.seal(ACCESS_TOKEN, "agr-1", "accessToken")
    assert client.calls == ["generate_data_key", "decrypt", "generate_data_key"]


def test_keys_of_the_same_instant_are_all_kept(keys: tuple[str, str], client: Counted) -> None:
    kms = Kms(keys[0], TABLE_NAME, Clock())
    for key in [kms.generate(), kms.generate()]:
        assert kms.unwrap(key.wrapped) is key
    assert client.calls == ["generate_data_key", "generate_data_key"]


@pytest.mark.parametrize("error", [refused("KMSInternalException", 500), EndpointConnectionError(endpoint_url="kms")])
def test_kms_away_digests_nothing_and_says_what_it_was(
    keys: tuple[str, str], client: Counted, error: Exception
) -> None:
    client.error = error
    code = "EndpointConnectionError" if isinstance(error, EndpointConnectionError) else "KMSInternalException"
    with pytest.raises(VaultUnavailable, match=code):
        TokenDigests(keys[1]).digest(ACCESS_TOKEN)


def test_a_digest_is_the_tokens_own_and_needs_the_key(aws: Any, keys: tuple[str, str]) -> None:
    digests = TokenDigests(keys[1])
    assert digests.digest(ACCESS_TOKEN) == TokenDigests(keys[1]).digest(ACCESS_TOKEN)
    assert re.fullmatch(r"[0-9a-f]{64}", digests.digest(ACCESS_TOKEN))
    assert digests.digest(ACCESS_TOKEN) != digests.digest(ACCESS_TOKEN + "x")
    other = boto3.client("kms", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).create_key(
        KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC"
    )
    assert TokenDigests(other["KeyMetadata"]["Arn"]).digest(ACCESS_TOKEN) != digests.digest(ACCESS_TOKEN)


def test_a_key_shows_itself_to_nobody(keys: tuple[str, str]) -> None:
    key = Kms(keys[0], TABLE_NAME).generate()
    assert repr(key.plain) not in repr(key)
