"""Secrets that every payment of the tests carries, in every spelling, and all places where they must not be."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from itertools import batched, chain
from urllib.parse import quote, quote_plus

from .bus import Queue
from .merchant import ACCESS_TOKEN, BUYER_EMAIL, BUYER_NAME
from .stacks import Deployment

PIECE = 24
"""Bytes of the private key in one piece, 32 characters of its base64: no line of a key file is without one."""

SHARED = 300
"""With so many bytes a private key begins that are not secret: the modulus and what stands before it."""

BATCH = 1000


def canaries(private_key: str) -> dict[str, set[str]]:
    """The spellings of each secret by its name; `private_key` is base64 of PKCS#8."""
    der = base64.b64decode(private_key)
    pieces = [der[start : start + PIECE] for start in range(SHARED, len(der) - PIECE, PIECE)]
    return {
        "the access token": spellings(ACCESS_TOKEN.encode()),
        "the buyer's e-mail": spellings(BUYER_EMAIL.encode()),
        "the buyer's name": spellings(BUYER_NAME.encode()),
        "the private key": set().union(*(spellings(piece) | spellings(base64.b64encode(piece)) for piece in pieces)),
    }


def spellings(secret: bytes) -> set[str]:
    """The secret as it is and escaped for JSON, each also URL-encoded, in hex, and as base64 wherever it may begin."""
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return _encoded(secret)
    plain = {text, json.dumps(text)[1:-1]}
    plain |= {spelling.replace("/", "\\/") for spelling in plain}
    return plain.union(*(_url_encoded(spelling) | _encoded(spelling.encode()) for spelling in plain))


def _encoded(secret: bytes) -> set[str]:
    spelt = {secret.hex(), secret.hex(":"), secret.hex().upper(), secret.hex(":").upper()}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret).decode().rstrip("=")
        # The first and the last characters depend on what stands around it.
        inner = encoded[(0, 2, 3)[offset] : len(encoded) - 2]
        spelt |= {inner, inner.replace("+", "-").replace("/", "_")} | _url_encoded(inner)
    return spelt


def _url_encoded(text: str) -> set[str]:
    encoded = {quote(text), quote(text, safe=""), quote_plus(text)}
    return encoded | {re.sub("%..", lambda found: found[0].lower(), spelling) for spelling in encoded}


def search(texts: Iterable[str], secrets: dict[str, set[str]]) -> tuple[int, set[str]]:
    """How many bytes were searched, and the names of the secrets that occur."""
    size, found = 0, set[str]()
    for batch in batched(texts, BATCH, strict=False):
        text = "\n".join(batch)
        size += len(text.encode())
        found |= {name for name, spelt in secrets.items() if any(spelling in text for spelling in spelt)}
    return size, found


def places(here: Deployment) -> dict[str, Iterator[str]]:
    """All that the service, and the emulator under it, said and stored since the stack came up."""
    return {
        "logs": here.seen.text_of_log_groups(),
        "answers": chain(here.merchant.heard, here.alipay.answers_to_notifications()),
        "table": (json.dumps(row, default=str) for row in here.seen.rows().values()),
        "stream": here.seen.text_of_stream(),
        "events": (json.dumps(event) for event in here.shop.all()),
        "dead letters": iter(Queue(here.aws("sqs"), here.outputs["DeadLetterQueue"]).texts()),
        "executions": here.seen.text_of_executions(),
        "configuration": _configuration(here),
        "printed": _printed(here),
    }


def _configuration(here: Deployment) -> Iterator[str]:
    for stack in here.aws("cloudformation").describe_stacks()["Stacks"]:
        yield json.dumps(stack, default=str)
    for function in here.aws("lambda").list_functions()["Functions"]:
        yield json.dumps(function, default=str)
    yield here.aws("stepfunctions").describe_state_machine(stateMachineArn=here.seen.machine)["definition"]


def _printed(here: Deployment) -> Iterator[str]:
    """What the programs wrote; Alipay's own is left out, for it may know the token."""
    for path in chain(here.directory.glob("*.log"), here.directory.glob("run/*.log")):
        if path.name != "alipay.log":
            yield path.read_text("utf-8", errors="replace")
