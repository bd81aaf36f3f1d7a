"""A curl command, as the beginning of a plan. PURE.

Rule: every option is understood or refused. One that is silently dropped would scan another request than the user's.
"""

import argparse
import shlex
from typing import Any, NoReturn
from urllib.parse import urlsplit

from tocsin.scan._errors import PlanError

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
# Made anew for every request that is sent.
_MADE_ANEW = {"host", "content-length", "connection"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise PlanError(f"--curl: {message}")


def tables_from_curl(command: str, *, drop: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The [target] and [request] tables of a curl command. Raises PlanError.

    Args:
        command: as it is pasted into a shell, with or without the word curl.
        drop: lower-case names of headers that signing makes anew.
    """
    try:
        words = shlex.split(command.replace("\\\n", " "))
    except ValueError as error:
        raise PlanError(f"--curl: {error}") from None
    given = _parser().parse_args(words[1:] if words[:1] == ["curl"] else words)
    parts = urlsplit(given.url if "://" in given.url else f"http://{given.url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise PlanError(f"--curl: {given.url!r}: wanted an http URL")
    if "@" in parts.netloc:
        raise PlanError("--curl: the URL holds a user name: wanted a header instead")
    body = "&".join(given.data)
    if any(data.startswith("@") for data in given.data):
        raise PlanError("--curl: a body from a file (@) is not read: wanted the body itself")
    headers = _headers(given.header, drop)
    if body and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return {
        "target": {"base_url": f"{parts.scheme}://{parts.netloc}"},
        "request": {
            "method": given.request or ("POST" if given.data else "GET"),
            "path": path,
            "headers": headers,
            "body": body,
        },
    }


def _parser() -> _Parser:
    parser = _Parser(prog="curl", add_help=False, allow_abbrev=False)
    parser.add_argument("-X", "--request")
    parser.add_argument("-H", "--header", action="append", default=[])
    parser.add_argument("-d", "--data", "--data-raw", "--data-binary", "--data-ascii", action="append", default=[])
    parser.add_argument(*_WITHOUT_MEANING, action="store_true", dest="ignored")
    parser.add_argument("url")
    return parser


def _headers(lines: list[str], drop: frozenset[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise PlanError("--curl: a header without a colon: wanted -H 'Name: value'")
        if name.strip().lower() in _MADE_ANEW | drop:
            continue
        headers[name.strip()] = value.strip()
    return headers
