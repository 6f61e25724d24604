"""Which changes of an agreement's status there are, by whose word, and what is told of them."""

import ast

import pytest
from autodebit.agreement.agreement import Status
from autodebit.agreement.transitions import EXPIRING, TOLD, TRANSITIONS, Word

from tests.kit.event_schemas import KINDS
from tests.kit.template import MODULES


def test_no_status_is_entered_twice_and_an_end_is_never_left() -> None:
    assert all(before is not after for before, after in TRANSITIONS)
    assert {Status.UNLINKED, Status.FAILED} & {before for before, _ in TRANSITIONS} == set()
    assert {after for _, after in TRANSITIONS} == set(Status) - {Status.AUTHORIZING}
    assert all(TRANSITIONS.values())
    assert set().union(*TRANSITIONS.values()) == set(Word)


LINKS, FAILS = (Status.AUTHORIZING, Status.LINKED), (Status.AUTHORIZING, Status.FAILED)
ENDS = {(Status.LINKED, Status.UNLINKED), (Status.UNLINKING, Status.UNLINKED)}


@pytest.mark.parametrize(
    ("word", "changes"),
    [
        (Word.CONSULT, {FAILS}),
        (Word.EXCHANGE, {LINKS, FAILS}),
        (Word.NOTIFY, {LINKS} | ENDS),
        (Word.MERCHANT, {(Status.LINKED, Status.UNLINKING)}),
        (Word.REVOKE, {(Status.UNLINKING, Status.UNLINKED)}),
        (Word.PAY, ENDS),
        (Word.EXPIRY, ENDS),
    ],
)
def test_each_word_changes_what_it_can_know_and_no_more(word: Word, changes: set[tuple[Status, Status]]) -> None:
    """The merchant asks for a revocation; only a signed word, or time, ends an agreement."""
    assert {change for change, words in TRANSITIONS.items() if word in words} == changes


def test_every_entering_of_a_status_is_told_by_its_name_but_the_beginning_of_a_revocation() -> None:
    told = {after for _, after in TRANSITIONS} - {Status.UNLINKING}
    assert {status: f"Agreement{status.capitalize()}" for status in told} == TOLD
    assert {*TOLD.values(), EXPIRING} == {kind for kind in KINDS if kind.startswith("Agreement")}


def test_a_status_is_written_behind_the_transitions_and_nowhere_else() -> None:
    tree = ast.parse(MODULES["agreement.agreement_table"].read_text("utf-8"))
    writers = {
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(ast.unparse(node).startswith("AgreementItem.status.set(") for node in ast.walk(function))
    }
    assert writers == {"_leave"}
