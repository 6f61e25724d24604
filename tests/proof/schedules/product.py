"""The shipped code, loaded with stand-ins for what is around it: time, chance, telemetry, AWS and the wire to Alipay.

An invocation of a handler is a `Run`: it goes to its next effect and stops there until it is told what came of it. What
it does depends on nothing but what it was told, so that a `Position` that was reached once needs no second run.
"""

import ast
import functools
import json
import os
import random
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import requests
from botocore.client import BaseClient
from botocore.exceptions import ReadTimeoutError
from greenlet import getcurrent, greenlet
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError

from tests.proof import ROOT

from . import alipay
from .changes import Change, Edited, Gone, Replaced, constant, edit, module_of, replace

PACKAGE = ROOT / "layers" / "autodebit" / "python"
FUNCTIONS = ROOT / "functions"
HANDLERS = {
    "initiate": "initiate_pay",
    "notify": "notify",
    "look": "inquiry",
    "sweep": "sweep",
    "cancel": "cancel_payment",
    "refund": "refund",
    "refundlook": "inquire_refund",
    "refundnotify": "notify_refund",
    "refundsweep": "sweep_refunds",
}

EPOCH = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
STATE_MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:Polling"

ENVIRONMENT = {
    "ORDERS_TABLE": "orders",
    "ALIPAY_GATEWAY_URL": "https://gateway.example",
    "CREDENTIALS_SECRET": "secret",
    "POLLING_STATE_MACHINE": STATE_MACHINE,
    "REFUNDS_TABLE": "refunds",
    "REFUND_STATE_MACHINE": STATE_MACHINE.replace("Polling", "Refunds"),
}

NEVER_CLOSES = {"INQUIRY_SCHEDULE": "3,3,6", "CLOSE_AFTER": "0"}
CLOSES = {"INQUIRY_SCHEDULE": "3,60", "CLOSE_AFTER": "1"}
"""Parameters of the template: orders stay INIT when the schedule is spent; or the second look is at the close time."""

# The SDK looks for these when a client is made, which the product does at its first call.
for _name, _value in {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}.items():
    os.environ.setdefault(_name, _value)

SMALLER = constant("rows.watch:WATCH_SHARDS", 1)
"""One order has one partition; the sweep of 31 empty ones would only take time."""


class Effect(NamedTuple):
    """What an invocation is about to do: `kind` is table, alipay, states or answer."""

    kind: str
    operation: str
    arguments: str
    metrics: tuple[str, ...] = ()


class Observation(NamedTuple):
    """When an invocation goes on, how its effect went, and what came back."""

    clock: int
    how: str
    what: str = "{}"


class Run:
    """One invocation, up to its next effect."""

    def __init__(self, handler: Callable[[Any, Any], Any], event: str, name: str, clock: int) -> None:
        self.name, self.clock, self.tokens = name, clock, 0
        self.metrics: list[str] = []
        self._greenlet = greenlet(lambda: self._invoke(handler, json.loads(event)))
        self._greenlet.run_of = self
        self.effect: Effect = self._greenlet.switch()

    def _invoke(self, handler: Callable[[Any, Any], Any], event: Any) -> Effect:
        try:
            how, what = "returned", handler(event, _CONTEXT)
        except Exception as error:
            how, what = "raised", type(error).__name__
        return Effect("answer", how, json.dumps(what), tuple(self.metrics))

    def tell(self, observation: Observation) -> None:
        self.clock = observation.clock
        self.effect = self._greenlet.switch(observation)


_CONTEXT = SimpleNamespace(get_remaining_time_in_millis=lambda: 55_000)


def _running() -> Run | None:
    return getattr(getcurrent(), "run_of", None)


def _perform(kind: str, operation: str, arguments: Any) -> Observation:
    """Stop here until the scheduler says what came of the effect."""
    effect = Effect(kind, operation, json.dumps(arguments, sort_keys=True))
    observation: Observation = getcurrent().parent.switch(effect)
    return observation


# --- Positions -------------------------------------------------------------------------------------------------------


class Live:
    """An invocation that really runs; `after` can be asked once."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.effect = run.effect

    def after(self, observation: Observation) -> "Live":
        self._run.tell(observation)
        return Live(self._run)


class Position:
    """Where an invocation is after all that it was told; reached by running the code once, and then remembered."""

    __slots__ = ("_after", "_start", "_told", "effect")

    def __init__(self, start: Callable[[], Run], told: tuple[Observation, ...], run: Run) -> None:
        self._start, self._told = start, told
        self._after: dict[Observation, Position] = {}
        self.effect = run.effect

    def after(self, observation: Observation) -> "Position":
        if (position := self._after.get(observation)) is None:
            run = self._start()
            for told in (*self._told, observation):
                run.tell(told)
            position = self._after[observation] = Position(self._start, (*self._told, observation), run)
        return position


class Product:
    """One copy of the shipped code, changed as asked."""

    def __init__(self, changes: Sequence[Change] = (), *, closes: bool = False) -> None:
        self.modules, self._apps = _load([SMALLER, *changes], CLOSES if closes else NEVER_CLOSES)
        self._positions: dict[tuple[str, str, str, int], Position] = {}

    def live(self, kind: str, name: str, event: str, clock: int) -> Live:
        return Live(Run(self._apps[kind].handler, event, name, clock))

    def remembered(self, kind: str, name: str, event: str, clock: int) -> Position:
        key = (kind, name, event, clock)
        if (position := self._positions.get(key)) is None:
            start = functools.partial(Run, self._apps[kind].handler, event, name, clock)
            position = self._positions[key] = Position(start, (), start())
        return position


# --- Loading ---------------------------------------------------------------------------------------------------------


class _Loader(SourceFileLoader):
    """A module with its changes, and names in it that stand for time, chance and the outside."""

    def __init__(self, name: str, path: str, finder: "_Finder") -> None:
        super().__init__(name, path)
        self._finder = finder

    def get_code(self, fullname: str) -> Any:
        tree = ast.parse(self.get_data(self.path))
        for change in self._finder.changes(self.name):
            if isinstance(change, Edited):
                edit(tree, change)
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        for name, (real, stand_in) in _STAND_INS.items():
            if getattr(module, name, None) is real or (real is None and name in vars(module)):
                setattr(module, name, stand_in)
        for change in self._finder.changes(self.name):
            if isinstance(change, Replaced):
                replace(module, change, self._finder.loaded)
        self._finder.loaded[self.name] = module


class _Finder:
    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes
        self.loaded: dict[str, ModuleType] = {}

    def changes(self, module: str) -> list[Change]:
        return [change for change in self._changes if module_of(change.name) == module]

    def unmet(self) -> list[str]:
        """The changes whose module was never loaded."""
        return [change.name for change in self._changes if module_of(change.name) not in self.loaded]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == "autodebit" or name.startswith("autodebit."):
            file = PACKAGE.joinpath(*name.split("."))
            file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
            return self.spec(name, file)
        return None

    def spec(self, name: str, file: Path) -> ModuleSpec:
        spec = spec_from_file_location(name, file, loader=_Loader(name, str(file), self))
        assert spec
        return spec


def _load(changes: Sequence[Change], parameters: dict[str, str]) -> tuple[dict[str, ModuleType], dict[str, ModuleType]]:
    """The shared modules and the functions, apart from whatever else has been imported. Raises Gone."""
    finder, apps = _Finder(changes), {}
    with _own_modules(finder, parameters):
        for kind, folder in HANDLERS.items():
            spec = finder.spec(f"autodebit_app_{folder}", FUNCTIONS / folder / "app.py")
            apps[kind] = module_from_spec(spec)
            assert spec.loader
            spec.loader.exec_module(apps[kind])
    if unmet := finder.unmet():
        raise Gone(f"no such module: {unmet}")
    modules = finder.loaded
    telemetry: Any = modules["autodebit.telemetry"]
    telemetry.count, telemetry.settled = _count, _settled
    gateway: Any = modules["autodebit.alipay.gateway"]
    gateway.sign = functools.cache(gateway.sign)  # RSA is most of the time that a run takes
    return modules, apps


@contextmanager
def _own_modules(finder: _Finder, parameters: dict[str, str]) -> Iterator[None]:
    """Within this block the product is imported afresh, and Powertools is silent."""

    def ours(package: str) -> dict[str, ModuleType]:
        return {name: module for name, module in sys.modules.items() if name.split(".")[0] == package}

    hidden = ours("autodebit") | ours("aws_lambda_powertools")
    variables = dict(os.environ)
    for name in hidden:
        del sys.modules[name]
    for name in ("aws_lambda_powertools", "aws_lambda_powertools.metrics"):
        sys.modules[name] = _silent_module(name)
    sys.meta_path.insert(0, finder)
    os.environ.update(ENVIRONMENT | parameters)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        os.environ.clear()
        os.environ.update(variables)
        for name in ours("autodebit") | ours("aws_lambda_powertools"):
            del sys.modules[name]
        sys.modules.update(hidden)


# --- Stand-ins -------------------------------------------------------------------------------------------------------


class _Silent:
    """A logger, metrics, a decorator or a context that does nothing."""

    def __getattr__(self, name: str) -> "_Silent":
        return self

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return arguments[0] if arguments and callable(arguments[0]) else self

    def __enter__(self) -> "_Silent":
        return self

    def __exit__(self, *error: object) -> None:
        pass


def _silent_module(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__getattr__ = lambda attribute: _Silent()  # type: ignore[method-assign]
    return module


def _count(name: str, value: int = 1) -> None:
    run = _running()
    if run and value:
        run.metrics.append(name)


def _settled(*what: Any, **said: Any) -> None:
    _count("settled")


def _now() -> datetime:
    run = _running()
    return EPOCH + timedelta(seconds=run.clock if run else 0)


class _Datetime(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _now().astimezone(tz)


def _uuid4() -> Any:
    run = _running()
    assert run
    run.tokens += 1
    return SimpleNamespace(hex=f"{run.name}.{run.tokens}")


class _Wire:
    """In place of requests' adapter: what `autodebit.transport` sends through."""

    def __init__(self) -> None:
        self.poolmanager = SimpleNamespace(clear=lambda: None)

    def send(self, request: requests.PreparedRequest, stream: bool, timeout: tuple[float, float]) -> Any:
        assert isinstance(request.body, bytes)
        run = _running()
        assert run
        call = {"body": request.body.decode(), "timeout": timeout[1], "until": run.clock + timeout[1]}
        observation = _perform("alipay", request.path_url, call)
        if observation.how == "timeout":
            raise requests.ReadTimeout
        if observation.how == "no connection":
            refused = NewConnectionError(None, "refused")  # type: ignore[arg-type]
            raise requests.ConnectionError(MaxRetryError(None, request.url, refused))  # type: ignore[arg-type]
        answer = json.loads(observation.what)
        raw = SimpleNamespace(read=lambda *a, **n: answer["body"].encode(), length_remaining=0)
        return SimpleNamespace(status_code=200, headers=answer["headers"], raw=raw, close=lambda: None)


class _AtOnce:
    """A pool that does what it is given before it says so: an invocation is one greenlet."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> "_AtOnce":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done


_STAND_INS: dict[str, tuple[Any, Any]] = {
    "datetime": (datetime, _Datetime),
    "time": (
        time,
        SimpleNamespace(
            monotonic=lambda: _now().timestamp(),
            time=lambda: _now().timestamp(),
            time_ns=lambda: int(_now().timestamp()) * 10**9,
            sleep=lambda seconds: None,
        ),
    ),
    "uuid4": (uuid.uuid4, _uuid4),
    "traceback": (traceback, SimpleNamespace(format_tb=lambda frames: [])),
    "random": (random, SimpleNamespace(shuffle=lambda shards: None, random=lambda: 0.0)),
    "HTTPAdapter": (HTTPAdapter, _Wire),
    "ThreadPoolExecutor": (ThreadPoolExecutor, _AtOnce),
    "threading": (threading, SimpleNamespace(Event=threading.Event, Thread=_Silent())),
    "secret_reader": (None, lambda secret_id: lambda: alipay.SECRET),
}
"""By its name in a module: what it must be there, and what takes its place."""

_SERVICES = {"dynamodb": "table", "stepfunctions": "states"}
_make_api_call = BaseClient._make_api_call


def _call_aws(client: Any, operation: str, arguments: Any) -> Any:
    """Every call of the AWS SDK for Python, before it becomes a request."""
    if _running() is None:
        if "amazonaws.com" in client.meta.endpoint_url:
            raise RuntimeError(f"{operation} outside of an invocation: a thread of its own?")
        return _make_api_call(client, operation, arguments)
    observation = _perform(_SERVICES[client.meta.service_model.service_name], operation, arguments)
    if observation.how == "answer":
        return json.loads(observation.what)
    if observation.how == "timeout":
        raise ReadTimeoutError(endpoint_url="")
    response = {"Error": {"Code": observation.how}} | json.loads(observation.what)
    raise client.exceptions.from_code(observation.how)(response, operation)


BaseClient._make_api_call = _call_aws
