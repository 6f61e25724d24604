"""What is measured runs as the template runs it: `make bench` is no part of the suite, and would go stale unseen."""

import pytest

from local.bench.capacity import INDEXES
from local.bench.payments import ENVIRONMENT
from local.bench.workshop import FUNCTIONS
from tests.kit.template import TEMPLATE

PARAMETERS, RESOURCES = TEMPLATE["Parameters"], TEMPLATE["Resources"]


@pytest.mark.parametrize("function", [*FUNCTIONS.values(), "SweepFunction", "PublishEventsFunction"])
def test_a_measured_function_sees_every_variable_of_the_template(function: str) -> None:
    own = RESOURCES[function]["Properties"]["Environment"]["Variables"]
    assert own.keys() | TEMPLATE["Globals"]["Function"]["Environment"]["Variables"].keys() <= ENVIRONMENT.keys()


@pytest.mark.parametrize(
    ("variable", "parameter"), [("INQUIRY_SCHEDULE", "InquirySchedule"), ("CLOSE_AFTER", "CloseAfter")]
)
def test_it_is_measured_with_the_defaults(variable: str, parameter: str) -> None:
    assert ENVIRONMENT[variable] == str(PARAMETERS[parameter]["Default"])


def test_every_index_of_the_order_table_is_charged() -> None:
    declared = {
        tuple(key["AttributeName"] for key in index["KeySchema"]): tuple(
            index["Projection"].get("NonKeyAttributes", ())
        )
        for index in RESOURCES["OrderTable"]["Properties"]["GlobalSecondaryIndexes"]
    }
    assert dict(INDEXES) == declared
