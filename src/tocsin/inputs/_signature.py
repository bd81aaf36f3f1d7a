"""Which scheme has signed a request, as far as its headers tell. PURE.

Rule: a guess is said to be one. What a header carries is looked at and forgotten: it is a live signature.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tocsin.inputs._toml import string
from tocsin.inputs._words import vocabulary, words
from tocsin.signing import PRESETS, Scheme

_SIGNATURE_WORDS = vocabulary("signature sig hmac signed sign digest mac")
_INSTANT_WORDS = vocabulary("timestamp time ts date")
# By the length of what it has drawn (FIPS 180-4): the spelling and the hash.
_SPELLINGS = (
    (re.compile(r"[0-9a-f]{40}"), "hex", "sha1"),
    (re.compile(r"[0-9a-f]{64}"), "hex", "sha256"),
    (re.compile(r"[0-9a-f]{96}"), "hex", "sha384"),
    (re.compile(r"[0-9a-f]{128}"), "hex", "sha512"),
    (re.compile(r"[0-9A-F]{64}"), "HEX", "sha256"),
    (re.compile(r"[A-Za-z0-9+/]{27}="), "base64", "sha1"),
    (re.compile(r"[A-Za-z0-9+/]{43}="), "base64", "sha256"),
    (re.compile(r"[A-Za-z0-9_-]{43}"), "base64url", "sha256"),
    (re.compile(r"[A-Za-z0-9+/]{64}"), "base64", "sha384"),
    (re.compile(r"[A-Za-z0-9+/]{86}=="), "base64", "sha512"),
)
_PREFIXED = re.compile(r"(?P<prefix>[a-z][a-z0-9]{0,9}[=,])(?P<drawn>.+)")


@dataclass(frozen=True, slots=True)
class Signing:
    """A plan's [signing], but for its secret.

    Args:
        lines: of TOML, comments included.
        written: lower-case names of the headers that signing makes anew.
    """

    lines: tuple[str, ...]
    written: frozenset[str]


def of_preset(scheme: Scheme, note: str = "") -> Signing:
    """The [signing] of a scheme that is known by name."""
    line = f"preset = {string(scheme.name)}"
    named = scheme.key_id_header is not None or "{key_id}" in scheme.value + scheme.content
    key_id = ('key_id = "TODO"',) if named else ()
    written = {name.lower() for name in scheme.written_headers}
    if scheme.id_header is not None:
        written.add(scheme.id_header.lower())
    return Signing((f"{line}  # {note}" if note else line, *key_id), frozenset(written))


def suggested(headers: Mapping[str, str]) -> Signing:
    """What the headers of a request say about its scheme.

    Args:
        headers: name to value; "" where only the name is known.
    """
    given = {name.lower(): value for name, value in headers.items()}
    fitting = sorted(_fitting(given), key=lambda found: -found[0])
    if fitting:
        best, scheme = fitting[0]
        others = [other.name for score, other in fitting[1:] if score == best]
        also = f" (or: {', '.join(others)})" if others else ""
        return of_preset(scheme, f"TODO: by the names of its headers; right?{also}")
    header = next((name for name in headers if words(name) & _SIGNATURE_WORDS), None)
    if header is None:
        return of_preset(PRESETS["hex-sha256-body"], "TODO: nothing in the source is a signature; `tocsin schemes`")
    return _described(header, given)


def looks_signed(names: Iterable[str]) -> str:
    """The first of some header names that carries a signature, or ""."""
    known = {name.lower() for scheme in PRESETS.values() for name in (scheme.header,) if scheme.written_headers}
    known.discard("authorization")
    return next((name for name in names if name.lower() in known or words(name) & _SIGNATURE_WORDS), "")


def _fitting(given: Mapping[str, str]) -> Iterator[tuple[int, Scheme]]:
    for scheme in PRESETS.values():
        written = [name.lower() for name in scheme.written_headers]
        if written and all(name in given and _fits(scheme, name, given[name]) for name in written):
            is_delivered = scheme.id_header is not None and scheme.id_header.lower() in given
            yield 2 * len(written) + is_delivered, scheme


def _fits(scheme: Scheme, name: str, value: str) -> bool:
    """Whether a header's value has the form that a scheme gives it. A name that many send is not enough."""
    if name != scheme.header.lower():
        return True
    if not value:
        return name != "authorization"
    pattern = re.sub(r"\\\{\w+\\\}", ".+?", re.escape(scheme.value))
    if not re.fullmatch(pattern, value, re.DOTALL):
        return False
    if scheme.value != "{signature}":
        return True
    return any(
        (shape.fullmatch(value) is not None) and (spelling, drawn) == (scheme.encoding, scheme.hash)
        for shape, spelling, drawn in _SPELLINGS
    )


def _described(header: str, given: Mapping[str, str]) -> Signing:
    """A scheme of nobody's that is known: what can be seen of it, and a question for the rest."""
    value = given[header.lower()]
    prefixed = _PREFIXED.fullmatch(value)
    prefix, drawn = (prefixed["prefix"], prefixed["drawn"]) if prefixed else ("", value)
    encoding, hashed = next(
        ((spelling, made) for shape, spelling, made in _SPELLINGS if shape.fullmatch(drawn)), ("hex", "sha256")
    )
    if not any(shape.fullmatch(drawn) for shape, _, _ in _SPELLINGS):
        prefix = ""
    instant = next((name for name in given if words(name) & _INSTANT_WORDS and name != "date"), None)
    lines = [
        f'# TODO: no preset sends {header} like this: what is signed, and how? docs/plan.md, "The scheme itself"',
        f"hash = {string(hashed)}",
        f"encoding = {string(encoding)}",
        f"content = {string('{timestamp}.{body}' if instant else '{body}')}",
        f"header = {string(header)}",
        f"value = {string(prefix + '{signature}')}",
    ]
    if instant:
        lines.append(f"timestamp_header = {string(instant)}")
        if re.fullmatch(r"[0-9]{13}", given[instant]):
            lines.append('timestamp_format = "unix_ms"')
        elif "T" in given[instant]:
            lines.append('timestamp_format = "iso8601"')
    return Signing(tuple(lines), frozenset({header.lower(), *([instant] if instant else [])}))
