"""The connections of a burst, from opening to the last answer. Edge.

Rule: every connection that was begun is closed, however this ends; one that is still owed an answer is reset, so that
no server keeps half a request.
"""

import selectors
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, TypeVar

from tocsin.wire._address import Address
from tocsin.wire._errors import DeliveryError, Failure, failure_of, said
from tocsin.wire._line import Line
from tocsin.wire._proof import Sample
from tocsin.wire._transport import Transport
from tocsin.wire._transports import open_transport

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE
# Linux delays an acknowledgement by at most 200 ms (TCP_DELACK_MAX); then comes a retransmission, and a void burst.
_ACKNOWLEDGED_WITHIN_S: Final = 0.25
# Ten segments go at first, then twenty: three rounds carry more than any prefix of a burst that fits into a record.
_ROUND_TRIPS: Final = 3
_POLL_S: Final = 0.001
_AnyLine = TypeVar("_AnyLine", bound=Line)


@contextmanager
def opened(address: Address, nodes: Sequence[Address] = ()) -> Iterator["Lines"]:
    """Connections to one address, or to several nodes in turn; none so far, and all are closed at the end.

    Raises:
        DeliveryError: this machine has no socket left.
    """
    with ExitStack() as closing:
        try:
            selector = closing.enter_context(selectors.DefaultSelector())
        except OSError as error:
            raise _exhausted(address, error) from error
        yield Lines(nodes or (address,), selector, closing)


class Lines:
    """All connections, and what each of them waits for. Deadlines are on `time.monotonic()`."""

    def __init__(self, addresses: Sequence[Address], selector: selectors.BaseSelector, closing: ExitStack) -> None:
        self.all: list[Line] = []
        self._addresses = addresses
        self._selector = selector
        self._closing = closing
        self._watched: dict[Line, int] = {}

    @property
    def nodes(self) -> int:
        """Among how many addresses the connections take turns."""
        return len(self._addresses)

    def begin(self, make: Callable[[Transport], _AnyLine]) -> _AnyLine:
        """Begin a new connection.

        Raises:
            DeliveryError: this machine has no socket left.
            RequestError: the address names a file of authorities that cannot be read.
        """
        address = self._addresses[len(self.all) % len(self._addresses)]
        try:
            transport = open_transport(address)
        except OSError as error:
            raise _exhausted(address, error) from error
        try:
            line = make(transport)
        except BaseException:
            transport.close(reset=True)
            raise
        self._closing.callback(line.close)
        self.all.append(line)
        return line

    def connect(self, deadline: float) -> None:
        """Open every connection. One that is not open by then has failed."""
        self._work(deadline, self._unopened)
        for line in self._unopened():
            line.fail(Failure.TIMED_OUT)

    def park(self, deadline: float) -> None:
        """Send all that is to be sent early, and listen meanwhile."""
        self._work(deadline, lambda: [line for line in self.all if line.parking])

    def receive(self, deadline: float) -> None:
        """Listen until every member has finished, or until the deadline; look at least once."""
        self._work(deadline, self._unfinished)

    def collect(self, deadline: float) -> None:
        """The same, and who has not finished by then has failed."""
        self.receive(deadline)
        for line in self._unfinished():
            line.fail(Failure.TIMED_OUT)

    def settle(self) -> list[Sample | None]:
        """Wait until the peer's kernel has confirmed what was sent, listening meanwhile; the last samples taken."""
        round_trip_s = max((sample.round_trip_us for sample in self.samples() if sample), default=0) / 1e6
        deadline = time.monotonic() + _ACKNOWLEDGED_WITHIN_S + _ROUND_TRIPS * round_trip_s
        while True:
            samples = self.samples()
            if all(sample is None or sample.settled for sample in samples) or time.monotonic() > deadline:
                return samples
            self.receive(time.monotonic() + _POLL_S)

    def samples(self) -> list[Sample | None]:
        """The kernel's counters of each connection."""
        return [line.transport.sample() for line in self.all]

    def _unopened(self) -> list[Line]:
        return [line for line in self.all if not line.opened and not line.finished]

    def _unfinished(self) -> list[Line]:
        return [line for line in self.all if not line.finished]

    def _work(self, deadline: float, waiting: Callable[[], list[Line]]) -> None:
        """Open, send and receive whatever can be, until nobody is waiting or the deadline has passed."""
        while waiting():
            left = deadline - time.monotonic()
            for line in self.all:
                line.tick()
            self._watch()
            wait_s = max(min([left, *self._due_in_s()]), 0)
            ready: list[tuple[Line, int]] = [(key.data, mask) for key, mask in self._selector.select(wait_s)]
            connected = [(line, mask) for line, mask in ready if line.connected]
            for line, _ in ready:
                if not line.connected:
                    line.advance()
            self._take(line for line, mask in connected if mask & _READ)
            for line, mask in connected:
                if mask & _WRITE and line.sendable:
                    line.push()
            if left <= 0:
                return

    def _due_in_s(self) -> list[float]:
        """How long until each line that has a timer has to act though nothing comes."""
        now = time.monotonic()
        return [due - now for line in self.all if (due := line.due()) is not None]

    def _take(self, lines: Iterable[Line]) -> None:
        # All are received before the first is parsed: where the kernel stamps nothing, parsing would age the others.
        arrivals = [(line, line.receive()) for line in lines]
        for line, arrived in arrivals:
            line.take(arrived)

    def _watch(self) -> None:
        """Ask to be woken for what each line waits for, and for nothing else: an idle line must not spin."""
        for line in self.all:
            wanted, watched = _interest(line), self._watched.get(line, 0)
            if wanted == watched:
                continue
            if not watched:
                self._selector.register(line.transport, wanted, line)
            elif not wanted:
                self._selector.unregister(line.transport)
            else:
                self._selector.modify(line.transport, wanted, line)
            self._watched[line] = wanted


def _interest(line: Line) -> int:
    if line.finished:
        return 0
    if not line.connected:
        return _READ if line.transport.awaits_peer else _WRITE
    return _READ | (_WRITE if line.sendable else 0)


def _exhausted(address: Address, error: OSError) -> DeliveryError:
    kind = failure_of(error)
    return DeliveryError(str(address), said(kind), kind)
