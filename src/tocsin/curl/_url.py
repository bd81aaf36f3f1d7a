"""The URL of a command as curl requests it. PURE.

Rule: what curl would send otherwise than it stands there (encoded, resolved, several of it) is refused; which it does
has changed between its versions.
"""

import re

from tocsin.curl._errors import CurlError

_URL = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<authority>[^/?#]+)(?P<rest>(?P<target>[^#]*)(?:#.*)?)", re.DOTALL
)
_AUTHORITY = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_LAST_PORT = 2**16 - 1
# Without a scheme, it goes by the beginning of the host's name (curl's manual page, "URL").
_GUESSED = re.compile(r"(?:dict|ftp|imap|ldap|pop3|smtp)\.", re.IGNORECASE)
# A plan's own, which curl never sees.
_PLACEHOLDER = re.compile(r"\{\{\s*[A-Za-z_]\w*\s*\}\}", re.ASCII)


def origin_and_target(given: str, *, is_literal: bool) -> tuple[str, str]:
    """The origin as it stands in a URL, and the target as it is sent.

    Args:
        given: the URL, perhaps without a scheme.
        is_literal: whether brackets and braces are no patterns (-g).

    Raises:
        CurlError: it is no URL, or curl requests another one.
    """
    has_scheme = "://" in given
    url = _URL.fullmatch(given if has_scheme else f"http://{given}")
    if url is None or (not has_scheme and _GUESSED.match(given)):
        raise CurlError("wanted an http URL")
    if "@" in url["authority"]:
        raise CurlError("the URL holds a user name: wanted a header instead")
    authority = _AUTHORITY.fullmatch(url["authority"])
    if authority is None or int(authority["port"] or 0) > _LAST_PORT:
        raise CurlError("the URL's host is none: wanted an http URL with a host, and perhaps a port")
    target = url["target"] if url["target"].startswith("/") else f"/{url['target']}"
    _check_marks(_PLACEHOLDER.sub("", url["rest"]), is_literal=is_literal)
    # curl resolves them (RFC 3986 section 5.2.4) before it sends; newer ones the encoded ones too.
    if {".", ".."} & set(re.sub("%2e", ".", target.partition("?")[0], flags=re.IGNORECASE).split("/")):
        raise CurlError("wanted a path without the segments . and ..")
    return f"{url['scheme'].lower()}://{url['authority']}", target


def _check_marks(rest: str, *, is_literal: bool) -> None:
    """What is not sent as it stands is refused, in the fragment too. Raises CurlError."""
    if re.search("[^!-~]", rest):
        raise CurlError("the URL holds a blank, or a letter beyond ASCII: wanted it percent-encoded")
    if not is_literal and re.search(r"[][{}\\]", rest):
        raise CurlError("curl takes brackets and braces in a URL for a pattern: wanted them percent-encoded, or -g")
