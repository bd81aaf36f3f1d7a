"""What is sent together, and what became of it. PURE."""

from dataclasses import dataclass, field
from typing import Final, Literal

from tocsin.history import History
from tocsin.wire._errors import Failure, RequestError
from tocsin.wire._response import Response
from tocsin.wire._styles import Style

Proof = Literal["tcp_info", "unverified"]

# Peers hold 100 ms to 1 s; on loopback 30 ms and 100 ms made no difference to the overlap. Long enough for a server to
# read the prefix and to answer early if it is going to.
HOLD_S: Final = 0.03


@dataclass(frozen=True, slots=True)
class Burst:
    """Requests that are to land together.

    Args:
        requests: the bytes of each, as `request_bytes` builds them. Not in `repr`: they hold live signatures.
        labels: what each is, in words that name no secret; they go into the history and the reasons.
        hold_s: how long everything but the last byte lies with the server before the gate opens.
        timeout_s: how long connecting and sending the prefixes may take, and again how long the answers may take.
        style: how they are held back and let go; None for the usual one of the protocol. See `styles_of`.
        offsets_us: how long after the gate opens each is to leave; () for all at once. On HTTP/2 every different offset
            is a write of its own, and on HTTP/3 a datagram.
    """

    requests: tuple[bytes, ...] = field(repr=False)
    labels: tuple[str, ...]
    hold_s: float = HOLD_S
    timeout_s: float = 10.0
    style: Style | None = None
    offsets_us: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.requests:
            raise RequestError("the burst has no requests, wanted at least one")
        if len(self.labels) != len(self.requests):
            raise RequestError(f"the burst has {len(self.requests)} requests and {len(self.labels)} labels")
        if self.hold_s < 0:
            raise RequestError(f"hold_s is {self.hold_s}, wanted 0 or more")
        if self.timeout_s <= 0:
            raise RequestError(f"timeout_s is {self.timeout_s}, wanted more than 0")
        if self.offsets_us and len(self.offsets_us) != len(self.requests):
            raise RequestError(f"the burst has {len(self.requests)} requests and {len(self.offsets_us)} offsets")
        if min(self.offsets_us, default=0) < 0:
            raise RequestError(f"an offset is {min(self.offsets_us)} us, wanted 0 or more")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a burst.

    Args:
        history: the members in the order in which they were sent; empty if the gate was not opened.
        responses: in the order of `Burst.requests`; None for a member without a complete answer.
        void: "" if the burst was delivered as planned, else the reason why not, as a sentence. A void burst proves
            nothing, but it may have had effects if the gate was opened.
        proof: what the delivery was checked by: "tcp_info", the kernel's own counters of segments, or "unverified"
            where the system has none, as of UDP, and where the gate stayed shut.
        send_skew_us: from the first request that was completed at the gate to the last one.
        failures: why a member has no answer, in the order of `Burst.requests`; None for an answered one, and for all of
            them that were not asked because the gate stayed shut.
        gate_opened_ns: when the gate opened for the first request, on `time.monotonic_ns()`; None if it was not opened.
        protocol: what was spoken: "http/1.1", "h2" (over TLS), "h2c" (in cleartext) or "h3" (over QUIC).
        style: how the members were held back and let go.
        choice: why this protocol and so many connections, as a sentence.
        connections: how many there were.
        offsets_us: when each member left, from the opening of the gate, in the order of `Burst.requests`; () if it was
            not opened.
        order: which answer was complete before which, in the order of `Burst.requests`: the lower number was; equal
            ones cannot be told apart; None for no answer; () if the gate was not opened. Answers on one connection of
            HTTP/2 are told apart by their frames, even where one segment brought them.
        datagrams: how many datagrams the release took, each a send of its own, back to back; 0 where it was a stream of
            bytes, and where the gate stayed shut.
    """

    history: History
    responses: tuple[Response | None, ...]
    void: str
    proof: Proof
    send_skew_us: int
    failures: tuple[Failure | None, ...] = ()
    gate_opened_ns: int | None = None
    protocol: str = ""
    style: str = ""
    choice: str = ""
    connections: int = 0
    offsets_us: tuple[int, ...] = ()
    order: tuple[int | None, ...] = ()
    datagrams: int = 0

    @property
    def unanswered(self) -> bool:
        """Whether the gate opened and not one member was answered: the service has died, or hangs."""
        return self.gate_opened_ns is not None and all(response is None for response in self.responses)
