"""vectors/notifications.json against this receiver, and what it says of the official SDK against that SDK."""

import base64
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from autodebit.alipay.credentials import CredentialsStore
from autodebit.alipay.signature import SignedMessage
from autodebit.api import body_of, headers_of
from autodebit.errors import SignatureInvalid
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.kit.samples import SDK_PYTHON, VECTORS, public_key, secret
from tests.kit.waiting import GENEROUS_S

DOCUMENT = json.loads((VECTORS / "notifications.json").read_text("utf-8"))
RECEIVER = DOCUMENT["receiver"]
ACCEPTED = [vector for vector in DOCUMENT["vectors"] if vector["verdict"] == "accept"]
REJECTED = [vector for vector in DOCUMENT["vectors"] if vector["verdict"] == "reject"]

RECORD = Callable[[str, object], None]


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"]).replace(" ", "-")


def authenticated(vector: dict[str, Any]) -> str:
    """The key version under which the vector proves to be Alipay's: from API Gateway's event on, as notify does it."""
    body = vector["bodyBase64"] if "bodyBase64" in vector else base64.b64encode(vector["body"].encode()).decode()
    event = {"headers": vector["headers"], "body": body, "isBase64Encoded": True}
    headers = headers_of(event)
    credentials = CredentialsStore(
        lambda: secret(clientId=RECEIVER["clientId"], alipayPublicKeys=RECEIVER["publicKeys"])
    )
    message = SignedMessage(
        vector["path"], headers.get("client-id", ""), headers.get("request-time", ""), body_of(event)
    )
    return credentials.authenticate(message, headers.get("signature", ""))


@pytest.mark.parametrize("vector", ACCEPTED, ids=named)
def test_what_is_to_be_accepted_is_proved_by_its_key(vector: dict[str, Any], record_property: RECORD) -> None:
    assert authenticated(vector) == vector["keyVersion"]
    record_property("vectorsAccepted", 1)


@pytest.mark.parametrize("vector", REJECTED, ids=named)
def test_what_is_to_be_rejected_is_refused_without_quoting_it(vector: dict[str, Any], record_property: RECORD) -> None:
    with pytest.raises(SignatureInvalid) as refused:
        authenticated(vector)
    reasons = ("header", "encoding", "algorithm", "signature", "client id")
    assert str(refused.value) in reasons or str(refused.value).startswith("key version ")
    record_property("vectorsRejected", 1)


def test_there_is_enough_of_both_and_each_stands_once() -> None:
    assert len(ACCEPTED) >= 15
    assert len(REJECTED) >= 25
    names = [vector["name"] for vector in DOCUMENT["vectors"]]
    assert len(set(names)) == len(names)


def test_the_keys_are_those_of_the_other_tests() -> None:
    assert {version: load_pem_public_key(pem.encode()) for version, pem in RECEIVER["publicKeys"].items()} == {
        "1": public_key("alipay1"),
        "2": public_key("alipay2"),
    }


SDK = """
import json, sys
from com.alipay.ams.api.tools.webhook_tool import check_signature

def accepts(vector, key):
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    client_id, time, signature = (headers.get(name, "") for name in ("client-id", "request-time", "signature"))
    try:
        return check_signature(vector["method"], vector["path"], client_id, time, vector["body"], signature, key)
    except Exception:
        return False

work = json.load(sys.stdin)
json.dump([any(accepts(vector, key) for key in work["keys"]) for vector in work["vectors"]], sys.stdout)
"""


def test_the_official_sdk_says_what_is_said_of_it(record_property: RECORD) -> None:
    """Where it differs it is the trap: it takes any algorithm, digests as weak as MD5, and junk inside of base64."""
    texts = [vector for vector in DOCUMENT["vectors"] if "body" in vector]
    keys = ["".join(pem.splitlines()[1:-1]) for pem in RECEIVER["publicKeys"].values()]
    done = subprocess.run(
        [SDK_PYTHON, "-c", SDK],
        input=json.dumps({"vectors": texts, "keys": keys}),
        capture_output=True,
        text=True,
        check=True,
        timeout=GENEROUS_S,
    )
    said = ["accept" if accepted else "reject" for accepted in json.loads(done.stdout)]
    assert said == [vector["officialSdk"] for vector in texts]
    differs = [vector["verdict"] for vector in texts if vector["officialSdk"] != vector["verdict"]]
    record_property("vectorsTheOfficialSdkBelievesWrongly", differs.count("reject"))
    record_property("vectorsTheOfficialSdkRefusesWrongly", differs.count("accept"))
