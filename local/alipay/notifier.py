"""notifyPayment: messages to the merchant, delivered until they are acknowledged or the schedule is spent.

https://docs.antom.com/ac/ams/paymentrn_online
"""

import http.client
import json
import queue
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from local.alipay.gateway import facts_of
from local.alipay.ledger import Ledger
from local.alipay.timetable import Timetable
from local.alipay.wallet import Payment, Wallet
from local.alipay.wire import ACKNOWLEDGEMENT, Keys, iso_seconds, result, sealed

Json = dict[str, Any]

INTERVALS_S = (0, 120, 600, 600, 3600, 7200, 21600, 54000)
"""Seconds before each attempt, counted from the one before: https://docs.antom.com/ac/scantopay/notification"""

FIRST_DELAY_S = 0.3
"""How long a notification takes to leave when no plan says: usually the answer to pay is out by then."""

_ANSWER_TIMEOUT_S = 10.0
_ANSWER_LIMIT = 65_536
_WORKERS = 32


@dataclass(frozen=True)
class Delivery:
    """What the merchant answered; `status` is None when it did not."""

    status: int | None
    body: str
    error: str = ""

    @property
    def acknowledged(self) -> bool:
        """Only 200 with the fixed body counts; anything else is delivered again."""
        if self.status != 200:
            return False
        try:
            answered: object = json.loads(self.body)
        except ValueError:
            return False
        return answered == ACKNOWLEDGEMENT


class Notifier:
    def __init__(self, wallet: Wallet, ledger: Ledger, keys: Keys, timetable: Timetable, scale: float) -> None:
        self._wallet = wallet
        self._ledger = ledger
        self._keys = keys
        self._timetable = timetable
        self._scale = scale
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for _ in range(_WORKERS):
            threading.Thread(target=self._deliver_for_ever, name="notifier", daemon=True).start()
        wallet.announce = self.announce

    def _deliver_for_ever(self) -> None:
        while True:
            self._work.get()()

    def _later(self, delay_s: float, work: Callable[[], None]) -> None:
        self._timetable.at(self._wallet.clock.now() + delay_s, lambda: self._work.put(work))

    def announce(self, payment: Payment, moment: str) -> None:
        """Arrange the notifications that follow when a payment is `accepted`, or its truth `known`."""
        plan = payment.plan.notify
        if not payment.notify_url:
            return
        if moment == "accepted":
            if plan.first:
                forged = {"resultStatus": "S", "resultCode": "SUCCESS", "key": plan.first}
                self._later(0, lambda: self._extra(payment, forged))
            if plan.pending:
                self._later(0, lambda: self._extra(payment, {"notifyType": "PAYMENT_PENDING"}))
        elif payment.status in ("SUCCESS", "FAIL"):  # a cancelled payment has no notification
            told = {
                "resultStatus": "S" if payment.status == "SUCCESS" else "F",
                "resultCode": payment.code,
            }
            delay_s = FIRST_DELAY_S if plan.delay_s is None else plan.delay_s
            self._later(delay_s, lambda: self._attempt(payment, told, 0))

    def _attempt(self, payment: Payment, told: Json, number: int) -> None:
        """One attempt of the schedule; the next is arranged unless this one is acknowledged."""
        plan = payment.plan.notify
        if self._forgotten(payment):
            return
        lost = plan.lost or number < plan.lose or self._wallet.dark
        acknowledged = False
        if lost:
            self._record_lost(payment, number)
        else:
            copies = plan.times if number == plan.lose else 1
            acknowledged = self._send_copies(payment, told, number, copies)
        if number == 0:
            for extra in plan.then:
                self._extra_later(payment, extra)
        # The sandbox never delivers again: https://docs.antom.com/ac/aba_zh-cn/notify_refund
        more = number + 1 < len(INTERVALS_S) and not self._keys.sandbox
        if not acknowledged and more and not self._forgotten(payment):
            delay_s = INTERVALS_S[number + 1] * self._scale
            self._later(delay_s, lambda: self._attempt(payment, told, number + 1))

    def _send_copies(self, payment: Payment, told: Json, number: int, copies: int) -> bool:
        deliveries: list[Delivery] = []

        def send() -> None:
            deliveries.append(self.send(payment, told, attempt=number + 1))

        others = [threading.Thread(target=send, daemon=True) for _ in range(copies - 1)]
        for thread in others:
            thread.start()
        send()
        for thread in others:
            thread.join()
        return any(delivery.acknowledged for delivery in deliveries)

    def _extra_later(self, payment: Payment, extra: Json) -> None:
        message = {name: value for name, value in extra.items() if name != "delay"}
        self._later(float(extra.get("delay", 0)), lambda: self._extra(payment, message))

    def _extra(self, payment: Payment, message: Json) -> None:
        if not self._forgotten(payment) and not self._wallet.dark:
            self.send(payment, message, attempt=0)

    def _forgotten(self, payment: Payment) -> bool:
        """Whether a reset has come between."""
        return self._wallet.get(payment.payment_request_id) is not payment

    def _record_lost(self, payment: Payment, number: int) -> None:
        payment.notifications_lost += 1
        self._ledger.notification(
            {
                "at": time.time(),
                "paymentRequestId": payment.payment_request_id,
                "attempt": number + 1,
                "lost": True,
                "status": None,
                "acknowledged": False,
                "answer": "",
                "error": "",
            }
        )
        self._ledger.event("notificationLost", payment.payment_request_id, attempt=number + 1)

    def send(self, payment: Payment, message: Mapping[str, Any], attempt: int) -> Delivery:
        """Send one notification now; `attempt` is its number in the schedule, 0 for one outside it."""
        url, headers, body = self.compose(payment, message)
        sent_at = time.time()
        with self._wallet.lock:
            payment.notifications_sent += 1
        self._ledger.event(
            "notificationSent",
            payment.payment_request_id,
            attempt=attempt,
            notifyType=message.get("notifyType", "PAYMENT_RESULT"),
            resultStatus=message.get("resultStatus", "S"),
            key=message.get("key", "signed"),
        )
        delivery = _post(url, headers, body)
        if delivery.acknowledged and attempt > 0:
            with self._wallet.lock:
                payment.acknowledged_at = payment.acknowledged_at or time.time()
        self._ledger.notification(
            {
                "at": sent_at,
                "answeredAt": time.time(),
                "paymentRequestId": payment.payment_request_id,
                "attempt": attempt,
                "lost": False,
                "message": {name: value for name, value in message.items() if name != "url"},
                "status": delivery.status,
                "acknowledged": delivery.acknowledged,
                "answer": delivery.body[:1000],
                "error": delivery.error,
            }
        )
        self._ledger.event(
            "notificationAcknowledged" if delivery.acknowledged else "notificationNotAcknowledged",
            payment.payment_request_id,
            attempt=attempt,
            status=delivery.status,
        )
        return delivery

    def compose(self, payment: Payment, message: Mapping[str, Any]) -> tuple[str, dict[str, str], bytes]:
        """URL, headers and body of a notification about this payment, with what `message` wants otherwise.

        `message` may have notifyType, resultStatus, resultCode, amount, paymentId, set, omit, body, clientId,
        requestTime, path, url, key, algorithm, keyVersion, encoding, alterByte and headers: see `server`.
        """
        body = self._body(payment, message)
        url = message.get("url", payment.notify_url)
        client_id = message.get("clientId", self._keys.client_id)
        request_time = message.get("requestTime", iso_seconds(datetime.now(UTC)))
        headers = {"Content-Type": "application/json", "client-id": client_id, "Request-Time": request_time}
        seal = {"forged": "otherkey", "alipay": "signed"}.get(key := message.get("key", "signed"), key)
        if seal not in ("none", "unsigned"):
            path = message.get("path", signed_path(urlsplit(url)))
            signature = _encoded(
                sealed(self._keys, seal, path, client_id, request_time, body),
                message.get("encoding", "lower"),
            )
            algorithm = message.get("algorithm", "RSA256")
            version = message.get("keyVersion", self._keys.alipay_key_version)
            headers["Signature"] = f"algorithm={algorithm},keyVersion={version},signature={signature}"
        if message.get("alterByte"):
            body = altered(body)
        headers |= message.get("headers", {})
        return url, {name: value for name, value in headers.items() if value is not None}, body

    def _body(self, payment: Payment, message: Mapping[str, Any]) -> bytes:
        if "body" in message:
            return str(message["body"]).encode("utf-8")
        status = message.get("resultStatus", {"FAIL": "F"}.get(payment.status, "S"))
        code = message.get("resultCode", payment.code if status == "F" and payment.final else "")
        code = code or {"S": "SUCCESS", "U": "PAYMENT_IN_PROCESS"}.get(status, "PROCESS_FAIL")
        notify_type = message.get("notifyType", "PAYMENT_RESULT")
        document: Json = {"notifyType": notify_type, "result": result(status, code)}
        document |= facts_of(payment, paid=status == "S" and notify_type == "PAYMENT_RESULT")
        if "amount" in message:
            document["paymentAmount"] = message["amount"]
        if "paymentId" in message:
            document["paymentId"] = message["paymentId"]
        document |= message.get("set", {})
        for name in message.get("omit", ()):
            document.pop(name, None)
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode("utf-8")


def signed_path(url: SplitResult) -> str:
    """The notify URL without scheme and host, character for character, query string included."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def altered(body: bytes) -> bytes:
    """The body with one digit changed: still JSON, no longer what was signed."""
    return re.sub(rb"[0-9]", lambda digit: b"%d" % ((int(digit[0]) + 1) % 10), body, count=1)


def _encoded(signature: str, encoding: str) -> str:
    """Percent escapes in `lower` (the documented notification sample) or `upper` case, or `plain` base64."""
    if encoding == "plain":
        return unquote(signature)
    if encoding == "lower":
        return re.sub(r"%[0-9A-F]{2}", lambda escape: escape[0].lower(), signature)
    return signature


def _post(url: str, headers: Mapping[str, str], body: bytes) -> Delivery:
    """One POST on a connection of its own; redirects are not followed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=_ANSWER_TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_TIMEOUT_S)
    try:
        connection.request("POST", signed_path(parts), body=body, headers=dict(headers))
        response = connection.getresponse()
        text = response.read(_ANSWER_LIMIT).decode("utf-8", "replace")
        return Delivery(response.status, text)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Delivery(None, "", f"{type(error).__name__}: {error}")
    finally:
        connection.close()
