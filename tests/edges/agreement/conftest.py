"""Agreements on a real DynamoDB and a real KMS, and an Alipay that answers as it is told."""

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from autodebit.agreement import kms
from autodebit.agreement.agreement import Agreement, Status
from autodebit.agreement.agreement_table import TABLE_NAME, AgreementItem, AgreementTable
from autodebit.agreement.debit import Debits
from autodebit.agreement.kms import Kms, OwnKey, SharedKey
from autodebit.agreement.link import Linker
from autodebit.agreement.look import Looker
from autodebit.agreement.receive import AuthorizationReceiver
from autodebit.agreement.refresh import Refresher
from autodebit.agreement.request import LinkRequest
from autodebit.agreement.revoke import Revoker
from autodebit.agreement.token_digest import TokenDigests
from autodebit.agreement.vault import Vault
from autodebit.alipay.signature import SignedMessage

from tests.kit.agreements import AGREEMENT_ID, applied, code_created, consulted, result
from tests.kit.stand_ins import Gateway, Machine, Said, Signed
from tests.kit.store import emulator
from tests.kit.template import RESOURCES

Json = dict[str, Any]

USUAL: dict[str, Said] = {"consult": consulted(), "applyToken": applied(), "revoke": result("S", "SUCCESS")}
"""What Alipay says unless it is told otherwise."""


@pytest.fixture(scope="session")
def aws() -> Iterator[Any]:
    """The emulator, unless the environment names one that runs: a client for a service."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        if "AWS_ENDPOINT_URL" in os.environ:
            yield boto3.client
        else:
            with emulator() as endpoint:
                patch.setenv("AWS_ENDPOINT_URL", endpoint)
                patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
                yield boto3.client


@pytest.fixture(scope="session")
def keys(aws: Any) -> tuple[str, str]:
    """The key that seals, and the one that digests."""
    client = aws("kms")
    digesting = client.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    return client.create_key()["KeyMetadata"]["Arn"], digesting["KeyMetadata"]["Arn"]


@pytest.fixture
def rows(aws: Any) -> Iterator[Any]:
    """The table as the template declares it, empty."""
    declared = RESOURCES["AgreementTable"]["Properties"]
    names = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    dynamodb = boto3.resource("dynamodb", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    table = dynamodb.create_table(TableName=TABLE_NAME, **{name: declared[name] for name in names})
    AgreementItem._connection = None
    yield table
    table.delete()


class World:
    """One table, one vault, one Alipay, and everybody who works with them, each as in its own process."""

    def __init__(self, rows: Any, keys: tuple[str, str]) -> None:
        self.rows, self.table = rows, AgreementTable()
        self.alipay: Gateway[Json] = Gateway("authorizations", USUAL, json.loads)
        self.machine = Machine("agreementId", 0)
        self.kms = Kms(keys[0], TABLE_NAME)
        self.digest_key = keys[1]
        digests = TokenDigests(self.digest_key)
        shared = SharedKey(self.kms, self.table.wrapped_key, self.table.keep_wrapped_key)
        self.vault = Vault(self.kms, TABLE_NAME, shared)
        webhooks = Kms(keys[0], TABLE_NAME)
        gateway: Any = self.alipay
        machine: Any = self.machine
        credentials: Any = Signed()
        self.linker = Linker(self.table, gateway)
        self.receiver = AuthorizationReceiver(
            self.table, credentials, Vault(webhooks, TABLE_NAME, OwnKey(webhooks)), digests, machine
        )
        self.looker = Looker(self.table, gateway, self.vault, digests, (3, 3, 6))
        self.refresher = Refresher(self.table, gateway, self.vault, digests)
        self.revoker = Revoker(self.table, machine)
        self.debits = Debits(self.table, self.vault)

    def link(self, agreement_id: str = AGREEMENT_ID, **changes: Any) -> tuple[Agreement, bool]:
        fields = {"agreementId": agreement_id, "customerBelongsTo": "ALIPAY_HK"} | changes
        return self.linker.link(LinkRequest(fields), "https://pay.example/v1/notify", time.monotonic() + 5)

    def notified(self, agreement: Agreement | None = None, **changes: Any) -> Agreement:
        """What comes of a notification, an authCode unless told otherwise."""
        auth_state = {} if agreement is None else {"authState": agreement.auth_state}
        message = {name: value for name, value in code_created(**auth_state | changes).items() if value is not None}
        signed = SignedMessage("/", "", "", json.dumps(message).encode())
        return self.receiver.receive(signed, "", datetime.now(UTC))

    def canceled(self, token: str) -> Agreement:
        return self.notified(authorizationNotifyType="TOKEN_CANCELED", authState=None, authCode=None, accessToken=token)

    def exchanging(self, agreement_id: str = AGREEMENT_ID) -> Agreement:
        """An agreement whose code has come."""
        return self.notified(self.link(agreement_id)[0])

    def linked(self, agreement_id: str = AGREEMENT_ID) -> Agreement:
        self.exchanging(agreement_id)
        agreement, wait_s = self.looker.look(agreement_id, 0)
        assert (agreement.status, wait_s) == (Status.LINKED, None)
        return agreement

    def get(self, agreement_id: str = AGREEMENT_ID) -> Agreement:
        return self.table.get(agreement_id)

    def row(self, agreement_id: str = AGREEMENT_ID) -> Json:
        return dict(self.rows.get_item(Key={"agreementId": agreement_id}, ConsistentRead=True)["Item"])

    def age(self, name: str, seconds: float, agreement_id: str = AGREEMENT_ID) -> None:
        """Let an instant of the row be so long ago."""
        instant = datetime.now(UTC) - timedelta(seconds=seconds)
        self.rows.update_item(
            Key={"agreementId": agreement_id},
            UpdateExpression=f"SET {name} = :instant",
            ConditionExpression=f"attribute_exists({name})",
            ExpressionAttributeValues={":instant": instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")},
        )

    def opened(self, agreement: Agreement) -> str:
        return self.vault.open(agreement.access_token or b"", agreement.agreement_id, "accessToken")


@pytest.fixture
def world(rows: Any, keys: tuple[str, str]) -> World:
    return World(rows, keys)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What everybody who works with agreements logs."""
    logger = Mock()
    for module in ("debit", "keep_tokens", "link", "look", "receive", "refresh", "revoke"):
        monkeypatch.setattr(f"autodebit.agreement.{module}.logger", logger)
    monkeypatch.setattr("autodebit.telemetry.logger", logger)
    return logger


@pytest.fixture
def kms_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have KMS answer nothing from now on."""
    from botocore.exceptions import EndpointConnectionError

    class Away:
        def __getattr__(self, name: str) -> Any:
            raise EndpointConnectionError(endpoint_url="kms")

    return lambda: monkeypatch.setattr(kms, "client", Away)
