"""A message as a person pastes it: header lines, a blank line, the body. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pasted:
    """Header names are in lower case."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def is_answer(self) -> bool:
        """Whether it is the answer to a call of ours, and not a notification."""
        return "response-time" in self.headers or "request-time" not in self.headers


def parse_pasted(text: bytes) -> Pasted:
    """The message in a text. Lines that are no header, such as `HTTP/1.1 200 OK`, are passed over; a header that was
    wrapped goes on in a line that begins with a blank. The body is what follows the first blank line, to the byte.
    """
    head, blank, body = _split(text)
    headers: dict[str, str] = {}
    name = ""
    for line in head.decode("utf-8", "replace").splitlines():
        if name and line[:1] in (" ", "\t"):
            headers[name] += line.strip()
            continue
        before, colon, value = line.strip().lstrip(">< ").partition(":")
        if colon and before and " " not in before:
            name = before.lower()
            headers[name] = value.strip()
    return Pasted(headers, body if blank else b"")


def _split(text: bytes) -> tuple[bytes, bytes, bytes]:
    places = [(place, end) for end in (b"\r\n\r\n", b"\n\n") if (place := text.find(end)) >= 0]
    if not places:
        return text, b"", b""
    place, end = min(places)
    return text[:place], end, text[place + len(end) :]
