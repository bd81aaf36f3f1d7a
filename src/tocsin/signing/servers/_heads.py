"""The head of a request as it was signed, from what WSGI and ASGI servers make of it. PURE.

Rule: nothing is decoded or normalised. Where a server has already done so, what it took away is put back as far as it
can be known, and a request that was spelled otherwise does not verify.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from tocsin.signing import Header

# RFC 3986 section 3.3: what may stand in a path as it is.
_PATH_CHARACTERS = "/:@!$&'()*+,;=~-._"
_BARE_FIELDS = {"CONTENT_TYPE": "Content-Type", "CONTENT_LENGTH": "Content-Length"}


def wsgi_target(environ: Mapping[str, object]) -> str:
    """The request target.

    WSGI has no place for it; gunicorn and werkzeug give it as RAW_URI, uWSGI and mod_wsgi as REQUEST_URI. From other
    servers the path comes decoded, and is quoted again: a target that was spelled in another way, such as "%7E" for
    "~", then does not verify under a scheme that signs it.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if isinstance(raw, str) and raw:
        return origin_form(raw)
    decoded = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    query = environ.get("QUERY_STRING", "")
    path = quote(decoded.encode("latin-1"), safe=_PATH_CHARACTERS)
    return f"{path}?{query}" if query else path


def wsgi_headers(environ: Mapping[str, object]) -> tuple[Header, ...]:
    """The header fields; servers have joined those of one name, with commas."""
    fields = [
        (_BARE_FIELDS.get(key) or key.removeprefix("HTTP_").replace("_", "-").title(), value)
        for key, value in environ.items()
        if key.startswith("HTTP_") or key in _BARE_FIELDS
    ]
    # PEP 3333: a server may give both of the bare ones as "" where the request has none.
    return tuple((name, value) for name, value in fields if isinstance(value, str) and (value or "-" not in name))


def asgi_target(scope: Mapping[str, object]) -> str:
    """The request target; "?" without anything after it is lost on the way."""
    raw_path, query = scope.get("raw_path"), scope.get("query_string")
    if isinstance(raw_path, bytes) and raw_path:
        path = origin_form(raw_path.decode("latin-1"))
    else:
        path = quote(str(scope.get("path", "")), safe=_PATH_CHARACTERS)
    return f"{path}?{query.decode('latin-1')}" if isinstance(query, bytes) and query else path


def asgi_headers(fields: Iterable[tuple[bytes, bytes]]) -> tuple[Header, ...]:
    """The header fields, in wire order."""
    return tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields])


def origin_form(target: str) -> str:
    """A target without URL scheme and authority; RFC 9112 section 3.2.2: a proxy's client may send them."""
    if target.startswith("/") or "://" not in target:
        return target
    rest = target.partition("://")[2]
    start = min((index for index in (rest.find("/"), rest.find("?")) if index >= 0), default=len(rest))
    return rest[start:] if rest.startswith("/", start) else f"/{rest[start:]}"
