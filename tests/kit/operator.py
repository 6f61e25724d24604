"""The operator: runs `ops` as a user of the account who has the policy of docs/ops.md, and nothing else."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import ROOT
from .stacks import Deployment
from .waiting import GENEROUS_S

Json = dict[str, Any]

USER = "operator"


def policy() -> str:
    """The policy in docs/ops.md, as it stands there."""
    [found] = re.findall(r"```json\n(\{\n  \"Version\".*?)\n```", (ROOT / "docs/ops.md").read_text("utf-8"), re.DOTALL)
    return str(found)


@dataclass
class Operator:
    """`heard` keeps all that was printed."""

    deployment: Deployment
    environment: dict[str, str]
    heard: list[str] = field(default_factory=list)

    def ops(self, *words: str, status: int = 0, message: bytes = b"") -> str:
        """What a command prints, on both its outputs; it must exit with this status."""
        done = subprocess.run(
            [sys.executable, "-m", "ops", *words],
            cwd=ROOT,
            env=self.environment,
            input=message,
            capture_output=True,
            timeout=GENEROUS_S,
        )
        printed = (done.stdout + done.stderr).decode()
        self.heard.append(printed)
        assert done.returncode == status, printed
        return printed

    def document(self, *words: str, status: int = 0, message: bytes = b"") -> Any:
        """The JSON that a command prints."""
        return json.loads(self.ops(*words, "--json", status=status, message=message))

    def client(self, service: str) -> Any:
        """A client of AWS with this user's rights."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )


def operator(deployment: Deployment) -> Operator:
    """A new user of the account, with the policy of the docs."""
    iam, described, outputs = deployment.aws("iam"), deployment.description, deployment.outputs
    iam.create_user(UserName=USER)
    names = {
        "REGION": described["region"],
        "ACCOUNT": deployment.aws("sts").get_caller_identity()["Account"],
        "STACK-": f"{described['stackName']}-",
        "STACK/": f"{described['stackName']}/",
        "ORDERS_TABLE": outputs["OrdersTable"],
        "REFUNDS_TABLE": outputs["RefundsTable"],
        "AGREEMENTS_TABLE": outputs["AgreementsTable"],
        "POLLING_MACHINE": outputs["PollingStateMachineArn"].rpartition(":")[2],
        "REFUND_MACHINE": outputs["RefundStateMachineArn"].rpartition(":")[2],
        "API_ID": outputs["ApiId"],
        "CREDENTIALS_SECRET": described["credentialsSecret"],
        "EVENT_BUS": outputs["EventBus"],
        "DEAD_LETTERS": outputs["DeadLetterQueue"].rpartition("/")[2],
    }
    text = policy()
    for name, value in names.items():
        text = text.replace(name, value)
    iam.put_user_policy(UserName=USER, PolicyName="ops", PolicyDocument=text)
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "PYTHONPATH": str(Path(ROOT)),
        "AUTODEBIT_STACK": described["stackName"],
        "AWS_ENDPOINT_URL": described["awsEndpointUrl"],
        "AWS_DEFAULT_REGION": described["region"],
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "NO_PROXY": "localhost,127.0.0.1",
    }
    return Operator(deployment, environment)
