"""Which stack the operator's program aims at."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import NoRegionError

from ops import stack


def test_aws_region_is_obeyed_before_the_variable_that_boto3_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    regions = []

    def client(service: str) -> Any:
        regions.append(boto3.Session().region_name)
        raise NoRegionError

    monkeypatch.setattr(stack, "client", client)
    with pytest.raises(stack.OpsFailed, match="set AWS_REGION"):
        stack.open_stack("autodebit", None)
    assert regions == ["eu-central-1"]
