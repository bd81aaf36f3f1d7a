"""The requests of an HTTP archive, as exchanges. PURE.

Rule: a plan is a template and no replay, so an archive's text is enough here; what signs or replays an entry as it was
(`tocsin sign --har`, [captured]) is stricter.
"""

from urllib.parse import urlsplit

from tocsin.har import HarError, entries, entry_of
from tocsin.inputs._errors import InputError
from tocsin.inputs._exchange import Exchange


def read_har(octets: bytes, file: str) -> list[Exchange]:
    """Every request, in the order of the archive. Raises InputError.

    Args:
        octets: the archive.
        file: how to call it.
    """
    try:
        found = entries(octets)
    except HarError as error:
        raise InputError(f"{file}:{error.line}: {error}" if error.line else f"{file}: {error}") from None
    return [_exchange(one, f"{file}: entry {place}") for place, one in enumerate(found)]


def _exchange(found: object, where: str) -> Exchange:
    try:
        entry = entry_of(found)
    except HarError as error:
        raise InputError(f"{where} {error}") from None
    origin, target = split_url(entry.url, where)
    body = entry.text.encode("utf-8", "replace")
    return Exchange(entry.method, origin, target, entry.headers, body, entry.status, entry.answer)


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
