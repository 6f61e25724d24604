"""Payments: what became of each, how often the buyer was really debited, and the calls pay, inquiryPayment and cancel.

https://docs.antom.com/ac/ams/payment_agreement · https://docs.antom.com/ac/ams/paymentri_online ·
https://docs.antom.com/ac/ams/paymentc_online
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from local.alipay import presets
from local.alipay.answers import Reply, bent
from local.alipay.authorizations import Authorizations
from local.alipay.clock import ZONE, cancel_window_ends
from local.alipay.ledger import digest
from local.alipay.notifier import Notifier
from local.alipay.plans import CONFLICTS, FINAL, NORMAL, Behaviour, PaymentPlan, Plans, parse_payment_plan
from local.alipay.rules import Refused, check_pay, check_payment_ids, expiry_of
from local.alipay.wallets import wallet
from local.alipay.wire import iso_of_epoch, message_of, result
from local.alipay.world import Subject, World

Json = dict[str, Any]

MOST_PAYMENTS = 200_000
"""A payment is never forgotten, for then it could be debited again; past this many, new ones are put off."""


@dataclass(slots=True, kw_only=True)
class Payment(Subject[PaymentPlan]):
    """One paymentRequestId, from the first call that names it. Times are epoch seconds of Alipay's clock."""

    payment_request_id: str
    met_at: float
    payment_id: str = ""
    accepted_at: float | None = None  # None while no pay call got as far as the wallet
    expires_at: float = 0.0
    amount: Json = field(default_factory=dict)
    wallet: str = ""
    reference_order_id: str = ""
    description: str = ""
    settles_in: str = ""
    token_sha256: str = ""
    auth_state: str = ""
    status: str = "PROCESSING"
    code: str = "PAYMENT_IN_PROCESS"
    known_at: float | None = None
    due: tuple[float, str, str] | None = None
    debits: int = 0
    debited_at: float | None = None
    refunds: int = 0
    given_back: int = 0  # in minor units
    giving_back: int = 0  # in minor units: refunds in process
    cancelled_at: float | None = None
    transactions: dict[str, Json] = field(default_factory=dict)
    redirects_followed: int = 0

    @property
    def name(self) -> Json:
        return {"paymentRequestId": self.payment_request_id}

    @property
    def accepted(self) -> bool:
        return self.accepted_at is not None

    @property
    def final(self) -> bool:
        return self.status in FINAL

    @property
    def value(self) -> int:
        """The amount in minor units."""
        return int(self.amount.get("value", 0))

    @property
    def kept(self) -> int:
        """What the merchant holds of the buyer's money, in minor units."""
        return self.debits * self.value - self.given_back

    @property
    def refundable(self) -> int:
        """What may still be refunded, in minor units."""
        return self.kept - self.giving_back

    def as_json(self) -> Json:
        return {
            "paymentRequestId": self.payment_request_id,
            "paymentId": self.payment_id,
            "known": self.accepted,
            "status": self.status,
            "resultCode": self.code,
            "paymentAmount": self.amount,
            "acceptedAt": self.accepted_at,
            "expiresAt": self.expires_at,
            "knownAt": self.known_at,
            "debits": self.debits,
            "debitedAt": self.debited_at,
            "refunds": self.refunds,
            "kept": str(self.kept),
            "cancelledAt": self.cancelled_at,
            "transactions": list(self.transactions.values()),
            "authState": self.auth_state,
            "redirectsFollowed": self.redirects_followed,
            **self.counts(),
        }

    def notification(self, message: Mapping[str, Any]) -> Json:
        """The body of notifyPayment: https://docs.antom.com/ac/ams/paymentrn_online"""
        status = message.get("resultStatus", {"FAIL": "F"}.get(self.status, "S"))
        code = message.get("resultCode", self.code if status == "F" and self.final else "")
        code = code or {"S": "SUCCESS", "U": "PAYMENT_IN_PROCESS"}.get(status, "PROCESS_FAIL")
        notify_type = message.get("notifyType", "PAYMENT_RESULT")
        document: Json = {"notifyType": notify_type, "result": result(status, code)}
        document |= _facts_of(self, paid=status == "S" and notify_type == "PAYMENT_RESULT")
        if "amount" in message:
            document["paymentAmount"] = message["amount"]
        if "paymentId" in message:
            document["paymentId"] = message["paymentId"]
        return document


class Payments:
    """All payments and their plans."""

    def __init__(self, world: World, notifier: Notifier, authorizations: Authorizations) -> None:
        self.plans = Plans("payment", parse_payment_plan, presets.PAYMENTS)
        self.calls = {
            "payments/pay": ("pay", self._pay),
            "payments/inquiryPayment": ("inquiry", self._inquire),
            "payments/cancel": ("cancel", self._cancel),
        }
        self._world = world
        self._clock = world.clock
        self._notifier = notifier
        self._authorizations = authorizations
        self._payments: dict[str, Payment] = {}
        self._by_payment_id: dict[str, Payment] = {}
        self._numbers = count(1)

    def clear(self) -> None:
        for payment in self._payments.values():
            payment.forgotten = True
        self._payments.clear()
        self._by_payment_id.clear()
        self.plans.clear()

    # Looking them up

    def get(self, payment_request_id: str) -> Payment | None:
        with self._world.lock:
            payment = self._payments.get(payment_request_id)
            if payment is not None:
                self._advance(payment)
            return payment

    def by_payment_id(self, payment_id: str) -> Payment | None:
        with self._world.lock:
            payment = self._by_payment_id.get(payment_id)
            return self.get(payment.payment_request_id) if payment is not None else None

    def all(self) -> list[Payment]:
        with self._world.lock:
            for payment in self._payments.values():
                self._advance(payment)
            return list(self._payments.values())

    def replan(self, payment_request_id: str, plan: PaymentPlan) -> None:
        """Plan a payment; one that is open already starts this plan from its beginning, now."""
        with self._world.lock:
            self.plans.set_for(payment_request_id, plan)
            payment = self._payments.get(payment_request_id)
            if payment is not None:
                payment.replan(plan)
                if payment.accepted and not payment.final:
                    self._appoint(payment, self._clock.now())

    def count_redirect(self, payment_request_id: str) -> None:
        with self._world.lock:
            payment = self._payments.get(payment_request_id)
            if payment is not None:
                payment.redirects_followed += 1
        self._world.ledger.event("redirectFollowed", {"paymentRequestId": payment_request_id})

    def _meet(self, payment_request_id: str, access_token: str = "") -> Payment | None:
        """The payment of this id, known to the wallet or not; None when there is no room for another."""
        payment = self._payments.get(payment_request_id)
        if payment is None or not payment.accepted:
            otherwise = self._authorizations.plan_of_debits(access_token)
            plan = self.plans.of(payment_request_id, access_token, otherwise)
            if payment is None:
                if len(self._payments) >= MOST_PAYMENTS:
                    return None
                payment = Payment(plan=plan, payment_request_id=payment_request_id, met_at=self._clock.now())
                self._payments[payment_request_id] = payment
            payment.plan = plan
        self._advance(payment)
        return payment

    def _named(self, body: Json) -> Payment | None:
        """The payment a call names, by paymentId first; an unknown paymentRequestId is met, to be counted."""
        if body.get("paymentId"):
            return self.by_payment_id(body["paymentId"])
        return self._meet(body["paymentRequestId"])

    # pay

    def _pay(self, body: Json) -> Reply:
        check_pay(body)
        method = body["paymentMethod"]
        access_token = method["paymentMethodId"]
        payment = self._meet(body["paymentRequestId"], access_token)
        if payment is None:
            return Reply(Behaviour(), {"result": result("U", "REQUEST_TRAFFIC_EXCEED_LIMIT")})
        repeated = payment.accepted
        if repeated and not _same_payment(payment, body):
            raise Refused("REPEAT_REQ_INCONSISTENT", message_of("REPEAT_REQ_INCONSISTENT"))
        # Idempotency comes first: a repeated call may carry an expiry that has gone by since. The merchant states
        # it on its own clock, and that one is never moved.
        expires_at = 0.0 if repeated else expiry_of(body, datetime.now(UTC)).timestamp() + self._clock.ahead_s
        behaviour = payment.next_behaviour("pay")
        if _is_processed(payment, behaviour):
            refusal = ""
            if not repeated:
                self._accept(payment, body, expires_at)
                refusal = self._authorizations.refusal_to_debit(access_token, method["paymentMethodType"])
            if refusal and not behaviour.overrules:
                self._conclude(payment, "FAIL", refusal)
            else:
                self._decide(payment, behaviour, repeated)
        return Reply(behaviour, _pay_document(payment, behaviour), payment.name)

    def _accept(self, payment: Payment, body: Json, expires_at: float) -> None:
        """The payment exists from now on; from here its truth runs, whatever becomes of the answer."""
        access_token = body["paymentMethod"]["paymentMethodId"]
        now = self._clock.now()
        day = datetime.fromtimestamp(now, ZONE).strftime("%Y%m%d")
        payment.payment_id = f"{day}194010800100188820200{next(self._numbers):011d}"
        payment.accepted_at = now
        payment.expires_at = expires_at
        payment.amount = {name: body["paymentAmount"][name] for name in ("currency", "value")}
        payment.wallet = body["paymentMethod"]["paymentMethodType"]
        payment.reference_order_id = body["order"]["referenceOrderId"]
        payment.description = body["order"]["orderDescription"]
        payment.settles_in = body.get("settlementStrategy", {}).get("settlementCurrency", "")
        payment.token_sha256 = digest(access_token)
        payment.auth_state = self._authorizations.auth_state_of(access_token)
        payment.notify_url = body.get("paymentNotifyUrl", "")
        self._by_payment_id[payment.payment_id] = payment
        self._world.ledger.event("accepted", payment.name, paymentId=payment.payment_id)
        plan = payment.plan.notify
        if plan.first:
            forged = {"resultStatus": "S", "resultCode": "SUCCESS", "key": plan.first}
            self._notifier.extra(payment, forged)
        if plan.pending:
            self._notifier.extra(payment, {"notifyType": "PAYMENT_PENDING"})

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
                self._conclude(payment, "SUCCESS", "SUCCESS")
        elif planned or behaviour.claim == "U":
            self._appoint(payment, self._clock.now())
        else:
            self._conclude_as_claimed(payment, behaviour)

    def _conclude_as_claimed(self, payment: Payment, behaviour: Behaviour) -> None:
        if behaviour.claim == "F":
            self._conclude(payment, "FAIL", behaviour.code)
        else:
            self._conclude(payment, "SUCCESS", "SUCCESS")

    def _appoint(self, payment: Payment, start: float) -> None:
        """Set down when an open payment's truth comes out: as planned, else at its expiry, else never."""
        planned = payment.plan.result
        if planned is not None and planned.status in FINAL:
            payment.due = (start + planned.after_s, planned.status, planned.code)
        elif payment.plan.expires:
            payment.due = (payment.expires_at, "FAIL", "ORDER_IS_CLOSED")
        else:
            payment.due = None
        if payment.due is not None and not self._advance(payment):
            self._world.later(payment.due[0], payment, lambda: self._advance(payment))

    def _advance(self, payment: Payment) -> bool:
        """Let the truth come out if its time has come; whether it is out."""
        if payment.due is not None and payment.due[0] <= self._clock.now():
            _, status, code = payment.due
            self._conclude(payment, status, code)
        return payment.final

    def _conclude(self, payment: Payment, status: str, code: str) -> None:
        """The final result; a payment has one, and a success debits the buyer."""
        if payment.final:
            return
        payment.status, payment.code, payment.due = status, code, None
        payment.known_at = self._clock.now()
        if status == "SUCCESS":
            payment.debits += 1
            payment.debited_at = payment.known_at
            self._world.balance[payment.amount["currency"]] += payment.value
            self._world.ledger.event("debited", payment.name, amount=payment.amount)
        self._world.ledger.event("concluded", payment.name, status=status, resultCode=code)
        if status != "CANCELLED":  # a cancelled payment has no notification
            told = {"resultStatus": "S" if status == "SUCCESS" else "F", "resultCode": code}
            self._notifier.announce(payment, told)

    # inquiryPayment

    def _inquire(self, body: Json) -> Reply:
        check_payment_ids(body)
        payment = self._named(body)
        if payment is None:
            return Reply(Behaviour(), {"result": result("F", "ORDER_NOT_EXIST")})
        behaviour = payment.next_behaviour("inquiry")
        return Reply(behaviour, _inquiry_document(payment, behaviour), payment.name)

    # cancel

    def _cancel(self, body: Json) -> Reply:
        check_payment_ids(body)
        payment = self._named(body)
        if payment is None:
            return Reply(Behaviour(), {"result": result("F", "ORDER_NOT_EXIST")})
        behaviour = payment.next_behaviour("cancel")
        refusal = self._refusal_to_cancel(payment)
        if behaviour.does and (behaviour.overrules or not refusal):
            self._call_off(payment)
        return Reply(behaviour, _cancel_document(payment, behaviour, refusal), payment.name)

    def _refusal_to_cancel(self, payment: Payment) -> str:
        """The code that says why this payment is not cancelled; empty if it can be, or is already."""
        if not payment.accepted:
            return "ORDER_NOT_EXIST"
        if payment.status == "CANCELLED":
            return ""
        if payment.status == "FAIL":
            return "ORDER_STATUS_INVALID"
        if payment.given_back or payment.giving_back:
            return "PROCESS_FAIL"
        starts_at = payment.debited_at or payment.accepted_at or 0.0
        if self._clock.now() >= cancel_window_ends(starts_at):
            return "CANCEL_WINDOW_EXCEED"
        if payment.debits and not wallet(payment.wallet).cancels_paid:
            return "PAYMENT_METHOD_NOT_SUPPORTED"
        if payment.kept > self._world.balance[payment.amount["currency"]]:
            return "MERCHANT_BALANCE_NOT_ENOUGH"
        return ""

    def _call_off(self, payment: Payment) -> None:
        """Close an unpaid payment, or give back a paid one, whole: https://docs.antom.com/ac/ams/paymentc_online"""
        if payment.status == "CANCELLED":
            return
        payment.cancelled_at = self._clock.now()
        if payment.refundable:
            value = payment.refundable
            self.set_aside(payment, value)
            self.give_back(payment, value)
        payment.status = "PROCESSING"  # a cancel that was answered with S outdoes any other end
        self._conclude(payment, "CANCELLED", "ORDER_IS_CANCELED")

    # Money on its way back; all of it in minor units

    def set_aside(self, payment: Payment, value: int) -> None:
        """Take it from the merchant's balance; the buyer does not have it yet."""
        payment.giving_back += value
        self._world.balance[payment.amount["currency"]] -= value

    def put_back(self, payment: Payment, value: int) -> None:
        """What was set aside is the merchant's again."""
        payment.giving_back -= value
        self._world.balance[payment.amount["currency"]] += value

    def give_back(self, payment: Payment, value: int) -> None:
        """What was set aside is the buyer's now."""
        payment.giving_back -= value
        payment.given_back += value
        payment.refunds += 1
        self._world.ledger.event("refunded", payment.name, amount=payment.amount | {"value": str(value)})

    def take_again(self, payment: Payment, value: int) -> None:
        """What the buyer had got has bounced: it is the merchant's again."""
        payment.given_back -= value
        payment.refunds -= 1
        self._world.balance[payment.amount["currency"]] += value
        self._world.ledger.event("bounced", payment.name, amount=payment.amount | {"value": str(value)})


def _same_payment(payment: Payment, body: Json) -> bool:
    """The fields documented as compared: https://docs.antom.com/ac/ams/idempotency"""
    amount = {name: body["paymentAmount"][name] for name in ("currency", "value")}
    return amount == payment.amount and digest(body["paymentMethod"]["paymentMethodId"]) == payment.token_sha256


def _is_processed(payment: Payment, behaviour: Behaviour) -> bool:
    """Whether pay reaches the wallet: a rejected call does if the plan says so or has a result."""
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
        document |= _facts_of(payment, paid=status == "S")
    return bent(document, behaviour)


def _inquiry_document(payment: Payment, behaviour: Behaviour) -> Json:
    """`result` is about the inquiry; the payment is in `paymentStatus`."""
    if behaviour.claim in ("F", "U"):
        code = behaviour.code or "PAYMENT_IN_PROCESS"
        return bent({"result": result(behaviour.claim, code)}, behaviour)
    claimed = behaviour.claimed_status or ("SUCCESS" if behaviour.claim == "S" else "")
    if not claimed and not payment.accepted:
        return bent({"result": result("F", "ORDER_NOT_EXIST")}, behaviour)
    status = claimed or payment.status
    codes = {"SUCCESS": "SUCCESS", "FAIL": "PROCESS_FAIL", "CANCELLED": "ORDER_IS_CANCELED"}
    code = payment.code if status == payment.status else codes.get(status, "PAYMENT_IN_PROCESS")
    code = (behaviour.claimed_status and behaviour.code) or code
    document: Json = {
        "result": result("S", "SUCCESS"),
        "paymentStatus": status,
        "paymentResultCode": code,
        "paymentResultMessage": message_of(code),
    }
    document |= _facts_of(payment, paid=status == "SUCCESS")
    return bent(document | {"transactions": list(payment.transactions.values())}, behaviour)


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
            "cancelTime": iso_of_epoch(payment.cancelled_at or payment.met_at),
        }
    return bent(document, behaviour)


def _facts_of(payment: Payment, paid: bool) -> Json:
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
