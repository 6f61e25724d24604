"""One part of both sides, line by line: what is compared with what, and all that a difference tells."""

from typing import Any

import pytest
from autodebit.reconciliation.compare import (
    Difference,
    Observed,
    Ours,
    Page,
    Sum,
    knows_no_more,
    lacks_lines,
    order,
    totals,
)
from autodebit.reconciliation.reports import Line, Total

DAY, NEXT_DAY = "2026-11-22", "2026-11-23"


def line(type_: str = "PAYMENT", **changes: Any) -> Line:
    """A line of the payment `ord-1`, or with `type_` of its refund `ref-1`."""
    refund = type_ in ("REFUND", "REFUND_REVERSAL")
    fields: dict[str, Any] = {
        "file": "transactionItems_20261122_000.csv",
        "number": 7,
        "type": type_,
        "request_id": "ref-1" if refund else "ord-1",
        "original_request_id": "ord-1" if refund else "",
        "payment_id": "pay-1",
        "refund_id": "",
        "currency": "HKD",
        "amount": -100 if refund else 4200,
        "status": "SUCCESS",
        "day": DAY,
        "batch_id": "",
        "settlement_currency": "",
        "settlement_amount": None,
    }
    return Line(**fields | changes)


def payment(**changes: Any) -> Ours:
    return Ours("PAYMENT", "ord-1", "ord-1", "pay-1", "", "HKD", 4200, "SUCCESS", DAY)._replace(**changes)


def refund(**changes: Any) -> Ours:
    return Ours("REFUND", "ref-1", "ord-1", "pay-1", "REF-1", "HKD", 100, "SUCCESS", DAY)._replace(**changes)


def read(lines: list[Line], ours: list[Ours]) -> tuple[Page, list[Difference]]:
    page = Page(lines, ours, knows_no_more)
    return page, list(page.differences())


def names(lines: list[Line], ours: list[Ours]) -> list[str]:
    return [one.name for one in read(lines, ours)[1]]


# --- All that a difference tells -----------------------------------------------------------------------------------

THERE: dict[str, Any] = {
    "type": "PAYMENT",
    "request_id": "ord-1",
    "payment_request_id": "ord-1",
    "transaction_id": "pay-1",
    "file": "transactionItems_20261122_000.csv",
    "line": 7,
    "day": DAY,
    "currency_there": "HKD",
    "amount_there": 4200,
    "status_there": "SUCCESS",
}
UNKNOWN_HERE: dict[str, Any] = {"currency_here": "", "amount_here": None, "status_here": ""}
OF_REFUND: dict[str, Any] = {"type": "REFUND", "request_id": "ref-1", "amount_there": -100}


@pytest.mark.parametrize(
    ("lines", "ours", "told"),
    [
        (
            [line()],
            [payment(amount=4300, status="FAIL")],
            THERE | {"name": "amount", "currency_here": "HKD", "amount_here": 4300, "status_here": "FAIL"},
        ),
        (
            [line(original_request_id="ord-0")],
            [],
            THERE | UNKNOWN_HERE | {"name": "missing-here", "payment_request_id": "ord-0"},
        ),
        (
            [line("REFUND", refund_id="REF-1", original_request_id="")],
            [refund(amount=200)],
            THERE
            | OF_REFUND
            | {"name": "amount", "transaction_id": "REF-1"}
            | {"currency_here": "HKD", "amount_here": -200, "status_here": "SUCCESS"},
        ),
        ([line("REFUND")], [], THERE | OF_REFUND | UNKNOWN_HERE | {"name": "refund-observed"}),
        (
            [line("REFUND_REVERSAL")],
            [],
            THERE | OF_REFUND | UNKNOWN_HERE | {"name": "refund-returned", "type": "REFUND_REVERSAL"},
        ),
    ],
)
def test_a_difference_tells_both_sides_and_where_it_stands(
    lines: list[Line], ours: list[Ours], told: dict[str, Any]
) -> None:
    assert read(lines, ours)[1] == [Difference(**told)]


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (payment(), ("PAYMENT", "ord-1", "ord-1", "pay-1", "", 0, DAY, "", None, "", "HKD", 4200, "SUCCESS")),
        (refund(), ("REFUND", "ref-1", "ord-1", "REF-1", "", 0, DAY, "", None, "", "HKD", -100, "SUCCESS")),
        (refund(refund_id=""), ("REFUND", "ref-1", "ord-1", "pay-1", "", 0, DAY, "", None, "", "HKD", -100, "SUCCESS")),
    ],
)
def test_what_is_missing_there_tells_our_side(one: Ours, told: tuple[Any, ...]) -> None:
    assert list(Page([], [one], knows_no_more).missing_there([], {DAY})) == [Difference("missing-there", *told)]


def test_nothing_is_missing_there_of_a_day_of_which_files_may_still_come() -> None:
    assert list(Page([], [payment(), refund()], knows_no_more).missing_there([], {NEXT_DAY})) == []


def test_differences_are_sorted_by_name_file_line_type_and_id() -> None:
    told = THERE | UNKNOWN_HERE | {"name": "amount"}
    assert order(Difference(**told)) == ("amount", "transactionItems_20261122_000.csv", 7, "PAYMENT", "ord-1")


# --- What is compared with what ------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [payment(), refund()])
def test_nobody_looks_up_what_is_known_and_what_is_found_is_compared(known: Ours) -> None:
    asked: list[list[Line]] = []

    def look_up(lines: list[Line]) -> list[Ours]:
        asked.append(lines)
        return [known]

    there = line() if known.type == "PAYMENT" else line("REFUND", request_id="ord-1", refund_id="REF-1")
    assert list(Page([there], [known], look_up).differences()) == []
    assert asked == []
    assert list(Page([there], [], look_up).differences()) == []
    assert asked == [[there]]


def test_a_payment_that_was_looked_up_is_no_refund_without_a_refund_id() -> None:
    page = Page([line(), line("REFUND")], [], lambda _: [payment()])
    assert [one.name for one in page.differences()] == ["refund-observed"]


def test_another_refund_of_ours_may_be_named_as_the_payment_of_an_older_files_refund() -> None:
    there = line("REFUND", request_id="ord-1", refund_id="REF-9")
    assert names([there], [refund(request_id="ord-1", refund_id="REF-1")]) == ["refund-observed"]


@pytest.mark.parametrize(
    ("status", "result"),
    [("SUCCEEDED", "SUCCESS"), ("FAILED", "FAIL"), ("CANCELED", "CANCELLED"), *((s, s) for s in ("FAIL", "CANCELLED"))],
)
def test_a_result_has_more_than_one_spelling(status: str, result: str) -> None:
    assert names([line(status=status)], [payment(status=result)]) == []
    other = "FAIL" if result == "SUCCESS" else "SUCCESS"
    assert names([line(status=status)], [payment(status=other)]) == ["status"]


@pytest.mark.parametrize("status", ["SUCCESS", "FAIL", "CANCELLED"])
def test_init_here_is_inquired_whatever_was_decided_there(status: str) -> None:
    page, differences = read([line(status=status)], [payment(status="INIT", day="")])
    assert ([one.name for one in differences], page.to_inquire) == (["status"], [payment(status="INIT", day="")])


def test_init_here_and_cancelled_there_is_inquired_once() -> None:
    page, differences = read([line(), line("CANCEL", amount=-4200)], [payment(status="INIT", day="")])
    assert ([one.type for one in differences], page.to_inquire) == (["CANCEL"], [payment(status="INIT", day="")])


@pytest.mark.parametrize(("here", "there"), [("FAIL", "SUCCESS"), ("CANCELLED", "FAIL"), ("SUCCESS", "FAIL")])
def test_a_later_day_here_explains_a_cancel_and_nothing_else(here: str, there: str) -> None:
    assert names([line(status=there)], [payment(status=here, day=NEXT_DAY)]) == ["status"]


def test_a_cancel_may_have_a_request_id_of_its_own() -> None:
    cancel = line("CANCEL", request_id="cancel-1", original_request_id="ord-1", amount=-4200)
    assert names([line(), cancel], [payment(status="CANCELLED")]) == []


def test_a_cancel_need_not_repeat_the_amount() -> None:
    assert names([line("CANCEL", amount=0)], [payment(status="CANCELLED")]) == []


def test_a_refund_that_nobody_asked_for_is_observed_with_what_the_file_tells() -> None:
    page, _ = read([line("REFUND", refund_id="REF-1")], [])
    assert page.observed == [Observed("ref-1", "ord-1", "REF-1", "HKD", 100)]


@pytest.mark.parametrize("amount", [0, 100])
def test_a_refund_line_on_which_no_money_went_back_is_named_and_not_booked(amount: int) -> None:
    """Booked, one with the sign of a payment would raise what may be refunded above what was paid."""
    page, differences = read([line("REFUND", refund_id="REF-1", amount=amount)], [])
    assert ([one.name for one in differences], page.observed) == (["refund-observed"], [])


def test_sums_are_of_all_that_the_file_has_and_of_what_we_have_for_it() -> None:
    fee = line("ADJUSTMENT_FEE", request_id="", payment_id="", amount=-3)
    there = [line(), line(), line("REFUND"), line("CANCEL", amount=-4200), fee, fee]
    page, _ = read(there, [payment(), refund(), payment(request_id="ord-2", payment_request_id="ord-2")])
    assert dict(page.sums()) == {
        ("PAYMENT", "HKD"): Sum(2, 8400, 1, 4200),
        ("REFUND", "HKD"): Sum(1, -100, 1, -100),
        ("CANCEL", "HKD"): Sum(1, -4200, 0, 0),
        ("ADJUSTMENT_FEE", "HKD"): Sum(2, -6, 0, 0),
    }


# --- A settlement summary ------------------------------------------------------------------------------------------


def total(type_: str, amount: int, transactions: int | None = None) -> Total:
    return Total("settlementSummary_HKD_1_000.csv", 3, "batch", type_, transactions, "HKD", amount)


def details(**types: tuple[int, int]) -> dict[str, dict[str, list[int]]]:
    return {"batch,HKD": {type_: list(of_type) for type_, of_type in types.items()}}


def told(there: int | None, here: int, type_: str, status: str, of: str) -> Difference:
    return Difference(
        *("total", type_, "", "", "batch", "settlementSummary_HKD_1_000.csv", 3, ""),
        *("HKD", there, status, "HKD", here, of),
    )


@pytest.mark.parametrize(
    ("lines", "summary", "differences"),
    [
        pytest.param(details(PAYMENT=(2, 500)), [total("PAYMENT", 500, 2), total("TOTAL", 500, 2)], [], id="adds up"),
        pytest.param(details(PAYMENT=(2, 500)), [total("PAYMENT", 500)], [], id="no count is no difference"),
        pytest.param(
            details(PAYMENT=(2, 500)),
            [total("PAYMENT", 200, 2), total("PAYMENT", 300)],
            [],
            id="a count on one of two lines",
        ),
        pytest.param(
            details(PAYMENT=(2, 500)),
            [total("PAYMENT", 500, 3)],
            [told(500, 500, "PAYMENT", "3 lines", "2 lines of the details")],
            id="another count",
        ),
        pytest.param(
            details(PAYMENT=(2, 500)),
            [total("PAYMENT", 400)],
            [told(400, 500, "PAYMENT", "", "2 lines of the details")],
            id="another amount, and no count",
        ),
        pytest.param(
            {},
            [total("PAYMENT", 400), total("default", -1), total("TOTAL", 400)],
            [told(400, 399, "TOTAL", "", "sum of the summary's lines")],
            id="the total is another than the sum of the lines",
        ),
        pytest.param(
            details(PAYMENT=(2, 500), REFUND=(1, -9)),
            [total("PAYMENT", 500, 2)],
            [told(0, -9, "REFUND", "", "1 lines of the details")],
            id="a type that the summary leaves out",
        ),
        pytest.param(
            details(PAYMENT=(2, 500)),
            [total("PAYMENT", 500), total("REFUND", -9)],
            [told(-9, 0, "REFUND", "", "0 lines of the details")],
            id="a type of which the details have nothing",
        ),
        pytest.param(
            details(PAYMENT=(2, 500)),
            [total("PAYMENT", 500), total("REFUND", 0, 1)],
            [told(0, 0, "REFUND", "1 lines", "0 lines of the details")],
            id="the same, of no amount",
        ),
        pytest.param(
            details(PAYMENT=(2, 500)),
            [total("PAYMENT", 500), total("REFUND", 0, 0), total("default", -5), total("DISPUTE", -7, 1)],
            [],
            id="nothing of a type, and what stands in the summary alone",
        ),
        pytest.param(
            details(PAYMENT=(2, 500), REFUND=(1, -9)),
            [total("TOTAL", 500)],
            [told(500, 491, "TOTAL", "", "sum of the details")],
            id="nothing but a total, which is another",
        ),
        pytest.param(details(PAYMENT=(2, 500)), [total("TOTAL", 500)], [], id="nothing but a total"),
        pytest.param({}, [total("TOTAL", 500), total("TOTAL", 500)], [], id="nothing but a total, and no details"),
    ],
)
def test_a_summary_is_held_against_itself_and_its_details(
    lines: dict[str, dict[str, list[int]]], summary: list[Total], differences: list[Difference]
) -> None:
    assert list(totals(lines, summary)) == differences


@pytest.mark.parametrize(
    ("lines", "summary", "lacks"),
    [
        pytest.param({"PAYMENT": [2, 500]}, [total("PAYMENT", 500, 2)], False, id="all are there"),
        pytest.param({"PAYMENT": [1, 500]}, [total("PAYMENT", 500, 2)], True, id="one of two"),
        pytest.param({"PAYMENT": [3, 500]}, [total("PAYMENT", 500, 1), total("PAYMENT", 0, 2)], False, id="two lines"),
        pytest.param({"PAYMENT": [3, 500]}, [total("PAYMENT", 500, 2)], False, id="more than were counted"),
        pytest.param({}, [total("REFUND", -9, 1)], True, id="none of a type"),
        pytest.param({}, [total("REFUND", -9, 0)], False, id="none was counted"),
        pytest.param({"PAYMENT": [2, 5]}, [total("PAYMENT", 5, 2), total("REFUND", -9, 1)], True, id="a type lacks"),
        pytest.param({"PAYMENT": [2, 5]}, [total("PAYMENT", 5, 2), total("DISPUTE", -9, 1)], False, id="only there"),
        pytest.param({"DISPUTE": [1, 5]}, [total("DISPUTE", 5, 2)], True, id="another type that the details have"),
        pytest.param({"PAYMENT": [2, 5]}, [total("PAYMENT", 5, 2), total("TOTAL", 5, 9)], False, id="types before all"),
        pytest.param({"PAYMENT": [2, 5], "REFUND": [1, -1]}, [total("TOTAL", 4, 3)], False, id="all in all"),
        pytest.param({"PAYMENT": [2, 5], "REFUND": [1, -1]}, [total("TOTAL", 4, 4)], True, id="one of all"),
        pytest.param({"PAYMENT": [2, 5]}, [total("DISPUTE", -9, 1), total("TOTAL", 4, 9)], None, id="of other types"),
        pytest.param({"PAYMENT": [2, 5]}, [total("PAYMENT", 5), total("TOTAL", 5)], None, id="nothing is counted"),
    ],
)
def test_details_lack_lines_that_their_summary_counts(
    lines: dict[str, list[int]], summary: list[Total], lacks: bool | None
) -> None:
    assert lacks_lines(lines, summary) is lacks
