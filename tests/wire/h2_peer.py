"""An HTTP/2 server that misbehaves on purpose: real sockets on loopback, a thread a connection, cleartext.

Rule: it never sleeps. What it does depends only on what has arrived.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, Event, RequestReceived, StreamEnded
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from tocsin.wire import Address

HEADERS = [(":status", "200"), ("content-length", "2")]


@dataclass
class Seen:
    """What came in on one connection."""

    events: list[Event] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)


class Behaviour:
    """A well-behaved server; what misbehaves overrides a method. Frames are sent after each."""

    def greet(self, connection: H2Connection) -> None:
        """At the very beginning."""
        connection.initiate_connection()

    def asked(self, event: RequestReceived) -> None:
        """A request has begun; for those who want to know which."""

    def headers(self, connection: H2Connection, number: int) -> None:
        """A request has begun."""

    def data(self, connection: H2Connection, event: DataReceived) -> None:
        """A part of a body has come."""
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)

    def complete(self, connection: H2Connection, number: int) -> None:
        """A request is complete."""
        self.answer(connection, number)

    def answer(self, connection: H2Connection, number: int) -> None:
        connection.send_headers(number, HEADERS)
        connection.send_data(number, b"ok", end_stream=True)

    def raw(self) -> bytes:
        """Bytes to send after the greeting that no server should."""
        return b""


class ThreeStreams(Behaviour):
    """Allows three streams at once, says so, and means it."""

    def greet(self, connection: H2Connection) -> None:
        connection.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 3
        connection.local_settings.acknowledge()
        connection.initiate_connection()


def refuse(connection: H2Connection, number: int) -> None:
    connection.reset_stream(number, ErrorCodes.REFUSED_STREAM)


class H2Peer:
    """Serves every connection with a behaviour, of those given in turn; the last one goes on. A context manager.

    Args:
        behaviours: each one for all connections it serves, or what makes one for each.
    """

    def __init__(self, *behaviours: Behaviour | Callable[[], Behaviour]) -> None:
        self._behaviours = behaviours or (Behaviour(),)
        self.seen: list[Seen] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._open: list[socket.socket] = []

    @property
    def address(self) -> Address:
        host, port = self._listener.getsockname()[:2]
        return Address("http", host, port, host, protocol="h2c")

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        for accepted in self._open:
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._open):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            behaviour = self._behaviours[min(len(self._open), len(self._behaviours) - 1)]
            if not isinstance(behaviour, Behaviour):
                behaviour = behaviour()
            self._open.append(accepted)
            self.seen.append(Seen())
            thread = threading.Thread(target=_serve, args=(accepted, behaviour, self.seen[-1]))
            thread.start()
            self._threads.append(thread)


def _serve(accepted: socket.socket, behaviour: Behaviour, seen: Seen) -> None:
    connection = H2Connection(H2Configuration(client_side=False))
    with contextlib.suppress(OSError, H2Error):
        _flush(accepted, connection, behaviour.greet)
        accepted.sendall(behaviour.raw())
        while data := accepted.recv(65536):
            for event in connection.receive_data(data):
                seen.events.append(event)
                _react(connection, behaviour, seen, event)
                accepted.sendall(connection.data_to_send())
            accepted.sendall(connection.data_to_send())
    with contextlib.suppress(OSError):
        accepted.shutdown(socket.SHUT_RDWR)


def _flush(accepted: socket.socket, connection: H2Connection, step: Callable[[H2Connection], None]) -> None:
    step(connection)
    accepted.sendall(connection.data_to_send())


def _react(connection: H2Connection, behaviour: Behaviour, seen: Seen, event: Event) -> None:
    match event:
        case RequestReceived():
            seen.bodies[event.stream_id] = b""
            behaviour.asked(event)
            behaviour.headers(connection, event.stream_id)
        case DataReceived():
            seen.bodies[event.stream_id] += event.data
            behaviour.data(connection, event)
        case StreamEnded():
            seen.ended.append(event.stream_id)
            behaviour.complete(connection, event.stream_id)
        case ConnectionTerminated():
            raise ConnectionResetError
