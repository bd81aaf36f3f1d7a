"""HTTP Message Signatures: RFC 9421 with hmac-sha256, for requests. PURE.

Rule: the sender chooses what is signed, so the verifier names what has to be among it. A signature that lacks it is no
signature for us, and neither is one that is spelled in any way but the canonical one: the base repeats its parameters.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tocsin.signing._components import Component, Parameters, Source, public_url, wire_octets
from tocsin.signing._errors import Duplicated, Malformed
from tocsin.signing._layout import MAX_COVERED, Presented, read_printable
from tocsin.signing._message import Header, Message, once, sole, values_by_name
from tocsin.signing._origin import parse_origin

INPUT_HEADER = "Signature-Input"
# Section 3.1: the label is arbitrary. This is the one of the RFC's first example.
_LABEL = "sig1"
# A sender that rotates signs twice; a proxy on the way adds its own.
_MAX_SIGNATURES = 8

# RFC 9651 section 4.2, as far as these two fields need it. Every quantifier is possessive: junk costs linear time.
_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*+"'
_BARE = rf"(?:{_STRING}|-?[0-9]++(?:\.[0-9]++)?+|[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*+|:[A-Za-z0-9+/=]*+:|\?[01])"
_KEY = r"[a-z*][a-z0-9_.*-]*+"
_PARAMETERS = rf"(?:; *+{_KEY}(?:={_BARE})?+)*+"
_ITEM = rf"{_BARE}{_PARAMETERS}"
_INNER_LIST = rf"\( *+(?:{_ITEM}(?: ++(?=[^ )])|(?= *\))))*+ *+\){_PARAMETERS}"
_MEMBER = re.compile(rf"({_KEY})(?:=({_INNER_LIST}|{_ITEM})|{_PARAMETERS})")
_SEPARATOR = re.compile(r" *+, *+")
# What we take part in: components without parameters, and parameters that are plain strings or integers.
_PLAIN = r'"[ !#-\[\]-~]*+"'
_COVERED = re.compile(
    rf"\((?P<components>{_PLAIN}(?: {_PLAIN})*+)\)(?P<parameters>(?:;{_KEY}=(?:{_PLAIN}|0|-?[1-9][0-9]{{0,14}}))*+)"
)
_PARAMETER = re.compile(rf";({_KEY})=({_PLAIN}|-?[0-9]+)")
_SIGNATURE = re.compile(r":([A-Za-z0-9+/]+={0,2}):")

_WIRE_KINDS = {"created": "timestamp", "keyid": "key_id", "nonce": "nonce", "expires": "expires"}


class _Derived(NamedTuple):
    """A derived component (section 2.2): the name `Scheme.covers` knows it by, and its value."""

    plain: str
    read: Callable[[Message], str]


_DERIVED: Mapping[str, _Derived] = {
    "@method": _Derived("method", lambda message: message.method),
    "@target-uri": _Derived("url", public_url),
    "@authority": _Derived("host", lambda message: parse_origin(message.public_origin).authority),
    "@scheme": _Derived("url_scheme", lambda message: parse_origin(message.public_origin).url_scheme),
    "@request-target": _Derived("target", lambda message: message.target),
    "@path": _Derived("path", lambda message: message.path or "/"),
    "@query": _Derived("query", lambda message: f"?{message.query}"),
}


class _Covered(NamedTuple):
    """A member of Signature-Input, taken apart."""

    components: list[str]
    parameters: dict[str, str]


def plain_component(name: str) -> str:
    """The name under which `Scheme.covers` knows a component of RFC 9421."""
    derived = _DERIVED.get(name)
    return f"header:{name}" if derived is None else derived.plain


class SignatureCarrier:
    """Reads and writes Signature-Input and Signature.

    Args:
        header: the name of the second: "Signature".
        required: the components that a signature has to cover to count.
        digest_header: the header in which signing writes the body's digest, if it does.
    """

    def __init__(self, header: str, required: tuple[str, ...], digest_header: str | None) -> None:
        self._header = header
        self._required = required
        self._digest_header = digest_header
        own = {"timestamp", "key_id", "covered"}
        self.parameters = frozenset(own if digest_header is None else own | {"digest"})

    def read(self, message: Message) -> tuple[Presented, ...]:
        """Every signature of the message that covers what is required, in order.

        Raises:
            Rejected: there is none.
        """
        inputs = _members(once(message, INPUT_HEADER), INPUT_HEADER)
        signatures = _members(once(message, self._header), self._header)
        found = [
            (signature[1], text, covered)
            for label, text in inputs.items()
            if (signature := _SIGNATURE.fullmatch(signatures.get(label, "")))
            and (covered := _parse_covered(text))
            and self._counts(covered)
        ]
        if not 1 <= len(found) <= _MAX_SIGNATURES:
            wanted = f"1 to {_MAX_SIGNATURES}, by hmac-sha256 over {', '.join(self._required)} with created and keyid"
            most = f"each over at most {MAX_COVERED} components"
            raise Malformed(f"header {INPUT_HEADER}", f"has {len(found)} signatures; wanted {wanted}, {most}")
        digest = {} if self._digest_header is None else {"digest": once(message, self._digest_header)}
        return tuple(
            [
                Presented((signature,), {**digest, **_texts(covered), "covered": text})
                for signature, text, covered in found
            ]
        )

    def headers(self, signature: str, texts: dict[str, str]) -> tuple[Header, ...]:
        """The headers that carry a signature."""
        digest = () if self._digest_header is None else ((self._digest_header, texts["digest"]),)
        return (*digest, (INPUT_HEADER, f"{_LABEL}={texts['covered']}"), (self._header, f"{_LABEL}=:{signature}:"))

    def list_covered(self, _message: Message, parameters: Parameters) -> str | None:
        """What signing covers, as Signature-Input and the base spell it."""
        listed = " ".join([f'"{name}"' for name in self._required])
        return f'({listed});created={parameters.timestamp};keyid="{parameters.key_id}"'

    def _counts(self, covered: _Covered) -> bool:
        return (
            {*self._required} <= {*covered.components}
            and {"created", "keyid"} <= covered.parameters.keys()
            and covered.parameters.get("alg", "hmac-sha256") == "hmac-sha256"
        )


def _texts(covered: _Covered) -> dict[str, str]:
    """The parameters of a signature by kind, as far as they have one."""
    return {kind: covered.parameters[name] for name, kind in _WIRE_KINDS.items() if name in covered.parameters}


def _signature_base(source: Source, _argument: str) -> bytes:
    """Section 2.5."""
    text = source.parameters.covered or ""
    covered = _parse_covered(text)
    if covered is None:
        raise Malformed(f"header {INPUT_HEADER}", "is not in canonical form")
    fields = values_by_name(source.message)
    lines = [f'"{name}": '.encode("ascii") + _value(source.message, fields, name) for name in covered.components]
    return b"\n".join((*lines, f'"@signature-params": {text}'.encode("ascii")))


SIGNATURE_BASE = Component(_signature_base, ("timestamp", "key_id"), needs_origin=True, needs="covered")


def _value(message: Message, fields: Mapping[str, Sequence[str]], name: str) -> bytes:
    derived = _DERIVED.get(name)
    if derived is not None:
        return wire_octets(derived.read(message), name)
    if name.startswith("@") or name != name.lower():
        raise Malformed(f"header {INPUT_HEADER}", "covers a component that no request has")
    return wire_octets(sole(fields.get(name, ()), name), f"header {name}").strip(b" \t")


def _parse_covered(text: str) -> _Covered | None:
    """None where it is not canonical, names a component or parameter twice, or too many components."""
    found = _COVERED.fullmatch(text)
    if found is None:
        return None
    components = [name[1:-1] for name in re.findall(_PLAIN, found["components"])]
    pairs = _PARAMETER.findall(found["parameters"])
    has_too_many = len(components) > MAX_COVERED
    if has_too_many or len({*components}) != len(components) or len({name for name, _value in pairs}) != len(pairs):
        return None
    return _Covered(components, {name: value.strip('"') for name, value in pairs})


def _members(value: str, header: str) -> dict[str, str]:
    """A dictionary's members by key, each as it is spelled; "" for one without a value."""
    members: dict[str, str] = {}
    for key, text in _split(read_printable(value, f"header {header}"), header):
        if key in members:
            raise Duplicated(f"a label in header {header}")
        members[key] = text
    return members


def _split(value: str, header: str) -> Iterator[tuple[str, str]]:
    place = 0
    while True:
        member = _MEMBER.match(value, place)
        if member is None:
            raise Malformed(f"header {header}", "is no dictionary of RFC 9651")
        yield member[1], member[2] or ""
        if member.end() == len(value):
            return
        separator = _SEPARATOR.match(value, member.end())
        if separator is None:
            raise Malformed(f"header {header}", "is no dictionary of RFC 9651")
        place = separator.end()
