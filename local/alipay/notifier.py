"""Notifications to the merchant, delivered until they are acknowledged or the schedule is spent.

https://docs.antom.com/ac/ams/paymentrn_online · https://docs.antom.com/ac/ams/notifyauth ·
https://docs.antom.com/ac/ams/notify_refund
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

from local.alipay.wire import ACKNOWLEDGEMENT, Keys, altered, iso_seconds, sealed
from local.alipay.world import Subject, World

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
    def __init__(self, world: World, keys: Keys, scale: float) -> None:
        self._world = world
        self._keys = keys
        self._scale = scale
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for _ in range(_WORKERS):
            threading.Thread(target=self._deliver_for_ever, name="notifier", daemon=True).start()

    def _deliver_for_ever(self) -> None:
        while True:
            self._work.get()()

    def announce(self, subject: Subject[Any], message: Json, delay_s: float | None = None) -> None:
        """Deliver this by the schedule, as late and as well as the subject's plan says, unless `delay_s` says when."""
        planned_s = subject.plan.notify.delay_s
        first_s = next((given for given in (delay_s, planned_s) if given is not None), FIRST_DELAY_S)
        if subject.notify_url:
            self._later(first_s, subject, lambda: self._attempt(subject, message, 0))

    def extra(self, subject: Subject[Any], message: Json, delay_s: float = 0) -> None:
        """Send this once, outside the schedule."""
        if subject.notify_url:
            self._later(delay_s, subject, lambda: self._extra(subject, message))

    def _later(self, delay_s: float, subject: Subject[Any], work: Callable[[], None]) -> None:
        self._world.later(self._world.clock.now() + delay_s, subject, lambda: self._work.put(work))

    def _attempt(self, subject: Subject[Any], message: Json, number: int) -> None:
        """One attempt of the schedule; the next is arranged unless this one is acknowledged."""
        plan = subject.plan.notify
        acknowledged = False
        if plan.lost or number < plan.lose or self._world.dark:
            self._record_lost(subject, number)
        else:
            copies = plan.times if number == plan.lose else 1
            acknowledged = self._send_copies(subject, message, number, copies)
        if number == 0:
            for extra in plan.then:
                self.extra(subject, {k: v for k, v in extra.items() if k != "delay"}, float(extra.get("delay", 0)))
        # The sandbox never delivers again: https://docs.antom.com/ac/aba_zh-cn/notify_refund
        more = number + 1 < len(INTERVALS_S) and not self._keys.sandbox
        if not acknowledged and more:
            delay_s = INTERVALS_S[number + 1] * self._scale
            self._later(delay_s, subject, lambda: self._attempt(subject, message, number + 1))

    def _send_copies(self, subject: Subject[Any], message: Json, number: int, copies: int) -> bool:
        deliveries: list[Delivery] = []

        def send() -> None:
            deliveries.append(self.send(subject, message, attempt=number + 1))

        others = [threading.Thread(target=send, daemon=True) for _ in range(copies - 1)]
        for thread in others:
            thread.start()
        send()
        for thread in others:
            thread.join()
        return any(delivery.acknowledged for delivery in deliveries)

    def _extra(self, subject: Subject[Any], message: Json) -> None:
        if not self._world.dark:
            self.send(subject, message, attempt=0)

    def _record_lost(self, subject: Subject[Any], number: int) -> None:
        with self._world.lock:
            subject.notifications_lost += 1
        nothing = {"status": None, "acknowledged": False, "answer": "", "error": ""}
        self._world.ledger.notification(subject.name, {"attempt": number + 1, "lost": True, **nothing}, time.time())
        self._world.ledger.event("notificationLost", subject.name, attempt=number + 1)

    def send(self, subject: Subject[Any], message: Mapping[str, Any], attempt: int) -> Delivery:
        """Send one notification now; `attempt` is its number in the schedule, 0 for one outside it."""
        ledger = self._world.ledger
        with self._world.lock:
            document = subject.notification(message)
            subject.notifications_sent += 1
        url, headers, body = self.compose(subject.notify_url, document, message)
        sent_at = time.time()
        kinds = {name: document[name] for name in ("notifyType", "authorizationNotifyType") if name in document}
        ledger.event(
            "notificationSent",
            subject.name,
            attempt=attempt,
            **kinds,
            resultStatus=document["result"]["resultStatus"],
            key=message.get("key", "signed"),
        )
        delivery = _post(url, headers, body)
        if delivery.acknowledged and attempt > 0:
            with self._world.lock:
                subject.acknowledged_at = subject.acknowledged_at or time.time()
        ledger.notification(
            subject.name,
            {
                "answeredAt": time.time(),
                "attempt": attempt,
                "lost": False,
                "message": {name: value for name, value in message.items() if name != "url"},
                "status": delivery.status,
                "acknowledged": delivery.acknowledged,
                "answer": delivery.body[:1000],
                "error": delivery.error,
            },
            sent_at,
        )
        ledger.event(
            "notificationAcknowledged" if delivery.acknowledged else "notificationNotAcknowledged",
            subject.name,
            attempt=attempt,
            status=delivery.status,
        )
        return delivery

    def compose(self, url: str, document: Json, message: Mapping[str, Any]) -> tuple[str, dict[str, str], bytes]:
        """URL, headers and body of this notification, with what `message` wants otherwise (docs/simulator.md)."""
        body = _body(document, message)
        url = message.get("url", url)
        client_id = message.get("clientId", self._keys.client_id)
        request_time = message.get("requestTime", iso_seconds(datetime.now(UTC)))
        headers = {"Content-Type": "application/json", "client-id": client_id, "Request-Time": request_time}
        seal = message.get("key", "signed")
        if seal != "none":
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


def _body(document: Json, message: Mapping[str, Any]) -> bytes:
    if "body" in message:
        return str(message["body"]).encode("utf-8")
    renamed = message.get("rename", {})
    kept = {**document, **message.get("set", {})}
    told = {renamed.get(name, name): value for name, value in kept.items() if name not in message.get("omit", ())}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode("utf-8")


def signed_path(url: SplitResult) -> str:
    """The notify URL without scheme and host, character for character, query string included."""
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


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
