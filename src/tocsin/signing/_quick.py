"""What `verify` tries first: one walk over a message under a scheme of a common shape. PURE.

Rule: it has no opinion of its own. A message that is spelled as signing spells it gets the verdict of the general way,
for a fraction of its overhead; on any other message, and on whatever needs a reason, it has none.
"""

from hmac import compare_digest

from tocsin.signing._errors import Rejected, WrongDigest, WrongSignature
from tocsin.signing._keys import KeyRing
from tocsin.signing._layout import MAX_VALUE_CHARACTERS
from tocsin.signing._message import Message
from tocsin.signing._message_id import is_delimited
from tocsin.signing._scheme import Scheme
from tocsin.signing._shape import Bare, Shape
from tocsin.signing._verified import Verified


def verify_bare(message: Message, scheme: Scheme, bare: Bare, keys: KeyRing, now: float) -> Verified | None:
    """A message's verdict, or None where the general way has to find it. What is compared is the header's whole value.

    Raises:
        WrongSignature: as the general way does.
    """
    wanted = bare.header
    length, literal = len(wanted), bare.literal
    value: str | None = None
    for given, text in message.headers:
        # Most names differ in length, and asking that first is the cheapest way past them.
        if len(given) == length and given.lower() == wanted:
            if value is not None:
                return None
            value = text
    if value is None or len(value) != bare.value_length or not value.isascii():
        return None
    entries = keys.active(now)
    if not entries:
        return None
    try:
        pieces = (message.body,) if bare.pieces is None else bare.pieces(message)
    except Rejected as rejected:
        _refuse(rejected, value, literal)
        return None
    for entry in entries:
        # Not ==: its early exit tells a caller how many leading characters are right.
        if compare_digest(literal + bare.encode(entry.secret.keyed(scheme.hash).digest(pieces)), value):
            return Verified(message, scheme, entry, None, None, pieces)
    _refuse(WrongSignature(), value, literal)
    return None


def verify_quickly(  # noqa: C901, PLR0911  one walk: here a call costs as much as what it does
    message: Message, scheme: Scheme, shape: Shape, keys: KeyRing, now: float
) -> Verified | None:
    """A message's verdict, or None where the general way has to find it.

    Raises:
        Rejected: as the general way does: WrongSignature, WrongDigest, or what a component raises.
        SchemeError: the scheme signs the public URL, and none is configured.
    """
    text = _lines(message, shape)
    if text is None:
        return None
    if len(text) > MAX_VALUE_CHARACTERS or not text.isascii():
        return None
    found = shape.pattern.fullmatch(text)
    if found is None:
        return None
    timestamp_unix: float | None = None
    if shape.timestamp:
        timestamp_unix = float(found[shape.timestamp]) / shape.units_per_s
        if not shape.least_age_s <= now - timestamp_unix <= shape.most_age_s:
            return None
    nonce: str | None = None
    if shape.nonce:
        nonce = found[shape.nonce]
        if not is_delimited(nonce, scheme.compiled.nonce_delimiters):
            return None
    entries = keys.named(found[shape.key_id], now) if shape.key_id else keys.active(now)
    if not entries:
        return None
    signature = found[shape.signature]
    if shape.fits is not None and not shape.fits(found[shape.digest], message):
        _refuse(WrongDigest("what is sent as the digest"), signature)
        return None
    try:
        pieces = shape.pieces(message, found)
    except Rejected as rejected:
        _refuse(rejected, signature)
        return None
    for entry in entries:
        if compare_digest(shape.encode(entry.secret.keyed(scheme.hash).digest(pieces)), signature):
            return Verified(message, scheme, entry, timestamp_unix, nonce, pieces)
    _refuse(WrongSignature(), signature)
    return None


def _lines(message: Message, shape: Shape) -> str | None:
    """What is read of a message, a line each, None unless each header is there once and the rest is well formed."""
    names, lengths = shape.names, shape.lengths
    found: dict[str, str] = {}
    for given, value in message.headers:
        if len(given) in lengths:
            name = given.lower()
            if name in names:
                if name in found:
                    return None
                found[name] = value
    try:
        values = shape.values(found)
        text: str = values if shape.is_alone else "\n".join(values)
        for read in shape.lines:
            text = f"{text}\n{read(message)}"
    except (KeyError, Rejected):
        return None
    return text


def _refuse(rejected: Rejected, text: str, literal: str = "") -> None:
    """Raise, unless the general way has another reason: it reads a text that begins as declared and can be printed."""
    if text.startswith(literal) and text.isprintable():
        raise rejected
