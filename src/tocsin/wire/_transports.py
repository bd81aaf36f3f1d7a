"""Which transport serves which kind of URL, and which protocol that is not over TCP. One more is a line and a file."""

from collections.abc import Mapping

from tocsin.wire._address import Address
from tocsin.wire._sockets import TcpTransport
from tocsin.wire._tls import TlsTransport
from tocsin.wire._transport import Opener, Transport
from tocsin.wire._udp import UdpTransport

TRANSPORTS: Mapping[str, Opener] = {"http": TcpTransport, "https": TlsTransport, "h3": UdpTransport}


def open_transport(address: Address) -> Transport:
    """Begin to open a connection.

    Raises:
        OSError: this machine has no socket left.
        RequestError: the address names a file of authorities that cannot be read.
    """
    return TRANSPORTS["h3" if address.protocol == "h3" else address.url_scheme](address)
