"""HTTP/1.1: one request on a connection. Edge."""

from collections.abc import Sequence

from tocsin.wire._h1 import Split
from tocsin.wire._line import Line
from tocsin.wire._member import Member
from tocsin.wire._response import ResponseReader
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
        self._member = member
        self._withheld = split.withheld
        self._reader = ResponseReader((split.prefix + split.withheld).partition(b" ")[0])

    def read(self, arrived: Arrival) -> None:
        """See Line."""
        outcome = self._reader.receive(arrived.data)
        self._member.status = self._reader.status
        if outcome is not None:
            self._member.end(outcome, arrived.at_ns)

    def finals(self, group: Sequence[int]) -> bytes:
        """See Line."""
        assert list(group) == [0], "one connection, one request"
        return self._withheld
