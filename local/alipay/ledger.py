"""Everything seen and done, in the order it happened, to hold against the merchant's own records."""

import hashlib
import json
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_EVENTS_KEPT = 200_000
_MESSAGES_KEPT = 50_000
"""How many stay in memory, some 300 MB in all; the oldest go first. The --ledger file has every event."""


class Ledger:
    """Three streams: events (facts about payments), requests, notifications. Times are epoch seconds."""

    def __init__(self, file: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._events: deque[Json] = deque(maxlen=_EVENTS_KEPT)
        self._requests: deque[Json] = deque(maxlen=_MESSAGES_KEPT)
        self._notifications: deque[Json] = deque(maxlen=_MESSAGES_KEPT)
        self._seq = 0
        self._file = None
        if file is not None:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(descriptor, "a", buffering=1, encoding="utf-8")

    def event(self, name: str, payment_request_id: str, **facts: Any) -> None:
        with self._lock:
            self._seq += 1
            entry = {"seq": self._seq, "at": time.time(), "event": name}
            entry |= {"paymentRequestId": payment_request_id, **facts}
            self._events.append(entry)
            if self._file is not None:
                self._file.write(json.dumps(entry) + "\n")

    def events(self, since: int, payment_request_id: str | None = None, limit: int = 10_000) -> list[Json]:
        """Events numbered above `since`, oldest first."""
        with self._lock:
            found = []
            for entry in self._events:
                if entry["seq"] > since and payment_request_id in (None, entry["paymentRequestId"]):
                    found.append(entry)
                    if len(found) == limit:
                        break
            return found

    def request(self, path: str, connection: int, body: bytes) -> Json:
        """The entry for a request that just came in; whoever answers it fills in `answered`."""
        shown, payment_request_id, token_sha256 = masked(body)
        entry = {
            "at": time.time(),
            "path": path,
            "connection": connection,
            "paymentRequestId": payment_request_id,
            "bodySha256": hashlib.sha256(body).hexdigest(),
            "body": json.dumps(shown),  # as text it takes a quarter of the memory
            "paymentMethodIdSha256": token_sha256,
            "answered": None,
        }
        with self._lock:
            self._requests.append(entry)
        return entry

    def notification(self, entry: Json) -> None:
        with self._lock:
            self._notifications.append(entry)

    def requests(self, payment_request_id: str | None = None) -> list[Json]:
        entries = self._of(self._requests, payment_request_id)
        return [entry | {"body": json.loads(entry["body"])} for entry in entries]

    def notifications(self, payment_request_id: str | None = None) -> list[Json]:
        return self._of(self._notifications, payment_request_id)

    def _of(self, entries: deque[Json], payment_request_id: str | None) -> list[Json]:
        with self._lock:
            return [entry for entry in entries if payment_request_id in (None, entry["paymentRequestId"])]

    def clear(self) -> None:
        """Forget everything but the numbering of events, which whoever reads the stream relies on."""
        with self._lock:
            self._events.clear()
            self._requests.clear()
            self._notifications.clear()
        self.event("reset", "")


def masked(body: bytes) -> tuple[Any, str | None, str | None]:
    """The body as JSON without its access token, its paymentRequestId, and the token's SHA-256, or None."""
    try:
        shown = json.loads(body)
    except (ValueError, RecursionError):
        return None, None, None
    if not isinstance(shown, dict):
        return None, None, None
    token_sha256 = None
    method = shown.get("paymentMethod")
    if isinstance(method, dict) and "paymentMethodId" in method:
        token_sha256 = token_digest(str(method["paymentMethodId"]))
        shown["paymentMethod"] = method | {"paymentMethodId": "***"}
    payment_request_id = shown.get("paymentRequestId")
    return shown, payment_request_id if isinstance(payment_request_id, str) else None, token_sha256


def token_digest(access_token: str) -> str:
    return hashlib.sha256(access_token.encode("utf-8")).hexdigest()
