"""A function whose clock is wrong.

Its own clock, not the SDK's: AWS would refuse a signature ten minutes off before it looked at the call. What is wrong
is every `datetime.now` and `time.time_ns` in the function's code and in the layer of the bundle; a layer of its own, in
front of the handler, sets them off.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .stacks import Deployment

SKEWED = '''\
"""The handler, once the clock of its modules is set off."""

import os
import sys
import time
from datetime import datetime, timedelta
from types import SimpleNamespace

import app

AHEAD_S = int(os.environ["CLOCK_AHEAD_S"])


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(seconds=AHEAD_S)


def time_ns():
    return time.time_ns() + AHEAD_S * 1_000_000_000


for name, module in list(sys.modules.items()):
    if name == "app" or name.startswith("autodebit."):
        if getattr(module, "datetime", None) is datetime:
            module.datetime = Clock
        if getattr(module, "time", None) is time:
            module.time = SimpleNamespace(**{**vars(time), "time_ns": time_ns})

handler = app.handler
'''


@contextmanager
def clock_wrong(deployment: Deployment, function: str, ahead_s: int) -> Iterator[None]:
    """The function's clock is ahead by so much, or behind."""
    client: Any = deployment.aws("lambda")
    name = f"{deployment.description['stackName']}-{function}"
    before = client.get_function_configuration(FunctionName=name)
    layers = [layer["Arn"] for layer in before["Layers"]]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as layer:
        layer.writestr("python/skewed.py", SKEWED)
    skewed = client.publish_layer_version(LayerName="skewed", Content={"ZipFile": archive.getvalue()})
    client.update_function_configuration(
        FunctionName=name, Handler="skewed.handler", Layers=[*layers, skewed["LayerVersionArn"]]
    )
    try:
        with deployment.functions.configured(function, CLOCK_AHEAD_S=str(ahead_s)):
            yield
    finally:
        client.update_function_configuration(FunctionName=name, Handler=before["Handler"], Layers=layers)
        deployment.functions.kill(function)
