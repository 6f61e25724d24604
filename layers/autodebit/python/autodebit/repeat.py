"""No response: the same call again, with the same bytes.

A call that brought no answer may have arrived. It is safe to repeat it with identical parameters, and a failure of the
repetition proves nothing about the first call. https://docs.antom.com/ac/ams/idempotency
"""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from autodebit import telemetry
from autodebit.alipay.gateway import AlipayGateway
from autodebit.alipay.reading import Reading, Undecided
from autodebit.errors import GatewayError, NotSent
from autodebit.telemetry import logger

CALLS_MAX = 3
"""Calls within one request of the merchant."""

PAUSE_S = 2.0
"""Before a call that Alipay turned away for the load (REQUEST_TRAFFIC_EXCEED_LIMIT) is made again."""


def call_until_answered[Status: StrEnum](
    gateway: AlipayGateway,
    endpoint: str,
    body: bytes,
    read: Callable[[dict[str, Any], bool], Reading[Status]],
    *,
    deadline: float,
    first_call: bool,
    may_repeat: Callable[[], bool] = lambda: True,
) -> Reading[Status]:
    """What the call says, made up to CALLS_MAX times while it says nothing. Raises NotSent if nothing ever left.

    `read` is told whether no earlier call is unaccounted for; `first_call` says so of the first. `deadline` is on
    time.monotonic's clock.
    """
    name = endpoint.rpartition("/")[2]
    said = f"{name} without answer"
    for number in range(CALLS_MAX):
        if number > 0 and not may_repeat():
            break
        try:
            reading = read(gateway.call(endpoint, body, deadline), first_call)
        except GatewayError as error:
            telemetry.call_failed(name, error)
            said = f"{name} without answer: {error.reason}"
            if isinstance(error, NotSent) and first_call:
                raise
            first_call = False
            continue
        if not isinstance(reading, Undecided):
            return reading
        said = reading.said
        logger.info(f"{name} left it open", said=said)
        if not reading.call_again:
            return reading
        first_call = False
        time.sleep(PAUSE_S)
    return Undecided(said)
