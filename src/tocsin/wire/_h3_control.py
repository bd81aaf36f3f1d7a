"""The server's control stream, of which aioquic keeps one thing to itself: GOAWAY. PURE.

Rule: nothing is kept but the head of a frame and the content of a GOAWAY, whatever lengths the server claims.
"""

from typing import Final

# RFC 9114 sections 6.2.1 and 7.2.6.
_CONTROL: Final = 0x00
_GOAWAY: Final = 0x07
_NUMBER_BYTES: Final = 8
_FOR_EVER: Final = 1 << 64  # longer than any stream (RFC 9000 section 4.5)


class GoawayReader:
    """Reads a unidirectional stream of the server as its bytes come in, and no further if it is another one."""

    def __init__(self) -> None:
        self._unread = bytearray()
        self._skip = 0
        self._begun = False

    def receive(self, data: bytes) -> int | None:
        """Take what comes next. The first stream that the server will not look at, once it says which."""
        self._unread += data
        first: int | None = None
        while self._unread:
            if self._skip:
                self._drop(min(self._skip, len(self._unread)))
            elif not self._begun:
                kind, end = _number(self._unread, 0)
                if not end:
                    break
                del self._unread[:end]
                self._begun, self._skip = True, 0 if kind == _CONTROL else _FOR_EVER
            else:
                kind, length_at = _number(self._unread, 0)
                length, end = _number(self._unread, length_at)
                if not length_at or not end or (kind == _GOAWAY and len(self._unread) < end + length <= end + 8):
                    break
                if kind == _GOAWAY and length <= _NUMBER_BYTES:
                    first = _number(self._unread, end)[0]
                del self._unread[:end]
                self._skip = length
        return first

    def _drop(self, size: int) -> None:
        del self._unread[:size]
        self._skip -= size


def _number(data: bytearray, at: int) -> tuple[int, int]:
    """An integer of variable length (RFC 9000 section 16) and where it ends; end 0: it is not all there."""
    if at >= len(data):
        return 0, 0
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        return 0, 0
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size
