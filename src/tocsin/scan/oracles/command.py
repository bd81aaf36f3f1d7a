"""A user's command, and the number that it prints. Edge: processes.

Rule: no shell reads it, and no value from a service becomes an option. Time and output are bounded.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryFile

from tocsin.scan._errors import CannotTell
from tocsin.scan._number import number_in
from tocsin.scan._plan import Command, State

_WITHIN_S = 10.0
_MOST_BYTES = 1024 * 1024


def open_command(source: Command, folder: Path, _closing: ExitStack) -> Callable[[State, Mapping[str, str]], Decimal]:
    """What runs the command, in the plan's folder."""

    def read(state: State, values: Mapping[str, str]) -> Decimal:
        words = [word.render(values) for word in source.words]
        for word, template in zip(words, source.words, strict=True):
            if word.startswith("-") and not template.text.startswith("-"):
                raise CannotTell(f"[[state]] {state.name}: a value begins with -, and would be an option")
        return number_in(state, _output(state, words, folder))

    return read


def _output(state: State, words: list[str], folder: Path) -> bytes:
    with TemporaryFile() as output:
        try:
            # A group of its own: whatever it has started ends with it.
            process = subprocess.Popen(  # noqa: S603  the user has allowed the plan's command, and no shell reads it
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no command can hold such a value"
            raise CannotTell(f"[[state]] {state.name}: {reason}") from None
        try:
            status = process.wait(_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise CannotTell(f"[[state]] {state.name} did not end within {_WITHIN_S:g} s") from None
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status:
            raise CannotTell(f"[[state]] {state.name} ended with status {status}")
        output.seek(0)
        octets = output.read(_MOST_BYTES + 1)
    if len(octets) > _MOST_BYTES:
        raise CannotTell(f"[[state]] {state.name} printed more than {_MOST_BYTES} bytes")
    return octets
