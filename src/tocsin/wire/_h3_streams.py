"""The client's half of one HTTP/3 connection, without a socket: requests in, datagrams out; datagrams in, answers out.

Rule: what is withheld leaves in one flight that the caller takes, and nothing of it before; nothing is counted as
parked until the server's own QUIC has acknowledged all of it (RFC 9000 section 13.2).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aioquic.h3.connection import ErrorCode, FrameType, H3Connection, encode_frame
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.connection import stream_is_client_initiated
from aioquic.quic.events import HandshakeCompleted, QuicEvent, StopSendingReceived, StreamDataReceived, StreamReset

from tocsin.wire._address import Address
from tocsin.wire._errors import Failure
from tocsin.wire._h2 import Parts
from tocsin.wire._h3 import head_bytes
from tocsin.wire._h3_control import GoawayReader
from tocsin.wire._quic import Flight, Quic
from tocsin.wire._quic_end import Ended
from tocsin.wire._response import MAX_BODY_BYTES, Response
from tocsin.wire._streams import Stream, held
from tocsin.wire._styles import Style

_RESET: Final[Mapping[int, Failure]] = {
    ErrorCode.H3_REQUEST_REJECTED: Failure.STREAM_REFUSED,
    ErrorCode.H3_VERSION_FALLBACK: Failure.UNSUPPORTED,
}
# Head, body and framing of an answer; aioquic gathers a head until it is whole, however long it is said to be.
_STREAM_BYTES: Final = 2 * MAX_BODY_BYTES
_INTERIM: Final = range(100, 200)


class H3Streams:
    """One connection; `now` is on `time.monotonic()` throughout.

    Args:
        address: the server.
        now: when the connection begins.

    Raises:
        RequestError: the file of authorities cannot be read.
    """

    def __init__(self, address: Address, now: float) -> None:
        self.quic = Quic(address, now)
        self.all: tuple[Stream, ...] = ()
        self.last_allowed: int | None = None
        self._http: H3Connection | None = None
        self._by_number: dict[int, Stream] = {}
        self._control: defaultdict[int, GoawayReader] = defaultdict(GoawayReader)
        self._received: defaultdict[int, int] = defaultdict(int)
        self._broken: Ended | None = None
        self._at_gate = False
        self._ended = 0

    @property
    def introduced(self) -> bool:
        """Whether the server has sent its SETTINGS."""
        return self._http is not None and self._http.received_settings is not None

    @property
    def confirmed(self) -> bool:
        """Whether the server has acknowledged all that goes early, and takes what is withheld at any moment."""
        return bool(self.all) and self.quic.settled and not self.short_of_window

    @property
    def limit(self) -> int:
        """How many streams the server allows."""
        return self.quic.limit

    @property
    def ended(self) -> Ended | None:
        """Why nothing more can come on this connection."""
        return self._broken or self.quic.ended

    @property
    def short_of_window(self) -> bool:
        """Whether flow control keeps back something that has to be sent before or at the gate."""
        waiting = [(stream, _withheld_bytes(stream)) for stream in self.all if stream.outcome is None]
        return (
            (bool(waiting) and self.quic.unsent)
            or any(size > self.quic.stream_room(stream.number) for stream, size in waiting)
            or sum(size for _, size in waiting) > self.quic.connection_room
        )

    def outgoing(self, now: float) -> list[bytes]:
        """The datagrams that are to be sent now."""
        return self.quic.outgoing(now)

    def open(self, requests: Sequence[Parts], style: Style) -> None:
        """Send of the requests what goes before the gate; of bodies, as much as the windows let through."""
        self.all = tuple(held(request, style) for request in requests)
        for stream in self.all:
            if not stream.headless:
                self._send_head(stream)
                if stream.early:
                    self._sending().send_data(stream.number, bytes(stream.early), end_stream=False)

    def finals(self, places: Sequence[int], now: float) -> Flight:
        """What completes these requests, in this order. Whatever else is outgoing has been taken before."""
        self._at_gate = True
        chosen = [self.all[place] for place in places if self.all[place].outcome is None]
        for stream in chosen:
            if stream.headless:
                self._send_head(stream)
            self._send_last(stream)
        return self.quic.flight([stream.number for stream in chosen], now)

    def send_rest(self) -> None:
        """Send what is withheld of the only request with everything else: nothing is held back."""
        self._at_gate = True
        self._send_last(self.all[0])

    def receive(self, datagram: bytes, now: float) -> None:
        """Take what has arrived."""
        for event in self.quic.receive(datagram, now):
            self._take(event)

    def goodbye(self, now: float, *, cancelled: bool) -> list[bytes]:
        """The datagrams that end the connection, and with it every request that is not complete."""
        code = ErrorCode.H3_REQUEST_CANCELLED if cancelled else ErrorCode.H3_NO_ERROR
        return self.quic.goodbye(code, now)

    def _sending(self) -> H3Connection:
        assert self._http is not None, "no request before the handshake"
        return self._http

    def _send_head(self, stream: Stream) -> None:
        stream.number = self.quic.connection.get_next_available_stream_id()
        self._by_number[stream.number] = stream
        self._sending().send_headers(stream.number, list(stream.parts.fields))

    def _send_last(self, stream: Stream) -> None:
        if stream.last:
            self._sending().send_data(stream.number, stream.last, end_stream=True)
        else:  # not even a frame of HTTP/3: an empty STREAM frame with its FIN bit
            self.quic.connection.send_stream_data(stream.number, b"", end_stream=True)

    def _take(self, event: QuicEvent) -> None:
        match event:
            case HandshakeCompleted():
                self._http = H3Connection(self.quic.connection)
            case StreamDataReceived():
                self._take_data(event)
            case StreamReset():
                self._sending().handle_event(event)
                self._end(event.stream_id, _RESET.get(event.error_code, Failure.CLOSED))
            case StopSendingReceived():
                self._sending().handle_event(event)
                self._stopped(event)

    def _take_data(self, event: StreamDataReceived) -> None:
        number = event.stream_id
        self._received[number] += len(event.data)
        if self._received[number] > _STREAM_BYTES:
            self._too_large(number)
            return
        if not stream_is_client_initiated(number):
            self._end_from(self._control[number].receive(event.data))
        asked = self._by_number.get(number)
        is_head = asked is not None and asked.parts.method == b"HEAD"
        if is_head:
            # aioquic would hold Content-Length against the content, of which an answer to HEAD has none.
            event = StreamDataReceived(event.data, end_stream=False, stream_id=number)
        for told in self._sending().handle_event(event):
            self._advance(told, is_head=is_head)

    def _advance(self, event: H3Event, *, is_head: bool) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        stream = self._by_number.get(event.stream_id)
        if stream is None or stream.outcome is not None:
            return
        if isinstance(event, DataReceived):
            stream.body += event.data
            if len(stream.body) > MAX_BODY_BYTES:
                self._end(event.stream_id, Failure.TOO_LARGE)
        elif stream.status is None:
            _read_head(stream, event)
        if (event.stream_ended or is_head) and stream.status is not None:
            self._end(event.stream_id, Response(stream.status, stream.headers, bytes(stream.body)))
        elif event.stream_ended:
            self._end(event.stream_id, Failure.CLOSED)

    def _stopped(self, event: StopSendingReceived) -> None:
        """The server wants no more of a request: nothing bad after the gate, where an answer may come all the same."""
        refused = event.error_code == ErrorCode.H3_REQUEST_REJECTED
        if refused or not self._at_gate:
            self._end(event.stream_id, Failure.STREAM_REFUSED if refused else Failure.CLOSED)

    def _end_from(self, first: int | None) -> None:
        """What GOAWAY says (RFC 9114 section 5.2): of this stream and later ones, the server looks at none."""
        if first is None:
            return
        self.last_allowed = first
        for stream in self.all:
            if stream.outcome is None and (stream.number >= first or stream.number not in self._by_number):
                stream.outcome = Failure.STREAM_REFUSED

    def _too_large(self, number: int) -> None:
        if number in self._by_number:
            self._end(number, Failure.TOO_LARGE)
            return
        self._broken = self._broken or Ended(Failure.NOT_HTTP, "the server sends without end on a stream of its own")

    def _end(self, number: int, outcome: Response | Failure) -> None:
        stream = self._by_number.get(number)
        if stream is not None and stream.outcome is None:
            stream.turn, self._ended = self._ended, self._ended + 1
            stream.outcome = outcome


def _withheld_bytes(stream: Stream) -> int:
    """How much room what is withheld takes on its stream; of a head, an estimate from above."""
    head = head_bytes(stream.parts) if stream.headless else 0
    return head + (len(encode_frame(FrameType.DATA, stream.last)) if stream.last else 0)


def _read_head(stream: Stream, event: HeadersReceived) -> None:
    status = int(dict(event.headers)[b":status"])  # aioquic has made sure that there is one, and of three digits
    if status not in _INTERIM:
        stream.status, stream.headers = status, tuple(_decoded(event))


def _decoded(event: HeadersReceived) -> Iterator[tuple[str, str]]:
    for name, value in event.headers:
        if not name.startswith(b":"):
            yield name.decode("latin-1"), value.decode("latin-1")
