"""The truth: what became of each payment, and how often the buyer was really debited."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from local.alipay.clock import ZONE, Clock
from local.alipay.ledger import Ledger
from local.alipay.plans import FINAL, Behaviour, Plan, preset
from local.alipay.timetable import Timetable

Json = dict[str, Any]

MOST_PAYMENTS = 200_000
"""A payment is never forgotten, for then it could be debited again; past this many, new ones are put off."""


@dataclass(slots=True)
class Payment:
    """One paymentRequestId, from the first call that names it. Times are epoch seconds."""

    payment_request_id: str
    plan: Plan
    met_at: float
    payment_id: str = ""
    accepted_at: float | None = None  # None while no pay call got as far as the wallet
    expires_at: float = 0.0
    amount: Json = field(default_factory=dict)
    wallet: str = ""
    token_sha256: str = ""
    notify_url: str = ""
    status: str = "PROCESSING"
    code: str = "PAYMENT_IN_PROCESS"
    known_at: float | None = None
    due: tuple[float, str, str] | None = None
    debits: int = 0
    debited_at: float | None = None
    refunds: int = 0
    given_back: int = 0  # in minor units
    cancelled_at: float | None = None
    calls: dict[str, int] = field(default_factory=lambda: {"pay": 0, "inquiry": 0, "cancel": 0})
    steps: dict[str, int] = field(default_factory=dict)
    redirects_followed: int = 0
    notifications_sent: int = 0
    notifications_lost: int = 0
    acknowledged_at: float | None = None

    @property
    def accepted(self) -> bool:
        return self.accepted_at is not None

    @property
    def kept(self) -> int:
        """What the merchant holds of the buyer's money, in minor units."""
        return self.debits * int(self.amount.get("value", 0)) - self.given_back

    @property
    def final(self) -> bool:
        return self.status in FINAL

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
            "calls": dict(self.calls),
            "redirectsFollowed": self.redirects_followed,
            "notifyUrl": self.notify_url,
            "notifications": {
                "sent": self.notifications_sent,
                "lost": self.notifications_lost,
                "acknowledgedAt": self.acknowledged_at,
            },
        }


class Wallet:
    """All payments and plans. Hold `lock` to look at a payment and act on what was seen."""

    def __init__(self, ledger: Ledger, timetable: Timetable, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.dark = False
        self.announce: Callable[[Payment, str], None] = lambda payment, moment: None
        self._ledger = ledger
        self._timetable = timetable
        self.clock = clock
        self._payments: dict[str, Payment] = {}
        self._by_payment_id: dict[str, Payment] = {}
        self._plans: dict[str, Plan] = {}
        self._prefix_plans: dict[str, Plan] = {}
        self._payment_numbers = count(1)

    # Plans

    def set_plan(self, payment_request_id: str, plan: Plan) -> None:
        """Plan a payment; one that is open already starts this plan from its beginning, now."""
        with self.lock:
            self._plans[payment_request_id] = plan
            payment = self._payments.get(payment_request_id)
            if payment is not None:
                payment.plan = plan
                payment.steps.clear()
                if payment.accepted and not payment.final:
                    self.appoint(payment, self.clock.now())

    def set_prefix_plan(self, prefix: str, plan: Plan) -> None:
        with self.lock:
            self._prefix_plans[prefix] = plan

    def _plan_for(self, payment_request_id: str, access_token: str) -> Plan:
        if payment_request_id in self._plans:
            return self._plans[payment_request_id]
        prefixes = [prefix for prefix in self._prefix_plans if payment_request_id.startswith(prefix)]
        if prefixes:
            return self._prefix_plans[max(prefixes, key=len)]
        return preset(access_token) or Plan()

    # Payments

    def meet(self, payment_request_id: str, access_token: str = "") -> Payment | None:
        """The payment of this id, known to the wallet or not; None when there is no room for another."""
        with self.lock:
            payment = self._payments.get(payment_request_id)
            if payment is None:
                if len(self._payments) >= MOST_PAYMENTS:
                    return None
                payment = Payment(payment_request_id, Plan(), self.clock.now())
                self._payments[payment_request_id] = payment
            if not payment.accepted:
                payment.plan = self._plan_for(payment_request_id, access_token)
            self.advance(payment)
            return payment

    def get(self, payment_request_id: str) -> Payment | None:
        with self.lock:
            payment = self._payments.get(payment_request_id)
            if payment is not None:
                self.advance(payment)
            return payment

    def by_payment_id(self, payment_id: str) -> Payment | None:
        with self.lock:
            payment = self._by_payment_id.get(payment_id)
            return self.get(payment.payment_request_id) if payment is not None else None

    def all(self) -> list[Json]:
        with self.lock:
            for payment in self._payments.values():
                self.advance(payment)
            return [payment.as_json() for payment in self._payments.values()]

    def next_behaviour(self, payment: Payment, call: str) -> Behaviour:
        """How this call is to be answered; the call is counted."""
        with self.lock:
            payment.calls[call] += 1
            step = payment.steps.get(call, 0)
            payment.steps[call] = step + 1
            return payment.plan.behaviour(call, step)

    # The truth

    def accept(self, payment: Payment, body: Json, token_sha256: str, expires_at: float) -> None:
        """The payment exists from now on; from here its truth runs, whatever becomes of the answer."""
        now = self.clock.now()
        day = datetime.fromtimestamp(now, ZONE).strftime("%Y%m%d")
        payment.payment_id = f"{day}194010800100188820200{next(self._payment_numbers):011d}"
        payment.accepted_at = now
        payment.expires_at = expires_at
        payment.amount = {name: body["paymentAmount"][name] for name in ("currency", "value")}
        payment.wallet = body["paymentMethod"]["paymentMethodType"]
        payment.token_sha256 = token_sha256
        payment.notify_url = body.get("paymentNotifyUrl", "")
        self._by_payment_id[payment.payment_id] = payment
        self._ledger.event("accepted", payment.payment_request_id, paymentId=payment.payment_id)
        self.announce(payment, "accepted")

    def appoint(self, payment: Payment, start: float) -> None:
        """Set down when an open payment's truth comes out: as planned, else at its expiry, else never."""
        result = payment.plan.result
        if result is not None and result.status in FINAL:
            payment.due = (start + result.after_s, result.status, result.code)
        elif payment.plan.expires:
            payment.due = (payment.expires_at, "FAIL", "ORDER_IS_CLOSED")
        else:
            payment.due = None
        if payment.due is not None and not self.advance(payment):
            self._timetable.at(payment.due[0], lambda: self._fall_due(payment))

    def _fall_due(self, payment: Payment) -> None:
        with self.lock:
            if self._payments.get(payment.payment_request_id) is payment:
                self.advance(payment)

    def advance(self, payment: Payment) -> bool:
        """Let the truth come out if its time has come; whether it is out."""
        if payment.due is not None and payment.due[0] <= self.clock.now():
            _, status, code = payment.due
            self.conclude(payment, status, code)
        return payment.final

    def conclude(self, payment: Payment, status: str, code: str) -> None:
        """The final result; a payment has one, and a success debits the buyer."""
        with self.lock:
            if payment.final:
                return
            payment.status, payment.code, payment.due = status, code, None
            payment.known_at = self.clock.now()
            if status == "SUCCESS":
                payment.debits += 1
                payment.debited_at = payment.known_at
                self._ledger.event("debited", payment.payment_request_id, amount=payment.amount)
            self._ledger.event("concluded", payment.payment_request_id, status=status, resultCode=code)
            self.announce(payment, "known")

    def cancel(self, payment: Payment) -> None:
        """Close an unpaid payment, or give back a paid one, whole: https://docs.antom.com/ac/ams/paymentc_online"""
        with self.lock:
            if payment.status == "CANCELLED":
                return
            payment.cancelled_at = self.clock.now()
            if payment.kept:
                payment.refunds += 1
                self._ledger.event("refunded", payment.payment_request_id, amount=payment.amount)
                payment.given_back += payment.kept
            payment.status = "PROCESSING"  # a cancel that was answered with S outdoes any other end
            self.conclude(payment, "CANCELLED", "ORDER_IS_CANCELED")

    def count_redirect(self, payment_request_id: str) -> None:
        with self.lock:
            payment = self._payments.get(payment_request_id)
            if payment is not None:
                payment.redirects_followed += 1
        self._ledger.event("redirectFollowed", payment_request_id)

    def clear(self) -> None:
        with self.lock:
            self._timetable.clear()
            for entries in (self._payments, self._by_payment_id, self._plans, self._prefix_plans):
                entries.clear()
            self.dark = False
            self._ledger.clear()
