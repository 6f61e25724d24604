"""Events out: what costs an invocation, what becomes of what fails, and the endpoint that a merchant may name."""

import json
from typing import Any

import pytest
from autodebit.agreement.agreement_table import AgreementItem
from autodebit.payment.order_table import OrderItem
from autodebit.rows.told import TellingItem

from tests.kit.template import FUNCTIONS, RESOURCES, TEMPLATE, of_type, statements

STREAMS: dict[str, dict[str, Any]] = {
    name: event["Properties"]
    for name, event in FUNCTIONS["PublishEventsFunction"]["Events"].items()
    if event["Type"] == "DynamoDB"
}


def test_every_table_that_is_told_of_has_a_stream_that_is_read() -> None:
    streaming = {name for name, table in of_type("AWS::DynamoDB::Table").items() if "StreamSpecification" in table}
    read = {stream["Stream"]["GetAtt"].removesuffix(".StreamArn") for stream in STREAMS.values()}
    assert read == streaming
    for name in streaming:
        assert RESOURCES[name]["Properties"]["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_only_what_is_told_costs_an_invocation() -> None:
    for stream in STREAMS.values():
        [pattern] = stream["FilterCriteria"]["Filters"]
        assert json.loads(pattern["Pattern"]) == {"dynamodb": {"NewImage": {"tells": {"BOOL": [True]}}}}
    assert issubclass(OrderItem, TellingItem)
    assert issubclass(AgreementItem, TellingItem)
    assert TellingItem.tells.attr_type == "BOOL"


def test_what_fails_is_tried_again_for_long_but_not_for_ever_and_then_kept() -> None:
    for stream in STREAMS.values():
        assert stream["StartingPosition"] == "TRIM_HORIZON", "a stream that is read anew loses nothing"
        assert stream["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert stream["BisectBatchOnFunctionError"] is True
        assert 0 < stream["MaximumRetryAttempts"] <= 1000
        assert 3600 <= stream["MaximumRecordAgeInSeconds"] < 86400, "the stream itself forgets after a day"
        failed = stream["DestinationConfig"]["OnFailure"]
        assert failed == {"Type": "SQS", "Destination": {"GetAtt": "DeadLetterQueue.Arn"}}


def test_dead_letters_are_kept_as_long_as_a_queue_can() -> None:
    for name in ("DeadLetterQueue", "UndeliveredQueue"):
        assert RESOURCES[name]["Properties"] == {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 1209600}


def test_the_publisher_puts_on_this_bus_and_reads_no_table() -> None:
    allowed = {statement["Sid"]: statement for statement in statements("PublishEventsRole")}
    assert allowed["PutEvents"]["Resource"] == {"GetAtt": "EventBus.Arn"}
    assert set(allowed) == {"ReadStreams", "PutEvents", "KeepDeadLetters", "Log"}


# --- The endpoint ------------------------------------------------------------------------------------------------

ENDPOINT = ("EndpointKey", "EndpointConnection", "EndpointDestination", "EndpointRule", "EndpointRole")
QUEUE = ("UndeliveredQueue", "UndeliveredQueuePolicy", "EventsUndeliveredAlarm")


def test_without_an_endpoint_there_is_nothing_of_it() -> None:
    assert TEMPLATE["Conditions"]["HasEventEndpoint"] == {"Not": [{"Equals": [{"Ref": "EventEndpoint"}, ""]}]}
    conditional = {name for name, resource in RESOURCES.items() if resource.get("Condition") == "HasEventEndpoint"}
    assert conditional == {*ENDPOINT, *QUEUE}
    assert TEMPLATE["Outputs"]["EventEndpointKey"]["Condition"] == "HasEventEndpoint"


def test_the_endpoint_gets_every_event_and_knows_it_by_a_key_that_nobody_typed() -> None:
    destination = RESOURCES["EndpointDestination"]["Properties"]
    assert (destination["HttpMethod"], destination["InvocationEndpoint"]) == ("POST", {"Ref": "EventEndpoint"})
    assert destination["ConnectionArn"] == {"GetAtt": "EndpointConnection.Arn"}
    connection = RESOURCES["EndpointConnection"]["Properties"]
    assert connection["AuthorizationType"] == "API_KEY"
    key = connection["AuthParameters"]["ApiKeyAuthParameters"]
    assert key["ApiKeyValue"] == {"Sub": "{{resolve:secretsmanager:${EndpointKey}}}"}
    assert RESOURCES["EndpointKey"]["Properties"]["GenerateSecretString"]["PasswordLength"] >= 32
    rule = RESOURCES["EndpointRule"]["Properties"]
    assert (rule["EventBusName"], rule["EventPattern"]) == ({"Ref": "EventBus"}, {"source": ["autodebit"]})


def test_what_the_endpoint_does_not_take_is_tried_for_a_day_and_then_kept() -> None:
    [target] = RESOURCES["EndpointRule"]["Properties"]["Targets"]
    assert target["Arn"] == {"GetAtt": "EndpointDestination.Arn"}
    assert target["RoleArn"] == {"GetAtt": "EndpointRole.Arn"}
    # The most there is: docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
    assert target["DeadLetterConfig"] == {"Arn": {"GetAtt": "UndeliveredQueue.Arn"}}
    [statement] = RESOURCES["UndeliveredQueuePolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert statement["Resource"] == {"GetAtt": "UndeliveredQueue.Arn"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"GetAtt": "EndpointRule.Arn"}}}


def test_the_rule_may_call_the_endpoint_and_nothing_else() -> None:
    [statement] = statements("EndpointRole")
    assert statement["Action"] == "events:InvokeApiDestination"
    assert statement["Resource"] == {"GetAtt": "EndpointDestination.Arn"}


SCHEDULED = [
    name
    for name, function in FUNCTIONS.items()
    if any(event["Type"] == "Schedule" for event in function.get("Events", {}).values())
]


@pytest.mark.parametrize("function", SCHEDULED)
def test_a_run_by_the_clock_that_is_late_is_left_to_the_next_one(function: str) -> None:
    """By default Lambda keeps throttled events for six hours, and then they come all at once."""
    configured = FUNCTIONS[function]["EventInvokeConfig"]
    assert configured == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
