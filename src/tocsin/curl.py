"""A curl command as the request that it sends. PURE.

Rule: every option is understood or refused. One that is silently dropped would be another request than the user's.
"""

import argparse
import re
import shlex
from dataclasses import dataclass
from typing import NoReturn

# They change what curl shows or how it waits, not what it sends.
_WITHOUT_MEANING = (
    "-s",
    "-S",
    "-v",
    "-i",
    "-k",
    "-f",
    "-g",
    "--silent",
    "--show-error",
    "--verbose",
    "--include",
    "--fail",
    "--compressed",
)
_URL = re.compile(r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<authority>[^/?#]+)(?P<target>[^#]*)(?:#.*)?", re.DOTALL)
# What a shell takes as it stands; and, in the group, what it does not.
_QUOTED = re.compile(r"""\\.|'[^']*'|("(?:\\.|[^"\\])*\")""", re.DOTALL)


class CurlError(ValueError):
    """The command is none, or does something that is not understood."""


@dataclass(frozen=True, slots=True)
class CurlRequest:
    """What a command sends.

    Args:
        method: "POST".
        origin: "https://api.example.com:8443", as it stands in the URL.
        target: the origin-form request target, as it stands in the URL: "/order?x=1".
        headers: the given ones in order, and the Content-Type that curl gives to data without one.
        body: the data, joined.
    """

    method: str
    origin: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse repeats words of the command in quotes, and any of them may be a password.
        raise CurlError(message.partition("'")[0].strip())


def parse_curl(command: str) -> CurlRequest:
    """Read a command.

    Args:
        command: as it is pasted into a shell, with or without the word curl.

    Raises:
        CurlError: it is no curl command, or has an option or a form of data that is not understood.
    """
    given, rest = _parser().parse_known_args(_words(command))
    if rest:
        raise CurlError(_not_understood(rest))
    origin, target = _origin_and_target(given.url)
    if any(data.startswith("@") for data in given.data):
        raise CurlError("a body from a file (@) is not read: wanted the body itself")
    headers = tuple(_header(line) for line in given.header)
    if given.data and not any(name.lower() == "content-type" for name, _value in headers):
        headers += (("Content-Type", "application/x-www-form-urlencoded"),)
    method = given.request or ("POST" if given.data else "GET")
    return CurlRequest(method, origin, target, headers, "&".join(given.data))


def _words(command: str) -> list[str]:
    loose = _QUOTED.sub(lambda quoted: quoted[1] or "", command)
    if "$" in loose or "`" in loose:
        raise CurlError("a shell would fill in what $ or ` stand for: wanted that itself, in single quotes")
    try:
        words = shlex.split(command.replace("\\\n", " "))
    except ValueError as error:
        raise CurlError(str(error)) from None
    return words[1:] if words[:1] == ["curl"] else words


def _not_understood(words: list[str]) -> str:
    """What is wrong with the words that are left over, by the name of an option alone: its value may be a password."""
    option = next((word for word in words if word.startswith("-")), None)
    if option is None:
        return "more than one URL"
    name = option.partition("=")[0] if option.startswith("--") else option[:2]
    return f"option {name} is not understood"


def _parser() -> _Parser:
    parser = _Parser(prog="curl", add_help=False, allow_abbrev=False)
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", action="append", default=[])
    parser.add_argument(*_WITHOUT_MEANING, action="store_true", dest="ignored")
    parser.add_argument("url")
    return parser


def _origin_and_target(given: str) -> tuple[str, str]:
    url = _URL.fullmatch(given if "://" in given else f"http://{given}")
    if url is None:
        raise CurlError(f"{given!r}: wanted an http URL")
    if "@" in url["authority"]:
        raise CurlError("the URL holds a user name: wanted a header instead")
    target = url["target"] if url["target"].startswith("/") else f"/{url['target']}"
    # curl resolves them (RFC 3986 section 5.2.4) before it sends.
    if {".", ".."} & set(target.partition("?")[0].split("/")):
        raise CurlError(f"{given!r}: wanted a path without the segments . and ..")
    return f"{url['scheme'].lower()}://{url['authority']}", target


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise CurlError("a header without a colon: wanted -H 'Name: value'")
    return name.strip(), value.strip()
