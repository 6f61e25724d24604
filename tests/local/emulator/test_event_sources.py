"""How streams and rules invoke functions."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.kit.waiting import eventually

from .kit import ACCOUNT, REGION, Emulator, policy, start_corrected

# It writes down the ids of each batch. An id says what becomes of the batch it is in.
CONSUMER = """
import json, os, time

def handler(event, context):
    if "Records" not in event:
        ids = [event["detail"]["id"]]
    else:
        ids = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(json.dumps(ids) + "\\n")
    for position, id in enumerate(ids):
        if id.startswith("crash"):
            raise RuntimeError(id)
        if id.startswith("bad"):
            return {"batchItemFailures": [{"itemIdentifier": event["Records"][position]["dynamodb"]["SequenceNumber"]}]}
        if id.startswith("foreign"):
            return {"batchItemFailures": [{"itemIdentifier": "no record of this batch"}]}
        while id.startswith("slow") and not os.path.exists(os.environ["JOURNAL"] + ".go"):
            time.sleep(0.05)
"""
READ_STREAMS = ("dynamodb:*", "*")
SEND = ("sqs:SendMessage", "*")


class Consumer:
    """A table's stream, a function that reads it, and a queue for what it gives up."""

    def __init__(self, emulator: Emulator, directory: Path, *ids: str, **mapping: Any) -> None:
        self.emulator, self.journal = emulator, directory / f"journal-{uuid4().hex}"
        self.role = mapping.pop("role", None) or emulator.role(READ_STREAMS, SEND)
        self.function = emulator.function(
            CONSUMER, role=self.role, Environment={"Variables": {"JOURNAL": str(self.journal)}}
        )
        emulator.aws("lambda").put_function_concurrency(
            FunctionName=self.function, ReservedConcurrentExecutions=mapping.pop("concurrency", 1)
        )
        table = emulator.table(
            *ids, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        )
        self.table = table["TableName"]
        self.undelivered, queue = emulator.queue()
        self.mapping = emulator.aws("lambda").create_event_source_mapping(
            FunctionName=self.function,
            EventSourceArn=table["LatestStreamArn"],
            StartingPosition="TRIM_HORIZON",
            DestinationConfig={"OnFailure": {"Destination": queue}},
            **mapping,
        )["UUID"]

    @property
    def batches(self) -> list[list[str]]:
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [json.loads(line) for line in lines]

    def put(self, id_: str) -> None:
        self.emulator.aws("dynamodb").put_item(TableName=self.table, Item={"id": {"S": id_}})

    def batches_until(self, id_: str) -> list[list[str]]:
        """All batches before this item's, which is put while the first is at work: its own comes after the rest."""
        eventually(lambda: self.batches, f"the batches before {id_}", within_s=60)
        self.put(id_)
        eventually(lambda: [id_] in self.batches, id_, within_s=60)
        return self.batches[: self.batches.index([id_])]

    def is_left_alone(self) -> bool:
        """Whether the function has not been invoked, and is not for a while."""
        time.sleep(2)
        return not self.batches

    def stop(self) -> None:
        self.emulator.aws("lambda").delete_event_source_mapping(UUID=self.mapping)

    def given_up(self) -> dict[str, Any]:
        """The failure record."""
        [record] = eventually(lambda: self.emulator.received(self.undelivered), "a failure record", within_s=60)
        return dict(record)


def test_a_batch_is_tried_as_often_as_its_mapping_says(stock: Emulator, corrected: Emulator, tmp_path: Path) -> None:
    consumer = Consumer(corrected, tmp_path, "good", "crash", MaximumRetryAttempts=1)
    record = consumer.given_up()
    assert consumer.batches_until("next") == [["good", "crash"]] * 2
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["DDBStreamBatchInfo"]["batchSize"] == 2
    consumer.stop()

    consumer = Consumer(stock, tmp_path, "good", "crash", MaximumRetryAttempts=1)
    eventually(lambda: len(consumer.batches) > 3, "ministack tries for ever", within_s=60)
    consumer.stop()


def test_a_failing_batch_is_split_until_the_culprit_is_alone(
    stock: Emulator, corrected: Emulator, tmp_path: Path
) -> None:
    options = {"MaximumRetryAttempts": 1, "BisectBatchOnFunctionError": True}
    consumer = Consumer(corrected, tmp_path, "1", "2", "crash", "4", **options)
    assert consumer.given_up()["DDBStreamBatchInfo"]["batchSize"] == 1
    split = [["1", "2", "crash", "4"], ["1", "2"], ["crash", "4"], ["crash"], ["crash"], ["4"]]
    assert consumer.batches_until("next") == split
    consumer.stop()

    consumer = Consumer(stock, tmp_path, "1", "2", "crash", "4", **options)
    eventually(lambda: len(consumer.batches) > 2, "another try", within_s=60)
    assert {len(batch) for batch in consumer.batches} == {4}
    consumer.stop()


def test_a_partial_answer_is_gone_on_from_where_it_says(stock: Emulator, corrected: Emulator, tmp_path: Path) -> None:
    options = {"MaximumRetryAttempts": 2, "FunctionResponseTypes": ["ReportBatchItemFailures"]}

    def batches(emulator: Emulator, **more: Any) -> list[list[str]]:
        consumer = Consumer(emulator, tmp_path, "1", "bad", "3", **options, **more)
        found = consumer.batches_until("next")
        consumer.stop()
        return found

    assert batches(corrected) == [["1", "bad", "3"], ["bad", "3"], ["bad", "3"]]
    assert batches(corrected, BisectBatchOnFunctionError=True)[-3:] == [["bad"], ["bad"], ["3"]]
    assert batches(stock) == [["1", "bad", "3"]]


def test_a_partial_answer_that_names_no_record_fails_the_batch(corrected: Emulator, tmp_path: Path) -> None:
    options = {"MaximumRetryAttempts": 1, "FunctionResponseTypes": ["ReportBatchItemFailures"]}
    consumer = Consumer(corrected, tmp_path, "1", "foreign", **options)
    assert consumer.batches_until("next") == [["1", "foreign"]] * 2
    consumer.stop()


def test_a_slow_function_delays_no_other(stock: Emulator, corrected: Emulator, tmp_path: Path) -> None:
    def other_waits(emulator: Emulator) -> bool:
        slow = Consumer(emulator, tmp_path, "slow")
        eventually(lambda: slow.batches, "the slow one to begin", within_s=60)
        other = Consumer(emulator, tmp_path, "quick")
        try:
            eventually(lambda: other.batches, "the other's batch", within_s=60 if emulator is corrected else 4)
        except AssertionError:
            return True
        finally:
            slow.journal.with_name(slow.journal.name + ".go").touch()
            slow.stop()
            other.stop()
        return False

    assert not other_waits(corrected)
    assert other_waits(stock)


def test_a_stream_is_read_by_the_functions_role(stock: Emulator, corrected: Emulator, tmp_path: Path) -> None:
    consumer = Consumer(corrected, tmp_path, "1", role=corrected.role(("dynamodb:GetRecords", "*")))
    assert consumer.is_left_alone()
    name = consumer.role.rpartition("/")[2]
    corrected.aws("iam").put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(READ_STREAMS))
    eventually(lambda: consumer.batches == [["1"]], "the batch", within_s=60)
    consumer.stop()

    consumer = Consumer(stock, tmp_path, "1", role=stock.role())
    eventually(lambda: consumer.batches == [["1"]], "ministack asks no role", within_s=60)
    consumer.stop()


def test_a_failure_is_told_only_where_the_functions_role_may_tell(corrected: Emulator, tmp_path: Path) -> None:
    consumer = Consumer(corrected, tmp_path, "crash", MaximumRetryAttempts=0, role=corrected.role(READ_STREAMS))
    assert consumer.batches_until("next") == [["crash"]]
    assert not corrected.received(consumer.undelivered)
    consumer.stop()


def test_a_throttled_call_uses_up_no_retry(corrected: Emulator, tmp_path: Path) -> None:
    consumer = Consumer(corrected, tmp_path, "1", MaximumRetryAttempts=0, concurrency=0)
    assert consumer.is_left_alone()
    corrected.aws("lambda").delete_function_concurrency(FunctionName=consumer.function)
    eventually(lambda: consumer.batches == [["1"]], "the batch", within_s=60)
    assert not corrected.received(consumer.undelivered)
    consumer.stop()


def test_what_a_stream_held_is_delivered_after_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state"
    emulator = start_corrected(tmp_path, EMULATOR_STATE_DIR=str(state))
    consumer = Consumer(emulator, tmp_path)
    emulator.process.send_signal(signal.SIGUSR1)
    eventually(lambda: (state / "lambda.json").exists(), "the saved state", within_s=60)
    consumer.put("slow")
    eventually(lambda: consumer.batches, "the delivery that does not end", within_s=60)
    consumer.put("next")
    emulator.stop(signal.SIGKILL)

    emulator = start_corrected(tmp_path, EMULATOR_STATE_DIR=str(state))
    consumer.journal.with_name(consumer.journal.name + ".go").touch()
    eventually(lambda: any("next" in batch for batch in consumer.batches), "what was in the stream", within_s=60)
    emulator.stop()


def test_a_filter_keeps_records_from_the_function(corrected: Emulator, tmp_path: Path) -> None:
    pattern = {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"id": {"S": [{"prefix": "told"}]}}}}
    criteria = {"Filters": [{"Pattern": json.dumps(pattern)}]}
    consumer = Consumer(corrected, tmp_path, "told-1", "other", "told-2", FilterCriteria=criteria)
    eventually(lambda: consumer.batches == [["told-1", "told-2"]], "the batch", within_s=60)
    consumer.stop()


def test_a_disabled_mapping_rests_and_goes_on_later(corrected: Emulator, tmp_path: Path) -> None:
    consumer = Consumer(corrected, tmp_path, "1", Enabled=False)
    assert consumer.is_left_alone()
    corrected.aws("lambda").update_event_source_mapping(UUID=consumer.mapping, Enabled=True)
    eventually(lambda: consumer.batches == [["1"]], "the batch", within_s=60)
    consumer.stop()


def test_a_function_that_fails_a_rules_event_is_invoked_again(
    stock: Emulator, corrected: Emulator, tmp_path: Path
) -> None:
    def invocations(emulator: Emulator, least: int, **config: int) -> int:
        journal = tmp_path / f"journal-{uuid4().hex}"
        function = emulator.function(
            CONSUMER, invoked_by="events.amazonaws.com", Environment={"Variables": {"JOURNAL": str(journal)}}
        )
        if config:
            emulator.aws("lambda").put_function_event_invoke_config(FunctionName=function, **config)
        events, rule = emulator.aws("events"), f"rule-{uuid4().hex[:8]}"
        events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
        events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": function}])
        events.put_events(Entries=[{"Source": rule, "DetailType": "any", "Detail": '{"id": "crash"}'}])

        def written() -> int:
            return len(journal.read_text().splitlines()) if journal.exists() else 0

        eventually(lambda: written() >= least, f"{least} invocations", within_s=60)
        time.sleep(8)  # one more would come: the pauses between invocations are 1 s, 2 s and 4 s
        return written()

    with ThreadPoolExecutor() as callers:
        by_default = callers.submit(invocations, corrected, 3)
        never = callers.submit(invocations, corrected, 1, MaximumRetryAttempts=0)
        uncorrected = callers.submit(invocations, stock, 1)
    assert (by_default.result(), never.result(), uncorrected.result()) == (3, 1, 1)


def test_a_rule_delivers_to_a_queue_that_lets_it_and_else_to_the_dead_letters(
    stock: Emulator, corrected: Emulator
) -> None:
    def delivered(emulator: Emulator) -> tuple[int, int]:
        """To the queue and to the dead letters, while only the latter let the rule deliver."""
        rule = f"rule-{uuid4().hex[:8]}"
        arn = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}"
        condition = {"ArnEquals": {"aws:SourceArn": arn}}
        lets = policy(SEND, Principal={"Service": "events.amazonaws.com"}, Condition=condition)
        lets_another = lets.replace(rule, "another")
        (url, queue), (dead_url, dead) = emulator.queue(Policy=lets_another), emulator.queue(Policy=lets)
        events = emulator.aws("events")
        events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
        events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": queue, "DeadLetterConfig": {"Arn": dead}}])
        events.put_events(Entries=[{"Source": rule, "DetailType": "any", "Detail": "{}"}])
        first = len(emulator.received(url)), len(emulator.received(dead_url))
        emulator.aws("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": lets})
        events.put_events(Entries=[{"Source": rule, "DetailType": "any", "Detail": "{}"}])
        assert len(emulator.received(url)) == 1
        return first

    assert delivered(corrected) == (0, 1)
    assert delivered(stock) == (1, 0)


def test_a_queue_without_a_policy_can_listen_to_a_bus(corrected: Emulator) -> None:
    rule, (url, queue) = f"rule-{uuid4().hex[:8]}", corrected.queue()
    events = corrected.aws("events")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
    events.put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": queue}])
    events.put_events(Entries=[{"Source": rule, "DetailType": "any", "Detail": "{}"}])
    assert len(corrected.received(url)) == 1


def test_a_rule_starts_a_machine_by_its_role(stock: Emulator, corrected: Emulator) -> None:
    def starts(emulator: Emulator, *statements: tuple[str, str]) -> int:
        machine, rule = emulator.machine({"End": {"Type": "Succeed"}}), f"rule-{uuid4().hex[:8]}"
        events = emulator.aws("events")
        events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
        target = {"Id": "1", "Arn": machine, "RoleArn": emulator.role(*statements)}
        events.put_targets(Rule=rule, Targets=[target])
        events.put_events(Entries=[{"Source": rule, "DetailType": "any", "Detail": "{}"}])
        return len(emulator.aws("stepfunctions").list_executions(stateMachineArn=machine)["executions"])

    assert starts(corrected, ("states:StartExecution", "*")) == 1
    assert starts(corrected, ("states:StopExecution", "*")) == 0
    assert starts(stock, ("states:StopExecution", "*")) == 1
