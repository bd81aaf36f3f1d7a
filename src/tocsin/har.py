"""The requests of an HTTP archive (HAR 1.2, softwareishard.com/blog/har-12-spec). PURE.

Rule: an archive holds text where the wire had octets. Where the two may differ, `Entry.sent` refuses: to sign,
verify or replay other octets than were sent would be about another request. Who needs no more than text reads fields.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Fields = tuple[tuple[str, str], ...]

# What a user name is, no server is sent (RFC 9110 section 4.2.4).
_URL = re.compile(r"(https?://)(?:[^/?#@]*@)?([!-\"$-.0->A-~]+)(?P<target>[!-\"$-~]*)(?:#.*)?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = "content-length"
_CODING = "transfer-encoding"


class HarError(ValueError):
    """It is no archive, or what it holds is no request that can be told. The message never has a header's value.

    Args:
        reason: what is wrong, as the end of a sentence that begins with the archive or the entry.
        line: where in the archive, from 1; 0 if that is not known.
    """

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it was on the wire, but for Transfer-Encoding, which an archive has undone.

    Args:
        method: "POST".
        origin: "https://api.example.com".
        target: in origin form: "/order?x=1".
        headers: in order; Host is among them.
        body: the octets.
    """

    method: str
    origin: str
    target: str
    headers: Fields = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A request and its answer, as the archive has them.

    Args:
        method: "POST".
        url: with whatever it holds.
        headers: in order, those of HTTP/2 that begin with a colon among them.
        text: of the body, "" where there is none.
        is_exact: whether the body is there as text, and not as parameters or in another encoding.
        body_size: how many octets were sent, or -1 where the archive does not know.
        status: of the answer, or None.
        answer: the answer's body, b"" where there is none that can be read.
    """

    method: str
    url: str = field(repr=False)
    headers: Fields = field(repr=False)
    text: str = field(repr=False, default="")
    is_exact: bool = True
    body_size: int = -1
    status: int | None = None
    answer: bytes = field(repr=False, default=b"")

    def sent(self) -> Sent:
        """The request in octets. Raises HarError where they cannot be known."""
        url = _URL.fullmatch(self.url)
        if url is None:
            raise HarError(f"url {self.url[:80]!r}: wanted an http URL, percent-encoded")
        if not _TOKEN.fullmatch(self.method):
            raise HarError(f"method {self.method[:40]!r}: wanted a word such as POST (RFC 9110 section 9.1)")
        target = url["target"] if url["target"].startswith("/") else f"/{url['target']}"
        headers = tuple(header for header in self.headers if not header[0].startswith(":"))
        for name, value in headers:
            _check_field(name, value)
        headers = tuple(header for header in headers if header[0].lower() != _CODING)
        if not any(name.lower() == "host" for name, _ in headers):
            # What HTTP/2 calls :authority.
            headers = (("Host", url[2]), *headers)
        return Sent(self.method, f"{url[1]}{url[2]}", target, headers, self._body(headers))

    def _body(self, headers: Fields) -> bytes:
        if not self.is_exact:
            raise HarError("the body is not there as text, so its octets are not known")
        body = self.text.encode("utf-8", "surrogatepass")
        lengths = [text for name, text in headers if name.lower() == _LENGTH]
        declared = [int(text) for text in lengths if text.isascii() and text.isdecimal() and len(text) < 19]  # noqa: PLR2004  2**63
        # The specification's -1 stands for unknown.
        declared += [self.body_size] if self.body_size >= 0 else []
        for length in declared:
            if length != len(body):
                raise HarError(f"{length} octets were sent and the archive's text has {len(body)}; wanted the same")
        return body


def entries(octets: bytes) -> list[object]:
    """What log.entries holds, in the order of the archive; each is for `entry_of`.

    Args:
        octets: the archive.

    Raises:
        HarError: it is none.
    """
    try:
        found = json.loads(octets)["log"]["entries"]
    except json.JSONDecodeError as error:
        raise HarError(f"not JSON: {error.msg}", error.lineno) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HarError("not an HTTP archive: wanted JSON with log.entries") from None
    if not isinstance(found, list):
        raise HarError("log.entries is no list: wanted one of entries")
    return found


def entry_of(found: Any) -> Entry:  # noqa: ANN401  parsed JSON
    """One of `entries`. Raises HarError if that is no request."""
    try:
        request = found["request"]
        method, url = request["method"], request["url"]
        headers = tuple((header["name"], header["value"]) for header in request["headers"])
        data, size = request.get("postData"), request.get("bodySize", -1)
        text = "" if data is None else data.get("text")
        is_exact = text is not None and (data is None or "encoding" not in data)
        status, answer = _answer(found.get("response"))
    except (KeyError, TypeError, AttributeError):
        raise HarError("is no request of an archive: wanted request.method, url and headers") from None
    texts = [method, url, text or "", *(part for header in headers for part in header)]
    if not all(isinstance(one, str) for one in texts):
        raise HarError("is no request of an archive: its method, url, headers or body is no text")
    body_size = size if isinstance(size, int) else -1
    return Entry(method, url, headers, text or "", is_exact, body_size, status, answer)


def _check_field(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name) or "\n" in value or "\r" in value or any(ord(mark) > 0xFF for mark in value):  # noqa: PLR2004  latin-1
        raise HarError(f"header {name[:40]!r} cannot stand in a request as it is")


def _answer(response: Mapping[str, Any] | None) -> tuple[int | None, bytes]:
    """Status and body of an answer; nothing where the archive has none that is understood."""
    if response is None:
        return None, b""
    status, content = response.get("status"), response.get("content") or {}
    text = content.get("text")
    if not isinstance(status, int) or not isinstance(text, str):
        return (status if isinstance(status, int) else None), b""
    try:
        is_coded = content.get("encoding") == "base64"
        return status, base64.b64decode(text) if is_coded else text.encode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return status, b""
