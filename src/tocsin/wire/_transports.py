"""Which transport serves which kind of URL. One more is one line here and one file."""

from collections.abc import Mapping

from tocsin.wire._address import Address
from tocsin.wire._sockets import TcpTransport
from tocsin.wire._tls import TlsTransport
from tocsin.wire._transport import Opener, Transport

TRANSPORTS: Mapping[str, Opener] = {"http": TcpTransport, "https": TlsTransport}


def open_transport(address: Address) -> Transport:
    """Begin to open a connection.

    Raises:
        OSError: this machine has no socket left.
        RequestError: the address names a file of authorities that cannot be read.
    """
    return TRANSPORTS[address.url_scheme](address)
