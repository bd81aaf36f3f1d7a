"""A TCP relay in front of PostgreSQL that cuts one connection at a chosen step of a guarded request.

It reads what clients send as the frontend protocol lays it out: one octet that says what a message is (none in the
first one), its length with itself included, the rest. Messages of the extended protocol belong together up to the one
that makes the client wait.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from threading import Event, Lock, Thread
from time import monotonic
from typing import Self

# Parse, Bind, Describe, Execute, Close: more follows.
_GOES_ON = frozenset({b"P", b"B", b"D", b"E", b"C"})


class Cut(Enum):
    """Which connection is lost, and when."""

    IDLE = "between two requests"
    CLAIM_SENT = "before the claim is there"
    CLAIM_DONE = "after the claim"
    WRITE_SENT = "before the handler's write is there"
    WRITE_DONE = "after the handler's write"
    COMMIT_SENT = "before COMMIT is there"
    COMMIT_DONE = "after COMMIT, before its tag"
    COMMIT_LATE = "at COMMIT, which lands late"


# tocsin.guard settles and commits in one go, tocsin-actix in two.
SETTLES, COMMITS = b"WITH settled", b"COMMIT"


class Relay:
    """Listens on a port that the kernel chose.

    Args:
        port: of the server.
        commit: the words of the statement by which a request is committed: SETTLES or COMMITS.

    Attributes:
        done: set when the cut has been made, and what was held has been let go.
        cut_at: when it was, by the monotonic clock.
    """

    def __init__(self, port: int, commit: bytes = SETTLES) -> None:
        self._server_port = port
        self._kinds = {b"INSERT INTO tocsin_claims": "CLAIM", b"INSERT INTO orders": "WRITE", commit: "COMMIT"}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self.done = Event()
        self.cut_at = 0.0
        self._cut: Cut | None = None
        self._left = 0
        self._lock = Lock()
        self._let_go = Event()
        self._claims_to_come = 0
        self._is_idle_cut = False
        self._threads: list[Thread] = []
        self._open: dict[socket.socket, None] = {}

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        shut(self._listener)
        self._threads[0].join()
        self._sever()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def arm(self, cut: Cut, count: int) -> None:
        """Cut at the `count`-th message of the kind; those that are idle at once.

        Args:
            cut: where.
            count: 1 or more. A COMMIT that is late lands after so many other claims, and as many follow idle ones.
        """
        self.done.clear()
        self._let_go.clear()
        with self._lock:
            self._cut, self._left = cut, count
            self._claims_to_come = count
            self._is_idle_cut = cut is Cut.IDLE
            if self._is_idle_cut:
                self._cut, self.cut_at = None, monotonic()
        if self._is_idle_cut:
            self._sever()

    def _sever(self) -> None:
        for side in list(self._open):
            shut(side)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for side in (client, server):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._open[side] = None
                silenced = Event()
                there = Thread(target=self._to_server, args=(client, server, silenced), daemon=True)
                self._start(self._both, there, client, server, silenced)

    def _both(self, there: Thread, client: socket.socket, server: socket.socket, silenced: Event) -> None:
        there.start()
        with suppress(OSError):
            # What comes after the cut, nobody hears of; that it came shows that the server is done.
            while (data := server.recv(65536)) and not silenced.is_set():
                client.sendall(data)
        shut(client)
        there.join()
        for side in (client, server):
            self._open.pop(side, None)
            side.close()

    def _to_server(self, client: socket.socket, server: socket.socket, silenced: Event) -> None:
        names: dict[bytes, str] = {}
        with suppress(OSError, EOFError):
            server.sendall(read_message(client, kinds=0))
            while True:
                messages = [read_message(client, kinds=1)]
                while messages[-1][:1] in _GOES_ON:
                    messages.append(read_message(client, kinds=1))
                kind = self._kind(messages, names)
                self._pass_on(kind, b"".join(messages), client, server, silenced)
        with suppress(OSError):
            # Not the other half: what was sent last is still to be done.
            server.shutdown(socket.SHUT_WR)

    def _kind(self, messages: list[bytes], names: dict[bytes, str]) -> str:
        """What they carry out, or "". A prepared statement goes by the name that its text once came under."""
        kind = ""
        for message in messages:
            match message[:1]:
                case b"Q":
                    # In full, or EXECUTE and the name.
                    executed = (each for name, each in names.items() if name and each and name in message)
                    kind = self._kind_of(message[5:]) or next(executed, kind)
                case b"P":
                    name, text, _ = message[5:].split(b"\0", 2)
                    names[name] = self._kind_of(text)
                case b"B":
                    _, name, _ = message[5:].split(b"\0", 2)
                    kind = names.get(name) or kind
        return kind

    def _kind_of(self, text: bytes) -> str:
        return next((kind for words, kind in self._kinds.items() if words in text), "")

    def _pass_on(self, kind: str, said: bytes, client: socket.socket, server: socket.socket, silenced: Event) -> None:
        cut = self._due(kind)
        if cut is None:
            server.sendall(said)
            return
        self.cut_at = monotonic()
        if cut.name.endswith("SENT"):
            shut(client)
            self.done.set()
            raise EOFError
        silenced.set()
        if cut is Cut.COMMIT_LATE:
            shut(client)
            self._let_go.wait(10)
        server.sendall(said)
        self.done.set()

    def _due(self, kind: str) -> Cut | None:
        """The cut that is to be made now."""
        with self._lock:
            cut = self._cut
            if cut is None:
                self._count_claim(kind)
                return None
            if not kind or not cut.name.startswith(kind):
                return None
            self._left -= 1
            if self._left:
                return None
            self._cut = None
            return cut

    def _count_claim(self, kind: str) -> None:
        """After a cut: whether enough claims have followed it."""
        if kind != "CLAIM" or self.done.is_set():
            return
        self._claims_to_come -= 1
        if self._claims_to_come == 0:
            if self._is_idle_cut:
                self.done.set()
            self._let_go.set()


def read_message(client: socket.socket, *, kinds: int) -> bytes:
    """One message of the frontend protocol, `kinds` octets (0 or 1) of its kind before its length. Raises EOFError."""
    head = _exactly(client, kinds + 4)
    return head + _exactly(client, int.from_bytes(head[kinds:]) - 4)


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def shut(side: socket.socket) -> None:
    """End both directions of a connection, or a listener, whoever waits for it."""
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
