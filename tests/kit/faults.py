"""The fault proxy between the functions and AWS."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from .waiting import GENEROUS_S

Json = dict[str, Any]

PUT_ITEM = "DynamoDB_20120810.PutItem"
UPDATE_ITEM = "DynamoDB_20120810.UpdateItem"
GET_ITEM = "DynamoDB_20120810.GetItem"
QUERY = "DynamoDB_20120810.Query"
GET_SECRET = "secretsmanager.GetSecretValue"
START_EXECUTION = "AWSStepFunctions.StartExecution"
PUT_EVENTS = "AWSEvents.PutEvents"
SEND_MESSAGE = "AmazonSQS.SendMessage"


@dataclass(frozen=True)
class Faults:
    """Rules as `local/emulator/faultproxy.py` describes them. Without an effect a rule only names calls in the log."""

    url: str

    @contextmanager
    def injected(self, *rules: Json) -> Iterator[None]:
        """These rules, and no others afterwards."""
        self.add(*rules)
        try:
            yield
        finally:
            self.clear()

    def add(self, *rules: Json) -> None:
        response = requests.post(f"{self.url}/_fault/rules", json=list(rules), timeout=GENEROUS_S)
        if not response.ok:
            raise AssertionError(response.text)

    def clear(self) -> None:
        """Remove the rules; calls that they hold go on."""
        requests.delete(f"{self.url}/_fault/rules", timeout=GENEROUS_S).raise_for_status()

    def used_up(self) -> bool:
        """Whether every rule has been applied as often as it may."""
        return all(rule["times"] == 0 for rule in self.rules())

    def rules(self) -> list[Json]:
        """The rules, with the number of calls each `applied` to so far."""
        rules: list[Json] = requests.get(f"{self.url}/_fault/rules", timeout=GENEROUS_S).json()
        return rules

    def holds(self) -> bool:
        """Whether a call waits for the rules to be deleted."""
        return any(rule["held"] for rule in self.rules())

    def calls(self, name: str = "") -> list[Json]:
        """The calls seen, oldest first: `at`, `op`, `rule`, `status`; those that the rule `name` took, if given."""
        calls = requests.get(f"{self.url}/_fault/log", timeout=GENEROUS_S).json()
        return [call for call in calls if not name or call["rule"] == name]

    def forget(self) -> None:
        requests.delete(f"{self.url}/_fault/log", timeout=GENEROUS_S).raise_for_status()
