"""HTTP/1.1: one request on a connection. Edge."""

from collections.abc import Sequence

from tocsin.wire._h1 import Split
from tocsin.wire._line import Line
from tocsin.wire._member import Member
from tocsin.wire._response import Response, ResponseReader
from tocsin.wire._transport import Arrival, Transport


class H1Line(Line):
    """A connection for one request.

    Args:
        transport: the connection, begun.
        member: whose request it is.
        split: what is sent early, and what is withheld.
    """

    def __init__(self, transport: Transport, member: Member, split: Split) -> None:
        super().__init__(transport, (member,))
        self.unsent = memoryview(split.prefix)
        self.wake = split.wake
        self._member = member
        self._withheld = split.withheld
        self._reader = ResponseReader((split.prefix + split.wake + split.withheld).partition(b" ")[0])

    def read(self, arrived: Arrival) -> None:
        """See Line."""
        outcome = self._reader.receive(arrived.data)
        self._member.status = self._reader.status
        if outcome is None:
            return
        self._member.end(outcome, arrived.at_ns)
        if isinstance(outcome, Response) and self.all_sent and (self._released or not self._withheld):
            # A server that waits for us to end the connection, as gunicorn's does before it accepts others, would
            # otherwise wait as long as the slowest member of the burst, which it has perhaps not accepted yet.
            self.finish()

    def finals(self, group: Sequence[int]) -> bytes:
        """See Line."""
        assert list(group) == [0], "one connection, one request"
        return self._withheld
