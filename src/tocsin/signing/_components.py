"""The parts of a request that can be signed, and their octets. PURE.

Rule: a component's octets are those on the wire. Text that holds a line break or NUL is refused: no request on a wire
can hold it there, and a content that separates by line breaks is then unambiguous.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from tocsin.signing._body_fields import field_text, parse_body
from tocsin.signing._errors import Malformed, Missing, WrongDigest
from tocsin.signing._form import parse_form
from tocsin.signing._message import Message
from tocsin.signing._origin import parse_origin
from tocsin.signing._pointer import Json, PointerError, json_pointer


class Parameters(NamedTuple):
    """What goes into a signature besides the message, as text on the wire; None where the scheme has none.

    Args:
        timestamp: when it was signed.
        nonce: what makes it unique.
        key_id: whose secret signed it.
        digest: the body's digest that the message carries.
        date: the day of the timestamp, where it is carried once more.
        covered: the list of what is signed, where the sender chooses.
        expires: until when it is valid, where the sender says so.
    """

    timestamp: str | None = None
    nonce: str | None = None
    key_id: str | None = None
    digest: str | None = None
    date: str | None = None
    covered: str | None = None
    expires: str | None = None


# Of a timestamp in the basic format of ISO 8601: "20150830".
DATE_CHARACTERS = 8
# A nonce is a random text: 255 visible characters are room for every known form.
MAX_NONCE_CHARACTERS = 255
NONCE_WANTED = f"1 to {MAX_NONCE_CHARACTERS} visible ASCII characters"
# RFC 3986 section 2: the characters of a URI.
_URI = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_URI_OCTETS = frozenset(bytes([octet]) for octet in range(256) if _URI.fullmatch(chr(octet)))
# Not raw in a path or a query by RFC 3986, though many send it there; lists in JSON begin with it.
_BRACKET = "["
_ENDS_A_URL = _URI_OCTETS - {_BRACKET.encode()}
# What HubSpot undoes in the URL before it signs: the last section of its page on validating requests.
_HUBSPOT_ESCAPES = re.compile(r"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)")


class Source:
    """What components are read from: a message, its parameters and its body as a document."""

    __slots__ = ("_body_format", "_document", "message", "parameters")

    def __init__(self, message: Message, parameters: Parameters, body_format: str) -> None:
        self.message = message
        self.parameters = parameters
        self._body_format = body_format
        self._document: tuple[Json] | None = None

    @property
    def document(self) -> Json:
        """The body as a document, parsed once.

        Raises:
            Malformed: it is not of the scheme's format.
        """
        if self._document is None:
            self._document = (parse_body(self.message.body, self._body_format),)
        return self._document[0]


Reader: TypeAlias = Callable[[Source, str], bytes]


@dataclass(frozen=True, slots=True)
class Component:
    """A kind of component.

    Args:
        read: its octets in a message, given the argument after the placeholder's colon.
        stands_for: the plain components that it covers, where its own name does not say.
        needs_origin: whether it reads the public origin.
        needs: the parameter without which it cannot be read.
        is_field: whether it is one field of the body, which must not hold what separates it in the content.
    """

    read: Reader
    stands_for: tuple[str, ...] = ()
    needs_origin: bool = False
    needs: str | None = None
    is_field: bool = False


def is_nonce(text: str) -> bool:
    """Whether a text may be a nonce."""
    return 1 <= len(text) <= MAX_NONCE_CHARACTERS and all("!" <= character <= "~" for character in text)


def wire_octets(text: str | None, part: str) -> bytes:
    """The octets of a text that is the latin-1 view of them.

    Raises:
        Missing: there is no text.
        Malformed: it holds a character that is no octet, a line break or NUL.
    """
    if text is None:
        raise Missing(part)
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        raise Malformed(part, "holds a character that is no octet of a request") from None
    if b"\n" in octets or b"\r" in octets or b"\0" in octets:
        raise Malformed(part, "holds a line break or NUL")
    return octets


def public_url(message: Message) -> str:
    """The URL under which the public reaches the message's target.

    Raises:
        Malformed: the target holds a character that no URL has.
        SchemeError: no public origin is configured, or it is none.
    """
    return _joined_url(message.public_origin, message.target)


# Senders call a service under a few URLs, again and again.
@lru_cache(maxsize=64)
def _joined_url(origin: str, target: str) -> str:
    if not _URI.fullmatch(target):
        raise Malformed("the target", "holds a character that no URL has")
    return parse_origin(origin).text + target


def hubspot_url(message: Message) -> str:
    """That URL as HubSpot signs it.

    Raises:
        Malformed, SchemeError: see `public_url`.
    """
    url = public_url(message)
    # Most URLs have no escapes, and looking for one is much cheaper than a substitution of nothing.
    return _HUBSPOT_ESCAPES.sub(_unescaped, url) if "%" in url else url


def body_after_url(message: Message) -> bytes:
    """The body, where a scheme signs it right behind the URL: what begins it cannot be in such a URL.

    Raises:
        Malformed: the URL and the body could be cut elsewhere under the same signature.
    """
    if message.body[:1] in _ENDS_A_URL:
        raise Malformed("the body", "begins with a character of a URL, and is signed right behind one")
    if _BRACKET in message.target:
        raise Malformed("the target", f"holds {_BRACKET!r}, which could begin the body that is signed right behind it")
    return message.body


def _url_with_digest(source: Source, name: str) -> bytes:
    """The URL, in whose query the sender has put the lower hex SHA-256 of the body."""
    url = public_url(source.message).encode("ascii")
    mark = f"{name}="
    # A name without "=" is one of no digest: twice then, or not the digest.
    carried = [pair for pair in source.message.query.split("&") if pair.startswith(mark) or pair == name]
    if len(carried) != 1:
        raise Malformed("the query", f"has {name} {len(carried)} times; wanted once")
    if carried[0][len(mark) :] != hashlib.sha256(source.message.body).hexdigest():
        raise WrongDigest(f"{name} in the query")
    return url


def _header(source: Source, name: str) -> bytes:
    # RFC 9110 section 5.3: fields of one name mean their values joined. Whether the field had to be there, and once,
    # is judged after the signature.
    return wire_octets(", ".join(source.message.values(name)), f"header {name}")


def _sorted_form(source: Source, _argument: str) -> bytes:
    """Name and value of every form field, sorted and without repetition, with nothing between them."""
    try:
        pairs = sorted(set(parse_form(source.message.body)))
    except PointerError as error:
        raise Malformed("the body", f"cannot be read: {error}") from None
    return "".join([name + value for name, value in pairs]).encode("utf-8")


def _field(source: Source, pointer: str) -> bytes:
    return field_text(source.document, json_pointer(pointer)).encode("utf-8")


def _optional_field(source: Source, pointer: str) -> bytes:
    return field_text(source.document, json_pointer(pointer), optional=True).encode("utf-8")


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


PLAIN_COMPONENTS: Mapping[str, Component] = MappingProxyType(
    {
        "method": Component(lambda source, _argument: wire_octets(source.message.method, "the method")),
        "path": Component(lambda source, _argument: wire_octets(source.message.path, "the path")),
        "query": Component(lambda source, _argument: wire_octets(source.message.query, "the query")),
        "target": Component(
            lambda source, _argument: wire_octets(source.message.target, "the target"), ("path", "query")
        ),
        "url": Component(lambda source, _argument: public_url(source.message).encode("ascii"), needs_origin=True),
        "url_with_digest": Component(_url_with_digest, ("url", "body"), needs_origin=True),
        "hubspot_url": Component(
            lambda source, _argument: hubspot_url(source.message).encode("ascii"), ("url",), needs_origin=True
        ),
        "host": Component(
            lambda source, _argument: parse_origin(source.message.public_origin).host.encode("ascii"), needs_origin=True
        ),
        "port": Component(
            lambda source, _argument: b"%d" % parse_origin(source.message.public_origin).port, needs_origin=True
        ),
        "timestamp": Component(lambda source, _argument: wire_octets(source.parameters.timestamp, "the timestamp")),
        "date": Component(lambda source, _argument: wire_octets(source.parameters.date, "the date")),
        "nonce": Component(lambda source, _argument: wire_octets(source.parameters.nonce, "the nonce")),
        "key_id": Component(lambda source, _argument: wire_octets(source.parameters.key_id, "the key id")),
        "digest": Component(
            lambda source, _argument: wire_octets(source.parameters.digest, "the digest"), ("digest", "body")
        ),
        "body": Component(lambda source, _argument: source.message.body),
        "body_sha256": Component(
            lambda source, _argument: hashlib.sha256(source.message.body).hexdigest().encode("ascii")
        ),
        "form": Component(_sorted_form, ("body",)),
        "field": Component(_field, is_field=True),
        "optional_field": Component(_optional_field, is_field=True),
        "header": Component(_header),
    }
)
