"""Who may do what."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from tests.kit.waiting import eventually

from .kit import ACCOUNT, REGION, Emulator, proxy, task


def test_the_functions_role_decides(corrected: Emulator) -> None:
    table = f"table-{uuid4().hex}"
    corrected.aws("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    secret = corrected.aws("secretsmanager").create_secret(Name=f"secret-{uuid4().hex}", SecretString="s")["ARN"]
    machine = corrected.machine({"End": {"Type": "Succeed"}})
    calls = {
        "dynamodb:PutItem": ("put_item", {"TableName": table, "Item": {"id": {"S": "1"}}}),
        "secretsmanager:GetSecretValue": ("get_secret_value", {"SecretId": secret}),
        "stepfunctions:StartExecution": ("start_execution", {"stateMachineArn": machine}),
    }
    allowed = [
        ("dynamodb:PutItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}"),
        ("secretsmanager:GetSecretValue", secret),
        ("states:StartExecution", machine),
    ]
    for role, outcome in ((corrected.role(*allowed), "allowed"), (corrected.role(), "AccessDenied")):
        function = corrected.function(role=role)
        for action, (call, arguments) in calls.items():
            event = {"do": "aws", "service": action.split(":")[0], "call": call, "arguments": arguments}
            answer = corrected.invoke(function, **event)
            assert answer == outcome or outcome in answer["errorMessage"], action


def test_the_machines_role_decides(stock: Emulator, corrected: Emulator) -> None:
    def error(emulator: Emulator) -> Any:
        return emulator.run(emulator.machine(task(emulator), role=emulator.role())).get("error")

    assert error(corrected) == "Lambda.AWSLambdaException"
    assert error(stock) is None
    caught = task(corrected, Catch=[{"ErrorEquals": ["Lambda.AWSLambdaException"], "Next": "Done"}])
    machine = corrected.machine(caught | {"Done": {"Type": "Succeed"}}, role=corrected.role())
    assert corrected.run(machine)["status"] == "SUCCEEDED"


def test_api_gateway_needs_the_functions_permission(stock: Emulator, corrected: Emulator) -> None:
    def status(emulator: Emulator, invoked_by: str | None, source: str = "*") -> int:
        function = emulator.function(invoked_by=None)
        if invoked_by:
            emulator.aws("lambda").add_permission(
                FunctionName=function,
                StatementId="own",
                Action="lambda:InvokeFunction",
                Principal=invoked_by,
                SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{source}",
            )
        stack = emulator.api({"openapi": "3.0.1", "info": {}, "paths": {"/a": {"get": proxy(function)}}})
        return emulator.request(stack, "/a").status

    assert status(corrected, "apigateway.amazonaws.com", "*/v1/GET/a") == status(stock, None)
    assert status(corrected, None) == 500
    assert status(corrected, "events.amazonaws.com") == 500
    assert status(corrected, "apigateway.amazonaws.com", "*/v1/POST/a") == 500


def lines_of(emulator: Emulator, function: str) -> list[str]:
    """What is in the function's log group."""
    logs, group = emulator.aws("logs"), f"/aws/lambda/{function.rpartition(':')[2]}"
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        return []
    return [event["message"] for event in logs.filter_log_events(logGroupName=group)["events"]]


def test_a_function_logs_what_its_role_allows(stock: Emulator, corrected: Emulator) -> None:
    function = stock.function()
    stock.invoke(function)
    assert lines_of(stock, function), "ministack asks no role"
    both = ("logs:CreateLogStream", "*"), ("logs:PutLogEvents", "*")
    for allowed in (both, both[:1], both[1:], ()):
        function = corrected.function(role=corrected.role(*allowed))
        corrected.invoke(function)
        assert bool(lines_of(corrected, function)) is (allowed == both)


def test_a_rule_needs_the_functions_permission(corrected: Emulator) -> None:
    role = corrected.role(("logs:CreateLogStream", "*"), ("logs:PutLogEvents", "*"))
    refused, allowed = (
        corrected.function(role=role, invoked_by=by) for by in ("apigateway.amazonaws.com", "events.amazonaws.com")
    )
    events = corrected.aws("events")
    events.put_rule(Name="rule", EventPattern=json.dumps({"source": ["test"]}))
    targets = [{"Id": str(number), "Arn": arn} for number, arn in enumerate((refused, allowed))]
    events.put_targets(Rule="rule", Targets=targets)
    events.put_events(Entries=[{"Source": "test", "DetailType": "test", "Detail": "{}"}])
    eventually(lambda: lines_of(corrected, allowed), "the allowed function's log", within_s=60)
    assert not lines_of(corrected, refused)


def test_a_policy_can_ask_for_an_encryption_context(stock: Emulator, corrected: Emulator) -> None:
    def answers(emulator: Emulator, condition: dict[str, Any]) -> list[str]:
        key = emulator.aws("kms").create_key()["KeyMetadata"]["Arn"]
        kms = emulator.client_of("kms", ("kms:GenerateDataKey", key), Condition=condition)
        return [
            code_of(kms.generate_data_key, KeyId=key, KeySpec="AES_256", EncryptionContext=context)
            for context in ({"agreementId": "1"}, {"agreementId": "2"}, {"another": "1"}, {})
        ]

    denied = "AccessDeniedException"
    any_value = {"Null": {"kms:EncryptionContext:agreementId": "false"}}
    one_value = {"StringEquals": {"kms:EncryptionContext:agreementId": "1"}}
    this_name = {"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "agreementId"}}
    assert answers(corrected, any_value) == ["", "", denied, denied]
    assert answers(corrected, one_value) == ["", denied, denied, denied]
    assert answers(corrected, this_name) == ["", "", denied, denied]
    assert answers(stock, any_value) == [denied] * 4


def test_an_encryption_context_is_checked(corrected: Emulator) -> None:
    key = corrected.aws("kms").create_key()["KeyMetadata"]["Arn"]
    kms = corrected.client_of("kms", ("kms:Encrypt", key), ("kms:Decrypt", key))
    sealed = kms.encrypt(KeyId=key, Plaintext=b"token", EncryptionContext={"agreementId": "1"})["CiphertextBlob"]
    opened = kms.decrypt(KeyId=key, CiphertextBlob=sealed, EncryptionContext={"agreementId": "1"})
    assert opened["Plaintext"] == b"token"
    for context in ({"agreementId": "2"}, {}):
        refused = code_of(kms.decrypt, KeyId=key, CiphertextBlob=sealed, EncryptionContext=context)
        assert refused == "InvalidCiphertextException"


def test_a_mac_is_made_and_verified_by_key(corrected: Emulator) -> None:
    key, other = (
        corrected.aws("kms").create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
        for _ in range(2)
    )
    kms = corrected.client_of("kms", ("kms:GenerateMac", key), ("kms:VerifyMac", "*"))
    message = {"Message": b"token", "MacAlgorithm": "HMAC_SHA_256"}
    mac = kms.generate_mac(KeyId=key, **message)["Mac"]
    assert kms.verify_mac(KeyId=key, Mac=mac, **message)["MacValid"]
    assert code_of(kms.verify_mac, KeyId=other, Mac=mac, **message) == "KMSInvalidMacException"
    assert code_of(kms.generate_mac, KeyId=other, **message) == "AccessDeniedException"


def test_a_disabled_key_is_of_no_use(corrected: Emulator) -> None:
    key = corrected.aws("kms").create_key()["KeyMetadata"]["Arn"]
    corrected.aws("kms").disable_key(KeyId=key)
    assert code_of(corrected.aws("kms").generate_data_key, KeyId=key, KeySpec="AES_256") == "DisabledException"


def test_a_bucket_for_tls_alone_is_open_to_this_machine(stock: Emulator, corrected: Emulator) -> None:
    def answer(emulator: Emulator) -> str:
        name = f"bucket-{uuid4().hex[:8]}"
        emulator.aws("s3").create_bucket(Bucket=name)
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        emulator.aws("s3").put_bucket_policy(Bucket=name, Policy=document)
        return code_of(emulator.client_of("s3", ("s3:*", "*")).put_object, Bucket=name, Key="key", Body=b"")

    assert answer(corrected) == ""
    assert answer(stock) == "AccessDenied"


def test_each_call_needs_its_own_permission(corrected: Emulator) -> None:
    """What ministack asks of itself, and the product's least privilege rests on."""
    events = corrected.client_of("events", ("events:PutEvents", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"))
    entry = {"Source": "own", "DetailType": "any", "Detail": "{}"}
    corrected.aws("events").create_event_bus(Name="another")
    assert code_of(events.put_events, Entries=[entry]) == ""
    assert code_of(events.put_events, Entries=[entry, entry | {"EventBusName": "another"}]) == "AccessDeniedException"

    url, queue = corrected.queue()
    sqs = corrected.client_of("sqs", ("sqs:ReceiveMessage", queue))
    assert code_of(sqs.receive_message, QueueUrl=url) == ""
    assert code_of(sqs.send_message, QueueUrl=url, MessageBody="x") == "AccessDenied"

    table = corrected.table("1")["TableName"]
    dynamodb = corrected.client_of("dynamodb", ("dynamodb:UpdateItem", "*"))
    key = {"TableName": table, "Key": {"id": {"S": "1"}}}
    update, put = {"Update": {**key, "UpdateExpression": "REMOVE x"}}, {"Put": {"TableName": table, "Item": key["Key"]}}
    assert code_of(dynamodb.transact_write_items, TransactItems=[update]) == ""
    assert code_of(dynamodb.transact_write_items, TransactItems=[put]) == "AccessDeniedException"


def code_of(call: Callable[..., Any], **arguments: Any) -> str:
    """The code of the error the call ends with, or nothing."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""
