"""One refund of the payment in `samples`, and what Alipay says about it."""

from typing import Any

from autodebit.alipay.amount import Amount
from autodebit.refund.refund import Refund, Status

from .samples import ID, NOW, PAYMENT_ID

Json = dict[str, Any]

REFUND_REQUEST_ID = "ref-20261125-000001"
REFUND_ID = "202611251940108001001888A0000000001"
REFUND_TIME = "2026-11-25T18:00:01+08:00"


def refund(**changes: Any) -> Refund:
    """A refund that is INIT; `changes` replace its fields."""
    fields: Json = {
        "refund_request_id": REFUND_REQUEST_ID,
        "payment_request_id": ID,
        "status": Status.INIT,
        "amount": Amount("HKD", "990"),
        "created_at": NOW,
        "body": '{"refundRequestId":"ref-20261125-000001"}',
        "attempt": "attempt",
        "attempted_at": NOW,
    }
    return Refund(**fields | changes)


def refund_request(**changes: Any) -> Json:
    """The merchant's request with nothing optional."""
    return {"refundRequestId": REFUND_REQUEST_ID, "refundAmount": {"currency": "HKD", "value": "990"}} | changes


def given_back(**changes: Any) -> Json:
    """What refund, inquiryRefund and notifyRefund say of a success, all in one: each reads what is its own."""
    return {
        "notifyType": "REFUND_RESULT",
        "result": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success."},
        "refundStatus": "SUCCESS",
        "refundRequestId": REFUND_REQUEST_ID,
        "refundId": REFUND_ID,
        "paymentId": PAYMENT_ID,
        "refundAmount": {"value": "990", "currency": "HKD"},
        "refundTime": REFUND_TIME,
    } | changes


def refused(code: str, status: str = "F") -> Json:
    """An answer that carries nothing but its result."""
    return {"result": {"resultStatus": status, "resultCode": code, "resultMessage": "text"}}


def transaction(**changes: Any) -> Json:
    """An entry of `transactions` in the answer of inquiryPayment: a refund made in the portal."""
    return {
        "transactionType": "REFUND",
        "transactionId": "portal-refund-id",
        "transactionRequestId": "portal-1",
        "transactionAmount": {"currency": "HKD", "value": "500"},
        "transactionStatus": "SUCCESS",
        "transactionResult": {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success."},
    } | changes
