"""One request, one answer, on a connection of their own."""

import time

from tocsin.wire._address import Address
from tocsin.wire._choice import chosen
from tocsin.wire._errors import DeliveryError, Failure, RequestError, said
from tocsin.wire._h1 import Split
from tocsin.wire._h1_line import H1Line
from tocsin.wire._h2 import parts_of
from tocsin.wire._h2_line import H2Line
from tocsin.wire._line import Line
from tocsin.wire._lines import Lines, opened
from tocsin.wire._member import Member
from tocsin.wire._response import Response


def exchange(request: bytes, address: Address, *, timeout_s: float) -> Response:
    """Send a request on a new connection and return its final answer. No redirect is followed.

    Args:
        request: its bytes, as `request_bytes` builds them, whatever the protocol.
        address: where to.
        timeout_s: for everything together, from connecting to the last byte of the answer.

    Raises:
        RequestError: there is nothing to send, or no time to send it in, or HTTP/2 has no such request.
        DeliveryError: there is no answer; `kind` says why, and `request_sent` whether it may have taken effect.
    """
    if not request or timeout_s <= 0:
        raise RequestError(f"cannot send {len(request)} bytes within {timeout_s} s, wanted more than 0 of both")
    deadline = time.monotonic() + timeout_s
    address = chosen(address, timeout_s=timeout_s)
    with opened(address) as lines:
        member = Member(0)
        line = _sent(lines, member, request, address, deadline)
        if member.response is None:
            raise _no_answer(line, member, address, timeout_s)
        return member.response


def _sent(lines: Lines, member: Member, request: bytes, address: Address, deadline: float) -> Line:
    line: Line
    if address.protocol == "http/1.1":
        line = lines.begin(lambda transport: H1Line(transport, member, Split(request, b"")))
        lines.connect(deadline)
    else:
        parts = parts_of(request, address.url_scheme)
        line = http_2 = lines.begin(lambda transport: H2Line(transport, [member]))
        lines.connect(deadline)
        if not member.finished:
            http_2.send_all(parts)
    lines.collect(deadline)
    return line


def _no_answer(line: Line, member: Member, address: Address, timeout_s: float) -> DeliveryError:
    kind = member.failure or Failure.TIMED_OUT
    if kind is Failure.TIMED_OUT:
        waited_for = "complete answer" if line.opened else "connection"
        reason = f"no {waited_for} within {timeout_s:g} s"
    else:
        reason = line.detail or said(kind)
    # A refused stream is one that the server promises not to have looked at (RFC 9113 section 8.7).
    sent = line.opened and line.all_sent and kind is not Failure.STREAM_REFUSED
    return DeliveryError(str(address), reason, kind, request_sent=sent)
