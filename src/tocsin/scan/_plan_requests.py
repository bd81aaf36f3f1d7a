"""The requests of a plan file, and what is read from their answers. PURE.

Rule: an origin is written out, and a request is never what another reader of the same text takes for another one.
"""

import ipaddress
import re
from dataclasses import replace

from tocsin.scan._errors import PlanError
from tocsin.scan._plan import Mix, RequestTemplate, Setup
from tocsin.scan._tables import Table
from tocsin.scan._template import INSTANT_NAMES, Template
from tocsin.signing import SchemeError, json_pointer

REQUEST_KEYS = frozenset({"request", "headers", "body", "sign"})
# An origin is written out, host and all: no variable, no user name, nothing that another reader takes for another host.
_ORIGIN = re.compile(r"(?i:https?://(?:\[(?P<ipv6>[0-9a-f:.]+)\]|[a-z0-9._-]+))(?P<port>:[0-9]{1,5})?", re.ASCII)
_MAX_PORT = 65_535
# Ten seconds: what is released later than that does not race with the operation any more.
_LONGEST_OFFSET_US = 10_000_000
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# Made for every request that is sent: a plan's own would contradict the bytes, or name another host.
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def split_origin(url: str, where: str, wanted: str) -> tuple[str, str]:
    """The origin that a URL begins with, in lower case, and what follows it."""
    found = _ORIGIN.match(url)
    rest = url[found.end() :] if found else ""
    if found is None or not _is_origin(found) or rest[:1] not in {"", "/", "?"}:
        # What stands before an @ is often a password.
        shown = "" if "@" in url else f" {url!r}"
        raise PlanError(f"{where}{shown}: wanted {wanted}")
    return found[0].lower(), rest


def _is_origin(found: re.Match[str]) -> bool:
    """Whether the numbers in it are an address and a port."""
    try:
        ipaddress.IPv6Address(found["ipv6"] or "::1")
    except ValueError:
        return False
    return 0 < int((found["port"] or ":80")[1:]) <= _MAX_PORT


def parse_request(method: str, path: str, table: Table, base_url: str, *, sign: bool) -> RequestTemplate:
    """A request whose method and path are known; headers and body stand in the table."""
    if not _TOKEN.fullmatch(method):
        raise PlanError(f"{table.where} method {method!r}: wanted an HTTP method such as POST")
    origin = ""
    if not path.startswith("/"):
        wanted = "a path that starts with /, or a URL such as http://host:port/path"
        origin, rest = split_origin(path, f"{table.where} path", wanted)
        path = rest if rest.startswith("/") else f"/{rest}"
    headers = table.mapping("headers")
    for name in headers:
        if name.lower() in _FRAMING:
            raise PlanError(f"{table.where} headers {name}: it is made for every request; leave it out")
    return RequestTemplate(
        method=method,
        target=Template(path),
        headers=tuple((name, Template(value)) for name, value in headers.items()),
        body=Template(table.text("body", "")),
        sign=sign,
        origin="" if origin == base_url else origin,
    )


def parse_line(table: Table, base_url: str) -> RequestTemplate:
    """A request written as `request = "METHOD /path"`, with whatever stands beside it."""
    line = table.text("request")
    method, _, path = line.partition(" ")
    if not path:
        raise table.wanted("request", '"METHOD /path"')
    return parse_request(method, path.strip(), table, base_url, sign=table.flag("sign", default=False))


def parse_setup(values: object, where: str, base_url: str) -> Setup:
    """One [[setup]]."""
    table = Table(values, where, REQUEST_KEYS | {"extract"})
    extract = table.mapping("extract")
    for name, pointer in extract.items():
        check_name(name, f"{where} extract")
        check_pointer(pointer, f"{where} extract {name}")
    return Setup(parse_line(table, base_url), extract)


def parse_beside(table: Table, base_url: str, operation: RequestTemplate) -> RequestTemplate:
    """A signed request beside the operation: what it leaves out, headers or body, is as in the operation's own."""
    if not table.flag("sign", default=True):
        raise table.wanted("sign", "true: it is signed with the operation's key")
    request = replace(parse_line(table, base_url), sign=True)
    if "headers" not in table:
        request = replace(request, headers=operation.headers)
    return request if "body" in table else replace(request, body=operation.body)


def parse_mix(values: object, where: str, base_url: str, operation: RequestTemplate) -> Mix:
    """One [[mix]]."""
    table = Table(values, where, REQUEST_KEYS | {"offset_us"})
    request = parse_beside(table, base_url, operation)
    if request.origin:
        raise table.wanted("request", "a path that starts with /: a burst goes to base_url")
    return Mix(request, table.whole("offset_us", 0, most=_LONGEST_OFFSET_US))


def check_pointer(pointer: str, where: str) -> None:
    """Raises PlanError for what is no JSON pointer."""
    try:
        json_pointer(pointer)
    except SchemeError as error:
        raise PlanError(f"{where}: {error}") from None


def check_name(name: str, where: str) -> None:
    """Raises PlanError for what cannot stand in {{...}}, or is always there."""
    if not _VARIABLE.fullmatch(name):
        raise PlanError(f"{where} {name!r}: wanted a name of letters, digits and _, for it stands in {{{{...}}}}")
    if name in INSTANT_NAMES:
        raise PlanError(f"{where} {name}: it is always there, the signed instant, and cannot be declared")
