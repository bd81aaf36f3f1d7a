"""Parts of a request -> its bytes. PURE.

Rule: what is given arrives unchanged, in its order. Only framing is added, and only where absent (RFC 9112 sections
3.2, 6 and 9.6); whatever would change where a part ends is refused.
"""

import re
from collections.abc import Sequence

from tocsin.wire._errors import RequestError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_TARGET = re.compile(r"\*|/[\x21\x22\x24-\x7e]*")  # visible ASCII without "#": origin-form, or "*" for OPTIONS
_BREAKS = {"\r": "a carriage return", "\n": "a line feed", "\0": "a NUL"}
# RFC 9110 section 8.6: these say Content-Length: 0 where the others say nothing.
_METHODS_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})


def request_bytes(
    method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b"", *, host: str = ""
) -> bytes:
    """An HTTP/1.1 request, as it goes out.

    Args:
        method: any token but CONNECT.
        target: origin-form, exactly as signed: "/order?x=1".
        headers: in wire order; values are the latin-1 view of their octets.
        body: raw.
        host: the Host header where `headers` has none; see `Address.authority`.

    Raises:
        RequestError: a part holds a CR, LF or NUL or is no token, or the framing contradicts the body. The message
            names the header and never repeats a value, which may be a live signature.
    """
    _check_request_line(method, target)
    for name, value in headers:
        _check_header(name, value)
    given = _Given(headers)
    lines = [f"{method} {target} HTTP/1.1"]
    if not given.once("host"):
        if not host:
            raise RequestError("the request has no Host header, and no host was given to make one")
        _check_header("Host", host)
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers]
    if given.lacks_length(body) and (body or method in _METHODS_WITH_CONTENT):
        lines.append(f"Content-Length: {len(body)}")
    if not given.values("connection"):
        # The server then says where the answer ends by closing, whatever else it gets wrong.
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


class _Given:
    """The headers that the caller gave, by lower-case name."""

    def __init__(self, headers: Sequence[tuple[str, str]]) -> None:
        self._by_name: dict[str, list[str]] = {}
        for name, value in headers:
            self._by_name.setdefault(name.lower(), []).append(value.strip(" \t"))

    def values(self, name: str) -> list[str]:
        return self._by_name.get(name, [])

    def once(self, name: str) -> bool:
        """Whether the header is there; RequestError if it is there twice."""
        values = self.values(name)
        if len(values) > 1:
            raise RequestError(f"the request has {len(values)} {name} headers, wanted one")
        return bool(values)

    def lacks_length(self, body: bytes) -> bool:
        """Whether a Content-Length is to be added; RequestError if the given one is not the body's."""
        chunked = self.once("transfer-encoding")
        if not self.once("content-length"):
            return not chunked
        if chunked:
            raise RequestError("the request has both Content-Length and Transfer-Encoding, wanted one")
        if self.values("content-length") != [str(len(body))]:
            raise RequestError(f"the Content-Length header is not the body's length, {len(body)}")
        return False


def _check_request_line(method: str, target: str) -> None:
    if not _TOKEN.fullmatch(method):
        raise RequestError(f"the method {method!r} is not a token, wanted one such as POST")
    if method == "CONNECT":
        raise RequestError("the method CONNECT opens a tunnel; wanted one that asks the server itself")
    if not _TARGET.fullmatch(target):
        raise RequestError(
            "the request target is not a path of visible ASCII that starts with / and holds no #; percent-encode it"
        )


def _check_header(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise RequestError(f"the header name {name!r} is not a token, wanted one such as X-Signature")
    for character, said in _BREAKS.items():
        if character in value:
            raise RequestError(f"the value of header {name} holds {said}, which would end it early")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise RequestError(
            f"the value of header {name} holds a character beyond latin-1; give the octets as their latin-1 view"
        ) from None
