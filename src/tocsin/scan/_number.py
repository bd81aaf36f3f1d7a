"""A number in a document: at a JSON pointer, or the length of a list there. PURE.

Rule: a state that cannot be read is no state. Only what the plan declares `absent` reads as a number without being one.
"""

from decimal import Decimal, InvalidOperation

from tocsin.scan._errors import CannotTell
from tocsin.scan._plan import State
from tocsin.signing import PointerError, parse_json, resolve

# Beyond these a subtraction would be rounded, and writing 1e999999 out takes a gigabyte: no service counts so far.
_MOST_DIGITS = 25


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
        try:
            number = Decimal(str(found))
        except InvalidOperation:
            number = Decimal("NaN")
        digits = max(len(number.as_tuple().digits), abs(number.adjusted()))
        if number.is_finite() and digits <= _MOST_DIGITS:
            return number
    raise CannotTell(f'[[state]] {state.name}: "{state.pointer}" holds no number')
