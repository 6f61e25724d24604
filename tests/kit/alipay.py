"""The simulated Alipay's control API, which docs/simulator.md describes."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from .waiting import GENEROUS_S

Json = dict[str, Any]


@dataclass
class Alipay:
    """Plans payments, sends notifications, and tells what it saw."""

    url: str
    _local: threading.local = field(default_factory=threading.local)

    def plan(self, payment_request_id: str, **plan: Any) -> str:
        """Plan a payment: `pay`, `inquiry`, `result`, `expires`, `notify`. Returns the id."""
        self._again("plans", {"paymentRequestId": payment_request_id, "plan": plan})
        return payment_request_id

    def plan_refund(self, refund_request_id: str, **plan: Any) -> None:
        """Plan a refund: `refund`, `inquiryRefund`, `result`, `notify`, `bouncesAfter`."""
        self._again("plans", {"refundRequestId": refund_request_id, "plan": plan})

    def plan_all(self, prefix: str, **plan: Any) -> None:
        """Plan every payment whose id begins so."""
        self._again("plans", {"paymentRequestIdPrefix": prefix, "plan": plan})

    def payment(self, payment_request_id: str) -> Json | None:
        """The payment in its ledger; None if no call has named it."""
        response = self._session.get(f"{self.url}/_sim/payments/{payment_request_id}", timeout=GENEROUS_S)
        payment: Json | None = None if response.status_code == 404 else response.json()
        return payment

    def payments(self) -> dict[str, Json]:
        """Every payment that pay reached, by paymentRequestId."""
        found = self._get("payments")["payments"]
        return {payment["paymentRequestId"]: payment for payment in found if payment["known"]}

    def refunds(self) -> dict[str, Json]:
        """Every refund that a refund call reached or that the portal made, by refundRequestId."""
        return {refund["refundRequestId"]: refund for refund in self._get("refunds")["refunds"] if refund["known"]}

    def calls(self, payment_request_id: str, call: str = "") -> list[Json]:
        """The requests about a payment; of `call` (`pay`, `inquiryPayment`) only."""
        found = self._get("requests", paymentRequestId=payment_request_id)["requests"]
        return [request for request in found if request["path"].endswith(call)]

    def events(self, since: int) -> Json:
        """What happened after the event of this number, ten thousand at most: `events`, and `next` to go on from."""
        return self._get("events", since=str(since))

    def bodies(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The SHA-256 of every body of pay that arrived, by paymentRequestId; of refund, by refundRequestId."""
        pays: dict[str, list[str]] = defaultdict(list)
        refunds: dict[str, list[str]] = defaultdict(list)
        for request in self._get("requests")["requests"]:
            if request["path"].endswith("/pay"):
                pays[request["paymentRequestId"]].append(request["bodySha256"])
            elif request["path"].endswith("/refund"):
                refunds[request["refundRequestId"]].append(request["bodySha256"])
        return pays, refunds

    def notifications(self, payment_request_id: str) -> list[Json]:
        """The attempts to deliver its notifications."""
        found: list[Json] = self._get("notifications", paymentRequestId=payment_request_id)["notifications"]
        return found

    def answers_to_notifications(self) -> Iterator[str]:
        """What every delivery was answered."""
        for delivery in self._get("notifications")["notifications"]:
            yield str(delivery["answer"])

    def reports(self, directory: str, **given: Any) -> list[str]:
        """The day's report files, written into this folder: their paths."""
        files: list[str] = self._post("reports", {"directory": directory, **given})["files"]
        return files

    def change_keys(self, **keys: Any) -> None:
        """`merchantPublicKeys`, or `alipayPrivateKey` and `alipayKeyVersion`; what is left out stays."""
        self._post("keys", keys)

    def portal(self, payment_request_id: str, value: str) -> Json:
        """A refund in HKD that somebody makes in the merchant portal."""
        amount = {"currency": "HKD", "value": value}
        return self._post("portal", {"paymentRequestId": payment_request_id, "amount": amount})

    def refuse(self, seconds: float) -> None:
        """Connections are refused for so long."""
        self._again("refuse", {"seconds": seconds})

    def notify_once(self, payment_request_id: str, **message: Any) -> Json:
        """Send one notification now: `status`, `body`, `acknowledged`; no status if no answer came in time."""
        return self._post("notify", {"paymentRequestId": payment_request_id, **message})

    def notify(self, payment_request_id: str, **message: Any) -> Json:
        """Send one now, and again as Alipay does if a busy machine did not answer in time."""
        for _ in range(10):
            sent = self.notify_once(payment_request_id, **message)
            if sent["status"] is not None:
                break
        return sent

    def inquired(self) -> dict[str, list[float]]:
        """When each payment was inquired, by paymentRequestId."""
        times: dict[str, list[float]] = defaultdict(list)
        for request in self._get("requests")["requests"]:
            if request["path"].endswith("inquiryPayment"):
                times[request["paymentRequestId"]].append(request["at"])
        return times

    @contextmanager
    def dark(self) -> Iterator[None]:
        """Every call is cut, and every notification lost."""
        self._post("dark", {"on": True})
        try:
            yield
        finally:
            self._post("dark", {"on": False})

    @property
    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            # It refuses connections when told to, its own control API's too, and cuts those that it has not taken yet.
            again = Retry(connect=8, read=8, backoff_factor=0.05, allowed_methods=["GET"])
            self._local.session.mount(self.url, HTTPAdapter(max_retries=again))
        session: requests.Session = self._local.session
        return session

    def _again(self, what: str, given: Json) -> None:
        """A command that may be given twice, until it is answered."""
        for pause_s in (0.1, 0.2, 0.4, 0.8):
            try:
                self._post(what, given)
            except requests.ConnectionError:
                time.sleep(pause_s)
            else:
                return
        self._post(what, given)

    def _get(self, what: str, **query: str) -> Json:
        response = self._session.get(f"{self.url}/_sim/{what}", params=query, timeout=GENEROUS_S)
        response.raise_for_status()
        found: Json = response.json()
        return found

    def _post(self, what: str, given: Json) -> Json:
        response = self._session.post(f"{self.url}/_sim/{what}", json=given, timeout=GENEROUS_S)
        if not response.ok:
            raise AssertionError(f"{what}: {response.status_code} {response.text}")
        answer: Json = response.json()
        return answer
