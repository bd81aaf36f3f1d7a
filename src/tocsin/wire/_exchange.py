"""One request, one answer, on a connection of their own; or several, side by side."""

import time
from collections.abc import Sequence
from functools import partial

from tocsin.wire._address import Address
from tocsin.wire._choice import chosen
from tocsin.wire._errors import DeliveryError, Failure, RequestError, said
from tocsin.wire._h1 import Split
from tocsin.wire._h1_line import H1Line
from tocsin.wire._h2 import parts_of
from tocsin.wire._line import Line
from tocsin.wire._lines import Lines, opened
from tocsin.wire._member import Member
from tocsin.wire._response import Response
from tocsin.wire._shared_line import shared_lines


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
    [outcome] = exchanges([request], address, timeout_s=timeout_s)
    if isinstance(outcome, DeliveryError):
        raise outcome
    return outcome


def exchanges(requests: Sequence[bytes], address: Address, *, timeout_s: float) -> list[Response | DeliveryError]:
    """The same for several at a time, whose order means nothing: nothing is held back, and nothing proved.

    Returns:
        In the order of `requests`, the answer, or why there is none.

    Raises:
        RequestError: see `exchange`.
        DeliveryError: this machine has no socket left, or the server could not be asked for its protocol.
    """
    for request in requests:
        if not request or timeout_s <= 0:
            raise RequestError(f"cannot send {len(request)} bytes within {timeout_s} s, wanted more than 0 of both")
    deadline = time.monotonic() + timeout_s
    address = chosen(address, timeout_s=timeout_s)
    members = [Member(0) for _ in requests]
    with opened(address) as lines:
        sent = _sent(lines, members, requests, address, deadline)
        return [
            member.response or _no_answer(line, member, address, timeout_s)
            for line, member in zip(sent, members, strict=True)
        ]


def _sent(
    lines: Lines, members: Sequence[Member], requests: Sequence[bytes], address: Address, deadline: float
) -> Sequence[Line]:
    if address.protocol == "http/1.1":
        for member, request in zip(members, requests, strict=True):
            lines.begin(partial(H1Line, member=member, split=Split(request, b"")))
        lines.connect(deadline)
    else:
        parts = [parts_of(request, address.url_scheme) for request in requests]
        make = shared_lines(address)
        shared = [lines.begin(lambda transport, member=member: make(transport, [member])) for member in members]  # type: ignore[misc]
        lines.connect(deadline)
        for line, member, part in zip(shared, members, parts, strict=True):
            if not member.finished:
                line.send_all(part)
    lines.collect(deadline)
    return lines.all


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
