"""Which status an order may leave for which, and by whose word."""

from autodebit.payment.order import Status, Witness

TRANSITIONS: dict[tuple[Status, Status], frozenset[Witness]] = {
    (Status.INIT, Status.SUCCESS): frozenset({Witness.PAY, Witness.NOTIFY, Witness.INQUIRY}),
    (Status.INIT, Status.FAIL): frozenset({Witness.PAY, Witness.NOTIFY, Witness.INQUIRY}),
    (Status.INIT, Status.CANCELLED): frozenset({Witness.INQUIRY}),
}
"""`{(from, to): who may report it}`. Every other change of status is a defect."""
