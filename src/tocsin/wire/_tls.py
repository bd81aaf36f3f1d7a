"""TLS over TCP. Edge.

Rule: encrypting and sending are two steps, because what is withheld is encrypted before the gate opens. Certificates
are verified unless the user has said otherwise.
"""

import contextlib
import ssl
from functools import cache
from typing import Final

from tocsin.wire._address import Address, Protocol, Trust
from tocsin.wire._errors import Failure, LineError, RequestError, untrusted
from tocsin.wire._h2 import RECORD_BYTES
from tocsin.wire._proof import Sample
from tocsin.wire._sockets import TcpTransport
from tocsin.wire._transport import Arrival

_OFFERED: Final[dict[Protocol, tuple[str, ...]]] = {
    "auto": ("h2", "http/1.1"),
    "http/1.1": ("http/1.1",),
    "h2": ("h2",),
}


class TlsTransport:
    """One non-blocking TLS connection, begun when the object is made.

    Raises:
        OSError: no socket could be had.
        RequestError: the file of authorities cannot be read.
    """

    def __init__(self, address: Address) -> None:
        context = tls_context(address.trust, _OFFERED[address.protocol])
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # For a name this is SNI and what the certificate must say; for an IP address the latter only (RFC 6066).
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=address.host.rstrip("."))
        self._wanted = address.protocol
        self._tcp = TcpTransport(address)
        self._connected = False
        self._shaken = False
        self._encrypted = b""
        self._ended = False
        self.release = self._tcp.release
        self.alpn = ""

    @property
    def awaits_peer(self) -> bool:
        """See Transport: in the handshake, once our part of it has left."""
        return self._connected and not self.pending

    @property
    def pending(self) -> bool:
        """See Transport."""
        return bool(self._encrypted or self._outgoing.pending)

    def fileno(self) -> int:
        """See Transport."""
        return self._tcp.fileno()

    def is_open(self) -> bool:
        """See Transport. Open is what has been verified."""
        if not self._connected:
            self._connected = self._tcp.is_open()
            if not self._connected:
                return False
        if not self._shaken:
            self._fill()
            self._shaken = self._handshake()
        self._flush()
        return self._shaken and not self.pending

    def send(self, data: bytes | memoryview) -> int:
        """See Transport. A record at a time, so that no more is encrypted than the kernel is about to take."""
        self._flush()
        if self.pending or not data:
            return 0
        taken: int = self._tls.write(data[:RECORD_BYTES])
        self._flush()
        return taken

    def seal(self, withheld: bytes) -> bytes:
        """See Transport. What fits into a record becomes exactly one."""
        assert not self.pending, "what was sent before has to leave before"
        self._tls.write(withheld)
        return self._outgoing.read()

    def receive(self) -> Arrival | None:
        """See Transport.

        An end without TLS's own (close_notify, RFC 8446 section 6.1) is taken for an end, as by most clients: whether
        the answer is whole, its framing says.
        """
        arrival = self._tcp.receive()
        if arrival is None:
            return None
        if arrival.data:
            self._incoming.write(arrival.data)
        else:
            self._ended = True
        plain = self._decrypted()
        return Arrival(plain, arrival.at_ns) if plain or self._ended else None

    def sample(self) -> Sample | None:
        """See Transport."""
        return self._tcp.sample()

    def finish(self) -> None:
        """See Transport."""
        with contextlib.suppress(OSError):
            self._say_goodbye()
        self._tcp.finish()

    def close(self, *, reset: bool) -> None:
        """See Transport."""
        if self._shaken and not reset:
            with contextlib.suppress(OSError):
                self._say_goodbye()
        self._tcp.close(reset=reset)

    def _say_goodbye(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()  # writes our close_notify, and then wants to read theirs
        self._flush()

    def _fill(self) -> None:
        arrival = self._tcp.receive()
        if arrival is not None:
            if not arrival.data:
                raise LineError(Failure.NOT_TLS)
            self._incoming.write(arrival.data)

    def _handshake(self) -> bool:
        """Whether it is done; it goes as far as what has arrived lets it."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLCertVerificationError as error:
            self._alert()
            raise LineError(Failure.UNTRUSTED, untrusted(error.verify_message)) from None
        except ssl.SSLError:
            self._alert()
            raise LineError(Failure.NOT_TLS) from None
        self.alpn = self._tls.selected_alpn_protocol() or ""
        if self._wanted == "h2" and self.alpn != "h2":
            raise LineError(Failure.UNSUPPORTED, "the server did not choose h2 by ALPN")
        return True

    def _alert(self) -> None:
        """Tell the server why, as it should be told; it may have gone."""
        with contextlib.suppress(OSError):
            self._flush()

    def _flush(self) -> None:
        while self.pending:
            self._encrypted = self._encrypted or self._outgoing.read()
            sent = self._tcp.send(self._encrypted)
            if not sent:
                return
            self._encrypted = self._encrypted[sent:]

    def _decrypted(self) -> bytes:
        pieces = []
        try:
            while piece := self._tls.read(RECORD_BYTES):
                pieces.append(piece)
            self._ended = True  # close_notify
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            if not pieces:
                raise LineError(Failure.CLOSED) from None
            self._ended = True
        return b"".join(pieces)


@cache
def tls_context(trust: Trust, offered: tuple[str, ...]) -> ssl.SSLContext:
    """How connections are secured: TLS 1.2 or later, certificates verified unless `trust` says otherwise.

    Raises:
        RequestError: the file of authorities cannot be read, or holds none.
    """
    try:
        context = ssl.create_default_context(cafile=trust.ca_file or None)
    except (OSError, ValueError) as error:
        reason = "no PEM certificate in it" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", error)
        raise RequestError(f"ca_file {trust.ca_file!r}: {reason}; wanted a PEM file of authorities") from None
    if trust.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(offered))
    return context
