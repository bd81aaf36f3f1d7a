"""One connection and the members on it. Edge.

Rule: from the moment that something is sealed, nothing else leaves until the gate has opened.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tocsin.wire._errors import Failure, failure_of
from tocsin.wire._member import Member
from tocsin.wire._proof import Sample
from tocsin.wire._transport import Arrival, Transport
from tocsin.wire._void import prefix_fault


class Line(ABC):
    """What HTTP/1.1, HTTP/2 and HTTP/3 have in common.

    Args:
        transport: the connection, begun.
        members: whose requests go on it.
    """

    def __init__(self, transport: Transport, members: Sequence[Member]) -> None:
        self.transport = transport
        self.members = tuple(members)
        self.connected = False
        self.unsent = memoryview(b"")
        self.wake = b""  # what is sent at the gate before any request is completed
        self.detail = ""  # more about why it ended, where there is more than a Failure
        self._ahead: memoryview | None = None
        self._released = False
        self._at_gate: Sample | None = None
        self._at_end: Sample | None = None
        self._cut_off = False

    @property
    def opened(self) -> bool:
        """Whether requests can be sent."""
        return self.connected

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come."""
        return all(member.finished for member in self.members)

    @property
    def all_sent(self) -> bool:
        """Whether all that was to be sent has left."""
        return not self.unsent and not self.transport.pending

    @property
    def limit(self) -> int:
        """How many requests the server takes on it at once."""
        return 1

    @property
    def ending(self) -> bool:
        """Whether the server has said that it is about to end the connection."""
        return False

    @property
    def parking(self) -> bool:
        """Whether something has to happen before the gate may open."""
        return self.sendable

    @property
    def sendable(self) -> bool:
        """Whether there is something to send and somebody to send it to."""
        if self._cut_off or self.finished:
            return False
        if self._ahead is not None:
            return bool(self._ahead)
        return bool(self.unsent) or self.transport.pending

    @property
    def released_datagrams(self) -> int:
        """How many datagrams the kernel has taken at the gate; 0 where what is sent is a stream of bytes."""
        return 0

    def due(self) -> float | None:
        """When `tick` has something to do, on `time.monotonic()`; None for never."""
        return None

    def tick(self) -> None:  # noqa: B027  TCP keeps time in the kernel
        """Let time pass: send what is due though nothing has come in."""

    def close(self) -> None:
        """End the connection: in order if every member was answered, at once if not."""
        self.transport.close(reset=any(member.response is None for member in self.members))

    def advance(self) -> None:
        """Open as far as it goes now."""
        try:
            self.connected = self.transport.is_open()
        except OSError as error:
            self.detail = str(error) if error.errno is None else ""
            self.fail(failure_of(error))

    def push(self) -> None:
        """Send as much as fits now."""
        try:
            if self._ahead is not None:
                self._ahead = self._ahead[self._send_ahead(self._ahead) :]
            else:
                if self._released and self._at_gate is None:
                    self._at_gate = self.transport.sample()
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
            self.fail(arrived)
        elif arrived:
            self.read(arrived)

    def fail(self, failure: Failure) -> None:
        """End every member that has not ended."""
        for member in self.members:
            if not member.finished:
                member.end(failure, 0)

    def seal_wake(self) -> bytes:
        """What is to be written first at the gate; to be asked before `seal`."""
        return self.transport.seal(self.wake)

    def seal(self, groups: Sequence[Sequence[int]]) -> list[bytes]:
        """What is to be written at the gate: for each group of places among `members` one piece, in this order."""
        pieces = [self.transport.seal(self.finals(group)) for group in groups]
        self._ahead = memoryview(b"")
        return pieces

    def send_ahead(self, octets: bytes) -> None:
        """Send a part of what was sealed before the gate opens."""
        self._ahead = memoryview(octets)

    def released(self) -> None:
        """The gate has opened: anything may be sent again."""
        self._ahead = None
        self._released = True

    def sample_of_release(self) -> Sample | None:
        """The kernel's counters before anything was sent after the gate."""
        return self._at_gate or self.transport.sample()

    def sample_of_end(self) -> Sample | None:
        """The kernel's counters before our half was ended: what it repeats of that says nothing of the requests."""
        return self._at_end or self.transport.sample()

    def finish(self) -> None:
        """End our half of the connection: every answer is there."""
        if self._released:
            self._at_gate, self._at_end = self.sample_of_release(), self.transport.sample()
        self.transport.finish()

    @abstractmethod
    def read(self, arrived: Arrival) -> None:
        """Read on with what arrived, b"" for the end of the connection."""

    @abstractmethod
    def finals(self, group: Sequence[int]) -> bytes:
        """What of these members is withheld, in this order."""

    def not_parked(self, within_s: float) -> str:
        """Why it is not parked after so long, as what can be said of its members; "" if it is."""
        return prefix_fault(len(self.unsent), within_s) if self.parking else ""

    def not_sealed(self) -> str:
        """Why what was sealed cannot open the gate, as what can be said of its members; "" if it can."""
        return ""

    def repeated_fault(self) -> str:
        """What the protocol itself knows of requests that did not land with the others; "" if nothing."""
        return ""

    def _send_ahead(self, octets: memoryview) -> int:
        try:
            return self.transport.release(bytes(octets))
        except BlockingIOError:
            return 0
