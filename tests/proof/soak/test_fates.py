"""A payment's fate can be drawn again, and as much goes wrong as was asked for."""

from collections import Counter

from .fates import INQUIRY, NOTIFICATION, PAY, draw


def test_a_fate_depends_on_seed_and_number_alone() -> None:
    assert draw(1, 7, 0.3) == draw(1, 7, 0.3)
    assert draw(1, 7, 0.3) != draw(1, 8, 0.3)
    assert draw(1, 7, 0.3) != draw(2, 7, 0.3)


def test_without_probability_nothing_goes_wrong() -> None:
    fate = draw(1, 7, 0)
    assert not any((*fate.pay, *fate.inquiry, *fate.requests, fate.notification, fate.killed, fate.refused))
    assert set(fate.plan["pay"] + fate.plan["inquiry"]) == {"normal"}
    assert fate.plan["notify"] == "normal"


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
