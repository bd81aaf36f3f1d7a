"""HTTP/3: many requests on a QUIC connection. Edge."""

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from tocsin.wire._errors import Failure, failure_of
from tocsin.wire._h2 import Parts
from tocsin.wire._h3_streams import H3Streams
from tocsin.wire._member import Member
from tocsin.wire._proof import datagrams_fault
from tocsin.wire._quic import Flight
from tocsin.wire._shared_line import SharedLine
from tocsin.wire._styles import Style
from tocsin.wire._transport import Arrival, Transport
from tocsin.wire._udp import UdpTransport


class H3Line(SharedLine):
    """See SharedLine.

    Args:
        transport: over UDP.
        members: whose requests go on it; more can join until `begin`.

    Raises:
        RequestError: the file of authorities cannot be read.
    """

    unconfirmed: Final = "the server did not acknowledge it"

    def __init__(self, transport: Transport, members: Sequence[Member]) -> None:
        assert isinstance(transport, UdpTransport), "QUIC goes over UDP"
        self._udp = transport
        self._streams = H3Streams(transport.address, time.monotonic())
        super().__init__(transport, members, self._streams)
        self._datagrams: deque[bytes] = deque()
        self._flights: list[Flight] = []
        self._queue()

    @property
    def opened(self) -> bool:
        """See Line."""
        return self.connected and self._streams.introduced

    @property
    def confirmed(self) -> bool:
        """See SharedLine. Its QUIC has acknowledged every packet."""
        return self._streams.confirmed

    @property
    def all_sent(self) -> bool:
        """See Line."""
        return super().all_sent and not self._streams.quic.unsent

    @property
    def released_datagrams(self) -> int:
        """See Line."""
        return self._udp.released

    def begin(self, members: Sequence[Member], requests: Sequence[Parts], style: Style) -> None:
        """See SharedLine."""
        self.members = tuple(members)
        self._streams.open(requests, style)
        self._queue()

    def send_all(self, request: Parts) -> None:
        """See SharedLine."""
        self._streams.open([request], "last-frame")
        self._streams.send_rest()
        self._queue()

    def read(self, arrived: Arrival) -> None:
        """See Line."""
        self._streams.receive(arrived.data, time.monotonic())
        self._tell(arrived.at_ns)
        self._end_with_the_connection()
        self._queue()

    def fail(self, failure: Failure) -> None:
        """See Line. On a connection that was open, a port that nobody listens on any more is a server that has gone."""
        if failure is Failure.REFUSED and not self.detail:
            self.detail = "nobody listens on that UDP port; HTTP/3 goes over UDP, not TCP"
        super().fail(Failure.CLOSED if self.opened and failure is Failure.REFUSED else failure)

    def due(self) -> float | None:
        """See Line."""
        return None if self.finished else self._streams.quic.due()

    def tick(self) -> None:
        """See Line."""
        if not self.finished:
            self._streams.quic.tick(time.monotonic())
            self._end_with_the_connection()
            self._queue()

    def push(self) -> None:
        """See Line."""
        try:
            while self.sendable and self._udp.send(self.unsent):
                self.unsent = memoryview(b"")
                self._queue()
        except OSError as error:
            self.fail(failure_of(error))

    def finals(self, group: Sequence[int]) -> bytes:
        """See Line."""
        self._flights.append(self._streams.finals(group, time.monotonic()))
        return self._udp.fly_together(self._flights[-1].datagrams)

    def not_sealed(self) -> str:
        """See Line."""
        if all(flight.whole for flight in self._flights):
            return datagrams_fault([[len(one) for one in flight.datagrams] for flight in self._flights])
        return "was not whole in what congestion control lets through at once"

    def released(self) -> None:
        """See Line."""
        self._streams.quic.released(time.monotonic())
        super().released()
        self._queue()

    def repeated_fault(self) -> str:
        """See Line. One datagram that was lost was lost for all of them, and comes again for all of them."""
        split = sum(len(flight.datagrams) for flight in self._flights) > 1
        return "had datagrams repeated after the gate opened" if split and self._streams.quic.repeated else ""

    def close(self) -> None:
        """See Line."""
        cancelled = any(member.response is None for member in self.members)
        # The kernel may have no room, or the server may have gone: then its own time-out ends the connection.
        with contextlib.suppress(OSError):
            for datagram in self._streams.goodbye(time.monotonic(), cancelled=cancelled):
                self._udp.send(datagram)
        super().close()

    def _end_with_the_connection(self) -> None:
        ended = self._streams.ended
        if ended is not None and not self.finished:
            self.detail = ended.detail
            self.fail(ended.failure)

    def _queue(self) -> None:
        self._datagrams += self._streams.outgoing(time.monotonic())
        if not self.unsent and self._datagrams:
            self.unsent = memoryview(self._datagrams.popleft())
