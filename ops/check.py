"""Is the deployed stack set up right? Keys, client id, gateway and notify URL, by one harmless signed call.

It inquires a payment that nobody has: a signed ORDER_NOT_EXIST proves both sides' keys, client id and gateway at once.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from autodebit.alipay.credentials import Credentials, CredentialsStore, parse_credentials
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import result_of
from autodebit.alipay.secret import secret_reader
from autodebit.errors import CredentialsUnavailable, GatewayError

from ops.stack import Stack

TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was looked at. `detail` quotes no key and no secret."""

    name: str
    right: bool
    detail: str

    @property
    def document(self) -> dict[str, str | bool]:
        """As scripts read it."""
        return {"name": self.name, "right": self.right, "detail": self.detail}


HINTS = {
    "unsigned INVALID_SIGNATURE": "Alipay does not know the public key that belongs to privateKey: upload it again",
    "unsigned KEY_NOT_FOUND": "Alipay has no public key of yours of the version privateKeyVersion",
    "unsigned CLIENT_INVALID": "Alipay does not know this clientId",
    "unsigned UNKNOWN_CLIENT": "Alipay does not know this clientId",
    "certificate": "the gateway's certificate is not trusted: is AlipayGatewayUrl right?",
    "no connection": "the gateway is out of reach from this machine: is AlipayGatewayUrl right?",
}
"""What to do about a call that brought no authentic answer, by its reason."""


def check(stack: Stack) -> Iterator[Checked]:
    """Each thing in turn; what depends on a thing that is wrong is left out."""
    read = secret_reader(stack.settings["CREDENTIALS_SECRET"])
    try:
        credentials = parse_credentials(read())
        own = credentials.private_key.public_key()
    except CredentialsUnavailable as error:
        yield Checked("credentials", right=False, detail=error.reason)
        return
    yield Checked("credentials", right=True, detail=_described(credentials))
    if own in credentials.alipay_public_keys.values():
        yield Checked("Alipay's key", right=False, detail="alipayPublicKeys holds your own public key, not Alipay's")
    yield _call(stack.settings["ALIPAY_GATEWAY_URL"], CredentialsStore(read))
    yield _notify(f"{stack.outputs['ApiUrl']}/notifications/payment")


def _described(credentials: Credentials) -> str:
    sandbox = "sandbox" if credentials.client_id.startswith("SANDBOX_") else "live"
    versions = ", ".join(sorted(credentials.alipay_public_keys))
    return (
        f"client id {credentials.client_id} ({sandbox}), private key version {credentials.private_key_version}, "
        f"Alipay's key versions {versions}"
    )


def _call(base_url: str, credentials: CredentialsStore) -> Checked:
    name = f"gateway {base_url}"
    body = json.dumps({"paymentRequestId": f"ops-check-{uuid4().hex}"}).encode()
    try:
        status, code = result_of(AlipayGateway(base_url, credentials).call("payments/inquiryPayment", body))
    except GatewayError as error:
        hint = next((hint for reason, hint in HINTS.items() if error.reason.startswith(reason)), "")
        return Checked(name, right=False, detail=": ".join(filter(None, [error.reason, hint])))
    if (status, code) == ("F", "ORDER_NOT_EXIST"):
        return Checked(name, right=True, detail="signed and verified both ways (ORDER_NOT_EXIST, as it should be)")
    return Checked(name, right=False, detail=f"signed, but {status}/{code} instead of F/ORDER_NOT_EXIST")


def _notify(url: str) -> Checked:
    """Whether the webhook answers at the address that Alipay is given; what is unsigned it must refuse."""
    import requests

    try:
        status = requests.post(url, data=b"{}", timeout=TIMEOUT_S, allow_redirects=False).status_code
    except requests.RequestException as error:
        return Checked(f"notify URL {url}", right=False, detail=f"no answer: {type(error).__name__}")
    right = status == 401
    return Checked(
        f"notify URL {url}", right, "answers" if right else f"HTTP {status} instead of 401 to an unsigned one"
    )
