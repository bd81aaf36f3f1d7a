"""Delivers a burst: connect, park, open the gate, collect, prove.

Rule: a burst that was not delivered as planned is void, with the reason; it is never passed off as a delivered one.
"""

import random
import time
from collections.abc import Sequence

from tocsin.history import History, Operation
from tocsin.wire._address import Address
from tocsin.wire._burst import Burst, Delivery, Proof
from tocsin.wire._errors import DeliveryError, Failure, said
from tocsin.wire._gate import Gate, Opening, Release
from tocsin.wire._h1 import last_byte
from tocsin.wire._member import Member
from tocsin.wire._members import Members, opened
from tocsin.wire._proof import Sample, parked_fault, release_fault
from tocsin.wire._void import connection_fault, early_fault, gate_fault, prefix_fault, sentence


def deliver(burst: Burst, address: Address, *, rng: random.Random) -> Delivery:
    """Send a burst by HTTP/1.1 last-byte sync, so that its requests land together.

    Every request gets a new connection and is sent but for its last byte; after `burst.hold_s`, and once the peer's
    kernel has acknowledged all of that, one loop sends the last bytes.

    Args:
        burst: what to send.
        address: where to.
        rng: shuffles the order of release, since the first to leave is always a little early.

    Returns:
        What became of it. Whatever the peer does is told there, and leaves `Delivery.void` or `Delivery.failures`.

    Raises:
        RequestError: a request cannot be held back at its last byte; nothing was sent.
        DeliveryError: not a single connection could be opened, or the address is not one that can be served.
    """
    splits = [last_byte(request) for request in burst.requests]
    prefixes = [split.prefix for split in splits]
    with opened(address, zip(burst.requests, prefixes, strict=True)) as members:
        order = list(range(len(splits)))
        rng.shuffle(order)
        void = _connect(members, burst, address) or _send_prefixes(members, burst)
        if void:
            return _kept_shut(members, void)
        gate = Gate([_release(members.all[place], splits[place].withheld) for place in order])
        before = _hold(members, burst)
        void = _early(members, burst) or sentence(burst.labels, [parked_fault(sample) for sample in before])
        if void:
            return _kept_shut(members, void)
        opening = gate.open()
        members.collect(time.monotonic() + burst.timeout_s)
        return _delivered(members, burst, order, opening, (before, members.samples()))


def _connect(members: Members, burst: Burst, address: Address) -> str:
    members.connect(time.monotonic() + burst.timeout_s)
    failures = [member.failure for member in members.all]
    first = failures[0]
    if first and all(failures):
        reason = f"no connection within {burst.timeout_s:g} s" if first is Failure.TIMED_OUT else said(first)
        raise DeliveryError(str(address), reason, first)
    return sentence(burst.labels, [connection_fault(failure) for failure in failures])


def _send_prefixes(members: Members, burst: Burst) -> str:
    members.send(time.monotonic() + burst.timeout_s)
    return _early(members, burst) or sentence(
        burst.labels, [prefix_fault(len(member.unsent), burst.timeout_s) for member in members.all]
    )


def _release(member: Member, withheld: bytes) -> Release:
    return member.transport.release, member.transport.seal(withheld)


def _hold(members: Members, burst: Burst) -> list[Sample | None]:
    """Give the server time to read, and to answer early if it does; the counters as they are before the gate."""
    members.receive(time.monotonic() + burst.hold_s)
    samples = members.settle()
    members.receive(time.monotonic())  # a last look, as close to the gate as can be
    return samples


def _early(members: Members, burst: Burst) -> str:
    return sentence(burst.labels, [early_fault(member.response, member.failure) for member in members.all])


def _kept_shut(members: Members, void: str) -> Delivery:
    """No request is complete, so there is no operation to tell of."""
    return Delivery(
        history=History(()),
        responses=tuple(member.response for member in members.all),
        void=void,
        proof="unverified",
        send_skew_us=0,
        failures=tuple(member.failure for member in members.all),
    )


def _delivered(
    members: Members,
    burst: Burst,
    order: Sequence[int],
    opening: Opening,
    samples: tuple[Sequence[Sample | None], Sequence[Sample | None]],
) -> Delivery:
    faults = [""] * len(order)
    for place, whole in zip(order, opening.whole, strict=True):
        faults[place] = gate_fault(whole=whole)
    proof: Proof = "tcp_info"
    for place, (before, after) in enumerate(zip(*samples, strict=True)):
        if before is None or after is None:
            proof = "unverified"
        else:
            faults[place] = faults[place] or release_fault(before, after)
    return Delivery(
        history=_history(members, burst, order, opening),
        responses=tuple(member.response for member in members.all),
        void=sentence(burst.labels, faults),
        proof=proof,
        send_skew_us=opening.skew_us,
        failures=tuple(member.failure for member in members.all),
        gate_opened_ns=opening.sent_ns[0],
    )


def _history(members: Members, burst: Burst, order: Sequence[int], opening: Opening) -> History:
    releases = zip(order, opening.sent_ns, strict=True)
    return History(
        tuple(
            _operation(burst.labels[place], members.all[place], sent_ns, opening.sent_ns[0])
            for place, sent_ns in releases
        )
    )


def _operation(label: str, member: Member, sent_ns: int, gate_ns: int) -> Operation:
    """One member as its caller saw it; rounded outwards, so that no interval is shorter than it was."""
    answered_ns = member.answered_ns
    return Operation(
        label=label,
        called_at_us=(sent_ns - gate_ns) // 1000,
        # Kernel stamps follow the wall clock, and a wall clock can be set; no answer precedes its request.
        returned_at_us=None if answered_ns is None else -((gate_ns - max(answered_ns, sent_ns)) // 1000),
        status=member.response.status if member.response else None,
    )
