"""Answers whose body is wrapped in a coding. PURE.

LIMIT: none is unwrapped. A request says nothing of codings but what the plan says, and most services send none then.
"""

from typing import Final

from tocsin.wire import Response

# RFC 9110 section 8.4.1, and what has been registered since.
_CODINGS: Final = frozenset({"br", "compress", "deflate", "gzip", "x-compress", "x-gzip", "zstd"})


def coded(response: Response) -> str:
    """That a body is content-encoded, as the end of a sentence on what could not be read in it; or ""."""
    named = {name.strip().lower() for value in response.values("Content-Encoding") for name in value.split(",")}
    codings = ", ".join(sorted(named & _CODINGS))
    return f"; the body is content-encoded ({codings}): wanted it plain" if codings else ""
