"""`make demo`: how it tells what happened."""

from local import demo


def test_an_amount_is_written_in_one_way_only() -> None:
    assert [demo.money({"currency": "HKD", "value": value}) for value in ("1990", "990", "5", "0")] == [
        "HKD 19.90",
        "HKD 9.90",
        "HKD 0.05",
        "HKD 0.00",
    ]
