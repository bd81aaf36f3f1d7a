"""A scheme's content template, taken apart: the pieces of the signature base, and what they cover. PURE."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from tocsin.signing._components import PLAIN_COMPONENTS, Component, Parameters, Reader, Source, body_after_url
from tocsin.signing._errors import Malformed, SchemeError
from tocsin.signing._http_signatures import SIGNATURE_BASE, plain_component
from tocsin.signing._message import Message
from tocsin.signing._message_id import Delimiters, is_delimited
from tocsin.signing._sigv4 import REQUEST_SHA256
from tocsin.signing._template import Placeholder, parse_template

COMPONENTS: Mapping[str, Component] = MappingProxyType(
    {**PLAIN_COMPONENTS, "aws4_request_sha256": REQUEST_SHA256, "http_signature_base": SIGNATURE_BASE}
)
# A component that is covered when another one is: changing the path changes the URL.
_COVERED_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"body": ("body", "body_sha256"), "path": ("path", "target", "url"), "query": ("query", "target", "url")}
)
_URLS = frozenset({"url", "hubspot_url"})
_BODY = Placeholder("body")
_BODY_AFTER_URL: tuple[Reader, str] = (lambda source, _argument: body_after_url(source.message), "")


@dataclass(frozen=True, slots=True)
class Content:
    """A compiled content template. Build it with `Content.compile`.

    Args:
        parts: literals, and what reads a component.
        literals: what stands before, between and after the components.
        joins_url_and_body: whether nothing stands between a URL and the body.
        components: their names, as the content spells them.
        covered: their names, and the names of the plain components that they stand for.
        fields: the place among the parts and the delimiters of each field of the body.
        needs: the parameters without which a component cannot be read.
        needs_origin: whether one reads the public origin.
        body_format: how the body's fields are read.
    """

    parts: tuple[bytes | tuple[Reader, str], ...]
    literals: tuple[str, ...]
    joins_url_and_body: bool
    components: tuple[str, ...]
    covered: tuple[str, ...]
    fields: tuple[tuple[int, str, tuple[bytes, bytes]], ...]
    needs: frozenset[str]
    needs_origin: bool
    body_format: str

    @classmethod
    def compile(
        cls, template: str, *, chosen: tuple[str, ...] = (), digest_header: str | None = None, body_format: str = "json"
    ) -> "Content":
        """Check the template and take it apart.

        Args:
            template: the content.
            chosen: what a sender that chooses what it signs has to choose at least.
            digest_header: the header whose digest of the body is compared with the body.
            body_format: how the body's fields are read.

        Raises:
            SchemeError: it has an unknown placeholder, none at all, or text that is not Unicode.
        """
        parsed = parse_template(template, field="content", known=COMPONENTS)
        placeholders = [part for part in parsed if isinstance(part, Placeholder)]
        names = tuple(str(part)[1:-1] for part in placeholders)
        if not names:
            raise SchemeError(f"content = {template!r} signs nothing; wanted a placeholder such as {{body}}")
        if len({_folded(name) for name in names}) != len(names):
            raise SchemeError(f"content = {template!r} signs a component twice; wanted each once")
        kinds = [COMPONENTS[part.kind] for part in placeholders]
        literals = _literals(parsed)
        is_joined = _is_joined(names, literals)
        return cls(
            parts=tuple(_BODY_AFTER_URL if is_joined and part == _BODY else _part(part) for part in parsed),
            literals=literals,
            joins_url_and_body=is_joined,
            components=names,
            covered=_covered(names, kinds, chosen, digest_header),
            fields=tuple(
                (parsed.index(part), part.argument, (literals[index].encode(), literals[index + 1].encode()))
                for index, part in enumerate(placeholders)
                if COMPONENTS[part.kind].is_field
            ),
            needs=frozenset(kind.needs for kind in kinds if kind.needs is not None),
            needs_origin=any(kind.needs_origin for kind in kinds),
            body_format=body_format,
        )

    @property
    def is_body(self) -> bool:
        """Whether it is the body and nothing else."""
        return self.components == ("body",) and self.literals == ("", "")

    @property
    def headers(self) -> tuple[str, ...]:
        """The names of the signed headers, in order."""
        return tuple(name.removeprefix("header:") for name in self.components if name.startswith("header:"))

    def octets(self, message: Message, parameters: Parameters) -> tuple[bytes, ...]:
        """The signed octets in pieces, the body among them as it is: nothing of a body's size is copied.

        Raises:
            Missing: a parameter is not there.
            Malformed: a component is no text of a request.
            WrongDigest: the message carries a digest of another body.
            SchemeError: the public origin is not configured.
        """
        source = Source(message, parameters, self.body_format)
        pieces = tuple([part if isinstance(part, bytes) else part[0](source, part[1]) for part in self.parts])
        for place, pointer, delimiters in self.fields:
            if not is_delimited(pieces[place], delimiters):
                raise Malformed("the body", f"holds, in {pointer}, what separates it in the signed content")
        return pieces

    def place(self, component: str) -> int | None:
        """The place of a component's octets among the pieces, or None."""
        index = self._index(component)
        places = [place for place, part in enumerate(self.parts) if not isinstance(part, bytes)]
        return None if index is None else places[index]

    def covers(self, component: str) -> bool:
        """Whether changing a component changes the octets."""
        covered = {_folded(name) for name in self.covered}
        return any(_folded(name) in covered for name in _COVERED_BY.get(component, (component,)))

    def delimiters(self, component: str) -> Delimiters:
        """The literals before and after a component, "" where there is none."""
        index = self._index(component)
        return ("", "") if index is None else (self.literals[index], self.literals[index + 1])

    def is_separated(self, component: str) -> bool:
        """Whether a literal, or an end of the content, stands on both sides of a covered component."""
        index = self._index(component)
        before, after = self.delimiters(component)
        return (before != "" or index == 0) and (after != "" or index == len(self.components) - 1)

    def _index(self, component: str) -> int | None:
        names = [_folded(name) for name in self.components]
        return names.index(_folded(component)) if _folded(component) in names else None


def _folded(name: str) -> str:
    """A component's name for comparison: header names have no case, pointers do."""
    return name.lower() if name.startswith("header:") else name


def _literals(parsed: tuple[str | Placeholder, ...]) -> tuple[str, ...]:
    literals = [""]
    for part in parsed:
        if isinstance(part, Placeholder):
            literals.append("")
        else:
            literals[-1] = part
    return tuple(literals)


def _is_joined(names: tuple[str, ...], literals: tuple[str, ...]) -> bool:
    return any(
        name in _URLS and after == "body" and not literals[index]
        for index, (name, after) in enumerate(pairwise(names), start=1)
    )


def _part(part: str | Placeholder) -> bytes | tuple[Reader, str]:
    if isinstance(part, Placeholder):
        return COMPONENTS[part.kind].read, part.argument
    try:
        return part.encode("utf-8")
    except UnicodeEncodeError:
        raise SchemeError(f"content literal {part!r}: holds a lone surrogate, which is no text") from None


def _covered(
    names: tuple[str, ...], kinds: list[Component], chosen: tuple[str, ...], digest_header: str | None
) -> tuple[str, ...]:
    covered: list[str] = []
    for name, kind in zip(names, kinds, strict=True):
        covered += kind.stands_for or [name]
        if kind.needs == "covered":
            covered += [plain_component(component) for component in chosen]
    if f"header:{digest_header}".lower() in [_folded(name) for name in covered]:
        covered.append("body")
    return tuple(dict.fromkeys(covered))
