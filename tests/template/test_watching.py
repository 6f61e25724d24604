"""What somebody sees: alarms and widgets on metrics that are really emitted, and a heading for each alarm."""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from autodebit import telemetry
from autodebit.payment.order import Order
from autodebit.refund.refund import Refund
from autodebit.telemetry import NAMESPACE

from tests.kit import ROOT
from tests.kit.template import ALARMS, FUNCTIONS, RESOURCES, metrics_counted, of_type

Metric = tuple[str, str, frozenset[str]]
"""Namespace, name, and the names of the dimensions."""

OF_AWS: dict[str, tuple[set[str], set[str]]] = {
    "AWS/States": ({"ExecutionsFailed"}, {"StateMachineArn"}),
    "AWS/ApiGateway": ({"Count", "4XXError", "5XXError", "Latency"}, {"ApiName", "Stage"}),
    "AWS/Lambda": ({"Errors", "Throttles", "IteratorAge"}, {"FunctionName"}),
    "AWS/SQS": ({"ApproximateNumberOfMessagesVisible"}, {"QueueName"}),
}
"""What AWS emits by itself, and with which dimensions.

https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""

STACK = "AWS::StackName"


def of_aws(namespace: str, name: str, dimensions: set[str]) -> bool:
    names, wanted = OF_AWS.get(namespace, (set(), set()))
    return name in names and dimensions == wanted


@pytest.fixture(scope="module")
def emitted() -> set[Metric]:
    """What the functions' log lines make CloudWatch count, read from such lines."""
    written = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(written):
        patch.setenv("POWERTOOLS_SERVICE_NAME", "shop")
        for name in metrics_counted():
            telemetry.count(name)
        telemetry.metrics.flush_metrics()
        for kind in (Order.kind, Refund.kind):
            telemetry.settled(kind, status="SUCCESS", settled_by="notify", seconds=0.5, keys={})
        telemetry.refused("RequestInvalid")
        telemetry.cancel_heard("accepted", "SUCCESS", {})
    return {metric for line in written.getvalue().splitlines() for metric in published(json.loads(line))}


def published(line: dict[str, Any]) -> Iterator[Metric]:
    for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
        for metric in directive["Metrics"]:
            for names in directive["Dimensions"]:
                yield directive["Namespace"], metric["Name"], frozenset(names)


# --- Alarms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_listens_to_a_metric_that_somebody_emits(alarm: str, emitted: set[Metric]) -> None:
    properties = ALARMS[alarm]
    namespace, name = properties["Namespace"], properties["MetricName"]
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in properties["Dimensions"]}
    if not of_aws(namespace, name, set(dimensions)):
        assert name in metrics_counted()
        assert (namespace, name, frozenset(dimensions)) in emitted
        assert dimensions == {"service": {"Ref": STACK}}


def test_the_metrics_are_found_in_the_source() -> None:
    counted = {"Fault", "Contradiction", "AnswerRefused", "OrdersInitTooLong", "PaymentSettled", "EventsPut"}
    assert counted <= metrics_counted()


def test_what_a_person_has_to_act_on_has_an_alarm() -> None:
    heard = {properties["MetricName"] for properties in ALARMS.values()}
    assert {"ExecutionsFailed", "OrdersInitTooLong", "AnswerRefused", "Contradiction", "Fault"} <= heard
    assert {"5XXError", "4XXError", "IteratorAge", "ApproximateNumberOfMessagesVisible"} <= heard


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_reaches_the_topic(alarm: str) -> None:
    properties = ALARMS[alarm]
    assert properties["AlarmActions"] == {"If": ["HasAlarmTopic", [{"Ref": "AlarmTopic"}], {"Ref": "AWS::NoValue"}]}
    assert properties["ComparisonOperator"] == ("LessThan" if alarm in RUNS else "GreaterThanOrEqualTo") + "Threshold"
    assert properties["Threshold"] == RATES.get(alarm, 1)
    assert properties.get("DatapointsToAlarm", 1) <= properties["EvaluationPeriods"]
    assert properties["Period"] in ((RUNS[alarm][1],) if alarm in RUNS else (60, 300))
    assert "ActionsEnabled" not in properties


RATES = {"ApiFailsAlarm": 0.05, "ApiRefusesAlarm": 0.33, "EventsLateAlarm": 300_000}
"""Where one is not too many: shares of the requests, milliseconds."""


RUNS = {
    "RefundsNotSweptAlarm": ("SweepRefundsFunction", 60),
    "AgreementsNotSweptAlarm": ("SweepAgreementsFunction", 60),
    "TokensNotRefreshedAlarm": ("RefreshTokensFunction", 3600),
}
"""Alarms on a function that does not run: which one, and each how many seconds it runs and counts something."""


@pytest.mark.parametrize("alarm", ["ApiFailsAlarm", "ApiRefusesAlarm"])
def test_one_bad_answer_wakes_nobody(alarm: str) -> None:
    assert ALARMS[alarm]["Statistic"] == "Average", "of 0 and 1 for each request"
    assert ALARMS[alarm]["DatapointsToAlarm"] >= 2


def test_what_runs_by_a_schedule_and_does_not_is_heard() -> None:
    hears_silence = {name for name, properties in ALARMS.items() if properties["TreatMissingData"] == "breaching"}
    assert hears_silence == {"OrdersInitTooLongAlarm", *RUNS}
    assert {properties["TreatMissingData"] for properties in ALARMS.values()} == {"breaching", "notBreaching"}
    every = {
        function: event["Properties"]["Schedule"]
        for function, properties in FUNCTIONS.items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "Schedule"
    }
    rates = {60: "rate(1 minute)", 3600: "rate(1 hour)"}
    assert every == {"SweepFunction": "rate(1 minute)"} | {function: rates[s] for function, s in RUNS.values()}
    for alarm in RUNS:
        assert ALARMS[alarm]["Statistic"] == "SampleCount", "whatever it counted, it ran"
        assert ALARMS[alarm]["DatapointsToAlarm"] == ALARMS[alarm]["EvaluationPeriods"] == 3


def test_an_execution_that_fails_is_heard_whichever_machine_it_is_of() -> None:
    heard = {
        dimension["Value"]["Ref"]
        for properties in ALARMS.values()
        if properties["MetricName"] == "ExecutionsFailed"
        for dimension in properties["Dimensions"]
    }
    assert heard == set(of_type("AWS::Serverless::StateMachine"))


def test_an_order_is_new_to_the_alarm_for_longer_than_the_alarm_takes_to_hear_it() -> None:
    from autodebit.payment.count_init import NEW_S

    properties = ALARMS["OrdersInitTooLongAlarm"]
    assert properties["Period"] * (properties["DatapointsToAlarm"] + 1) <= NEW_S


def test_the_table_of_costs_counts_what_is_charged_by_the_piece() -> None:
    growth = (ROOT / "docs/growth.md").read_text("utf-8")
    assert f"| {len(ALARMS)} alarms |" in growth
    assert f"| {len(of_type('AWS::KMS::Key'))} KMS keys |" in growth


# --- The runbook -------------------------------------------------------------------------------------------------

HEADINGS = re.findall(r"^## (.+)$", (ROOT / "docs/runbook.md").read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_names_its_heading_in_the_runbook(alarm: str) -> None:
    said, _, heading = ALARMS[alarm]["AlarmDescription"].rpartition(" Runbook - ")
    assert heading == f"{alarm.removesuffix('Alarm')}."
    assert heading.removesuffix(".") in HEADINGS
    assert len(said) > 40


def test_the_lines_that_the_runbook_searches_for_are_logged() -> None:
    searched = re.findall(r'message = "([^"]+)"', (ROOT / "docs/runbook.md").read_text("utf-8"))
    assert searched
    code = "".join(path.read_text("utf-8") for path in (ROOT / "layers/autodebit/python").rglob("*.py"))
    assert [line for line in searched if not re.search(rf'logger\.\w+\(\s*"{re.escape(line)}"', code)] == []


# --- The dashboard -----------------------------------------------------------------------------------------------

BODY = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
WIDGETS = [widget["properties"] for widget in json.loads(BODY)["widgets"]]
SEARCH = re.compile(
    r"SEARCH\('\{(?P<schema>[^}]+)\} service=\"(?P<service>[^\"]+)\" MetricName=\"(?P<name>\w+)\"', '\w+', (60|300)\)"
)


@pytest.mark.parametrize("widget", WIDGETS, ids=lambda widget: widget["title"])
def test_a_widget_shows_metrics_that_somebody_emits(widget: dict[str, Any], emitted: set[Metric]) -> None:
    for metric in widget["metrics"]:
        texts = [word for word in metric if isinstance(word, str)]
        if texts:
            namespace, name, *pairs = texts
            dimensions = dict(zip(pairs[::2], pairs[1::2], strict=True))
            if not of_aws(namespace, name, set(dimensions)):
                assert (namespace, name, frozenset(dimensions)) in emitted
                assert dimensions == {"service": f"${{{STACK}}}"}
        else:
            searched = SEARCH.fullmatch(metric[0]["expression"])
            assert searched, metric
            namespace, *names = searched["schema"].split(",")
            assert (namespace, searched["name"], frozenset(names)) in emitted
            assert searched["service"] == f"${{{STACK}}}"


def test_business_comes_first() -> None:
    of_business = [NAMESPACE in json.dumps(widget["metrics"]) for widget in WIDGETS[:6]]
    assert all(of_business)
    places = [(widget["y"], widget["x"]) for widget in json.loads(BODY)["widgets"]]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


def test_everything_that_is_counted_is_shown_or_heard() -> None:
    heard = {properties["MetricName"] for properties in ALARMS.values()}
    unseen = {name for name in metrics_counted() if f'"{name}"' not in json.dumps(WIDGETS).replace("\\", "")}
    assert unseen - heard == set()


def test_a_dashboard_names_only_functions_of_the_template() -> None:
    named = set(re.findall(r"\$\{(\w+Function)\}", BODY))
    assert named <= set(FUNCTIONS)
