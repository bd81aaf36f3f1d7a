"""One request on its connection. Edge."""

from tocsin.wire._errors import Failure, failure_of
from tocsin.wire._response import Response, ResponseReader
from tocsin.wire._transport import Arrival, Transport


class Member:
    """One request of a burst, or the only one of an exchange.

    Args:
        transport: its connection, begun.
        request: all of its bytes; only the method is read, which frames the answer.
        early: what is sent before the gate: the prefix, or for an exchange all of the request.
    """

    def __init__(self, transport: Transport, request: bytes, early: bytes) -> None:
        self.transport = transport
        self.opened = False
        self.unsent = memoryview(early)
        self.response: Response | None = None
        self.answered_ns: int | None = None
        self.failure: Failure | None = None
        self._cut_off = False
        self._reader = ResponseReader(request.partition(b" ")[0])

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come: there is an answer, or the reason why there is none."""
        return self.response is not None or self.failure is not None

    @property
    def sendable(self) -> bool:
        """Whether there is something to send and somebody to send it to."""
        return bool(self.unsent) and not self._cut_off and not self.finished

    def close(self) -> None:
        """End the connection: in order if it was answered, at once if not."""
        self.transport.close(reset=self.response is None)

    def advance(self) -> None:
        """Open as far as it goes now."""
        try:
            self.opened = self.transport.is_open()
        except OSError as error:
            self.failure = failure_of(error)

    def push(self) -> None:
        """Send as much as fits now."""
        try:
            self.unsent = self.unsent[self.transport.send(self.unsent) :]
        except OSError:
            # Not yet a failure: a server that refuses a body answers, closes, and leaves the answer to be read.
            self._cut_off = True

    def receive(self) -> Arrival | Failure | None:
        """What has arrived, None for nothing; not yet read as an answer."""
        try:
            arrival = self.transport.receive()
        except OSError as error:
            return failure_of(error)
        if arrival and not arrival.data and self._cut_off:
            # The kernel tells of a reset once. Told while sending, it looks like an orderly end here.
            return Failure.CLOSED
        return arrival

    def take(self, arrived: Arrival | Failure | None) -> None:
        """Read on with what arrived."""
        if isinstance(arrived, Failure):
            self.failure = arrived
        elif arrived:
            outcome = self._reader.receive(arrived.data)
            if isinstance(outcome, Response):
                self.response = outcome
                self.answered_ns = arrived.at_ns
            else:
                self.failure = outcome
