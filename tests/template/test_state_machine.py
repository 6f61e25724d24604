"""The state machine that polls: no state leads nowhere, no fault ends in silence, the schedule is the documented."""

import ast
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from autodebit.polling import DEFAULT_SCHEDULE, next_wait, parse_schedule

from tests.kit import ROOT
from tests.kit.template import FUNCTIONS, MODULES, RESOURCES, STATE_MACHINE, TEMPLATE, calls, of_type, statements

STATES: dict[str, Any] = STATE_MACHINE["States"]
TASKS = [name for name, state in STATES.items() if state["Type"] == "Task"]
MACHINES = {
    name: machine
    for name, machine in of_type("AWS::Serverless::StateMachine").items()
    if name != "ReconciliationStateMachine"
}
"""Those that poll."""
SCHEDULE = parse_schedule(TEMPLATE["Parameters"]["InquirySchedule"]["Default"])


def followers(state: dict[str, Any]) -> set[str]:
    """Every state that may come next."""
    next_states = {state[name] for name in ("Next", "Default") if name in state}
    next_states |= {branch["Next"] for name in ("Choices", "Catch") for branch in state.get(name, [])}
    return next_states


# --- The graph ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATES)
def test_a_state_leads_to_states_that_exist_or_ends_the_execution(name: str) -> None:
    state = STATES[name]
    assert followers(state) <= set(STATES)
    if state["Type"] in ("Succeed", "Fail"):
        assert not followers(state)
        assert "End" not in state
    else:
        assert followers(state)
        assert ("Next" in state) or state["Type"] == "Choice"


def test_every_state_can_be_reached_and_an_end_can_be_reached_from_every_state() -> None:
    assert STATE_MACHINE["StartAt"] in STATES
    reached = {STATE_MACHINE["StartAt"]}
    while more := {after for name in reached for after in followers(STATES[name])} - reached:
        reached |= more
    assert reached == set(STATES)
    ending = {name for name, state in STATES.items() if state["Type"] in ("Succeed", "Fail")}
    while more := {name for name in STATES if followers(STATES[name]) & ending} - ending:
        ending |= more
    assert ending == set(STATES)


def test_an_execution_ends_in_one_of_four_ways() -> None:
    assert {name for name, state in STATES.items() if state["Type"] == "Succeed"} == {"Settled", "Superseded"}
    failing = {name: state["Error"] for name, state in STATES.items() if state["Type"] == "Fail"}
    assert failing == {"PollingSpent": "PollingSpent", "InquiryBroken": "InquiryBroken"}
    assert all(STATES[name]["Cause"] for name in failing)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_bounded_repeated_and_never_lost(name: str) -> None:
    task = STATES[name]
    assert 0 < task["TimeoutSeconds"] <= 60
    assert task["Retry"]
    (caught,) = [catch for catch in task["Catch"] if catch["ErrorEquals"] == ["States.ALL"]]
    assert STATES[caught["Next"]]["Type"] == "Fail"


def test_a_task_outlasts_its_function() -> None:
    assert STATES["Look"]["TimeoutSeconds"] > FUNCTIONS["InquiryFunction"]["Timeout"]


def test_retries_are_few_spaced_and_the_general_one_is_last() -> None:
    retries = STATES["Look"]["Retry"]
    for retry in retries:
        assert retry["MaxAttempts"] <= 6
        assert retry["BackoffRate"] >= 1
        assert retry["JitterStrategy"] in ("FULL", "NONE")
    assert [retry["ErrorEquals"] for retry in retries].index(["States.ALL"]) == len(retries) - 1


def test_what_may_have_inquired_waits_more_than_three_seconds_before_it_is_repeated() -> None:
    for retry in STATES["Look"]["Retry"]:
        if retry["ErrorEquals"] != ["Lambda.TooManyRequestsException"]:
            assert retry["IntervalSeconds"] > 3
            assert retry["JitterStrategy"] == "NONE", "full jitter may wait for no time at all"


def test_a_throttled_look_is_repeated_with_jitter() -> None:
    (throttled,) = [r for r in STATES["Look"]["Retry"] if "Lambda.TooManyRequestsException" in r["ErrorEquals"]]
    assert throttled["JitterStrategy"] == "FULL"


# --- What passes between the states ------------------------------------------------------------------------------


def test_the_definition_has_no_placeholder_that_the_template_does_not_fill() -> None:
    text = (ROOT / "functions" / "polling.asl.json").read_text("utf-8")
    machine = RESOURCES["PollingStateMachine"]["Properties"]
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set(machine["DefinitionSubstitutions"])
    assert machine["DefinitionUri"] == "functions/polling.asl.json"
    assert not re.findall(r"arn:aws:", text), "other partitions have other ARNs"


@pytest.mark.parametrize("machine", MACHINES)
def test_a_state_machine_may_call_the_function_it_looks_with_and_no_other(machine: str) -> None:
    properties = MACHINES[machine]
    role = properties["Role"]["GetAtt"].removesuffix(".Arn")
    (invoke,) = [s for s in statements(role) if s["Action"] == "lambda:InvokeFunction"]
    assert invoke["Resource"] == properties["DefinitionSubstitutions"]["InquiryFunction"]


def test_all_that_is_polled_is_polled_by_one_definition() -> None:
    looks_with = {name: one["DefinitionSubstitutions"]["InquiryFunction"]["GetAtt"] for name, one in MACHINES.items()}
    assert looks_with == {
        "PollingStateMachine": "InquiryFunction.Arn",
        "AgreementStateMachine": "ApplyTokenFunction.Arn",
        "RefundStateMachine": "InquireRefundFunction.Arn",
    }
    assert {one["DefinitionUri"] for one in MACHINES.values()} == {"functions/polling.asl.json"}


def test_the_state_machine_lasts_longer_than_a_day_and_logs_no_messages() -> None:
    machine = RESOURCES["PollingStateMachine"]["Properties"]
    assert machine["Type"] == "STANDARD"
    assert machine["Logging"]["IncludeExecutionData"] is False
    assert "TimeoutSeconds" not in STATE_MACHINE or STATE_MACHINE["TimeoutSeconds"] > 2 * sum(SCHEDULE)


@pytest.mark.parametrize(
    ("source", "name", "key"),
    [
        (MODULES["payment.inquire"], "state", "paymentRequestId"),
        (ROOT / "functions/apply_token/app.py", "event", "agreementId"),
    ],
    ids=["inquiry", "apply_token"],
)
def test_the_states_read_what_the_function_and_the_starter_write(source: Path, name: str, key: str) -> None:
    read = set(re.findall(r"\$states\.input\.(\w+)", str(STATES)))
    assert read == {"waitSeconds", "waitUntil", "superseded", "status"}
    looking = ast.parse(source.read_text("utf-8"))
    starter = ast.parse(MODULES["polling_machine"].read_text("utf-8"))
    (start,) = [node for node in ast.walk(starter) if isinstance(node, ast.Dict)][:1]
    started = [ast.unparse(name) for name in start.keys if name]
    assert started == ["self.key_name", "'round'", "'inquiry'", "'waitSeconds'"]
    taken = {
        ast.literal_eval(node.slice)
        for node in ast.walk(looking)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == name
    }
    assert taken == {key, "inquiry"}, "an execution of an older definition has no more"
    assert not list(calls(looking, "sleep"))


def test_the_choice_asks_for_the_status_before_the_wait() -> None:
    """A settled order whose schedule goes on must not be looked at again."""
    decide = STATES["Decide"]
    assert [choice["Next"] for choice in decide["Choices"]] == ["Settled", "Superseded", "Wait", "WaitUntil"]
    assert decide["Choices"][0]["Condition"] == "{% $states.input.status != 'INIT' %}"
    conditions = [choice["Condition"] for choice in decide["Choices"][1:]]
    assert conditions == [
        f"{{% $exists($states.input.{name}) %}}" for name in ("superseded", "waitSeconds", "waitUntil")
    ]
    assert decide["Default"] == "PollingSpent"


# --- The schedule ------------------------------------------------------------------------------------------------


def test_the_schedule_is_the_documented_one() -> None:
    assert SCHEDULE == DEFAULT_SCHEDULE == (5, 5, 8, 12, 12, 20, 120, 600, 600, 3600, 7200, 21600, 54000)


def test_the_schedule_lasts_a_little_longer_than_alipays_own_notifying() -> None:
    """Through the minute an auto debit lives, then at the intervals of notifications: 24 h 22 min in all."""
    until = list(accumulate(SCHEDULE))
    assert len(SCHEDULE) == 13
    minute = [instant for instant in until if instant <= 62]
    assert (len(minute), minute[-1]) == (6, 62)
    assert SCHEDULE[6:] == (2 * 60, 10 * 60, 10 * 60, 3600, 2 * 3600, 6 * 3600, 15 * 3600)
    notified_until_s = 24 * 3600 + 22 * 60
    assert notified_until_s < until[-1] < notified_until_s + 5 * 60


def test_an_order_that_stays_init_is_looked_at_after_every_wait_and_then_given_to_a_person() -> None:
    """The state machine's loop, walked through with the function's own rule for the next wait."""
    state: dict[str, Any] = {"status": "INIT", "inquiry": 0, "waitSeconds": SCHEDULE[0]}
    name, waited, looks = STATE_MACHINE["StartAt"], 0, 0
    while STATES[name]["Type"] not in ("Succeed", "Fail"):
        if name == "Wait":
            waited += state["waitSeconds"]
        elif name == "Look":
            looks += 1
            wait_s = next_wait(state["inquiry"] + 1, SCHEDULE)
            state = {"status": "INIT", "inquiry": state["inquiry"] + 1}
            state |= {} if wait_s is None else {"waitSeconds": wait_s}
        name = STATES[name].get("Next") or ("Wait" if "waitSeconds" in state else STATES[name]["Default"])
    assert (name, looks, waited) == ("PollingSpent", 13, sum(SCHEDULE))


def test_the_sweep_runs_every_minute() -> None:
    (event,) = FUNCTIONS["SweepFunction"]["Events"].values()
    assert (event["Type"], event["Properties"]["Schedule"]) == ("Schedule", "rate(1 minute)")
