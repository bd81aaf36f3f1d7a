"""HTTP/2: many requests on a connection. Edge."""

from collections.abc import Sequence

from tocsin.wire._errors import Failure
from tocsin.wire._h2 import Parts
from tocsin.wire._line import Line
from tocsin.wire._member import Member
from tocsin.wire._streams import Streams
from tocsin.wire._styles import Style
from tocsin.wire._transport import Arrival, Transport


class H2Line(Line):
    """A connection for several requests. It is open once the server has sent its SETTINGS.

    Args:
        transport: the connection, begun.
        members: whose requests go on it; more can join until `begin`.
    """

    def __init__(self, transport: Transport, members: Sequence[Member]) -> None:
        super().__init__(transport, members)
        self._streams = Streams()
        self._at_once = False
        self._queue()

    @property
    def opened(self) -> bool:
        """See Line."""
        return self.connected and self._streams.introduced

    @property
    def parking(self) -> bool:
        """See Line. Parked is what the server has read: it has answered a PING that came after it."""
        if self.finished or self._cut_off or self._ahead is not None:
            return self.sendable
        return self.sendable or not self._streams.confirmed

    @property
    def limit(self) -> int:
        """How many streams the server allows at once, once it is open."""
        return self._streams.limit

    @property
    def ending(self) -> bool:
        """See Line."""
        return self._streams.last_allowed is not None

    def begin(self, members: Sequence[Member], requests: Sequence[Parts], style: Style) -> None:
        """Send of the requests what the style sends early."""
        self.members = tuple(members)
        self._streams.open(requests, style)
        self._queue()

    def send_all(self, request: Parts) -> None:
        """Send the only member's request as fast as flow control lets it through, and hold nothing back."""
        self._at_once = True
        self._streams.open([request], "empty-end" if request.body else "whole")
        self._queue()

    def read(self, arrived: Arrival) -> None:
        """See Line."""
        if not arrived.data:
            self.fail(Failure.CLOSED)
        elif not self._streams.receive(arrived.data):
            self.fail(Failure.NOT_HTTP)
        for member, stream in zip(self.members, self._streams.all, strict=False):
            member.status = stream.status
            if stream.outcome is not None and not member.finished:
                member.end(stream.outcome, arrived.at_ns, stream.turn)
        self._queue()

    @property
    def all_sent(self) -> bool:
        """See Line."""
        return super().all_sent and not self._at_once and bool(self._streams.all)

    def finals(self, group: Sequence[int]) -> bytes:
        """See Line."""
        return self._streams.finals(group)

    def not_parked(self, within_s: float) -> str:
        """See Line."""
        if not self.parking:
            return ""
        if self._streams.short_of_window:
            return f"did not fit into the server's flow-control window within {within_s:g} s"
        return super().not_parked(within_s) or f"was not confirmed: the server answered no PING within {within_s:g} s"

    def _queue(self) -> None:
        if self._at_once and not self._streams.short_of_window and not self.finished:
            self._at_once = False
            self.unsent = memoryview(bytes(self.unsent) + self._streams.outgoing() + self._streams.finals([0]))
        frames = self._streams.outgoing()
        if frames:
            self.unsent = memoryview(bytes(self.unsent) + frames)
