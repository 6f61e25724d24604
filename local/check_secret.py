"""Check the secret's JSON before it is put into Secrets Manager: every field, and every number of the keys.

make check-secret SECRET=secret.json
"""

import math
import sys
from pathlib import Path

from autodebit.alipay.credentials import Credentials, parse_credentials, parse_private_key
from autodebit.errors import CredentialsUnavailable

SMALL_PRIMES_BELOW = 100_000

NOT_KNOWN = """\
What no check on this machine can know: whether your public key is uploaded, and whether these are Alipay's keys. One
payment in the sandbox shows both."""


def checked(secret: bytes) -> Credentials:
    """The credentials in a secret's bytes, every number of the keys looked at. Raises CredentialsUnavailable."""
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        raise CredentialsUnavailable("is not UTF-8 (UTF-16, perhaps): save it as UTF-8") from None
    if not text.strip():
        raise CredentialsUnavailable("is empty")
    credentials = parse_credentials(text)
    parse_private_key(credentials.private_key_text, validate=True)
    if credentials.holds_own_public_key():
        raise CredentialsUnavailable(
            "alipayPublicKeys holds your own public key; Alipay's is in its dashboard, once yours is uploaded"
        )
    for version, key in credentials.alipay_public_keys.items():
        numbers = key.public_numbers()
        if numbers.e % 2 == 0 or math.gcd(numbers.n, _product_of_primes()) != 1:
            raise CredentialsUnavailable(f"alipayPublicKeys.{version} has a character that was changed: copy it again")
    return credentials


def _product_of_primes() -> int:
    """No RSA modulus shares a factor with it; one with a changed character does in nineteen of twenty cases."""
    sieve = bytearray([1]) * SMALL_PRIMES_BELOW
    for number in range(2, math.isqrt(SMALL_PRIMES_BELOW) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, SMALL_PRIMES_BELOW, number)))
    return math.prod(number for number in range(2, SMALL_PRIMES_BELOW) if sieve[number])


def main(path: Path) -> None:
    """Say what the secret holds, or end with what is wrong; nothing secret is printed."""
    try:
        credentials = checked(path.read_bytes())
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None
    except CredentialsUnavailable as error:
        raise SystemExit(f"{path}: {error}") from None
    sandbox = credentials.client_id.startswith("SANDBOX_")
    versions = ", ".join(sorted(credentials.alipay_public_keys))
    print(f"{path} is good: client id {credentials.client_id} ({'sandbox' if sandbox else 'live'}),")
    print(f"your key version {credentials.private_key_version}, Alipay's key versions {versions}")
    print(NOT_KNOWN)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("say which file: make check-secret SECRET=secret.json")
    main(Path(sys.argv[1]))
