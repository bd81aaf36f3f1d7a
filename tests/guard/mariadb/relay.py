"""PostgreSQL's relay, for what clients of MariaDB send: three octets of length, a number, the rest."""

import socket
from contextlib import suppress
from threading import Event

from bench.crashing.relay import shut
from tests.guard.postgres.relay import Cut
from tests.guard.postgres.relay import Relay as AnyRelay

__all__ = ["Cut", "Relay"]
_QUERY = b"\x03"


class Relay(AnyRelay):
    """See AnyRelay. `asked` counts the statements that were sent, several of them in one message as one."""

    def _to_server(self, client: socket.socket, server: socket.socket, silenced: Event, _lasts: int | None) -> None:
        with suppress(OSError, EOFError):
            while True:
                packet = _read_packet(client)
                said = packet[4:]
                self.asked += said[:1] == _QUERY and packet[3] == 0
                if _commits(said):
                    self._at_commit(client, server, packet, silenced)
                else:
                    server.sendall(packet)
        if not self._go.is_set():
            shut(server)


def _commits(said: bytes) -> bool:
    """The end of a guarded transaction: with the answer, or by itself."""
    return said == _QUERY + b"COMMIT" or (said.endswith(b"COMMIT") and b"UPDATE tocsin_claims" in said)


def _read_packet(client: socket.socket) -> bytes:
    head = _read(client, 4)
    return head + _read(client, int.from_bytes(head[:3], "little"))


def _read(client: socket.socket, size: int) -> bytes:
    octets = b""
    while len(octets) < size:
        more = client.recv(size - len(octets))
        if not more:
            raise EOFError
        octets += more
    return octets
