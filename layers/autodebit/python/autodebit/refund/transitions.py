"""Which status a refund may leave for which, by whose word, and what is told of it."""

from autodebit.refund.refund import Status, Witness

TRANSITIONS: dict[tuple[Status, Status], frozenset[Witness]] = {
    (Status.INIT, Status.SUCCESS): frozenset(Witness),
    (Status.INIT, Status.FAIL): frozenset(Witness),
}
"""`{(from, to): who may report it}`. Every other change of status is a defect."""

TOLD: dict[Status, str] = {Status.SUCCESS: "RefundSucceeded", Status.FAIL: "RefundFailed"}
"""The event that tells of a refund which became this."""

UNRESOLVED = "RefundUnresolved"
"""The event that tells of a refund whose schedule ended without a result."""

OBSERVED = "RefundObserved"
"""The event that tells of a refund which nobody asked for here."""

CONTRADICTED = "RefundContradicted"
"""The event that tells of an authentic message against the refund."""
