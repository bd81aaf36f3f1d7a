"""Why a burst is void, in sentences. PURE.

Rule: each fault is what can be said of a member ("was answered 400 ..."), "" where there is none. The sentence names
the first member that has one and counts the others; it never repeats what a server sent.
"""

from collections.abc import Sequence

from tocsin.wire._errors import Failure, said

_EARLY = {
    Failure.NOT_HTTP: "was sent something that is not HTTP",
    Failure.TOO_LARGE: "was sent an answer larger than the cap",
    Failure.STREAM_REFUSED: "was refused by the server",
}


def sentence(labels: Sequence[str], faults: Sequence[str]) -> str:
    """What makes the burst void, from each member's fault; "" if no member has one."""
    at_fault = [place for place, fault in enumerate(faults) if fault]
    if not at_fault:
        return ""
    first = at_fault[0]
    others = f" (and {len(at_fault) - 1} more with it)" if at_fault[1:] else ""
    return f"member {first + 1} of {len(labels)}, {labels[first]!r}, {faults[first]}{others}"


def connection_fault(failure: Failure | None) -> str:
    """Of a connection that had to be open."""
    return f"could not connect: {said(failure)}" if failure else ""


def prefix_fault(unsent_bytes: int, within_s: float) -> str:
    """Of a prefix that had to be sent by now."""
    return f"still had {unsent_bytes} bytes of its prefix to send after {within_s:g} s" if unsent_bytes else ""


def early_fault(status: int | None, failure: Failure | None) -> str:
    """Of a member that had to be waiting for what is withheld."""
    if status is not None:
        return f"was answered {status} before the gate opened, so the server did not wait for the rest of it"
    return f"{_EARLY.get(failure, 'was cut off')} before the gate opened" if failure else ""


def gate_fault(*, whole: bool) -> str:
    """Of a member whose withheld bytes had to leave."""
    return "" if whole else "was cut off just as the gate opened"


def refused_fault(failure: Failure | None) -> str:
    """Of a member that had to be looked at: a refused stream was not (RFC 9113 section 8.7)."""
    return "was refused by the server, so it did not run" if failure is Failure.STREAM_REFUSED else ""
