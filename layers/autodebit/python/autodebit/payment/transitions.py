"""Which status an order may leave for which, by whose word, and under which conditions."""

from autodebit.payment.order import Status, Witness

TRANSITIONS: dict[tuple[Status, Status], frozenset[Witness]] = {
    (Status.INIT, Status.SUCCESS): frozenset({Witness.PAY, Witness.NOTIFY, Witness.INQUIRY}),
    (Status.INIT, Status.FAIL): frozenset({Witness.PAY, Witness.NOTIFY, Witness.INQUIRY, Witness.CANCEL}),
    (Status.INIT, Status.CANCELLED): frozenset({Witness.INQUIRY, Witness.CANCEL}),
}
"""`{(from, to): who may report it}`. Every other change of status is a defect."""

TOLD: dict[Status, str] = {
    Status.SUCCESS: "PaymentSucceeded",
    Status.FAIL: "PaymentFailed",
    Status.CANCELLED: "PaymentCancelled",
}
"""The event that tells of an order which became this."""

CONTRADICTED = "PaymentContradicted"
"""The event that tells of an authentic message against the order."""

UNRESOLVED = "PaymentUnresolved"
"""The event that tells of an order which passed its close time, or the end of its schedule, without a result."""

CROSSED_BY_CANCEL = frozenset({Status.SUCCESS})
"""What an order does not become while a cancel is noted: the money of such a success may be on its way back."""


ASKED_AFRESH = frozenset({Witness.INQUIRY})
"""Witnesses that say how the payment is now. What the others say may have been sent before a cancel, and be late."""
