"""Which capability answers which call."""

from collections.abc import Callable
from typing import Any

from local.alipay.answers import Reply
from local.alipay.authorizations import Authorizations
from local.alipay.payments import Payments
from local.alipay.plans import Behaviour, PlanUnknown
from local.alipay.refunds import Refunds
from local.alipay.rules import Refused
from local.alipay.wire import Rejected, result
from local.alipay.world import World

Call = tuple[str, Callable[[Any], Reply]]


class Gateway:
    def __init__(self, world: World, payments: Payments, authorizations: Authorizations, refunds: Refunds) -> None:
        self._world = world
        self._calls: dict[str, Call] = {**payments.calls, **authorizations.calls, **refunds.calls}

    def find(self, endpoint: str) -> Call:
        """The name of this endpoint's call, and who answers it. Raises `Rejected`."""
        if endpoint not in self._calls:
            raise Rejected("NO_INTERFACE_DEF", "API is not defined.")
        return self._calls[endpoint]

    def answer(self, call: Call, body: Any) -> Reply:
        """Do what an authenticated call asks for."""
        try:
            with self._world.lock:
                return call[1](body)
        except Refused as refused:
            return Reply(Behaviour(), {"result": result("F", refused.code, refused.message)})
        except PlanUnknown as unknown:
            return Reply(Behaviour(), {"result": result("F", "PARAM_ILLEGAL", str(unknown)[:256])})
