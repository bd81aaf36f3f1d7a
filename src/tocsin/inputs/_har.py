"""The requests of an HTTP archive (HAR 1.2, softwareishard.com/blog/har-12-spec). PURE.

Rule: an archive holds text where the wire had octets. A plan is a template and no replay, so text is enough here; what
signs or replays an entry as it was (`tocsin sign --har`, [captured]) is stricter.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tocsin.inputs._errors import InputError
from tocsin.inputs._exchange import Exchange


def read_har(octets: bytes, file: str) -> list[Exchange]:
    """Every request, in the order of the archive. Raises InputError.

    Args:
        octets: the archive.
        file: how to call it.
    """
    try:
        entries = json.loads(octets)["log"]["entries"]
    except json.JSONDecodeError as error:
        raise InputError(f"{file}:{error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{file}: not an HTTP archive: wanted JSON with log.entries") from None
    if not isinstance(entries, list):
        raise InputError(f"{file}: log.entries is no list: wanted one of entries")
    return [_entry(entry, f"{file}: entry {place}") for place, entry in enumerate(entries)]


def _entry(entry: Any, where: str) -> Exchange:  # noqa: ANN401  parsed JSON
    try:
        request = entry["request"]
        method, url = request["method"], request["url"]
        headers = tuple((field["name"], field["value"]) for field in request["headers"])
        body = _sent(request.get("postData"))
        status, answer = _answer(entry.get("response"))
        texts = [method, url, body, *(part for header in headers for part in header)]
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{where} is no request of an archive: wanted request.method, url and headers") from None
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{where}: request.method, url, headers or body is no text: wanted one")
    origin, target = split_url(url, where)
    return Exchange(method, origin, target, headers, body.encode("utf-8", "replace"), status, answer)


def split_url(url: str, where: str) -> tuple[str, str]:
    """A URL's origin and target; a user name in it is dropped. Raises InputError.

    Args:
        url: absolute, http or https.
        where: it stands.
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise InputError(f"{where}: its URL is none: wanted http://host:port/path") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InputError(f"{where}: its URL begins {parts.scheme[:20]!r}: wanted http or https, and a host")
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
    return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _sent(data: Mapping[str, Any] | None) -> Any:  # noqa: ANN401  parsed JSON
    return "" if data is None else data.get("text", "")


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
