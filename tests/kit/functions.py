"""The deployed functions: their processes, their configuration, and calling one directly."""

import json
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .waiting import eventually

Json = dict[str, Any]


@dataclass(frozen=True)
class Functions:
    """Functions are named without the stack's name. `pid_file` has the number of the emulator's process."""

    aws: Any
    stack_name: str
    pid_file: Path

    @property
    def emulator_pid(self) -> int:
        """The parent of every function's process, also after it was killed and another took its place."""
        return int(self.pid_file.read_text())

    def processes(self, name: str) -> list[int]:
        """The process ids of the function's environments."""
        wanted = f"AWS_LAMBDA_FUNCTION_NAME={self.stack_name}-{name}".encode()
        found, emulator_pid = [], self.emulator_pid
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                if _parent(entry) == emulator_pid and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def kill(self, name: str) -> None:
        """SIGKILL every environment of the function: what they were doing ends there, the next call is a cold start."""
        for pid in (pids := self.processes(name)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Not until then does the emulator see that nobody is there to take its next call.
        eventually(lambda: all(_ended(pid) for pid in pids), f"the processes of {name} have ended")

    def kill_one(self, name: str, chance: random.Random) -> bool:
        """SIGKILL one environment of the function; whether there was one."""
        pids = self.processes(name)
        with suppress(ProcessLookupError):
            if pids:
                os.kill(chance.choice(pids), signal.SIGKILL)
                return True
        return False

    def invoke(self, name: str, event: Json | None = None) -> Json:
        """What the function returns."""
        answer = self.aws("lambda").invoke(
            FunctionName=f"{self.stack_name}-{name}", Payload=json.dumps(event or {}).encode()
        )
        payload = answer["Payload"].read().decode()
        if "FunctionError" in answer:
            raise AssertionError(f"{name}: {payload}")
        returned: Json = json.loads(payload)
        return returned

    @contextmanager
    def configured(self, name: str, **variables: str) -> Iterator[None]:
        """The function with these environment variables, in fresh processes."""
        client = self.aws("lambda")
        function = f"{self.stack_name}-{name}"
        before = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        client.update_function_configuration(FunctionName=function, Environment={"Variables": before | variables})
        self.kill(name)
        try:
            yield
        finally:
            client.update_function_configuration(FunctionName=function, Environment={"Variables": before})
            self.kill(name)

    @contextmanager
    def limited_to(self, name: str, seconds: int) -> Iterator[None]:
        """The function with so much time and no more, in fresh processes."""
        client = self.aws("lambda")
        function = f"{self.stack_name}-{name}"
        before = client.get_function_configuration(FunctionName=function)["Timeout"]
        client.update_function_configuration(FunctionName=function, Timeout=seconds)
        self.kill(name)
        try:
            yield
        finally:
            client.update_function_configuration(FunctionName=function, Timeout=before)
            self.kill(name)

    @contextmanager
    def throttled(self, name: str) -> Iterator[None]:
        """The function with no concurrency at all."""
        client = self.aws("lambda")
        function = f"{self.stack_name}-{name}"
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        try:
            yield
        finally:
            client.delete_function_concurrency(FunctionName=function)


def _parent(process: Path) -> int:
    return int(_status(process)[1])


def _ended(pid: int) -> bool:
    """Whether the process is no more, or can be waited for: a zombie, and none of its other threads left."""
    process = Path(f"/proc/{pid}")
    try:
        state = _status(process)[0]
        return state == "X" or (state == "Z" and len(list((process / "task").iterdir())) == 1)
    except (FileNotFoundError, ProcessLookupError):
        return True


def _status(process: Path) -> list[str]:
    """State, parent's id and so on; the name before them, in parentheses, may hold anything."""
    return (process / "stat").read_text().rpartition(")")[2].split()
