"""The data keys that seal tokens: made and unwrapped by KMS, kept for minutes.

Ages are told by the wall clock: time.monotonic may stand still while Lambda freezes an environment.
docs/decisions/vault.md weighs this against asking KMS for each secret.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from autodebit import aws
from autodebit.errors import VaultUnavailable

KEY_MAX_AGE_S = 300
"""A data key is used for so long before KMS is asked again: a withdrawn right to decrypt ends within this time."""

KEY_GRACE_S = 600
"""While KMS does not answer, a data key that it gave before is used for so much longer."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key for AES-GCM, and the same wrapped by KMS."""

    wrapped: bytes
    plain: bytes = field(repr=False)


class Kms:
    """The key of the stack, under an encryption context that names the table. Raises VaultUnavailable."""

    def __init__(self, key_id: str, table_name: str, clock: Callable[[], float] = time.time) -> None:
        self._key_id = key_id
        self._context = {"table": table_name}
        self._clock = clock
        self._keys: dict[bytes, tuple[float, DataKey]] = {}

    def generate(self) -> DataKey:
        """A new data key; it needs kms:GenerateDataKey alone."""
        try:
            made = client().generate_data_key(KeyId=self._key_id, KeySpec="AES_256", EncryptionContext=self._context)
        except (BotoCoreError, ClientError) as error:
            unavailable(error)
        return self._keep(DataKey(made["CiphertextBlob"], made["Plaintext"]))

    def unwrap(self, wrapped: bytes) -> DataKey:
        """The data key that was wrapped, from KMS or from the last minutes; it needs kms:Decrypt."""
        asked_at, key = self._keys.get(wrapped, (0.0, None))
        age_s = self._clock() - asked_at
        if key is not None and 0 <= age_s < KEY_MAX_AGE_S:
            return key
        try:
            opened = client().decrypt(KeyId=self._key_id, CiphertextBlob=wrapped, EncryptionContext=self._context)
        except (BotoCoreError, ClientError) as error:
            if key is not None and 0 <= age_s < KEY_MAX_AGE_S + KEY_GRACE_S and _is_passing(error):
                return key
            unavailable(error)
        return self._keep(DataKey(wrapped, opened["Plaintext"]))

    def _keep(self, key: DataKey) -> DataKey:
        """Keep a key for the next minutes, and none for longer."""
        now = self._clock()
        self._keys = {
            wrapped: (asked_at, other)
            for wrapped, (asked_at, other) in self._keys.items()
            if 0 <= now - asked_at < KEY_MAX_AGE_S + KEY_GRACE_S
        }
        self._keys[key.wrapped] = (now, key)
        return key


class OwnKey:
    """A data key of this process, made when it is first needed and used for KEY_MAX_AGE_S.

    For a function that seals and must not open: making one needs no right to decrypt.
    """

    def __init__(self, kms: Kms, clock: Callable[[], float] = time.time) -> None:
        self._kms = kms
        self._clock = clock
        self._made_at = 0.0
        self._key: DataKey | None = None

    def __call__(self) -> DataKey:
        if self._key is None or not 0 <= self._clock() - self._made_at < KEY_MAX_AGE_S:
            self._key, self._made_at = self._kms.generate(), self._clock()
        return self._key


class SharedKey:
    """The one data key of the table, so that a process that opens many secrets asks KMS once. The first that needs it
    makes it.

    `stored` reads the wrapped key, None if there is none yet; `store` keeps one unless another was first, and returns
    what is kept.
    """

    def __init__(self, kms: Kms, stored: Callable[[], bytes | None], store: Callable[[bytes], bytes]) -> None:
        self._kms = kms
        self._stored = stored
        self._store = store
        self._wrapped: bytes | None = None

    def __call__(self) -> DataKey:
        if self._wrapped is None:
            self._wrapped = self._stored() or self._store(self._kms.generate().wrapped)
        return self._kms.unwrap(self._wrapped)


@cache
def client() -> Any:
    """botocore's own client, as `alipay.secret` has it."""
    config = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2})
    return aws.session().create_client("kms", config=config)


def _is_passing(error: BotoCoreError | ClientError) -> bool:
    """Whether KMS was out of reach or too busy; a key that is disabled or denied is one no more."""
    if isinstance(error, BotoCoreError):
        return True
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or error.response.get("Error", {}).get("Code") in ("ThrottlingException", "Throttling")


def unavailable(error: BotoCoreError | ClientError) -> NoReturn:
    """Raise VaultUnavailable for what KMS answered, or did not."""
    code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
    raise VaultUnavailable(code or type(error).__name__) from error
