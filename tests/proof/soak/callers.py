"""The merchant's backend as it is in a bad hour: it pays, looks up, and gives back what it was told is paid."""

import time
from typing import Any

from tests.kit.merchant import payment
from tests.kit.stacks import Deployment

from .books import Asked
from .fates import Fate
from .giving_back import GivingBack
from .impatience import Impatient

Json = dict[str, Any]

REFUSED_S = 0.4

LOOKS, LOOK_EVERY_S = 4, 0.3
"""So often who wants to give back looks whether it is paid; who is not told so leaves it until the faults are over."""


class Callers(Impatient):
    """Asks for each payment as its fate says, and for its refunds through `giving_back`."""

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment, "caller")
        self.giving_back = GivingBack(deployment)
        self.done = 0

    def ask(self, fate: Fate) -> None:
        """Plan the payment, ask for it until an answer says what became of it, perhaps look it up, or give it back."""
        key = fate.payment_request_id
        self._deployment.alipay.plan(key, **fate.plan)
        asked = self.asked[key] = Asked(key, fate.amount, [])
        if fate.refused:
            self._deployment.alipay.refuse(REFUSED_S)
        answered = self.until_answered(fate, asked, "/payments", _request(fate))
        if fate.looks_up and answered:
            self.look_up(asked, f"/payments/{key}")
        if fate.refunds and answered:
            for _ in range(LOOKS):
                if self.give_back(fate):
                    break
                time.sleep(LOOK_EVERY_S)
        with self._lock:
            self.done += 1

    def ask_again(self, fate: Fate) -> None:
        """The same request once more, by a patient caller."""
        self.once_more(fate, self.asked[fate.payment_request_id], "/payments", _request(fate))

    def give_back(self, fate: Fate) -> bool:
        """Have what is to be given back given back, if the caller is told that it is paid; whether it was."""
        asked = self.asked[fate.payment_request_id]
        if not _told_success(asked):
            self.look_up(asked, f"/payments/{fate.payment_request_id}")
        if not _told_success(asked):
            return False
        self.giving_back.ask(fate)
        return True


def _told_success(asked: Asked) -> bool:
    return any(answer.shown.get("status") == "SUCCESS" for answer in asked.answers)


def _request(fate: Fate) -> Json:
    return payment(
        fate.payment_request_id,
        paymentAmount=fate.amount,
        order={
            "referenceOrderId": fate.payment_request_id,
            "orderDescription": "Monthly cinema pass 電影月票",
            "orderAmount": fate.amount,
        },
    )
