"""The vault: what debits a buyer is kept sealed, and opens only where it belongs.

A sealed secret holds the data key that sealed it, wrapped by KMS, and an AES-GCM ciphertext bound to table, agreement
and field: moved elsewhere it does not open. docs/decisions/vault.md weighs this against asking KMS for each secret.

    version (1 byte) | length of the wrapped key (2) | wrapped key | nonce (12) | ciphertext and tag
"""

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from autodebit.agreement.kms import DataKey, Kms
from autodebit.alipay.strict_json import canonical
from autodebit.errors import VaultUnavailable

_VERSION = b"\x01"
_NONCE_BYTES = 12


class Opener:
    """Opens the secrets of one table."""

    def __init__(self, kms: Kms, table_name: str) -> None:
        self._kms = kms
        self._table_name = table_name

    def open(self, sealed: bytes, agreement_id: str, field_name: str) -> str:
        """What was sealed for this field of this agreement. Raises VaultUnavailable."""
        end = 3 + int.from_bytes(sealed[1:3], "big")
        if sealed[:1] != _VERSION or len(sealed) < end + _NONCE_BYTES:
            raise VaultUnavailable("sealed by another version")
        key = self._kms.unwrap(sealed[3:end])
        nonce, ciphertext = sealed[end : end + _NONCE_BYTES], sealed[end + _NONCE_BYTES :]
        try:
            return AESGCM(key.plain).decrypt(nonce, ciphertext, self._place(agreement_id, field_name)).decode()
        except (InvalidTag, ValueError):
            raise VaultUnavailable("not sealed for this table, agreement and field") from None

    def _place(self, agreement_id: str, field_name: str) -> bytes:
        return canonical({"table": self._table_name, "agreement": agreement_id, "field": field_name})


class Vault(Opener):
    """Seals them, too. `sealing_key` has the data key for what is sealed."""

    def __init__(self, kms: Kms, table_name: str, sealing_key: Callable[[], DataKey]) -> None:
        super().__init__(kms, table_name)
        self._sealing_key = sealing_key

    def seal(self, secret: str, agreement_id: str, field_name: str) -> bytes:
        """The secret for this field of this agreement. Raises VaultUnavailable."""
        key = self._sealing_key()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(key.plain).encrypt(nonce, secret.encode(), self._place(agreement_id, field_name))
        return _VERSION + len(key.wrapped).to_bytes(2, "big") + key.wrapped + nonce + sealed
