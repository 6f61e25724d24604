"""The fault proxy: calls that fail, vanish, wait or go stale."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

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
        key = emulator.key(("dynamodb:*", "*"))
        self.direct = emulator.aws("dynamodb")
        self.through = boto3.client(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id=key.access_key,
            aws_secret_access_key=key.secret_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        for _ in range(200):
            try:
                self.administer("GET", "log")
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError

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
        time.sleep(0.5)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/anything")
        process.kill()
