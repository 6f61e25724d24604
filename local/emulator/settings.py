"""Every environment variable the emulator reads, and what it makes of them for ministack.

| variable                     | default                          | meaning                                      |
| ---------------------------- | -------------------------------- | -------------------------------------------- |
| `EMULATOR_PORT`              | `4566`                           | port, on 127.0.0.1                           |
| `EMULATOR_REGION`            | `us-east-1`                      | the one region                               |
| `EMULATOR_ACCOUNT_ID`        | `000000000000`                   | the one account                              |
| `EMULATOR_AUTH`              | `true`                           | IAM policies and signatures decide           |
| `EMULATOR_LAMBDA_PYTHON`     | `.local/venvs/lambda/bin/python` | runs the functions (lambda-requirements.txt) |
| `EMULATOR_MAX_CONCURRENT`    | `16`                             | functions running at once; others wait       |
| `EMULATOR_WARM_SECONDS`      | `60`                             | idle seconds that surplus processes are kept |
| `EMULATOR_WAIT_SCALE`        | `1`                              | scales Wait states, and nothing else         |
| `EMULATOR_STATE_DIR`         | none: state is in memory only    | directory it is saved to and read from       |
| `EMULATOR_LOG_LEVEL`         | `WARNING`                        | of the emulator's own log on stderr          |
| `AWS_ENDPOINT_URL_<SERVICE>` | none                             | handed on to functions, for proxies          |

Nothing else in the caller's environment has an effect: not on ministack, which reads more than a hundred variables
of its own, and not on functions.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL")
SERVICE_ENDPOINT = "AWS_ENDPOINT_URL_"


class SettingInvalid(Exception):
    """A variable has a value the emulator cannot start with; the message is for the person who set it."""


@dataclass(frozen=True)
class Settings:
    """The emulator's configuration; the module's docstring says what each field means."""

    port: int
    region: str
    account_id: str
    auth: bool
    lambda_python: Path
    max_concurrent: int
    warm_s: float
    wait_scale: float
    state_dir: Path | None
    log_level: str
    service_endpoints: Mapping[str, str]

    @property
    def endpoint(self) -> str:
        """The URL all AWS calls of functions go to, unless a service has an endpoint of its own."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def functions_dir(self) -> Path:
        """Where the code of functions is unpacked; it belongs to whoever holds the port."""
        return Path(tempfile.gettempdir()) / f"emulator-functions-{self.port}"


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in these variables; raises SettingInvalid, naming the variable at fault."""
    python = Path(environment.get("EMULATOR_LAMBDA_PYTHON") or REPOSITORY / ".local/venvs/lambda/bin/python")
    if not os.access(python, os.X_OK):
        raise SettingInvalid(f"EMULATOR_LAMBDA_PYTHON: {python} is not an executable file")
    state_dir = environment.get("EMULATOR_STATE_DIR")
    return Settings(
        port=int(_number(environment, "EMULATOR_PORT", 4566, least=1)),
        region=environment.get("EMULATOR_REGION") or "us-east-1",
        account_id=environment.get("EMULATOR_ACCOUNT_ID") or "000000000000",
        auth=_boolean(environment, "EMULATOR_AUTH", True),
        lambda_python=python.absolute(),  # not resolved: the link is what makes it a venv's interpreter
        max_concurrent=int(_number(environment, "EMULATOR_MAX_CONCURRENT", 16, least=1)),
        warm_s=_number(environment, "EMULATOR_WARM_SECONDS", 60, least=0),
        wait_scale=_number(environment, "EMULATOR_WAIT_SCALE", 1, least=0),
        state_dir=Path(state_dir).absolute() if state_dir else None,
        log_level=environment.get("EMULATOR_LOG_LEVEL") or "WARNING",
        service_endpoints={k: v for k, v in environment.items() if k.startswith(SERVICE_ENDPOINT)},
    )


def hand_to_ministack(settings: Settings) -> None:
    """Replace this process's environment by what ministack shall read; to be called before it is imported."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update(
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(settings.port),
        MINISTACK_REGION=settings.region,
        MINISTACK_ACCOUNT_ID=settings.account_id,
        AUTH=str(settings.auth).lower(),
        SFN_WAIT_SCALE=str(settings.wait_scale),
        LAMBDA_WARM_TTL_SECONDS=str(int(settings.warm_s)),
        # Invocations beyond max_concurrent wait for their turn. They count as running to ministack, whose own
        # limit follows the machine's memory and would throttle them.
        LAMBDA_ACCOUNT_CONCURRENCY="1000",
        LOG_LEVEL=settings.log_level,
        IOT_MTLS_ENABLED="0",  # these two would listen on ports of their own
        SFTP_ENABLED="0",
    )
    if settings.state_dir is not None:
        os.environ.update(
            PERSIST_STATE="1",
            STATE_DIR=str(settings.state_dir),
        )


def _number(environment: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        raise SettingInvalid(f"{name}: {text!r} is not a number") from None
    if not least <= value < float("inf"):
        raise SettingInvalid(f"{name}: {text} is less than {least}")
    return value


def _boolean(environment: Mapping[str, str], name: str, default: bool) -> bool:
    text = environment.get(name) or str(default).lower()
    if text not in ("true", "false"):
        raise SettingInvalid(f"{name}: {text!r} is neither true nor false")
    return text == "true"
