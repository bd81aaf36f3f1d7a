"""How claims are shown: as a table of 80 columns, one by one, and as JSON.

Rule: what somebody else wrote into the table is data. No name in it can move a cursor or start a line.
"""

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from tocsin.guard._admin import Kept, Stream
from tocsin.guard._decision import State, state_of
from tocsin.report._plain_text import line

_WIDTH = 80
_GAP = "  "
# Enough of a key to find it again among millions, and to paste into `tocsin claims show`.
SHORT_KEY_DIGITS = 12
_WORDS = {
    State.ANSWERED: "answered",
    State.TOMBSTONE: "tombstone",
    State.UNSETTLED: "unsettled",
    State.FREE: "due",
}
_MEANINGS = {
    State.ANSWERED: "answered: a duplicate gets the stored answer",
    State.TOMBSTONE: "tombstone: the answer has gone; a duplicate gets its status",
    State.UNSETTLED: "unsettled: applied, answer unknown; a duplicate gets 500, and nothing runs it again",
    State.FREE: "due: it has had its time; the next request with this key runs",
}
_STREAM_HEAD = ("STREAM", "MOVED (UTC)", "NUMBER", "TENANT", "OPERATION")
_HEAD = ("KEY", "TAKEN (UTC)", "STATUS", "STATE", "TENANT", "OPERATION")


def table(claims: Sequence[Kept], now_unix_ms: int) -> Iterator[str]:
    """A head, and a line a claim."""
    return _laid_out([_HEAD, *(_row(kept, now_unix_ms) for kept in claims)])


def stream_table(streams: Sequence[Stream]) -> Iterator[str]:
    """A head, and a line a stream."""
    return _laid_out([_STREAM_HEAD, *map(_stream_row, streams)])


def stream_document(stream: Stream) -> dict[str, object]:
    """A stream for other programs."""
    return {
        "stream": stream.stream.hex(),
        "number": stream.number,
        "tenant": stream.tenant,
        "operation": stream.operation,
        "moved_unix_ms": stream.moved_unix_ms,
    }


def _laid_out(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield _cut(_GAP.join([*cells, row[-1]]), _WIDTH)


def facts(kept: Kept, now_unix_ms: int) -> Iterator[tuple[str, str]]:
    """Everything about a claim but its answer's text."""
    yield "key", kept.key.hex()
    yield "tenant", line(kept.tenant)
    yield "operation", line(kept.operation)
    yield "state", _MEANINGS[state_of(kept.record, now_unix_ms)]
    yield "taken", _instant(kept.taken_unix_ms)
    yield "status", "unknown" if kept.status is None else str(kept.status)
    if kept.body_bytes is not None:
        yield "body", f"{kept.body_bytes} bytes"
    yield "answer kept", _until(kept.answer_until_unix_ms)
    yield "claim kept", _until(kept.claim_until_unix_ms)
    yield "fingerprint", "none" if kept.fingerprint is None else kept.fingerprint.hex()
    yield "version", str(kept.version)


def document(kept: Kept, now_unix_ms: int, *, with_answer: bool) -> dict[str, object]:
    """A claim for other programs; with its answer, where that was read."""
    found: dict[str, object] = {
        "key": kept.key.hex(),
        "version": kept.version,
        "tenant": kept.tenant,
        "operation": kept.operation,
        "state": _WORDS[state_of(kept.record, now_unix_ms)],
        "status": kept.status,
        "taken_unix_ms": kept.taken_unix_ms,
        "answer_until_unix_ms": kept.answer_until_unix_ms,
        "claim_until_unix_ms": kept.claim_until_unix_ms,
        "fingerprint": None if kept.fingerprint is None else kept.fingerprint.hex(),
        "body_bytes": kept.body_bytes,
    }
    if with_answer:
        found["headers_base64"] = _base64(kept.headers)
        found["body_base64"] = _base64(kept.body)
    return found


def _stream_row(stream: Stream) -> tuple[str, ...]:
    return (
        stream.stream.hex()[:SHORT_KEY_DIGITS],
        _instant(stream.moved_unix_ms).removesuffix(" UTC"),
        str(stream.number),
        _cut(line(stream.tenant), 10),
        line(stream.operation),
    )


def _row(kept: Kept, now_unix_ms: int) -> tuple[str, ...]:
    return (
        kept.key.hex()[:SHORT_KEY_DIGITS],
        _instant(kept.taken_unix_ms).removesuffix(" UTC"),
        "?" if kept.status is None else str(kept.status),
        _WORDS[state_of(kept.record, now_unix_ms)],
        _cut(line(kept.tenant), 10),
        line(kept.operation),
    )


def _cut(text: str, width: int) -> str:
    text = text.rstrip()
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _instant(unix_ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError):
        # The column holds any integer, and the calendar ends with the year 9999.
        return f"{unix_ms} ms"


def _until(unix_ms: int | None) -> str:
    return "for ever" if unix_ms is None else f"until {_instant(unix_ms)}"


def _base64(octets: bytes | None) -> str | None:
    return None if octets is None else base64.b64encode(octets).decode()
