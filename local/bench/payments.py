"""The payment that every measurement makes, and the events in which it reaches the functions."""

from typing import Any

Json = dict[str, Any]

BASE_URL = "https://0123456789.execute-api.us-east-1.amazonaws.com/v1"
NOTIFY_PATH = "/v1/notifications/payment"

ENVIRONMENT = {
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_SESSION_TOKEN": "example",
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "LAMBDA_TASK_ROOT": "/var/task",
    "POWERTOOLS_SERVICE_NAME": "autodebit",
    "ORDERS_TABLE": "autodebit-orders",
    "AGREEMENTS_TABLE": "autodebit-agreements",
    "REFUNDS_TABLE": "autodebit-refunds",
    "INQUIRY_SCHEDULE": "5,5,8,12,12,20,120,600,600,3600,7200,21600,54000",
    "CLOSE_AFTER": "900",
    "ALIPAY_GATEWAY_URL": "https://alipay.invalid",
    "CREDENTIALS_SECRET": "arn:aws:secretsmanager:us-east-1:000000000000:secret:bench",
    "TOKEN_KEY": "arn:aws:kms:us-east-1:000000000000:key/bench",
    "POLLING_STATE_MACHINE": "arn:aws:states:us-east-1:000000000000:stateMachine:bench",
    # A layer is read-only on Lambda: bytecode that it does not bring is made again at every cold start.
    "PYTHONDONTWRITEBYTECODE": "1",
    "EVENT_BUS": "bench",
    "DEAD_LETTERS": "https://sqs.us-east-1.amazonaws.com/000000000000/bench",
}
"""What a function sees on Lambda, as far as it matters here; AWS's own endpoints, which network.py answers for."""


def pay_fields(payment_request_id: str, access_token: str = "281012020262467128") -> Json:
    """A merchant's request, as in README."""
    return {
        "paymentRequestId": payment_request_id,
        "order": {
            "referenceOrderId": payment_request_id,
            "orderDescription": "Monthly cinema pass",
            "orderAmount": {"currency": "HKD", "value": "1990"},
        },
        "paymentAmount": {"currency": "HKD", "value": "1990"},
        "paymentMethod": {"paymentMethodType": "ALIPAY_HK", "paymentMethodId": access_token},
        "settlementStrategy": {"settlementCurrency": "USD"},
    }


def api_event(path: str, body: str, headers: dict[str, str] | None = None) -> Json:
    """What API Gateway's Lambda proxy integration hands to a function."""
    headers = {
        "Content-Type": "application/json",
        "Host": "0123456789.execute-api.us-east-1.amazonaws.com",
        "User-Agent": "bench",
        "X-Amzn-Trace-Id": "Root=1-67891233-abcdef012345678912345678",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        **(headers or {}),
    }
    return {
        "resource": path,
        "path": path,
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "pathParameters": None,
        "stageVariables": {"publicBaseUrl": BASE_URL},
        "requestContext": {"resourcePath": path, "httpMethod": "POST", "stage": "v1", "requestId": "r"},
        "body": body,
        "isBase64Encoded": False,
    }


def init_item(payment_request_id: str) -> Json:
    """The row of an order that pay left INIT."""
    texts = {
        "paymentRequestId": payment_request_id,
        "status": "INIT",
        "currency": "HKD",
        "amountValue": "1990",
        "referenceOrderId": payment_request_id,
        "createdAt": "2026-11-22T09:30:00.000Z",
        "paymentExpiryTime": "2026-11-22T09:30:55Z",
        "identity": ".".join(["1", *["0" * 16] * 5]),
        "payBodySha256": "0" * 64,
        "attempt": "0" * 32,
        "attemptedAt": "2026-11-22T09:30:00.000Z",
        "watchShard": "07",
        "overdueAt": "2026-11-22T09:30:30.000Z",
    }
    return {name: {"S": text} for name, text in texts.items()} | {"pollingRound": {"N": "0"}, "inquiries": {"N": "0"}}


class Context:
    """What Lambda passes beside the event."""

    function_name = "bench"
    function_version = "$LATEST"
    memory_limit_in_mb = 1024
    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    log_group_name = "/aws/lambda/bench"
    log_stream_name = "2026/11/22/[$LATEST]0"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Enough."""
        return 55_000
