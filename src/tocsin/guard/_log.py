"""Writes the guard's log, on the logger `tocsin.guard`: a sentence for people, and fields for programs in `extra`.

Rule: every guarded request that ends is one record, whatever became of it. A record that nobody asked for costs one
comparison. No record holds a body, a signature, a secret or the value of a key: of the key there are the first digits
of its hash, by which `tocsin claims show` finds the claim.
"""

import logging
from time import monotonic

from tocsin.guard._flow import Ended
from tocsin.guard._log_events import Ending, Event
from tocsin.guard._steps import Raised
from tocsin.guard._store import Claim

_LOG = logging.getLogger("tocsin.guard")
_KEY_DIGITS = 12


def request_ended(operation: str, ended: Ended | Raised, *, started: float, waited_s: float) -> None:
    """A guarded request has ended.

    Args:
        operation: its name.
        ended: how.
        started: when it began, by the monotonic clock.
        waited_s: how much of that time it waited, for another one with its key and for other writers.
    """
    ending = Ending.HANDLER_RAISED if isinstance(ended, Raised) else ended.ending
    if not _LOG.isEnabledFor(ending.level):
        return
    status = error = None
    if isinstance(ended, Raised):
        error = type(ended.error).__name__
        reason = f"rolled back: its handler raised {error}"
    else:
        reason, status = ended.reason, ended.answer.status
    duration_s = monotonic() - started
    _request(operation, ending, reason, status=status, claim=ended.claim, times=(duration_s, waited_s), error=error)


def request_given_up(operation: str, error: BaseException | None, *, started: float, waited_s: float) -> None:
    """A request has ended without an answer of the guard's.

    Args:
        operation: its name.
        error: what ended it; None where the framework has it.
        started: see request_ended.
        waited_s: likewise.
    """
    if _LOG.isEnabledFor(Ending.GIVEN_UP.level):
        name = None if error is None else type(error).__name__
        reason = "given up: its handler did not end" if name is None else f"given up: {name}"
        times = (monotonic() - started, waited_s)
        _request(operation, Ending.GIVEN_UP, reason, status=None, times=times, error=name)


def body_too_large(operation: str, most_bytes: int) -> None:
    """A request was refused before its body was read to the end."""
    if _LOG.isEnabledFor(Ending.TOO_LARGE.level):
        reason = f"refused: the body is longer than {most_bytes} bytes"
        _request(operation, Ending.TOO_LARGE, reason, status=413)


def write_lock_held(operation: str, held_s: float) -> None:
    """A handler kept every other writer of a SQLite file waiting."""
    held_ms = round(held_s * 1000)
    _LOG.warning(
        "%s: its handler held the write lock for %d ms; every other writer waits for that long",
        operation,
        held_ms,
        extra={"event": Event.HELD.value, "operation": operation, "held_ms": held_ms},
    )


def swept(rows: int) -> None:
    """The store has let go of what was due."""
    _LOG.info("swept %d answers and claims", rows, extra={"event": Event.SWEPT.value, "rows": rows})


def sweep_put_off(reason: object) -> None:
    """The store was busy."""
    text = _one_line(str(reason))
    _LOG.info("sweeping is put off: %s", text, extra={"event": Event.SWEEP_PUT_OFF.value, "reason": text})


def store_notice(store: str, notice: str, *, level: int = logging.WARNING) -> None:
    """A store says what it found or changed, once or for one operation.

    Args:
        store: which one: a path, "PostgreSQL".
        notice: what.
        level: of the record.
    """
    text = _one_line(notice)
    _LOG.log(level, "%s: %s", store, text, extra={"event": Event.NOTICE.value, "store": store, "reason": text})


def _request(
    operation: str,
    ending: Ending,
    reason: str,
    *,
    status: int | None,
    claim: Claim | None = None,
    times: tuple[float, float] = (0.0, 0.0),
    error: str | None = None,
) -> None:
    text = _one_line(reason)
    fields = {
        "event": Event.REQUEST.value,
        "operation": operation,
        "outcome": ending.word,
        "status": status,
        "key": None if claim is None else claim.key.hex()[:_KEY_DIGITS],
        "tenant": None if claim is None else claim.tenant,
        "duration_ms": _milliseconds(times[0]),
        "waited_ms": _milliseconds(times[1]),
        "reason": text,
        "error": error,
    }
    _LOG.log(ending.level, "%s: %s", operation, text or ending.word, extra=fields)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _one_line(text: str) -> str:
    """The first line: what a database adds on further ones quotes rows. What moves a cursor is shown as its escape."""
    first = text.partition("\n")[0]
    return first if first.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in first)
