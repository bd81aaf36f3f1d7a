"""An HTTP/3 server that misbehaves on purpose: a real socket on loopback, one thread.

Rule: it never sleeps. What it does depends only on what has arrived.
"""

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aioquic._buffer import Buffer
from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    HandshakeCompleted,
    ProtocolNegotiated,
    QuicEvent,
)
from aioquic.quic.packet import (
    QuicPacketType,
    QuicProtocolVersion,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.quic.retry import QuicRetryTokenHandler

from tests.wire.certificates import Certificates
from tocsin.wire import Address, Trust

_INITIAL_BYTES = 1200
HEADERS = [(b":status", b"200"), (b"content-length", b"2")]
# A frame of HTTP/3 that holds a small number (RFC 9114 section 7.2.6).
GOAWAY = bytes([7, 1])


@dataclass
class Seen:
    """What came in on one connection.

    Args:
        heads: the fields of each request, by stream.
        bodies: what has come of each body.
        ended: which streams were complete, in this order.
        completing: for each datagram that completed a request, which streams it completed.
        closed: the error code with which the client ended the connection.
        resumed: whether it resumed a session, as 0-RTT data would need.
    """

    heads: dict[int, dict[str, str]] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)
    completing: list[list[int]] = field(default_factory=list)
    closed: int | None = None
    resumed: bool = False


class Behaviour:
    """A well-behaved server; what misbehaves overrides a method. Packets are sent after each datagram."""

    streams = 128
    window = 1_048_576
    connection_window = 1_048_576
    alpn = tuple(H3_ALPN)
    retry = False
    versions: tuple[int, ...] = (QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2)

    quic: QuicConnection
    http: H3Connection
    seen: Seen

    def greet(self) -> None:
        """The handshake is done and SETTINGS are on their way."""

    def drops(self, datagram: bytes) -> bool:  # noqa: ARG002
        """Whether a datagram is lost, before anybody has looked at it."""
        return False

    def headers(self, number: int) -> None:
        """A request has begun."""

    def data(self, number: int) -> None:
        """A part of a body has come."""

    def complete(self, number: int) -> None:
        """A request is complete."""
        self.answer(number)

    def answer(self, number: int) -> None:
        self.http.send_headers(number, HEADERS)
        self.http.send_data(number, b"ok", end_stream=True)

    def refuse(self, number: int) -> None:
        self.quic.reset_stream(number, ErrorCode.H3_REQUEST_REJECTED)

    def say_goodbye(self, first: int) -> None:
        """GOAWAY: this stream and later ones will not be looked at."""
        control = self.http._local_control_stream_id
        assert control is not None
        self.quic.send_stream_data(control, GOAWAY + bytes([first]))


class _Serving:
    """One connection."""

    def __init__(self, behaviour: Behaviour, certificates: Certificates, **ids: Any) -> None:
        self.behaviour = behaviour
        self.seen = behaviour.seen = Seen()
        configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=list(behaviour.alpn),
            max_stream_data=behaviour.window,
            max_data=behaviour.connection_window,
            supported_versions=list(behaviour.versions),
        )
        configuration.load_cert_chain(certificates.certificate, certificates.key)
        self.quic = behaviour.quic = QuicConnection(configuration=configuration, **ids)
        limit = self.quic._local_max_streams_bidi
        limit.value = limit.sent = behaviour.streams
        self.http: H3Connection | None = None

    def receive(self, datagram: bytes, peer: Any) -> None:
        if self.behaviour.drops(datagram):
            return
        before = len(self.seen.ended)
        self.quic.receive_datagram(datagram, peer, time.monotonic())
        self.react()
        if self.seen.ended[before:]:
            self.seen.completing.append(self.seen.ended[before:])

    def react(self) -> None:
        while (event := self.quic.next_event()) is not None:
            self._take(event)
        # Told only once the connection is gone, which is later.
        if self.quic._close_event is not None:
            self.seen.closed = self.quic._close_event.error_code

    def _take(self, event: QuicEvent) -> None:
        match event:
            case ProtocolNegotiated():
                self.http = self.behaviour.http = H3Connection(self.quic)
                self.behaviour.greet()
            case HandshakeCompleted():
                self.seen.resumed = event.session_resumed or event.early_data_accepted
            case _ if self.http is not None:
                for told in self.http.handle_event(event):
                    self._take_request(told)

    def _take_request(self, told: object) -> None:
        if not isinstance(told, HeadersReceived | DataReceived):
            return
        number = told.stream_id
        if isinstance(told, HeadersReceived):
            self.seen.heads[number] = {name.decode(): value.decode("latin-1") for name, value in told.headers}
            self.seen.bodies[number] = b""
            self.behaviour.headers(number)
        else:
            self.seen.bodies[number] += told.data
            if told.data:
                self.behaviour.data(number)
        if told.stream_ended:
            self.seen.ended.append(number)
            self.behaviour.complete(number)


class H3Peer:
    """Serves every connection with a behaviour, of those given in turn; the last one goes on. A context manager.

    Args:
        certificates: the server's.
        behaviours: what makes one for each connection.
    """

    def __init__(self, certificates: Certificates, *behaviours: Callable[[], Behaviour]) -> None:
        self._certificates = certificates
        self._behaviours = behaviours or (Behaviour,)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._by_id: dict[bytes, _Serving] = {}
        self._peers: dict[_Serving, Any] = {}
        self._retry = QuicRetryTokenHandler()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="h3-peer", daemon=True)
        self.datagrams = 0

    @property
    def address(self) -> Address:
        port = self._socket.getsockname()[1]
        return Address("https", "localhost", port, "127.0.0.1", (), "h3", Trust(self._certificates.ca_file))

    @property
    def seen(self) -> list[Seen]:
        with self._changed:
            return [serving.seen for serving in self._peers]

    def wait_until(self, holds: Callable[[list[Seen]], bool]) -> list[Seen]:
        """Wait for a condition on what was seen, at most 20 s."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds([serving.seen for serving in self._peers]), timeout=20)
            return [serving.seen for serving in self._peers]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"!")
        self._thread.join()
        for end in (self._socket, self._wake, self._woken):
            end.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not any(key.fileobj is self._woken for key, _ in selector.select(self._idle_s())):
                with self._changed:
                    self._receive()
                    self._send()
                    self._changed.notify_all()

    def _idle_s(self) -> float | None:
        timers = [timer for serving in self._peers if (timer := serving.quic.get_timer()) is not None]
        return max(min(timers) - time.monotonic(), 0) if timers else None

    def _receive(self) -> None:
        while True:
            try:
                datagram, peer = self._socket.recvfrom(65_535)
            except BlockingIOError:
                return
            except ConnectionError:
                continue  # a client that has gone
            self.datagrams += 1
            serving = self._serving(datagram, peer)
            if serving is not None:
                serving.receive(datagram, peer)
                self._send()

    def _send(self) -> None:
        now = time.monotonic()
        for serving, peer in self._peers.items():
            timer = serving.quic.get_timer()
            if timer is not None and timer <= now:
                serving.quic.handle_timer(now)
                serving.react()
            for datagram, _ in serving.quic.datagrams_to_send(now):
                self._socket.sendto(datagram, peer)

    def _serving(self, datagram: bytes, peer: Any) -> _Serving | None:
        try:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
        except ValueError:
            return None
        known = self._by_id.get(header.destination_cid)
        if known is not None or header.packet_type is not QuicPacketType.INITIAL or len(datagram) < _INITIAL_BYTES:
            return known
        behaviour = self._behaviours[min(len(self._peers), len(self._behaviours) - 1)]()
        if header.version not in behaviour.versions:
            versions = list(behaviour.versions)
            self._socket.sendto(
                encode_quic_version_negotiation(
                    source_cid=header.destination_cid, destination_cid=header.source_cid, supported_versions=versions
                ),
                peer,
            )
            return None
        ids: dict[str, bytes | None] = {"original_destination_connection_id": header.destination_cid}
        if behaviour.retry:
            if not header.token:
                self._ask_again(header, peer)
                return None
            ids = {
                "original_destination_connection_id": self._retry.validate_token(
                    address=peer, destination_cid=header.destination_cid, token=header.token, now=time.monotonic()
                ),
                "retry_source_connection_id": header.destination_cid,
            }
        serving = _Serving(behaviour, self._certificates, **ids)
        self._peers[serving] = peer
        self._by_id |= {header.destination_cid: serving, serving.quic.host_cid: serving}
        return serving

    def _ask_again(self, header: Any, peer: Any) -> None:
        source = os.urandom(8)
        token = self._retry.create_token(
            address=peer,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=source,
            now=time.monotonic(),
        )
        self._socket.sendto(
            encode_quic_retry(
                version=header.version,
                source_cid=source,
                destination_cid=header.source_cid,
                original_destination_cid=header.destination_cid,
                retry_token=token,
            ),
            peer,
        )
