"""Masking: no access token that a message of Alipay quotes is kept or shown.

Where the token is at hand it is removed. Where only a digest of it is, the message is searched for it piece by piece.
What looks like some token is masked last of all.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from autodebit.alipay.strict_json import text_at

MASK = "***"

_CHARACTER = re.compile(r"\\*(?:%([0-9A-Fa-f]{2})|(.))", re.DOTALL)
"""A character as it was before it was put into a URL or into JSON."""

_BEGIN = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z0-9])|(?<![!-~])(?=[!-~])|(?<=[\]\[()'\"])(?![\]\[()'\"])")
"""Where letters and digits begin, or a word, or what is quoted: a token begins at such a place."""

_END = re.compile(
    r"(?<=[A-Za-z0-9])(?![A-Za-z0-9])|(?<![A-Za-z0-9])(?=[A-Za-z0-9])"
    r"|(?<=[!-~])(?![!-~])|(?<![\]\[()'\"])(?=[\]\[()'\"])"
)
"""Where a token ends, which may touch another one."""

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
    characters = list(_CHARACTER.finditer(message))
    plain = "".join(chr(int(one[1], 16)) if one[1] else one[2] for one in characters)
    escaped = {place for place, one in enumerate(characters) if len(one[0]) > 1}  # it may stand between two words
    begins = {place.start() for place in _BEGIN.finditer(plain)} | escaped
    ends = {place.start() for place in _END.finditer(plain)} | escaped | {place + 1 for place in escaped}
    start = done = 0
    pieces: list[str] = []
    for begin in sorted(begins):
        if begin < done:
            continue
        longest_first = (end for end in range(begin + TOKEN_CHARACTERS_MAX, begin, -1) if end in ends)
        end = next((end for end in longest_first if is_token(plain[begin:end])), None)
        if end is not None:
            pieces += [message[start : characters[begin].start()], MASK]
            start, done = characters[end - 1].end(), end
    return _SHAPE.sub(MASK, "".join([*pieces, message[start:]]))
