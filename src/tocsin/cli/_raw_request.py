"""A raw HTTP request in a file, to and from Message.

Rule: the body is every byte after the first empty line, as it is. A body that disagrees with Content-Length is refused:
an editor's line break at the end would otherwise be signed unnoticed.
"""

import re
from dataclasses import dataclass

from tocsin.cli._errors import UsageError
from tocsin.signing import Header, Message

_REQUEST_LINE = re.compile(r"(?P<method>[!-~]+) (?P<target>[!-~]+) HTTP/[0-9](?:\.[0-9])?")
_LENGTH = re.compile(rb"(?mi)^(content-length:[ \t]*)[0-9]+")
_FIELD_LINE = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):(?P<value>.*)")


@dataclass(frozen=True, slots=True)
class RawRequest:
    r"""A request as it stands in a file.

    Args:
        head: request line and headers, with the line break of the last one.
        line_end: how its lines end: "\r\n" or "\n".
        message: what it says.
    """

    head: bytes
    line_end: bytes
    message: Message

    def rendered(self, signed: Message) -> bytes:
        """The file's bytes with what signing adds: headers after the last one, and what a scheme puts in the body."""
        added = b"".join(
            f"{name}: {value}".encode("latin-1") + self.line_end
            for name, value in signed.headers[len(self.message.headers) :]
        )
        length = b"%d" % len(signed.body)
        head = self.head if signed.body == self.message.body else _LENGTH.sub(rb"\g<1>" + length, self.head)
        return head + added + self.line_end + signed.body


def parse_raw_request(octets: bytes, *, public_origin: str = "") -> RawRequest:
    """Read a request whose head ends its lines with CRLF or LF.

    Args:
        octets: the file.
        public_origin: see Message.

    Raises:
        UsageError: it is not one request in origin form with a plain body.
    """
    line_end = b"\r\n" if b"\r\n" in octets.partition(b"\n")[0] + b"\n" else b"\n"
    head, blank, body = octets.partition(line_end * 2)
    if not blank:
        head = head.removesuffix(line_end)
    first, *lines = head.decode("latin-1").split(line_end.decode())
    request_line = _REQUEST_LINE.fullmatch(first)
    if request_line is None or not request_line["target"].startswith("/"):
        raise UsageError(f"first line {first[:80]!r}: wanted a request line such as 'POST /order HTTP/1.1'")
    headers = tuple(_header(line) for line in lines)
    message = Message(request_line["method"], request_line["target"], headers, body, public_origin)
    _check_framing(message)
    return RawRequest(head + line_end, line_end, message)


def _header(line: str) -> Header:
    field = _FIELD_LINE.fullmatch(line)
    if field is None:
        raise UsageError(f"header line {line[:40]!r}: wanted 'Name: value'")
    return field["name"], field["value"].strip(" \t")


def _check_framing(message: Message) -> None:
    if message.values("Transfer-Encoding"):
        raise UsageError("the request has a Transfer-Encoding; wanted the decoded body and no such header")
    for length in message.values("Content-Length"):
        if length != str(len(message.body)):
            raise UsageError(
                f"Content-Length says {length[:20]} and the body has {len(message.body)} bytes; wanted the same "
                "(did an editor add a line break at the end?)"
            )
