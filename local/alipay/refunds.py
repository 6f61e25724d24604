"""Refunds: money given back in part or whole, the portal's hand, and the calls refund and inquiryRefund.

https://docs.antom.com/ac/ams/refund_online · https://docs.antom.com/ac/ams/ir_online ·
https://docs.antom.com/ac/ams/notify_refund
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from local.alipay import presets
from local.alipay.answers import Reply, bent
from local.alipay.clock import ZONE
from local.alipay.notifier import Notifier
from local.alipay.payments import Payment, Payments
from local.alipay.plans import FINAL, NORMAL, Behaviour, Plans, RefundPlan, parse_refund_plan
from local.alipay.rules import Refused, check_refund, check_refund_ids
from local.alipay.wallets import wallet
from local.alipay.wire import iso_of_epoch, message_of, result
from local.alipay.world import NotPossible, Subject, World

Json = dict[str, Any]

_DAY_S = 86_400.0


@dataclass(slots=True, kw_only=True)
class Refund(Subject[RefundPlan]):
    """One refundRequestId, from the first call that names it. Times are epoch seconds of Alipay's clock."""

    refund_request_id: str
    payment: Payment | None = None  # None while no refund call got through
    refund_id: str = ""
    amount: Json = field(default_factory=dict)
    accepted_at: float | None = None
    status: str = "PROCESSING"
    code: str = "REFUND_IN_PROCESS"
    refunded_at: float | None = None
    bounced_at: float | None = None
    by_portal: bool = False
    was_open: bool = False  # whether it was ever in process, so that its end is news
    due: tuple[float, str, str] | None = None

    @property
    def name(self) -> Json:
        return {"refundRequestId": self.refund_request_id}

    @property
    def accepted(self) -> bool:
        return self.payment is not None

    @property
    def value(self) -> int:
        """The amount in minor units."""
        return int(self.amount.get("value", 0))

    @property
    def final(self) -> bool:
        return self.status in FINAL

    def as_json(self) -> Json:
        payment = self.payment
        return {
            "refundRequestId": self.refund_request_id,
            "refundId": self.refund_id,
            "paymentRequestId": payment.payment_request_id if payment else "",
            "paymentId": payment.payment_id if payment else "",
            "known": self.accepted,
            "status": self.status,
            "resultCode": self.code,
            "refundAmount": self.amount,
            "acceptedAt": self.accepted_at,
            "refundedAt": self.refunded_at,
            "bouncedAt": self.bounced_at,
            "byPortal": self.by_portal,
            **self.counts(),
        }

    def as_transaction(self) -> Json:
        """Its entry in `transactions[]` of inquiryPayment."""
        status = {"SUCCESS": "S", "FAIL": "F"}.get(self.status, "U")
        return {
            "transactionType": "REFUND",
            "transactionId": self.refund_id,
            "transactionRequestId": self.refund_request_id,
            "transactionAmount": dict(self.amount),
            "transactionStatus": self.status,
            "transactionResult": result(status, self.code),
        }

    def facts(self, status: str) -> Json:
        """What answers and notifications say about it besides its result."""
        facts: Json = {"refundRequestId": self.refund_request_id, "refundId": self.refund_id}
        facts["refundAmount"] = dict(self.amount)
        if status == "SUCCESS":
            facts["refundTime"] = iso_of_epoch(self.refunded_at or self.accepted_at or 0.0)
        return facts

    def notification(self, message: Mapping[str, Any]) -> Json:
        """The body of notifyRefund; `refundStatus` follows `resultStatus` unless the message has one."""
        status = message.get("resultStatus", "F" if self.status == "FAIL" else "S")
        code = message.get("resultCode", "") or (self.code if status == "F" and self.final else "")
        code = code or {"S": "SUCCESS", "U": "REFUND_IN_PROCESS"}.get(status, "PROCESS_FAIL")
        refund_status = message.get("refundStatus", {"S": "SUCCESS", "F": "FAIL"}.get(status, "PROCESSING"))
        document: Json = {
            "notifyType": message.get("notifyType", "REFUND_RESULT"),
            "result": result(status, code),
            "refundStatus": refund_status,
            **self.facts(refund_status),
        }
        if "amount" in message:
            document["refundAmount"] = message["amount"]
        return document


class Refunds:
    """All refunds and their plans."""

    def __init__(self, world: World, notifier: Notifier, payments: Payments) -> None:
        self.plans = Plans("refund", parse_refund_plan, presets.REFUNDS)
        self.calls = {
            "payments/refund": ("refund", self._refund),
            "payments/inquiryRefund": ("inquiryRefund", self._inquire),
        }
        self._world = world
        self._clock = world.clock
        self._notifier = notifier
        self._payments = payments
        self._refunds: dict[str, Refund] = {}
        self._by_refund_id: dict[str, Refund] = {}
        self._numbers = count(1)

    def clear(self) -> None:
        for refund in self._refunds.values():
            refund.forgotten = True
        self._refunds.clear()
        self._by_refund_id.clear()
        self.plans.clear()

    # Looking them up

    def get(self, refund_request_id: str) -> Refund | None:
        with self._world.lock:
            refund = self._refunds.get(refund_request_id)
            if refund is not None:
                self._advance(refund)
            return refund

    def all(self) -> list[Refund]:
        with self._world.lock:
            for refund in self._refunds.values():
                self._advance(refund)
            return list(self._refunds.values())

    def replan(self, refund_request_id: str, plan: RefundPlan) -> None:
        """Plan a refund; one that is in process already starts this plan from its beginning, now."""
        with self._world.lock:
            self.plans.set_for(refund_request_id, plan)
            refund = self._refunds.get(refund_request_id)
            if refund is not None:
                refund.replan(plan)
                if refund.accepted and not refund.final:
                    self._appoint(refund)

    def _meet(self, refund_request_id: str, reason: str = "") -> Refund:
        """The refund of this id, known to Alipay or not."""
        refund = self._refunds.get(refund_request_id)
        if refund is None or not refund.accepted:
            plan = self.plans.of(refund_request_id, reason)
            if refund is None:
                refund = Refund(plan=plan, refund_request_id=refund_request_id)
                self._refunds[refund_request_id] = refund
            refund.plan = plan
        self._advance(refund)
        return refund

    # refund

    def _refund(self, body: Json) -> Reply:
        check_refund(body)
        refund = self._meet(body["refundRequestId"], body.get("refundReason", ""))
        amount = {name: body["refundAmount"][name] for name in ("currency", "value")}
        payment = self._payments.by_payment_id(body["paymentId"])
        if refund.accepted and (refund.amount != amount or refund.payment is not payment):
            raise Refused("REPEAT_REQ_INCONSISTENT", message_of("REPEAT_REQ_INCONSISTENT"))
        behaviour = refund.next_behaviour("refund")
        if payment is None:
            return Reply(behaviour, _refund_document(refund, behaviour, "ORDER_NOT_EXIST"), refund.name)
        if _is_processed(refund, behaviour):
            self._process(refund, payment, amount, behaviour, body.get("refundNotifyUrl", ""))
        return Reply(behaviour, _refund_document(refund, behaviour), refund.name)

    def _process(self, refund: Refund, payment: Payment, amount: Json, behaviour: Behaviour, notify_url: str) -> None:
        """What a refund call that came through makes of the refund: the first decides, a repeated one pushes it on."""
        planned = refund.plan.result is not None
        if refund.accepted:
            if not refund.final and not planned and behaviour.claim in (NORMAL, "S"):
                self._conclude(refund, "SUCCESS", "SUCCESS")
            return
        refusal = self._refusal(payment, amount)
        self._accept(refund, payment, amount, notify_url)
        if behaviour.claim == "F" and (behaviour.authentic or not planned):
            self._conclude(refund, "FAIL", behaviour.code)
        elif refusal and not behaviour.overrules:
            self._conclude(refund, "FAIL", refusal)
        elif behaviour.claim == "U" or planned:
            refund.was_open = True
            self._appoint(refund)
        else:
            self._conclude(refund, "SUCCESS", "SUCCESS")

    def _refusal(self, payment: Payment, amount: Json) -> str:
        """The code that says why this payment cannot give back so much; empty if it can."""
        value, rules = int(amount["value"]), wallet(payment.wallet)
        if payment.status == "CANCELLED":
            return "ORDER_IS_CANCELED"
        if payment.status != "SUCCESS":
            return "ORDER_IS_CLOSED" if payment.code == "ORDER_IS_CLOSED" else "ORDER_STATUS_INVALID"
        if amount["currency"] != payment.amount["currency"]:
            return "CURRENCY_NOT_SUPPORT"
        if self._clock.now() >= (payment.debited_at or 0.0) + rules.refund_days * _DAY_S:
            return "REFUND_WINDOW_EXCEED"
        if value != payment.value and not rules.partial_refunds:
            return "PARTIAL_REFUND_NOT_SUPPORTED"
        if value > payment.refundable:
            return "REFUND_AMOUNT_EXCEED"
        if value < rules.least:
            return "PARAM_ILLEGAL"  # which code it really is, is not documented
        if value > self._world.balance[amount["currency"]]:
            return "MERCHANT_BALANCE_NOT_ENOUGH"
        return ""

    def _accept(self, refund: Refund, payment: Payment, amount: Json, notify_url: str) -> None:
        """The refund exists from now on, and what it gives back is set aside."""
        now = self._clock.now()
        day = datetime.fromtimestamp(now, ZONE).strftime("%Y%m%d")
        refund.refund_id = f"{day}194010800100188820300{next(self._numbers):011d}"
        refund.payment, refund.amount, refund.accepted_at = payment, amount, now
        refund.notify_url = notify_url
        self._by_refund_id[refund.refund_id] = refund
        self._payments.set_aside(payment, refund.value)
        self._record(refund, "refundAccepted")
        if first := refund.plan.notify.first:
            self._notifier.extra(refund, {"resultStatus": "S", "key": first})

    def _appoint(self, refund: Refund) -> None:
        """Set down when the truth about a refund in process comes out: as planned, else never."""
        planned = refund.plan.result
        refund.due = None
        if planned is not None and planned.status in FINAL:
            refund.due = (self._clock.now() + planned.after_s, planned.status, planned.code)
            if not self._advance(refund):
                self._world.later(refund.due[0], refund, lambda: self._advance(refund))

    def _advance(self, refund: Refund) -> bool:
        if refund.due is not None and refund.due[0] <= self._clock.now():
            _, status, code = refund.due
            self._conclude(refund, status, code)
        return refund.final

    def _conclude(self, refund: Refund, status: str, code: str) -> None:
        """The final result; a success gives the money back, a failure returns what was set aside."""
        payment = refund.payment
        if refund.final or payment is None:
            return
        refund.status, refund.code, refund.due = status, code, None
        if status == "SUCCESS":
            refund.refunded_at = self._clock.now()
            self._payments.give_back(payment, refund.value)
            if refund.plan.bounces_after_s is not None:
                due = refund.refunded_at + refund.plan.bounces_after_s
                self._world.later(due, refund, lambda: self._bounce_by_itself(refund))
        else:
            self._payments.put_back(payment, refund.value)
        self._record(refund, "refundConcluded")
        if status == "SUCCESS" or refund.was_open:  # a refusal was answered, and is told nobody
            told = {"resultStatus": "S" if status == "SUCCESS" else "F", "resultCode": code}
            self._notifier.announce(refund, told)

    def _record(self, refund: Refund, event: str) -> None:
        """Tell the ledger, and the payment's own list."""
        payment = refund.payment
        if payment is not None:
            payment.transactions[refund.refund_request_id] = refund.as_transaction()
            self._world.ledger.event(
                event, payment.name | refund.name, status=refund.status, resultCode=refund.code, amount=refund.amount
            )

    # inquiryRefund

    def _inquire(self, body: Json) -> Reply:
        check_refund_ids(body)
        refund = self._by_refund_id.get(body.get("refundId", ""))
        if refund is None and body.get("refundRequestId") and not body.get("refundId"):
            refund = self._meet(body["refundRequestId"])
        if refund is None:
            return Reply(Behaviour(), {"result": result("F", "ORDER_NOT_EXIST")})
        self._advance(refund)
        behaviour = refund.next_behaviour("inquiryRefund")
        return Reply(behaviour, _inquiry_document(refund, behaviour), refund.name)

    # What nobody calls

    def by_portal(self, payment: Payment, amount: Json) -> Refund:
        """A refund that somebody makes in the merchant portal. Raises `NotPossible`."""
        with self._world.lock:
            if refusal := self._refusal(payment, amount):
                raise NotPossible(f"the portal answers {refusal}")
            number = f"{next(self._numbers):011d}"
            refund = self._meet(f"portal{number}")
            refund.by_portal = True
            self._accept(refund, payment, amount, "")
            self._conclude(refund, "SUCCESS", "SUCCESS")
            return refund

    def _bounce_by_itself(self, refund: Refund) -> None:
        if refund.bounced_at is None:
            self.bounce(refund)

    def bounce(self, refund: Refund) -> None:
        """The wallet sends a refund back: REFUND_REVERSAL in the files; answers go on saying SUCCESS."""
        with self._world.lock:
            if refund.payment is None or refund.status != "SUCCESS" or refund.bounced_at is not None:
                raise NotPossible("only a refund that succeeded bounces, and once")
            refund.bounced_at = self._clock.now()
            self._payments.take_again(refund.payment, refund.value)
            self._record(refund, "refundBounced")


def _is_processed(refund: Refund, behaviour: Behaviour) -> bool:
    """Whether refund gets through: a rejected call does if the plan says so or has a result."""
    if behaviour.transport == "reset-before":
        return False
    if behaviour.processed is not None:
        return behaviour.processed
    return not behaviour.rejected or refund.plan.result is not None


def _refund_document(refund: Refund, behaviour: Behaviour, refusal: str = "") -> Json:
    status, code = behaviour.claim, behaviour.code
    if status == NORMAL:
        status, code = {"SUCCESS": "S", "PROCESSING": "U"}.get(refund.status, "F"), refund.code
        if refusal:
            status, code = "F", refusal
    code = code or {"S": "SUCCESS", "U": "REFUND_IN_PROCESS"}.get(status, "")
    document: Json = {"result": result(status, code)}
    if status == "S":
        document |= refund.facts("SUCCESS")
        document["paymentId"] = refund.payment.payment_id if refund.payment else ""
    return bent(document, behaviour)


def _inquiry_document(refund: Refund, behaviour: Behaviour) -> Json:
    """`result` is about the inquiry; the refund is in `refundStatus`."""
    if behaviour.claim in ("F", "U"):
        code = behaviour.code or "UNKNOWN_EXCEPTION"
        return bent({"result": result(behaviour.claim, code)}, behaviour)
    claimed = behaviour.claimed_status or ("SUCCESS" if behaviour.claim == "S" else "")
    if not refund.accepted and claimed in ("", "PROCESSING"):  # nothing is in process that Alipay does not have
        return bent({"result": result("F", "ORDER_NOT_EXIST")}, behaviour)
    status = claimed or refund.status
    document = {"result": result("S", "SUCCESS"), "refundStatus": status, **refund.facts(status)}
    return bent(document, behaviour)
