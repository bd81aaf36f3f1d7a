"""A server for tests of whatever delivers requests: real sockets on loopback, a script per connection, a record of all.

Rule: it never sleeps and never guesses. What it does depends only on what has arrived, and a test that has to wait for
something waits for the record to say so.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Self, TypeAlias

import h11

from tocsin.wire._address import Address
from tocsin.wire._sockets import ABORT

_RECEIVE_BYTES: Final = 64 * 1024
# Only a test that is about to fail waits this long.
_PATIENCE_S: Final = 20.0

_Ended: TypeAlias = Literal["", "by_script", "closed", "reset"]


@dataclass(frozen=True, slots=True)
class Script:
    """What the peer does on one connection.

    Args:
        when: it replies once the connection is "opened", once a first byte of the request has "begun" it, or once the
            request is "complete".
        reply: the raw bytes that it sends then.
        then: what it does afterwards: "close", "reset", or "keep" the connection until the client ends it.
        piece_bytes: how many bytes it sends at a time.
        reads: False for a peer that accepts a connection and never reads from it.
    """

    when: Literal["opened", "begun", "complete"] = "complete"
    reply: bytes = b""
    then: Literal["close", "reset", "keep"] = "close"
    piece_bytes: int = _RECEIVE_BYTES
    reads: bool = True


def answer(status: int = 200, body: bytes = b"ok", headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """The raw bytes of an answer with a Content-Length, for `Script.reply`."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}", *(f"{name}: {v}" for name, v in headers)]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


@dataclass(frozen=True, slots=True)
class Recording:
    """What came in on one connection, so far.

    Args:
        received: every byte. Not in `repr`.
        arrivals: for each piece, the instant on `time.monotonic_ns()` and how many bytes there were with it.
        completed_ns: when the byte that completed the request arrived; None if it has not.
        ended: "" while the connection is up, else how it ended: by the script, or by the client closing or resetting.
    """

    received: bytes = field(repr=False)
    arrivals: tuple[tuple[int, int], ...]
    completed_ns: int | None
    ended: _Ended


class RecordingPeer:
    """An HTTP/1.1 server in a thread, on a port that the kernel chooses. A context manager.

    Args:
        scripts: for the connections in the order in which they are accepted; the last one serves all later ones.
            Without any, every complete request is answered 200.
        together: no request is answered before this many are complete: a client that waits for one answer before it
            completes the next request waits for ever.
    """

    def __init__(self, *scripts: Script, together: int = 1) -> None:
        self._scripts = scripts or (Script(reply=answer()),)
        self._together = together
        self._connections: list[_Connection] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setblocking(False)
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="recording-peer", daemon=True)

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self._listener.getsockname()[:2]
        return Address("http", host, port, host)

    def recordings(self) -> tuple[Recording, ...]:
        """What has come in so far, in the order in which the connections were accepted."""
        with self._changed:
            return tuple(connection.recording() for connection in self._connections)

    def wait_until(self, holds: Callable[[tuple[Recording, ...]], bool]) -> tuple[Recording, ...]:
        """Wait for a condition on the recordings and return them.

        Raises:
            TimeoutError: it did not come to hold within 20 s.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: holds(self.recordings()), timeout=_PATIENCE_S):
                raise TimeoutError(f"waited {_PATIENCE_S:g} s in vain; recorded {self.recordings()}")
            return self.recordings()

    def wait_ended(self, n: int = 1) -> tuple[Recording, ...]:
        """Wait until that many connections have come and all of them have ended; see `wait_until`."""
        return self.wait_until(lambda seen: len(seen) >= n and all(one.ended for one in seen))

    def __enter__(self) -> Self:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._wake.send(b"!")
        self._thread.join()
        for connection in self._connections:
            connection.socket.close()
        self._selector.close()
        for end in (self._listener, self._wake, self._woken):
            end.close()

    def _serve(self) -> None:
        while not self._stopping:
            ready = self._selector.select()
            with self._changed:
                for key, mask in ready:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.data, _Connection):
                        key.data.serve(mask)
                self._reply()
                self._changed.notify_all()

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        script = self._scripts[min(len(self._connections), len(self._scripts) - 1)]
        self._connections.append(_Connection(accepted, script))

    def _reply(self) -> None:
        complete = sum(connection.completed_ns is not None for connection in self._connections)
        for connection in self._connections:
            connection.reply_if_due(together=complete >= self._together)
            self._watch(connection)

    def _watch(self, connection: "_Connection") -> None:
        interest = connection.interest()
        if connection.watched and not interest:
            self._selector.unregister(connection.socket)
        elif interest and not connection.watched:
            self._selector.register(connection.socket, interest, connection)
        elif interest != connection.watched:
            self._selector.modify(connection.socket, interest, connection)
        connection.watched = interest
        if connection.ended:
            connection.socket.close()


class _Connection:
    """One accepted connection and its script."""

    def __init__(self, accepted: socket.socket, script: Script) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = accepted
        self.watched = 0
        self.completed_ns: int | None = None
        self.ended: _Ended = ""
        self._script = script
        self._request = h11.Connection(h11.SERVER)
        self._received = bytearray()
        self._arrivals: list[tuple[int, int]] = []
        self._outgoing: memoryview | None = None

    def recording(self) -> Recording:
        return Recording(bytes(self._received), tuple(self._arrivals), self.completed_ns, self.ended)

    def interest(self) -> int:
        if self.ended:
            return 0
        writes = selectors.EVENT_WRITE if self._outgoing else 0
        return writes | (selectors.EVENT_READ if self._script.reads else 0)

    def serve(self, mask: int) -> None:
        try:
            if mask & selectors.EVENT_READ:
                self._read()
            if mask & selectors.EVENT_WRITE and not self.ended:
                self._write()
        except ConnectionError:
            self.ended = "reset"

    def reply_if_due(self, *, together: bool) -> None:
        due = {"opened": True, "begun": bool(self._received), "complete": self.completed_ns is not None and together}
        if self._outgoing is None and not self.ended and due[self._script.when]:
            self._outgoing = memoryview(self._script.reply)
            if not self._outgoing:
                self._finish()

    def _read(self) -> None:
        data = self.socket.recv(_RECEIVE_BYTES)
        now_ns = time.monotonic_ns()
        if not data:
            self.ended = "closed"
            return
        self._received += data
        self._arrivals.append((now_ns, len(self._received)))
        if self.completed_ns is None and self._is_complete_with(data):
            self.completed_ns = now_ns

    def _is_complete_with(self, data: bytes) -> bool:
        if self._request.their_state is h11.ERROR:
            return False
        self._request.receive_data(data)
        try:
            while (event := self._request.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.EndOfMessage):
                    return True
        except h11.RemoteProtocolError:
            return False
        return False

    def _write(self) -> None:
        assert self._outgoing is not None  # nothing else asks to be woken for writing
        self._outgoing = self._outgoing[self.socket.send(self._outgoing[: self._script.piece_bytes]) :]
        if not self._outgoing:
            self._finish()

    def _finish(self) -> None:
        if self._script.then == "keep":
            return
        if self._script.then == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.ended = "by_script"
