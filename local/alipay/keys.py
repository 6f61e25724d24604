"""Make fresh keys for one run: the file the simulated Alipay reads, and the secret the merchant stores.

    python -m local.alipay.keys --keys FILE.json --secret FILE.json [--client-id ID]

Each side gets its own RSA-2048 pair and the other side's public key, in the forms of Alipay's dashboard:
base64 without armour, PKCS#8 for private keys and SubjectPublicKeyInfo for public ones.
https://docs.antom.com/ac/ams/digital_signature
"""

import argparse
import base64
import json
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

KEY_VERSION = "1"


def new_pair() -> tuple[str, str]:
    """A new RSA-2048 pair as (private PKCS#8, public SubjectPublicKeyInfo), both base64 of DER."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private_der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public_der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(private_der).decode(), base64.b64encode(public_der).decode()


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that only its owner may read, also where the file was there before with wider rights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make fresh keys for the simulated Alipay and its merchant.")
    parser.add_argument("--client-id", default="5Y00SIMULATED0000", help="SANDBOX_... means the sandbox paths")
    parser.add_argument("--keys", type=Path, required=True, help="where the simulated Alipay's keys go")
    parser.add_argument("--secret", type=Path, required=True, help="where the merchant's credentials go")
    options = parser.parse_args()

    merchant_private, merchant_public = new_pair()
    alipay_private, alipay_public = new_pair()
    write_private(
        options.keys,
        {
            "clientId": options.client_id,
            "merchantPublicKeys": {KEY_VERSION: merchant_public},
            "alipayPrivateKey": alipay_private,
            "alipayKeyVersion": KEY_VERSION,
        },
    )
    write_private(
        options.secret,
        {
            "clientId": options.client_id,
            "privateKey": merchant_private,
            "privateKeyVersion": KEY_VERSION,
            "alipayPublicKeys": {KEY_VERSION: alipay_public},
        },
    )


if __name__ == "__main__":
    main()
