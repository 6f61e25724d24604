"""Messages as they travel: the merchant's pay request, the bodies sent to Alipay, and what comes back."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from autodebit.errors import FieldError, NotificationMalformed, OutcomeUnknown, RequestInvalid
from autodebit.order import Amount, Order, utc_text
from autodebit.pay_fields import MOST_ERRORS, check_pay_fields

PRODUCT_CODE = "AGREEMENT_PAYMENT"

DEFAULT_EXPIRY_S = 55
"""An auto debit lives one minute by Alipay's clock; some seconds less are safe from ours being another."""

LONGEST_EXPIRY_S = 60
"""`paymentExpiryTime` must be less than a minute ahead. https://docs.antom.com/ac/ams/payment_agreement"""


CORRUPTED = "\N{REPLACEMENT CHARACTER}".encode()
"""What API Gateway puts where a body is not UTF-8; who means this character writes `\\ufffd`."""


class JsonInvalid(ValueError):
    """Not one JSON object; the text says why and quotes nothing."""


@dataclass(frozen=True, slots=True)
class PayRequest:
    """The merchant's request: every field of Alipay's pay API but those the bundle fills in."""

    fields: dict[str, Any]
    expiry_fault: FieldError | None
    """A `paymentExpiryTime` outside its window: a fault in a new payment, of no matter in a replay."""

    @property
    def payment_request_id(self) -> str:
        return str(self.fields["paymentRequestId"])

    @property
    def reference_order_id(self) -> str:
        return str(self.fields["order"]["referenceOrderId"])

    @property
    def merchant_account_id(self) -> str | None:
        return self.fields.get("merchantAccountId") or None

    @property
    def amount(self) -> Amount:
        amount = self.fields["paymentAmount"]
        return Amount(amount["currency"], amount["value"])

    def fingerprint(self) -> str:
        """What two tries of one payment have in common, as a SHA-256 in hex: every field except
        `paymentExpiryTime`, `env` and `order.env`. The access token goes into it and cannot be had out of it.
        """
        fields = {name: value for name, value in self.fields.items() if name not in ("paymentExpiryTime", "env")}
        fields["order"] = {name: value for name, value in fields["order"].items() if name != "env"}
        return hashlib.sha256(_canonical(fields)).hexdigest()

    def expiry_time(self, now: datetime) -> str:
        """The `paymentExpiryTime` to send: the caller's own text, or 55 s from `now`."""
        given = self.fields.get("paymentExpiryTime")
        return str(given) if given is not None else utc_text(now + timedelta(seconds=DEFAULT_EXPIRY_S))

    def pay_body(self, payment_expiry_time: str, notify_url: str) -> bytes:
        """The body of `pay`; the same fields give the same bytes, in whatever order they came."""
        return _canonical(
            self.fields
            | {
                "productCode": PRODUCT_CODE,
                "paymentExpiryTime": payment_expiry_time,
                "paymentNotifyUrl": notify_url,
            }
        )


def parse_pay_request(body: bytes, now: datetime) -> PayRequest:
    """The merchant's request, checked against PROTOCOL's field table. Raises RequestInvalid with every fault."""
    try:
        if CORRUPTED in body:
            raise JsonInvalid("must be UTF-8 text")
        fields = parse_object(body)
    except JsonInvalid as error:
        raise RequestInvalid([FieldError("body", str(error))]) from None
    errors = check_pay_fields(fields)
    if any(error.field == "paymentExpiryTime" for error in errors) or len(errors) >= MOST_ERRORS:
        raise RequestInvalid(errors)
    expiry_fault = _expiry_fault(fields.get("paymentExpiryTime"), now)
    if errors:
        raise RequestInvalid(errors + ([expiry_fault] if expiry_fault else []))
    return PayRequest(fields, expiry_fault)


def _expiry_fault(text: str | None, now: datetime) -> FieldError | None:
    if text is None:
        return None
    ahead = datetime.fromisoformat(text) - now
    if timedelta(0) < ahead < timedelta(seconds=LONGEST_EXPIRY_S):
        return None
    return FieldError(
        "paymentExpiryTime", "must be in the future and less than 60 s ahead; leave it out and one is set"
    )


def inquiry_body(order: Order) -> bytes:
    """The body of inquiryPayment; the merchant's id is the one that is always known.

    Where one client id serves several accounts, the account is named too: https://docs.antom.com/ac/ams/paymentri_online
    """
    account = {} if order.merchant_account_id is None else {"merchantAccountId": order.merchant_account_id}
    return _canonical({"paymentRequestId": order.payment_request_id} | account)


def parse_answer(body: bytes) -> dict[str, Any]:
    """The authentic answer to a call. Raises OutcomeUnknown if it is no object with a `result`."""
    try:
        answer = parse_object(body)
    except JsonInvalid:
        raise OutcomeUnknown("unreadable answer") from None
    if text_at(answer, "result", "resultStatus") is None:
        raise OutcomeUnknown("answer without result")
    return answer


NOTIFY_TYPES = ("PAYMENT_RESULT", "PAYMENT_PENDING")


def parse_notification(body: bytes) -> dict[str, Any]:
    """An authentic notifyPayment message with the fields that PROTOCOL requires of it.

    Raises NotificationMalformed. https://docs.antom.com/ac/ams/paymentrn_online
    """
    try:
        notification = parse_object(body)
    except JsonInvalid as error:
        raise NotificationMalformed(str(error)) from None
    for path in (
        ("notifyType",),
        ("result", "resultCode"),
        ("result", "resultStatus"),
        ("result", "resultMessage"),
        ("paymentRequestId",),
        ("paymentId",),
        ("paymentAmount", "currency"),
        ("paymentAmount", "value"),
        ("paymentCreateTime",),
    ):
        if text_at(notification, *path) is None:
            raise NotificationMalformed(f"{'.'.join(path)} is missing or is no string")
    if not 1 <= len(notification["paymentRequestId"]) <= 64:
        raise NotificationMalformed("paymentRequestId must have 1 to 64 characters")
    if notification["notifyType"] not in NOTIFY_TYPES:
        raise NotificationMalformed("notifyType is not one of a payment")
    return notification


def text_at(message: dict[str, Any], *path: str) -> str | None:
    """The string at `path`; None if there is none, or something that is no string."""
    value: Any = message
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def parse_object(body: bytes) -> dict[str, Any]:
    """One JSON object from untrusted bytes. Raises JsonInvalid.

    A name that occurs twice is refused: two readers could take it for two different payments.
    """
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique_names)
        # \ud800 is valid JSON and no text: it could be neither stored nor sent.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise JsonInvalid("must be UTF-8 text") from None
    except RecursionError:
        raise JsonInvalid("is nested too deeply") from None
    except JsonInvalid:
        raise
    except ValueError:
        raise JsonInvalid("must be valid JSON") from None
    if not isinstance(value, dict):
        raise JsonInvalid("must be a JSON object")
    return value


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise JsonInvalid("names a field twice")
    return unique


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
