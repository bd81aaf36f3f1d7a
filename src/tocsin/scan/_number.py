"""A number in a document: at a JSON pointer, or the length of a list there. PURE.

Rule: a state that cannot be read is no state. Only what the plan declares `absent` reads as a number without being one.
What came as a binary float is held against others to nine places: the rest is arithmetic's doing, not the service's.
"""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import State
from tocsin.signing import PointerError, parse_json, resolve

# Beyond these a subtraction would be rounded, and writing 1e999999 out takes a gigabyte: no service counts so far.
_MOST_DIGITS = 25
# Below the largest one's first digit. A thousand additions spoil the 13th; a cent is the ninth of ten million.
_PLACES_OF_A_FLOAT = 9


class Rounded(Decimal):
    """A number that came as a binary float."""


def parsed(found: float | str | Decimal) -> Decimal:
    """A value as a number; not a number where it is none."""
    try:
        return Rounded(str(found)) if isinstance(found, float) else Decimal(str(found))
    except InvalidOperation:
        return Decimal("NaN")


def total(numbers: Iterable[Decimal]) -> Decimal:
    """The sum, rounded if one of them is."""
    numbers = list(numbers)
    found = sum(numbers, Decimal(0))
    return Rounded(found) if any(isinstance(number, Rounded) for number in numbers) else found


def difference(new: Decimal, old: Decimal) -> Decimal:
    """`new - old`, without what only comes of binary floats."""
    if not isinstance(new, Rounded) and not isinstance(old, Rounded):
        return new - old
    places = max(new.adjusted(), old.adjusted()) - _PLACES_OF_A_FLOAT
    return (new - old).quantize(Decimal(1).scaleb(places))


def number_in(state: State, octets: bytes) -> Decimal:
    """The number that a JSON document shows.

    Raises:
        CannotTell: it is no JSON, or has no number at the pointer.
    """
    try:
        document = parse_json(octets)
    except PointerError as error:
        raise CannotTell(f"[[state]] {state.name} is not JSON: {error}") from None
    try:
        found = resolve(document, state.pointer) if state.pointer else document
    except PointerError:
        if state.absent is not None:
            return Decimal(state.absent)
        raise CannotTell(
            f'[[state]] {state.name}: nothing at "{state.pointer}"; `absent` says how that reads'
        ) from None
    return _counted(found, state) if state.count else _number(found, state)


def _counted(found: object, state: State) -> Decimal:
    if not isinstance(found, list):
        raise CannotTell(f'[[state]] {state.name}: "{state.pointer}" holds no list to count')
    return Decimal(len(found))


def _number(found: object, state: State) -> Decimal:
    """A number, or a decimal string as money is often written. A boolean is no number."""
    if isinstance(found, (int, float, str)) and not isinstance(found, bool):
        number = parsed(found)
        digits = max(len(number.as_tuple().digits), abs(number.adjusted()))
        if number.is_finite() and digits <= _MOST_DIGITS:
            return number
    raise CannotTell(f'[[state]] {state.name}: "{state.pointer}" holds no number')
