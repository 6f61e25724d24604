"""Who stands where Alipay, Step Functions and the credentials do, for tests of what a use case makes of their words."""

from collections.abc import Callable
from typing import Any

from autodebit.alipay.signature import SignedMessage
from autodebit.errors import PollingFault

Json = dict[str, Any]
Said = Json | Exception | Callable[[], Json]


class Gateway[Body]:
    """Says what it is `told` to, one after the other; then what it `usual`ly says, by the endpoint's name in `folder`.

    `read` makes of a call's bytes what is kept of them.
    """

    def __init__(self, folder: str, usual: dict[str, Said], read: Callable[[bytes], Body]) -> None:
        self._folder = folder
        self.told: list[Said] = []
        self.calls: list[tuple[str, Body]] = []
        self.deadlines: list[float] = []
        self.usual = dict(usual)
        self._read = read

    def call(self, endpoint: str, body: bytes, deadline: float = 0.0) -> Json:
        api = endpoint.removeprefix(f"{self._folder}/")
        self.calls.append((api, self._read(body)))
        self.deadlines.append(deadline)
        said = self.told.pop(0) if self.told else self.usual[api]
        if isinstance(said, Exception):
            raise said
        return said() if callable(said) else said

    def called(self, api: str) -> list[Body]:
        """The bodies of the calls of this API."""
        return [body for name, body in self.calls if name == api]


class Machine:
    """Stands where Step Functions does: keeps what was started, or fails."""

    def __init__(self, key: str, first_wait_s: int) -> None:
        self.started: list[tuple[str, int]] = []
        self.fails = False
        self.key, self.first_wait_s = key, first_wait_s

    def start(self, key: str, polling_round: int) -> bool:
        if self.fails:
            raise PollingFault("away")
        self.started.append((key, polling_round))
        return True

    def is_running(self, key: str, polling_round: int) -> bool:
        return (key, polling_round) in self.started


class Signed:
    """Credentials that believe every message."""

    def authenticate(self, message: SignedMessage, header: str) -> str:
        return "1"
