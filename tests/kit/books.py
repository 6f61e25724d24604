"""What must be true of every order whatever went wrong: the merchant's books agree with Alipay's."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from .stacks import Deployment
from .waiting import eventually

Json = dict[str, Any]

WATCHING = {"absences", "absentAt", "heard", "inquiries", "lastInquiry", "lookAt", "overdueAt", "pollingRound"}
"""Attributes that only say who looked and when."""

ATTENTION = {"attentionShard", "attentionSince", "acknowledged"}
"""Attributes that say that a person has to look at the order, or has."""

GAINED = {"contradictions", "told", "tells", "refundable", "unrefunded", "refunds", "crossed"} | ATTENTION
"""Attributes that an order may gain, or that may change, once it is final."""

KEPT_WITH_IT = {"contradictions", "tells", "told"} | ATTENTION
"""Attributes that say what was heard against the order, and what is told of that."""

BY_HAND = "by-hand"
"""How ids begin whose notifications a test made up: their orders do not agree with Alipay."""

ROW_BY_HAND = f"{BY_HAND}-row"
"""How ids begin whose rows a test wrote itself: nothing can be required of their history."""

NEVER: Json = {"pay": ["U"], "result": {"status": "PROCESSING"}, "expires": False, "notify": "lost"}
"""A plan: Alipay never knows the result. Tests notify by hand."""

UNDECIDED: Json = {"result": {"status": "SUCCESS"}, "inquiry": ["U"], "notify": "lost"}
"""A plan: paid, yet neither an inquiry nor a notification says so by itself."""

PAID_IN_SILENCE: Json = {"result": {"status": "SUCCESS"}, "notify": "lost"}
"""A plan: paid, and only an inquiry tells."""


def row_of(deployment: Deployment, payment_request_id: str) -> Json:
    """The order's row, which must be there."""
    row = deployment.seen.row(payment_request_id)
    assert row, f"no order {payment_request_id}"
    return row


def comes_right(deployment: Deployment, payment_request_id: str) -> None:
    """An order that is INIT is settled by the notification that arrives at last."""
    deployment.alipay.plan(payment_request_id, **UNDECIDED)
    assert deployment.alipay.notify(payment_request_id)["status"] == 200
    assert deployment.seen.settled(payment_request_id)["settledBy"] == "notify"


def left_init_at_most_once(versions: list[Json]) -> None:
    """A row starts INIT, changes its status once at most, then only gains contradictions; what is told stays told."""
    assert versions, "the order was never stored"
    assert versions[0]["status"] == "INIT"
    final = [version for version in versions if version["status"] != "INIT"]
    assert [version["status"] for version in versions[: len(versions) - len(final)]].count("INIT") == len(
        versions
    ) - len(final), "the order became INIT again"
    for version in final:
        assert _without(version, GAINED) == _without(final[0], GAINED), (
            "a final order changed",
            sorted(_without(version, GAINED).items() ^ _without(final[0], GAINED).items()),
        )
    for before, after in pairwise(versions):
        told = before.get("told", [])
        assert after.get("told", [])[: len(told)] == told, "what was told is told otherwise"


def agree(deployment: Deployment, *payment_request_ids: str) -> None:
    """The orders equal Alipay's ledger: debited once at most, final only as Alipay says, INIT only if watched."""
    settled = Counter(line.fields["paymentRequestId"] for line in deployment.seen.lines("payment settled"))
    for payment_request_id in payment_request_ids:
        versions = deployment.seen.versions(payment_request_id)
        left_init_at_most_once(versions)
        same_result(versions[-1], deployment.alipay.payment(payment_request_id))
        final_or_watched(versions[-1])
        assert settled[payment_request_id] <= 1, f"{payment_request_id} was settled {settled[payment_request_id]} times"


def final_or_watched(row: Json) -> None:
    """INIT is where an order stays only if somebody will hear of it: the caller by a 503, or else the alarm."""
    if row["status"] == "INIT":
        assert row.get("neverSent") or is_watched(row), row


def same_result(row: Json, payment: Json | None) -> None:
    """The row says nothing final that Alipay's ledger does not say too."""
    debits = payment["debits"] if payment else 0
    assert debits <= 1, f"debited {debits} times: {payment}"
    if row["status"] == "SUCCESS":
        assert payment, row
        assert (payment["status"], debits) == ("SUCCESS", 1), (row, payment)
        assert row["paymentId"] == payment["paymentId"]
        assert payment["paymentAmount"] == {"currency": row["currency"], "value": row["amountValue"]}
    elif row["status"] != "INIT":
        assert payment is None or payment["kept"] == "0", (row, payment)
        assert debits == 0 or row["status"] == "CANCELLED", (row, payment)
        if payment and payment["known"]:
            assert payment["status"] == row["status"], (row, payment)
        else:  # a pay that Alipay refused as a request is no payment of its ledger
            assert (row["status"], row["settledBy"]) in (("FAIL", "pay"), ("CANCELLED", "cancel")), (row, payment)


def is_watched(row: Json) -> bool:
    """Whether the sweep, or an execution it knows of, looks at the order again, and the alarm counts it meanwhile."""
    return {"watchShard", "overdueAt", "attemptedAt"} <= row.keys()


COUNTED_MAX = 1000
"""Where the sweep stops counting."""


AGES = {
    "OrdersInitTooLong": (timedelta(minutes=15), timedelta(minutes=20)),  # the alarm hears these
    "OrdersInitOld": (timedelta(minutes=15), timedelta.max),
}
"""How old the orders are that the sweep counts under each name."""


def counted_as_init(deployment: Deployment, count: str) -> set[str]:
    """The ids of the orders that a run of the sweep counted under this name: as many as the table holds.

    Looked at before and after that run, and again if an order came of age or was settled meanwhile.
    """

    def counted() -> tuple[set[str], int] | None:
        before = _init_of_age(deployment, *AGES[count])
        number = deployment.functions.invoke("Sweep")[count]
        return (before, number) if before == _init_of_age(deployment, *AGES[count]) else None

    ids, number = eventually(counted, "nothing came of age or was settled during a run of the sweep")
    assert number == min(len(ids), COUNTED_MAX), ids
    return ids


def _init_of_age(deployment: Deployment, least: timedelta, most: timedelta) -> set[str]:
    rows = [row for row in deployment.seen.open_rows().values() if is_watched(row)]
    now = datetime.now(UTC)
    ages = {row["paymentRequestId"]: now - datetime.fromisoformat(row["attemptedAt"]) for row in rows}
    return {key for key, age in ages.items() if least < age <= most}


def facts(deployment: Deployment, *payment_request_ids: str) -> tuple[set[str], list[Json]]:
    """The ids of all orders, and the rows of these without what only says who looked when, and to no end."""
    rows = deployment.seen.rows()
    passing = WATCHING | ATTENTION | {"unresolvedAt", "told", "tells"}
    return set(rows), [_without(rows[key], passing) for key in payment_request_ids]


def _without(row: Json, names: set[str]) -> Json:
    return {name: value for name, value in row.items() if name not in names}
