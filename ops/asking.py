"""Asking the deployed functions to act: inquire, poll, cancel. What comes of it, they decide by Alipay's word."""

import json
from typing import TYPE_CHECKING, Any

from ops.stack import OpsFailed, Stack, client

if TYPE_CHECKING:
    from autodebit.payment.order import Order
    from autodebit.refund.refund import Refund

ROUNDS_MAX = 9
"""Executions that a person may add to one polling round."""

PAST_THE_SCHEDULE = 1000
"""The place of a look at a row whose schedule is spent: it leaves the row spent. Another look is told the first place,
after which a look is soon due: if no execution makes it, the sweep starts one."""

TIMEOUT_S = 35
"""API Gateway hangs up after 29 s."""


def inquire(stack: Stack, row: "Order | Refund") -> None:
    """Have Alipay asked now. What it answers is stored as the polling would have it. Raises OpsFailed."""
    from autodebit.payment.order import Order

    _may_be_asked(row)
    function, name = ("Inquiry", "paymentRequestId") if isinstance(row, Order) else ("InquireRefund", "refundRequestId")
    stack.invoke(function, {name: row.key, "inquiry": PAST_THE_SCHEDULE if row.is_spent else 0})


def poll(stack: Stack, row: "Order | Refund") -> bool:
    """Have the row polled through its schedule once more, from now on. False: it is being polled. Raises OpsFailed."""
    from autodebit.payment.order import Order
    from autodebit.polling import execution_name

    _may_be_asked(row)
    is_order = isinstance(row, Order)
    machine = stack.polling_machine if is_order else stack.refund_machine
    name = execution_name(row.key, row.polling_round)
    message: dict[str, Any] = {"paymentRequestId" if is_order else "refundRequestId": row.key, "inquiry": 0}
    message |= {"round": row.polling_round} if is_order else {}
    states = client("stepfunctions")
    # A dot, which no id has: the names of two rows' executions never meet.
    for attempt in (name, *(f"{name}.{number}" for number in range(1, ROUNDS_MAX + 1))):
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{attempt}"
        try:
            if states.describe_execution(executionArn=arn)["status"] == "RUNNING":
                return False
        except states.exceptions.ExecutionDoesNotExist:
            states.start_execution(
                stateMachineArn=machine, name=attempt, input=json.dumps(message | {"waitSeconds": 1})
            )
            return True
    raise OpsFailed(f"this round was polled {ROUNDS_MAX} times more already; `ops inquire` asks once")


def cancel(stack: Stack, order: "Order") -> None:
    """POST /payments/{id}/cancel, signed with the operator's credentials. Raises OpsFailed, with the problem."""
    import boto3
    import requests
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    session = boto3.Session()
    request = AWSRequest("POST", f"{stack.outputs['ApiUrl']}/payments/{order.key}/cancel", data=b"{}")
    request.headers["Content-Type"] = "application/json"
    SigV4Auth(session.get_credentials(), "execute-api", session.region_name).add_auth(request)
    try:
        answer = requests.post(request.url, data=b"{}", headers=dict(request.headers), timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise OpsFailed(f"no answer from the API ({type(error).__name__}): look again with `ops show`") from None
    if answer.status_code not in (200, 202):
        raise OpsFailed(f"HTTP {answer.status_code}: {_detail(answer.text)}")


def _detail(text: str) -> str:
    try:
        problem = json.loads(text)
    except ValueError:
        return "no problem document"
    return str(problem.get("detail") or problem.get("message") or problem.get("title"))


def _may_be_asked(row: "Order | Refund") -> None:
    if not row.is_init:
        raise OpsFailed(f"{row.key} is {row.status.value}: it has its result, and no answer would change it")
    if row.never_sent:
        raise OpsFailed(f"nothing of {row.key} ever left: there is nothing to ask for")
