"""A curl command, as the beginning of a plan. PURE."""

from typing import Any

from tocsin.curl import CurlError, parse_curl
from tocsin.scan._errors import PlanError

# Made anew for every request that is sent.
_MADE_ANEW = {"host", "content-length", "connection"}


def tables_from_curl(command: str, *, drop: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The [target] and [request] tables of a curl command. Raises PlanError.

    Args:
        command: as it is pasted into a shell, with or without the word curl.
        drop: lower-case names of headers that signing makes anew.
    """
    try:
        given = parse_curl(command)
    except CurlError as error:
        raise PlanError(f"--curl: {error}") from None
    headers: dict[str, str] = {}
    for name, value in given.headers:
        if name.lower() in _MADE_ANEW | drop:
            continue
        if name.lower() in {known.lower() for known in headers}:
            # A plan's headers are a table: the first of the two would be dropped unseen.
            raise PlanError(f"--curl: the header {name} is given twice: wanted once")
        headers[name] = value
    return {
        "target": {"base_url": given.origin},
        "request": {
            "method": given.method,
            "path": given.target,
            "headers": headers,
            "body": given.body,
        },
    }
