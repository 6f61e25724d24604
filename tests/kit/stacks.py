"""Stacks for tests: the real template, deployed by `local/stack.py`, with a fault proxy in front of AWS."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from local import stack
from local.ports import free_port
from tests.kit import ROOT

from .alipay import Alipay
from .bus import Listener
from .faults import Faults
from .functions import Functions
from .merchant import Answer, Merchant, new_id, payment
from .observe import Observer
from .waiting import GENEROUS_S, eventually

Json = dict[str, Any]

SERVICES = ("DYNAMODB", "SFN", "SECRETS_MANAGER", "EVENTBRIDGE", "SQS", "KMS", "S3")
"""Those that functions reach through the fault proxy."""


@dataclass(frozen=True)
class Deployment:
    """A stack that runs, and every way to look at it."""

    description: Json
    merchant: Merchant
    alipay: Alipay
    seen: Observer
    faults: Faults
    functions: Functions
    shop: Listener
    """Hears everything that is told since the stack is there."""
    choices: Any

    @property
    def scale(self) -> float:
        return float(self.choices.time_scale)

    @property
    def directory(self) -> Path:
        return Path(self.choices.directory)

    def aws(self, service: str) -> Any:
        return stack.aws(self.description["awsEndpointUrl"], service)

    def pay(self, label: str, request: Json | None = None, **plan: Any) -> tuple[str, Answer]:
        """Plan a payment and ask for it: its id, and the answer."""
        payment_request_id = self.alipay.plan(new_id(label), **plan)
        return payment_request_id, self.merchant.pay(payment(payment_request_id, **(request or {})))

    def pay_as(self, payment_request_id: str) -> Answer:
        """Ask for a payment of this id, which pay settles."""
        return self.merchant.pay(payment(payment_request_id))

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the deployed template."""
        [described] = self.aws("cloudformation").describe_stacks(StackName=self.description["stackName"])["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    @property
    def credentials(self) -> Json:
        """The merchant's secret as it was at the start."""
        secret: Json = json.loads(Path(self.description["credentials"]).read_text())
        return secret

    def listener(self, name: str) -> Listener:
        """One more queue on the stack's bus: it hears what is told from now on."""
        return Listener(self.aws, self.description["eventBus"], name)

    @contextmanager
    def polling_at(self, scale: float) -> Iterator[None]:
        """Waits of the polling that begin within this block have another scale."""
        self._set_scale(scale)
        try:
            yield
        finally:
            self._set_scale(self.scale)

    @contextmanager
    def closing_after(self, seconds: int) -> Iterator[None]:
        """Orders are closed so long after their expiry."""
        with (
            self.functions.configured("Inquiry", CLOSE_AFTER=str(seconds)),
            self.functions.configured("CancelPayment", CLOSE_AFTER=str(seconds)),
        ):
            yield

    @contextmanager
    def faults_of(self, function: str) -> Iterator[Faults]:
        """A fault proxy that this function alone goes through, to AWS and to Alipay."""
        aws, alipay = urlsplit(self.description["awsEndpointUrl"]), urlsplit(self.alipay.url)
        assert aws.port
        with (
            _fault_proxy(aws.port, self.directory / f"faultproxy-{function}.log", f"/ams/={alipay.port}") as url,
            self.functions.configured(function, ALIPAY_GATEWAY_URL=url, **_endpoints(url)),
        ):
            yield Faults(url)

    def make_overdue(self, payment_request_id: str) -> bool:
        """Let the time pass until somebody should have looked at the order; False if nobody is to look any more."""
        return self._set_instant(payment_request_id, "overdueAt", datetime(2020, 1, 1, tzinfo=UTC))

    def set_attempted_at(self, payment_request_id: str, attempted_at: datetime) -> None:
        """Let the order be older, or younger."""
        assert self._set_instant(payment_request_id, "attemptedAt", attempted_at)

    def _set_instant(self, payment_request_id: str, name: str, instant: datetime) -> bool:
        dynamodb = self.aws("dynamodb")
        try:
            dynamodb.update_item(
                TableName=self.description["ordersTable"],
                Key={"paymentRequestId": {"S": payment_request_id}},
                UpdateExpression=f"SET {name} = :instant",
                ConditionExpression=f"attribute_exists({name})",
                ExpressionAttributeValues={
                    ":instant": {"S": instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
                },
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def deploy(self, built: Path = stack.BUILD, **parameters: str) -> None:
        """Deploy once more: what was built elsewhere, or with other parameters."""
        stack.deploy(self.choices, self.alipay.url, self.description["credentialsSecret"], built, **parameters)

    def save(self) -> None:
        """Have the emulator put its state on disk, all of it by the time this returns."""
        state = Path(dict(self.choices.emulator_variables)["EMULATOR_STATE_DIR"])
        os.kill(self.functions.emulator_pid, signal.SIGUSR1)
        written: dict[str, int] = {}

        def still() -> bool:
            nonlocal written
            before, written = written, {file.name: file.stat().st_mtime_ns for file in state.glob("*.json")}
            return bool(written) and written == before

        eventually(still, "the emulator's state is on disk", every_s=0.5)

    def kill_emulator(self) -> None:
        """SIGKILL: whatever is not on disk is gone."""
        os.kill(self.functions.emulator_pid, signal.SIGKILL)
        os.waitpid(self.functions.emulator_pid, 0)

    def restart_emulator(self) -> "Deployment":
        """The same stack on an emulator started anew, and all that looks at it."""
        stack.start_emulator(self.choices)
        return _looked_at(self.choices, self.description, self.faults.url)

    @contextmanager
    def another_alipay(self, *options: str) -> Iterator[Alipay]:
        """A second simulated Alipay with the same keys, started with these options."""
        port = free_port()
        run = self.directory / "run"
        command = [str(stack.VENVS / "alipay/bin/python"), "-m", "local.alipay.server", "--port", str(port)]
        command += ["--keys", str(run / "alipay-keys.json"), *options]
        scheme = "https" if "--tls-cert" in options else "http"
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout
            assert "ready" in process.stdout.readline()
            yield Alipay(f"{scheme}://localhost:{port}")
        finally:
            process.terminate()
            process.wait(GENEROUS_S)

    def _set_scale(self, scale: float) -> None:
        url = f"{self.description['awsEndpointUrl']}/_ministack/config"
        applied = requests.post(url, json={"stepfunctions._SFN_WAIT_SCALE": str(scale)}, timeout=GENEROUS_S).json()
        assert applied == {"applied": {"stepfunctions._SFN_WAIT_SCALE": scale}}, applied


@contextmanager
def _fault_proxy(port: int, log: Path, *prefixes: str) -> Iterator[str]:
    """A fault proxy in front of the emulator on this port, and of others by `/prefix=port`; its URL."""
    own_port = free_port()
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.emulator.faultproxy", str(own_port), str(port), *prefixes],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{own_port}"
    try:
        eventually(lambda: _answers(f"{url}/_fault/rules"), "the fault proxy answers")
        yield url
    finally:
        process.terminate()
        process.wait(GENEROUS_S)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def _endpoints(proxy_url: str) -> dict[str, str]:
    """The variables that send the services which matter here through a proxy."""
    return {f"AWS_ENDPOINT_URL_{service}": proxy_url for service in SERVICES}


@contextmanager
def deployed(directory: Path, scale: float, **emulator_variables: str) -> Iterator[Deployment]:
    """The template, deployed; waits and redeliveries are scaled, and orders are not closed by themselves."""
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    with _fault_proxy(port, directory / "faultproxy.log") as proxy_url:
        choices = stack.Choices(
            directory,
            port,
            time_scale=scale,
            notify_scale=0.005,
            close_after_s=0,
            emulator_variables=tuple((_endpoints(proxy_url) | emulator_variables).items()),
        )
        try:
            description = stack.up(choices)
            yield _looked_at(choices, description, proxy_url)
        finally:
            stack.down(directory)


@contextmanager
def nowhere() -> Iterator[str]:
    """A URL at which nobody listens, and nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def _looked_at(choices: Any, description: Json, proxy_url: str) -> Deployment:
    def aws(service: str) -> Any:
        return stack.aws(choices.endpoint, service)

    health = requests.get(f"{choices.endpoint}/_ministack/health", timeout=GENEROUS_S).json()
    assert health["auth"] == "enabled", "in every test, what the roles do not allow is refused"
    return Deployment(
        description,
        Merchant(description["apiUrl"]),
        Alipay(description["alipayUrl"]),
        Observer(aws, description),
        Faults(proxy_url),
        Functions(aws, description["stackName"], choices.directory / "run" / "emulator.pid"),
        Listener(aws, description["eventBus"], "everything"),
        choices,
    )
