"""AWS Signature Version 4: the canonical request and the chain that derives the key. PURE.

Rule: the canonical form forgives spaces, dot segments, encodings and doubled headers, so that several requests share
one signature. A request that is not canonical already is refused, but for the order of its query, which AWS sorts too.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from tocsin.signing._components import Component, Source, wire_octets
from tocsin.signing._errors import Malformed, WrongDigest
from tocsin.signing._layout import MAX_COVERED
from tocsin.signing._message import Message, sole, values_by_name
from tocsin.signing._origin import parse_origin

_CONTENT_SHA256 = "x-amz-content-sha256"
_NAMES = re.compile(r"[a-z0-9-]+(?:;[a-z0-9-]+)*")
# RFC 3986 unreserved characters, and escapes in upper case: all that a canonical query holds.
_ENCODED = r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})"
_PAIR = re.compile(f"{_ENCODED}+={_ENCODED}*")
_NOT_CANONICAL_PATH = re.compile(r"//|/\.{1,2}(?:/|$)")


def list_headers(message: Message, wanted: tuple[str, ...]) -> str:
    """The value of SignedHeaders: what is wanted, and every x-amz-* header that the message has, as AWS demands."""
    return ";".join(sorted({*wanted, *_amazon_headers(values_by_name(message))}))


def key_chain(date: str | None, scope: str) -> tuple[bytes, ...]:
    """What the key is derived over, from the secret on."""
    return tuple([step.encode("ascii", "replace") for step in (date or "", *scope.split("/"), "aws4_request")])


def _request_sha256(source: Source, _argument: str) -> bytes:
    """Lower hex SHA-256 of the canonical request."""
    message = source.message
    listed = source.parameters.covered or ""
    fields = values_by_name(message)
    names = _names(listed, fields)
    payload_sha256 = hashlib.sha256(message.body).hexdigest()
    for carried in fields.get(_CONTENT_SHA256, ()):
        if carried != payload_sha256:
            raise WrongDigest(f"header {_CONTENT_SHA256}")
    lines = (
        wire_octets(message.method, "the method"),
        _path(message),
        _query(message),
        *[_header(message, fields, name) for name in names],
        b"",
        listed.encode("ascii"),
        payload_sha256.encode("ascii"),
    )
    return hashlib.sha256(b"\n".join(lines)).hexdigest().encode("ascii")


REQUEST_SHA256 = Component(_request_sha256, ("method", "url", "body"), needs_origin=True, needs="covered")


def _path(message: Message) -> bytes:
    path = wire_octets(message.path, "the path")
    if not message.path.startswith("/") or _NOT_CANONICAL_PATH.search(message.path):
        raise Malformed("the path", "is not in canonical form: it has dot segments or empty ones")
    # Encoded once more: every service but S3 does.
    return quote(path, safe="/~").encode("ascii")


def _query(message: Message) -> bytes:
    if not message.query:
        return b""
    pairs = message.query.split("&")
    for pair in pairs:
        if not _PAIR.fullmatch(pair):
            raise Malformed("the query", "is not in canonical form: wanted name=value, percent-encoded in upper case")
    return "&".join(sorted(pairs, key=lambda pair: pair.split("="))).encode("ascii")


def _names(listed: str, present: Iterable[str]) -> list[str]:
    names = listed.split(";")
    if len(names) > MAX_COVERED:
        raise Malformed("the list of signed headers", f"has {len(names)} names; wanted at most {MAX_COVERED}")
    if not _NAMES.fullmatch(listed) or names != sorted(set(names)):
        raise Malformed("the list of signed headers", "is not in canonical form: wanted lower case, sorted, each once")
    for name in _amazon_headers(present):
        if name not in names:
            raise Malformed(f"header {name}", "is there and not signed")
    return names


def _amazon_headers(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith("x-amz-")]


def _header(message: Message, fields: Mapping[str, Sequence[str]], name: str) -> bytes:
    if name == "host":
        return f"host:{parse_origin(message.public_origin).authority}".encode("ascii")
    octets = wire_octets(sole(fields.get(name, ()), name), f"header {name}")
    if octets != b" ".join(octets.split()):
        raise Malformed(f"header {name}", "is not in canonical form: it has spaces at an end or in a row")
    return name.encode("ascii") + b":" + octets
