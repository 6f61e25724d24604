"""What the service does for a living. Each flow raises AssertionError, saying what did not come."""

import json
import time
from collections.abc import Callable

from tests.kit import books
from tests.kit.bus import Queue
from tests.kit.faults import PUT_EVENTS, START_EXECUTION
from tests.kit.merchant import new_id, payment
from tests.kit.refunding import Refunds
from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once, eventually

PATIENCE_S = 30
"""For what takes well under a second, or a second more in a fresh process; a busy machine may take many."""

Flow = Callable[[Deployment], None]

SWEPT_WITHIN_S = 60 + 10 + 5
"""The emulator looks every ten seconds whether a rule is due."""

FUNCTIONS = (
    *("InitiatePay", "GetOrder", "ListPayments", "CancelPayment", "Notify", "Inquiry", "Sweep", "PublishEvents"),
)

LOOKED = {"TaskSucceeded", "TaskFailed", "LambdaFunctionFailed", "TaskTimedOut"}

PAST, FUTURE = "2020-01-01T00:00:00.000Z", "2100-01-01T00:00:00.000Z"


def every_function_logs(here: Deployment) -> None:
    since_ms = int(time.time() * 1000)
    payment_request_id, _ = here.pay("logged", notify="lost")
    here.merchant.order(payment_request_id)
    here.merchant.cancel(payment_request_id)
    here.merchant.payments("logged")
    here.merchant.call("POST", "/notifications/payment", b"{}")
    look = json.dumps({"paymentRequestId": payment_request_id, "inquiry": 0})
    for function, event in (("Inquiry", look), ("Sweep", "{}")):
        # What they answer is for the other flows.
        here.aws("lambda").invoke(FunctionName=f"{here.description['stackName']}-{function}", Payload=event)
    silent = [function for function in FUNCTIONS if not _logged(here, function, since_ms)]
    assert not silent, f"no line of {', '.join(silent)}"


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
    events = eventually(
        lambda: [event["type"] for event in here.seen.history(payment_request_id) if event["type"] in LOOKED],
        "the first look",
        PATIENCE_S,
    )
    assert events[0] == "TaskSucceeded", f"the first look: {events[0]}"
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
    fault = {"op": START_EXECUTION, "match": payment_request_id, "error": "ThrottlingException"}
    with here.faults.injected(fault):
        here.merchant.pay(payment(payment_request_id))
    _overdue_at(here, payment_request_id, PAST)
    here.functions.invoke("Sweep")
    assert here.seen.execution(payment_request_id), "polling was not started"
    _taken_on(here, payment_request_id)


def the_sweep_has_an_order_polled_again_whose_execution_was_stopped(here: Deployment) -> None:
    with here.polling_at(1):
        payment_request_id, _ = here.pay("stopped", **books.NEVER)
        execution = here.seen.execution(payment_request_id)
        assert execution, "polling was not started"
        here.aws("stepfunctions").stop_execution(executionArn=execution["executionArn"])
        _overdue_at(here, payment_request_id, PAST)
        here.functions.invoke("Sweep")
    assert here.seen.execution(payment_request_id, 1), "no second round"


def the_sweep_leaves_an_order_that_somebody_looked_at_meanwhile(here: Deployment) -> None:
    def look_meanwhile() -> None:
        eventually(here.faults.used_up, "the sweep is about to start the polling", PATIENCE_S)
        _overdue_at(here, payment_request_id, FUTURE)

    with here.polling_at(1):
        payment_request_id, _ = here.pay("meanwhile", **books.NEVER)
        _overdue_at(here, payment_request_id, PAST)
        with here.faults.injected({"op": START_EXECUTION, "match": payment_request_id, "delay": 1}):
            at_once([lambda: here.functions.invoke("Sweep"), look_meanwhile])
    _taken_on(here, payment_request_id)


def what_happened_is_told(here: Deployment) -> None:
    payment_request_id, _ = here.pay("told", notify="lost")
    here.shop.heard(payment_request_id, within_s=PATIENCE_S)


def what_the_bus_refuses_is_kept(here: Deployment) -> None:
    letters = Queue(here.aws("sqs"), here.outputs["DeadLetterQueue"])
    with here.faults.injected({"op": PUT_EVENTS, "match": "refused-", "times": -1, "error": "Broken"}):
        payment_request_id, _ = here.pay("refused", notify="lost")
        # The only one is tried for 20 s before it is kept.
        eventually(lambda: letters.about(payment_request_id), "the letter", 20 + PATIENCE_S)


def the_sweep_runs_every_minute(here: Deployment) -> None:
    since_ms = int(time.time() * 1000)
    eventually(lambda: _logged(here, "Sweep", since_ms), "a run of the sweep", SWEPT_WITHIN_S, every_s=1)


def a_payment_is_given_back_and_the_refund_looked_up(here: Deployment) -> None:
    refunds = Refunds(here)
    payment_request_id = refunds.paid()
    refund, answer = refunds.ask(payment_request_id)
    assert (answer.status, answer.json["status"]) == (200, "SUCCESS"), answer.status
    assert refunds.get(payment_request_id, refund).status == 200
    listed = refunds.get(payment_request_id)
    assert (listed.status, len(listed.json["refunds"])) == (200, 1), listed.status


def a_refund_that_fails_frees_its_amount(here: Deployment) -> None:
    refunds = Refunds(here)
    _, answer = refunds.ask(refunds.paid(), refund_request_id=refunds.plan("refused"))
    assert (answer.status, answer.json["status"]) == (200, "FAIL"), answer.status


def a_refund_in_process_is_polled_for_and_settled(here: Deployment) -> None:
    refunds = Refunds(here)
    plan = {"refund": ["U"], "result": {"status": "SUCCESS"}, "notify": "lost"}
    refund, answer = refunds.ask(refunds.paid(), refund_request_id=refunds.plan(plan))
    assert answer.status == 202, answer.status
    assert refunds.settled(refund, PATIENCE_S)["settledBy"] == "inquiry"


def a_notification_settles_a_refund(here: Deployment) -> None:
    refunds = Refunds(here)
    plan = {"refund": ["U"], "result": {"status": "PROCESSING"}, "notify": "lost"}
    refund, _ = refunds.ask(refunds.paid(), refund_request_id=refunds.plan(plan))
    sent = refunds.notify(refund, resultStatus="S")
    assert sent["status"] == 200, sent["status"]
    assert refunds.settled(refund, PATIENCE_S)["settledBy"] == "notify"


def the_sweep_starts_the_polling_of_a_refund_that_nobody_started(here: Deployment) -> None:
    refunds = Refunds(here)
    refund = refunds.plan({"refund": ["U"], "result": {"status": "SUCCESS"}, "notify": "lost"})
    with here.faults.injected({"op": START_EXECUTION, "match": refund, "error": "ThrottlingException"}):
        refunds.ask(refunds.paid(), refund_request_id=refund)
    refunds.set_instant(refund, "overdueAt", PAST)
    here.functions.invoke("SweepRefunds")
    assert refunds.settled(refund, PATIENCE_S)["settledBy"] == "inquiry"


def what_was_refunded_in_the_portal_is_observed(here: Deployment) -> None:
    refunds = Refunds(here)
    payment_request_id = refunds.paid()
    refunds.portal(payment_request_id, "500")
    refunds.ask(payment_request_id, "1990")
    assert (here.seen.row(payment_request_id) or {}).get("unrefunded") == 1490, "not observed"


def what_was_refunded_before_the_payment_was_known_to_be_paid_is_observed(here: Deployment) -> None:
    with here.polling_at(1):  # the first look comes after both
        payment_request_id, _ = here.pay("refunded", pay=["U"], result={"status": "SUCCESS"}, notify="lost")
        for value in ("500", "400"):
            Refunds(here).portal(payment_request_id, value)
        assert here.seen.settled(payment_request_id, PATIENCE_S)["settledBy"] == "inquiry"
    eventually(
        lambda: (here.seen.row(payment_request_id) or {}).get("unrefunded") == 1090, "both are observed", PATIENCE_S
    )


FLOWS: list[Flow] = [
    every_function_logs,
    a_payment_is_settled_at_once,
    a_payment_asked_for_again_is_the_same,
    an_unknown_result_is_polled_for_and_settled,
    a_notification_settles_and_is_acknowledged,
    an_order_is_looked_up,
    the_orders_of_a_reference_are_listed,
    a_payment_is_cancelled,
    a_cancel_without_an_answer_is_gone_on_with,
    the_sweep_starts_the_polling_that_nobody_started,
    the_sweep_has_an_order_polled_again_whose_execution_was_stopped,
    the_sweep_leaves_an_order_that_somebody_looked_at_meanwhile,
    what_happened_is_told,
    what_the_bus_refuses_is_kept,
    a_payment_is_given_back_and_the_refund_looked_up,
    a_refund_that_fails_frees_its_amount,
    a_refund_in_process_is_polled_for_and_settled,
    a_notification_settles_a_refund,
    the_sweep_starts_the_polling_of_a_refund_that_nobody_started,
    what_was_refunded_in_the_portal_is_observed,
    what_was_refunded_before_the_payment_was_known_to_be_paid_is_observed,
]


def _logged(here: Deployment, function: str, since_ms: int) -> bool:
    group = f"/aws/lambda/{here.description['stackName']}-{function}"
    return bool(here.aws("logs").filter_log_events(logGroupName=group, startTime=since_ms, limit=1)["events"])


def _overdue_at(here: Deployment, payment_request_id: str, instant: str) -> None:
    """Change when the order is to be looked at."""
    here.aws("dynamodb").update_item(
        TableName=here.description["ordersTable"],
        Key={"paymentRequestId": {"S": payment_request_id}},
        UpdateExpression="SET overdueAt = :instant",
        ConditionExpression="attribute_exists(overdueAt)",
        ExpressionAttributeValues={":instant": {"S": instant}},
    )


def _taken_on(here: Deployment, payment_request_id: str) -> None:
    eventually(
        lambda: here.seen.lines("polling resumed", payment_request_id),
        "the sweep's line that the order is polled",
        1,
        show=lambda: [line.text for line in here.seen.lines("polling not resumed", payment_request_id)],
    )
