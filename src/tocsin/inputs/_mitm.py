"""The requests of a mitmproxy flow file. PURE.

The file is one tnetstring after another (tnetstrings.info; mitmproxy adds `;` for text): the size in decimal, a colon,
the octets, and a letter that says what they are. Each flow is a dictionary; since mitmproxy 2 an HTTP flow has had
"request" and "response" with the members that are read here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from tocsin.inputs._errors import InputError
from tocsin.inputs._exchange import Exchange

Item: TypeAlias = "bytes | str | int | float | bool | list[Item] | dict[Item, Item] | None"

_MOST_DIGITS, _DEEPEST = 10, 32
_EXPORT = "wanted a flow file of mitmproxy; or its archive: mitmdump -nr FILE --set hardump=flows.har"


_PLAIN: Mapping[bytes, Callable[[bytes], Item]] = {
    b",": bytes,
    b";": lambda data: data.decode("utf-8"),
    b"#": int,
    b"^": float,
    b"!": lambda data: data == b"true",
    b"~": lambda _data: None,
}


class _BrokenError(ValueError):
    """The octets are no tnetstring."""


class _CutError(_BrokenError):
    """The last flow is not complete."""


def read_flows(octets: bytes, file: str) -> list[Exchange]:
    """Every HTTP request, in the order of the file. Raises InputError.

    A last flow that is cut off is left out: the proxy may still be writing.

    Args:
        octets: the file.
        file: how to call it.
    """
    found: list[Exchange] = []
    place = 0
    try:
        while place < len(octets):
            begun = place
            flow, place = _item(octets, place, 0)
            if not isinstance(flow, dict):
                raise InputError(f"{file}: at octet {begun}: {_EXPORT}")
            if flow.get("type", flow.get(b"type")) in ("http", b"http"):
                found.append(_exchange(flow, f"{file}: flow {len(found)}"))
    except _BrokenError as error:
        if found and isinstance(error, _CutError):
            return found
        raise InputError(f"{file}: {error}: {_EXPORT}") from None
    return found


def _item(octets: bytes, place: int, depth: int) -> tuple[Item, int]:
    """The item that begins at a place, and the place after it."""
    colon = octets.find(b":", place, place + _MOST_DIGITS + 1)
    size = octets[place:colon] if colon >= 0 else b""
    if not size.isdigit() or depth > _DEEPEST:
        raise _BrokenError(f"at octet {place}: no size of an item")
    begin, end = colon + 1, colon + 1 + int(size)
    if end >= len(octets):
        wrong = _BrokenError if depth else _CutError
        raise wrong(f"at octet {place}: an item that goes on beyond the end")
    return _value(octets[begin:end], octets[end : end + 1], place, depth), end + 1


def _value(data: bytes, mark: bytes, place: int, depth: int) -> Item:
    try:
        if mark in _PLAIN:
            return _PLAIN[mark](data)
        if mark == b"]":
            return list(_items(data, depth))
        if mark == b"}":
            flat = list(_items(data, depth))
            return dict(zip(flat[::2], flat[1::2], strict=True))
    except (ValueError, TypeError) as error:
        if isinstance(error, _BrokenError):
            raise
        raise _BrokenError(f"at octet {place}: an item that is not what its letter says") from None
    raise _BrokenError(f"at octet {place}: an item of an unknown kind")


def _items(data: bytes, depth: int) -> Iterator[Item]:
    place = 0
    while place < len(data):
        item, place = _item(data, place, depth + 1)
        yield item


def _exchange(flow: Mapping[Item, Item], where: str) -> Exchange:
    request = _table(flow, "request")
    headers = tuple(_headers(request, where))
    names = ("method", "scheme", "host", "path")
    method, scheme, host, path = (_text(_member(request, name), f"{where} request.{name}") for name in names)
    port = _member(request, "port")
    if scheme not in {"http", "https"} or not isinstance(port, int) or not path.startswith("/"):
        raise InputError(f"{where}: request.scheme, port or path is not of a request over HTTP: {_EXPORT}")
    authority = next((value for name, value in headers if name.lower() in {"host", ":authority"}), "")
    if not authority:
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port == {"http": 80, "https": 443}[scheme] else f"{shown}:{port}"
    response = _table(flow, "response")
    status, answer = _member(response, "status_code"), _member(response, "content")
    return Exchange(
        method,
        f"{scheme}://{authority}",
        path,
        headers,
        _octets(_member(request, "content")),
        status if isinstance(status, int) else None,
        _octets(answer),
    )


def _headers(request: Mapping[Item, Item], where: str) -> Iterator[tuple[str, str]]:
    fields = _member(request, "headers")
    for field in fields if isinstance(fields, list) else ():
        if not isinstance(field, list) or len(field) != 2:  # noqa: PLR2004  a name and a value
            raise InputError(f"{where} request.headers: wanted pairs of name and value")
        name, value = (_text(part, f"{where} request.headers") for part in field)
        yield name, value


def _table(flow: Mapping[Item, Item], name: str) -> Mapping[Item, Item]:
    found = _member(flow, name)
    return found if isinstance(found, dict) else {}


def _member(table: Mapping[Item, Item], name: str) -> Item:
    """A member; mitmproxy has written its names as octets and as text."""
    return table.get(name, table.get(name.encode()))


def _text(value: Item, where: str) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise InputError(f"{where} is no text: {_EXPORT}")


def _octets(value: Item) -> bytes:
    return value if isinstance(value, bytes) else b""
