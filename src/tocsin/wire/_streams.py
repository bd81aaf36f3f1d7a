"""The client's half of one HTTP/2 connection, without a socket. PURE.

Rule: what is withheld leaves in one piece that the caller takes, and nothing of it before; nothing is counted as parked
until the server has answered a PING that was sent after it (RFC 9113 section 6.7).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from tocsin.wire._errors import Failure
from tocsin.wire._h2 import Parts, header_blocks
from tocsin.wire._response import MAX_BODY_BYTES, Response
from tocsin.wire._styles import Style

_FRAME_HEAD: Final = 9
_GOAWAY: Final = 7
_PING: Final = b"\0tocsin\0"
_LARGEST_WINDOW: Final = 2**31 - 1
_RESET: Final[Mapping[int, Failure]] = {
    ErrorCodes.REFUSED_STREAM: Failure.STREAM_REFUSED,
    ErrorCodes.HTTP_1_1_REQUIRED: Failure.UNSUPPORTED,
}
# Held back in these styles is everything; in the others, what ends the stream.
_WHOLE: Final[frozenset[Style]] = frozenset({"whole", "record"})


@dataclass(slots=True)
class Stream:
    """One request and its answer, so far.

    Args:
        parts: the request.
        early: what of the body is still to be sent before the gate.
        last: what of the body is withheld.
        headless: whether its head is withheld as well.
        status: of the answer, as soon as its head is there.
        outcome: the answer once it is complete, or why there will be none.
        turn: how many streams of the connection had ended before; what one segment brings has an order too.
    """

    parts: Parts
    early: memoryview = field(repr=False)
    last: bytes = field(repr=False)
    headless: bool = False
    number: int = 0
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytearray = field(default_factory=bytearray, repr=False)
    outcome: Response | Failure | None = None
    turn: int = 0


class Streams:
    """Requests in, frames out; frames in, answers out.

    The windows for answers are so large that no answer within the cap makes us send anything.
    """

    def __init__(self) -> None:
        config = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self._connection = H2Connection(config)
        self._connection.local_settings = Settings(
            client=True,
            initial_values={SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: MAX_BODY_BYTES + 1},
        )
        # RFC 8441's setting is the server's to give.
        del self._connection.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
        self._connection.initiate_connection()
        room = self._connection.inbound_flow_control_window
        self._connection.increment_flow_control_window(_LARGEST_WINDOW - room)
        self._received = bytearray()
        self._by_number: dict[int, Stream] = {}
        self._pinged = False
        self._ended = 0
        self.all: tuple[Stream, ...] = ()
        self.introduced = False
        self.confirmed = False
        self.last_allowed: int | None = None

    @property
    def limit(self) -> int:
        """How many streams the server allows at once; 2**32 + 1 until it has said a number."""
        limit: int = self._connection.remote_settings.max_concurrent_streams
        return limit

    @property
    def short_of_window(self) -> bool:
        """Whether flow control keeps back something that has to be sent before or at the gate."""
        windows = [(stream, self._window(stream)) for stream in self.all if stream.outcome is None]
        return any(stream.early or window < 0 for stream, window in windows)

    def outgoing(self) -> bytes:
        """The frames that are to be sent now."""
        return self._connection.data_to_send()

    def open(self, requests: Sequence[Parts], style: Style) -> None:
        """Send of the requests what goes before the gate; of bodies, as much as the windows let through."""
        self.all = tuple(held(request, style) for request in requests)
        self._send_heads([stream for stream in self.all if not stream.headless])
        self._go_on()

    def finals(self, places: Sequence[int]) -> bytes:
        """The frames that complete these requests, in this order. Whatever else is outgoing has been taken before."""
        chosen = [self.all[place] for place in places]
        self._send_heads([stream for stream in chosen if stream.headless])
        for stream in chosen:
            if stream.last or not stream.headless:
                self._send_body(stream)
        return self._connection.data_to_send()

    def receive(self, data: bytes) -> bool:
        """Take what has arrived. False: it was not HTTP/2, and no answer can come any more."""
        self._received += data
        try:
            for frame in self._frames():
                if frame[3] == _GOAWAY:
                    self._end_after(int.from_bytes(frame[9:13], "big") & _LARGEST_WINDOW)
                    continue
                for event in self._connection.receive_data(frame):
                    self._take(event)
            self._go_on()
        except (H2Error, ValueError, LookupError):
            # A status that is no number, a frame too short for its kind: h2 leaves some of these to Python.
            return False
        return True

    def _frames(self) -> Iterator[bytes]:
        """Whole frames, one at a time: what one of them is worth does not depend on those after it."""
        largest = self._connection.max_inbound_frame_size
        while len(self._received) >= _FRAME_HEAD:
            length = int.from_bytes(self._received[:3], "big")
            if length > largest:
                raise ValueError
            if len(self._received) < _FRAME_HEAD + length:
                return
            frame = bytes(self._received[: _FRAME_HEAD + length])
            del self._received[: _FRAME_HEAD + length]
            yield frame

    def _take(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self.introduced = True
        elif isinstance(event, PingAckReceived):
            self.confirmed = self.confirmed or event.ping_data == _PING
        elif isinstance(event, ResponseReceived | DataReceived | StreamEnded | StreamReset):
            stream = self._by_number[event.stream_id]
            if stream.outcome is None:
                stream.turn = self._ended
                _advance(stream, event)
                self._ended += stream.outcome is not None

    def _end_after(self, number: int) -> None:
        """What GOAWAY says (RFC 9113 section 6.8): of later streams, the server has not looked at one."""
        self.last_allowed = number
        for stream in self.all:
            if stream.outcome is None and (stream.number == 0 or stream.number > number):
                stream.outcome = Failure.STREAM_REFUSED

    def _send_heads(self, streams: Sequence[Stream]) -> None:
        for stream, block in zip(streams, header_blocks([stream.parts for stream in streams]), strict=True):
            stream.number = self._connection.get_next_available_stream_id()
            self._by_number[stream.number] = stream
            self._connection.send_headers(stream.number, block, end_stream=stream.headless and not stream.last)

    def _send_body(self, stream: Stream) -> None:
        largest = self._connection.max_outbound_frame_size
        for start in range(0, len(stream.last) - largest, largest):
            self._connection.send_data(stream.number, stream.last[start : start + largest])
        rest = (len(stream.last) - 1) // largest * largest if stream.last else 0
        self._connection.send_data(stream.number, stream.last[rest:], end_stream=True)

    def _go_on(self) -> None:
        """Send of the bodies what the windows let through by now; after the last of it, the PING."""
        for stream in self.all:
            while stream.early and stream.outcome is None and (window := self._window(stream)) > 0:
                size = min(window, len(stream.early), self._connection.max_outbound_frame_size)
                self._connection.send_data(stream.number, bytes(stream.early[:size]))
                stream.early = stream.early[size:]
        if self.all and not self._pinged and not self.short_of_window:
            self._pinged = True
            self._connection.ping(_PING)

    def _window(self, stream: Stream) -> int:
        """How much may be sent on a stream and still leave room for what is withheld; negative: there is no room."""
        connection = self._connection
        ours = connection.local_flow_control_window(stream.number) if stream.number else self._initial_window()
        withheld = sum(len(other.last) for other in self.all)
        return min(connection.outbound_flow_control_window - withheld, ours - len(stream.last))

    def _initial_window(self) -> int:
        window: int = self._connection.remote_settings.initial_window_size
        return window


def held(request: Parts, style: Style) -> Stream:
    """What of a request's body goes early, and what is withheld."""
    body = request.body
    cut = {"last-frame": max(len(body) - 1, 0), "empty-end": len(body)}.get(style, 0)
    return Stream(request, memoryview(body)[:cut], body[cut:], headless=style in _WHOLE)


def _advance(stream: Stream, event: ResponseReceived | DataReceived | StreamEnded | StreamReset) -> None:
    if isinstance(event, ResponseReceived):
        fields = [(bytes(name), bytes(value)) for name, value in event.headers]
        stream.status = int(dict(fields)[b":status"])
        stream.headers = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in fields if not name.startswith(b":")
        )
    elif isinstance(event, DataReceived):
        stream.body += event.data
        if len(stream.body) > MAX_BODY_BYTES:
            stream.outcome = Failure.TOO_LARGE
    elif isinstance(event, StreamEnded):
        status = stream.status
        stream.outcome = Failure.CLOSED if status is None else Response(status, stream.headers, bytes(stream.body))
    else:
        stream.outcome = _RESET.get(event.error_code, Failure.CLOSED)
