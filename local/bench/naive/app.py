"""The naive reference: what one writes first. It is measured, never deployed.

Everything is imported and every client is built where the module begins, because it is one module for all functions;
Powertools with all its extras, as AWS's own layer of it is; boto3 for each service, a resolver for a single route, the
key parsed at each call, a new connection for each call, and a poller for every payment. Its packages are laid down by
plain `sam build` from a requirements.txt. https://docs.aws.amazon.com/powertools/python/latest/#lambda-layer
"""

import base64
import hashlib
import json
import os
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import boto3
import requests
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent
from aws_lambda_powertools.utilities.parser import BaseModel, parse
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from pynamodb.attributes import UnicodeAttribute
from pynamodb.models import Model

logger = Logger()
metrics = Metrics(namespace="naive")
tracer = Tracer()
app = APIGatewayRestResolver()
dynamodb = boto3.client("dynamodb")
secrets = boto3.client("secretsmanager")
stepfunctions = boto3.client("stepfunctions")
once = DynamoDBPersistenceLayer(table_name=os.environ["ORDERS_TABLE"])


class Payment(BaseModel):
    paymentRequestId: str
    paymentAmount: dict[str, str]


class Order(Model):
    class Meta:
        table_name = os.environ["ORDERS_TABLE"]

    paymentRequestId = UnicodeAttribute(hash_key=True)
    status = UnicodeAttribute()
    createdAt = UnicodeAttribute()


@app.post("/payments")
def initiate_pay() -> dict[str, Any]:
    fields = app.current_event.json_body
    payment_request_id = parse(event=fields, model=Payment).paymentRequestId
    item = Order(payment_request_id, status="INIT", createdAt=datetime.now(UTC).isoformat())
    item.save(Order.paymentRequestId.does_not_exist())
    try:
        stepfunctions.start_execution(
            stateMachineArn=os.environ["POLLING_STATE_MACHINE"],
            name=f"{payment_request_id}-{uuid.uuid4().hex[:8]}",
            input=json.dumps({"paymentRequestId": payment_request_id}),
        )
    except ClientError:
        logger.exception("polling not started")
    secret = json.loads(secrets.get_secret_value(SecretId=os.environ["CREDENTIALS_SECRET"])["SecretString"])
    key: Any = serialization.load_der_private_key(base64.b64decode(secret["privateKey"]), password=None)
    body, at = json.dumps(fields), str(int(time.time() * 1000))
    content = f"POST /ams/api/v1/payments/pay\n{secret['clientId']}.{at}.{body}".encode()
    signature = quote_plus(base64.b64encode(key.sign(content, padding.PKCS1v15(), hashes.SHA256())))
    answer = requests.post(
        f"{os.environ['ALIPAY_GATEWAY_URL']}/ams/api/v1/payments/pay",
        data=body,
        headers={"client-id": secret["clientId"], "Request-Time": at, "Signature": f"signature={signature}"},
        timeout=10,
    ).json()
    item.update([Order.status.set(answer["result"]["resultStatus"])])
    metrics.add_metric(name="Paid", unit=MetricUnit.Count, value=1)
    logger.info("paid", digest=hashlib.sha256(body.encode()).hexdigest())
    return {"status": answer["result"]["resultStatus"]}


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@idempotent(persistence_store=once, config=IdempotencyConfig(event_key_jmespath="body"))
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
