"""Which protocol is spoken, and why. Edge.

Rule: the server chooses, by ALPN (RFC 7301). Nobody is spoken to in a protocol that nobody chose. HTTP/3 is spoken
where it is asked for and nowhere else: over TCP no ALPN offers it, and where UDP is kept out, asking takes long.
"""

import time
from dataclasses import replace

from tocsin.wire._address import Address
from tocsin.wire._errors import DeliveryError, Failure, said
from tocsin.wire._h1 import Split
from tocsin.wire._h1_line import H1Line
from tocsin.wire._lines import opened
from tocsin.wire._member import Member
from tocsin.wire._shared_line import shared_lines


def chosen(address: Address, *, timeout_s: float) -> Address:
    """The address with the protocol that is spoken there in place of "auto". Asks by a connection of its own.

    Raises:
        DeliveryError: the server could not be asked.
        RequestError: the address names a file of authorities that cannot be read, or wants HTTP/3, for which aioquic is
            missing.
    """
    if address.protocol == "h3":
        shared_lines(address)  # raises where the extra is missing
    if address.protocol != "auto":
        return address if address.why else replace(address, why=f"{address.protocol} was asked for")
    if address.url_scheme == "http":
        return replace(address, protocol="http/1.1", why="http/1.1, because without TLS there is no ALPN to choose h2")
    alpn = _asked(address, timeout_s)
    if alpn == "h2":
        return replace(address, protocol="h2", why="h2, which the server chose by ALPN")
    how = "which the server chose by ALPN" if alpn else "because the server chose nothing by ALPN"
    return replace(address, protocol="http/1.1", why=f"http/1.1, {how}")


def _asked(address: Address, timeout_s: float) -> str:
    with opened(address) as lines:
        line = lines.begin(lambda transport: H1Line(transport, Member(0), Split(b"", b"")))
        lines.connect(time.monotonic() + timeout_s)
        (member,) = line.members
        if member.failure is Failure.TIMED_OUT:
            raise DeliveryError(str(address), f"no connection within {timeout_s:g} s", member.failure)
        if member.failure is not None:
            raise DeliveryError(str(address), line.detail or said(member.failure), member.failure)
        return line.transport.alpn
