"""The merchant's request for an agreement, and the bytes of `consult` that are made from it.

https://docs.antom.com/ac/ams/authconsult
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from autodebit.agreement.fields import AGREEMENT_ID, check_consult_fields
from autodebit.alipay.strict_json import JsonInvalid, canonical, parse_request
from autodebit.errors import FieldError, RequestInvalid

SCOPES = ("AGREEMENT_PAY",)

TERMINAL_TYPE = "WEB"
"""What Scan to Link asks for. https://docs.antom.com/ac/scantopay/integration_guide"""

_AUTH_STATE = re.compile(r"([0-9a-f]{2,128})-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """The merchant's request: the fields of Alipay's consult API but those the bundle fills in."""

    fields: dict[str, Any]

    @property
    def agreement_id(self) -> str:
        return str(self.fields["agreementId"])

    @property
    def customer_belongs_to(self) -> str:
        return str(self.fields["customerBelongsTo"])

    @property
    def merchant_region(self) -> str | None:
        return self.fields.get("merchantRegion") or None

    @property
    def merchant_account_id(self) -> str | None:
        return self.fields.get("merchantAccountId") or None

    def consult_body(self, auth_state: str, notify_url: str) -> bytes:
        """The body of `consult`; the same arguments give the same bytes."""
        fields = {name: value for name, value in self.fields.items() if name != "agreementId"}
        env = fields.get("env") or {}
        return canonical(
            {"authRedirectUrl": _own_address(notify_url)}
            | fields
            | {
                "scopes": list(SCOPES),
                "authState": auth_state,
                "authNotifyUrl": notify_url,
                # Deprecated in favour of env's by the API's page, asked for by Scan to Link's guide: both are sent.
                "terminalType": TERMINAL_TYPE,
                "env": {"terminalType": TERMINAL_TYPE} | env,
            }
        )


def parse_link_request(body: bytes) -> LinkRequest:
    """The merchant's request, checked against the table of fields. Raises RequestInvalid with every fault."""
    try:
        fields = parse_request(body)
    except JsonInvalid as error:
        raise RequestInvalid([FieldError("body", str(error))]) from None
    errors = check_consult_fields(fields)
    if errors:
        raise RequestInvalid(errors)
    return LinkRequest(fields)


def new_auth_state(agreement_id: str) -> str:
    """A new `authState`: 128 random bits that nobody guesses, behind the agreement's id in hex.

    The notification brings nothing else by which its agreement is found, and an index would be late at times.
    """
    return f"{agreement_id.encode().hex()}-{secrets.token_hex(16)}"


def agreement_id_in(auth_state: str) -> str | None:
    """The agreement that an `authState` names; None if it is not one of ours."""
    match = _AUTH_STATE.fullmatch(auth_state)
    if match is None or len(match[1]) % 2:
        return None
    agreement_id = bytes.fromhex(match[1]).decode("latin-1")
    return agreement_id if AGREEMENT_ID.fullmatch(agreement_id) else None


def _own_address(notify_url: str) -> str:
    """Where buyers would be sent after consenting: with Scan to Link nobody is, but the API wants an https address."""
    return f"https://{urlsplit(notify_url).netloc}/"
