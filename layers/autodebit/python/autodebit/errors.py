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
├── GatewayError              a call to Alipay that brought no authentic answer
│   ├── NotSent               503  no byte of the message left this machine: the same call may come again
│   │   ├── CertificateRefused     what answers there does not prove to be the gateway
│   │   └── CredentialsUnavailable the secret cannot be read, or does not hold usable keys
│   └── OutcomeUnknown        202  it may have left: nothing may be concluded
│       └── AnswerRefused     something answered, but not provably Alipay
├── TableFault                500  a write may have been applied or not: look at the order again
└── PollingFault              an execution may have started or not: starting it again is harmless
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


class GatewayError(AutodebitError):
    """A call to Alipay that brought no authentic answer; `reason` says why in a few words, for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(GatewayError):
    """Certain: no byte of the message left this machine."""


class CertificateRefused(NotSent):
    """The peer's certificate is not one for the gateway's host."""


class CredentialsUnavailable(NotSent):
    """The secret cannot be read now, or what it holds cannot be used; the text never quotes it."""


class OutcomeUnknown(GatewayError):
    """The message may have arrived; only inquiry or a notification can tell."""


class AnswerRefused(OutcomeUnknown):
    """An answer came whose signature, key or client is not Alipay's to us: not believed, and counted."""


class TableFault(AutodebitError):
    """The order table did not answer in time or refused: a write may have been applied or not."""


class PollingFault(AutodebitError):
    """Step Functions did not answer in time or refused: an execution may have started or not."""
