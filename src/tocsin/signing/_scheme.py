"""Scheme: what is signed, how, and where it stands in a request. PURE.

Rule: a scheme is data. Client, server and scanner read the same declaration, and a declaration that cannot be verified
unambiguously is refused when it is made, not when a message arrives.
"""

import hashlib
import math
from dataclasses import dataclass, field

from tocsin.signing._components import Content
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._errors import SchemeError
from tocsin.signing._layout import PARAMETER_KINDS, Layout
from tocsin.signing._message_id import Delimiters, MessageId
from tocsin.signing._nearest import unknown
from tocsin.signing._template import is_field_name
from tocsin.signing._timestamp import TIMESTAMP_FORMATS

HASHES = ("sha1", "sha256", "sha384", "sha512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A scheme taken apart once, so that verify is a walk over tuples.

    Args:
        content: what is signed.
        layout: the value of the signature's header.
        parameter_headers: kind and name of the headers of their own that carry a timestamp, nonce or key id.
        read_headers: those of them that `verify` reads: the signed ones, and the key id.
        has_key_id: whether the secret is selected by a key id.
        signs_timestamp: whether the timestamp is covered, so that it means something.
        signs_nonce: whether the nonce is covered.
        covered_headers: the signed headers.
        required_headers: those of them that must be there once, or the message is rejected. The message id's header is
            not among them: a signed message without it deserves a 400, see Verified.
        nonce_delimiters: what stands beside the nonce in the content.
        id_delimiters: what stands beside the message id's header in the content.
        signature_length: how many characters the signature's text has.
    """

    content: Content
    layout: Layout
    parameter_headers: tuple[tuple[str, str], ...]
    read_headers: tuple[tuple[str, str], ...]
    has_key_id: bool
    signs_timestamp: bool
    signs_nonce: bool
    covered_headers: tuple[str, ...]
    required_headers: tuple[str, ...]
    nonce_delimiters: Delimiters
    id_delimiters: Delimiters
    signature_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A frozen declaration of a signature scheme; the fields are the keys of a plan's [signing] table.

    A timestamp or nonce that the content does not cover is written by `sign` and ignored by `verify`: whoever can read
    one message could set it at will.

    Args:
        name: for reports and logs.
        content: what is signed: {method} {path} (raw, without query) {query} (without "?") {url} {timestamp} {nonce}
            {key_id} {body} {body_sha256} (lower hex) {header:Name}, and literals.
        hash: sha256, sha384, sha512; sha1 only with allow_sha1.
        encoding: hex, HEX, base64, base64url (unpadded), base64url= (padded). Only that one spelling verifies.
        header: the header that carries the signature.
        value: that header's value: {signature}, and perhaps {timestamp}, {nonce}, {key_id}.
        item_separator: what separates the items of a list value, such as ","; None: the value is no list.
        timestamp_header: the header that carries the timestamp, where the value does not.
        timestamp_format: unix, unix_ms, iso8601.
        nonce_header: the header that carries the nonce, where the value does not.
        key_id_header: the header that carries the key id, where the value does not.
        id_header: a header with an id per delivery, perhaps unsigned. For the scanner; `sign` does not write it.
        tolerance_past_s: how old a signed timestamp may be.
        tolerance_future_s: how far ahead a signed timestamp may be.
        message_id: what stays the same when the sender sends a message again, and is signed; None if nothing is.
        retry_horizon_s: for how long the sender may send one message again; None if nobody says.
        allow_sha1: permits hash "sha1", for the senders that still use it.
        summary: one line for lists.
        source: where the layout is published.
        not_covered: what anybody may change under a valid signature, in words.

    Raises:
        SchemeError: the declaration is wrong or ambiguous.
    """

    name: str
    content: str = "{body}"
    hash: str = "sha256"
    encoding: str = "hex"
    header: str = "X-Signature"
    value: str = "{signature}"
    item_separator: str | None = None
    timestamp_header: str | None = None
    timestamp_format: str = "unix"
    nonce_header: str | None = None
    key_id_header: str | None = None
    id_header: str | None = None
    tolerance_past_s: float = 300
    tolerance_future_s: float = 300
    message_id: MessageId | None = None
    retry_horizon_s: int | None = None
    allow_sha1: bool = False
    summary: str = ""
    source: str = ""
    not_covered: str = ""
    compiled: Compiled = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_words()
        self._check_headers()
        object.__setattr__(self, "compiled", self._compile())
        self._check_parameters()
        self._check_message_id()

    def _compile(self) -> Compiled:
        content = Content.compile(self.content)
        layout = Layout.compile(self.value, header=self.header, separator=self.item_separator)
        headers = self._parameter_headers()
        id_header = (self.message_id.header if self.message_id is not None else None) or ""
        return Compiled(
            content=content,
            layout=layout,
            parameter_headers=headers,
            read_headers=tuple((kind, name) for kind, name in headers if kind == "key_id" or content.covers(kind)),
            has_key_id="key_id" in layout.parameters or self.key_id_header is not None,
            signs_timestamp=content.covers("timestamp"),
            signs_nonce=content.covers("nonce"),
            covered_headers=content.headers,
            required_headers=tuple(name for name in content.headers if name.lower() != id_header.lower()),
            nonce_delimiters=content.delimiters("nonce"),
            id_delimiters=content.delimiters(f"header:{id_header}"),
            signature_length=len(ENCODINGS[self.encoding](bytes(hashlib.new(self.hash).digest_size))),
        )

    def _parameter_headers(self) -> tuple[tuple[str, str], ...]:
        named = (("timestamp", self.timestamp_header), ("nonce", self.nonce_header), ("key_id", self.key_id_header))
        return tuple((kind, header) for kind, header in named if header is not None)

    @property
    def has_timestamp(self) -> bool:
        """Whether a timestamp is sent with the signature."""
        return self.carries("timestamp")

    @property
    def has_nonce(self) -> bool:
        """Whether a nonce is sent with the signature."""
        return self.carries("nonce")

    @property
    def has_key_id(self) -> bool:
        """Whether a key id is sent with the signature."""
        return self.carries("key_id")

    @property
    def signature_prefix(self) -> str:
        """The literal right before the signature: "sha256=", "v1=", ""."""
        return self.compiled.layout.signature_prefix

    @property
    def signature_length(self) -> int:
        """How many characters the signature's text has."""
        return self.compiled.signature_length

    @property
    def covered_components(self) -> tuple[str, ...]:
        """The components under the signature, in order, as the content spells them: "method", "header:Name"."""
        return self.compiled.content.components

    @property
    def covered_headers(self) -> tuple[str, ...]:
        """The names of the headers under the signature, in order."""
        return self.compiled.covered_headers

    @property
    def written_headers(self) -> tuple[str, ...]:
        """The headers that `sign` adds to a message, in that order."""
        return (*(header for _kind, header in self._parameter_headers()), self.header)

    def covers(self, component: str) -> bool:
        """Whether changing a component breaks the signature.

        Args:
            component: "body", "method", "path", "query", "timestamp", "nonce", "key_id", "header:Name", or "id" for
                the scheme's id_header.
        """
        if component == "id":
            return self.id_header is not None and self.covers(f"header:{self.id_header}")
        return self.compiled.content.covers(component)

    def carries(self, kind: str) -> bool:
        """Whether a "timestamp", "nonce" or "key_id" is sent with the signature, in a header or in the value."""
        return kind in self.compiled.layout.parameters or kind in dict(self.compiled.parameter_headers)

    def _check_words(self) -> None:
        if self.hash not in HASHES:
            raise SchemeError(unknown("hash", self.hash, HASHES))
        if self.hash == "sha1" and not self.allow_sha1:
            raise SchemeError("hash = 'sha1': wanted sha256, or allow_sha1 for a sender that has nothing else")
        if self.encoding not in ENCODINGS:
            raise SchemeError(unknown("encoding", self.encoding, ENCODINGS))
        if self.timestamp_format not in TIMESTAMP_FORMATS:
            raise SchemeError(unknown("timestamp_format", self.timestamp_format, TIMESTAMP_FORMATS))
        for name in ("tolerance_past_s", "tolerance_future_s"):
            tolerance: float = getattr(self, name)
            if not 0 <= tolerance < math.inf:
                raise SchemeError(f"{name} = {tolerance!r}: wanted seconds, 0 or more, and an end")

    def _check_headers(self) -> None:
        names = [*self.written_headers, *([self.id_header] if self.id_header is not None else [])]
        for name in names:
            if not is_field_name(name):
                raise SchemeError(f"header {name!r}: wanted a field name such as X-Signature")
        if len({name.lower() for name in names}) != len(names):
            raise SchemeError(f"headers {', '.join(names)}: one name is used for two things")

    def _check_parameters(self) -> None:
        for kind in sorted(PARAMETER_KINDS):
            if kind in self.compiled.layout.parameters and kind in dict(self.compiled.parameter_headers):
                raise SchemeError(f"the {kind} stands in both value and {kind}_header; wanted one of them")
            if self.covers(kind) and not self.carries(kind):
                raise SchemeError(f"content signs {{{kind}}}, which nothing carries; wanted {kind}_header")
        for name in self.written_headers:
            if self.covers(f"header:{name}"):
                raise SchemeError(f"content signs {{header:{name}}}, which signing writes; wanted its placeholder")

    def _check_message_id(self) -> None:
        rule = self.message_id
        if rule is None:
            return
        if rule.header is None:
            if not self.covers("body"):
                raise SchemeError(f"message_id: {rule}, and the content does not cover the body")
            return
        component = f"header:{rule.header}"
        if not self.covers(component):
            raise SchemeError(f"message_id: {rule} is not signed, so anybody could send a message again as a new one")
        if not self.compiled.content.is_separated(component):
            raise SchemeError(f"message_id: nothing separates {{{component}}} from the components beside it in content")
