"""JSON from untrusted bytes, read strictly; and JSON written so that the same value gives the same bytes."""

import json
from typing import Any

CORRUPTED = "\N{REPLACEMENT CHARACTER}".encode()
"""What API Gateway puts where a body is not UTF-8; who means this character writes `\\ufffd`."""


class JsonInvalid(ValueError):
    """Not one JSON object; the text says why and quotes nothing."""


def parse_object(body: bytes) -> dict[str, Any]:
    """One JSON object from untrusted bytes. Raises JsonInvalid.

    A name that occurs twice is refused: two readers could take it for two different payments.
    """
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique_names)
        # \ud800 is valid JSON and no text: it could be neither stored nor sent.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise JsonInvalid("must be UTF-8 text") from None
    except RecursionError:
        raise JsonInvalid("is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise JsonInvalid(f"must be valid JSON; it is not at line {error.lineno}, column {error.colno}") from None
    except JsonInvalid:
        raise
    except ValueError:  # a number with more digits than Python reads
        raise JsonInvalid("must be valid JSON") from None
    if not isinstance(value, dict):
        raise JsonInvalid("must be a JSON object")
    return value


def parse_request(body: bytes) -> dict[str, Any]:
    """One JSON object from a merchant's request. Raises JsonInvalid, also for a body that lost characters."""
    if CORRUPTED in body:
        raise JsonInvalid("must be UTF-8 text")
    return parse_object(body)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise JsonInvalid("names a field twice")
    return unique


def parse_message(body: bytes) -> dict[str, Any]:
    """A message of Alipay's: what it says with null, an empty text or an empty object it does not say. Raises
    JsonInvalid.
    """
    try:
        return _said(parse_object(body))
    except RecursionError:
        raise JsonInvalid("is nested too deeply") from None


def _said(message: dict[str, Any]) -> dict[str, Any]:
    inner = {name: _said(value) if isinstance(value, dict) else value for name, value in message.items()}
    return {name: value for name, value in inner.items() if value not in (None, "", {})}


def text_at(message: dict[str, Any], *path: str) -> str | None:
    """The string at `path`; None if there is none, or something that is no string."""
    value: Any = message
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def canonical(value: dict[str, Any]) -> bytes:
    """The value as compact JSON in UTF-8 with sorted names: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
