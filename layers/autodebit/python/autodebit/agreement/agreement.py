"""The agreement: one buyer's consent to be debited, its states, and how it is shown."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from autodebit.events import Told
from autodebit.instants import utc_text

QR_CODE_S = 15 * 60
"""A QR code without a notification after this time counts as failed. https://docs.antom.com/ac/scantopay/authorization"""

EXPIRED = "EXPIRED"
"""How AUTHORIZING is shown once the QR code is over and nothing came; a late authorization still links."""


class Status(StrEnum):
    """AUTHORIZING is left once; UNLINKED and FAILED are never left."""

    AUTHORIZING = "AUTHORIZING"
    LINKED = "LINKED"
    UNLINKING = "UNLINKING"
    UNLINKED = "UNLINKED"
    FAILED = "FAILED"


class UnlinkedBy(StrEnum):
    """Who ended an agreement."""

    MERCHANT = "merchant"
    BUYER = "buyer"
    PAY = "pay"
    EXPIRY = "expiry"


@dataclass(frozen=True, slots=True)
class QrCode:
    """What the buyer scans: the text to draw as a QR code, and the address of a picture of it. One of them at least."""

    text: str | None
    image_url: str | None

    @property
    def document(self) -> dict[str, str]:
        """As the API shows it."""
        known = {"text": self.text, "imageUrl": self.image_url}
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTokens:
    """What an agreement is linked by, sealed; when it ends, and when something is to be done about it."""

    access_token: bytes = field(repr=False)
    refresh_token: bytes | None = field(repr=False)
    expires_at: datetime | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A row of the agreement table. Times are aware UTC; what is sealed opens only through the vault."""

    agreement_id: str
    status: Status
    customer_belongs_to: str
    merchant_region: str | None = None
    merchant_account_id: str | None = None
    """Both go into every later call as they went into consult."""
    created_at: datetime
    auth_state: str
    expires_at: datetime
    """When its QR code is over."""

    # The call to Alipay that may be under way: consult, applyToken or revoke, one at a time.
    attempt: str | None = None
    attempted_at: datetime
    """When the last one began, if none is under way."""
    unaccounted: int = 0
    """Calls of applyToken with this authCode that may have been carried out and were not answered S or F."""

    qr_code: QrCode | None = None
    auth_code: bytes | None = field(default=None, repr=False)
    auth_code_at: datetime | None = None
    """When it came: it lives a minute from then."""

    written: str | None = None
    """Token of the last write: a write whose answer was lost recognizes itself by it."""

    # The watch over it, while it is exchanged or revoked.
    overdue_at: datetime | None = None
    polling_round: int = 0
    last_said: str | None = None

    # The link.
    access_token: bytes | None = field(default=None, repr=False)
    refresh_token: bytes | None = field(default=None, repr=False)
    token_expires_at: datetime | None = None
    user_login_id: str | None = None
    linked_at: datetime | None = None
    due_at: datetime | None = None
    """When the token is to be refreshed, its end to be told or to be noted; None once nothing is due any more."""
    refresh_refused: str | None = None
    """The result code with which the wallet refused to refresh."""
    expiring_told: bool = False

    # The end.
    unlinked_by: UnlinkedBy | None = None
    unlinked_at: datetime | None = None
    result_code: str | None = None
    told: tuple[Told, ...] = ()
    perhaps_linked: bool = False
    """FAILED here, and perhaps linked at the wallet: a call that would have told was never accounted for."""

    @property
    def key(self) -> str:
        """What its events are numbered by."""
        return self.agreement_id

    @property
    def shown(self) -> dict[str, Any]:
        """What an event shows of it where the entry does not say; each entry of an agreement does."""
        return shown_at(self, self.created_at)

    @property
    def is_exchanging(self) -> bool:
        """Whether an authCode waits to be exchanged."""
        return self.status is Status.AUTHORIZING and self.auth_code is not None

    @property
    def is_waiting(self) -> bool:
        """Whether Alipay has yet to answer: the exchange or the revocation is not over."""
        return self.is_exchanging or self.status is Status.UNLINKING

    def shown_status(self, now: datetime) -> str:
        """The status as the outside world is told it: time alone ends a QR code and a token."""
        if self.status is Status.AUTHORIZING and self.auth_code is None and now >= self.expires_at:
            return EXPIRED
        if self.is_token_over(now):
            return Status.UNLINKED.value
        return self.status.value

    def is_token_over(self, now: datetime) -> bool:
        """Whether it is LINKED by a token that debits nobody any more."""
        return self.status is Status.LINKED and self.token_expires_at is not None and now >= self.token_expires_at

    def may_pay(self, now: datetime) -> bool:
        """Whether a payment by it may be sent."""
        return self.status is Status.LINKED and not self.is_token_over(now)


@dataclass(frozen=True, slots=True)
class Debit:
    """What a payment by this agreement is sent with."""

    agreement: Agreement
    access_token: str = field(repr=False)

    @property
    def customer_belongs_to(self) -> str:
        return self.agreement.customer_belongs_to


def qr_code_expires_at(now: datetime) -> datetime:
    """When a QR code that is asked for now is over."""
    return now + timedelta(seconds=QR_CODE_S)


def shown_at(agreement: Agreement, now: datetime) -> dict[str, Any]:
    """What an event shows of the agreement."""
    return {"agreement": agreement_document(agreement, now)}


def agreement_document(agreement: Agreement, now: datetime) -> dict[str, Any]:
    """The agreement as the API shows it; what is not known is left out, and a token is never in it."""
    status = agreement.shown_status(now)
    authorizing = status in (Status.AUTHORIZING.value, EXPIRED)
    unlinked_by, unlinked_at = agreement.unlinked_by, agreement.unlinked_at
    if agreement.is_token_over(now):
        unlinked_by, unlinked_at = UnlinkedBy.EXPIRY, agreement.token_expires_at
    qr_code = agreement.qr_code if status == Status.AUTHORIZING.value and agreement.auth_code is None else None
    document = {
        "agreementId": agreement.agreement_id,
        "status": status,
        "customerBelongsTo": agreement.customer_belongs_to,
        "qrCode": qr_code.document if qr_code else None,
        "userLoginId": agreement.user_login_id,
        "resultCode": agreement.result_code,
        "perhapsLinked": agreement.perhaps_linked or None,
        "unlinkedBy": unlinked_by.value if unlinked_by else None,
        "createdAt": utc_text(agreement.created_at),
        "expiresAt": utc_text(agreement.expires_at) if authorizing else None,
        "linkedAt": utc_text(agreement.linked_at) if agreement.linked_at else None,
        "tokenExpiresAt": utc_text(agreement.token_expires_at) if agreement.token_expires_at else None,
        "unlinkedAt": utc_text(unlinked_at) if unlinked_at else None,
    }
    return {name: value for name, value in document.items() if value is not None}
