"""Which status an order may leave for which, and by whose word."""

from autodebit.payment.order import Status, Witness

TRANSITIONS: dict[tuple[Status, Status], frozenset[Witness]] = {
    (Status.INIT, Status.SUCCESS): frozenset({Witness.PAY, Witness.NOTIFY, Witness.INQUIRY}),
    (Status.INIT, Status.FAIL): frozenset({Witness.PAY, Witness.NOTIFY, Witness.INQUIRY}),
    (Status.INIT, Status.CANCELLED): frozenset({Witness.INQUIRY}),
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
