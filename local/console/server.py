"""The page of the local stack: shows the QR code of an agreement as a picture, and what becomes of it.

    .local/venvs/console/bin/python -m local.console.server --port 8080 --api-url URL [--alipay-url URL]

It is the shop: its page talks to this server alone, as a shop's would to the shop's backend, and this server to the
API. With a simulated Alipay it is the buyer's hand, too. It listens on loopback.
"""

import argparse
import json
import secrets
import signal
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import segno

Json = dict[str, Any]

PAGE = Path(__file__).parent / "page.html"
AMOUNT = {"currency": "HKD", "value": "1990"}
TIMEOUT_S = 35
"""Longer than API Gateway's 29 s."""

BODY_MAX = 10_000


class Shop:
    """The shop's backend. `alipay_url` is the simulated Alipay's, empty for a real one."""

    def __init__(self, api_url: str, alipay_url: str) -> None:
        self._api_url = api_url
        self._alipay_url = alipay_url

    def settings(self) -> Json:
        """What the page has to know."""
        return {"simulated": bool(self._alipay_url)}

    def start(self, wallet: str) -> tuple[int, Json]:
        """A new agreement, its QR code as a picture."""
        request = {"agreementId": f"page-{secrets.token_hex(6)}", "customerBelongsTo": wallet}
        return self._shown(*_call("POST", f"{self._api_url}/agreements", request))

    def look(self, agreement_id: str) -> tuple[int, Json]:
        """The agreement as it is."""
        return self._shown(*_call("GET", self._agreement(agreement_id)))

    def unlink(self, agreement_id: str) -> tuple[int, Json]:
        """The agreement once its revocation is noted."""
        return self._shown(*_call("DELETE", self._agreement(agreement_id)))

    def pay(self, agreement_id: str) -> tuple[int, Json]:
        """A payment by the agreement."""
        number = secrets.token_hex(6)
        request = {
            "paymentRequestId": f"page-{number}",
            "order": {"referenceOrderId": number, "orderDescription": "Monthly cinema pass", "orderAmount": AMOUNT},
            "paymentAmount": AMOUNT,
            "paymentMethod": {"agreementId": agreement_id},
            "settlementStrategy": {"settlementCurrency": "USD"},
        }
        return _call("POST", f"{self._api_url}/payments", request)

    def buyer(self, qr_code: str, do: str) -> tuple[int, Json]:
        """What the buyer does on the phone, where the simulated Alipay is."""
        return _call("POST", f"{self._alipay_url}/_sim/buyer", {"qrCode": qr_code, "do": do})

    def _agreement(self, agreement_id: str) -> str:
        return f"{self._api_url}/agreements/{quote(agreement_id, safe='')}"

    def _shown(self, status: int, agreement: Json) -> tuple[int, Json]:
        text = agreement.get("qrCode", {}).get("text")
        picture = {} if text is None else {"picture": segno.make(text, error="m").svg_data_uri(scale=6, border=4)}
        return status, agreement | picture


def _call(method: str, url: str, body: Json | None = None) -> tuple[int, Json]:
    """What a JSON API answers; a 502 of our own if it does not answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # nosec B310 (its own stack alone)
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError as error:
        return 502, {"title": "The stack does not answer", "detail": str(error)}


class Server(ThreadingHTTPServer):
    """One shop's server."""

    def __init__(self, port: int, shop: Shop) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.shop = shop


class Handler(BaseHTTPRequestHandler):
    """The page, and what it asks for."""

    server: Server

    def do_GET(self) -> None:
        if self.path == "/":
            self._send(200, PAGE.read_bytes(), "text/html; charset=utf-8")
        elif self.path == "/settings":
            self._json(200, self.server.shop.settings())
        elif self.path.startswith("/agreements/"):
            self._json(*self.server.shop.look(self.path.removeprefix("/agreements/")))
        else:
            self._json(404, {"title": "There is no such page"})

    def do_POST(self) -> None:
        """Only what this page itself sends is done: a form of another site cannot send JSON."""
        if self.headers.get("Content-Type") != "application/json":
            self._json(415, {"title": "Send JSON"})
            return
        length = self.headers.get("Content-Length", "")
        try:
            given = json.loads(self.rfile.read(int(length))) if 0 < int(length) <= BODY_MAX else {}
            shop = self.server.shop
            answer = {
                "/agreements": lambda: shop.start(given["wallet"]),
                "/pay": lambda: shop.pay(given["agreementId"]),
                "/unlink": lambda: shop.unlink(given["agreementId"]),
                "/buyer": lambda: shop.buyer(given["qrCode"], given["do"]),
            }[self.path]()
        except (KeyError, TypeError, ValueError):
            answer = 400, {"title": "That is not understood"}
        self._json(*answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""

    def _json(self, status: int, document: Json) -> None:
        self._send(status, json.dumps(document).encode(), "application/json")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api-url", required=True)
    parser.add_argument("--alipay-url", default="")
    options = parser.parse_args()
    server = Server(options.port, Shop(options.api_url, options.alipay_url))

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"ready: http://127.0.0.1:{options.port}/", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
