"""A deployment while payments are open."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from local import stack
from tests.kit import ROOT, books
from tests.kit.schedule import SCHEDULE
from tests.kit.stacks import Deployment

Json = dict[str, Any]


NEW_CODE = """

def _of_the_next_release(event, context, handler=handler):
    print(json.dumps({"message": "looked at by the next release", "paymentRequestId": event["paymentRequestId"]}))
    return handler(event, context)


import json
handler = _of_the_next_release
"""


def altered(directory: Path) -> Path:
    """What `sam build` made, with another first state in the polling and one more line in the inquiry's log."""
    built = directory / "build"
    shutil.copytree(stack.BUILD, built)
    inquiry = built / "InquiryFunction" / "app.py"
    inquiry.write_text(inquiry.read_text() + NEW_CODE)
    shutil.rmtree(inquiry.parent / "__pycache__")  # it is used without a look at its source
    machine = json.loads((ROOT / "functions" / "polling.asl.json").read_text())
    machine["StartAt"] = "Rest"
    machine["States"]["Rest"] = machine["States"]["Wait"]
    (built / "polling.asl.json").write_text(json.dumps(machine))
    template = built / "template.yaml"
    text = template.read_text().replace("../../functions/polling.asl.json", "polling.asl.json")
    template.write_text(text.replace("../../functions/", f"{ROOT / 'functions'}/"))
    return built


@pytest.mark.fault("F34")
def test_executions_outlive_a_deployment_by_their_old_definition_and_the_new_code_reads_their_input(
    fast: Deployment, tmp_path: Path
) -> None:
    new_schedule = "4,3,6,12,18,20,120,600,600,3600,7200,21600,54000"
    try:
        with fast.polling_at(3):
            old_id, _ = fast.pay("deployed", **books.NEVER)
            fast.deploy(altered(tmp_path), InquirySchedule=new_schedule)
            # The name of its execution is taken, by one with another input: it must not be polled twice.
            fast.make_overdue(old_id)
            fast.functions.invoke("Sweep")
            execution = fast.seen.execution(old_id)
            assert execution
            assert execution["status"] == "RUNNING"
            assert fast.seen.execution(old_id, 1) is None
        with fast.polling_at(1):
            new_id, _ = fast.pay("deployed", **books.NEVER)
            for payment_request_id in (old_id, new_id):
                fast.seen.awaited("looked at by the next release", payment_request_id)
                books.comes_right(fast, payment_request_id)
        for payment_request_id, first in ((old_id, "Wait"), (new_id, "Rest")):
            assert fast.seen.ended(payment_request_id)["status"] == "SUCCEEDED"
            assert states(fast, payment_request_id)[0] == first
    finally:
        # A parameter that is not named keeps the value it has.
        fast.deploy(InquirySchedule=",".join(map(str, SCHEDULE)))


def states(fast: Deployment, payment_request_id: str) -> list[str]:
    """The states that the order's execution has entered."""
    history = fast.seen.history(payment_request_id)
    return [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]
