"""What may stand between a table and DynamoDB, and DynamoDB's own way to write a row."""

import contextlib
import http.client
import json
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from boto3.dynamodb.types import TypeSerializer

from .peer import Call, Peer, Script
from .store import ENDPOINT


@contextlib.contextmanager
def peers_before_dynamodb(monkeypatch: pytest.MonkeyPatch, *models: Any) -> Iterator[Callable[[Script], Peer]]:
    """Puts a peer of the test's own between these models and DynamoDB, one after the other."""
    peers: list[Peer] = []

    def put(script: Script) -> Peer:
        peers.append(Peer(script))
        for model in models:
            monkeypatch.setattr(model.Meta, "host", peers[-1].url, raising=False)
            monkeypatch.setattr(model, "_connection", None)
        return peers[-1]

    yield put
    for peer in peers:
        peer.stop()


def error(code: str, status: str = "400 Bad Request") -> Script:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "a secret text"}).encode()
    return lambda call: call.answer(body, status, Content_Type="application/x-amz-json-1.0")


def loses_answers(number: int) -> Script:
    """Hands every call on to DynamoDB; the answers of the first few never arrive."""
    lost: list[Call] = []
    upstream = urlsplit(os.environ[ENDPOINT])

    def script(call: Call) -> None:
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port)
        try:
            wanted = ("x-amz-target", "content-type", "x-amz-date", "authorization")
            kept = {name: value for name, value in call.headers.items() if name in wanted}
            connection.request("POST", "/", call.body, kept)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if len(lost) < number:
            lost.append(call)
            call.close()
        else:
            call.answer(body, f"{response.status} x", Content_Type="application/x-amz-json-1.0")

    return script


def dynamodb_json(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}
