"""The emulator's DynamoDB, which the tests of the tables share, and the order table in it."""

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from autodebit.payment.order_table import OrderItem

from tests.kit.store import ENDPOINT, emulator
from tests.kit.template import RESOURCES


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[Any]:
    """The emulator's DynamoDB, started for these tests unless the environment names one that runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        if ENDPOINT in os.environ:
            yield boto3.resource("dynamodb")
        else:
            with emulator() as endpoint:
                patch.setenv(ENDPOINT, endpoint)
                yield boto3.resource("dynamodb")


@pytest.fixture
def rows(dynamodb: Any) -> Iterator[Any]:
    """The order table as the template declares it, empty."""
    declared = RESOURCES["OrderTable"]["Properties"]
    names = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    table = dynamodb.create_table(TableName=OrderItem.Meta.table_name, **{name: declared[name] for name in names})
    yield table
    table.delete()
