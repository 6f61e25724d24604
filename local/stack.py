"""The local stack: the emulator, the simulated Alipay, and the template deployed to them by the real SAM CLI.

    .local/venvs/dev/bin/python -m local.stack up|down|logs

Everything it writes is under .local/. It reads these variables:

    ALIPAY_GATEWAY_URL   base URL of the gateway; without it a simulated Alipay is started
    ALIPAY_CREDENTIALS   file with the secret's JSON; without it keys are made for the run
    AWS_EMULATOR_PORT    4566
    CLOSE_AFTER          the template's CloseAfter, 900 s
    INQUIRY_TIME_SCALE   scales the waits of the polling, and only them: 0.01 is a hundred times as fast
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import requests
from autodebit.errors import CredentialsUnavailable

from local.check_secret import checked
from local.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".local" / "venvs"
BUILD = ROOT / ".local" / "build"
STACK_NAME = "autodebit"
REGION = "us-east-1"
API_ID = "autodebit"
"""Pinned by the tag in samconfig.toml: what notifications are signed over must be known before the API exists."""


class StackFailed(Exception):
    """What is wrong and what to do about it."""


@dataclass(frozen=True)
class Choices:
    """What differs from run to run. `directory` holds the run's files; `gateway_url` None is the simulated Alipay."""

    directory: Path
    port: int = 4566
    gateway_url: str | None = None
    credentials: Path | None = None
    time_scale: float = 1.0
    notify_scale: float = 1.0
    close_after_s: int = 900
    api_auth: str = "NONE"
    emulator_variables: tuple[tuple[str, str], ...] = ()

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.endpoint}/_aws/execute-api/{API_ID}/v1"


def choices_from(environment: dict[str, str]) -> Choices:
    """The choices in the variables that this module's docstring names. Raises StackFailed, naming the variable."""
    gateway_url = environment.get("ALIPAY_GATEWAY_URL") or None
    credentials = Path(environment["ALIPAY_CREDENTIALS"]).absolute() if environment.get("ALIPAY_CREDENTIALS") else None
    if gateway_url:
        url = urlsplit(gateway_url)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1")):
            raise StackFailed("ALIPAY_GATEWAY_URL must be https, or http on a loopback address")
    if credentials and not credentials.is_file():
        raise StackFailed(f"ALIPAY_CREDENTIALS: there is no file {credentials}")
    if credentials and not gateway_url:
        raise StackFailed(
            "ALIPAY_CREDENTIALS needs ALIPAY_GATEWAY_URL: the simulated Alipay cannot sign with the key that belongs "
            "to your alipayPublicKeys"
        )
    try:
        port = int(environment.get("AWS_EMULATOR_PORT") or 4566)
        time_scale = float(environment.get("INQUIRY_TIME_SCALE") or 1)
        close_after_s = int(environment.get("CLOSE_AFTER") or 900)
    except ValueError:
        raise StackFailed(
            "AWS_EMULATOR_PORT and CLOSE_AFTER must be whole numbers, INQUIRY_TIME_SCALE a number"
        ) from None
    if not 0 < port < 65536 or not 0 <= time_scale < float("inf"):
        raise StackFailed("AWS_EMULATOR_PORT must be a port, INQUIRY_TIME_SCALE a number from 0")
    if close_after_s < 0:
        raise StackFailed("CLOSE_AFTER must be a number of seconds from 0")
    return Choices(ROOT / ".local", port, gateway_url, credentials, time_scale, close_after_s=close_after_s)


def up(choices: Choices) -> dict[str, Any]:
    """Start everything afresh and deploy; what is written to stack.json is returned. Raises StackFailed."""
    if choices.credentials:
        _check_secret(choices.credentials)
    if choices.port != _port_in_use(choices.directory):
        _check_port(choices.port)  # before the running stack is stopped for nothing
    if _programs(choices.directory):
        _say("a stack runs already: it is stopped, and its payments are gone")
    down(choices.directory)
    _leave_out_proxies()
    run = choices.directory / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir(parents=True)
    try:
        alipay_url = None
        if not choices.gateway_url:
            _say("starting the simulated Alipay")
            alipay_url, credentials = _start_alipay(run, choices)
        else:
            credentials = choices.credentials or _make_keys(run)[1]
        _say("starting the AWS emulator")
        start_emulator(choices)
        secret_arn = _store_secret(choices, credentials)
        _say("sam build: some 20 s the first time, minutes on a busy machine")
        build(run)
        _say("sam deploy: some 20 s, a minute or more on a busy machine")
        outputs = deploy(choices, choices.gateway_url or alipay_url or "", secret_arn)
        console_url = _start_console(run, choices, alipay_url or "")
    except BaseException:
        down(choices.directory)
        raise
    stack = {name[0].lower() + name[1:]: value for name, value in outputs.items()} | {
        "apiUrl": choices.api_url,
        "notifyUrl": f"{choices.api_url}/notifications/payment",
        "awsEndpointUrl": choices.endpoint,
        "region": REGION,
        "stackName": STACK_NAME,
        "consoleUrl": console_url,
        "credentials": str(credentials),
        "credentialsSecret": secret_arn,
    }
    if alipay_url:
        stack["alipayUrl"] = alipay_url
    _write(choices.directory / "stack.json", stack)
    return stack


def down(directory: Path) -> bool:
    """Stop what runs of the stack in this directory; whether anything did."""
    stopped = [_stop(pid) for pid in _programs(directory)]
    for pid_file in (directory / "run").glob("*.pid"):
        pid_file.unlink()
    (directory / "stack.json").unlink(missing_ok=True)
    return any(stopped)


def deploy(
    choices: Choices, gateway_url: str, secret_arn: str, built: Path = BUILD, **parameters: str
) -> dict[str, str]:
    """`sam deploy` of what was built, with these parameters besides the stack's own; its outputs."""
    overrides = {
        "AlipayGatewayUrl": gateway_url,
        "CredentialsSecret": secret_arn,
        "PublicBaseUrl": choices.api_url,
        "ApiAuth": choices.api_auth,
        "CloseAfter": str(choices.close_after_s),
        "Architecture": _architecture(),
        **parameters,
    }
    command = [VENVS / "sam/bin/sam", "deploy", "--template-file", built / "template.yaml", "--config-file"]
    command += [ROOT / "samconfig.toml", "--config-env", "local", "--parameter-overrides"]
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    _check(
        [*command, *(f"{name}={value}" for name, value in overrides.items())],
        choices.directory / "run" / "sam-deploy.log",
        # The poll delay is SAM's wait between two looks at the stack: seconds on AWS, too long here.
        _sam() | credentials | {"AWS_ENDPOINT_URL": choices.endpoint, "SAM_CLI_POLL_DELAY": "0.2"},
    )
    stack = aws(choices.endpoint, "cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def start_emulator(choices: Choices) -> None:
    """Start the emulator, the first time or after it was killed."""
    run = choices.directory / "run"
    (run / "tmp").mkdir(exist_ok=True)
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": os.environ.get("HOME", "/"),
        "TMPDIR": str(run / "tmp"),
        "EMULATOR_PORT": str(choices.port),
        "EMULATOR_REGION": REGION,
        "EMULATOR_WAIT_SCALE": str(choices.time_scale),
        **dict(choices.emulator_variables),
    }
    _start("emulator", [VENVS / "emulator/bin/python", "-m", "local.emulator.emulator"], environment, run)
    _wait_for(f"{choices.endpoint}/_ministack/health", "emulator", run)


def aws(endpoint: str, service: str) -> Any:
    """A client of the emulator, as its root user."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _leave_out_proxies() -> None:
    """A proxy that is set for the package registries has no business between programs of this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "localhost", "127.0.0.1"]))


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def _check_secret(path: Path) -> None:
    """Raise StackFailed for a secret that no payment can be made with."""
    try:
        checked(path.read_bytes())
    except OSError as error:
        raise StackFailed(f"{path}: {error.strerror}") from None
    except CredentialsUnavailable as error:
        raise StackFailed(f"{path}: {error}") from None


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise StackFailed(
                f"port {port} is taken. Stop what uses it, or choose another: AWS_EMULATOR_PORT={free_port()} make up"
            ) from None


def _programs(directory: Path) -> list[int]:
    """What runs of the stack in this directory."""
    pids = [int(pid_file.read_text()) for pid_file in sorted((directory / "run").glob("*.pid"))]
    return [pid for pid in pids if str(VENVS) in _command(pid)]  # a number may be another process's by now


def _port_in_use(directory: Path) -> int | None:
    """The emulator's port of the stack that runs in this directory."""
    description = directory / "stack.json"
    return urlsplit(json.loads(description.read_text())["awsEndpointUrl"]).port if description.exists() else None


def _make_keys(run: Path) -> tuple[Path, Path]:
    keys, secret = run / "alipay-keys.json", run / "secret.json"
    command = [VENVS / "alipay/bin/python", "-m", "local.alipay.keys"]
    _check([*command, "--keys", keys, "--secret", secret], run / "keys.log")
    return keys, secret


def _start_alipay(run: Path, choices: Choices) -> tuple[str, Path]:
    keys, secret = _make_keys(run)
    port = free_port()
    command = [VENVS / "alipay/bin/python", "-m", "local.alipay.server", "--port", port, "--keys", keys]
    _start("alipay", [*command, "--notify-scale", choices.notify_scale], dict(os.environ), run)
    _wait_for(f"http://127.0.0.1:{port}/_sim/health", "alipay", run)
    return f"http://127.0.0.1:{port}", secret


def _start_console(run: Path, choices: Choices, alipay_url: str) -> str:
    port = free_port()
    command = [VENVS / "console/bin/python", "-m", "local.console.server", "--port", port]
    _start("console", [*command, "--api-url", choices.api_url, "--alipay-url", alipay_url], dict(os.environ), run)
    _wait_for(f"http://127.0.0.1:{port}/settings", "console", run)
    return f"http://127.0.0.1:{port}/"


def _store_secret(choices: Choices, credentials: Path) -> str:
    secrets = aws(choices.endpoint, "secretsmanager")
    created = secrets.create_secret(Name="autodebit/credentials", SecretString=credentials.read_text())
    return str(created["ARN"])


def build(run: Path) -> None:
    """`sam build`, unless what it builds is as it was at the last time."""
    stamp = BUILD.parent / "build.sha256"
    with (BUILD.parent / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two stacks of this checkout may come up at once
        wanted = _sources_digest()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        stamp.unlink(missing_ok=True)
        command = [VENVS / "sam/bin/sam", "build", "--parallel", "--build-dir", BUILD]
        _check(command, run / "sam-build.log", _sam())
        stamp.write_text(wanted)


def _sources_digest() -> str:
    digest = hashlib.sha256()
    sources = [ROOT / "template.yaml", *(ROOT / "functions").rglob("*"), *(ROOT / "layers").rglob("*")]
    for path in sorted(path for path in sources if path.is_file() and "__pycache__" not in path.parts):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _architecture() -> str:
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def _sam() -> dict[str, str]:
    """SAM's environment: its own Python 3.13, with pip, is the one that builds."""
    return {
        **os.environ,
        "PATH": f"{VENVS / 'sam/bin'}:{os.environ['PATH']}",
        "PYTHON": str(VENVS / "sam/bin/python"),
        "SAM_CLI_TELEMETRY": "0",
    }


def _start(name: str, command: list[Any], environment: dict[str, str], run: Path) -> None:
    """Start a program of its own session, attached to nothing but its log."""
    with (run / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (run / f"{name}.pid").write_text(str(process.pid))


def _wait_for(url: str, name: str, run: Path, timeout_s: float = 120) -> None:
    pid = int((run / f"{name}.pid").read_text())
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and _runs(pid):
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise StackFailed(f"{name} did not start:\n{(run / f'{name}.log').read_text()[-2000:]}")


def _check(command: list[Any], log: Path, environment: dict[str, str] | None = None) -> None:
    with log.open("w") as output:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        words = " ".join(Path(str(command[0])).name if i == 0 else str(word) for i, word in enumerate(command[:2]))
        raise StackFailed(f"{words} failed; the end of {log}:\n{log.read_text()[-3000:]}")


def _runs(pid: int) -> bool:
    """Whether the process lives; one of our own that has ended is laid to rest first."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _command(pid: int) -> str:
    """The command line of a process, empty if there is none."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listed = subprocess.run(["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout


def _stop(pid: int) -> bool:
    """End a program and everything it started."""
    if not _runs(pid):
        return False
    for sign, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(pid, sign)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if not _runs(pid):
                return True
            time.sleep(0.05)
    return True


def _write(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)


HOW_TO_PAY = """
The stack is up: .local/stack.json says where. Pay with

  curl -i {apiUrl}/payments -H 'Content-Type: application/json' -d '{{
    "paymentRequestId": "first-1",
    "order": {{"referenceOrderId": "1", "orderDescription": "Monthly cinema pass",
              "orderAmount": {{"currency": "HKD", "value": "1990"}}}},
    "paymentAmount": {{"currency": "HKD", "value": "1990"}},
    "paymentMethod": {{"paymentMethodType": "ALIPAY_HK", "paymentMethodId": "{token}"}},
    "settlementStrategy": {{"settlementCurrency": "USD"}}}}'

  curl {apiUrl}/payments/first-1

Link a wallet on the page {consoleUrl}

{token_note}`make logs` shows what the functions logged; .local/run/*.log is the rest. `make down` stops it.
"""

TOKEN_NOTE = """The token tells the simulated Alipay what to do; what follows the second colon is yours.
  sim:paid:1, sim:declined:1        the result at once
  sim:unknown-then-notified:1       no result at first, then a notification
  sim:unknown-then-inquired:1       the same, and every notification is lost
  sim:no-answer:1                   paid, but the first answer is lost and pay is repeated
  sim:forged:1                      a forged success first, the true failure by inquiry
  sim:never:1                       no result, ever
docs/simulator.md lists them all, and how agreements and refunds are planned.
"""


def logs(stack: dict[str, Any]) -> None:
    """Print what the functions logged, in the order of time."""
    client = aws(stack["awsEndpointUrl"], "logs")
    lines: list[tuple[int, str, str]] = []
    for group in client.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]:
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"])
        for page in pages:
            function = group["logGroupName"].rpartition("-")[2]
            lines += [(event["timestamp"], function, event["message"].rstrip()) for event in page["events"]]
    for _, function, message in sorted(lines, key=lambda line: line[0]):
        print(f"{function:<12} {message}")


def main() -> None:
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command == "up":
        stack = up(choices_from(dict(os.environ)))
        simulated = "alipayUrl" in stack
        token = "sim:paid:1" if simulated else "<the buyer's access token>"
        print(HOW_TO_PAY.format(**stack, token=token, token_note=TOKEN_NOTE if simulated else ""))
    elif command == "logs":
        description = ROOT / ".local" / "stack.json"
        if not description.exists():
            raise StackFailed("no stack is up: make up")
        logs(json.loads(description.read_text()))
    elif command == "down":
        print("  stopped" if down(ROOT / ".local") else "  nothing was running")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    try:
        main()
    except StackFailed as error:
        raise SystemExit(f"failed: {error}") from None
