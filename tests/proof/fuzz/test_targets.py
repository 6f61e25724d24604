"""The oracles bear what they will meet: every value of every seed, replaced by each type that JSON has.

A finding of the fuzzer must be a defect of the product. An oracle that stumbles over a list where it expects a text
would look like one.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.samples import full_request, paid, result

from .targets import TARGETS, paths_in
from .timing import Stopwatch

WRONG: list[Any] = [None, True, 0, -1, 1.5, "", "S", [], ["S"], [["S"]], {}, {"S": "S"}]

DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "pay_request": [full_request()],
    "notification": [paid(), paid(notifyType="PAYMENT_PENDING")],
    "answer": [
        paid(),
        paid(paymentStatus="SUCCESS"),
        paid(result=result("F", "USER_BALANCE_NOT_ENOUGH"), paymentStatus="FAIL"),
        paid(result=result("F", "ORDER_IS_CLOSED")),
    ],
}


def falsified(document: dict[str, Any]) -> Iterator[bytes]:
    """The document with one value, or one value's absence, that it should not have."""
    for *way, last in paths_in(document):
        for wrong in [*WRONG, KeyError]:
            changed = json.loads(json.dumps(document))
            place = changed
            for name in way:
                place = place[name]
            if wrong is KeyError:
                del place[last]
            else:
                place[last] = wrong
            yield json.dumps(changed).encode()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_oracle_bears_every_wrong_type_in_every_place(name: str) -> None:
    tried = 0
    for document in DOCUMENTS[name]:
        for data in falsified(document):
            TARGETS[name].check(Stopwatch(), data)
            tried += 1
    assert tried > 100


@pytest.mark.parametrize("name", TARGETS)
def test_an_oracle_bears_its_own_seeds(name: str) -> None:
    timed = Stopwatch()
    for data in TARGETS[name].seeds:
        TARGETS[name].check(timed, data)
    assert timed.called
