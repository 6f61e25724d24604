"""What can go wrong, as a tree; each leaf says what the caller may do now.

AutodebitError
├── RequestInvalid            400  correct the named fields and send again
├── PaymentConflict           409  this paymentRequestId stands for another payment: use a new one
├── OrderNotFound             404
├── NotificationRejected
│   ├── SignatureInvalid      401  missing, garbled, of an unknown key, of another client: it fails closed
│   ├── NotificationMalformed 400
│   ├── UnknownOrder          404
│   └── AmountMismatch        409
├── CredentialsUnavailable    the secret cannot be read, or does not hold usable keys
└── GatewayError              a call to Alipay that brought no authentic answer
    ├── NotSent               no byte of the message left this machine: the same call may come again
    └── OutcomeUnknown        it may have left: nothing may be concluded
        └── AnswerRefused     something answered, but not provably Alipay
"""

from dataclasses import dataclass


class AutodebitError(Exception):
    """The root; anything else that is raised is a defect or a passing fault of AWS."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field at fault: its path (`order.goods[0].goodsName`) and what to do about it. Never its value."""

    field: str
    detail: str


class RequestInvalid(AutodebitError):
    """The request is malformed; `errors` names every field at fault at once."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(", ".join(error.field for error in errors))
        self.errors = errors


class PaymentConflict(AutodebitError):
    """This paymentRequestId already stands for a different payment."""


class OrderNotFound(AutodebitError):
    """No order has this paymentRequestId."""


class NotificationRejected(AutodebitError):
    """A notification that must not change anything."""


class SignatureInvalid(NotificationRejected):
    """Not provably from Alipay and to us."""


class NotificationMalformed(NotificationRejected):
    """Authentic, but not a payment notification that can be read."""


class UnknownOrder(NotificationRejected):
    """Authentic, but about an order that is not ours."""


class AmountMismatch(NotificationRejected):
    """Authentic, but about another amount or currency than the order's."""


class CredentialsUnavailable(AutodebitError):
    """The secret cannot be read now, or what it holds cannot be used; the message never quotes it."""


class GatewayError(AutodebitError):
    """A call to Alipay that brought no authentic answer; `reason` is a stable word for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(GatewayError):
    """Certain: no byte of the message left this machine."""


class OutcomeUnknown(GatewayError):
    """The message may have arrived; only inquiry or a notification can tell."""


class AnswerRefused(OutcomeUnknown):
    """An answer came whose signature, key or client is not Alipay's to us: not believed, and counted."""
