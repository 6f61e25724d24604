"""The merchant's side of the simulated Alipay, for its tests.

It signs and verifies with `cryptography` alone; the simulator uses the official SDK.
"""

import base64
import itertools
import json
import os
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / os.environ.get("ALIPAY_PYTHON", ".local/venvs/alipay/bin/python")
ACKNOWLEDGEMENT = {"result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success"}}
TOKEN = "281011130000000000000000000000000000000000000000SAMPLE"

numbers = itertools.count(1)


class GatewayClient:
    """Signs calls to the simulator and verifies what it answers."""

    def __init__(self, url: str, secret: dict[str, Any]) -> None:
        self.url, self.client_id = url, secret["clientId"]
        self._key: Any = load_der_private_key(base64.b64decode(secret["privateKey"]), None)
        self._alipay: Any = load_der_public_key(base64.b64decode(secret["alipayPublicKeys"]["1"]))
        self.session = requests.Session()

    def signature(self, path: str, time_text: str, body: bytes, algorithm: Any = None) -> str:
        content = f"POST {path}\n{self.client_id}.{time_text}.".encode() + body
        value = self._key.sign(content, padding.PKCS1v15(), algorithm or hashes.SHA256())
        return quote(base64.b64encode(value).decode(), safe="")

    def verifies(self, path: str, headers: Any, time_header: str, body: bytes) -> bool:
        header = headers.get("signature")
        if header is None:
            return False
        value = dict(part.strip().split("=", 1) for part in header.split(","))["signature"]
        content = f"POST {path}\n{headers['client-id']}.{headers[time_header]}.".encode() + body
        try:
            self._alipay.verify(base64.b64decode(unquote(value)), content, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def call(
        self, api: str, document: dict[str, Any], timeout: float = 5, path: str = "", **headers: Any
    ) -> requests.Response:
        path = path or api_path(api)
        body = json.dumps(document).encode()
        now = str(time.time_ns() // 1_000_000)
        sent = {
            "Content-Type": "application/json; charset=UTF-8",
            "client-id": self.client_id,
            "Request-Time": now,
            "Signature": f"algorithm=RSA256,keyVersion=1,signature={self.signature(path, now, body)}",
        }
        return self.session.post(
            self.url + path,
            data=body,
            headers=sent | {name.replace("_", "-"): value for name, value in headers.items()},
            timeout=timeout,
            allow_redirects=False,
        )

    def answer(self, api: str, document: dict[str, Any]) -> dict[str, Any]:
        """The body of an answer whose signature verifies."""
        response = self.call(api, document)
        path = api_path(api)
        assert self.verifies(path, response.headers, "response-time", response.content)
        answered: dict[str, Any] = response.json()
        return answered

    def control(self, path: str, **document: Any) -> dict[str, Any]:
        response = requests.post(f"{self.url}/_sim/{path}", json=document, timeout=15)
        response.raise_for_status()
        answered: dict[str, Any] = response.json()
        return answered

    def view(self, path: str) -> dict[str, Any]:
        response = requests.get(f"{self.url}/_sim/{path}", timeout=5)
        response.raise_for_status()
        answered: dict[str, Any] = response.json()
        return answered

    def ledger(self, payment_request_id: str) -> dict[str, Any]:
        return self.view(f"payments/{payment_request_id}")

    def plan(self, payment_request_id: str, **plan: Any) -> None:
        self.control("plans", paymentRequestId=payment_request_id, plan=plan)


class Receiver:
    """The merchant's notify URL: remembers what arrived, answers as told."""

    def __init__(self) -> None:
        self.arrived: list[tuple[float, str, Any, bytes]] = []
        self.answers: list[tuple[int, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.arrived.append((time.time(), self.path, self.headers, body))
                good = (200, json.dumps(ACKNOWLEDGEMENT).encode())
                status, answer = receiver.answers.pop(0) if receiver.answers else good
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.path = "/v1/notifications/payment"
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{self.path}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, _, body in self.arrived]


def start(keys: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    command = [str(PYTHON), "-m", "local.alipay.server", "--port", "0", "--keys", str(keys), *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1]


def payment(payment_request_id: str = "", **changed: Any) -> dict[str, Any]:
    amount = {"currency": "HKD", "value": "1990"}
    return {
        "productCode": "AGREEMENT_PAYMENT",
        "paymentRequestId": payment_request_id or f"ord-{next(numbers):06d}",
        "order": {"referenceOrderId": "1", "orderDescription": "Monthly cinema pass", "orderAmount": amount},
        "paymentAmount": amount,
        "paymentMethod": {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": TOKEN},
        "settlementStrategy": {"settlementCurrency": "USD"},
        "paymentExpiryTime": in_seconds(55),
        **changed,
    }


def api_path(api: str) -> str:
    """The path of a call: one of payments/ unless its name says otherwise."""
    return "/ams/api/v1/" + (api if "/" in api else f"payments/{api}")


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def outcome(answer: dict[str, Any]) -> tuple[str, str]:
    return answer["result"]["resultStatus"], answer["result"]["resultCode"]


def rejection(response: requests.Response) -> str:
    """The code of a gateway rejection, which is an F without signature and response-time."""
    assert response.status_code == 200
    assert "signature" not in response.headers and "response-time" not in response.headers
    status, code = outcome(response.json())
    assert status == "F"
    return code
