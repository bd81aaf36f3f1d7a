"""Signatures that should not verify, and other spellings of those that do.

Rule: a forgery never holds a valid signature for its own content; a respelling always does. They are rendered by the
scheme itself, so they stand where the real one would.
"""

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.signing import (
    ENCODINGS,
    Header,
    Message,
    Parameters,
    Scheme,
    Secret,
    attach,
    compute_signature,
    make_parameters,
    signature_base,
)

# Twice what servers commonly allow for a header (8 KiB), so that it is the server or the service that says no.
_VERY_LONG = 16_384
# Four characters of base64 may end in padding; eight hold at least five that are free.
_WRONG_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class _Signing:
    """A message about to be signed, with what goes into its signature."""

    composer: Composer
    message: Message
    parameters: Parameters

    def by(self, secret: Secret, message: Message | None = None) -> str:
        """The signature's text under a secret."""
        return compute_signature(message or self.message, self.composer.plan.scheme, secret, self.parameters)

    def headers(self, text: str) -> tuple[Header, ...]:
        """The headers that carry a signature's text."""
        return attach(self.composer.plan.scheme, text, self.parameters)

    def value(self, value: str) -> tuple[Header, ...]:
        """The headers with another value for the one that carries the signature."""
        scheme = self.composer.plan.scheme
        return tuple((name, value if name == scheme.header else old) for name, old in self.headers("x"))


def forgery(composer: Composer, draft: Draft, *, at: float, padding: int = 0) -> Shot:
    """The right header, prefix, alphabet and length, and a wrong value: signed by a secret that nobody has.

    Args:
        composer: renders and signs.
        draft: of the request.
        at: the signed instant, Unix seconds.
        padding: how many spaces are added to the body.
    """
    signing = _signing(composer, draft, at)
    headers = signing.headers(signing.by(_random_secret(composer)))
    message = replace(signing.message, body=signing.message.body + b" " * padding)
    return composer.as_it_stands(replace(message, headers=message.headers + headers), draft, at=at)


def with_right_beginning(composer: Composer, draft: Draft, *, at: float) -> Shot:
    """A forgery of which all but the last characters are right: as far as a comparison goes that stops at the first."""
    signing = _signing(composer, draft, at)
    right, wrong = signing.by(composer.secret), signing.by(_random_secret(composer))
    kept = len(right) - _WRONG_CHARACTERS
    return composer.signed_by(signing.headers(right[:kept] + wrong[kept:]), draft, at=at)


def bypass_probes(composer: Composer) -> tuple[str, ...]:
    """The names of all ways of not having a valid signature that fit the plan's scheme."""
    draft = Draft(dict.fromkeys(composer.plan.used | composer.plan.extracted | set(composer.plan.variables), "0"))
    return tuple(name for name, _ in _bypasses(_signing(composer, draft, 0)))


def bypass(name: str, composer: Composer, draft: Draft, *, at: float) -> Shot:
    """One of bypass_probes as a request."""
    headers = next(headers for probe, headers in _bypasses(_signing(composer, draft, at)) if probe == name)
    return composer.signed_by(headers, draft, at=at)


def respelling_names(scheme: Scheme) -> tuple[str, ...]:
    """The spellings that there are under a scheme; a signature without the characters in question lacks some."""
    texts = ("hex_case",) if scheme.encoding.lower() == "hex" else ("padding", "alphabet")
    return ("header_case", *texts, *(("list_position",) if scheme.item_separator is not None else ()))


def respellings(composer: Composer, shot: Shot) -> list[tuple[str, Shot]]:
    """The same signed message as `shot`, in the spellings that a lax verifier may accept too, each with its name."""
    signing = _signing(composer, shot.draft, shot.at)
    return [
        (name, composer.signed_by(headers, shot.draft, at=shot.at)) for name, headers in _respelled(signing, composer)
    ]


def _bypasses(signing: _Signing) -> Iterator[tuple[str, tuple[Header, ...]]]:
    composer, scheme = signing.composer, signing.composer.plan.scheme
    forged = signing.by(_random_secret(composer))
    headers = signing.headers(forged)
    yield "missing", tuple(header for header in headers if header[0] != scheme.header)
    yield "empty", signing.value("")
    yield "truncated", signing.headers(forged[: len(forged) // 2])
    yield "junk", signing.headers("z" * len(forged))
    yield "other_prefix", signing.value(f"sha0={forged}")
    yield "other_hash", signing.headers(forged[: 2 * hashlib.sha1().digest_size])  # noqa: S324  its length, not its strength
    yield "unkeyed_hash", signing.headers(_unkeyed(signing))
    yield "none", signing.headers("none")
    yield "doubled", (*headers, *(header for header in headers if header[0] == scheme.header))
    yield "very_long", signing.headers("a" * _VERY_LONG)
    yield "non_ascii", signing.headers("\u00e9" * len(forged))
    if scheme.covers("body") and signing.message.body:
        yield "of_empty_body", signing.headers(signing.by(composer.secret, replace(signing.message, body=b"")))
    yield "of_another_key", headers


def _respelled(signing: _Signing, composer: Composer) -> Iterator[tuple[str, tuple[Header, ...]]]:
    scheme = composer.plan.scheme
    text = signing.by(composer.secret)
    headers = signing.headers(text)
    yield "header_case", tuple((name.swapcase(), value) for name, value in headers)
    if scheme.encoding.lower() == "hex":
        yield "hex_case", signing.headers(text.swapcase())
    else:
        for name, other in _base64_spellings(text):
            yield name, signing.headers(other)
    if scheme.item_separator is not None:
        value = dict(headers)[scheme.header]
        yield "list_position", signing.value(f"v0=junk{scheme.item_separator}{value}")


def _base64_spellings(text: str) -> Iterator[tuple[str, str]]:
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    if bare != padded:
        yield "padding", padded if text == bare else bare
    if any(mark in text for mark in "+/"):
        yield "alphabet", text.replace("+", "-").replace("/", "_")
    elif any(mark in text for mark in "-_"):
        yield "alphabet", text.replace("-", "+").replace("_", "/")


def _unkeyed(signing: _Signing) -> str:
    """The bare hash of the signed content: what a verifier computes that forgot the key."""
    scheme = signing.composer.plan.scheme
    digest = hashlib.new(scheme.hash, signature_base(signing.message, scheme, signing.parameters)).digest()
    return ENCODINGS[scheme.encoding](digest)


def _signing(composer: Composer, draft: Draft, at: float) -> _Signing:
    message = composer.message(composer.plan.request, draft, at=at)
    parameters = make_parameters(
        composer.plan.scheme,
        now=at,
        nonce=draft.values.get("nonce"),
        key_id=composer.secret.key_id,
        message=message,
    )
    return _Signing(composer, message, parameters)


def _random_secret(composer: Composer) -> Secret:
    return Secret(secrets.token_bytes(32), key_id=composer.secret.key_id)
