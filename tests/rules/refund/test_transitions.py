"""Which changes of a refund's status there are, and what is told of a refund."""

from autodebit.refund.refund import Status, Witness
from autodebit.refund.transitions import CONTRADICTED, OBSERVED, TOLD, TRANSITIONS, UNRESOLVED

from tests.kit.event_schemas import KINDS


def test_init_is_left_once_and_for_good() -> None:
    assert {before for before, _ in TRANSITIONS} == {Status.INIT}
    assert {after for _, after in TRANSITIONS} == set(Status) - {Status.INIT}


def test_every_witness_may_report_every_result() -> None:
    assert all(witnesses == set(Witness) for witnesses in TRANSITIONS.values())


def test_a_result_is_told_and_so_is_what_a_person_has_to_know() -> None:
    assert TOLD == {Status.SUCCESS: "RefundSucceeded", Status.FAIL: "RefundFailed"}
    assert (UNRESOLVED, OBSERVED, CONTRADICTED) == ("RefundUnresolved", "RefundObserved", "RefundContradicted")
    kinds = {*TOLD.values(), UNRESOLVED, OBSERVED, CONTRADICTED}
    assert kinds == {kind for kind in KINDS if kind.startswith("Refund")}
