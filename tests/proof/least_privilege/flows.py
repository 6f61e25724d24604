"""What the service does for a living. Each flow raises AssertionError, saying what did not come.

A flow fails as soon as it can be seen to: at the first look of an execution, not when patience is at its end.
"""

import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.kit import books
from tests.kit.bus import Queue
from tests.kit.faults import PUT_EVENTS, START_EXECUTION
from tests.kit.links import Links
from tests.kit.merchant import new_id, payment
from tests.kit.refunding import Refunds
from tests.kit.stacks import Deployment
from tests.kit.template import FUNCTION_NAMES, FUNCTIONS
from tests.kit.waiting import at_once, eventually
from tests.rules.reconciliation.alipay_files import NEW, OLD, Transaction, csv_bytes, transactions

PATIENCE_S = 10
"""For what takes well under a second, or a second more in a fresh process; a busy machine may take many."""

Json = dict[str, Any]
Flow = Callable[[Deployment], None]

LOOKED = {"TaskSucceeded", "TaskFailed", "LambdaFunctionFailed", "TaskTimedOut"}

PAST, FUTURE = "2020-01-01T00:00:00.000Z", "2100-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Kind:
    """What is watched: where it is kept, by what key, who polls it and who sweeps it."""

    table: str
    key: str
    machine: str
    sweep: str


PAYMENTS = Kind("ordersTable", "paymentRequestId", "PollingStateMachine", "Sweep")
AGREEMENTS = Kind("agreementsTable", "agreementId", "AgreementStateMachine", "SweepAgreements")
REFUNDS = Kind("refundsTable", "refundRequestId", "RefundStateMachine", "SweepRefunds")


# --- Logs ----------------------------------------------------------------------------------------------------------


def every_function_logs(here: Deployment) -> None:
    silent = silent_functions(here)
    assert not silent, f"no line of {', '.join(sorted(silent))}"


def silent_functions(here: Deployment, within_s: float = PATIENCE_S) -> set[str]:
    """The functions that were called, each as the template has it called, and wrote no line."""
    since_ms = int(time.time() * 1000)
    for name, function in zip(FUNCTION_NAMES, FUNCTIONS.values(), strict=True):
        routes = [e["Properties"] for e in function.get("Events", {}).values() if e["Type"] == "Api"]
        for route in routes[:1]:
            path = route["Path"].replace("{", "nobody-").replace("}", "")
            here.merchant.call(route["Method"], path, b"{}" if route["Method"] == "POST" else None)
        if not routes:
            # What it answers is for the other flows.
            here.aws("lambda").invoke(FunctionName=f"{here.description['stackName']}-{name}", Payload=b'{"Records":[]}')
    silent = set(FUNCTION_NAMES)

    def heard() -> bool:
        silent.difference_update({name for name in silent if logged(here, name, since_ms)})
        return not silent

    try:
        eventually(heard, "a line of each", within_s, every_s=0.5)
    except AssertionError:
        return silent
    return set()


# --- Payments ------------------------------------------------------------------------------------------------------


def a_payment_is_settled_at_once(here: Deployment) -> None:
    _, answer = here.pay("paid", notify="lost")
    assert answer.status == 200, answer.status


def a_payment_asked_for_again_is_the_same(here: Deployment) -> None:
    payment_request_id, first = here.pay("again", notify="lost")
    again = here.merchant.pay(payment(payment_request_id))
    assert (again.status, again.text) == (200, first.text), again.status


def an_unknown_result_is_polled_for_and_settled(here: Deployment) -> None:
    payment_request_id, answer = here.pay("polled", pay=["U"], result={"status": "SUCCESS"}, notify="lost")
    assert answer.status == 202, answer.status
    assert here.seen.execution(payment_request_id), "polling was not started"
    _looked(here, PAYMENTS, payment_request_id)
    assert (here.seen.row(payment_request_id) or {}).get("settledBy") == "inquiry", "the first look settled nothing"
    assert here.seen.ended(payment_request_id, within_s=PATIENCE_S)["status"] == "SUCCEEDED"


def a_notification_settles_and_is_acknowledged(here: Deployment) -> None:
    payment_request_id, _ = here.pay("notified", **books.NEVER)
    sent = here.alipay.notify(payment_request_id, resultStatus="F", resultCode="USER_BALANCE_NOT_ENOUGH")
    assert sent["status"] == 200, sent["status"]
    assert here.seen.settled(payment_request_id, PATIENCE_S)["settledBy"] == "notify"


def an_order_is_looked_up(here: Deployment) -> None:
    payment_request_id, _ = here.pay("looked-up", notify="lost")
    answer = here.merchant.order(payment_request_id)
    assert answer.status == 200, answer.status


def the_orders_of_a_reference_are_listed(here: Deployment) -> None:
    reference = new_id("listed")
    order = payment()["order"] | {"referenceOrderId": reference}
    payment_request_id, _ = here.pay("listed", {"order": order}, notify="lost")
    answer = here.merchant.payments(reference)
    assert answer.status == 200, answer.status
    assert [found["paymentRequestId"] for found in answer.json["payments"]] == [payment_request_id]


def a_payment_is_cancelled(here: Deployment) -> None:
    payment_request_id, _ = here.pay("cancelled", **books.NEVER)
    answer = here.merchant.cancel(payment_request_id)
    assert (answer.status, answer.json["status"]) == (200, "CANCELLED"), answer.status


def a_cancel_without_an_answer_is_gone_on_with(here: Deployment) -> None:
    payment_request_id, _ = here.pay("unanswered", **books.NEVER, cancel=["U", "normal"])
    answer = here.merchant.cancel(payment_request_id)
    assert answer.status == 202, answer.status
    assert here.seen.execution(payment_request_id, 1), "polling was not started"
    assert here.seen.settled(payment_request_id, PATIENCE_S)["status"] == "CANCELLED"


def the_sweep_starts_the_polling_that_nobody_started(here: Deployment) -> None:
    payment_request_id = here.alipay.plan(new_id("not-started"), **books.NEVER)
    _sweep_starts(here, PAYMENTS, payment_request_id, lambda: here.merchant.pay(payment(payment_request_id)))


def the_sweep_has_an_order_polled_again_whose_execution_was_stopped(here: Deployment) -> None:
    with here.polling_at(1):
        payment_request_id, _ = here.pay("stopped", **books.NEVER)
        _sweep_starts_again(here, PAYMENTS, payment_request_id)


def the_sweep_leaves_an_order_that_somebody_looked_at_meanwhile(here: Deployment) -> None:
    with here.polling_at(1):
        payment_request_id, _ = here.pay("meanwhile", **books.NEVER)
        _sweep_leaves(here, PAYMENTS, payment_request_id)


# --- Events --------------------------------------------------------------------------------------------------------


def what_happened_to_a_payment_is_told(here: Deployment) -> None:
    payment_request_id, _ = here.pay("told", notify="lost")
    here.shop.heard(payment_request_id, within_s=PATIENCE_S)


def what_happened_to_an_agreement_is_told(here: Deployment) -> None:
    here.shop.heard(_linked_by_token(here), within_s=PATIENCE_S)


def what_happened_to_a_refund_is_told(here: Deployment) -> None:
    refund, _ = Refunds(here).ask(Refunds(here).paid())
    here.shop.heard(refund, within_s=PATIENCE_S)


def what_the_bus_refuses_is_kept(here: Deployment) -> None:
    letters = Queue(here.aws("sqs"), here.outputs["DeadLetterQueue"])
    payment_request_id = ""
    try:
        with here.faults.injected({"op": PUT_EVENTS, "match": "refused-", "times": -1, "error": "Broken"}):
            payment_request_id, _ = here.pay("refused", notify="lost")
            # The only one is tried for 20 s before it is kept.
            eventually(lambda: letters.about(payment_request_id), "the letter", 20 + 2 * PATIENCE_S)
    except AssertionError:
        here.shop.heard(payment_request_id)  # until then it holds up whatever comes after it
        raise


# --- Refunds -------------------------------------------------------------------------------------------------------


def a_payment_is_given_back(here: Deployment) -> None:
    refunds = Refunds(here)
    _, answer = refunds.ask(refunds.paid())
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer.status


def refunds_are_looked_up(here: Deployment) -> None:
    refunds = Refunds(here)
    payment_request_id = refunds.paid()
    refund, _ = refunds.ask(payment_request_id)
    assert refunds.get(payment_request_id, refund).status == 200, "the one"
    listed = refunds.get(payment_request_id)
    assert (listed.status, len(listed.json["refunds"])) == (200, 1), f"all of them: {listed.status}"


def a_refund_that_fails_frees_its_amount(here: Deployment) -> None:
    refunds = Refunds(here)
    _, answer = refunds.ask(refunds.paid(), refund_request_id=refunds.plan("refused"))
    assert (answer.status, answer.json["status"]) == (200, "FAIL"), answer.status


def a_refund_in_process_is_polled_for_and_settled(here: Deployment) -> None:
    refunds = Refunds(here)
    plan = {"refund": ["U"], "result": {"status": "SUCCESS"}, "notify": "lost"}
    refund, answer = refunds.ask(refunds.paid(), refund_request_id=refunds.plan(plan))
    assert answer.status == 202, answer.status
    _looked(here, REFUNDS, refund)
    assert (refunds.row(refund) or {}).get("settledBy") == "inquiry", "the first look settled nothing"


def a_notification_settles_a_refund(here: Deployment) -> None:
    refunds = Refunds(here)
    refund, _ = refunds.ask(refunds.paid(), refund_request_id=refunds.plan("never"))
    sent = refunds.notify(refund, resultStatus="S")
    assert sent["status"] == 200, sent["status"]
    assert refunds.settled(refund, PATIENCE_S)["settledBy"] == "notify"


def what_was_refunded_in_the_portal_is_observed(here: Deployment) -> None:
    refunds = Refunds(here)
    payment_request_id = refunds.paid()
    refunds.portal(payment_request_id, "500")
    refunds.ask(payment_request_id, "1990")
    assert (here.seen.row(payment_request_id) or {}).get("unrefunded") == 1490, "not observed"


def what_was_refunded_before_the_payment_was_known_to_be_paid_is_observed(here: Deployment) -> None:
    with here.polling_at(0.2):  # the first look comes after both
        payment_request_id, _ = here.pay("refunded", pay=["U"], result={"status": "SUCCESS"}, notify="lost")
        for value in ("500", "400"):
            Refunds(here).portal(payment_request_id, value)
        _looked(here, PAYMENTS, payment_request_id)
    assert (here.seen.row(payment_request_id) or {}).get("unrefunded") == 1090, "not both are observed"


def the_sweep_starts_the_polling_of_a_refund_that_nobody_started(here: Deployment) -> None:
    refunds = Refunds(here)
    payment_request_id, refund = refunds.paid(), refunds.plan("never")
    _sweep_starts(here, REFUNDS, refund, lambda: refunds.ask(payment_request_id, refund_request_id=refund))


def the_sweep_has_a_refund_polled_again_whose_execution_was_stopped(here: Deployment) -> None:
    refunds = Refunds(here)
    with here.polling_at(1):
        refund, _ = refunds.ask(refunds.paid(), refund_request_id=refunds.plan("never"))
        _sweep_starts_again(here, REFUNDS, refund)


def the_sweep_leaves_a_refund_that_somebody_looked_at_meanwhile(here: Deployment) -> None:
    refunds = Refunds(here)
    with here.polling_at(1):
        refund, _ = refunds.ask(refunds.paid(), refund_request_id=refunds.plan("never"))
        _sweep_leaves(here, REFUNDS, refund)


# --- Agreements ----------------------------------------------------------------------------------------------------


def a_qr_code_is_shown(here: Deployment) -> None:
    links = Links(here)
    agreement_id, answer = links.ask()
    assert answer.status == 201, answer.status
    _, again = links.ask(agreement_id)
    assert (again.status, again.json["qrCode"]) == (200, answer.json["qrCode"]), f"asked again: {again.status}"


def an_agreement_is_looked_up(here: Deployment) -> None:
    links = Links(here)
    agreement_id, _ = links.ask()
    answer = links.get(agreement_id)
    assert answer.status == 200, answer.status


def a_wallet_is_linked_by_its_token(here: Deployment) -> None:
    _linked_by_token(here)


def a_wallet_is_linked_by_a_code(here: Deployment) -> None:
    _linked_by_code(here)


def the_first_wallet_is_linked(here: Deployment) -> None:
    """Nothing was sealed before: the exchange makes the table's data key."""
    here.aws("dynamodb").delete_item(
        TableName=here.description[AGREEMENTS.table], Key={AGREEMENTS.key: {"S": "vault.key"}}
    )
    here.functions.kill("ApplyToken")
    _linked_by_code(here)


def a_payment_is_made_by_agreement(here: Deployment) -> None:
    _, answer = Links(here).pay(_linked_by_token(here))
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer.status


def a_dead_token_ends_its_agreement(here: Deployment) -> None:
    links = Links(here)
    agreement_id = _linked_by_token(here)
    links.buyer(agreement_id, "cancel")
    _, answer = links.pay(agreement_id)
    assert (answer.status, answer.json["status"]) == (200, "FAIL"), answer.status
    assert (links.row(agreement_id) or {}).get("unlinkedBy") == "pay", "the agreement was not ended"


def a_buyer_ends_an_agreement(here: Deployment) -> None:
    links = Links(here)
    agreement_id = _linked_by_token(here)
    links.buyer(agreement_id, "cancel")
    sent = links.notify(agreement_id, authorizationNotifyType="TOKEN_CANCELED")
    assert sent["status"] == 200, sent["status"]
    assert (links.row(agreement_id) or {}).get("unlinkedBy") == "buyer", "the agreement was not ended"


def an_agreement_is_revoked(here: Deployment) -> None:
    links = Links(here)
    agreement_id = _linked_by_token(here)
    answer = links.revoke(agreement_id)
    assert answer.status == 202, answer.status
    assert _execution(here, AGREEMENTS, agreement_id, 1), "revoking was not started"
    _came_to(here, agreement_id, "UNLINKED", 1)


def a_token_is_refreshed(here: Deployment) -> None:
    links = Links(here)
    agreement_id = _linked_by_code(here, tokenLives=864_060)
    before = links.row(agreement_id) or {}
    links.set_instant(agreement_id, "dueAt", PAST)
    here.functions.invoke("RefreshTokens")
    assert links.at_alipay(agreement_id)["refreshes"] == 1, "not refreshed"
    assert (links.row(agreement_id) or {})["accessToken"] != before["accessToken"], "the new token was not kept"


def the_sweep_starts_an_exchange_that_nobody_started(here: Deployment) -> None:
    links = Links(here)
    agreement_id = _approved(here)
    _sweep_starts(here, AGREEMENTS, agreement_id, lambda: links.notify(agreement_id))


def the_sweep_has_an_agreement_revoked_again_whose_execution_was_stopped(here: Deployment) -> None:
    agreement_id = _linked_by_token(here, revoke=["U"] * 20)
    with here.polling_at(1):
        Links(here).revoke(agreement_id)
        _looked(here, AGREEMENTS, agreement_id, 1)
        _sweep_starts_again(here, AGREEMENTS, agreement_id, 1)


def the_sweep_leaves_an_agreement_that_somebody_looked_at_meanwhile(here: Deployment) -> None:
    agreement_id = _linked_by_token(here, revoke=["U"] * 20)
    with here.polling_at(1):
        Links(here).revoke(agreement_id)
        _looked(here, AGREEMENTS, agreement_id, 1)
        _sweep_leaves(here, AGREEMENTS, agreement_id)


# --- Reconciliation ------------------------------------------------------------------------------------------------


def a_report_is_reconciled(here: Deployment) -> None:
    """A payment and a refund that are INIT here and decided there are inquired, a portal refund is booked."""
    refunds = Refunds(here)
    open_plan: Json = {"result": {"status": "SUCCESS"}, "notify": "lost"}
    with here.polling_at(100):  # a look in time would settle them
        paid, _ = here.pay("reported", pay=["U"], **open_plan)
        of_refund = refunds.paid()
        refund, _ = refunds.ask(of_refund, refund_request_id=refunds.plan({"refund": ["U"], **open_plan}))
    by_portal = refunds.paid()
    booked = refunds.portal(by_portal, "500")
    at_alipay = {one: (here.alipay.payment(one) or {})["paymentId"] for one in (paid, of_refund, by_portal)}
    refund_id = (refunds.at_alipay(refund) or {})["refundId"]
    lines = [
        _line("PAYMENT", paid, at_alipay[paid], "19.90"),
        _line("REFUND", of_refund, at_alipay[of_refund], "9.90", refund, refund_id),
        _line("REFUND", by_portal, at_alipay[by_portal], "5.00", booked["refundRequestId"], booked["refundId"]),
    ]
    name, summary = _reconciled(here, NEW, lines)
    assert summary["status"] == "DIFFERS", summary["status"]
    here.shop.heard(name, within_s=PATIENCE_S)
    assert (here.seen.row(by_portal) or {}).get("unrefunded") == 1490, "the portal's refund is not booked"
    assert here.seen.settled(paid, PATIENCE_S)["settledBy"] == "inquiry"
    assert refunds.settled(refund, PATIENCE_S)["settledBy"] == "inquiry"


def a_report_that_names_payments_by_its_own_ids_is_reconciled(here: Deployment) -> None:
    """An older file's refund carries its payment's request id."""
    refunds = Refunds(here)
    paid = refunds.paid()
    refund, _ = refunds.ask(paid)
    payment_id = (here.alipay.payment(paid) or {})["paymentId"]
    refund_id = (refunds.at_alipay(refund) or {})["refundId"]
    _, summary = _reconciled(here, OLD, [_line("REFUND", paid, payment_id, "9.90", paid, refund_id)])
    assert summary["status"] == "AGREES", summary["status"]


def a_report_takes_the_place_of_another_of_its_name(here: Deployment) -> None:
    paid = Refunds(here).paid()
    line = _line("PAYMENT", paid, (here.alipay.payment(paid) or {})["paymentId"], "19.90")
    name, first = _reconciled(here, NEW, [line])
    _, second = _reconciled(here, OLD, [line], name)
    assert second["delivery"] != first["delivery"], "the other one was not reconciled"


def what_a_report_leaves_to_do_is_handed_on(here: Deployment) -> None:
    """As the machine has it done after its first 500; the first step again does no harm."""
    paid = Refunds(here).paid()
    line = _line("PAYMENT", paid, (here.alipay.payment(paid) or {})["paymentId"], "19.90")
    _, summary = _reconciled(here, NEW, [line])
    rest = f"rest/{summary['delivery']}/1"
    _reconciling(here, rest, lambda: here.functions.invoke("Reconcile", {"next": rest}))


def a_day_is_looked_over_in_the_evening(here: Deployment) -> None:
    """A payment and a refund of that day, which stand in no file, are missing there."""
    refunds = Refunds(here)
    payment_request_id = refunds.paid()
    refund, _ = refunds.ask(payment_request_id)
    late_day = (datetime.now(timezone(timedelta(hours=8))) - timedelta(days=2)).date().isoformat()
    s3, bucket = here.aws("s3"), here.outputs["ReportsBucket"]
    s3.put_object(Bucket=bucket, Key=f"state/{late_day}/0-lines.csv.gz", Body=gzip.compress(b""))
    waiting = s3.list_objects_v2(Bucket=bucket, Prefix="inbox/").get("Contents", [])
    done = [f"results/day_{late_day}/summary.json", f"state/files/day_{late_day}.json"]
    for key in done + [file["Key"] for file in waiting]:
        s3.delete_object(Bucket=bucket, Key=key)
    for kind, key in ((PAYMENTS, payment_request_id), (REFUNDS, refund)):
        shard = _row(here, kind, key)["settledDay"]["S"].partition("#")[2]
        _set(here, kind, key, "settledDay", f"{late_day}#{shard}")
    try:
        here.functions.invoke("Reconcile", {"source": "aws.events"})
    except AssertionError:
        here.functions.kill("Reconcile")  # the next run would go on with the comparison that this one left behind
        raise
    found = s3.get_object(Bucket=bucket, Key=f"results/day_{late_day}/differences.csv")["Body"].read().decode()
    assert payment_request_id in found, "the payment is not missed"
    assert refund in found, "the refund is not missed"


def _line(kind: str, payment_request_id: str, payment_id: str, value: str, *refund: str) -> Transaction:
    """One line of a report, of today; of a refund, by its request id and its id."""
    now = datetime.now(timezone(timedelta(hours=8))).isoformat(timespec="seconds")
    request_id, refund_id = refund or ("", "")
    return Transaction(
        *(kind, payment_request_id, payment_id, value, "HKD", now), refund_request_id=request_id, refund_id=refund_id
    )


def _reconciled(here: Deployment, edition: str, lines: list[Transaction], name: str = "") -> tuple[str, Json]:
    """A file of these lines is put into the inbox: its name, and what came of it."""
    s3, bucket = here.aws("s3"), here.outputs["ReportsBucket"]
    name = name or f"{new_id('transactionItems')}_000.csv"
    file = csv_bytes(transactions(edition, lines))
    _reconciling(here, name, lambda: s3.put_object(Bucket=bucket, Key=f"inbox/{name}", Body=file))
    return name, json.loads(s3.get_object(Bucket=bucket, Key=f"results/{name}/summary.json")["Body"].read())


def _reconciling(here: Deployment, about: str, begin: Callable[[], Any]) -> None:
    """The machine is started for this by what begins it, and its function does not fail."""
    states, machine = here.aws("stepfunctions"), _machine(here, "ReconciliationStateMachine")

    def executions() -> set[str]:
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=machine)
        return {str(one["executionArn"]) for page in pages for one in page["executions"]}

    def started() -> str | None:
        of_this = (
            arn for arn in executions() - before if about in states.describe_execution(executionArn=arn)["input"]
        )
        return next(of_this, None)

    before = executions()
    begin()
    execution = eventually(started, "the machine was started", PATIENCE_S)
    first = eventually(lambda: _looks(here, execution), "its function has run", 3 * PATIENCE_S)[0]
    if first != "TaskSucceeded":
        states.stop_execution(executionArn=execution)  # it would try again
    assert first == "TaskSucceeded", f"its function has run: {first}"


# --- Which concern whom --------------------------------------------------------------------------------------------

FLOWS: dict[Flow, tuple[str, ...]] = {
    a_payment_is_settled_at_once: ("InitiatePay",),
    a_payment_asked_for_again_is_the_same: ("InitiatePay",),
    an_unknown_result_is_polled_for_and_settled: ("Inquiry", "Polling", "InitiatePay"),
    what_was_refunded_before_the_payment_was_known_to_be_paid_is_observed: ("Inquiry",),
    a_payment_is_made_by_agreement: ("InitiatePay",),
    a_dead_token_ends_its_agreement: ("InitiatePay",),
    a_notification_settles_and_is_acknowledged: ("Notify",),
    an_order_is_looked_up: ("GetOrder",),
    the_orders_of_a_reference_are_listed: ("ListPayments",),
    a_payment_is_cancelled: ("CancelPayment",),
    a_cancel_without_an_answer_is_gone_on_with: ("CancelPayment",),
    the_sweep_starts_the_polling_that_nobody_started: ("Sweep",),
    the_sweep_has_an_order_polled_again_whose_execution_was_stopped: ("Sweep",),
    the_sweep_leaves_an_order_that_somebody_looked_at_meanwhile: ("Sweep",),
    a_payment_is_given_back: ("Refund",),
    a_refund_that_fails_frees_its_amount: ("Refund",),
    a_refund_in_process_is_polled_for_and_settled: ("InquireRefund", "RefundPolling", "Refund"),
    what_was_refunded_in_the_portal_is_observed: ("Refund",),
    refunds_are_looked_up: ("GetRefund",),
    a_notification_settles_a_refund: ("NotifyRefund",),
    the_sweep_starts_the_polling_of_a_refund_that_nobody_started: ("SweepRefunds",),
    the_sweep_has_a_refund_polled_again_whose_execution_was_stopped: ("SweepRefunds",),
    the_sweep_leaves_a_refund_that_somebody_looked_at_meanwhile: ("SweepRefunds",),
    a_qr_code_is_shown: ("LinkWallet",),
    an_agreement_is_looked_up: ("GetAgreement",),
    a_wallet_is_linked_by_its_token: ("NotifyAuthorization",),
    a_wallet_is_linked_by_a_code: ("NotifyAuthorization", "ApplyToken", "AgreementPolling"),
    a_buyer_ends_an_agreement: ("NotifyAuthorization",),
    an_agreement_is_revoked: ("UnlinkWallet", "ApplyToken"),
    the_first_wallet_is_linked: ("ApplyToken",),
    a_token_is_refreshed: ("RefreshTokens",),
    the_sweep_starts_an_exchange_that_nobody_started: ("SweepAgreements",),
    the_sweep_has_an_agreement_revoked_again_whose_execution_was_stopped: ("SweepAgreements",),
    the_sweep_leaves_an_agreement_that_somebody_looked_at_meanwhile: ("SweepAgreements",),
    a_report_that_names_payments_by_its_own_ids_is_reconciled: ("Reconcile",),
    a_report_is_reconciled: ("Reconcile", "Reconciliation", "ReconciliationStateMachineReportArrived"),
    a_report_takes_the_place_of_another_of_its_name: ("Reconcile",),
    what_a_report_leaves_to_do_is_handed_on: ("Reconcile",),
    a_day_is_looked_over_in_the_evening: ("Reconcile",),
    what_happened_to_a_payment_is_told: ("PublishEvents",),
    what_happened_to_an_agreement_is_told: ("PublishEvents",),
    what_happened_to_a_refund_is_told: ("PublishEvents",),
    what_the_bus_refuses_is_kept: ("PublishEvents",),
    every_function_logs: FUNCTION_NAMES,
}
"""Whose roles each flow is about: a permission of theirs is tried with it. First those that fail the soonest."""


def flows_of(name: str) -> list[Flow]:
    """The flows that concern this role."""
    return [flow for flow, roles in FLOWS.items() if name in roles]


# --- What flows share ----------------------------------------------------------------------------------------------


def logged(here: Deployment, function: str, since_ms: int) -> bool:
    """Whether the function wrote a line since."""
    group = f"/aws/lambda/{here.description['stackName']}-{function}"
    return bool(here.aws("logs").filter_log_events(logGroupName=group, startTime=since_ms, limit=1)["events"])


def _approved(here: Deployment, **plan: Any) -> str:
    """An agreement that the buyer has approved, of which Alipay tells nothing by itself."""
    links = Links(here)
    agreement_id, answer = links.ask(plan=links.plan(new_id("proof"), notify="lost", **plan))
    assert answer.status == 201, answer.status
    links.buyer(agreement_id, "approve")
    return agreement_id


def _linked_by_token(here: Deployment, **plan: Any) -> str:
    links = Links(here)
    agreement_id = _approved(here, announces=["TOKEN_CREATED"], **plan)
    sent = links.notify(agreement_id, authorizationNotifyType="TOKEN_CREATED")
    assert sent["status"] == 200, f"the token was told: {sent['status']}"
    assert (links.row(agreement_id) or {})["status"] == "LINKED", "not LINKED"
    return agreement_id


def _linked_by_code(here: Deployment, **plan: Any) -> str:
    agreement_id = _approved(here, **plan)
    with here.polling_at(0.2):  # the execution looks for the code while it is stored
        sent = Links(here).notify(agreement_id)
        assert sent["status"] == 200, f"the code was told: {sent['status']}"
        assert _execution(here, AGREEMENTS, agreement_id), "the exchange was not started"
        _came_to(here, agreement_id, "LINKED")
    return agreement_id


LOOKS_MAX = 7
"""The first five may come before the code is stored."""


def _came_to(here: Deployment, agreement_id: str, status: str, polling_round: int = 0) -> None:
    """The agreement gets there within the first looks."""
    links, execution = Links(here), _execution(here, AGREEMENTS, agreement_id, polling_round) or {}

    def seen() -> Json | None:
        looks = _looks(here, execution["executionArn"])
        row = links.row(agreement_id) or {}
        there = row["status"] == status
        return row if there or {*looks} - {"TaskSucceeded"} or len(looks) >= LOOKS_MAX else None

    assert eventually(seen, f"{agreement_id} is looked at", PATIENCE_S)["status"] == status, f"not {status}"


def _machine(here: Deployment, name: str) -> str:
    """The ARN of the state machine that the template calls so."""
    found = here.aws("cloudformation").describe_stack_resources(StackName=here.description["stackName"])
    return next(str(r["PhysicalResourceId"]) for r in found["StackResources"] if r["LogicalResourceId"] == name)


def _execution(here: Deployment, kind: Kind, key: str, polling_round: int = 0) -> Json | None:
    """The execution that polls in this round."""
    machine = _machine(here, kind.machine)
    states = here.aws("stepfunctions")
    try:
        found: Json = states.describe_execution(
            executionArn=f"{machine.replace(':stateMachine:', ':execution:')}:{key}-{polling_round}"
        )
    except states.exceptions.ExecutionDoesNotExist:
        return None
    return found


def _looks(here: Deployment, execution_arn: str) -> list[str]:
    """What became of each look of an execution."""
    history = here.aws("stepfunctions").get_execution_history(executionArn=execution_arn)["events"]
    return [event["type"] for event in history if event["type"] in LOOKED]


def _looked(here: Deployment, kind: Kind, key: str, polling_round: int = 0) -> None:
    """The execution is there, and its first look does not fail."""
    execution = _execution(here, kind, key, polling_round)
    assert execution, "polling was not started"
    first = eventually(lambda: _looks(here, execution["executionArn"]), "the first look", 3 * PATIENCE_S)[0]
    assert first == "TaskSucceeded", f"the first look: {first}"


def _row(here: Deployment, kind: Kind, key: str) -> Json:
    found: Json = here.aws("dynamodb").get_item(
        TableName=here.description[kind.table], Key={kind.key: {"S": key}}, ConsistentRead=True
    )["Item"]
    return found


def _set(here: Deployment, kind: Kind, key: str, name: str, value: str) -> None:
    """Change what a row says already."""
    here.aws("dynamodb").update_item(
        TableName=here.description[kind.table],
        Key={kind.key: {"S": key}},
        UpdateExpression="SET #name = :value",
        ConditionExpression="attribute_exists(#name)",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": {"S": value}},
    )


def _sweep_starts(here: Deployment, kind: Kind, key: str, ask: Callable[[], Any]) -> None:
    """What was asked for while nothing could be started is looked after once it is overdue."""
    with here.faults.injected({"op": START_EXECUTION, "match": key, "error": "Broken", "times": -1}):
        ask()
    assert not _execution(here, kind, key), "it was started already"
    _set(here, kind, key, "overdueAt", PAST)
    here.functions.invoke(kind.sweep)
    assert _execution(here, kind, key), "it was not started"
    _taken_on(here, kind, key)


def _sweep_starts_again(here: Deployment, kind: Kind, key: str, polling_round: int = 0) -> None:
    """What is polled by an execution that was stopped is polled in another round."""
    execution = _execution(here, kind, key, polling_round)
    assert execution, "polling was not started"
    here.aws("stepfunctions").stop_execution(executionArn=execution["executionArn"])
    _set(here, kind, key, "overdueAt", PAST)
    here.functions.invoke(kind.sweep)
    assert _execution(here, kind, key, polling_round + 1), "no other round"


def _sweep_leaves(here: Deployment, kind: Kind, key: str) -> None:
    """What somebody looks at while the sweep starts its polling stays as that look left it."""

    def look_meanwhile() -> None:
        eventually(here.faults.used_up, "the sweep is about to start the polling", PATIENCE_S)
        _set(here, kind, key, "overdueAt", FUTURE)

    _set(here, kind, key, "overdueAt", PAST)
    with here.faults.injected({"op": START_EXECUTION, "match": key, "delay": 1}):
        at_once([lambda: here.functions.invoke(kind.sweep), look_meanwhile])
    _taken_on(here, kind, key)


def _taken_on(here: Deployment, kind: Kind, key: str) -> None:
    def said(message: str) -> list[str]:
        return [line.text for line in here.seen.lines(message) if line.fields.get(kind.key) == key]

    resumed = eventually(
        lambda: said("polling resumed") or said("polling not resumed"), "the sweep's line about it", PATIENCE_S
    )
    assert "not resumed" not in resumed[0], "the sweep could not note it"
