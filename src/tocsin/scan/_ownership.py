"""Proof that whoever owns a host agrees to its being scanned: a file on it, or a TXT record of its name. Edge: sockets.

Rule: every host that a scan would reach shows the token first, this machine's too, and nothing else is sent before.
"""

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

from tocsin.scan._errors import RailError
from tocsin.wire import Address, DeliveryError, exchange, request_bytes

# Beside the other well-known places of a host (RFC 8615).
PLACE = "/.well-known/tocsin-ownership"
# Underscored, as names are that belong to no host (RFC 8552).
LABEL: Final = "_tocsin-ownership"
_LEAST_CHARACTERS = 16
_ANSWERED_WITHIN_S = 5.0


def prove_ownership(addresses: Mapping[str, Address], token: str) -> None:
    """Ask every host for the token, and if it does not show it, the name servers of its name. Raises RailError.

    Args:
        addresses: of every origin of the plan.
        token: what a line of the file, or a TXT record, has to be: at least 16 printable characters of ASCII.
    """
    if len(token) < _LEAST_CHARACTERS or not (token.isascii() and token.isprintable()):
        raise RailError(f"--ownership-proof: wanted a token of at least {_LEAST_CHARACTERS} printable characters")
    for address in {address.authority: address for address in addresses.values()}.values():
        no_file = _no_file(address, token)
        no_record = _no_record(address.host, token) if no_file else ""
        if no_file and no_record:
            raise RailError(f"{address.authority} does not prove its ownership: {no_file}{no_record}")


def _no_file(address: Address, token: str) -> str:
    """Why the host does not show the token itself, or ""."""
    request = request_bytes("GET", PLACE, (("Host", address.authority),), b"")
    try:
        response = exchange(request, address, timeout_s=_ANSWERED_WITHIN_S)
    except DeliveryError as error:
        return str(error)
    if response.status == 200 and _holds(response.body.splitlines(), token):  # noqa: PLR2004  RFC 9110 section 15.3.1
        return ""
    return f"wanted the token as a line of {PLACE}, answered 200; got {response.status}"


def _no_record(host: str, token: str) -> str:
    """Why no TXT record of the host's name shows it, as the end of a sentence, or ""."""
    if not _has_a_name(host):
        return f"; and {host} has no name of its own that a TXT record could belong to"
    name = f"{LABEL}.{host}"
    try:
        import dns.exception  # noqa: PLC0415  the dns extra is needed only here
    except ModuleNotFoundError:
        return f" (a TXT record of {name} would do as well, and needs: pip install 'tocsin[dns]')"
    try:
        records = _txt_records(f"{name.rstrip('.')}.")
    except dns.exception.DNSException as error:
        # By its kind alone: the error's own text can repeat what a server sent.
        return f"; and no TXT record of {name} was found ({type(error).__name__})"
    return "" if _holds(records, token) else f"; and no TXT record of {name} is the token"


def _txt_records(name: str) -> list[bytes]:
    """All TXT records of a name, each with its strings joined; asked of the name servers that the system asks.

    Raises:
        DNSException: there are none, or nobody says so in time.
    """
    import dns.resolver  # noqa: PLC0415  as above

    found = dns.resolver.Resolver().resolve(name, "TXT", search=False, lifetime=_ANSWERED_WITHIN_S)
    return [b"".join(record.strings) for record in found]


def _has_a_name(host: str) -> bool:
    """Whether somebody's name servers can say anything about it: no address, and not this machine's own name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.rstrip(".") != "localhost"
    return False


def _holds(lines: Iterable[bytes], token: str) -> bool:
    return any(hmac.compare_digest(line.strip(), token.encode()) for line in lines)
