"""The connections of a burst, from opening to the last answer. Edge.

Rule: every connection that was begun is closed, however this ends; one that is still owed an answer is reset, so that
no server keeps half a request.
"""

import selectors
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from tocsin.wire._address import Address
from tocsin.wire._errors import DeliveryError, Failure, failure_of, said
from tocsin.wire._member import Member
from tocsin.wire._proof import Sample
from tocsin.wire._transports import open_transport

_READ: Final = selectors.EVENT_READ
_WRITE: Final = selectors.EVENT_WRITE
# Linux delays an acknowledgement by at most 200 ms (TCP_DELACK_MAX); then comes a retransmission, and a void burst.
_ACKNOWLEDGED_WITHIN_S: Final = 0.25
_POLL_S: Final = 0.001


@contextmanager
def opened(address: Address, requests: Iterable[tuple[bytes, bytes]]) -> Iterator["Members"]:
    """Begin one new connection per request, back to back, and close them all at the end.

    Args:
        address: where to.
        requests: each whole, and what of it is to be sent early.

    Raises:
        DeliveryError: no transport serves the address, or this machine has no socket left.
    """
    begun: list[Member] = []
    with ExitStack() as closing:
        try:
            selector = closing.enter_context(selectors.DefaultSelector())
            for request, early in requests:
                begun.append(Member(open_transport(address), request, early))
                closing.callback(begun[-1].close)
        except OSError as error:
            kind = failure_of(error)
            raise DeliveryError(str(address), said(kind), kind) from error
        yield Members(begun, selector)


class Members:
    """All members, and what each of them waits for. Deadlines are on `time.monotonic()`."""

    def __init__(self, members: list[Member], selector: selectors.BaseSelector) -> None:
        self.all = tuple(members)
        self._selector = selector

    def connect(self, deadline: float) -> None:
        """Open every connection. One that is not open by then has failed."""
        for member in self.all:
            self._selector.register(member.transport, _WRITE, member)
        for ready in self._batches(deadline, self._unopened):
            for member, _ in ready:
                member.advance()
                if member.opened or member.failure:
                    self._selector.unregister(member.transport)
        self._time_out(self._unopened())

    def send(self, deadline: float) -> None:
        """Send all that is to be sent early, and listen meanwhile. What is not sent by then is left in `unsent`."""
        for member in self.all:
            self._selector.register(member.transport, _READ | _WRITE, member)
        for ready in self._batches(deadline, lambda: [member for member in self.all if member.sendable]):
            self._take(member for member, mask in ready if mask & _READ)
            for member, mask in ready:
                if mask & _WRITE and member.sendable:
                    member.push()
                if not member.finished and not member.sendable:
                    self._selector.modify(member.transport, _READ, member)

    def receive(self, deadline: float) -> None:
        """Listen until every member has finished, or until the deadline; look at least once."""
        for ready in self._batches(deadline, self._unfinished):
            self._take(member for member, _ in ready)

    def collect(self, deadline: float) -> None:
        """The same, and who has not finished by then has failed."""
        self.receive(deadline)
        self._time_out(self._unfinished())

    def settle(self) -> list[Sample | None]:
        """Wait until the peer's kernel has confirmed what was sent, listening meanwhile; the last samples taken."""
        deadline = time.monotonic() + _ACKNOWLEDGED_WITHIN_S
        while True:
            samples = self.samples()
            if all(sample is None or sample.settled for sample in samples) or time.monotonic() > deadline:
                return samples
            self.receive(time.monotonic() + _POLL_S)

    def samples(self) -> list[Sample | None]:
        """The kernel's counters of each connection."""
        return [member.transport.sample() for member in self.all]

    def _unopened(self) -> list[Member]:
        return [member for member in self.all if not member.opened and not member.failure]

    def _unfinished(self) -> list[Member]:
        return [member for member in self.all if not member.finished]

    def _time_out(self, members: Iterable[Member]) -> None:
        for member in members:
            member.failure = Failure.TIMED_OUT

    def _batches(self, deadline: float, waiting: Callable[[], list[Member]]) -> Iterator[list[tuple[Member, int]]]:
        """Who is ready for what, again and again, until nobody is waiting or the deadline has passed."""
        while waiting():
            left = deadline - time.monotonic()
            yield [(key.data, mask) for key, mask in self._selector.select(max(left, 0))]
            if left <= 0:
                return

    def _take(self, members: Iterable[Member]) -> None:
        # All are received before the first is parsed: where the kernel stamps nothing, parsing would age the others.
        arrivals = [(member, member.receive()) for member in members]
        for member, arrived in arrivals:
            member.take(arrived)
            if member.finished:
                self._selector.unregister(member.transport)
