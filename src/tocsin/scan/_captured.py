"""A captured request, already signed: from a curl command, from raw HTTP, from an entry of a HAR. PURE.

Rule: its octets are kept. What is made anew for every request that is sent (Host, Content-Length) is dropped, and
nothing else.
"""

from collections.abc import Callable, Mapping, Sequence

from tocsin.curl import CurlError, parse_curl
from tocsin.har import HarError, entries, entry_of
from tocsin.scan._errors import PlanError
from tocsin.scan._tables import Table
from tocsin.signing import Message

Files = Callable[[str], bytes]

_KINDS = ("curl", "raw", "har")
_MADE_ANEW = frozenset({"host", "content-length", "connection", "transfer-encoding"})
# So many entries of a HAR are listed for whoever has not said which one.
_LISTED = 10


def parse_captured(values: object, files: Files | None, base_url: str) -> Message:
    """The message of a [captured] table.

    Args:
        values: of the table.
        files: gives a file's octets by the name that the plan has for it; None where there are no files.
        base_url: where it is sent, whatever the capture says.

    Raises:
        PlanError: it names no single request, or one that cannot be read.
    """
    table = Table(values, "[captured]", {*_KINDS, "entry"})
    given = [kind for kind in _KINDS if kind in table]
    if len(given) != 1:
        raise PlanError(f"[captured]: wanted one of {', '.join(_KINDS)}, not {' and '.join(given) or 'none of them'}")
    [kind] = given
    name = table.text(kind)
    if "entry" in table and kind != "har":
        raise PlanError(f"[captured] entry goes with har, not with {kind}")
    if files is None:
        raise PlanError(f"[captured] {kind} = {name!r}: only a plan that is a file itself has files beside it")
    where = f"[captured] {kind} {name}"
    octets = files(name)
    if kind == "raw":
        return _from_raw(octets, where, base_url)
    if kind == "curl":
        return _from_curl(_text(octets, where), where, base_url)
    return _from_har(octets, where, base_url, table.whole("entry") if "entry" in table else None)


def captured_file(values: Mapping[str, str]) -> str:
    """The file that a [captured] table names, which has been parsed."""
    return next(values[kind] for kind in _KINDS if kind in values)


def _from_raw(octets: bytes, where: str, base_url: str) -> Message:
    """A request as it is on the wire, or as an editor has saved it, with bare line feeds."""
    head, separator, body = octets.partition(b"\r\n\r\n")
    if not separator:
        head, _, body = octets.partition(b"\n\n")
    line, *fields = head.decode("latin-1").replace("\r\n", "\n").split("\n")
    words = line.split(" ")
    if len(words) != 3 or not words[1].startswith("/"):  # noqa: PLR2004  RFC 9112 section 3
        raise PlanError(f"{where}: its first line is none of a request: wanted METHOD /path HTTP/1.1")
    headers = []
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon:
            raise PlanError(f"{where}: a line of its head is no header: wanted Name: value")
        headers.append((name, value.strip()))
    return _message(words[0], words[1], headers, body, base_url)


def _from_curl(text: str, where: str, base_url: str) -> Message:
    try:
        given = parse_curl(text)
    except CurlError as error:
        raise PlanError(f"{where}: {error}") from None
    return _message(given.method, given.target, list(given.headers), given.body.encode(), base_url)


def _from_har(octets: bytes, where: str, base_url: str, number: int | None) -> Message:
    """One of a HAR's entries, counted from 0."""
    try:
        found = entries(octets)
    except HarError as error:
        line = f" (line {error.line}: {error})" if error.line else ""
        raise PlanError(f"{where}: not an HTTP archive: wanted JSON with log.entries{line}") from None
    if number is None and len(found) == 1:
        number = 0
    if number is None or number >= len(found):
        raise PlanError(f"{where} has {len(found)} entries: wanted entry = N ({_listed(found)})")
    try:
        sent = entry_of(found[number]).sent()
    except HarError as error:
        raise PlanError(f"{where}: entry {number} {error}") from None
    return _message(sent.method, sent.target, list(sent.headers), sent.body, base_url)


def _listed(found: Sequence[object]) -> str:
    """What there is to choose from."""
    if len(found) > _LISTED:
        return f"0 to {len(found) - 1}"
    return ", ".join(f"{place}: {_shown(one)}" for place, one in enumerate(found))


def _shown(found: object) -> str:
    try:
        entry = entry_of(found)
    except HarError as error:
        return str(error)
    return f"{entry.method} {_target(entry.url)}"


def _target(url: str) -> str:
    """The path and query of a URL."""
    _, _, rest = url.partition("://")
    _, slash, target = rest.partition("/")
    return f"{slash or '/'}{target.partition('#')[0]}"


def _message(method: str, target: str, headers: list[tuple[str, str]], body: bytes, base_url: str) -> Message:
    kept = tuple(
        (name, value) for name, value in headers if name.lower() not in _MADE_ANEW and not name.startswith(":")
    )
    return Message(method=method, target=target, headers=kept, body=body, public_origin=base_url)


def _text(octets: bytes, where: str) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise PlanError(f"{where}: not UTF-8") from None
