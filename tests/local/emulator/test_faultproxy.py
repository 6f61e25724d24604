"""The fault proxy: calls that fail, vanish, wait or go stale."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from local.ports import free_port

from .kit import FAULT_PROXY, PYTHON, REGION, REPOSITORY, Emulator


class FaultProxy:
    """A running fault proxy and a table behind it."""

    def __init__(self, emulator: Emulator) -> None:
        self.port = free_port()
        command = [PYTHON, "-m", FAULT_PROXY, str(self.port), str(emulator.port)]
        self.process = subprocess.Popen(command, cwd=REPOSITORY)
        self.table = f"table-{uuid4().hex}"
        emulator.aws("dynamodb").create_table(
            TableName=self.table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.key = emulator.key(("*", "*"))
        self.direct, self.through = emulator.aws("dynamodb"), self.client("dynamodb")
        for _ in range(200):
            try:
                self.administer("GET", "log")
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError

    def client(self, service: str) -> Any:
        """A client that goes through the proxy, by the key of a user, so that signatures count."""
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id=self.key.access_key,
            aws_secret_access_key=self.key.secret_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def administer(self, method: str, what: str, document: Any = None) -> Any:
        body = json.dumps(document).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/_fault/{what}", body, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def rule(self, op: str, **fields: Any) -> None:
        self.administer("POST", "rules", [{"op": f"DynamoDB_20120810.{op}", **fields}])

    def add_one(self) -> None:
        self.through.update_item(
            TableName=self.table,
            Key={"id": {"S": "1"}},
            UpdateExpression="ADD writes :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    def writes(self, client: Any = None, **options: Any) -> int:
        item = (client or self.direct).get_item(TableName=self.table, Key={"id": {"S": "1"}}, **options).get("Item")
        return int(item["writes"]["N"]) if item else 0


@pytest.fixture
def faults(corrected: Emulator) -> Iterator[FaultProxy]:
    proxy_ = FaultProxy(corrected)
    yield proxy_
    proxy_.process.kill()
    proxy_.process.wait()


def test_a_call_can_vanish_before_and_after_it_is_done(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", match=faults.table, drop="before")
    faults.rule("UpdateItem", match=faults.table, drop="after", name="lost answer")
    with pytest.raises(ConnectionClosedError):
        faults.add_one()
    assert faults.writes() == 0
    with pytest.raises(ConnectionClosedError):
        faults.add_one()
    assert faults.writes() == 1
    faults.add_one()
    assert faults.writes() == 2
    seen = [(call["rule"], call["status"]) for call in faults.administer("GET", "log")]
    assert seen == [("DynamoDB_20120810.UpdateItem", None), ("lost answer", None), (None, 200)]


def test_a_call_can_fail(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", skip=1, error="ProvisionedThroughputExceededException")
    faults.add_one()
    with pytest.raises(faults.through.exceptions.ProvisionedThroughputExceededException):
        faults.add_one()
    faults.add_one()
    assert faults.writes() == 2


def test_a_call_can_be_slow(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", delay=0.3)
    begun = time.monotonic()
    faults.add_one()
    assert time.monotonic() - begun >= 0.3


def test_a_call_can_be_held(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", hold=True)
    with ThreadPoolExecutor() as other:
        held = other.submit(faults.add_one)
        while faults.administer("GET", "rules")[0]["times"]:
            time.sleep(0.01)
        faults.add_one()
        assert not held.done()
        assert faults.writes() == 1
        faults.administer("DELETE", "rules")
        held.result()
    assert faults.writes() == 2


def test_an_answer_can_be_withheld(faults: FaultProxy) -> None:
    faults.rule("UpdateItem", withhold=True)
    with ThreadPoolExecutor() as other:
        held = other.submit(faults.add_one)
        while not faults.administer("GET", "rules")[0]["held"]:
            time.sleep(0.01)
        assert faults.writes() == 1
        assert not held.done()
        faults.administer("DELETE", "rules")
        held.result()
    assert faults.writes() == 1


def test_calls_with_a_prefix_go_elsewhere_in_one_order_with_the_rest(corrected: Emulator) -> None:
    port, elsewhere = free_port(), ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    prefix = f"/ams/={elsewhere.server_port}"
    command = [PYTHON, "-m", FAULT_PROXY, str(port), str(corrected.port), prefix]
    with subprocess.Popen(command, cwd=REPOSITORY) as process:
        try:
            for path, answered in (("/_ministack/health", 200), ("/ams/pay", 501), ("/_ministack/health", 200)):
                assert status_of(port, path) == answered, "BaseHTTPRequestHandler knows no method at all"
            log = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/_fault/log").read())
        finally:
            process.kill()
            elsewhere.shutdown()
    assert [call["op"] for call in log] == ["GET /_ministack/health", "GET /ams/pay", "GET /_ministack/health"]


def status_of(port: int, path: str) -> int:
    """The status of a GET, once somebody listens."""
    for _ in range(200):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except ConnectionRefusedError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise TimeoutError


def test_a_read_can_be_stale(faults: FaultProxy) -> None:
    assert faults.writes(faults.through) == 0
    faults.add_one()
    faults.rule("GetItem", stale=True, times=-1)
    assert faults.writes(faults.through) == 0
    assert faults.writes(faults.through, ConsistentRead=True) == 1
    faults.administer("DELETE", "rules")
    assert faults.writes(faults.through) == 1


def test_a_share_of_calls_is_the_same_in_every_run_whatever_comes_between(faults: FaultProxy) -> None:
    def failed(seed: str, *others: str) -> list[bool]:
        rule = {"times": -1, "match": "(payment-[ab])", "share": 0.4, "error": "ThrottlingException"}
        faults.rule("GetItem", seed=seed, **rule)
        found = []
        for _ in range(30):
            for key in ("payment-a", *others):
                try:
                    faults.through.get_item(TableName=faults.table, Key={"id": {"S": key}})
                except faults.through.exceptions.ClientError:
                    found += [True] if key == "payment-a" else []
                else:
                    found += [False] if key == "payment-a" else []
        [used] = faults.administer("GET", "rules")
        assert others or used["applied"] == sum(found)
        faults.administer("DELETE", "rules")
        return found

    assert 5 < sum(failed("1")) < 20
    assert failed("1") == failed("1", "payment-b", "payment-b", "another")
    assert failed("1") != failed("2")


def test_a_rule_that_cannot_be_is_refused(faults: FaultProxy) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        faults.rule("UpdateItem", drops="before")
    assert "drop" in json.load(refusal.value)["fields"]


def test_a_call_to_an_emulator_that_is_gone_is_cut_off(faults: FaultProxy, tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen([PYTHON, "-m", FAULT_PROXY, str(port), str(free_port())], cwd=REPOSITORY) as process:
        assert status_of(port, "/_fault/log") == 200
        with pytest.raises(http.client.RemoteDisconnected):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/anything")
        process.kill()


@dataclass(frozen=True)
class Effect:
    """A call to a service, and a look at whether it has been done."""

    op: str
    call: Callable[[], Any]
    done: Callable[[], bool]


def effects(emulator: Emulator, faults: FaultProxy) -> dict[str, Callable[[], Effect]]:
    """A call to each service that functions use, fresh."""

    def event() -> Effect:
        (url, queue), rule = emulator.queue(), f"rule-{uuid4().hex[:8]}"
        emulator.aws("events").put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
        emulator.aws("events").put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": queue}])
        entry = {"Source": rule, "DetailType": "any", "Detail": "{}"}
        put = partial(faults.client("events").put_events, Entries=[entry])
        return Effect("AWSEvents.PutEvents", put, lambda: bool(emulator.received(url)))

    def message() -> Effect:
        url, _ = emulator.queue()
        send = partial(faults.client("sqs").send_message, QueueUrl=url, MessageBody="{}")
        return Effect("AmazonSQS.SendMessage", send, lambda: bool(emulator.received(url)))

    def object_() -> Effect:
        bucket, s3 = f"bucket-{uuid4().hex[:8]}", emulator.aws("s3")
        s3.create_bucket(Bucket=bucket)
        put = partial(faults.client("s3").put_object, Bucket=bucket, Key="inbox/key", Body=b"body")
        return Effect(f"PUT /{bucket}/inbox/", put, lambda: "Contents" in s3.list_objects_v2(Bucket=bucket))

    def key() -> Effect:
        kms = emulator.aws("kms")
        id_ = kms.create_key()["KeyMetadata"]["KeyId"]
        disable = partial(faults.client("kms").disable_key, KeyId=id_)
        return Effect("TrentService.DisableKey", disable, lambda: not enabled(kms, id_))

    def execution() -> Effect:
        machine, states = emulator.machine({"End": {"Type": "Succeed"}}), emulator.aws("stepfunctions")
        start = partial(faults.client("stepfunctions").start_execution, stateMachineArn=machine)
        return Effect(
            "AWSStepFunctions.StartExecution",
            start,
            lambda: bool(states.list_executions(stateMachineArn=machine)["executions"]),
        )

    def transaction() -> Effect:
        put = {"Put": {"TableName": faults.table, "Item": {"id": {"S": "1"}, "writes": {"N": "1"}}}}
        write = partial(faults.through.transact_write_items, TransactItems=[put])
        return Effect("DynamoDB_20120810.TransactWriteItems", write, lambda: bool(faults.writes()))

    return {
        "events": event,
        "sqs": message,
        "s3": object_,
        "kms": key,
        "stepfunctions": execution,
        "dynamodb": transaction,
    }


def enabled(kms: Any, key: str) -> bool:
    return bool(kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"])


@pytest.mark.parametrize("service", ["events", "sqs", "s3", "kms", "stepfunctions", "dynamodb"])
def test_calls_of_each_service_can_fail_and_vanish(corrected: Emulator, faults: FaultProxy, service: str) -> None:
    effect = effects(corrected, faults)[service]()
    faults.administer("POST", "rules", [{"op": effect.op, "error": "SlowDown", "status": 503}])
    with pytest.raises(ClientError) as failure:
        effect.call()
    assert failure.value.response["Error"]["Code"] == "SlowDown"
    faults.administer("POST", "rules", [{"op": effect.op, "drop": "before"}])
    with pytest.raises(ConnectionClosedError):
        effect.call()
    assert not effect.done()
    faults.administer("POST", "rules", [{"op": effect.op, "drop": "after"}])
    with pytest.raises(ConnectionClosedError):
        effect.call()
    assert effect.done()
    assert effect.call()
    assert [call["status"] for call in faults.administer("GET", "log")] == [503, None, None, 200]


def test_objects_come_through_as_they_are(corrected: Emulator, faults: FaultProxy) -> None:
    bucket, s3, body = f"bucket-{uuid4().hex[:8]}", faults.client("s3"), os.urandom(300_000)
    corrected.aws("s3").create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=body)
    assert s3.get_object(Bucket=bucket, Key="a b/ü")["Body"].read() == body
    assert s3.head_object(Bucket=bucket, Key="a b/ü")["ContentLength"] == len(body)


def test_a_part_of_put_events_can_fail(corrected: Emulator, faults: FaultProxy) -> None:
    (url, queue), rule, events = corrected.queue(), f"rule-{uuid4().hex[:8]}", faults.client("events")
    corrected.aws("events").put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))
    corrected.aws("events").put_targets(Rule=rule, Targets=[{"Id": "1", "Arn": queue}])

    def put(*ids: str) -> list[str]:
        entries = [{"Source": rule, "DetailType": "any", "Detail": json.dumps({"id": id_})} for id_ in ids]
        answer = events.put_events(Entries=entries)
        assert answer["FailedEntryCount"] == sum("ErrorCode" in entry for entry in answer["Entries"])
        return [entry.get("ErrorCode") or ("put" if entry["EventId"] else "") for entry in answer["Entries"]]

    refuse = {"op": "AWSEvents.PutEvents", "fail_entries": "bad", "times": 2}
    faults.administer("POST", "rules", [refuse])
    assert put("1", "bad-2", "3", "bad-4") == ["put", "InternalFailure", "put", "InternalFailure"]
    assert put("bad-2", "bad-4") == ["InternalFailure", "InternalFailure"]
    assert put("bad-2", "bad-4") == ["put", "put"]
    assert [event["detail"]["id"] for event in corrected.received(url)] == ["1", "3", "bad-2", "bad-4"]
    with pytest.raises(urllib.error.HTTPError):
        faults.administer("POST", "rules", [refuse | {"op": "AmazonSQS.SendMessageBatch"}])


def test_a_transaction_whose_answer_is_lost_is_done_once(faults: FaultProxy) -> None:
    key = {"TableName": faults.table, "Key": {"id": {"S": "1"}}}
    add = {"UpdateExpression": "ADD writes :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    faults.rule("TransactWriteItems", drop="after")
    transaction = {"TransactItems": [{"Update": {**key, **add}}], "ClientRequestToken": "the SDK's, the same each time"}
    with pytest.raises(ConnectionClosedError):
        faults.through.transact_write_items(**transaction)
    faults.through.transact_write_items(**transaction)
    assert faults.writes() == 1


def test_a_transaction_can_be_cancelled_by_a_conflict(faults: FaultProxy) -> None:
    put = {"Put": {"TableName": faults.table, "Item": {"id": {"S": "1"}, "writes": {"N": "1"}}}}
    reasons = ["None", "TransactionConflict"]
    faults.rule("TransactWriteItems", error="TransactionCanceledException", reasons=reasons)
    with pytest.raises(faults.through.exceptions.TransactionCanceledException) as cancelled:
        faults.through.transact_write_items(TransactItems=[put])
    assert [reason["Code"] for reason in cancelled.value.response["CancellationReasons"]] == reasons
    assert cancelled.value.response["Error"]["Message"].endswith("[None, TransactionConflict]")
    assert faults.writes() == 0
