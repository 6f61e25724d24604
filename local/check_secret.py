"""Check the secret's JSON before it is put into Secrets Manager: every field, and every number of the keys.

make check-secret SECRET=secret.json
"""

import sys
from pathlib import Path

from autodebit.alipay.credentials import parse_credentials, parse_private_key
from autodebit.errors import CredentialsUnavailable


def main(path: Path) -> None:
    """Say what the secret holds, or end with what is wrong; nothing secret is printed."""
    try:
        credentials = parse_credentials(path.read_text())
        parse_private_key(credentials.private_key_text, validate=True)
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None
    except (CredentialsUnavailable, UnicodeDecodeError) as error:
        raise SystemExit(f"{path}: {error}") from None
    if credentials.holds_own_public_key():
        raise SystemExit(
            f"{path}: alipayPublicKeys holds your own public key; Alipay's is in its dashboard, once yours is uploaded"
        )
    sandbox = credentials.client_id.startswith("SANDBOX_")
    versions = ", ".join(sorted(credentials.alipay_public_keys))
    print(f"{path} is good: client id {credentials.client_id} ({'sandbox' if sandbox else 'live'}),")
    print(f"your key version {credentials.private_key_version}, Alipay's key versions {versions}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("say which file: make check-secret SECRET=secret.json")
    main(Path(sys.argv[1]))
