"""Plain UDP. Edge: this is where datagrams meet the kernel.

Rule: one socket speaks to one address, the one that was checked; what comes from elsewhere the kernel keeps away.
"""

import errno
import os
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final

from tocsin.wire._address import Address
from tocsin.wire._proof import Sample
from tocsin.wire._sockets import SO_TIMESTAMPNS, TIMESPEC, age_ns
from tocsin.wire._transport import Arrival

_DATAGRAM_BYTES: Final = 65_535


class UdpTransport:
    """One non-blocking UDP socket, connected when the object is made: UDP has no handshake of its own.

    Args:
        address: where datagrams go.

    Raises:
        OSError: no socket could be had. That there is no way to the address is told by `is_open`.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.awaits_peer = False
        self.pending = False
        self.alpn = ""
        self.released = 0  # how many datagrams the kernel has taken at the gate
        self._flights: dict[bytes, tuple[bytes, ...]] = {}
        self._socket = socket.socket(socket.AF_INET6 if ":" in address.ip else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if sys.platform == "linux":
                self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._refusal = self._socket.connect_ex((address.ip, address.port))
            if not self._refusal and self._socket.getpeername() == self._socket.getsockname():
                self._refusal = errno.ECONNREFUSED  # the port that nobody listens on was drawn as our own
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """See Transport."""
        return self._socket.fileno()

    def is_open(self) -> bool:
        """See Transport."""
        if self._refusal:
            raise OSError(self._refusal, os.strerror(self._refusal))
        return True

    def send(self, data: bytes | memoryview) -> int:
        """See Transport. All of it as one datagram, or nothing."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def seal(self, withheld: bytes) -> bytes:
        """See Transport. QUIC has encrypted it already; it is what `fly_together` gave."""
        return withheld

    def fly_together(self, datagrams: Sequence[bytes]) -> bytes:
        """The octets that stand for these datagrams; `release` sends them back to back."""
        octets = b"".join(datagrams)
        self._flights[octets] = tuple(datagrams)
        return octets

    def release(self, sealed: bytes, /) -> int:
        """See Transport. As many sends as there are datagrams, and nothing between them."""
        send, taken = self._socket.send, 0
        for datagram in self._flights[sealed]:
            taken += send(datagram)
            self.released += 1
        return taken

    def receive(self) -> Arrival | None:
        """See Transport. One datagram; UDP has no orderly end."""
        try:
            data, notes, _, _ = self._socket.recvmsg(_DATAGRAM_BYTES, socket.CMSG_SPACE(TIMESPEC.size))
        except BlockingIOError:
            return None
        return Arrival(data, time.monotonic_ns() - age_ns(notes))

    def sample(self) -> Sample | None:
        """See Transport. The kernel counts nothing of a UDP socket that says whether something arrived."""
        return None

    def finish(self) -> None:
        """See Transport. There is no half of UDP to end."""

    def close(self, *, reset: bool) -> None:  # noqa: ARG002  UDP ends in one way only; QUIC tells the server itself
        """See Transport."""
        self._socket.close()
