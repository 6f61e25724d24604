"""The merchant's backend: asks for payments and looks orders up."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import requests

Json = dict[str, Any]

ACCESS_TOKEN = "28288803001291161724296canary+/token=0TESTTOKEN"
BUYER_EMAIL = "canary.buyer+pay@example.com"
BUYER_NAME = "Canarína/Buyer"
"""Secrets that must show up nowhere: every payment of these tests carries them."""

PATIENCE_S = 90
"""Longer than API Gateway's 29 s, so that it is the gateway that gives up."""


def new_id(label: str) -> str:
    """A paymentRequestId nobody has used, that says which test it belongs to."""
    return f"{label}-{uuid4().hex[:12]}"


def payment(payment_request_id: str | None = None, **changes: Any) -> Json:
    """A request for a payment; `changes` replace top-level fields, None leaves one out."""
    request = {
        "paymentRequestId": payment_request_id or new_id("pay"),
        "order": {
            "referenceOrderId": "20261122-000017",
            "orderDescription": "Monthly cinema pass 電影月票",
            "orderAmount": {"currency": "HKD", "value": "1990"},
            "buyer": {
                "referenceBuyerId": "cust-4711",
                "buyerEmail": BUYER_EMAIL,
                "buyerName": {"firstName": "Ada", "lastName": BUYER_NAME},
            },
        },
        "paymentAmount": {"currency": "HKD", "value": "1990"},
        "paymentMethod": {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": ACCESS_TOKEN},
        "settlementStrategy": {"settlementCurrency": "USD"},
    } | changes
    return {name: value for name, value in request.items() if value is not None}


@dataclass(frozen=True)
class Answer:
    """What the API answered; header names in lower case. Status 0: the connection broke."""

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Merchant:
    """Calls the API. `asked` keeps the id of every payment it asked for, `heard` the text of every answer."""

    api_url: str
    asked: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    _local: threading.local = field(default_factory=threading.local)

    def pay(self, request: Json | bytes | str, **headers: str) -> Answer:
        """POST /payments."""
        if isinstance(request, dict) and isinstance(request.get("paymentRequestId"), str):
            self.asked.append(request["paymentRequestId"])
        body = json.dumps(request, ensure_ascii=False) if isinstance(request, dict) else request
        return self.call("POST", "/payments", body, {"Content-Type": "application/json", **headers})

    def order(self, payment_request_id: str) -> Answer:
        """GET /payments/{paymentRequestId}."""
        return self.call("GET", f"/payments/{quote(payment_request_id, safe='')}")

    def cancel(self, payment_request_id: str, body: str | None = None) -> Answer:
        """POST /payments/{paymentRequestId}/cancel."""
        return self.call("POST", f"/payments/{quote(payment_request_id, safe='')}/cancel", body)

    def payments(self, reference_order_id: str) -> Answer:
        """GET /payments?referenceOrderId=…"""
        return self.call("GET", f"/payments?referenceOrderId={quote(reference_order_id, safe='')}")

    def call(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Any call of the API, on a connection that each thread keeps."""
        data = body.encode() if isinstance(body, str) else body
        session = self._session()
        response = session.request(method, self.api_url + path, data=data, headers=headers, timeout=PATIENCE_S)
        answer = Answer(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            response.text,
            response.elapsed.total_seconds(),
        )
        self.heard.append(f"{answer.headers} {answer.text}")
        return answer

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session
