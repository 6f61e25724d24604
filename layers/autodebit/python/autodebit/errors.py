"""What can go wrong, as a tree. Each leaf knows the status of its answer and says what the caller may do now.

AutodebitError
├── RequestInvalid            400  correct the named fields and send again
├── PaymentConflict           409  this paymentRequestId stands for another payment
├── OrderNotFound             404
├── OrderDecided              409  it cannot be cancelled: it has its result
├── CancelNotNoted            503  nothing was noted and nothing sent: ask again
├── RefundNotFound            404
├── RefundConflict            409  this refundRequestId stands for another refund
├── PaymentNotRefundable      409  the payment is not SUCCESS: there is nothing to give back
├── RefundExceedsRest         409  more than is left of the payment
├── RefundWindowOver          409  it is too late: the wallet refunds nothing any more
├── AgreementNotFound         404
├── AgreementConflict         409  this agreementId stands for another request
├── AgreementNotLinked        409  nothing was stored or sent: it cannot be debited
├── AgreementNotRevocable     409  there is nothing to revoke yet, or ever
├── ConsultRefused            502  Alipay refused to show a QR code: correct what resultCode names
├── ConsultUnanswered         503  no QR code yet: send the same request again
├── NotificationRejected           the status of the refusal, and the resultCode that goes with it
│   ├── SignatureInvalid      401  missing, garbled, of an unknown key, of another client: it fails closed
│   ├── NotificationMalformed 400
│   ├── UnknownOrder          404
│   ├── UnknownRefund         404
│   ├── UnknownAgreement      404
│   └── AmountMismatch        409
├── GatewayError              a call to Alipay that brought no authentic answer
│   ├── NotSent               503  no byte of the message left this machine: the same call may come again
│   │   ├── CertificateRefused     what answers there does not prove to be the gateway
│   │   ├── CredentialsUnavailable the secret cannot be read, or does not hold usable keys
│   │   └── VaultUnavailable       a token cannot be sealed or opened now
│   └── OutcomeUnknown             it may have left: nothing may be concluded
│       └── AnswerRefused     something answered, but not provably Alipay
├── TableFault                     a write may have been applied or not: look at the row again
├── PollingFault                   an execution may have started or not: starting it again is harmless
│   └── PollingThrottled           Step Functions takes no more for the moment
├── DeadLetterFault                a letter may have been kept or not: its record comes again
└── EventFault                     the bus did not take an event: the run that tells it is run again
"""

from dataclasses import dataclass
from typing import Any, ClassVar


class AutodebitError(Exception):
    """The root; anything else that is raised is a defect or a passing fault of AWS.

    `status`, `title` and `detail` are of the problem document that answers it (RFC 9457). A status of 500 means that
    nobody answers with it: somebody has to look.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "An internal fault"
    detail: str = "What became of the request is not known here. Send the same request again, or look the order up."

    @property
    def members(self) -> dict[str, Any]:
        """Members that the problem document has besides these."""
        return {}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field at fault: its path (`order.goods[0].goodsName`) and what to do about it. Never its value."""

    field: str
    detail: str


def _named(errors: list[FieldError]) -> list[dict[str, str]]:
    return [{"field": error.field, "detail": error.detail} for error in errors]


class RequestInvalid(AutodebitError):
    """The request is malformed; `errors` names every field at fault at once."""

    status = 400
    title = "The request is malformed"
    detail = "Correct the fields named in errors and send it again."

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(", ".join(error.field for error in errors))
        self.errors = errors

    @property
    def members(self) -> dict[str, Any]:
        return {"errors": _named(self.errors)}


class PaymentConflict(AutodebitError):
    """This paymentRequestId already stands for a different payment; `errors` names the fields that differ.

    `order_status` is the status of the order that stands there, `decided` whether it has its result.
    """

    status = 409
    title = "This paymentRequestId stands for another payment"

    def __init__(self, differing: list[str], order_status: str, *, decided: bool) -> None:
        super().__init__(", ".join(differing))
        self.errors = [FieldError(field, "differs from the first request") for field in differing]
        self.order_status = order_status
        self.detail = (
            "Look the order of this paymentRequestId up: it has its result. A new paymentRequestId is right only if "
            "that is FAIL or CANCELLED."
            if decided
            else "Look the order of this paymentRequestId up and wait for its result: the buyer may have been debited. "
            "Do not pay again now; a new paymentRequestId is right only once the order is FAIL or CANCELLED."
        )

    @property
    def members(self) -> dict[str, Any]:
        return {"errors": _named(self.errors), "orderStatus": self.order_status}


class OrderNotFound(AutodebitError):
    """No order has this paymentRequestId."""

    status = 404
    title = "There is no such order"
    detail = "No payment was requested under this paymentRequestId."


class OrderDecided(AutodebitError):
    """The order has its result, `order_status`, and cannot be cancelled any more."""

    status = 409
    title = "The payment has its result"

    def __init__(self, order_status: str) -> None:
        super().__init__(order_status)
        self.order_status = order_status
        self.detail = (
            "The order is SUCCESS: the buyer was debited. Refund the payment instead."
            if order_status == "SUCCESS"
            else f"The order is {order_status}: the buyer was not debited, and there is nothing to cancel."
        )

    @property
    def members(self) -> dict[str, Any]:
        return {"orderStatus": self.order_status}


class CancelNotNoted(AutodebitError):
    """Certain: the cancel was neither noted nor sent."""

    status = 503
    title = "Nothing was noted and nothing sent"
    detail = "The payment goes on as before. Ask for the cancel again."


class RefundNotFound(AutodebitError):
    """This payment has no refund of this refundRequestId."""

    status = 404
    title = "There is no such refund"
    detail = "No refund of this payment was requested under this refundRequestId."


class RefundConflict(AutodebitError):
    """This refundRequestId already stands for another refund; `errors` names the fields that differ."""

    status = 409
    title = "This refundRequestId stands for another refund"
    detail = "Look the refund of this refundRequestId up before you ask for another: its money may be on the way."

    def __init__(self, differing: list[str]) -> None:
        super().__init__(", ".join(differing))
        self.errors = [FieldError(field, "differs from the first request") for field in differing]

    @property
    def members(self) -> dict[str, Any]:
        return {"errors": _named(self.errors)}


class PaymentNotRefundable(AutodebitError):
    """The payment is not SUCCESS: there is nothing to give back."""

    status = 409
    title = "The payment is not SUCCESS"

    def __init__(self, order_status: str) -> None:
        super().__init__(order_status)
        self.order_status = order_status
        self.detail = (
            "The payment has no result yet: wait for it, or cancel it."
            if order_status == "INIT"
            else f"The payment is {order_status}: the buyer has not paid, or has the money back."
        )

    @property
    def members(self) -> dict[str, Any]:
        return {"orderStatus": self.order_status}


class RefundExceedsRest(AutodebitError):
    """More than the payment has left."""

    status = 409
    title = "More than is left of the payment"

    def __init__(self, left: int, currency: str) -> None:
        super().__init__("more than is left")
        self.detail = f"{left} {currency} is left, in minor units. Refunds without a result count, too."


class RefundWindowOver(AutodebitError):
    """It is too late: the wallet refunds nothing any more."""

    status = 409
    title = "The time for refunds is over"
    detail = "A payment can be refunded for a year, with some wallets for less. Pay the buyer in another way."


class AgreementNotFound(AutodebitError):
    """No agreement has this agreementId, or this token."""

    status = 404
    title = "There is no such agreement"
    detail = "No agreement was requested under this agreementId."


class AgreementConflict(AutodebitError):
    """This agreementId already stands for another request."""

    status = 409
    title = "This agreementId stands for another request"
    detail = "The first request has another customerBelongsTo. Use a new agreementId."


class AgreementNotLinked(AutodebitError):
    """No payment can be made by this agreement."""

    status = 409
    title = "This agreement cannot be debited"
    detail = "There is no such agreement, or it is not LINKED. Nothing was stored or sent. Look the agreement up."


class AgreementNotRevocable(AutodebitError):
    """Only an agreement that was linked can be revoked."""

    status = 409
    title = "There is nothing to revoke"
    detail = "The agreement is AUTHORIZING or FAILED: no token of it is known here."


class ConsultRefused(AutodebitError):
    """Alipay answered consult with a signed F; `code` is its resultCode, `message` its resultMessage."""

    status = 502
    title = "Alipay refused to show a QR code"
    detail = (
        "resultCode says why: correct the request, the contract or the keys, and start again with a new agreementId. "
        "https://docs.antom.com/ac/ams/authconsult explains the codes."
    )

    def __init__(self, code: str, message: str | None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message

    @property
    def members(self) -> dict[str, Any]:
        return {"resultCode": self.code} | ({"resultMessage": self.message} if self.message else {})


class ConsultUnanswered(AutodebitError):
    """There is no QR code yet."""

    status = 503
    title = "There is no QR code yet"
    detail = (
        "Alipay's answer did not come, or could not be stored, in time. Send the same request again, with the same "
        "agreementId."
    )


class NotificationRejected(AutodebitError):
    """A notification that must not change anything. `result_code` is told to Alipay."""

    result_code: ClassVar[str]


class SignatureInvalid(NotificationRejected):
    """Not provably from Alipay and to us."""

    status = 401
    result_code = "INVALID_SIGNATURE"


class NotificationMalformed(NotificationRejected):
    """Authentic, but not a notification that can be read."""

    status = 400
    result_code = "PARAM_ILLEGAL"


class UnknownOrder(NotificationRejected):
    """Authentic, but about an order that is not ours."""

    status = 404
    result_code = "ORDER_NOT_EXIST"


class UnknownRefund(NotificationRejected):
    """Authentic, but about a refund that is not ours."""

    status = 404
    result_code = "REFUND_NOT_EXIST"


class UnknownAgreement(NotificationRejected):
    """Authentic, but about an authState or a token that is not ours."""

    status = 404
    result_code = "AGREEMENT_NOT_EXIST"


class AmountMismatch(NotificationRejected):
    """Authentic, but about another amount or currency than ours."""

    status = 409
    result_code = "AMOUNT_MISMATCH"


class GatewayError(AutodebitError):
    """A call to Alipay that brought no authentic answer; `reason` says why in a few words, for logs."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(GatewayError):
    """Certain: no byte of the message left this machine."""

    status = 503
    title = "Nothing was sent to Alipay"
    detail = "This request sent nothing; an earlier one with the same id may have. Send the same request again."


class CertificateRefused(NotSent):
    """The peer's certificate is not one for the gateway's host."""


class CredentialsUnavailable(NotSent):
    """The secret cannot be read now, or what it holds cannot be used; the text never quotes it."""


class VaultUnavailable(NotSent):
    """KMS does not answer or refuses, or what is sealed does not belong here; the text never quotes it."""


class OutcomeUnknown(GatewayError):
    """The message may have arrived; only inquiry or a notification can tell."""


class AnswerRefused(OutcomeUnknown):
    """An answer came whose signature, key or client is not Alipay's to us: not believed, and counted."""


class TableFault(AutodebitError):
    """A table did not answer in time or refused: a write may have been applied or not."""


class PollingFault(AutodebitError):
    """Step Functions did not answer in time or refused: an execution may have started or not."""


class PollingThrottled(PollingFault):
    """Step Functions refused a start for the load: slow down."""


class DeadLetterFault(AutodebitError):
    """The queue of dead letters did not answer in time or refused."""


class EventFault(AutodebitError):
    """The bus did not take an event, which is told by no row's stream."""
