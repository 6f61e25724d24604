"""Which status an agreement may leave for which, by whose word, and what is told of it."""

from enum import StrEnum, auto

from autodebit.agreement.agreement import Status


class Word(StrEnum):
    """Whose word changes an agreement; stored and sent nowhere."""

    CONSULT = auto()
    EXCHANGE = auto()
    NOTIFY = auto()
    MERCHANT = auto()
    REVOKE = auto()
    PAY = auto()
    EXPIRY = auto()


TRANSITIONS: dict[tuple[Status, Status], frozenset[Word]] = {
    (Status.AUTHORIZING, Status.LINKED): frozenset({Word.EXCHANGE, Word.NOTIFY}),
    (Status.AUTHORIZING, Status.FAILED): frozenset({Word.CONSULT, Word.EXCHANGE}),
    (Status.LINKED, Status.UNLINKING): frozenset({Word.MERCHANT}),
    (Status.LINKED, Status.UNLINKED): frozenset({Word.NOTIFY, Word.PAY, Word.EXPIRY}),
    (Status.UNLINKING, Status.UNLINKED): frozenset({Word.REVOKE, Word.NOTIFY, Word.PAY, Word.EXPIRY}),
}
"""`{(from, to): who may report it}`. Every other change of status is a defect."""

TOLD: dict[Status, str] = {
    Status.LINKED: "AgreementLinked",
    Status.FAILED: "AgreementFailed",
    Status.UNLINKED: "AgreementUnlinked",
}
"""What is told when an agreement enters a status."""

EXPIRING = "AgreementExpiring"
"""What is told of an agreement that ends within 30 days and cannot be refreshed, or within 10 days and was not."""
