"""The merchant's credentials: one secret, read seldom, parsed once.

Format: the JSON object shown in README's "Keys". Keys come in every spelling that Alipay's dashboard, its SDKs and
their users produce: PKCS#1 or PKCS#8, with or without armour, with or without line breaks.
https://docs.antom.com/ac/ref/key_config_en
"""

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from autodebit.alipay.signature import SignedMessage, verify
from autodebit.errors import CredentialsUnavailable, SignatureInvalid

MAX_AGE_S = 300
"""A changed secret is in use everywhere after this time at the latest, without a deployment."""

MIN_AGE_S = 60
"""A message that does not verify may mean a new key; however many come, they cause one read in this time."""

FAILED_READ_S = 1
"""After a failed read, and with nothing cached, it is not read again for so long: strangers can call the webhook."""

BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"

_CLIENT_ID = re.compile(r"[!#-&(-+\--_a-~]+")
"""Printable ASCII but quotes, which come with the pasting, and the comma, which separates pairs in a header."""

_KEY_VERSION = re.compile(r"0|[1-9][0-9]*")

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
"""A block of PEM; whatever stands around it explains. https://www.rfc-editor.org/rfc/rfc7468#section-2"""

_ARMOUR = re.compile(r"-----[A-Z ]+-----")


@dataclass(frozen=True)
class Credentials:
    """What the secret holds, ready for use."""

    client_id: str
    private_key_text: str = field(repr=False)
    private_key_version: str
    alipay_public_keys: Mapping[str, RSAPublicKey]

    @cached_property
    def private_key(self) -> RSAPrivateKey:
        """The merchant's key, parsed when it is first needed: notify never signs. Raises CredentialsUnavailable."""
        return parse_private_key(self.private_key_text)

    def holds_own_public_key(self) -> bool:
        """Whether the merchant's own public key stands where Alipay's belongs.

        Never raises: who verifies needs no private key, and an error of it would read as "nothing was sent".
        """
        try:
            return self.private_key.public_key() in self.alipay_public_keys.values()
        except CredentialsUnavailable:
            return False


class CredentialsStore:
    """The credentials of this environment, cached for at most MAX_AGE_S.

    `read_secret` returns the secret's text and raises CredentialsUnavailable. Ages are told by the wall clock:
    time.monotonic may stand still while Lambda freezes an environment.
    """

    def __init__(self, read_secret: Callable[[], str], clock: Callable[[], float] = time.time) -> None:
        self._read_secret = read_secret
        self._clock = clock
        self._credentials: Credentials | None = None
        self._failure: str | None = None
        self._tried_at = 0.0

    def get(self) -> Credentials:
        """The credentials. Raises CredentialsUnavailable only when there are none from before."""
        if self._credentials is not None and self._tried_within(MAX_AGE_S):
            return self._credentials
        if self._failure and self._tried_within(FAILED_READ_S):
            raise CredentialsUnavailable(self._failure)
        return self._read()

    def authenticate(self, message: SignedMessage, signature_header: str) -> str:
        """The key version under which `message` proves to be Alipay's to us.

        Raises SignatureInvalid, and CredentialsUnavailable. A message that does not verify makes the secret be read
        again, at most once in MIN_AGE_S: its key may be newer than what is cached.
        """
        try:
            return self._verify(message, signature_header)
        except SignatureInvalid:
            if self._tried_within(MIN_AGE_S):
                raise
            self._read()
            return self._verify(message, signature_header)

    def _tried_within(self, seconds: float) -> bool:
        """Whether the secret was tried less than so long ago; a clock that was set back says no."""
        return 0 <= self._clock() - self._tried_at < seconds

    def _verify(self, message: SignedMessage, signature_header: str) -> str:
        credentials = self.get()
        if message.client_id != credentials.client_id:
            raise SignatureInvalid("client id")
        try:
            return verify(message, signature_header, credentials.alipay_public_keys)
        except SignatureInvalid as error:
            if credentials.holds_own_public_key():
                # The mistake most reported: https://github.com/alipay/global-open-sdk-php/issues/3
                raise SignatureInvalid("alipayPublicKeys holds your own public key, not Alipay's") from error
            raise

    def _read(self) -> Credentials:
        """Replace the cache; when the secret cannot be had, what is cached goes on being used."""
        try:
            credentials = parse_credentials(self._read_secret())
        except CredentialsUnavailable as error:
            if self._credentials is None:
                self._failure = error.reason
                raise
            credentials = self._credentials
        finally:
            self._tried_at = self._clock()
        self._credentials = credentials
        return credentials


def parse_credentials(secret: str) -> Credentials:
    """The credentials in a secret's text. Raises CredentialsUnavailable, naming the field and never its value."""
    try:
        fields = json.loads(secret.removeprefix(BYTE_ORDER_MARK))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise CredentialsUnavailable(
            f"the secret is not JSON at {place}; a comma must not stand before a closing brace, and a line break in a "
            "key is written \\n"
        ) from None
    except (ValueError, RecursionError):
        raise CredentialsUnavailable("the secret is not JSON") from None
    return Credentials(
        client_id=_client_id(fields),
        private_key_text=_entry(fields, "privateKey", str),
        private_key_version=_key_version(_entry(fields, "privateKeyVersion", str), "privateKeyVersion"),
        alipay_public_keys=_public_keys(_entry(fields, "alipayPublicKeys", dict)),
    )


def _public_keys(texts: dict[str, Any]) -> dict[str, RSAPublicKey]:
    keys: dict[str, RSAPublicKey] = {}
    for text, key in texts.items():
        version = _key_version(text, "a name in alipayPublicKeys")
        if version in keys:
            raise CredentialsUnavailable(f"alipayPublicKeys names key version {version} twice")
        keys[version] = parse_public_key(key, f"alipayPublicKeys.{version}")
    return keys


def _entry(fields: Any, name: str, kind: type) -> Any:
    value = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(value, kind) or not value:
        raise CredentialsUnavailable(f"{name} is missing or is no {'object' if kind is dict else 'string'}")
    return value


def _client_id(fields: Any) -> str:
    """The client id, which goes into a header: white space around it came with the pasting."""
    client_id = str(_entry(fields, "clientId", str)).strip()
    if not _CLIENT_ID.fullmatch(client_id):
        raise CredentialsUnavailable("clientId has quotes, a comma or other characters that no client id has")
    return client_id


def _key_version(text: str, name: str) -> str:
    """A key version as Alipay writes it: another spelling of the number would never match a message's."""
    version = text.strip()
    if not _KEY_VERSION.fullmatch(version):
        raise CredentialsUnavailable(f"{name} is no key version: it must be a whole number in digits, such as 1")
    return version


def parse_private_key(text: str, *, validate: bool = False) -> RSAPrivateKey:
    """The merchant's RSA key, PKCS#1 or PKCS#8. Raises CredentialsUnavailable.

    Whether its numbers belong together (`validate`) takes 30 ms and is asked where the secret is put in place
    (`make check-secret`), not at every cold start.
    """
    try:
        key = load_der_private_key(
            _der(text, "PRIVATE KEY"), password=None, unsafe_skip_rsa_key_validation=not validate
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialsUnavailable("privateKey is no unencrypted RSA key in PKCS#1 or PKCS#8") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise CredentialsUnavailable("privateKey is no RSA key of 2048 bits")
    return key


def parse_public_key(text: Any, name: str = "alipayPublicKeys") -> RSAPublicKey:
    """One of Alipay's RSA keys. Raises CredentialsUnavailable."""
    try:
        key = load_der_public_key(_der(text, "PUBLIC KEY"))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialsUnavailable(f"{name} is no RSA public key") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
        raise CredentialsUnavailable(f"{name} is no RSA public key of 2048 bits")
    return key


def _der(text: Any, label: str) -> bytes:
    """The bytes inside the first block of this label, or else the first block, or else the whole text.

    Labels are often the wrong ones. White space of every kind is dropped. Raises ValueError, as binascii.Error is one,
    and TypeError for what is no text.
    """
    if not isinstance(text, str):
        raise TypeError
    text = text.removeprefix(BYTE_ORDER_MARK).replace("\\r", "\r").replace("\\n", "\n")
    blocks = _BLOCK.findall(text)
    of_label = [body for name, body in blocks if name.endswith(label)]
    body = (of_label or [body for _, body in blocks] or [_ARMOUR.sub("", text)])[0]
    return base64.b64decode("".join(body.split()), validate=True)
