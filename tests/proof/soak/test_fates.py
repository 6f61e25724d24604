"""A payment's fate can be drawn again, and as much goes wrong as was asked for."""

from collections import Counter

from .fates import (
    INQUIRY,
    INQUIRY_REFUND,
    NOTIFICATION,
    OTHER_AMOUNT,
    PAY,
    REFUND,
    REFUND_NOTIFICATION,
    REFUND_TRUTHS,
    draw,
)


def test_a_fate_depends_on_seed_and_number_alone() -> None:
    assert draw(1, 7, 0.3) == draw(1, 7, 0.3)
    assert draw(1, 7, 0.3) != draw(1, 8, 0.3)
    assert draw(1, 7, 0.3) != draw(2, 7, 0.3)


def test_without_probability_nothing_goes_wrong() -> None:
    fate = draw(1, 7, 0)
    assert not any((*fate.pay, *fate.inquiry, *fate.requests, fate.notification, fate.killed, fate.refused))
    assert set(fate.plan["pay"] + fate.plan["inquiry"]) == {"normal"}
    assert fate.plan["notify"] == "normal"
    refunds = [refund for number in range(100) for refund in draw(1, number, 0).refunds]
    assert refunds
    for refund in refunds:
        assert not any((*refund.refund, *refund.inquiry, *refund.requests, refund.notification, refund.killed))
        assert set(refund.plan["refund"] + refund.plan["inquiryRefund"]) == {"normal"}
        assert refund.plan["notify"] == "normal"


def test_three_calls_in_ten_are_faulty_and_no_kind_is_left_out() -> None:
    fates = [draw(1, number, 0.3) for number in range(10_000)]
    for drawn, kinds in (
        ([fate.pay[0] for fate in fates], PAY),
        ([fate.inquiry[0] for fate in fates], INQUIRY),
        ([fate.notification for fate in fates], NOTIFICATION),
    ):
        counted = Counter(drawn)
        assert 0.28 < 1 - counted.pop("") / len(fates) < 0.32
        assert counted.keys() == kinds.keys()


def test_refunds_meet_as_many_faults() -> None:
    refunds = [refund for number in range(30_000) for refund in draw(1, number, 0.3).refunds]
    for drawn, kinds in (
        ([refund.refund[0] for refund in refunds], REFUND),
        ([refund.inquiry[0] for refund in refunds], INQUIRY_REFUND),
        ([refund.notification for refund in refunds], REFUND_NOTIFICATION),
    ):
        counted = Counter(drawn)
        assert 0.28 < 1 - counted.pop("") / len(refunds) < 0.32
        assert counted.keys() == kinds.keys()
    truths = {(truth["status"], truth.get("code")) for _, truth in REFUND_TRUTHS}
    assert {(refund.result["status"], refund.result.get("code")) for refund in refunds} == truths


def test_a_quarter_of_what_is_paid_is_asked_back_in_every_way() -> None:
    fates = [draw(1, number, 0.3) for number in range(10_000)]
    paid = [fate for fate in fates if fate.result["status"] == "SUCCESS"]
    given_back = [fate for fate in fates if fate.refunds]
    assert {fate.result["status"] for fate in given_back} == {"SUCCESS"}
    assert 0.23 < len(given_back) / len(paid) < 0.27
    ways = Counter[tuple[int, str]]()
    for fate in given_back:
        values, whole = [int(refund.amount["value"]) for refund in fate.refunds], int(fate.amount["value"])
        assert all(int(OTHER_AMOUNT["value"]) < value <= whole for value in values)
        left = whole - sum(values)
        ways[len(values), "left" if left > 0 else "nothing left" if left == 0 else "too much"] += 1
        assert [refund.refund_request_id for refund in fate.refunds] == [
            f"{fate.payment_request_id}-r{number}" for number in range(1, len(values) + 1)
        ]
    assert {way for way in ways if way != (2, "nothing left")} == {
        (1, "left"),
        (1, "nothing left"),
        (2, "left"),
        (2, "too much"),
    }
    assert {fate.refunds_at_once for fate in given_back} == {True, False}


def test_a_seed_goes_on_meaning_the_same_payments() -> None:
    fate = draw(20261123, 17, 0.3)
    assert (fate.amount["value"], fate.result, fate.killed_after_s) == ("587868", {"status": "SUCCESS"}, 0.142)
    assert fate.pay == ("", "", "", "", "unknown", "")
    assert fate.requests == ("", "gives up and repeats", "", "repeats an answered request")
