"""Which transport serves which kind of URL. One more is one line here and one file."""

from collections.abc import Mapping

from tocsin.wire._address import Address
from tocsin.wire._errors import DeliveryError, Failure
from tocsin.wire._sockets import TcpTransport
from tocsin.wire._transport import Opener, Transport

TRANSPORTS: Mapping[str, Opener] = {"http": TcpTransport}


def open_transport(address: Address) -> Transport:
    """Begin to open a connection.

    Raises:
        DeliveryError: of kind UNSUPPORTED, no transport serves the address.
        OSError: this machine has no socket left.
    """
    opener = TRANSPORTS.get(address.url_scheme)
    if opener is None:
        raise DeliveryError(
            str(address),
            f"{address.url_scheme} is not yet supported for bursts, nor for the requests around them; wanted http",
            Failure.UNSUPPORTED,
        )
    return opener(address)
