"""One request, one answer, on a connection of their own."""

import time

from tocsin.wire._address import Address
from tocsin.wire._errors import DeliveryError, Failure, RequestError, said
from tocsin.wire._member import Member
from tocsin.wire._members import opened
from tocsin.wire._response import Response


def exchange(request: bytes, address: Address, *, timeout_s: float) -> Response:
    """Send a request on a new connection and return its final answer. No redirect is followed.

    Args:
        request: its bytes, as `request_bytes` builds them.
        address: where to.
        timeout_s: for everything together, from connecting to the last byte of the answer.

    Raises:
        RequestError: there is nothing to send, or no time to send it in.
        DeliveryError: there is no answer; `kind` says why, and `request_sent` whether it may have taken effect.
    """
    if not request or timeout_s <= 0:
        raise RequestError(f"cannot send {len(request)} bytes within {timeout_s} s, wanted more than 0 of both")
    deadline = time.monotonic() + timeout_s
    with opened(address, [(request, request)]) as members:
        (member,) = members.all
        members.connect(deadline)
        if member.opened:
            members.send(deadline)
            members.collect(deadline)
        if member.response is None:
            raise _no_answer(member, address, timeout_s)
        return member.response


def _no_answer(member: Member, address: Address, timeout_s: float) -> DeliveryError:
    kind = member.failure or Failure.TIMED_OUT
    if kind is Failure.TIMED_OUT:
        waited_for = "complete answer" if member.opened else "connection"
        reason = f"no {waited_for} within {timeout_s:g} s"
    else:
        reason = said(kind)
    return DeliveryError(str(address), reason, kind, request_sent=member.opened and not member.unsent)
