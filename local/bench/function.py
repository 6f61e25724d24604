"""One function in a process of its own: what it costs cold, warm and in memory.

    python -S function.py FUNCTION WHAT FIXTURE RESULT [COUNT]

PYTHONPATH is the function's folder and the layer, as on Lambda; FUNCTION is initiate_pay, notify, inquiry or sweep.
WHAT is
  import   import the function, nothing else
  ready    import it, make the clients and parse the keys that its common path needs
  first    import it, and one invocation: all that a cold start does
  warm     COUNT invocations in a warm environment: CPU of each, the stub's own subtracted
  memory   COUNT payments: resident memory after a tenth of them and at the end
  signing  COUNT send-ready pay requests and verifications of a notification
  reuse    COUNT payments against the simulated Alipay, for it to count the connections
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Invocation = Callable[[str], Any]


def main(function: str, what: str, fixture_file: str, result_file: str, count: int) -> None:
    started = time.perf_counter()
    import app  # type: ignore[import-not-found]

    imported_ms = (time.perf_counter() - started) * 1000
    if what == "import":
        return
    if what == "ready":
        _make_ready(json.loads(Path(fixture_file).read_text())["secret"])
        return

    # What follows is not the function's: a fixture of one payment is read in less than a millisecond.
    sys.path.append(str(Path(__file__).parent))
    from network import Network  # type: ignore[import-not-found]  # it stands beside this file, wherever that is

    network = Network(json.loads(Path(fixture_file).read_text()))
    network.install(only_aws=what == "reuse")
    invoke = _invocation(function, app, network)
    if what == "first":
        invoke("bench-0")
        return
    measured = {"warm": _warm, "memory": _memory, "signing": _signing, "reuse": _warm}[what]
    result = measured(app, network, invoke, count)
    Path(result_file).write_text(json.dumps({"importMs": imported_ms, "calls": network.calls, **result}))


def _make_ready(secret_text: str) -> None:
    from autodebit.alipay import secret
    from autodebit.alipay.credentials import parse_credentials
    from autodebit.payment.order_table import OrderItem

    secret._client()
    parse_credentials(secret_text)
    OrderItem._get_connection().connection.client  # noqa: B018 (made when it is first asked for)


def _invocation(function: str, app: Any, network: Any) -> Invocation:
    from network import notification_body
    from payments import NOTIFY_PATH, Context, api_event, init_item, pay_fields  # type: ignore[import-not-found]

    context = Context()

    def initiate_pay(payment_request_id: str) -> Any:
        event = api_event("/payments", json.dumps(pay_fields(payment_request_id)))
        return lambda: app.handler(event, context)["statusCode"] == 200

    def notify(payment_request_id: str) -> Any:
        network.items[payment_request_id] = init_item(payment_request_id)
        body = notification_body(payment_request_id)
        prepared = network._fixture["answers"].get(f"{NOTIFY_PATH} {payment_request_id}")
        headers = prepared["headers"] if prepared else network.signed(NOTIFY_PATH, body, "request-time")
        event = api_event("/notifications/payment", body.decode(), headers)
        return lambda: app.handler(event, context)["statusCode"] == 200

    def inquiry(payment_request_id: str) -> Any:
        network.items[payment_request_id] = init_item(payment_request_id)
        event = {"paymentRequestId": payment_request_id, "inquiry": 0, "waitSeconds": 3}
        return lambda: app.handler(event, context)["status"] == "SUCCESS"

    def sweep(payment_request_id: str) -> Any:
        return lambda: app.handler({}, context)["taken"] == 0

    def publish_events(payment_request_id: str) -> Any:
        old = init_item(payment_request_id)
        told = {"L": [{"M": {"kind": {"S": "PaymentSucceeded"}, "at": {"S": "2026-11-22T09:30:03.000Z"}}}]}
        settled = {"settledBy": {"S": "notify"}, "settledAt": {"S": "2026-11-22T09:30:03.000Z"}}
        new = old | settled | {"status": {"S": "SUCCESS"}, "told": told, "tells": {"BOOL": True}}
        keys = {"paymentRequestId": {"S": payment_request_id}}
        record = {"dynamodb": {"Keys": keys, "SequenceNumber": "1", "OldImage": old, "NewImage": new}}
        return lambda: app.handler({"Records": [record]}, context) == {"batchItemFailures": []}

    prepare = {
        "initiate_pay": initiate_pay,
        "notify": notify,
        "inquiry": inquiry,
        "sweep": sweep,
        "publish_events": publish_events,
    }[function]

    def invoke(payment_request_id: str) -> tuple[float, float]:
        """CPU and wall time in ms of one invocation."""
        call = prepare(payment_request_id)
        stub_ns, cpu_ns, wall_ns = network.cpu_ns, time.process_time_ns(), time.perf_counter_ns()
        right = call()
        cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.perf_counter_ns() - wall_ns
        if not right:
            raise SystemExit(f"{function} did not settle {payment_request_id}")
        network.items.pop(payment_request_id, None)
        return (cpu_ns - (network.cpu_ns - stub_ns)) / 1e6, wall_ns / 1e6

    return invoke


def _warm(app: Any, network: Any, invoke: Invocation, count: int) -> dict[str, Any]:
    for number in range(min(30, count)):
        invoke(f"warming-{number}")
    network.calls.clear()
    times = [invoke(f"bench-{number}") for number in range(count)]
    return {"cpuMs": [cpu for cpu, _ in times], "wallMs": [wall for _, wall in times]}


def _memory(app: Any, network: Any, invoke: Invocation, count: int) -> dict[str, Any]:
    import gc

    for number in range(count // 10):
        invoke(f"memory-{number}")
    gc.collect()
    early = _resident_kb()
    for number in range(count // 10, count):
        invoke(f"memory-{number}")
    gc.collect()
    return {"earlyKb": early, "lateKb": _resident_kb()}


def _resident_kb() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmRSS")).split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # macOS: bytes, and the highest so far


def _signing(app: Any, network: Any, invoke: Invocation, count: int) -> dict[str, Any]:
    """Merchant's fields to a send-ready request; a notification's headers and body to a proved message."""
    from datetime import UTC, datetime

    from autodebit.alipay.credentials import CredentialsStore
    from autodebit.alipay.gateway import AlipayGateway
    from autodebit.alipay.signature import SignedMessage
    from autodebit.payment.request import parse_pay_request
    from network import notification_body
    from payments import BASE_URL, NOTIFY_PATH, pay_fields

    class SendReady(Exception):
        pass

    class Wire:
        def post(self, *request: Any) -> Any:
            raise SendReady

    store = CredentialsStore(lambda: str(network._fixture["secret"]))
    gateway = AlipayGateway("https://alipay.invalid", store)
    gateway._transport = Wire()  # type: ignore[assignment]
    request = parse_pay_request(json.dumps(pay_fields("bench-0")).encode(), datetime.now(UTC))
    deadline = time.monotonic() + 3600
    body = notification_body("bench-0")
    headers = network.signed(NOTIFY_PATH, body, "request-time")

    def sign() -> None:
        try:
            call = request.pay_call("2026-11-22T09:30:55Z", f"{BASE_URL}/notifications/payment")
            gateway.call("payments/pay", call.body, deadline)
        except SendReady:
            return

    def verify() -> None:
        message = SignedMessage(NOTIFY_PATH, headers["client-id"], headers["request-time"], body)
        store.authenticate(message, headers["signature"])

    return {"signMs": _timed(sign, count), "verifyMs": _timed(verify, count)}


def _timed(work: Callable[[], None], count: int) -> list[float]:
    work()
    times = []
    for _ in range(count):
        started = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - started) / 1e6)
    return times


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]) if len(sys.argv) > 5 else 0)
