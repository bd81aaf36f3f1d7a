"""The client's half of one QUIC connection, without a socket: aioquic's, and what it knows and does not tell.

Rule: what leaves at the gate is made ahead, and from then until the gate opens nothing else is: for this connection
time stands still, so that no timer repeats early what is withheld. No session is ever resumed, so that nothing leaves
as 0-RTT data, which anybody could replay (RFC 9001 section 9.2).

aioquic tells neither the server's limits nor what it has acknowledged, so its private attributes are read here and
nowhere else; `http3` in pyproject.toml says for which version.
"""

import logging
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionState
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from aioquic.quic.packet import QuicErrorCode
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from tocsin.wire._address import Address, Trust
from tocsin.wire._quic_end import Ended, ended_by_server, ended_by_us
from tocsin.wire._response import MAX_BODY_BYTES
from tocsin.wire._tls import tls_context

# Not an IP address, so that aioquic cannot compare it with a "preferred address" (RFC 9000 section 9.6) and go there:
# the socket speaks to the address that was checked, and to no other.
_PEER: Final = ("the address that was checked", 0)
_IDLE_S: Final = 600.0
_ANSWERS_BYTES: Final = 2**30
# A server that is busy with a burst acknowledges late. Sooner than this, nothing of a burst is repeated on suspicion.
_PATIENCE_S: Final = 2.0

# What aioquic logs may repeat what a peer sent; whatever matters of it is told by `ended`.
logging.getLogger("quic").addHandler(logging.NullHandler())
logging.getLogger("http3").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Flight:
    """Datagrams that leave together.

    Args:
        datagrams: in the order in which they are to leave.
        whole: whether they hold all that was to be sent.
    """

    datagrams: tuple[bytes, ...]
    whole: bool


class Quic:
    """One connection; `now` is on `time.monotonic()` throughout.

    Args:
        address: the server. Its certificate has to be for `host` and is verified as for TLS over TCP.
        now: when the connection begins.

    Raises:
        RequestError: the file of authorities cannot be read.
    """

    def __init__(self, address: Address, now: float) -> None:
        self.connection = QuicConnection(configuration=_configuration(address.host.rstrip("."), address.trust))
        self._behind_s = 0.0  # how far the connection's own clock is behind
        self._still_at: float | None = None
        self.repeated = False  # whether a datagram of a flight had to be sent again
        self._ended: Ended | None = None
        self.connection.connect(_PEER, now)

    @property
    def ended(self) -> Ended | None:
        """Why the connection is no more; None while it is."""
        event = self.connection._close_event
        if self._ended is None and event is not None:
            by_server = self.connection._state is QuicConnectionState.DRAINING
            alert = event.error_code - QuicErrorCode.CRYPTO_ERROR if event.frame_type is not None else None
            told = ended_by_server if by_server else ended_by_us
            self._ended = told(event.error_code, alert, event.reason_phrase)
        return self._ended

    @property
    def limit(self) -> int:
        """How many streams the server allows, of those that have ended too (RFC 9000 section 4.6)."""
        return self.connection._remote_max_streams_bidi

    @property
    def unsent(self) -> bool:
        """Whether something waits for a window, of the server's or of the congestion control."""
        return any(not stream.sender.buffer_is_empty for stream in self._sending())

    @property
    def settled(self) -> bool:
        """Whether all that was to be sent has been sent, and the server's own QUIC has acknowledged it."""
        spaces = self.connection._spaces.values()
        return not self.unsent and not any(space.ack_eliciting_in_flight for space in spaces)

    @property
    def connection_room(self) -> int:
        """How many bytes the server takes on all streams together (RFC 9000 section 4.1)."""
        return self.connection._remote_max_data - self.connection._remote_max_data_used

    def stream_room(self, number: int) -> int:
        """How many bytes the server takes on a stream, which may be one to come."""
        stream = self.connection._streams.get(number)
        if stream is None:
            return self.connection._remote_max_stream_data_bidi_remote
        return stream.max_stream_data_remote - stream.sender.highest_offset

    def receive(self, datagram: bytes, now: float) -> Iterator[QuicEvent]:
        """Take a datagram; what it says."""
        self.connection.receive_datagram(datagram, _PEER, self._time(now))
        while (event := self.connection.next_event()) is not None:
            if not isinstance(event, ConnectionTerminated):
                yield event

    def outgoing(self, now: float) -> list[bytes]:
        """The datagrams that are to be sent now; none while a flight waits for the gate."""
        return [] if self._still_at is not None else self._datagrams(now)

    def due(self) -> float | None:
        """When `tick` has something to do."""
        timer = None if self._still_at is not None else self.connection.get_timer()
        return None if timer is None else timer + self._behind_s

    def tick(self, now: float) -> None:
        """Let time pass: what was not acknowledged for too long is sent again."""
        due = self.due()
        if due is not None and due <= now:
            self.connection.handle_timer(self._time(now))

    def flight(self, numbers: Sequence[int], now: float) -> Flight:
        """What was written to these streams, in this order, in as few datagrams as hold it; time then stands still.

        Whatever else was to be sent has been sent before.
        """
        self._still_at = self._time(now)
        place = {number: at for at, number in enumerate(numbers)}
        self.connection._streams_queue.sort(key=lambda stream: place.get(stream.stream_id or 0, -1))
        # RFC 9002 section 7.7 lets what fits into the initial congestion window leave without gaps.
        self.connection._loss._pacer.packet_time = None
        self.connection._loss.max_ack_delay = max(self.connection._loss.max_ack_delay, _PATIENCE_S)
        first = self.connection._packet_number
        datagrams: list[bytes] = []
        while made := self._datagrams(now):
            datagrams += made
        self._watch(first)
        return Flight(tuple(datagrams), not self.unsent)

    def released(self, now: float) -> None:
        """The gate has opened: time goes on from where it stood."""
        if self._still_at is not None:
            self._behind_s, self._still_at = now - self._still_at, None

    def goodbye(self, error_code: int, now: float) -> list[bytes]:
        """The datagrams that end the connection."""
        self.connection.close(error_code=error_code)
        return self._datagrams(now)

    def _sending(self) -> Iterator[QuicStream]:
        for stream in self.connection._streams.values():
            if not stream.sender.is_finished:
                yield stream

    def _datagrams(self, now: float) -> list[bytes]:
        return [data for data, _ in self.connection.datagrams_to_send(self._time(now))]

    def _time(self, now: float) -> float:
        return now - self._behind_s if self._still_at is None else self._still_at

    def _watch(self, first: int) -> None:
        """Note what becomes of the packets from this number on, of which there is one in each datagram by now."""

        def told(state: QuicDeliveryState) -> None:
            self.repeated = self.repeated or state is QuicDeliveryState.LOST

        for number, packet in self.connection._spaces[Epoch.ONE_RTT].sent_packets.items():
            if number >= first:
                packet.delivery_handlers.append((told, ()))


def _configuration(host: str, trust: Trust) -> QuicConfiguration:
    tls_context(trust, tuple(H3_ALPN))  # raises where the file of authorities is none
    system = ssl.get_default_verify_paths()
    return QuicConfiguration(
        alpn_protocols=H3_ALPN,
        server_name=host,
        idle_timeout=_IDLE_S,
        # So large that no answer within the cap makes us send anything.
        max_data=_ANSWERS_BYTES,
        max_stream_data=4 * MAX_BODY_BYTES,
        cafile=trust.ca_file or system.cafile,
        capath=None if trust.ca_file else system.capath,
        verify_mode=ssl.CERT_NONE if trust.insecure else ssl.CERT_REQUIRED,
    )
