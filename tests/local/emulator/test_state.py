"""What outlives a kill."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from .kit import Emulator, start_corrected, start_stock


def test_a_saved_deployment_and_every_acknowledged_write_survive_a_kill(tmp_path: Path) -> None:
    state = tmp_path / "state"
    emulator = start_corrected(tmp_path, EMULATOR_STATE_DIR=str(state))
    create_orders(emulator)
    emulator.aws("secretsmanager").create_secret(Name="credentials", SecretString="s")
    emulator.aws("s3").create_bucket(Bucket="artifacts")
    function = emulator.function()
    emulator.process.send_signal(signal.SIGUSR1)
    while not (state / "lambda.json").exists() or not (state / "s3.json").exists():
        assert emulator.process.poll() is None
        time.sleep(0.05)

    count_to(emulator, 10)
    emulator.stop(signal.SIGKILL)
    emulator = start_corrected(tmp_path, EMULATOR_STATE_DIR=str(state))
    assert counted(emulator) == (10, 10)
    count_to(emulator, 5)
    emulator.stop()
    emulator = start_corrected(tmp_path, EMULATOR_STATE_DIR=str(state))
    assert counted(emulator) == (10, 15)
    assert emulator.aws("secretsmanager").get_secret_value(SecretId="credentials")["SecretString"] == "s"
    assert emulator.aws("s3").head_bucket(Bucket="artifacts")
    assert emulator.invoke(function)["calls"] == 1
    emulator.stop()


def test_ministack_alone_loses_them(tmp_path: Path) -> None:
    emulator = start_stock(tmp_path, PERSIST_STATE="1", STATE_DIR=str(tmp_path))
    create_orders(emulator)
    emulator.stop()
    emulator = start_stock(tmp_path, PERSIST_STATE="1", STATE_DIR=str(tmp_path))
    count_to(emulator, 10)
    emulator.stop(signal.SIGKILL)
    emulator = start_stock(tmp_path, PERSIST_STATE="1", STATE_DIR=str(tmp_path))
    assert counted(emulator) == (0, 0)
    emulator.stop()


def create_orders(emulator: Emulator) -> None:
    emulator.aws("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def count_to(emulator: Emulator, end: int) -> None:
    for number in range(end):
        emulator.aws("dynamodb").update_item(
            TableName="orders",
            Key={"id": {"S": str(number)}},
            UpdateExpression="ADD writes :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )


def counted(emulator: Emulator) -> tuple[int, int]:
    """Items, and writes to them."""
    items = emulator.aws("dynamodb").scan(TableName="orders")["Items"]
    return len(items), sum(int(item["writes"]["N"]) for item in items)
