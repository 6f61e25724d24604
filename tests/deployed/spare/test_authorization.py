"""The API as it is deployed for real, with `ApiAuth` left at AWS_IAM: merchants sign, Alipay does not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.kit.merchant import payment
from tests.kit.stacks import Deployment
from tests.kit.waiting import GENEROUS_S

ACCOUNT = "000000000000"


class Shop:
    """An IAM user of the account."""

    def __init__(self, iam: Any, api_url: str, *allowed: str) -> None:
        name = f"shop{len(allowed)}"
        iam.create_user(UserName=name)
        statements = [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": list(allowed)}]
        if allowed:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_user_policy(UserName=name, PolicyName="pay", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        self._signer = SigV4Auth(Credentials(key["AccessKeyId"], key["SecretAccessKey"]), "execute-api", "us-east-1")
        self._api_url = api_url

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        request = AWSRequest(
            method,
            self._api_url + path,
            data=json.dumps(body) if body else None,
            headers={"Content-Type": "application/json"},
        )
        self._signer.add_auth(request)
        return requests.request(
            method, request.url, data=request.data, headers=dict(request.headers), timeout=GENEROUS_S
        )


@pytest.fixture(scope="module")
def guarded(spare: Deployment) -> Iterator[dict[str, Any]]:
    """The spare stack, deployed once more as it is by default."""
    spare.deploy(ApiAuth="AWS_IAM")
    yield spare.description | {"iam": spare.aws("iam")}
    spare.deploy()


def test_only_who_signs_and_is_allowed_may_pay_or_look(guarded: dict[str, Any]) -> None:
    api_url, request = guarded["apiUrl"], payment()
    order = f"/payments/{request['paymentRequestId']}"
    assert requests.post(f"{api_url}/payments", json=request, timeout=GENEROUS_S).status_code == 403
    assert requests.get(api_url + order, timeout=GENEROUS_S).status_code == 403
    assert Shop(guarded["iam"], api_url).call("POST", "/payments", request).status_code == 403

    shop = Shop(guarded["iam"], api_url, f"arn:aws:execute-api:us-east-1:{ACCOUNT}:autodebit/v1/*")
    assert shop.call("GET", order).status_code == 404, "nothing of the refused requests came through"
    assert shop.call("POST", "/payments", request).json()["status"] == "SUCCESS"
    assert shop.call("GET", order).json()["status"] == "SUCCESS"


def test_the_webhook_asks_for_alipays_signature_alone(guarded: dict[str, Any]) -> None:
    answer = requests.post(guarded["notifyUrl"], data=b"{}", timeout=GENEROUS_S)
    assert answer.status_code == 401
    assert answer.json()["result"]["resultStatus"] == "F"
