"""What makes a replay: the fields in which two requests must agree to be the same payment.

Whatever else differs between two tries does not make it another payment, and the first one's values stand. A caller who
was told otherwise would take a new paymentRequestId and debit the buyer twice. The fields are versioned, so that a
later release does not turn the replays of open orders into conflicts.
"""

import base64
import hashlib
import hmac
from typing import Any

VERSION = 1

WALLET, AGREEMENT = "paymentMethod.paymentMethodType", "paymentMethod.agreementId"

IDENTITY: dict[int, tuple[str, ...]] = {
    1: (
        "paymentAmount.currency",
        "paymentAmount.value",
        WALLET,
        "paymentMethod.paymentMethodId",
        AGREEMENT,
        "order.referenceOrderId",
        "order.orderAmount.currency",
        "order.orderAmount.value",
        "order.merchant.referenceMerchantId",
        "merchantAccountId",
    )
}
"""The fields of each version, in the order in which a row holds their digests. A version that rows carry stays here."""


def identity(fields: dict[str, Any], version: int = VERSION) -> str:
    """`<version>.<digest>.<digest>…`, a digest for each field, empty for one that is missing. It names no value."""
    key = str(fields["paymentRequestId"])
    values = (_at(fields, path) for path in IDENTITY[version])
    return ".".join([str(version), *("" if value is None else digest(key, value) for value in values)])


def differing(stored: str, fields: dict[str, Any]) -> list[str]:
    """The fields in which a request differs from the first one, whose `identity` is `stored`; none for a replay.

    An agreement has one wallet, whether that is named beside it or not.
    """
    version = int(stored.partition(".")[0])
    paths = IDENTITY[version]
    first = dict(zip(paths, stored.split(".")[1:], strict=True))
    now = dict(zip(paths, identity(fields, version).split(".")[1:], strict=True))
    by_agreement = bool(first.get(AGREEMENT) and now.get(AGREEMENT))
    return [path for path in paths if first[path] != now[path] and not (by_agreement and path == WALLET)]


def digest(payment_request_id: str, value: str) -> str:
    """96 bits of a value that depend on the payment too: an access token cannot be read from them, nor be compared
    between rows.
    """
    mac = hmac.digest(payment_request_id.encode(), value.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac[:12]).decode()


def _at(fields: dict[str, Any], path: str) -> str | None:
    value: Any = fields
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value or None
