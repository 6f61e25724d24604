"""What the measurements are made on: the layer and functions as `sam build` leaves them, the naive reference, keys.

Everything is under .local/bench. Each part is built before anything is measured.
"""

import base64
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from local.bench.network import answer_body, notification_body, sign
from local.bench.payments import ENVIRONMENT, NOTIFY_PATH

ROOT = Path(__file__).resolve().parents[2]
VENVS = ROOT / ".local" / "venvs"
SHOP = ROOT / ".local" / "bench"
HERE = Path(__file__).parent

FUNCTIONS = {"initiate_pay": "InitiatePayFunction", "notify": "NotifyFunction", "inquiry": "InquiryFunction"}
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"

Json = dict[str, Any]


def sam_build(arguments: list[str | Path], log: Path, directory: Path = ROOT) -> None:
    """One `sam build`. Raises SystemExit with the end of its log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sam = VENVS / "sam" / "bin"
    environment = {
        **os.environ,
        "PATH": f"{sam}:{os.environ['PATH']}",
        "PYTHON": str(sam / "python"),
        "SAM_CLI_TELEMETRY": "0",
    }
    with log.open("w") as output:
        command = [str(word) for word in [sam / "sam", "build", *arguments]]
        done = subprocess.run(command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"sam build failed; the end of {log}:\n{log.read_text()[-3000:]}")


def build_ours() -> Path:
    """The template, built; the folder with what would be uploaded."""
    built = SHOP / "ours"
    sam_build(["--build-dir", built, "--parallel"], SHOP / "ours.log")
    return built


def build_naive() -> Path:
    """The naive reference, built as it would be; its folder."""
    source = SHOP / "naive-source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(HERE / "naive", source, ignore=shutil.ignore_patterns("__pycache__"))
    packages = (ROOT / "requirements.txt").read_text()
    (source / "requirements.txt").write_text(packages.replace("powertools==", "powertools[all]=="))
    built = SHOP / "naive"
    arguments: list[str | Path] = ["--build-dir", built, "--cache-dir", SHOP / "sam-cache", "--cached"]
    sam_build([*arguments, "--parameter-overrides", f"Architecture={ARCHITECTURE}"], SHOP / "naive.log", source)
    return built / "NaiveFunction"


def opt(built: Path) -> Path:
    """The layer's packages, which Lambda unpacks into /opt."""
    return built / "DependenciesLayer" / "python"


def with_bytecode(package: Path) -> Path:
    """A copy of a package with unchecked bytecode in it."""
    copy = package.with_name(f"{package.name}-bytecode")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(package, copy)
    _compile(copy)
    return copy


def _compile(folder: Path) -> None:
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash", str(folder)]
    subprocess.run([sys.executable, "-m", "compileall", *options], check=True)


def harness() -> Path:
    """The measuring code with bytecode, so that compiling it is in no figure."""
    folder = SHOP / "harness"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("function", "network", "payments", "floor"):
        shutil.copy(HERE / f"{name}.py", folder)
    _compile(folder)
    return folder


def zipped_mb(*folders: Path) -> float:
    """Size of a package as SAM uploads it, in MB of 10^6 bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    zipped.write(path, path.relative_to(folder))
    return len(archive.getbuffer()) / 1e6


def make_fixture() -> Path:
    """Keys of both sides, the secret, and what Alipay signs about the payment `bench-0`."""
    merchant, alipay = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    client_id = "5Y00SIMULATED0000"
    secret = {
        "clientId": client_id,
        "privateKey": _base64(
            merchant.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        ),  # the SDK writes PKCS#1 armour around it
        "privateKeyVersion": "1",
        "alipayPublicKeys": {
            "1": _base64(alipay.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        },
    }
    answers = {}
    for path, body, time_header in (
        ("/ams/api/v1/payments/pay", answer_body("pay", "bench-0"), "response-time"),
        ("/ams/api/v1/payments/inquiryPayment", answer_body("inquiryPayment", "bench-0"), "response-time"),
        (NOTIFY_PATH, notification_body("bench-0"), "request-time"),
    ):
        headers = sign(alipay, client_id, path, body, time_header)
        answers[f"{path} bench-0"] = {"headers": headers, "body": body.decode()}
    pem = alipay.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    fixture = SHOP / "fixture.json"
    fixture.parent.mkdir(parents=True, exist_ok=True)
    fixture.touch(mode=0o600)
    content = {"clientId": client_id, "secret": json.dumps(secret), "alipayPrivateKey": pem, "answers": answers}
    fixture.write_text(json.dumps(content))
    return fixture


def _base64(der: bytes) -> str:
    return base64.b64encode(der).decode()


def python() -> str:
    """The interpreter itself: with -S, a virtual environment's adds nothing but a detour."""
    return os.path.realpath(sys.executable)


def environment(*path: Path, **variables: str) -> dict[str, str]:
    """A function's environment, with this import path."""
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in path),
        **ENVIRONMENT,
        **variables,
    }


def run_function(
    name: str, what: str, path: list[Path], fixture: Path, count: int = 0, **variables: str
) -> dict[str, Any]:
    """One measurement of function.py in a process of its own. Its log lines go where nobody reads them."""
    result = SHOP / f"result-{name}-{what}.json"
    result.unlink(missing_ok=True)
    code = f"import function; function.main({name!r}, {what!r}, {str(fixture)!r}, {str(result)!r}, {count})"
    subprocess.run(
        [python(), "-S", "-c", code],
        env=environment(*path, **variables),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=600,
    )
    measured: Json = json.loads(result.read_text())
    return measured


def run_sdk(fixture: Path, count: int) -> Json:
    """The official SDK's signing and verifying, in its own environment."""
    result = SHOP / "result-sdk.json"
    command = [VENVS / "alipay/bin/python", HERE / "sdk.py", fixture, result, count]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore"}  # its docstrings hold invalid escapes
    subprocess.run([str(word) for word in command], check=True, timeout=300, env=environment)
    measured: Json = json.loads(result.read_text())
    return measured
