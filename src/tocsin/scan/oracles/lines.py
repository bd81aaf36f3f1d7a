"""A file: its lines that contain a text, or the number that it holds. Edge: the file system."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

from tocsin.scan._errors import CannotTell
from tocsin.scan._number import number_in
from tocsin.scan._plan import Lines, State

_MOST_BYTES = 64 * 1024 * 1024


def open_lines(source: Lines, folder: Path, _closing: ExitStack) -> Callable[[State, Mapping[str, str]], Decimal]:
    """What reads the file, anew each time."""
    path = folder / source.path

    def read(state: State, values: Mapping[str, str]) -> Decimal:
        try:
            with path.open("rb") as file:
                octets = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            if state.absent is not None:
                return Decimal(state.absent)
            raise CannotTell(f"[[state]] {state.name}: there is no such file; `absent` says how that reads") from None
        except OSError as error:
            raise CannotTell(f"[[state]] {state.name}: {error.strerror}") from None
        if len(octets) > _MOST_BYTES:
            raise CannotTell(f"[[state]] {state.name} is longer than {_MOST_BYTES} bytes")
        if source.containing is None:
            return number_in(state, octets)
        text = source.containing.render(values).encode()
        return Decimal(sum(text in line for line in octets.splitlines()))

    return read
