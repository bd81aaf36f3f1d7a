"""A TCP relay in front of Redis that loses the server's answer to a command: the command has been done."""

import socket
from contextlib import suppress
from threading import Event, Thread
from typing import Self

from bench.crashing.relay import shut


class Relay:
    """Listens on a port that the kernel chose.

    Attributes:
        lose: the answer to a command with one of these words in it is lost, so many times more.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.lose: dict[bytes, int] = {}
        self._threads: list[Thread] = []
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        shut(self._listener)
        self._threads[0].join()
        for side in self._sockets:
            shut(side)
        for thread in self._threads:
            thread.join()
        for side in [self._listener, *self._sockets]:
            side.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                silenced = Event()
                self._start(self._to_server, client, server, silenced)
                self._start(self._to_client, server, client, silenced)

    def _to_server(self, client: socket.socket, server: socket.socket, silenced: Event) -> None:
        with suppress(OSError):
            # A client of redis-py writes each command of these tests at once, and waits for its answer.
            while data := client.recv(1 << 20):
                for word, times in self.lose.items():
                    if word in data and times:
                        self.lose[word] = times - 1
                        silenced.set()
                server.sendall(data)
        shut(server)

    def _to_client(self, server: socket.socket, client: socket.socket, silenced: Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 20):
                if silenced.is_set():
                    break
                client.sendall(data)
        shut(client)
