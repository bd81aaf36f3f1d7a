"""Proof that whoever owns a host has agreed to its being scanned. Edge: sockets.

Rule: every host that a scan would reach shows the token first, this machine's too, and nothing else is sent before.
"""

import hmac
from collections.abc import Mapping

from tocsin.scan._errors import RailError
from tocsin.wire import Address, DeliveryError, exchange, request_bytes

# Beside the other well-known places of a host (RFC 8615).
PLACE = "/.well-known/tocsin-ownership"
_LEAST_CHARACTERS = 16
_ANSWERED_WITHIN_S = 5.0


def prove_ownership(addresses: Mapping[str, Address], token: str) -> None:
    """Ask every host for the token. Raises RailError if one does not show it.

    Args:
        addresses: of every origin of the plan.
        token: what a line of the file has to be, at least 16 printable characters of ASCII.
    """
    if len(token) < _LEAST_CHARACTERS or not (token.isascii() and token.isprintable()):
        raise RailError(f"--ownership-proof: wanted a token of at least {_LEAST_CHARACTERS} printable characters")
    for address in {address.authority: address for address in addresses.values()}.values():
        request = request_bytes("GET", PLACE, (("Host", address.authority),), b"")
        try:
            response = exchange(request, address, timeout_s=_ANSWERED_WITHIN_S)
        except DeliveryError as error:
            raise RailError(f"{address.authority} does not prove its ownership: {error}") from None
        lines = (line.strip() for line in response.body.splitlines())
        if response.status != 200 or not any(hmac.compare_digest(line, token.encode()) for line in lines):  # noqa: PLR2004  RFC 9110 section 15.3.1
            raise RailError(
                f"{address.authority} does not prove its ownership: wanted the token as a line of {PLACE}, answered "
                f"200; got {response.status}"
            )
