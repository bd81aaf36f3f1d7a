"""HTTP/2: many requests on a connection. Edge."""

from collections.abc import Sequence
from typing import Final

from tocsin.wire._errors import Failure
from tocsin.wire._h2 import Parts
from tocsin.wire._member import Member
from tocsin.wire._shared_line import SharedLine
from tocsin.wire._streams import Streams
from tocsin.wire._styles import Style
from tocsin.wire._transport import Arrival, Transport


class H2Line(SharedLine):
    """See SharedLine.

    Args:
        transport: the connection, begun.
        members: whose requests go on it; more can join until `begin`.
    """

    unconfirmed: Final = "the server answered no PING"

    def __init__(self, transport: Transport, members: Sequence[Member]) -> None:
        self._streams = Streams()
        super().__init__(transport, members, self._streams)
        self._queue()

    @property
    def opened(self) -> bool:
        """See Line."""
        return self.connected and self._streams.introduced

    @property
    def confirmed(self) -> bool:
        """See SharedLine. It has answered a PING that came after all of it."""
        return self._streams.confirmed

    def begin(self, members: Sequence[Member], requests: Sequence[Parts], style: Style) -> None:
        """See SharedLine."""
        self.members = tuple(members)
        self._streams.open(requests, style)
        self._queue()

    def send_all(self, request: Parts) -> None:
        """See SharedLine."""
        self._at_once = True
        self._streams.open([request], "empty-end" if request.body else "whole")
        self._queue()

    def read(self, arrived: Arrival) -> None:
        """See Line."""
        if not arrived.data:
            self.fail(Failure.CLOSED)
        elif not self._streams.receive(arrived.data):
            self.fail(Failure.NOT_HTTP)
        self._tell(arrived.at_ns)
        self._queue()

    def finals(self, group: Sequence[int]) -> bytes:
        """See Line."""
        return self._streams.finals(group)

    def _queue(self) -> None:
        if self._at_once and not self._streams.short_of_window and not self.finished:
            self._at_once = False
            self.unsent = memoryview(bytes(self.unsent) + self._streams.outgoing() + self._streams.finals([0]))
        frames = self._streams.outgoing()
        if frames:
            self.unsent = memoryview(bytes(self.unsent) + frames)
