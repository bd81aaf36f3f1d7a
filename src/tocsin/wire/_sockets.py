"""Plain TCP. Edge: this is where bytes meet the kernel."""

import contextlib
import errno
import os
import socket
import struct
import sys
import time
from typing import Final

from tocsin.wire._address import Address
from tocsin.wire._proof import TCP_INFO_BYTES, Sample, parse_tcp_info
from tocsin.wire._transport import Arrival

_RECEIVE_BYTES: Final = 64 * 1024
# SO_TIMESTAMPNS of asm-generic/socket.h, which Python does not name: the kernel stamps each segment as it arrives.
SO_TIMESTAMPNS: Final = 35
TIMESPEC: Final = struct.Struct("@ll")
# SO_LINGER, on, for 0 seconds: close() then sends RST instead of FIN (POSIX; RFC 9293 section 3.6.1 calls it ABORT).
ABORT: Final = struct.pack("ii", 1, 0)


class TcpTransport:
    """One non-blocking TCP connection, begun when the object is made.

    Raises:
        OSError: no socket could be had. A refusal, even an instant one, is told by `is_open`.
    """

    def __init__(self, address: Address) -> None:
        family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            # Without it the last byte would wait for the acknowledgement of the prefix.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if sys.platform == "linux":
                self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            code = self._socket.connect_ex((address.ip, address.port))
        except BaseException:
            self._socket.close()
            raise
        self._refusal = 0 if code == errno.EINPROGRESS else code
        # The socket's own method: at the gate there is no frame of ours between the loop and the system call.
        self.release = self._socket.send
        self.awaits_peer = False
        self.pending = False
        self.alpn = ""

    def fileno(self) -> int:
        """See Transport."""
        return self._socket.fileno()

    def is_open(self) -> bool:
        """See Transport."""
        _raise_for(self._refusal or self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        try:
            peer = self._socket.getpeername()
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                return False
            raise
        if peer == self._socket.getsockname():
            # A port that nobody listens on can be drawn as our own, and then TCP connects a socket to itself.
            _raise_for(errno.ECONNREFUSED)
        return True

    def send(self, data: bytes | memoryview) -> int:
        """See Transport."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def seal(self, withheld: bytes) -> bytes:
        """See Transport."""
        return withheld

    def receive(self) -> Arrival | None:
        """See Transport. Where the kernel stamps nothing, the instant is that of this call.

        The stamp is that of the last segment read, which may be the one that only ends the connection: an answer can
        look a few microseconds later than it was, never earlier.
        """
        try:
            data, notes, _, _ = self._socket.recvmsg(_RECEIVE_BYTES, socket.CMSG_SPACE(TIMESPEC.size))
        except BlockingIOError:
            return None
        return Arrival(data, time.monotonic_ns() - age_ns(notes))

    def sample(self) -> Sample | None:
        """See Transport. Linux only: no other kernel counts data segments per connection where anyone may read them."""
        if sys.platform != "linux":
            return None
        return parse_tcp_info(self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES))

    def finish(self) -> None:
        """See Transport."""
        with contextlib.suppress(OSError):  # the peer may have ended it already
            self._socket.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool) -> None:
        """See Transport."""
        if reset:
            # macOS refuses options on a connection that the peer has ended, and then there is nothing to abort.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self._socket.close()


def age_ns(notes: list[tuple[int, int, bytes]]) -> int:
    """How long ago the kernel had what was just received; 0 where it does not say."""
    for level, kind, stamp in notes:
        if (level, kind, len(stamp)) == (socket.SOL_SOCKET, SO_TIMESTAMPNS, TIMESPEC.size):
            seconds, nanoseconds = TIMESPEC.unpack(stamp)
            age_ns: int = time.time_ns() - (seconds * 1_000_000_000 + nanoseconds)
            return max(age_ns, 0)  # the stamp is of the wall clock, which may have been set back
    return 0


def _raise_for(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))
