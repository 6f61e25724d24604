"""What must be true of every order whatever went wrong: the merchant's books agree with Alipay's."""

from typing import Any

from .stacks import Deployment

Json = dict[str, Any]

WATCHING = {"inquiries", "lastInquiry", "lookAt", "pollingRound"}
"""Attributes that only say who looked and when."""

NEVER: Json = {"pay": ["U"], "result": {"status": "PROCESSING"}, "expires": False, "notify": "lost"}
"""A plan: Alipay never knows the result. Tests notify by hand."""


def left_init_at_most_once(versions: list[Json]) -> None:
    """A row starts INIT, changes its status once at most, and then only ever gains contradictions."""
    assert versions, "the order was never stored"
    assert versions[0]["status"] == "INIT"
    final = [version for version in versions if version["status"] != "INIT"]
    assert [version["status"] for version in versions[: len(versions) - len(final)]].count("INIT") == len(
        versions
    ) - len(final), "the order became INIT again"
    for version in final:
        assert _without(version, {"contradictions"}) == _without(final[0], {"contradictions"}), "a final order changed"


def agree(deployment: Deployment, *payment_request_ids: str) -> None:
    """The orders equal Alipay's ledger: debited once at most, and final only as Alipay says."""
    for payment_request_id in payment_request_ids:
        versions = deployment.seen.versions(payment_request_id)
        left_init_at_most_once(versions)
        same_result(versions[-1], deployment.alipay.payment(payment_request_id))
        settlements = deployment.seen.settlements(payment_request_id)
        assert len(settlements) <= 1, settlements


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
        assert debits == 0, (row, payment)
        assert payment, row
        assert payment["status"] == row["status"], (row, payment)


def facts(deployment: Deployment) -> dict[str, Json]:
    """Every row without what only says who looked and when."""
    return {key: _without(row, WATCHING) for key, row in deployment.seen.rows().items()}


def _without(row: Json, names: set[str]) -> Json:
    return {name: value for name, value in row.items() if name not in names}
