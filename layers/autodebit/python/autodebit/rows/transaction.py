"""A transaction: several rows change together, or none does.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from autodebit.errors import TableFault
from autodebit.rows.table import table_faults

CONFLICT_TRIES = 10
"""Transactions that meet on one row are refused, not queued: each is tried again after a pause, 2 s in all."""

CONFLICT_PAUSE_S = 0.05

PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Reasons that say nothing of the rows, and of no other row either: what is in the way may be half done."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one row, if it is as `leaves` says. Without `actions` the item is stored as a new row."""

    item: Model
    leaves: Condition
    actions: Sequence[Action] | None = None


def together(token: str, changes: Sequence[Change]) -> frozenset[int]:
    """Make all changes, or none: the positions of those whose `leaves` did not hold; none when they are made.

    New rows stand first. `token` is the attempt's, of 1 to 36 characters: when an answer gets lost, the SDK's
    repetition under the same token is the same transaction. Raises TableFault.
    """
    tried = 1
    while True:
        try:
            with table_faults():
                _commit(token, changes)
        except TableFault as fault:
            reasons = _reasons(fault)
            failed = frozenset(place for place, code in enumerate(reasons) if code == "ConditionalCheckFailed")
            passing = not PASSING.isdisjoint(reasons)
            if failed and not passing:
                return failed
            if not passing or tried == CONFLICT_TRIES:
                raise
            time.sleep(CONFLICT_PAUSE_S * tried * (0.5 + random.random()))  # noqa: S311  # nosec B311 - no secret
            tried += 1
        else:
            return frozenset()


def _commit(token: str, changes: Sequence[Change]) -> None:
    connection: Any = type(changes[0].item)._get_connection().connection
    with TransactWrite(connection=connection, client_request_token=token) as transaction:
        for change in changes:
            if change.actions is None:
                transaction.save(change.item, condition=change.leaves)
            else:
                transaction.update(change.item, actions=list(change.actions), condition=change.leaves)


def _reasons(fault: TableFault) -> list[str | None]:
    """Why a transaction was cancelled, change by change; empty if it was not cancelled."""
    cause = fault.__cause__
    if not isinstance(cause, TransactWriteError):
        return []
    return [reason.code if reason else None for reason in cause.cancellation_reasons]
