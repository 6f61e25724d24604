"""The parts of the simulated Alipay, put together."""

from pathlib import Path

from local.alipay.authorizations import Authorizations
from local.alipay.gateway import Gateway
from local.alipay.ledger import Ledger
from local.alipay.notifier import Notifier
from local.alipay.payments import Payments
from local.alipay.refunds import Refunds
from local.alipay.reports import Reports
from local.alipay.wire import Keys
from local.alipay.world import World


class Simulation:
    """Everything but the sockets it is reached by."""

    def __init__(self, keys: Keys, notify_scale: float, ledger_file: Path | None) -> None:
        self.keys = keys
        self.world = World(Ledger(ledger_file))
        self.notifier = Notifier(self.world, keys, notify_scale)
        self.authorizations = Authorizations(self.world, self.notifier)
        self.payments = Payments(self.world, self.notifier, self.authorizations)
        self.refunds = Refunds(self.world, self.notifier, self.payments)
        self.reports = Reports(self.world, self.payments, self.refunds)
        self.gateway = Gateway(self.world, self.payments, self.authorizations, self.refunds)

    def reset(self) -> None:
        """Forget everything."""
        with self.world.lock:
            for capability in (self.payments, self.authorizations, self.refunds):
                capability.clear()
            self.world.clear()
