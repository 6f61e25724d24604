"""Python functions run under AWS's own runtime client.

ministack runs them in a loop of its own inside its own virtual environment: every exception is called
`Runtime.HandlerError`, so no Retry or Catch of a state machine can tell one from another; a function imports
ministack's packages where it forgot its own, and reads ministack's variables; layers hide the function's code; and an
exception ends the execution environment. For custom runtimes, though, ministack has the Runtime API
(https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html), and awslambdaric, which is what the managed Python
runtimes run, speaks it. So a Python function is a custom runtime whose bootstrap starts awslambdaric.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import queue
import select
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime as runtime
from ministack.core.responses import get_region, new_uuid
from ministack.services import lambda_svc

from .settings import Settings

Config = dict[str, Any]  # a function's configuration, as GetFunctionConfiguration answers it
Result = dict[str, Any]  # what ministack's executors hand back of an invocation

_unpacking = threading.Lock()


def correct(settings: Settings) -> None:
    """Have ministack run Python functions as this module's docstring says."""
    environment_of, code_dir_of = lambda_svc._provided_worker_env, lambda_svc._provided_runtime_code_dir
    worker_class_for, execute_warm = runtime._worker_class_for, lambda_svc._execute_function_warm
    slots = threading.BoundedSemaphore(settings.max_concurrent)

    def worker_class(config: Config) -> type[runtime.Worker]:
        return RuntimeClientWorker if _is_python(config) else worker_class_for(config)

    def code_dir(code_zip: bytes) -> str:
        return str(code_zip.unpack(settings)) if isinstance(code_zip, Package) else code_dir_of(code_zip)

    def environment(config: Config, directory: str, port: int) -> dict[str, str]:
        if not _is_python(config):
            return environment_of(config, directory, port)
        return function_environment(config, Path(directory), port, settings)

    def execute(function: dict[str, Any], event: Any, request_id: str) -> Result:
        if not _is_python(function.get("config") or function):
            return execute_warm(function, event, request_id)
        # Without a limit a burst of requests is a burst of processes, and on a small machine all of them miss
        # their deadlines. Waiting here is outside of the function's Timeout, as a cold start is on AWS.
        with slots:
            return lambda_svc._execute_function_provided_warm(function, event, request_id)

    runtime._worker_class_for = worker_class
    lambda_svc._provided_runtime_code_dir = code_dir
    lambda_svc._provided_worker_env = environment
    lambda_svc._execute_function_warm = execute
    # AWS gives the Init phase 10 s of one vCPU or more. Sixteen cold starts on two cores take longer, and ministack
    # would kill and repeat each of them.
    runtime._PROVIDED_INIT_TIMEOUT = 60.0
    discard_code(settings)  # of an emulator that was killed


def stop(settings: Settings) -> None:
    """End the functions' processes and remove their code."""
    runtime.reset()
    discard_code(settings)


def discard_code(settings: Settings) -> None:
    """Remove the unpacked code of all functions."""
    shutil.rmtree(settings.functions_dir, ignore_errors=True)


class Package(bytes):
    """The code of a function, which knows its layers."""

    layers: Sequence[bytes]

    def __new__(cls, code_zip: bytes, layers: Sequence[bytes]) -> Package:
        package = super().__new__(cls, code_zip)
        package.layers = layers
        return package

    def unpack(self, settings: Settings) -> Path:
        """The directory with `bootstrap`, `task` (/var/task) and `opt` (/opt: the layers, later over earlier)."""
        with _unpacking:
            return _laid_out(settings.functions_dir, [self, *self.layers], partial(self._lay_out, settings))

    def _lay_out(self, settings: Settings, directory: Path) -> None:
        _extract(self, directory / "task")
        lay_out_layers = partial(_lay_out_layers, self.layers)
        (directory / "opt").symlink_to(_laid_out(settings.functions_dir, self.layers, lay_out_layers))
        bootstrap = directory / "bootstrap"
        bootstrap.write_text(
            f'#!/bin/sh\ncd "$LAMBDA_TASK_ROOT" && exec "{settings.lambda_python}" -m awslambdaric "$_HANDLER"\n'
        )
        bootstrap.chmod(0o755)


def _lay_out_layers(layers: Sequence[bytes], directory: Path) -> None:
    directory.mkdir(parents=True)
    for layer in layers:
        _extract(layer, directory)


def _laid_out(within: Path, archives: Sequence[bytes], lay_out: Callable[[Path], None]) -> Path:
    """The directory of these archives; what lays it out does so once, for functions that share layers share `opt`."""
    digests = b"".join(hashlib.sha256(archive).digest() for archive in archives)
    directory = within / hashlib.sha256(digests).hexdigest()[:24]
    if not directory.exists():
        unfinished = directory.with_suffix(".partial")
        shutil.rmtree(unfinished, ignore_errors=True)
        lay_out(unfinished)
        unfinished.rename(directory)
    return directory


class RuntimeClientWorker(runtime.ProvidedWorker):
    """An execution environment in which awslambdaric runs."""

    def __init__(self, func_name: str, config: Config, code_zip: bytes) -> None:
        layers = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
        self._reading = threading.Lock()
        super().__init__(func_name, config, Package(code_zip, [layer for layer in layers if layer]))

    def _await_init(self, init_timeout: float | None = None) -> None:
        """A module that cannot be imported is `Runtime.ImportModuleError` to the caller, not `Runtime.Unknown`."""
        try:
            super()._await_init(init_timeout)
        except RuntimeError as error:
            reported = self._init_error
            if not isinstance(reported, dict):
                raise
            raise runtime.ProvidedRuntimeError(
                reported.get("errorMessage", str(error)), reported.get("errorType", "Runtime.Unknown")
            ) from error

    def _build_handler_class(self, generation: int, pending: Any) -> type:
        """Headers and body are sent separately: with Nagle's algorithm a delayed ACK costs each call 40 ms."""
        handler = super()._build_handler_class(generation, pending)
        handler.disable_nagle_algorithm = True
        handler.wbufsize = 1 << 16
        return handler

    def _pump_output(self, stream: Any, log_queue: queue.Queue[str]) -> None:
        """Put the function's lines into the queue; `_reading` is held while something is between pipe and queue."""
        unfinished = b""
        while True:
            _readable(stream, None)
            with self._reading:
                written = os.read(stream.fileno(), 1 << 16)
                *lines, unfinished = (unfinished + written).split(b"\n")
                for line in lines if written else filter(None, [unfinished]):
                    with contextlib.suppress(queue.Full):
                        log_queue.put_nowait(line.decode("utf-8", "replace").rstrip("\r"))
            if not written:
                stream.close()
                return

    def _drain_stderr_bounded(self, *_: float, **__: float) -> str:
        """All that the function wrote until it answered: it is in the pipe by then.

        ministack waits some milliseconds for a line; on a busy machine it comes later, into the next invocation's log.
        """
        pipe = self._proc.stdout if self._proc else None
        while pipe and not pipe.closed:
            with self._reading:
                if pipe.closed or not _readable(pipe, 0):
                    break
            time.sleep(0.001)
        return self._drain_stderr()


def _readable(pipe: Any, within_ms: int | None) -> bool:
    """Whether there is something to read, or the other end is closed; poll, since select knows 1024 files only."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(within_ms))


def function_environment(config: Config, directory: Path, port: int, settings: Settings) -> dict[str, str]:
    """The variables a function sees, the emulator's own not among them.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    New are only the endpoints, which keep the function's AWS calls on this machine.
    """
    name, version = config["FunctionName"], str(config["Runtime"])
    opt = directory / "opt" / "python"
    logging = config.get("LoggingConfig") or {}
    own = (config.get("Environment") or {}).get("Variables") or {}
    environment = {"AWS_ENDPOINT_URL": settings.endpoint, **settings.service_endpoints}
    environment |= {key: str(value) for key, value in own.items()}
    environment |= {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "HOME": "/home/sbx_user1051",  # where no developer's ~/.aws/config is
        "PYTHONPATH": os.pathsep.join([str(opt / "lib" / version / "site-packages"), str(opt)]),
        "_HANDLER": config["Handler"],
        "LAMBDA_TASK_ROOT": str(directory / "task"),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{version}",
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": str(config.get("Version", "$LATEST")),
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_LOG_GROUP_NAME": logging.get("LogGroup") or f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": time.strftime("%Y/%m/%d/[$LATEST]") + new_uuid().replace("-", ""),
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "AWS_REGION": get_region(),
        "AWS_DEFAULT_REGION": get_region(),
    }
    credentials = runtime.execution_credentials(config)
    return environment | {key: value for key, value in credentials.items() if value}


def _is_python(config: Config) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


def _extract(archive: bytes, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        lambda_svc._extract_zip_preserving_mode(zipped, str(directory))
