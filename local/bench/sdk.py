"""Signing and verifying by Alipay's official SDK, in its own environment: the same payment, the same notification.

.local/venvs/alipay/bin/python local/bench/sdk.py FIXTURE RESULT COUNT
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from com.alipay.ams.api import default_alipay_client as client_module
from com.alipay.ams.api.model.amount import Amount
from com.alipay.ams.api.model.order import Order
from com.alipay.ams.api.model.payment_method import PaymentMethod
from com.alipay.ams.api.model.settlement_strategy import SettlementStrategy
from com.alipay.ams.api.request.pay.alipay_pay_request import AlipayPayRequest
from com.alipay.ams.api.tools import signature_tool
from payments import BASE_URL, NOTIFY_PATH, pay_fields  # type: ignore[import-not-found]  # beside this file


class SendReady(Exception):
    """Where the SDK would open its connection."""


def _no_post(*request: Any) -> Any:
    raise SendReady


def main(fixture_file: str, result_file: str, count: int) -> None:
    fixture = json.loads(Path(fixture_file).read_text())
    secret = json.loads(fixture["secret"])
    private_key, public_key = secret["privateKey"], secret["alipayPublicKeys"]["1"]
    client_module.do_post = _no_post
    client = client_module.DefaultAlipayClient("https://alipay.invalid", secret["clientId"], private_key, public_key)
    notification = fixture["answers"][f"{NOTIFY_PATH} bench-0"]
    headers = notification["headers"]
    signature = headers["signature"].split("signature=", 1)[1]

    def sign() -> None:
        try:
            client.execute(_request())
        except SendReady:
            return

    def verify() -> None:
        body = notification["body"]
        proved = signature_tool.verify(
            "POST", NOTIFY_PATH, headers["client-id"], headers["request-time"], body, signature, public_key
        )
        if not proved:
            raise SystemExit("the SDK does not verify the notification")

    result = {"signMs": _timed(sign, count), "verifyMs": _timed(verify, count)}
    Path(result_file).write_text(json.dumps(result))


def _request() -> Any:
    fields = pay_fields("bench-0")
    request = AlipayPayRequest()
    request.path = "/ams/api/v1/payments/pay"
    request.product_code = "AGREEMENT_PAYMENT"
    request.payment_request_id = fields["paymentRequestId"]
    request.payment_amount = Amount("HKD", "1990")
    order = Order()
    order.reference_order_id = fields["order"]["referenceOrderId"]
    order.order_description = fields["order"]["orderDescription"]
    order.order_amount = Amount("HKD", "1990")
    request.order = order
    method = PaymentMethod()
    method.payment_method_type = fields["paymentMethod"]["paymentMethodType"]
    method.payment_method_id = fields["paymentMethod"]["paymentMethodId"]
    request.payment_method = method
    strategy = SettlementStrategy()
    strategy.settlement_currency = "USD"
    request.settlement_strategy = strategy
    request.payment_expiry_time = "2026-11-22T09:30:55Z"
    request.payment_notify_url = f"{BASE_URL}/notifications/payment"
    return request


def _timed(work: Callable[[], None], count: int) -> list[float]:
    work()
    times = []
    for _ in range(count):
        started = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - started) / 1e6)
    return times


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
