"""Masking: no access token that a message of Alipay quotes is kept or shown.

Where the token is at hand it is removed. Where only a digest of it is, the message is searched for it piece by piece.
What looks like some token is masked last of all.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from autodebit.alipay.strict_json import text_at

MASK = "***"

_BOUNDARY = re.compile(
    r"(?<=[A-Za-z0-9])(?![A-Za-z0-9])|(?<![A-Za-z0-9])(?=[A-Za-z0-9])"
    r"|(?<=[!-~])(?![!-~])|(?<![!-~])(?=[!-~])|(?=[\]\[()'\"])|(?<=[\]\[()'\"])"
)
"""Where letters and digits begin or end, or a word, or a quotation: a token begins and ends at such a place, and may
have others inside."""

TOKEN_CHARACTERS_MAX = 128

_SHAPE = re.compile(r"(?=(?:[A-Za-z_.+/=~:-]*[0-9]){4})[A-Za-z0-9_.+/=~:-]{16,}")
"""The shape of an access token: ASCII, long, with some digits in it. A code such as `..._exceed_limit_2` has one."""


def without_token(answer: dict[str, Any], token: str) -> dict[str, Any]:
    """The answer, its `resultMessage` without this very token, plain or percent-encoded."""
    message = text_at(answer, "result", "resultMessage")
    if message is None:
        return answer
    for spelling in (token, quote(token, safe=""), quote(token, safe="").lower()):
        message = message.replace(spelling, MASK)
    return {**answer, "result": {**answer["result"], "resultMessage": message}}


def kept(message: str | None, is_token: Callable[[str], bool]) -> str | None:
    """A message of Alipay's as it is kept and shown: its beginning, masked. An empty one counts as missing."""
    return masked(message[:256], is_token) if message else None


def masked(message: str, is_token: Callable[[str], bool]) -> str:
    """The message without the token that `is_token` knows, and without what looks like another."""
    edges = [place.start() for place in _BOUNDARY.finditer(message)]
    start = 0
    pieces: list[str] = []
    while edges:
        begin = edges.pop(0)
        ends = [end for end in edges if end - begin <= 3 * TOKEN_CHARACTERS_MAX]
        end = next((end for end in reversed(ends) if is_token(_plain(message[begin:end]))), None)
        if end is not None:
            pieces += [message[start:begin], MASK]
            start = end
            edges = [edge for edge in edges if edge >= end]
    return _SHAPE.sub(MASK, "".join([*pieces, message[start:]]))


def _plain(piece: str) -> str:
    """A piece of a message as it was before it was put into a URL or into JSON."""
    return unquote(piece).replace("\\", "")
