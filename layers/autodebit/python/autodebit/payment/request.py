"""The merchant's request for a payment, and the bytes of `pay` that are made from it.

https://docs.antom.com/ac/ams/payment_agreement
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from autodebit.alipay.amount import Amount, multiple_fault
from autodebit.alipay.fields import FIELD_ERRORS_MAX
from autodebit.alipay.strict_json import JsonInvalid, canonical, parse_request
from autodebit.errors import FieldError, RequestInvalid
from autodebit.payment.expiry import default_expiry, window_fault
from autodebit.payment.fields import check_pay_fields
from autodebit.payment.identity import differing, identity

if TYPE_CHECKING:  # most payments bring their token: their cold start does not pay for the vault
    from autodebit.agreement.agreement import Debit

PRODUCT_CODE = "AGREEMENT_PAYMENT"


@dataclass(frozen=True, slots=True)
class PayCall:
    """The bytes of one `pay`, and what of them is needed besides. Nowhere else is the access token in the clear."""

    body: bytes = field(repr=False)
    access_token: str = field(repr=False)
    payment_method_type: str
    payment_expiry_time: str
    debit: "Debit | None" = None
    """Where the token comes from, if the payment names an agreement."""

    @property
    def sha256(self) -> str:
        """Of the body, in hex: a repetition with other bytes is never sent."""
        return hashlib.sha256(self.body).hexdigest()


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
    def agreement_id(self) -> str | None:
        """The agreement to debit by; None for a payment that brings its own token."""
        return self.fields["paymentMethod"].get("agreementId") or None

    @property
    def amount(self) -> Amount:
        return Amount.of(self.fields["paymentAmount"])

    @property
    def identity(self) -> str:
        """What a replay must agree in."""
        return identity(self.fields)

    def differing(self, stored: str) -> list[str]:
        """The fields that make it another payment than the one whose identity is `stored`."""
        return differing(stored, self.fields)

    def expiry_time(self, now: datetime) -> str:
        """The `paymentExpiryTime` to send: the caller's own text, or 55 s from `now`."""
        given = self.fields.get("paymentExpiryTime")
        return str(given) if given is not None else default_expiry(now)

    def pay_call(self, payment_expiry_time: str, notify_url: str, debit: "Debit | None" = None) -> PayCall:
        """The call of `pay`; the same fields give the same bytes, in whatever order they came. `debit` is what its
        agreement is debited with. Raises RequestInvalid if that is of another wallet.
        """
        method = self.fields["paymentMethod"]
        if debit is not None:
            method = _by_agreement(method, self.amount, debit)
        body = self.fields | {
            "paymentMethod": method,
            "productCode": PRODUCT_CODE,
            "paymentExpiryTime": payment_expiry_time,
            "paymentNotifyUrl": notify_url,
        }
        token, wallet = str(method["paymentMethodId"]), str(method["paymentMethodType"])
        return PayCall(canonical(body), token, wallet, payment_expiry_time, debit)


def _by_agreement(method: dict[str, Any], amount: Amount, debit: "Debit") -> dict[str, Any]:
    """The payment method with the agreement's wallet and token. Raises RequestInvalid for what the wallet refuses."""
    wallet = method.get("paymentMethodType") or debit.customer_belongs_to
    if wallet != debit.customer_belongs_to:
        raise RequestInvalid([FieldError("paymentMethod.paymentMethodType", "must be the agreement's, or left out")])
    if faults := multiple_fault(amount, "paymentAmount", wallet):
        raise RequestInvalid(faults)
    kept = {name: value for name, value in method.items() if name != "agreementId"}
    return kept | {"paymentMethodType": wallet, "paymentMethodId": debit.access_token}


def parse_pay_request(body: bytes, now: datetime) -> PayRequest:
    """The merchant's request, checked against `payment.fields`. Raises RequestInvalid with every fault."""
    try:
        fields = parse_request(body)
    except JsonInvalid as error:
        raise RequestInvalid([FieldError("body", str(error))]) from None
    errors = check_pay_fields(fields)
    if any(error.field == "paymentExpiryTime" for error in errors) or len(errors) >= FIELD_ERRORS_MAX:
        raise RequestInvalid(errors)
    expiry_fault = window_fault(fields.get("paymentExpiryTime"), now)
    if errors:
        raise RequestInvalid(errors + ([expiry_fault] if expiry_fault else []))
    return PayRequest(fields, expiry_fault)


def parse_cancel_request(body: bytes) -> None:
    """Nothing: a request to cancel says all in its path. Raises RequestInvalid for a body other than empty or `{}`."""
    try:
        if body.strip() and parse_request(body):
            raise JsonInvalid("must be empty or {}")
    except JsonInvalid as error:
        raise RequestInvalid([FieldError("body", str(error))]) from None
