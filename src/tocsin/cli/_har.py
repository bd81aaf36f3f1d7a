"""A request in an HTTP archive (HAR 1.2, softwareishard.com/blog/har-12-spec), to Message.

Rule: an archive holds text where the wire had octets. Wherever the two may differ, the entry is refused: signing or
verifying other octets than were sent would be about another request.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from tocsin.cli._errors import UsageError
from tocsin.signing import Header, Message

_URL = re.compile(r"(?P<origin>https?://(?P<authority>[!-.0->@-~]+))(?P<target>[!-\"$-~]*)(?:#.*)?")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = "content-length"
_CODING = "transfer-encoding"


@dataclass(frozen=True, slots=True)
class HarRequest:
    """An entry's request.

    Args:
        message: what it says; Transfer-Encoding, which an archive has undone, is not among its headers.
    """

    message: Message

    def rendered(self, signed: Message) -> bytes:
        """A signed version of the message as a raw request."""
        fields = [(name, value) for name, value in signed.headers if name.lower() != _LENGTH]
        fields.append(("Content-Length", str(len(signed.body))))
        lines = [f"{signed.method} {signed.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + signed.body


def parse_har(octets: bytes, number: int, *, public_origin: str = "") -> HarRequest:
    """Read an entry.

    Args:
        octets: the archive.
        number: the entry's index in log.entries, from 0.
        public_origin: see Message; "" for the origin of the entry's URL.

    Raises:
        UsageError: no archive, no such entry, or one whose octets cannot be known.
    """
    try:
        entries = json.loads(octets)["log"]["entries"]
        count = len(entries)
        request = entries[number]["request"] if 0 <= number < count else None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError("--har: not an HTTP archive: wanted JSON with log.entries") from None
    if request is None:
        raise UsageError(f"--entry {number}: the archive has {count} entries, counted from 0")
    try:
        return _request(request, f"--har: entry {number}", public_origin)
    except (KeyError, TypeError, AttributeError):
        raise UsageError(f"--har: entry {number} is no request of an HTTP archive") from None


def _request(request: dict[str, Any], place: str, public_origin: str) -> HarRequest:
    url = _URL.fullmatch(request["url"])
    if url is None:
        raise UsageError(f"{place}: url {request['url'][:80]!r}: wanted an http URL, percent-encoded")
    target = url["target"] if url["target"].startswith("/") else f"/{url['target']}"
    headers = tuple(_header(field, place) for field in request["headers"] if not field["name"].startswith(":"))
    headers = tuple(header for header in headers if header[0].lower() != _CODING)
    if not any(name.lower() == "host" for name, _value in headers):
        # What HTTP/2 calls :authority.
        headers = (("Host", url["authority"].rpartition("@")[2]), *headers)
    message = Message(request["method"], target, headers, _body(request, place), public_origin or url["origin"])
    _check_length(message, request.get("bodySize"), place)
    return HarRequest(message)


def _header(field: dict[str, str], place: str) -> Header:
    name, value = field["name"], field["value"]
    if not _FIELD_NAME.fullmatch(name) or "\n" in value or "\r" in value or any(ord(mark) > 0xFF for mark in value):  # noqa: PLR2004  latin-1
        raise UsageError(f"{place}: header {name[:40]!r} cannot stand in a request as it is")
    return name, value


def _body(request: dict[str, Any], place: str) -> bytes:
    data = request.get("postData")
    if data is None:
        return b""
    text = data.get("text")
    if not isinstance(text, str) or "encoding" in data:
        raise UsageError(f"{place}: the body is not there as text, so its octets are not known")
    return text.encode("utf-8", "surrogatepass")


def _check_length(message: Message, body_size: object, place: str) -> None:
    declared = [int(text) for text in message.values(_LENGTH) if text.isascii() and text.isdecimal() and len(text) < 19]  # noqa: PLR2004  2**63
    # The specification's -1 stands for unknown.
    if isinstance(body_size, int) and body_size >= 0:
        declared.append(body_size)
    for length in declared:
        if length != len(message.body):
            raise UsageError(
                f"{place}: {length} octets were sent and the archive's text has {len(message.body)}; wanted the same"
            )
