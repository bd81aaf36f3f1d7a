"""How a generated service verifies: by its scheme, with whatever is wrong about it, as source text."""

from lab.generated._signature import CHECKED, IGNORED, PAST_ONLY, UNSIGNED, WIDE
from lab.generated._traits import Traits

_SIGNATURE = '''
def signature_of(method, path, stamp, nonce, body):
    content = {content}
    digest = hmac.new(SECRET, content, hashlib.{hash}).digest()
    return {encoded}


def verified(method, path, header, body):
    """The text of the signature, None if the message is not to be believed."""
{believed}    given = header("{header}")
{missing}{parts}    expected = signature_of(method, path, stamp, {nonce}, {signed})
{comparison}{timely}    return text
'''


def verification_source(traits: Traits) -> str:
    signature = traits.signature
    return _SIGNATURE.format(
        content=_content(signature.content),
        hash=signature.hash,
        encoded=_ENCODED[signature.encoding],
        believed=_believed(traits),
        header=signature.header,
        missing=_MISSING_IS_FINE if traits.accepts_unsigned else _MISSING,
        parts=_parts(traits),
        nonce=f'header("{signature.nonce_header}") or ""' if signature.nonce_header else '""',
        signed="rewritten(body)" if traits.parsing == "reserialised" else "body",
        comparison=_comparison(traits),
        timely=_TIMELY[signature.timestamp],
    )


_MISSING = "    if given is None:\n        return None\n"
_MISSING_IS_FINE = '    if given is None:\n        return "unsigned"\n'
_ENCODED = {
    "hex": "digest.hex()",
    "HEX": "digest.hex().upper()",
    "base64": "base64.b64encode(digest).decode()",
    "base64url": 'base64.urlsafe_b64encode(digest).decode().rstrip("=")',
}
_NUMBER = '    if re.fullmatch(r"[0-9]{1,12}", stamp) is None:\n        return None\n'
_LATE = "    if {condition} > TOLERANCE_S:\n        return None\n"
_CHECK = _NUMBER + _LATE.format(condition="abs(time.time() - int(stamp))")
_TIMELY = {
    "": "",
    IGNORED: "",
    CHECKED: _CHECK,
    WIDE: _CHECK,
    UNSIGNED: _CHECK,
    PAST_ONLY: _NUMBER + _LATE.format(condition="time.time() - int(stamp)"),
}


def _content(template: str) -> str:
    """The bytes that are signed, as an expression."""
    names = {"{timestamp}": "stamp.encode()", "{nonce}": "nonce.encode()", "{method}": "method.encode()"}
    names |= {"{path}": "path.encode()", "{body}": "body"}
    parts, rest = [], template
    while rest:
        opening = rest.find("{")
        if opening:
            literal = rest if opening < 0 else rest[:opening]
            parts.append(repr(literal.encode()))
            rest = rest[len(literal) :]
        else:
            name, _, rest = rest.partition("}")
            parts.append(names[f"{name}}}"])
    return " + ".join(parts)


def _believed(traits: Traits) -> str:
    kind, _, what = traits.believes.partition(":")
    if kind == "member":
        told = f'isinstance(found := read(body), dict) and found.get("{what}") is True'
        return f'    if {told}:\n        return "believed"\n'
    if kind == "header":
        name, _, value = what.partition(": ")
        return f'    if header("{name}") == "{value}":\n        return "believed"\n'
    return ""


def _parts(traits: Traits) -> str:
    """From the header's value to the signature's text and the timestamp's."""
    signature = traits.signature
    stamp = f'header("{signature.timestamp_header}") or ""' if signature.timestamp_header else '""'
    if not signature.separator:
        prefix = signature.value.partition("{")[0]
        cut = f'    if not given.startswith("{prefix}"):\n        return None\n' if prefix else ""
        return f'{cut}    text, stamp = given.removeprefix("{prefix}"), {stamp}\n'
    names = [item.partition("=")[0] for item in signature.value.split(signature.separator)]
    separator = signature.separator
    return (
        f'    items = dict(item.strip().partition("=")[::2] for item in given.split("{separator}"))\n'
        f'    stamp, text = items.get("{names[0]}", ""), items.get("{names[1]}", "")\n'
    )


def _comparison(traits: Traits) -> str:
    lowered = ("text.lower()", "expected.lower()") if traits.ignores_case else ("text", "expected")
    one, other = lowered if traits.comparison == "text" else (f"{lowered[0]}.encode()", f"{lowered[1]}.encode()")
    return f"    if not hmac.compare_digest({one}, {other}):\n        return None\n"
