"""Masking: no access token that a message of Alipay quotes is kept or shown."""

import re

_TOKEN = re.compile(r"(?=[\w.+/=~-]*\d)[\w.+/=~-]{16,}")
"""Whatever looks like an access token, should a message ever quote what it complains of: it would be kept and shown."""


def masked(message: str) -> str:
    """The message without what looks like an access token."""
    return _TOKEN.sub("***", message)
