"""What the row keeps of what was heard: how it began, how it went on, and no more than its room."""

from datetime import timedelta

from autodebit.payment.heard import HEARD_MAX, Heard, with_heard

from tests.kit.samples import NOW, order


def at(second: int) -> Heard:
    return Heard(f"said {second}", NOW + timedelta(seconds=second), 1, NOW + timedelta(seconds=second))


def test_the_same_in_a_row_is_one_entry_with_its_first_and_its_last_time() -> None:
    heard: tuple[Heard, ...] = ()
    for second in (1, 2, 5):
        heard = with_heard(heard, "U", NOW + timedelta(seconds=second))
    assert heard == (Heard("U", NOW + timedelta(seconds=1), 3, NOW + timedelta(seconds=5)),)


def test_what_comes_back_later_is_an_entry_of_its_own() -> None:
    row = order().hears("a", NOW).hears("b", NOW).hears("a", NOW)
    assert [heard.said for heard in row.heard] == ["a", "b", "a"]


def test_beyond_its_room_the_row_keeps_the_first_and_the_latest() -> None:
    heard: tuple[Heard, ...] = ()
    for second in range(20):
        heard = with_heard(heard, f"said {second}", NOW + timedelta(seconds=second))
    assert heard == (at(0), *(at(second) for second in range(20 - HEARD_MAX + 1, 20)))
