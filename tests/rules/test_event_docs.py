"""docs/events: a schema and a sample for each kind that the code tells, and the samples are what it sends."""

import ast
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from autodebit.agreement import transitions as of_agreements
from autodebit.agreement.agreement import Agreement, UnlinkedBy, shown_at
from autodebit.agreement.agreement import Status as AgreementStatus
from autodebit.alipay.amount import Amount
from autodebit.events import Event, Told, replay, shown_json
from autodebit.payment import transitions as of_payments
from autodebit.payment.order import Order, Status, Witness
from autodebit.reconciliation.compare import Sum
from autodebit.reconciliation.results import Refusal, Summary, finished, summary_document
from autodebit.refund.refund import Refund
from autodebit.refund.refund import Status as RefundStatus
from autodebit.refund.refund import Witness as RefundWitness
from jsonschema import Draft202012Validator

from tests.kit import ROOT
from tests.kit.event_schemas import KINDS, SAMPLES, SCHEMAS, faults
from tests.kit.samples import NOW, PAYMENT_ID, order
from tests.kit.template import MODULES

SETTLED = NOW + timedelta(seconds=3)


def told_by_the_code() -> set[str]:
    """Every kind that stands in a module of transitions."""
    kinds = set()
    for module, path in MODULES.items():
        if module.endswith(".transitions"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and re.fullmatch(
                    r"(Payment|Agreement|Refund)[A-Z]\w+", str(node.value)
                ):
                    kinds.add(str(node.value))
    return kinds


def settled(status: Status, code: str, message: str, **changes: Any) -> Order:
    result = {"result_code": code, "result_message": message, "payment_id": PAYMENT_ID, "settled_by": Witness.NOTIFY}
    told = (Told(of_payments.TOLD[status], SETTLED),)
    return order(status=status, settled_at=SETTLED, told=told, **result | changes)


def contradicted() -> Order:
    success = settled(Status.SUCCESS, "SUCCESS", "success.", payment_time="2026-11-22T17:30:02+08:00")
    said = shown_json({**success.shown, "contradiction": "notify F/RISK_REJECT"})
    return replace(success, told=(*success.told, Told(of_payments.CONTRADICTED, NOW + timedelta(hours=2), said)))


def unresolved() -> Order:
    open_order = order(cancel_code="PAYMENT_METHOD_NOT_SUPPORTED", overdue_at=NOW + timedelta(hours=1))
    told = Told(of_payments.UNRESOLVED, NOW + timedelta(minutes=16), shown_json(open_order.shown))
    return replace(open_order, told=(told,))


def agreement(kind: str, **changes: Any) -> Any:
    fields: dict[str, Any] = {
        "agreement_id": "agr-4711-1",
        "status": AgreementStatus.LINKED,
        "customer_belongs_to": "ALIPAY_HK",
        "created_at": NOW,
        "auth_state": "state",
        "expires_at": NOW + timedelta(minutes=15),
        "attempted_at": NOW,
        "user_login_id": "852-****1234",
        "linked_at": NOW + timedelta(minutes=1),
        "token_expires_at": NOW + timedelta(days=365),
    }
    row = Agreement(**(fields | changes))
    return Agreement(**(fields | changes), told=(Told(kind, SETTLED, shown_json(shown_at(row, SETTLED))),))


def refund(kind: str, contradiction: str | None = None, **changes: Any) -> Refund:
    row = Refund(
        refund_request_id="ref-20261125-000001",
        payment_request_id="ord-20261122-000017",
        amount=Amount("HKD", "990"),
        created_at=NOW,
        body="{}",
        attempt="attempt",
        attempted_at=NOW,
        **changes,
    )
    said = {} if contradiction is None else {"contradiction": contradiction}
    return replace(row, told=(Told(kind, SETTLED, shown_json({**row.shown, **said})),))


GIVEN_BACK: dict[str, Any] = {
    "refund_id": "202611251940108001001888A0000000001",
    "result_code": "SUCCESS",
    "result_message": "success.",
    "settled_by": RefundWitness.REFUND,
    "settled_at": SETTLED,
    "refund_time": "2026-11-22T17:30:03+08:00",
}
NOT_LINKED = {"user_login_id": None, "linked_at": None, "token_expires_at": None}
BUILT: dict[str, Any] = {
    "PaymentSucceeded": settled(Status.SUCCESS, "SUCCESS", "success.", payment_time="2026-11-22T17:30:02+08:00"),
    "PaymentFailed": settled(Status.FAIL, "USER_BALANCE_NOT_ENOUGH", "The balance is not enough."),
    "PaymentCancelled": settled(Status.CANCELLED, "SUCCESS", "success.", settled_by=Witness.INQUIRY),
    "PaymentUnresolved": unresolved(),
    "PaymentContradicted": contradicted(),
    "AgreementLinked": agreement("AgreementLinked"),
    "AgreementFailed": agreement(
        "AgreementFailed", status=AgreementStatus.FAILED, result_code="INVALID_AUTHCODE", **NOT_LINKED
    ),
    "AgreementUnlinked": agreement(
        "AgreementUnlinked",
        status=AgreementStatus.UNLINKED,
        unlinked_by=UnlinkedBy.BUYER,
        unlinked_at=NOW + timedelta(days=3),
    ),
    "RefundSucceeded": refund("RefundSucceeded", status=RefundStatus.SUCCESS, **GIVEN_BACK),
    "RefundFailed": refund(
        "RefundFailed",
        status=RefundStatus.FAIL,
        result_code="MERCHANT_BALANCE_NOT_ENOUGH",
        result_message="The balance is not enough.",
        settled_by=RefundWitness.REFUND,
        settled_at=SETTLED,
    ),
    "RefundUnresolved": refund("RefundUnresolved", status=RefundStatus.INIT),
    "RefundObserved": refund("RefundObserved", status=RefundStatus.SUCCESS, observed=True, **GIVEN_BACK),
    "RefundContradicted": refund(
        "RefundContradicted", "notify F/PROCESS_FAIL", status=RefundStatus.SUCCESS, **GIVEN_BACK
    ),
    "AgreementExpiring": agreement("AgreementExpiring", token_expires_at=NOW + timedelta(days=30)),
}
"""A row of which each kind is the last thing told."""


def on_the_bus(event: Event) -> dict[str, Any]:
    return {"source": "autodebit", "detail-type": event.kind, "detail": json.loads(event.detail)}


@pytest.mark.parametrize("kind", sorted(BUILT))
def test_a_sample_is_what_the_code_sends(kind: str) -> None:
    """Written anew with: python -m tests.rules.test_event_docs"""
    assert on_the_bus(replay(BUILT[kind])[-1]) == SAMPLES[kind]


RECONCILED = Summary(
    *("transactionItems_20261122_000.csv", "4c1f9d3e-0d43-4a3a-b1a4-3d3e7c4c0a55", "0" * 64, 1, SETTLED),
    report="transaction details",
    edition="2026",
    lines=2,
    days={"2026-11-22": 2},
    sums={("PAYMENT", "HKD"): Sum(2, 3980, 1, 1990)},
    differences={"missing-here": 1},
    new_differences=1,
)


def test_the_sample_of_a_reconciliation_is_what_the_code_sends() -> None:
    assert on_the_bus(finished(summary_document(RECONCILED))) == SAMPLES["ReconciliationFinished"]


@pytest.mark.parametrize("kind", ["RefundObserved", "RefundContradicted"])
@pytest.mark.parametrize("portal", ["退款 1/2:3", "x" * 64])
def test_a_refund_made_in_the_portal_may_have_an_id_of_any_characters(kind: str, portal: str) -> None:
    row = replace(BUILT["RefundObserved"], refund_request_id=portal)
    row = replace(row, told=(Told(kind, SETTLED, shown_json({**row.shown, "contradiction": "notify FAIL"})),))
    event = on_the_bus(replay(row)[-1])
    if kind == "RefundObserved":
        del event["detail"]["contradiction"]
    assert faults(event) == []


def test_a_refused_file_is_as_its_schema_says() -> None:
    refused = replace(RECONCILED, refusal=Refusal(RECONCILED.file, 7, "has a NUL byte"))
    assert faults(on_the_bus(finished(summary_document(refused)))) == []


def test_every_kind_that_is_told_has_a_schema_a_sample_and_a_line() -> None:
    told = told_by_the_code()
    assert set(of_payments.TOLD.values()) | set(of_agreements.TOLD.values()) <= told
    assert told <= KINDS
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/events/README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(table) == sorted(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_sample_is_as_its_schema_says(kind: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[kind])
    assert SAMPLES[kind]["detail-type"] == kind
    assert faults(SAMPLES[kind]) == []


PAID = SAMPLES["PaymentSucceeded"]["detail"]["order"]


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 0},
        {"sequence": "1"},
        {"eventId": "ord-20261122-000017"},
        {"occurredAt": "2026-11-22T17:30:03+08:00"},
        {"order": None},
        {"order": {}},
        {"token": "28281011"},
        {"order": SAMPLES["PaymentSucceeded"]["detail"]["order"] | {"status": "INIT"}},
        {"order": SAMPLES["PaymentSucceeded"]["detail"]["order"] | {"buyerEmail": "a@example.com"}},
        {
            "order": SAMPLES["PaymentSucceeded"]["detail"]["order"]
            | {"paymentAmount": {"currency": "HKD", "value": 1990}}
        },
    ],
    ids=str,
)
def test_a_schema_refuses_what_is_not_so(change: dict[str, Any]) -> None:
    event = SAMPLES["PaymentSucceeded"]
    assert faults(event | {"detail": event["detail"] | change})


if __name__ == "__main__":
    sent = {built_kind: replay(row)[-1] for built_kind, row in BUILT.items()}
    sent["ReconciliationFinished"] = finished(summary_document(RECONCILED))
    for built_kind, told_event in sent.items():
        text = json.dumps(on_the_bus(told_event), indent=2, ensure_ascii=False)
        (ROOT / "docs/events" / f"{built_kind}.json").write_text(text + "\n", "utf-8")
