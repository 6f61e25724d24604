"""The three calls of the wallet API: what each does to a payment, and the body it is answered with.

https://docs.antom.com/ac/ams/payment_agreement · https://docs.antom.com/ac/ams/paymentri_online ·
https://docs.antom.com/ac/ams/paymentc_online
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.alipay.clock import cancel_window_ends
from local.alipay.ledger import token_digest
from local.alipay.payrules import PayRefused, check_pay, check_payment_ids, expiry_of
from local.alipay.plans import CONFLICTS, NORMAL, Behaviour
from local.alipay.wallet import Payment, Wallet
from local.alipay.wallets import wallet
from local.alipay.wire import iso_of_epoch, message_of, result

Json = dict[str, Any]

CALLS = {"payments/pay": "pay", "payments/inquiryPayment": "inquiry", "payments/cancel": "cancel"}


@dataclass(frozen=True)
class Reply:
    """The body of an answer, and how it is to be delivered."""

    behaviour: Behaviour
    document: Json
    payment_request_id: str = ""


class Gateway:
    def __init__(self, wallet: Wallet) -> None:
        self._wallet = wallet

    def answer(self, call: str, body: Any) -> Reply:
        """Do what an authenticated call asks for."""
        try:
            if call == "pay":
                return self._pay(body)
            check_payment_ids(body)
            return self._inquire(body) if call == "inquiry" else self._cancel(body)
        except PayRefused as refused:
            return Reply(Behaviour(), {"result": result("F", refused.code, refused.message)})

    # pay

    def _pay(self, body: Any) -> Reply:
        check_pay(body)
        access_token = body["paymentMethod"]["paymentMethodId"]
        with self._wallet.lock:
            payment = self._wallet.meet(body["paymentRequestId"], access_token)
            if payment is None:
                return Reply(Behaviour(), {"result": result("U", "REQUEST_TRAFFIC_EXCEED_LIMIT")})
            repeated = payment.accepted
            if repeated and not _same_payment(payment, body):
                raise PayRefused("REPEAT_REQ_INCONSISTENT", message_of("REPEAT_REQ_INCONSISTENT"))
            # Idempotency comes first: a repeated call may carry an expiry that has gone by since.
            # The merchant states it on its own clock, and that one is never moved.
            expires_at = (
                0.0 if repeated else expiry_of(body, datetime.now(UTC)).timestamp() + self._wallet.clock.ahead_s
            )
            behaviour = self._wallet.next_behaviour(payment, "pay")
            if _is_processed(payment, behaviour):
                if not repeated:
                    self._wallet.accept(payment, body, token_digest(access_token), expires_at)
                self._decide(payment, behaviour, repeated)
            return Reply(behaviour, _pay_document(payment, behaviour), payment.payment_request_id)

    def _decide(self, payment: Payment, behaviour: Behaviour, repeated: bool) -> None:
        """What this pay call makes of a payment that is still open.

        Alipay's own S or F is the truth. An answer it would not stand by says nothing, so the plan's
        result decides, and without one what the answer says. A repeated call pushes an open payment on,
        unless the plan has set its time: https://docs.antom.com/ac/ams/idempotency
        """
        planned = payment.plan.result is not None
        claims_final = behaviour.claim in ("S", "F")
        stands = claims_final and behaviour.authentic and behaviour.code not in CONFLICTS
        if payment.final:
            return
        if stands and not (repeated and planned):
            self._conclude_as_claimed(payment, behaviour)
        elif repeated:
            if not planned and behaviour.claim == NORMAL:
                self._wallet.conclude(payment, "SUCCESS", "SUCCESS")
        elif planned or behaviour.claim == "U":
            self._wallet.appoint(payment, self._wallet.clock.now())
        else:
            self._conclude_as_claimed(payment, behaviour)

    def _conclude_as_claimed(self, payment: Payment, behaviour: Behaviour) -> None:
        if behaviour.claim == "F":
            self._wallet.conclude(payment, "FAIL", behaviour.code)
        else:
            self._wallet.conclude(payment, "SUCCESS", "SUCCESS")

    # inquiryPayment

    def _inquire(self, body: Json) -> Reply:
        with self._wallet.lock:
            payment = self._named(body)
            if payment is None:
                return Reply(Behaviour(), {"result": result("F", "ORDER_NOT_EXIST")})
            behaviour = self._wallet.next_behaviour(payment, "inquiry")
            return Reply(behaviour, _inquiry_document(payment, behaviour), payment.payment_request_id)

    # cancel

    def _cancel(self, body: Json) -> Reply:
        with self._wallet.lock:
            payment = self._named(body)
            if payment is None:
                return Reply(Behaviour(), {"result": result("F", "ORDER_NOT_EXIST")})
            behaviour = self._wallet.next_behaviour(payment, "cancel")
            refusal = self._refusal_to_cancel(payment) if behaviour.claim == NORMAL else ""
            if not refusal and behaviour.does:
                self._wallet.cancel(payment)
            return Reply(behaviour, _cancel_document(payment, behaviour, refusal), payment.payment_request_id)

    def _refusal_to_cancel(self, payment: Payment) -> str:
        """The code that says why this payment is not cancelled; empty if it can be, or is already."""
        if not payment.accepted:
            return "ORDER_NOT_EXIST"
        if payment.status == "CANCELLED":
            return ""
        if payment.status == "FAIL":
            return "ORDER_STATUS_INVALID"
        starts_at = payment.debited_at or payment.accepted_at or 0.0
        if self._wallet.clock.now() >= cancel_window_ends(starts_at):
            return "CANCEL_WINDOW_EXCEED"
        if payment.debits and not wallet(payment.wallet).cancels_paid:
            return "PAYMENT_METHOD_NOT_SUPPORTED"
        return ""

    def _named(self, body: Json) -> Payment | None:
        """The payment a call names, by paymentId first; an unknown paymentRequestId is met, to be counted."""
        if body.get("paymentId"):
            return self._wallet.by_payment_id(body["paymentId"])
        return self._wallet.meet(body["paymentRequestId"])


def _same_payment(payment: Payment, body: Json) -> bool:
    """The fields documented as compared: https://docs.antom.com/ac/ams/idempotency"""
    amount = {name: body["paymentAmount"][name] for name in ("currency", "value")}
    token = token_digest(body["paymentMethod"]["paymentMethodId"])
    return amount == payment.amount and token == payment.token_sha256


def _is_processed(payment: Payment, behaviour: Behaviour) -> bool:
    """Whether the call reaches the wallet: a rejected one does if the plan says so or has a result."""
    if behaviour.transport == "reset-before":
        return False
    if behaviour.processed is not None:
        return behaviour.processed
    return not behaviour.rejected or payment.plan.result is not None


def _pay_document(payment: Payment, behaviour: Behaviour) -> Json:
    status, code = behaviour.claim, behaviour.code
    if status == NORMAL:
        status = {"SUCCESS": "S", "PROCESSING": "U"}.get(payment.status, "F")
        code = payment.code
    code = code or {"S": "SUCCESS", "U": "PAYMENT_IN_PROCESS"}.get(status, "")
    document: Json = {"result": result(status, code)}
    if status != "F" and payment.accepted:
        document |= facts_of(payment, paid=status == "S")
    return _bent(document, behaviour)


def _inquiry_document(payment: Payment, behaviour: Behaviour) -> Json:
    """`result` is about the inquiry; the payment is in `paymentStatus`."""
    if behaviour.claim in ("F", "U"):
        code = behaviour.code or "PAYMENT_IN_PROCESS"
        return _bent({"result": result(behaviour.claim, code)}, behaviour)
    claimed = behaviour.payment_status or ("SUCCESS" if behaviour.claim == "S" else "")
    if not claimed and not payment.accepted:
        return _bent({"result": result("F", "ORDER_NOT_EXIST")}, behaviour)
    status = claimed or payment.status
    codes = {"SUCCESS": "SUCCESS", "FAIL": "PROCESS_FAIL", "CANCELLED": "ORDER_IS_CANCELED"}
    code = payment.code if status == payment.status else codes.get(status, "PAYMENT_IN_PROCESS")
    code = (behaviour.payment_status and behaviour.code) or code
    document: Json = {
        "result": result("S", "SUCCESS"),
        "paymentStatus": status,
        "paymentResultCode": code,
        "paymentResultMessage": message_of(code),
    }
    document |= facts_of(payment, paid=status == "SUCCESS") | {"transactions": []}
    return _bent(document, behaviour)


def _cancel_document(payment: Payment, behaviour: Behaviour, refusal: str) -> Json:
    status, code = behaviour.claim, behaviour.code
    if status == NORMAL:
        status, code = ("F", refusal) if refusal else ("S", "SUCCESS")
    code = code or {"S": "SUCCESS", "U": "UNKNOWN_EXCEPTION"}.get(status, "")
    document: Json = {"result": result(status, code)}
    if status == "S":
        document |= {
            "paymentId": payment.payment_id,
            "paymentRequestId": payment.payment_request_id,
            "cancelTime": iso_of_epoch(payment.cancelled_at or payment.known_at or 0.0),
        }
    return _bent(document, behaviour)


def facts_of(payment: Payment, paid: bool) -> Json:
    """What answers and notifications say about a payment besides its result."""
    created_at = payment.accepted_at or payment.met_at
    facts: Json = {
        "paymentRequestId": payment.payment_request_id,
        "paymentId": payment.payment_id,
        "paymentAmount": dict(payment.amount),
        "paymentCreateTime": iso_of_epoch(created_at),
    }
    if paid:
        facts["paymentTime"] = iso_of_epoch(payment.debited_at or created_at)
        # A name that is not ASCII and a value with a slash: neither survives re-serialization.
        facts["pspCustomerInfo"] = {"pspName": "AlipayHK 香港", "pspCustomerId": "2160220000000001"}
        facts["settlementQuote"] = {"quoteId": "1", "quoteCurrencyPair": "USD/HKD", "quotePrice": "7.79"}
    return facts


def _bent(document: Json, behaviour: Behaviour) -> Json:
    """The document with what the plan wants changed or left out."""
    kept = {**document, **behaviour.changed}
    return {name: value for name, value in kept.items() if name not in behaviour.omitted}
