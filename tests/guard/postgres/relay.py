"""A TCP relay in front of PostgreSQL, which counts round trips and cuts the connection at COMMIT.

It reads what the client sends message by message, as the frontend protocol lays it out: one octet that says what it is
(none in the first message), then the length with itself included, then the rest. Messages of the extended protocol
belong together up to the Sync that ends them.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from itertools import count
from threading import Event, Thread
from typing import Self

from bench.crashing.relay import read_message, shut


class Cut(Enum):
    """What becomes of the next messages that hold a COMMIT."""

    NEVER = auto()

    BEFORE = auto()
    """It does not reach the server."""

    AFTER = auto()
    """It does, and the server's answer does not come back."""

    HOLD = auto()
    """The client is cut off; the message reaches the server when the test lets it go."""


class Relay:
    """Listens on a port that the kernel chose.

    Attributes:
        cut: what happens at the next COMMIT, once.
        before_commit: called before the next message with a COMMIT is passed on, once.
        asked: how often clients have waited for an answer: round trips.
        doomed: of the next connections, how many round trips each of them lasts.
        accepted: how many connections there have been.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cut = Cut.NEVER
        self.before_commit: Callable[[], object] | None = None
        self.asked = 0
        self.doomed: list[int] = []
        self.accepted = 0
        self._go = Event()
        self._threads: list[Thread] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()
        shut(self._listener)
        # Nobody is accepted any more once the first thread has ended.
        self._threads[0].join()
        for side in self._sockets:
            shut(side)
        for thread in self._threads:
            thread.join()
        for side in [self._listener, *self._sockets]:
            side.close()

    def let_go(self) -> None:
        """Pass on the COMMIT that is held."""
        self._go.set()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                silenced = Event()
                self.accepted += 1
                lasts = self.doomed.pop(0) if self.doomed else None
                self._start(self._to_server, client, server, silenced, lasts)
                self._start(_to_client, server, client, silenced)

    def _to_server(self, client: socket.socket, server: socket.socket, silenced: Event, lasts: int | None) -> None:
        with suppress(OSError, EOFError):
            server.sendall(read_message(client, kinds=0))
            for trip in count():
                messages = [read_message(client, kinds=1)]
                # Parse, Bind, Describe, Execute, Close
                while messages[-1][:1] in {b"P", b"B", b"D", b"E", b"C"}:
                    messages.append(read_message(client, kinds=1))
                # A simple query, or the end of an extended one: the client waits for an answer now.
                self.asked += messages[-1][:1] in {b"Q", b"S"}
                if trip == lasts:
                    break
                if any(map(_commits, messages)):
                    self._at_commit(client, server, b"".join(messages), silenced)
                else:
                    server.sendall(b"".join(messages))
        if not self._go.is_set():
            shut(server)

    def _at_commit(self, client: socket.socket, server: socket.socket, message: bytes, silenced: Event) -> None:
        cut, self.cut = self.cut, Cut.NEVER
        called, self.before_commit = self.before_commit, None
        if called is not None:
            called()
        if cut is Cut.BEFORE:
            shut(server)
        if cut is Cut.AFTER:
            silenced.set()
        if cut is Cut.HOLD:
            silenced.set()
            shut(client)
            self._go.wait()
        server.sendall(message)


def _to_client(server: socket.socket, client: socket.socket, silenced: Event) -> None:
    with suppress(OSError):
        while data := server.recv(65536):
            if silenced.is_set():
                # The server has answered, so it is done; nobody hears of it.
                break
            client.sendall(data)
    shut(client)


def _commits(message: bytes) -> bool:
    """A simple query with a COMMIT, or a call of one that is known by its name."""
    return (message[:1] == b"Q" and b"COMMIT" in message) or (message[:1] == b"B" and b"tocsin_commit" in message)
