"""Which request goes on which connection. Edge.

Rule: all requests are taken apart before the first connection is begun, so that one that cannot be held back leaves
nothing half open.
"""

import time
from collections.abc import Sequence
from typing import Final, Protocol

from tocsin.wire._address import Address
from tocsin.wire._burst import Burst
from tocsin.wire._errors import RequestError
from tocsin.wire._h1 import Split, last_byte, waking, whole
from tocsin.wire._h1_line import H1Line
from tocsin.wire._h2 import RECORD_BYTES, Parts, parts_of, record_shares, shares
from tocsin.wire._h3 import FLIGHT_BYTES, flight_shares
from tocsin.wire._lines import Lines
from tocsin.wire._member import Member
from tocsin.wire._shared_line import SharedLine, SharedLines, shared_lines
from tocsin.wire._styles import Style
from tocsin.wire._transport import Transport

_TOO_LONG: Final = f"a request alone makes more than {RECORD_BYTES} bytes, which a TLS record holds"
_TOO_LONG_FOR_QUIC: Final = f"a request alone makes more than {FLIGHT_BYTES} bytes, which may leave at once on HTTP/3"


class Carry(Protocol):
    """The requests of a burst on their way to connections."""

    def board(self, lines: Lines, members: Sequence[Member], within_s: float) -> str:
        """Open the connections and put on each what goes early; why that cannot be done as planned, or ""."""


def carried(burst: Burst, address: Address, style: Style, last: int) -> Carry:
    """The requests, taken apart as the protocol wants them.

    Args:
        burst: the requests.
        address: where to, with the protocol that is spoken.
        style: how they are held back.
        last: the place of the one that is completed last.

    Raises:
        RequestError: one of them cannot be held back in this style, or it is HTTP/3 and aioquic is missing.
    """
    if address.protocol == "http/1.1":
        splits = [_split(request, style) for request in burst.requests]
        if style == "last-byte" and len(splits) > 1 and not any(burst.offsets_us):
            splits[last] = waking(splits[last])
        return _OneEach(splits, style)
    if style == "record" and len(set(burst.offsets_us)) > 1:
        raise RequestError("the style 'record' completes a connection's requests by one byte; wanted no offsets")
    requests = [parts_of(request, address.url_scheme) for request in burst.requests]
    return (_InDatagrams if address.protocol == "h3" else _Together)(requests, style, shared_lines(address))


def _split(request: bytes, style: Style) -> Split:
    return whole(request) if style in {"whole", "record"} else last_byte(request)


class _OneEach:
    """HTTP/1.1: a connection for every request, opened back to back."""

    def __init__(self, splits: Sequence[Split], style: Style) -> None:
        self._splits = splits
        self._style = style

    def board(self, lines: Lines, members: Sequence[Member], within_s: float) -> str:
        if self._style == "record" and max(len(split.withheld) for split in self._splits) > RECORD_BYTES:
            return _TOO_LONG
        for member, split in zip(members, self._splits, strict=True):
            lines.begin(lambda transport, member=member, split=split: H1Line(transport, member, split))  # type: ignore[misc]
        lines.connect(time.monotonic() + within_s)
        return ""


class _Together:
    """HTTP/2 and HTTP/3: as many requests on a connection as the server allows, and as few connections."""

    too_long = _TOO_LONG

    def __init__(self, requests: Sequence[Parts], style: Style, make: SharedLines) -> None:
        self._requests = requests
        self._style = style
        self._make = make

    def board(self, lines: Lines, members: Sequence[Member], within_s: float) -> str:
        deadline = time.monotonic() + within_s

        def begin(transport: Transport) -> SharedLine:
            return self._make(transport, members)

        first = lines.begin(begin)
        lines.connect(deadline)
        if not first.opened:
            return ""
        if not first.limit:
            return "the server allows no stream at all"
        groups = self._groups(first.limit, lines.nodes)
        if not groups:
            return self.too_long
        opened = [first, *(lines.begin(begin) for _ in groups[1:])]
        lines.connect(deadline)
        for line, group in zip(opened, groups, strict=True):
            if line.opened and line.limit < len(group):
                return f"the server allowed {first.limit} streams on one connection and {line.limit} on another"
        for line, group in zip(opened, groups, strict=True):
            if line.opened:
                line.begin([members[place] for place in group], self._requests[group.start : group.stop], self._style)
        return ""

    def _groups(self, limit: int, nodes: int) -> list[range]:
        spread = shares(len(self._requests), limit, nodes)
        if self._style == "record":
            return record_shares(self._requests, max(map(len, spread)))
        return spread


class _InDatagrams(_Together):
    """HTTP/3: the same, and no more on a connection than may leave it at once."""

    too_long = _TOO_LONG_FOR_QUIC

    def _groups(self, limit: int, nodes: int) -> list[range]:
        spread = shares(len(self._requests), limit, nodes)
        return flight_shares(self._requests, self._style, max(map(len, spread)))
