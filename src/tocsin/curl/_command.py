"""The options of a command as curl reads them. PURE."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tocsin.curl._errors import CurlError
from tocsin.curl._shell import words_of
from tocsin.curl._url import origin_and_target

# They change what curl shows or how it waits, and not what it sends; or only what it says of itself beside the given
# headers, which is not known here anyway: Accept-Encoding, as with User-Agent and Accept.
_WITHOUT_MEANING: Final = frozenset(
    {"-s", "-S", "-v", "-i", "-k", "-f", "--silent", "--show-error", "--verbose", "--include", "--insecure", "--fail",
     "--compressed"}
)  # fmt: skip
_LITERAL: Final = frozenset({"-g", "--globoff"})
_WITH_VALUE: Final = {
    "-X": "method",
    "--request": "method",
    "-H": "header",
    "--header": "header",
    "-d": "data",
    "--data": "data",
    "--data-ascii": "data",
    "--data-binary": "data",
    "--data-raw": "raw data",
}
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
_FIELD: Final = re.compile(rf"(?P<name>{_NAME}):(?P<value>[^\x00-\x08\x0a-\x1f\x7f]*)")


@dataclass(frozen=True, slots=True)
class CurlRequest:
    """What a command sends.

    Args:
        method: "POST".
        origin: "https://api.example.com:8443", as it stands in the URL.
        target: the origin-form request target, as it stands in the URL: "/order?x=1".
        headers: the given ones in order, and the Content-Type that curl gives to data without one; values are the
            latin-1 view of their octets.
        body: the data, joined.
    """

    method: str
    origin: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str


def parse_curl(command: str) -> CurlRequest:
    """Read a command.

    Args:
        command: as it is pasted into a shell, with or without the word curl.

    Raises:
        CurlError: it is no curl command, or has an option or a form of data that is not understood.
    """
    words = words_of(command)
    given = list(_given(words[1:] if words[:1] == ["curl"] else words))
    urls = [text for what, text in given if what == "url"]
    if len(urls) != 1:
        raise CurlError("more than one URL" if urls else "no URL")
    origin, target = origin_and_target(urls[0], is_literal=("literal", "") in given)
    fields = [_field(line) for what, line in given if what == "header"]
    data = [_data(what, text) for what, text in given if what.endswith("data")]
    # `-H 'Name:'` takes away what curl would have sent by itself.
    headers = tuple((name, value) for name, value in fields if value)
    if data and not any(name.lower() == "content-type" for name, _value in fields):
        headers += (("Content-Type", "application/x-www-form-urlencoded"),)
    methods = ["POST" if data else "GET", *(text for what, text in given if what == "method")]
    if not re.fullmatch(_NAME, methods[-1]):
        raise CurlError("the method is no word: wanted one such as POST")
    return CurlRequest(methods[-1], origin, target, headers, "&".join(data))


def _given(words: list[str]) -> Iterator[tuple[str, str]]:
    """What the words give, in order: a kind ("url", "header", ...) and its text."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            yield "url", word
            continue
        name, attached = (word, "") if word.startswith("--") else (word[:2], word[2:])
        # Options of one letter may stand together: -sSX PUT, or -sSXPUT.
        while attached and name not in _WITH_VALUE:
            yield _flag(name)
            name, attached = f"-{attached[0]}", attached[1:]
        if name not in _WITH_VALUE:
            yield _flag(name)
            continue
        value = attached or next(rest, None)
        if value is None:
            raise CurlError(f"option {name} wants a value")
        yield _WITH_VALUE[name], value


def _flag(name: str) -> tuple[str, str]:
    """What an option without a value gives."""
    if name not in _WITHOUT_MEANING | _LITERAL:
        # By its name alone: curl has no --name=value, and whoever writes so may have written a password.
        raise CurlError(f"option {name.partition('=')[0]} is not understood")
    return ("literal" if name in _LITERAL else "nothing"), ""


def _data(what: str, text: str) -> str:
    if what == "data" and text.startswith("@"):
        raise CurlError("a body from a file (@) is not read: wanted the body itself")
    return text


def _field(line: str) -> tuple[str, str]:
    """Name and value, "" for a header that is taken away."""
    field = _FIELD.fullmatch(line)
    if field is None:
        fault = "a header that cannot be sent as it is" if ":" in line else "a header without a colon"
        raise CurlError(f"{fault}: wanted -H 'Name: value'")
    # Whoever types it types UTF-8, and those octets are sent.
    octets = field["value"].strip(" \t").encode("utf-8", "surrogateescape")
    return field["name"], octets.decode("latin-1")
