"""Scheme: what is signed, how, and where it stands in a request. PURE.

Rule: a scheme is data. Client, server and scanner read the same declaration, and a declaration that cannot be verified
unambiguously is refused when it is made, not when a message arrives.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tocsin.signing._body_fields import BODY_FORMATS
from tocsin.signing._carrier import BodyCarrier, Carrier, HeaderCarrier
from tocsin.signing._compiled import DERIVATIONS, Compiled
from tocsin.signing._content import Content
from tocsin.signing._digest import DIGESTS
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._errors import SchemeError
from tocsin.signing._http_signatures import INPUT_HEADER, SignatureCarrier
from tocsin.signing._layout import PARAMETER_KINDS, Layout
from tocsin.signing._message_id import MessageId, delimiters_of_id
from tocsin.signing._nearest import unknown
from tocsin.signing._pointer import JsonPointer, json_pointer
from tocsin.signing._secret import SECRET_ENCODINGS, Secret
from tocsin.signing._shape import Bare, Shape, find_shape
from tocsin.signing._template import is_field_name
from tocsin.signing._timestamp import TIMESTAMP_FORMATS

HASHES = ("sha1", "sha256", "sha384", "sha512")


# The fields that hold one word of a list, or None.
_WORDS: Mapping[str, Collection[str]] = MappingProxyType(
    {
        "hash": HASHES,
        "encoding": ENCODINGS,
        "timestamp_format": TIMESTAMP_FORMATS,
        "body_format": BODY_FORMATS,
        "digest": DIGESTS,
        "key_derivation": DERIVATIONS,
        "secret_encoding": SECRET_ENCODINGS,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A frozen declaration of a signature scheme; the fields are the keys of a plan's [signing] table.

    A timestamp or nonce that the content does not cover is written by `sign` and ignored by `verify`: whoever can read
    one message could set it at will.

    Args:
        name: for reports and logs.
        content: what is signed: placeholders and literals. {method} {path} (raw, without query) {query} (without "?")
            {target} {url} {host} {port} {timestamp} {date} {nonce} {key_id} {digest} {scope} {body} {body_sha256}
            (lower hex) {form} {header:Name} {field:/pointer} {optional_field:/pointer}, and those of single schemes.
        hash: sha256, sha384, sha512; sha1 only with allow_sha1.
        encoding: hex, HEX, base64, base64url (unpadded), base64url= (padded). Only that one spelling verifies.
        header: the header that carries the signature.
        value: that header's value: {signature}, and perhaps {timestamp}, {nonce}, {key_id}, {digest}, {date},
            {covered}, {scope}.
        item_separator: what separates the items of a list value, such as ","; None: the value is no list.
        timestamp_header: the header that carries the timestamp, where the value does not.
        timestamp_format: unix, unix_ms, iso8601, iso8601_basic.
        nonce_header: the header that carries the nonce, where the value does not.
        key_id_header: the header that carries the key id, where the value does not.
        digest_header: the header that carries the body's digest, where the value does not.
        digest: how that digest is spelled: rfc9530, hawk; None: none is carried.
        body_format: how the body's fields are read: json, form.
        signature_pointer: where the signature stands in the body; None: it stands in the header.
        timestamp_pointer: where the timestamp stands in the body.
        nonce_pointer: where the nonce stands in the body.
        covered: where the sender chooses what it signs, what has to be among it; signing covers just that.
        scope: fills in {scope}, and goes into a derived key: "us-east-1/execute-api".
        key_derivation: how the key comes from the secret: aws4; None: it is the secret.
        id_header: a header with an id per delivery, perhaps unsigned. For the scanner; `sign` does not write it.
        tolerance_past_s: how old a signed timestamp may be.
        tolerance_future_s: how far ahead a signed timestamp may be.
        message_id: what stays the same when the sender sends a message again, and is signed; None if nothing is.
        retry_horizon_s: for how long the sender may send one message again; None if nobody says.
        secret_encoding: how the provider writes its secrets: utf8, hex, base64; see `decode_secret`.
        secret_prefix: what stands before that: "whsec_".
        allow_sha1: permits hash "sha1", for the senders that still use it.
        summary: one line for lists.
        source: where the layout is published.
        unconfirmed: what of it no document of its provider confirms, in words; "" if all is confirmed.
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
    digest_header: str | None = None
    digest: str | None = None
    body_format: str = "json"
    signature_pointer: str | None = None
    timestamp_pointer: str | None = None
    nonce_pointer: str | None = None
    covered: tuple[str, ...] = ()
    scope: str = ""
    key_derivation: str | None = None
    id_header: str | None = None
    tolerance_past_s: float = 300
    tolerance_future_s: float = 300
    message_id: MessageId | None = None
    retry_horizon_s: int | None = None
    secret_encoding: str = "utf8"  # noqa: S105  a word, not a secret
    secret_prefix: str = ""
    allow_sha1: bool = False
    summary: str = ""
    source: str = ""
    unconfirmed: str = ""
    not_covered: str = ""
    compiled: Compiled = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_words()
        self._check_headers()
        object.__setattr__(self, "compiled", self._compile())
        self._check_parameters()
        self._check_message_id()

    def _compile(self) -> Compiled:
        content = Content.compile(
            self._filled(self.content),
            chosen=self.covered,
            digest_header=self.digest_header,
            body_format=self.body_format,
        )
        layout = Layout.compile(self._filled(self.value), header=self.header, separator=self.item_separator)
        headers = self._parameter_headers()
        pointers = self._pointers()
        in_body = None if self.signature_pointer is None else json_pointer(self.signature_pointer)
        signed = {kind for kind in PARAMETER_KINDS if content.covers(kind)}
        # What no signature covers is not read, but for the key id and the digest: they are not trusted either.
        read = tuple((kind, name) for kind, name in headers if kind in signed | {"key_id", "digest"})
        carrier: Carrier
        if in_body is not None:
            carrier = BodyCarrier(in_body, pointers, self.body_format)
        elif self._is_http_signature:
            carrier = SignatureCarrier(self.header, self.covered, self.digest_header)
        else:
            carrier = HeaderCarrier(
                self.header,
                layout,
                written=headers,
                read=read,
                pointers=pointers,
                body_format=self.body_format,
                wanted=self.covered,
            )
        id_header = (self.message_id.header if self.message_id is not None else None) or ""
        signature_length = len(ENCODINGS[self.encoding](bytes(hashlib.new(self.hash).digest_size)))
        return Compiled(
            content=content,
            layout=layout,
            carrier=carrier,
            shape=self._shape(content, layout, read, signature_length) if isinstance(carrier, HeaderCarrier) else None,
            parameter_headers=headers,
            pointers=pointers,
            signature_pointer=in_body,
            digest=None if self.digest is None else DIGESTS[self.digest],
            derivation=None if self.key_derivation is None else DERIVATIONS[self.key_derivation],
            has_key_id="key_id" in carrier.parameters,
            signs_timestamp="timestamp" in signed or ("timestamp" in pointers and content.covers("body")),
            signs_nonce="nonce" in signed or ("nonce" in pointers and content.covers("body")),
            covered_headers=content.headers,
            required_headers=tuple(name for name in content.headers if name.lower() != id_header.lower()),
            nonce_delimiters=content.delimiters("nonce"),
            id_delimiters=delimiters_of_id(content.delimiters(f"header:{id_header}")),
            signature_length=signature_length,
        )

    def _shape(
        self, content: Content, layout: Layout, read: tuple[tuple[str, str], ...], signature_length: int
    ) -> Bare | Shape | None:
        if self._pointers() or self.covered or self.key_derivation is not None:
            return None
        return find_shape(
            content,
            layout,
            header=self.header,
            read=read,
            encoding=self.encoding,
            signature_length=signature_length,
            timestamp_format=self.timestamp_format,
            tolerance_past_s=self.tolerance_past_s,
            tolerance_future_s=self.tolerance_future_s,
            digest=None if self.digest is None else DIGESTS[self.digest],
        )

    def _filled(self, template: str) -> str:
        return template.replace("{scope}", self.scope)

    def _parameter_headers(self) -> tuple[tuple[str, str], ...]:
        named = (
            ("timestamp", self.timestamp_header),
            ("nonce", self.nonce_header),
            ("key_id", self.key_id_header),
            ("digest", self.digest_header),
        )
        return tuple((kind, header) for kind, header in named if header is not None)

    def _pointers(self) -> dict[str, JsonPointer]:
        named = (("timestamp", self.timestamp_pointer), ("nonce", self.nonce_pointer))
        return {kind: json_pointer(pointer) for kind, pointer in named if pointer is not None}

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
        """The components under the signature, in order: "method", "header:Name"; for composed ones, their parts."""
        return self.compiled.content.covered

    @property
    def covered_headers(self) -> tuple[str, ...]:
        """The names of the headers under the signature, in order."""
        return self.compiled.covered_headers

    @property
    def written_headers(self) -> tuple[str, ...]:
        """The headers that `sign` adds to a message, in that order."""
        if self.signature_pointer is not None:
            return ()
        own = [header for _kind, header in self._parameter_headers()]
        return (*own, INPUT_HEADER, self.header) if self._is_http_signature else (*own, self.header)

    @property
    def needs_public_origin(self) -> bool:
        """Whether the public URL is signed, so that nothing verifies without Message.public_origin."""
        return self.compiled.content.needs_origin

    @property
    def signature_place(self) -> str:
        """Where the signature stands, in words: "header X-Signature", "/signature in the body"."""
        if self.signature_pointer is not None:
            return f"{self.signature_pointer} in the body"
        return f"header {self.header}"

    def decode_secret(self, text: bytes, *, key_id: str | None = None, allow_short: bool = False) -> Secret:
        """A secret from how the scheme's provider writes it.

        Args:
            text: as written: b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".
            key_id: see Secret.
            allow_short: see Secret.

        Raises:
            SchemeError: see Secret.decode.
        """
        encoding, prefix = self.secret_encoding, self.secret_prefix
        try:
            return Secret.decode(text, encoding=encoding, prefix=prefix, key_id=key_id, allow_short=allow_short)
        finally:
            # What is raised passes through this frame, and a traceback may show its locals.
            del text

    def covers(self, component: str) -> bool:
        """Whether changing a component breaks the signature.

        Args:
            component: "body", "method", "path", "query", "url", "timestamp", "nonce", "key_id", "header:Name",
                "field:/pointer", or "id" for the scheme's id_header.
        """
        if component == "id":
            return self.id_header is not None and self.covers(f"header:{self.id_header}")
        content = self.compiled.content
        return content.covers(component) or (component in self.compiled.pointers and content.covers("body"))

    def carries(self, kind: str) -> bool:
        """Whether a "timestamp", "nonce", "key_id" and so on is sent with the signature, wherever it stands."""
        return kind in self.compiled.carrier.parameters

    @property
    def _is_http_signature(self) -> bool:
        return "{http_signature_base}" in self.content

    def _check_words(self) -> None:
        for name, known in _WORDS.items():
            word: str | None = getattr(self, name)
            if word is not None and word not in known:
                raise SchemeError(unknown(name, word, known))
        if self.hash == "sha1" and not self.allow_sha1:
            raise SchemeError("hash = 'sha1': wanted sha256, or allow_sha1 for a sender that has nothing else")
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
        compiled = self.compiled
        for kind in sorted(PARAMETER_KINDS):
            places = [compiled.layout.parameters, dict(compiled.parameter_headers), compiled.pointers]
            if sum(kind in place for place in places) > 1:
                raise SchemeError(f"the {kind} stands in two of value, {kind}_header and {kind}_pointer; wanted one")
            if self.covers(kind) and not self.carries(kind):
                raise SchemeError(f"content signs {{{kind}}}, which nothing carries; wanted {kind}_header")
        for kind in compiled.content.needs - compiled.carrier.parameters:
            raise SchemeError(f"content = {self.content!r} needs {{{kind}}} in the value")
        for name in self.written_headers:
            if name.lower() in {covered.lower() for covered in self.covered_headers}:
                raise SchemeError(f"content signs {{header:{name}}}, which signing writes; wanted its placeholder")
        if self.carries("digest") != (self.digest is not None):
            raise SchemeError(f"digest = {self.digest!r}: wanted how it is spelled, and a place where it stands")
        if self.digest is not None and not self.covers("digest") and not self.covers(f"header:{self.digest_header}"):
            raise SchemeError("the digest is carried and not signed; wanted {digest} in the content")

    def _check_message_id(self) -> None:
        rule = self.message_id
        if rule is None:
            return
        if rule.header is None:
            if not self.covers("body") and not self.covers(f"field:{rule.pointer}"):
                raise SchemeError(f"message_id: {rule}, and the content does not cover the body")
            return
        component = f"header:{rule.header}"
        if not self.covers(component):
            raise SchemeError(f"message_id: {rule} is not signed, so anybody could send a message again as a new one")
        if not self.compiled.content.is_separated(component):
            raise SchemeError(f"message_id: nothing separates {{{component}}} from the components beside it in content")
