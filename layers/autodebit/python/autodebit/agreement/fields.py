"""The fields of the consult API and their rules.

Source: https://docs.antom.com/ac/ams/authconsult
"""

import re
from typing import Any

from autodebit.alipay.fields import Fields, Text, check, required
from autodebit.errors import FieldError

AGREEMENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

CONSULT_REQUEST = Fields(
    {
        "agreementId": Text(
            64,
            required=True,
            pattern=AGREEMENT_ID,
            rule="must be 1 to 64 characters of A-Z a-z 0-9 _ -",
        ),
        "customerBelongsTo": required(64),
        "authRedirectUrl": Text(
            1024, pattern=re.compile(r"https://[^\s/?#]+\S*"), rule="must be an https URL of at most 1024 characters"
        ),
        "authClientId": Text(64),
        "merchantRegion": Text(2),
        "merchantAccountId": Text(64),
        "env": Fields(
            {
                "terminalType": Text(64),
                "osType": Text(64),
                "osVersion": Text(16),
                "userAgent": Text(1024),
                "deviceTokenId": Text(64),
                "clientIp": Text(64),
                "cookieId": Text(64),
                "extendInfo": Text(2048),
            }
        ),
        "extendInfo": Text(2048),
    }
)

OWNED = ("scopes", "authState", "authNotifyUrl", "terminalType")
"""Fields of the consult API that the bundle fills in."""


def check_consult_fields(request: dict[str, Any]) -> list[FieldError]:
    """Every fault of a request for an agreement, each named by its field; an empty list if there is none."""
    return check(CONSULT_REQUEST, request, OWNED)
