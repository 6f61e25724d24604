"""The keyed digest of a token: TOKEN_CANCELED names a token only, and `receive` finds the agreement by this digest."""

from botocore.exceptions import BotoCoreError, ClientError

from autodebit.agreement import kms


class TokenDigests:
    """A keyed digest of a token, by which its agreement is found. Its key never leaves KMS."""

    def __init__(self, key_id: str) -> None:
        self._key_id = key_id

    def digest(self, token: str) -> str:
        """HMAC-SHA-256 in hex. Raises VaultUnavailable."""
        try:
            made = kms.client().generate_mac(KeyId=self._key_id, MacAlgorithm="HMAC_SHA_256", Message=token.encode())
        except (BotoCoreError, ClientError) as error:
            kms.unavailable(error)
        return bytes(made["Mac"]).hex()
