"""The one road into a final state, with a table that keeps the INIT guard and nothing else."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from autodebit import telemetry
from autodebit.alipay.reading import Contradiction, Final, Reading, Undecided
from autodebit.errors import TableFault
from autodebit.events import Acknowledgement
from autodebit.payment.order import Order, Status, Witness
from autodebit.rows.guard import Written
from autodebit.settle import settle
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.samples import ID, NOW, PAYMENT_ID, order

FINALS = [
    Final(Status.SUCCESS, "SUCCESS", "success.", PAYMENT_ID, "2026-11-22T01:30:02-08:00"),
    Final(Status.FAIL, "RISK_REJECT", "no", PAYMENT_ID),
    Final(Status.CANCELLED),
]


class Table:
    """One row. Every change of status is conditional on INIT, as in the real table."""

    def __init__(self, row: Order) -> None:
        self.row = row
        self.writes = 0
        self.faulty = False

    def settle(self, order: Order, final: Final[Status], witness: Witness, at: datetime) -> Written[Order]:
        if self.faulty:
            raise TableFault("UpdateError ProvisionedThroughputExceededException")
        if self.row.status is not Status.INIT:
            return Written(self.row, won=False)
        self.writes += 1
        self.row = replace(
            self.row,
            status=final.status,
            settled_by=witness,
            settled_at=at,
            payment_id=final.transaction_id,
            result_code=final.result_code,
        )
        return Written(self.row, won=True)

    def note_contradiction(self, order: Order, said: str, at: datetime) -> Written[Order]:
        if self.faulty:
            raise TableFault("UpdateError ProvisionedThroughputExceededException")
        new = said not in self.row.contradictions
        self.row = replace(self.row, contradictions=self.row.contradictions | {said})
        return Written(self.row, won=new)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Mock:
    reported = Mock(spec=telemetry.settled)
    monkeypatch.setattr(telemetry, "settled", reported)
    return reported


def hear(table: Table, stale: Order, reading: Reading[Status], witness: Witness = Witness.NOTIFY) -> Order:
    return settle(table, stale, reading, witness, NOW)


@pytest.mark.parametrize("final", FINALS)
@pytest.mark.parametrize("witness", list(Witness))
def test_the_first_result_settles_the_order_whoever_reports_it(
    final: Final[Status], witness: Witness, counted: Mock, settled: Mock
) -> None:
    table = Table(order())
    heard = hear(table, order(), final, witness)
    assert heard == table.row
    assert (heard.status, heard.settled_by, heard.settled_at) == (final.status, witness, NOW)
    settled.assert_called_once_with(
        "payment",
        status=final.status,
        settled_by=witness,
        seconds=0.0,
        keys={"paymentRequestId": ID, "paymentId": final.transaction_id, "resultCode": final.result_code},
    )
    counted.assert_not_called()


@pytest.mark.parametrize("stale", [True, False], ids=["at the same moment", "later"])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(FINALS, FINALS)))
@pytest.mark.parametrize(("one", "other"), list(itertools.product(Witness, Witness)))
def test_the_second_result_changes_nothing_and_is_kept_if_it_disputes_the_first(
    first: Final[Status], second: Final[Status], one: Witness, other: Witness, stale: bool, counted: Mock, settled: Mock
) -> None:
    table = Table(order())
    hear(table, order(), first, one)
    before = table.row
    heard = hear(table, order() if stale else before, second, other)
    assert heard.status is first.status
    assert replace(table.row, contradictions=frozenset()) == before
    assert table.writes == 1
    settled.assert_called_once()
    if (first.status is Status.SUCCESS) != (second.status is Status.SUCCESS):
        said = f"{other} {second.status} {second.transaction_id or ''}".rstrip()
        assert table.row.contradictions == {said}
        counted.assert_called_once_with("Contradiction")
    else:
        assert table.row.contradictions == frozenset()
        counted.assert_not_called()


def test_a_success_of_another_payment_is_kept_for_a_person(counted: Mock, settled: Mock) -> None:
    table = Table(order())
    hear(table, order(), FINALS[0])
    heard = hear(table, table.row, replace(FINALS[0], transaction_id="another"))
    assert heard.payment_id == PAYMENT_ID
    assert table.row.contradictions == {"notify SUCCESS another"}


def test_a_dispute_that_is_delivered_again_is_kept_once(counted: Mock, settled: Mock) -> None:
    table = Table(order())
    hear(table, order(), FINALS[0])
    for _ in range(8):
        hear(table, table.row, FINALS[1])
    assert len(table.row.contradictions) == 1


@pytest.mark.parametrize("status", list(Status))
def test_a_contradiction_is_kept_and_settles_nothing_whatever_the_orders_status(
    status: Status, counted: Mock, settled: Mock
) -> None:
    table = Table(order(status=status))
    heard = hear(table, table.row, Contradiction("notify S/SUCCESS: paymentAmount HKD 1"))
    assert heard.status is table.row.status is status
    assert table.row.contradictions == {"notify S/SUCCESS: paymentAmount HKD 1"}
    counted.assert_called_once_with("Contradiction")
    settled.assert_not_called()


def test_a_contradiction_tells_a_person_which_order_and_what_was_said(counted: Mock, monkeypatch: Any) -> None:
    logger = Mock()
    monkeypatch.setattr("autodebit.contradiction.logger", logger)
    hear(Table(order()), order(status=Status.FAIL), Contradiction("notify S/SUCCESS: paymentAmount HKD 1"))
    assert logger.error.call_args.kwargs == {
        "paymentRequestId": ID,
        "paymentId": None,
        "status": "FAIL",
        "said": "notify S/SUCCESS: paymentAmount HKD 1",
    }


def test_a_contradiction_that_comes_again_calls_again_until_somebody_has_acknowledged_it(counted: Mock) -> None:
    table, said = Table(order()), Contradiction("notify S/SUCCESS: paymentAmount HKD 1")
    for calls in (1, 2):
        hear(table, order(), said)
        assert counted.call_count == calls
    table.row = replace(table.row, acknowledged=(Acknowledgement(1, "ada", NOW, "refunded by hand"),))
    hear(table, order(), said)
    assert counted.call_count == 2
    hear(table, order(), Contradiction("notify S/SUCCESS: paymentAmount HKD 2"))
    assert counted.call_count == 3


def test_a_result_that_agrees_with_the_one_that_is_known_asks_nothing_of_the_table(counted: Mock) -> None:
    table = Table(order())
    table.faulty = True
    final = order(status=Status.FAIL)
    assert hear(table, final, FINALS[2]) is final


@pytest.mark.parametrize("status", list(Status))
def test_what_is_not_final_changes_nothing(status: Status, counted: Mock, settled: Mock) -> None:
    table = Table(order(status=status))
    before = table.row
    assert hear(table, before, Undecided("pay U/PAYMENT_IN_PROCESS")) is before
    assert table.row is before
    counted.assert_not_called()


@pytest.mark.parametrize("reading", [FINALS[0], Contradiction("x")])
def test_when_the_table_fails_nothing_is_reported_as_settled(
    reading: Reading[Status], counted: Mock, settled: Mock
) -> None:
    table = Table(order())
    table.faulty = True
    with pytest.raises(TableFault):
        hear(table, table.row, reading)
    settled.assert_not_called()
    counted.assert_not_called()


@pytest.mark.parametrize("half", [{}, {"settled_by": Witness.PAY}, {"settled_at": NOW}], ids=["", "by", "at"])
def test_a_row_that_is_not_settled_is_not_reported_as_settled(settled: Mock, half: dict[str, Any]) -> None:
    table = Mock()
    table.settle.return_value = Written(order(**half), won=True)
    with pytest.raises(ValueError, match="not settled"):
        hear(table, order(), FINALS[0])
    settled.assert_not_called()


def test_a_dispute_that_cannot_be_kept_is_a_fault(counted: Mock, settled: Mock) -> None:
    table = Table(order())
    hear(table, order(), FINALS[1])
    table.faulty = True
    with pytest.raises(TableFault):
        hear(table, table.row, FINALS[0])


readings = st.one_of(
    st.sampled_from(FINALS),
    st.sampled_from(
        [replace(FINALS[0], transaction_id="another"), Undecided("x"), Contradiction("a"), Contradiction("b")]
    ),
)


@given(st.lists(st.tuples(readings, st.sampled_from(Witness), st.integers(0, 3)), max_size=8))
def test_however_witnesses_follow_each_other_init_is_left_once_and_no_dispute_is_lost(
    heard: list[tuple[Reading[Status], Witness, int]],
) -> None:
    table = Table(order())
    seen = [table.row]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telemetry, "settled", Mock())
        patch.setattr(telemetry, "count", Mock())
        for reading, witness, age in heard:
            stale = seen[max(0, len(seen) - 1 - age)]
            settle(table, stale, reading, witness, NOW + timedelta(seconds=len(seen)))
            seen.append(table.row)
    statuses = [row.status for row in seen]
    assert statuses == sorted(statuses, key=lambda status: status is not Status.INIT)
    assert len({status for status in statuses if status is not Status.INIT}) <= 1
    finals = [reading for reading, _, _ in heard if isinstance(reading, Final)]
    assert table.writes == bool(finals)
    if finals:
        assert table.row.status is finals[0].status
        paid = {final.transaction_id for final in finals if final.status is Status.SUCCESS}
        unpaid = [final for final in finals if final.status is not Status.SUCCESS]
        disputed = len(paid) > 1 or bool(paid and unpaid)
        said = table.row.contradictions - {"a", "b"}
        assert bool(said) is disputed
