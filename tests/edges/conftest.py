"""The emulator's DynamoDB, which the tests of the tables share."""

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.kit.store import ENDPOINT, emulator


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
