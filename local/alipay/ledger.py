"""Everything seen and done, in the order it happened, to hold against the merchant's own records."""

import hashlib
import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NAMES = ("paymentRequestId", "refundRequestId", "authState")
"""What requests, events and notifications may be about: queries narrow a list by these."""

_SECRET = re.compile(
    r'"(?P<name>paymentMethodId|accessToken|refreshToken|authCode)"(?P<colon>\s*:\s*)(?P<value>"(?:[^"\\]|\\.)*")'
)

_EVENTS_KEPT = 200_000
_MESSAGES_KEPT = 50_000
"""How many stay in memory, some 300 MB in all; the oldest go first. The --ledger file has every event."""


class Ledger:
    """Three streams: events (facts), requests, notifications. Times are epoch seconds of the machine's clock."""

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

    def event(self, name: str, about: Mapping[str, str], **facts: Any) -> None:
        """Something happened to what `about` names."""
        with self._lock:
            self._seq += 1
            entry = {"seq": self._seq, "at": time.time(), "event": name, "paymentRequestId": "", **about, **facts}
            self._events.append(entry)
            if self._file is not None:
                self._file.write(json.dumps(entry) + "\n")

    def events(self, since: int, about: Mapping[str, str], limit: int = 10_000) -> list[Json]:
        """Events numbered above `since`, oldest first."""
        with self._lock:
            found = []
            for entry in self._events:
                if entry["seq"] > since and _is_about(entry, about):
                    found.append(entry)
                    if len(found) == limit:
                        break
            return found

    def request(self, path: str, connection: int, body: bytes) -> Json:
        """The entry for a request that just came in; whoever answers it fills in `answered`, and what it is about."""
        text, shown, digests = masked(body)
        entry = {
            "at": time.time(),
            "path": path,
            "connection": connection,
            "paymentRequestId": None,
            "bodySha256": hashlib.sha256(body).hexdigest(),
            "bodyText": text,  # parsed it would take four times the memory
            "paymentMethodIdSha256": digests.get("paymentMethodId"),
            "secretsSha256": digests,
            "answered": None,
        }
        entry |= {name: shown[name] for name in NAMES if isinstance(shown.get(name), str)}
        with self._lock:
            self._requests.append(entry)
        return entry

    def notification(self, about: Mapping[str, str], facts: Json, at: float) -> None:
        """A notification went out, or was lost, at this epoch second."""
        with self._lock:
            self._notifications.append({"at": at, "paymentRequestId": "", **about, **facts})

    def requests(self, about: Mapping[str, str]) -> list[Json]:
        """Requests with their bodies as text, every byte but the secrets as it came, and as JSON."""
        entries = self._of(self._requests, about)
        return [entry | {"body": json.loads(entry["bodyText"] or "null")} for entry in entries]

    def notifications(self, about: Mapping[str, str]) -> list[Json]:
        return self._of(self._notifications, about)

    def _of(self, entries: deque[Json], about: Mapping[str, str]) -> list[Json]:
        with self._lock:
            return [entry for entry in entries if _is_about(entry, about)]

    def clear(self) -> None:
        """Forget everything but the numbering of events, which whoever reads the stream relies on."""
        with self._lock:
            self._events.clear()
            self._requests.clear()
            self._notifications.clear()
        self.event("reset", {})


def _is_about(entry: Json, about: Mapping[str, str]) -> bool:
    return all(entry.get(name) == value for name, value in about.items())


def masked(body: bytes) -> tuple[str | None, Json, dict[str, str]]:
    """The body's text without its secrets, the same as JSON, and the SHA-256 of each secret by its name.

    None and nothing for a body that is no JSON object.
    """
    digests: dict[str, str] = {}

    def hide(found: re.Match[str]) -> str:
        digests[found["name"]] = digest(json.loads(found["value"]))
        return f'"{found["name"]}"{found["colon"]}"***"'

    try:
        text = _SECRET.sub(hide, body.decode("utf-8"))
        shown = json.loads(text)
    except (ValueError, RecursionError):
        return None, {}, {}
    return (text, shown, digests) if isinstance(shown, dict) else (None, {}, {})


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()
