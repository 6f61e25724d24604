"""The template is code: least privilege, nothing that outlives its use, nothing that dies with the stack."""

import json
import re
from typing import Any

import pytest
import yaml
from autodebit.polling import parse_schedule

from tests.kit import ROOT
from tests.kit.template import (
    FUNCTIONS,
    MODULES,
    RESOURCES,
    ROLES,
    TEMPLATE,
    actions,
    environment_read,
    listed,
    modules_of,
    of_type,
    role_of,
    statements,
)

GLOBALS = TEMPLATE["Globals"]["Function"]
PARAMETERS = TEMPLATE["Parameters"]


def matches(parameter: str, value: str) -> bool:
    """CloudFormation holds the whole value against the pattern."""
    return re.fullmatch(PARAMETERS[parameter]["AllowedPattern"], value) is not None


# --- Permissions -------------------------------------------------------------------------------------------------

UNCHECKED: list[dict[str, Any]] = json.loads((ROOT / "tests/proof/least_privilege/unchecked.json").read_text("utf-8"))
"""What the emulator does not check: `python -m tests.proof.least_privilege` shows that all others are needed."""

MACHINES = of_type("AWS::Serverless::StateMachine")
OF_MACHINES = {machine["Role"]["GetAtt"].removesuffix(".Arn") for machine in MACHINES.values()}
WITHOUT_A_RESOURCE = {
    action for entry in UNCHECKED for action in entry["actions"] if set(entry["roles"]) <= OF_MACHINES
}


@pytest.mark.parametrize("entry", UNCHECKED, ids=lambda entry: entry["page"].rpartition("/")[2])
def test_what_the_emulator_does_not_check_is_allowed_as_aws_demands(entry: dict[str, Any]) -> None:
    assert entry["page"].startswith("https://docs.aws.amazon.com/")
    found = {role: s for role in ROLES for s in statements(role) if s["Sid"] == entry["statement"]}
    assert set(found) == set(entry["roles"])
    for role, statement in found.items():
        resource: Any = "*" if role in OF_MACHINES else {"Ref": "CredentialsKey"}
        if role == "EndpointRole":
            resource = {"GetAtt": "EndpointDestination.Arn"}
        assert statement["Resource"] == resource
        assert set(listed(statement["Action"])) == set(entry["actions"])


def test_the_polling_is_traced_and_logged_as_its_role_allows() -> None:
    for machine in MACHINES.values():
        assert machine["Tracing"] == {"Enabled": True}
        assert machine["Logging"]["Level"] == "ERROR"


@pytest.mark.parametrize("role", ROLES)
def test_no_role_has_a_wildcard_in_an_action(role: str) -> None:
    assert actions(role)
    assert not [action for action in actions(role) if "*" in action or "?" in action]
    assert not [statement for statement in statements(role) if {"NotAction", "NotResource"} & set(statement)]
    assert all(statement["Effect"] == "Allow" and statement["Sid"] for statement in statements(role))


FILES = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject")


@pytest.mark.parametrize("role", ROLES)
def test_a_resource_is_a_wildcard_only_where_aws_knows_none(role: str) -> None:
    for statement in statements(role):
        for resource in listed(statement["Resource"]):
            if resource == "*":
                assert set(listed(statement["Action"])) <= WITHOUT_A_RESOURCE
            else:
                # An execution has no name before it starts, and a file none before it comes.
                (text,) = resource.values()
                of_one = all(action in ("states:DescribeExecution", *FILES) for action in listed(statement["Action"]))
                assert "*" not in text or of_one
                assert text.count("*") <= 1


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_assumed_by_one_service_and_has_no_managed_policies(role: str) -> None:
    (statement,) = ROLES[role]["AssumeRolePolicyDocument"]["Statement"]
    service = "states" if role in OF_MACHINES else {"EndpointRole": "events"}.get(role, "lambda")
    assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
    # Lambda takes its role from the function, which is of this account; the others are asked by whoever knows the role.
    account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert statement.get("Condition") == (None if service == "lambda" else account)
    assert "ManagedPolicyArns" not in ROLES[role]


def puts_into(table: str) -> set[str]:
    """The roles that may put items into this table."""
    return {
        role
        for role in ROLES
        for statement in statements(role)
        if "dynamodb:PutItem" in listed(statement["Action"]) and statement["Resource"] == {"GetAtt": f"{table}.Arn"}
    }


def test_only_who_makes_rows_puts_items_and_nobody_deletes_them() -> None:
    everything = {role: actions(role) for role in ROLES}
    assert puts_into("OrderTable") == {"InitiatePayRole"}
    # Inquiries and reports show refunds made in the portal.
    assert puts_into("RefundTable") == {"RefundRole", "InquiryRole", "ReconcileRole"}
    assert puts_into("AgreementTable") == {"LinkWalletRole"}, "the rows beside are updates, and overwrite nothing"
    assert {role for role, allowed in everything.items() if "dynamodb:PutItem" in allowed} == (
        puts_into("OrderTable") | puts_into("AgreementTable") | puts_into("RefundTable")
    )
    forbidden = {"dynamodb:DeleteItem", "dynamodb:BatchWriteItem", "dynamodb:Scan", "dynamodb:DeleteTable"}
    assert not [role for role, allowed in everything.items() if forbidden & allowed]
    assert not [action for allowed in everything.values() for action in allowed if action.startswith("iam:")]


@pytest.mark.parametrize("role", ["GetOrderRole", "GetAgreementRole"])
def test_who_looks_rows_up_can_change_nothing(role: str) -> None:
    assert actions(role) == {"dynamodb:GetItem", "logs:CreateLogStream", "logs:PutLogEvents"}


def test_who_lists_rows_can_change_nothing() -> None:
    log = {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert actions("ListPaymentsRole") == {"dynamodb:Query", "dynamodb:BatchGetItem"} | log


def test_only_who_must_opens_tokens() -> None:
    """The webhook seals what it is told, and can open nothing."""
    of_the_key = {
        (role, action)
        for role in ROLES
        for statement in statements(role)
        if statement["Resource"] == {"GetAtt": "TokenKey.Arn"}
        for action in listed(statement["Action"])
    }
    opening = {(role, "kms:Decrypt") for role in ("InitiatePayRole", "ApplyTokenRole", "RefreshTokensRole")}
    making = {(role, "kms:GenerateDataKey") for role in ("NotifyAuthorizationRole", "ApplyTokenRole")}
    assert of_the_key == opening | making


def test_the_keys_of_tokens_outlive_the_stack_and_only_policies_open_them() -> None:
    for name in ("TokenKey", "TokenDigestKey"):
        assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
        (statement,) = RESOURCES[name]["Properties"]["KeyPolicy"]["Statement"]
        assert statement["Principal"] == {"AWS": {"Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    assert RESOURCES["TokenKey"]["Properties"]["EnableKeyRotation"] is True


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_can_do_what_its_function_does_and_nothing_more(function: str) -> None:
    source = modules_of(function)
    allowed = actions(role_of(function))
    assert ("secretsmanager:GetSecretValue" in allowed) is ("alipay.secret" in source)
    assert ("kms:Decrypt" in allowed) is ("alipay.secret" in source)
    assert ("states:StartExecution" in allowed) is ("polling_machine" in source)
    lists = function in ("ListPaymentsFunction", "GetRefundFunction")
    reconciles = function == "ReconcileFunction"
    queries = ("ListPaymentsFunction", "ReconcileFunction", "RefreshTokensFunction")
    assert ("dynamodb:Query" in allowed) is (function in queries or function.startswith("Sweep"))
    publishes = "publish" in source
    assert ("dynamodb:UpdateItem" in allowed) is not (function.startswith("Get") or lists or publishes)
    # A refused condition is followed by a read.
    assert ("dynamodb:GetItem" in allowed) is not (function == "ListPaymentsFunction" or publishes)
    # Who reads what Alipay lists holds it against all refunds of the payment.
    assert ("dynamodb:BatchGetItem" in allowed) is (lists or reconciles or "refund.observe" in source)
    for action in ("dynamodb:GetRecords", "sqs:SendMessage"):
        assert (action in allowed) is publishes
    assert ("events:PutEvents" in allowed) is (publishes or reconciles)
    assert bool({"s3:GetObject", "s3:PutObject", "s3:ListBucket"} & allowed) is reconciles


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_logs_into_its_own_group_alone(function: str) -> None:
    (logging,) = [s for s in statements(role_of(function)) if "logs:PutLogEvents" in listed(s["Action"])]
    group = FUNCTIONS[function]["LoggingConfig"]["LogGroup"]["Ref"]
    assert logging["Resource"] == {"GetAtt": f"{group}.Arn"}


# --- Functions ---------------------------------------------------------------------------------------------------


def test_every_function_has_a_role_and_a_log_group_of_its_own() -> None:
    assert len({role_of(function) for function in FUNCTIONS}) == len(FUNCTIONS)
    groups = [properties["LoggingConfig"]["LogGroup"]["Ref"] for properties in FUNCTIONS.values()]
    assert len(set(groups)) == len(FUNCTIONS)


def test_every_log_group_forgets() -> None:
    groups = of_type("AWS::Logs::LogGroup")
    assert len(groups) == len(FUNCTIONS) + 1  # the state machines share one
    assert {properties["RetentionInDays"] for properties in groups.values()} <= {30, 60, 90, 120, 180, 365}


def test_it_is_said_how_long_the_stacks_name_may_be() -> None:
    """Lambda takes 64 characters: docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html"""
    longest = max(len(f["FunctionName"]["Sub"].removeprefix("${AWS::StackName}")) for f in FUNCTIONS.values())
    said = f"at most {64 - longest} characters"
    assert said in TEMPLATE["Description"]
    assert said in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_log_group_has_the_functions_name(function: str) -> None:
    group = FUNCTIONS[function]["LoggingConfig"]["LogGroup"]["Ref"]
    name = FUNCTIONS[function]["FunctionName"]["Sub"]
    assert RESOURCES[group]["Properties"]["LogGroupName"] == {"Sub": f"/aws/lambda/{name}"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_ends_in_time(function: str) -> None:
    timeout_s = FUNCTIONS[function]["Timeout"]
    kinds = {event["Type"] for event in FUNCTIONS[function].get("Events", {}).values()}
    if "Api" in kinds:
        assert timeout_s <= 29, "API Gateway hangs up then"
    if function == "RefreshTokensFunction":
        assert timeout_s <= 900, "Lambda ends it then, and the next run begins after an hour"
        return
    if function == "ReconcileFunction":
        assert timeout_s <= 900, "Lambda ends it then; its state machine waits as long"
        return
    if "Schedule" in kinds:
        assert timeout_s < 60, "the next run begins then"
    assert 0 < timeout_s < 60


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_given_every_variable_it_reads_and_none_that_it_does_not(function: str) -> None:
    own = set(FUNCTIONS[function].get("Environment", {}).get("Variables", {}))
    everyones = set(GLOBALS["Environment"]["Variables"])
    read = set().union(*(environment_read(tree) for tree in modules_of(function).values()))
    assert read <= own | everyones
    assert own <= read
    assert not own & everyones


def test_what_every_function_is_given_some_function_reads() -> None:
    read = {name for function in FUNCTIONS for tree in modules_of(function).values() for name in environment_read(tree)}
    assert set(GLOBALS["Environment"]["Variables"]) <= read | {"POWERTOOLS_SERVICE_NAME"}


def test_no_variable_holds_a_secret() -> None:
    variables = [GLOBALS["Environment"]["Variables"]]
    variables += [properties.get("Environment", {}).get("Variables", {}) for properties in FUNCTIONS.values()]
    for given in variables:
        assert all("resolve:secretsmanager" not in str(value) for value in given.values())


def test_the_runtime_is_the_one_that_the_tests_run_on() -> None:
    assert GLOBALS["Runtime"] == "python3.13"
    assert GLOBALS["Handler"] == "app.handler"


def test_every_function_of_the_repository_is_deployed() -> None:
    deployed = {properties["CodeUri"] for properties in FUNCTIONS.values()}
    assert deployed == {f"functions/{path.parent.name}" for path in ROOT.glob("functions/*/app.py")}


def test_every_module_of_the_shared_package_is_used() -> None:
    used = {module for function in FUNCTIONS for module in modules_of(function)}
    assert set(MODULES) <= used


# --- The table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["OrderTable", "AgreementTable"])
def test_what_cannot_be_had_again_outlives_the_stack(name: str) -> None:
    table = RESOURCES[name]
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
    properties = table["Properties"]
    assert properties["DeletionProtectionEnabled"] is True
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["SSESpecification"]["SSEEnabled"] is True
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert "TimeToLiveSpecification" not in properties


def test_who_looks_for_rows_looks_into_an_index() -> None:
    asked = {
        role: statement["Resource"]
        for role in ROLES
        for statement in statements(role)
        if "dynamodb:Query" in listed(statement["Action"])
    }
    assert asked == {
        "SweepRole": {"Sub": "${OrderTable.Arn}/index/watched"},
        "ListPaymentsRole": {"Sub": "${OrderTable.Arn}/index/byReference"},
        "SweepAgreementsRole": {"Sub": "${AgreementTable.Arn}/index/watched"},
        "RefreshTokensRole": {"Sub": "${AgreementTable.Arn}/index/due"},
        "SweepRefundsRole": {"Sub": "${RefundTable.Arn}/index/watched"},
        "ReconcileRole": [
            {"Sub": "${OrderTable.Arn}/index/settled"},
            {"Sub": "${RefundTable.Arn}/index/settled"},
        ],
    }


# --- The API -----------------------------------------------------------------------------------------------------

API = RESOURCES["Api"]["Properties"]
ROUTES = {
    ("/payments", "post"): "InitiatePayFunction",
    ("/payments", "get"): "ListPaymentsFunction",
    ("/payments/{paymentRequestId}", "get"): "GetOrderFunction",
    ("/payments/{paymentRequestId}/cancel", "post"): "CancelPaymentFunction",
    ("/notifications/payment", "post"): "NotifyFunction",
    ("/payments/{paymentRequestId}/refunds", "post"): "RefundFunction",
    ("/payments/{paymentRequestId}/refunds", "get"): "GetRefundFunction",
    ("/payments/{paymentRequestId}/refunds/{refundRequestId}", "get"): "GetRefundFunction",
    ("/notifications/refund", "post"): "NotifyRefundFunction",
    ("/agreements", "post"): "LinkWalletFunction",
    ("/agreements/{agreementId}", "get"): "GetAgreementFunction",
    ("/agreements/{agreementId}", "delete"): "UnlinkWalletFunction",
    ("/notifications/authorization", "post"): "NotifyAuthorizationFunction",
}


def test_the_api_has_these_routes_and_no_other() -> None:
    paths = API["DefinitionBody"]["paths"]
    assert {(path, method) for path, methods in paths.items() for method in methods} == set(ROUTES)


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_a_route_goes_to_its_function_which_it_may_call(path: str, method: str) -> None:
    function = ROUTES[path, method]
    integration = API["DefinitionBody"]["paths"][path][method]["x-amazon-apigateway-integration"]
    assert (integration["type"], integration["httpMethod"]) == ("aws_proxy", "POST")
    assert f"${{{function}.Arn}}" in integration["uri"]["Sub"]
    events = [e["Properties"] for e in FUNCTIONS[function]["Events"].values() if e["Type"] == "Api"]
    assert {"RestApiId": {"Ref": "Api"}, "Method": method.upper(), "Path": path} in events
    assert len(events) == list(ROUTES.values()).count(function)


@pytest.mark.parametrize(("path", "method"), [route for route in ROUTES if not route[0].startswith("/notifications")])
def test_a_merchant_signs_its_calls_unless_the_stack_is_local(path: str, method: str) -> None:
    security = API["DefinitionBody"]["paths"][path][method]["security"]
    assert security == {"If": ["MerchantsSign", [{"sigv4": []}], []]}
    assert TEMPLATE["Conditions"]["MerchantsSign"] == {"Equals": [{"Ref": "ApiAuth"}, "AWS_IAM"]}
    assert PARAMETERS["ApiAuth"]["Default"] == "AWS_IAM"
    assert PARAMETERS["ApiAuth"]["AllowedValues"] == ["AWS_IAM", "NONE"]
    scheme = API["DefinitionBody"]["components"]["securitySchemes"]["sigv4"]
    assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"


@pytest.mark.parametrize("path", [path for path, _ in ROUTES if path.startswith("/notifications")])
def test_alipay_needs_nothing_but_its_signature_on_the_message(path: str) -> None:
    assert API["DefinitionBody"]["paths"][path]["post"]["security"] == []


def test_every_route_is_throttled() -> None:
    everything, *others = API["MethodSettings"]
    assert (everything["HttpMethod"], everything["ResourcePath"]) == ("*", "/*")
    assert everything["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert everything["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}
    assert not [settings for settings in API["MethodSettings"] if "DataTraceEnabled" in settings], "it logs bodies"
    webhooks = {path for path, methods in API["DefinitionBody"]["paths"].items() if path.startswith("/notifications/")}
    encoded = {"/" + path.replace("/", "~1") for path in webhooks}
    assert {(settings["HttpMethod"], settings["ResourcePath"]) for settings in others} == {("POST", e) for e in encoded}


def test_who_calls_a_webhook_cannot_use_up_what_payments_need() -> None:
    for settings in API["MethodSettings"][1:]:
        assert settings["ThrottlingRateLimit"] == {"Ref": "NotificationThrottleRate"}
        assert settings["ThrottlingBurstLimit"] == {"Ref": "NotificationThrottleBurst"}
    for kind in ("Rate", "Burst"):
        assert PARAMETERS[f"NotificationThrottle{kind}"]["Default"] < PARAMETERS[f"Throttle{kind}"]["Default"]


# --- Parameters --------------------------------------------------------------------------------------------------


def test_only_the_secret_must_be_given() -> None:
    assert [name for name, properties in PARAMETERS.items() if "Default" not in properties] == ["CredentialsSecret"]
    assert all(properties["Description"] for properties in PARAMETERS.values())


@pytest.mark.parametrize("parameter", [name for name in PARAMETERS if "AllowedPattern" in PARAMETERS[name]])
def test_a_default_is_allowed(parameter: str) -> None:
    if "Default" in PARAMETERS[parameter]:
        assert matches(parameter, PARAMETERS[parameter]["Default"])
    assert PARAMETERS[parameter]["ConstraintDescription"]


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://open-na-global.alipay.com", True),
        ("https://open-de-global.alipay.com/", True),
        ("https://gateway.example:8443", True),
        ("http://localhost:9000", True),
        ("http://127.0.0.1:9000", True),
        ("http://[::1]:9000", True),
        ("http://open-na-global.alipay.com", False),
        ("http://localhost.example.com", False),
        ("http://localhost@example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://user:password@example.com", False),
        ("https://open-na-global.alipay.com/ams", False),
        ("https://open-na-global.alipay.com?x", False),
        ("https://", False),
        ("", False),
    ],
)
def test_a_gateway_is_https_or_on_this_machine(url: str, allowed: bool) -> None:
    assert matches("AlipayGatewayUrl", url) is allowed


@pytest.mark.parametrize(
    ("schedule", "allowed"),
    [
        ("3", True),
        ("3,3,6", True),
        ("10,99,54000", True),
        ("2", False),
        ("0", False),
        ("3,2", False),
        ("03", False),
        ("3,", False),
        ("", False),
        ("3, 3", False),
        ("3.5", False),
        ("99", True),
        ("100", False),  # the first look is in time for the close time
        ("3,99999", True),
        ("3,100000", False),
        (",".join(["60"] * 30), True),
        (",".join(["60"] * 31), False),
        ("-3", False),
    ],
)
def test_a_schedule_that_cloudformation_takes_the_code_takes_too(schedule: str, allowed: bool) -> None:
    assert matches("InquirySchedule", schedule) is allowed
    if allowed:
        assert parse_schedule(schedule)


@pytest.mark.parametrize(
    ("arn", "allowed"),
    [
        ("arn:aws:secretsmanager:us-east-1:123456789012:secret:autodebit-AbCdEf", True),
        ("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a/b-AbCdEf", True),
        ("arn:aws:secretsmanager:us-east-1:123456789012:secret:autodebit", False),
        ("autodebit", False),
        ("*", False),
        ("arn:aws:s3:::bucket", False),
        ("", False),
    ],
)
def test_the_secret_is_named_by_its_full_arn(arn: str, allowed: bool) -> None:
    assert matches("CredentialsSecret", arn) is allowed


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("", True),
        ("https://pay.example.com", True),
        ("https://pay.example.com/alipay/v1", True),
        ("http://localhost:4566/_aws/execute-api/autodebit/v1", True),
        ("https://pay.example.com/", False),
        ("https://pay.example.com/v1/", False),
        ("https://pay.example.com?x=y", False),
        ("https://pay.example.com/v1#x", False),
        ("pay.example.com", False),
        ("ftp://pay.example.com", False),
        # What a stage variable refuses: docs.aws.amazon.com/apigateway/latest/developerguide/stage-variables.html
        ("https://pay.example.com/50%25", False),
        ("https://pay.example.com/a+b", False),
        ("https://user@pay.example.com", False),
        ("https://bücher.example.com", False),
        ("https://[::1]:8443/v1", False),
        ("https://pay.example.com/v1/$x", False),
        ("https://pay.example.com//v1", False),
    ],
)
def test_a_public_url_has_no_query_and_no_slash_at_its_end(url: str, allowed: bool) -> None:
    assert matches("PublicBaseUrl", url) is allowed


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("", True),
        ("https://shop.example.com", True),
        ("https://shop.example.com:8443/events/autodebit", True),
        ("https://shop.example.com/a%20b/", True),
        ("http://shop.example.com/events", False),
        ("https://shop.example.com/events?key=secret", False),
        ("https://user:password@shop.example.com", False),
        ("shop.example.com", False),
    ],
)
def test_an_event_endpoint_is_https_and_holds_no_key(url: str, allowed: bool) -> None:
    assert matches("EventEndpoint", url) is allowed


# --- The whole ---------------------------------------------------------------------------------------------------


def references(value: Any) -> set[str]:
    """The logical names that a part of the template refers to."""
    if isinstance(value, dict):
        found = set().union(*(references(inner) for inner in value.values())) if value else set()
        if "Ref" in value and isinstance(value["Ref"], str):
            found.add(value["Ref"])
        if "GetAtt" in value and isinstance(value["GetAtt"], str):
            found.add(value["GetAtt"].split(".")[0])
        if "Sub" in value and isinstance(value["Sub"], str):
            found |= {name.split(".")[0] for name in re.findall(r"\$\{([^}!]+)\}", value["Sub"])}
        return found
    if isinstance(value, list):
        return set().union(*(references(inner) for inner in value)) if value else set()
    return set()


def test_every_reference_leads_somewhere_and_every_parameter_is_used() -> None:
    refered = references({name: TEMPLATE[name] for name in ("Globals", "Resources", "Outputs", "Conditions")})
    names = {name for name in refered if not name.startswith("AWS::")}
    assert names <= set(RESOURCES) | set(PARAMETERS)
    assert set(PARAMETERS) <= names
    conditions = re.findall(r"'(?:If': \[|Condition': )'(\w+)'", str(TEMPLATE))
    assert set(conditions) == set(TEMPLATE["Conditions"])


def test_no_name_stands_twice_in_the_template() -> None:
    """YAML lets the last one win, in silence."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"line {node.start_mark.line + 1}"
        return loader.construct_mapping(node, deep=True)

    def tagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
        return mapping(loader, node) if isinstance(node, yaml.MappingNode) else None

    Strict.add_constructor("tag:yaml.org,2002:map", mapping)
    Strict.add_multi_constructor("!", tagged)
    assert yaml.load((ROOT / "template.yaml").read_text("utf-8"), Strict)


# --- The reports -------------------------------------------------------------------------------------------------


def test_the_bucket_is_private_encrypted_versioned_and_outlives_the_stack() -> None:
    bucket = RESOURCES["ReportsBucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "ServerSideEncryptionConfiguration" in properties["BucketEncryption"]
    assert {rule["Status"] for rule in properties["LifecycleConfiguration"]["Rules"]} == {"Enabled"}
    (statement,) = RESOURCES["ReportsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_reconciliation_calls_the_functions_that_its_role_allows() -> None:
    text = (ROOT / "functions" / "reconciliation.asl.json").read_text("utf-8")
    machine = RESOURCES["ReconciliationStateMachine"]["Properties"]
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set(machine["DefinitionSubstitutions"])
    (invoke,) = [s for s in statements("ReconciliationRole") if s["Action"] == "lambda:InvokeFunction"]
    called = {name: arn for name, arn in machine["DefinitionSubstitutions"].items() if name != "Partition"}
    assert invoke["Resource"] == list(called.values())
    states = json.loads(text)["States"]
    pattern = machine["Events"]["ReportArrived"]["Properties"]["Pattern"]["detail"]
    assert pattern["object"]["key"] == [{"prefix": "inbox/"}, {"prefix": "rest/"}], "a file, and what one leaves to do"
    assert states["Rest"]["Choices"][0]["Next"] == "HandOn"
    (waits,) = [state["TimeoutSeconds"] for name, state in states.items() if name == "Reconcile"]
    assert waits > FUNCTIONS["ReconcileFunction"]["Timeout"]
    assert {state["Next"] for state in states.values() if "Next" in state} <= set(states)
