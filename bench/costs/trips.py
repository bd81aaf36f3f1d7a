"""Round trips between a service and its database: a relay that counts how often the service speaks and has to wait."""

import socket
from contextlib import suppress
from threading import Thread


class Trips:
    """Stands before servers on 127.0.0.1.

    Attributes:
        count: how often a client began to speak, after it had heard something or at first.
    """

    def __init__(self) -> None:
        self.count = 0
        self._listeners: list[socket.socket] = []

    def before(self, port: int) -> int:
        """The port that stands for the server's."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listeners.append(listener)
        Thread(target=self._accept, args=(listener, port), daemon=True).start()
        own: int = listener.getsockname()[1]
        return own

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _accept(self, listener: socket.socket, port: int) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # Whether the server has said something since the client last spoke.
                heard = [True]
                for source, target in ((client, server), (server, client)):
                    given, answers = (source, target, heard), {"answers": source is server}
                    Thread(target=self._carry, args=given, kwargs=answers, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, heard: list[bool], *, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if answers:
                    heard[0] = True
                elif heard[0]:
                    heard[0] = False
                    self.count += 1
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
