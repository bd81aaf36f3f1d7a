"""What `verify` tries first: one walk over a message under a scheme of a common shape. PURE.

Rule: it has no opinion of its own. A message that is spelled as signing spells it gets the verdict of the general way,
for a third of its overhead; on any other message, and on whatever needs a reason, it has none.
"""

from hmac import compare_digest

from tocsin.signing._base import base_pieces
from tocsin.signing._components import Parameters
from tocsin.signing._errors import WrongSignature
from tocsin.signing._keys import KeyRing
from tocsin.signing._layout import MAX_VALUE_CHARACTERS
from tocsin.signing._message import Message
from tocsin.signing._scheme import Scheme
from tocsin.signing._shape import SIGNATURE, Shape
from tocsin.signing._verified import Verified


def verify_quickly(  # noqa: C901, PLR0911, PLR0912  one walk: here a call costs as much as what it does
    message: Message, scheme: Scheme, shape: Shape, keys: KeyRing, now: float
) -> Verified | None:
    """A message's verdict, or None where the general way has to find it.

    Raises:
        Rejected: as the general way does: WrongSignature, or what a component raises.
        SchemeError: the scheme signs the public URL, and none is configured.
    """
    fields: dict[str, str] = {}
    value = _sole_value(message, shape.header) if shape.is_alone else _take_fields(fields, message, shape)
    if value is None or len(value) > MAX_VALUE_CHARACTERS or not value.isascii():
        return None
    if shape.separator is None:
        if not value.startswith(shape.literal):
            return None
        signature = value[len(shape.literal) :]
    else:
        if not _take_items(fields, value, shape):
            return None
        signature = fields[SIGNATURE]
    if len(signature) != scheme.compiled.signature_length:
        return None
    timestamp_unix: float | None = None
    if shape.timestamp:
        timestamp = fields[shape.timestamp]
        # The one spelling of a number; 0 itself is left to the general way.
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= shape.timestamp_digits):
            return None
        if timestamp[0] == "0":
            return None
        timestamp_unix = int(timestamp) / shape.units_per_s
        if not -scheme.tolerance_future_s <= now - timestamp_unix <= scheme.tolerance_past_s:
            return None
    entries = keys.named(fields[shape.key_id], now) if shape.key_id else keys.active(now)
    pieces = (message.body,) if shape.is_body else _pieces(message, scheme, shape, fields)
    for entry in entries:
        # Not ==: its early exit tells a caller how many leading characters are right.
        if compare_digest(shape.encode(entry.secret.keyed(scheme.hash).digest(pieces)), signature):
            return Verified(message, scheme, entry, timestamp_unix, None, pieces)
    if not entries or not value.isprintable():
        return None
    raise WrongSignature


def _sole_value(message: Message, wanted: str) -> str | None:
    """The value of the only header that is read, None unless it is there once."""
    length = len(wanted)
    found: str | None = None
    for given, value in message.headers:
        # Most names differ in length, and asking that first is the cheapest way past them.
        if len(given) == length and given.lower() == wanted:
            if found is not None:
                return None
            found = value
    return found


def _take_fields(fields: dict[str, str], message: Message, shape: Shape) -> str | None:
    """The value of the signature's header, None unless each header that is read is there once; they are the fields."""
    names, lengths = shape.names, shape.lengths
    for given, value in message.headers:
        if len(given) in lengths:
            name = given.lower()
            if name in names:
                if name in fields:
                    return None
                fields[name] = value
    return fields[shape.header] if len(fields) == len(names) else None


def _take_items(fields: dict[str, str], value: str, shape: Shape) -> bool:
    """Whether the value holds its items in the declared order and nothing else; their texts are then in the fields."""
    items = value.split(shape.separator)
    if len(items) != len(shape.items):
        return False
    for (kind, literal), item in zip(shape.items, items):  # noqa: B905  strict costs as much as the rest of the line
        if not item.startswith(literal):
            return False
        fields[kind] = item[len(literal) :]
    return True


def _pieces(message: Message, scheme: Scheme, shape: Shape, fields: dict[str, str]) -> tuple[bytes, ...]:
    timestamp = fields[shape.timestamp] if shape.timestamp else None
    if shape.around is None or timestamp is None:
        key_id = fields[shape.key_id] if shape.key_id else None
        return base_pieces(message, scheme, Parameters(timestamp, None, key_id))
    before, after = shape.around
    octets = timestamp.encode("ascii")
    if shape.is_stamped_before:
        return (before % octets, message.body, after) if after else (before % octets, message.body)
    return before, message.body, after % octets
