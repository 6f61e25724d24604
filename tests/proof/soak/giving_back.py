"""The same backend as it gives money back, with the same impatience."""

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.kit.stacks import Deployment
from tests.kit.waiting import at_once

from .books import Asked
from .fates import Fate, RefundFate
from .impatience import Impatient

Json = dict[str, Any]


class GivingBack(Impatient):
    """Asks for each refund as its fate says. In `asked` they stand by refundRequestId."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment, "refund caller")

    def ask(self, fate: Fate) -> None:
        """Plan a payment's refunds, and ask for them at once or one after the other."""
        for refund in fate.refunds:
            self._deployment.alipay.plan_refund(refund.refund_request_id, **refund.plan)
            self.asked[refund.refund_request_id] = Asked(refund.payment_request_id, refund.amount, [])
        calls: list[Callable[[], None]] = [partial(self._ask, refund) for refund in fate.refunds]
        at_once(calls, None if fate.refunds_at_once else 1)

    def _ask(self, fate: RefundFate) -> None:
        asked = self.asked[fate.refund_request_id]
        answered = self.until_answered(fate, asked, _path(fate), _request(fate))
        if fate.looks_up and answered and any(answer.status in (200, 202) for answer in asked.answers):
            self.look_up(asked, f"{_path(fate)}/{fate.refund_request_id}")

    def ask_again(self, fate: RefundFate) -> None:
        """The same request once more, by a patient caller."""
        self.once_more(fate, self.asked[fate.refund_request_id], _path(fate), _request(fate))


def _path(fate: RefundFate) -> str:
    return f"/payments/{fate.payment_request_id}/refunds"


def _request(fate: RefundFate) -> Json:
    return {
        "refundRequestId": fate.refund_request_id,
        "refundAmount": fate.amount,
        "refundReason": "Vorstellung entfällt 場次取消",
    }
