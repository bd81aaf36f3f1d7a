"""A number on a read endpoint: at a JSON pointer, or the length of a list there. PURE.

Rule: a state that cannot be read is no state. Only what the plan declares `absent` reads as a number without being one.
"""

from decimal import Decimal

from tocsin.scan._coding import coded
from tocsin.scan._errors import CannotTell
from tocsin.scan._number import number_in
from tocsin.scan._plan import State
from tocsin.wire import Response


def read_endpoint(state: State, response: Response) -> Decimal:
    """The number that an answer shows.

    Raises:
        CannotTell: the answer is no 2xx, no JSON, or has no number at the pointer.
    """
    if response.status == 404 and state.absent is not None:  # noqa: PLR2004  RFC 9110 section 15.5.5
        return Decimal(state.absent)
    if not 200 <= response.status < 300:  # noqa: PLR2004  RFC 9110 section 15.3
        raise CannotTell(f"[[state]] {state.name} was answered {response.status}: wanted 2xx")
    try:
        return number_in(state, response.body)
    except CannotTell as error:
        raise CannotTell(f"{error}{coded(response)}") from None
