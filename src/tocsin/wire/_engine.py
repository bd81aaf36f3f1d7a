"""Delivers a burst: connect, park, open the gate, collect, prove.

Rule: a burst that was not delivered as planned is void, with the reason; it is never passed off as a delivered one.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tocsin.wire._account import Account, Release
from tocsin.wire._address import Address
from tocsin.wire._burst import Burst, Delivery
from tocsin.wire._carry import Carry, carried
from tocsin.wire._choice import chosen
from tocsin.wire._errors import DeliveryError, Failure, said
from tocsin.wire._gate import Gate
from tocsin.wire._lines import Lines, opened
from tocsin.wire._member import Member
from tocsin.wire._proof import Sample
from tocsin.wire._styles import checked_style

_RECORD_HEAD: Final = 5  # kind, version, length (RFC 8446 section 5.1)


def deliver(burst: Burst, address: Address, *, rng: random.Random, nodes: Sequence[Address] = ()) -> Delivery:
    """Send a burst so that its requests land together.

    HTTP/1.1 takes a new connection for every request, HTTP/2 and HTTP/3 one for all of them, or as few as the server's
    limit on streams allows. Everything that the style does not withhold is sent; after `burst.hold_s`, and once the
    peer's kernel has acknowledged all of that (on HTTP/2 the server itself, by answering a PING; on HTTP/3 its QUIC),
    the gate opens.

    Args:
        burst: what to send.
        address: where to; with protocol "auto", the server is asked first.
        rng: shuffles the order of release, since the first to leave is always a little early.
        nodes: other addresses of the same service, among which the connections take turns in place of `address`.

    Returns:
        What became of it. Whatever the peer does is told there, and leaves `Delivery.void` or `Delivery.failures`.

    Raises:
        RequestError: a request cannot be held back, or the style does not go with the protocol; no request was sent.
        DeliveryError: not a single connection could be opened.
    """
    address = chosen(address, timeout_s=burst.timeout_s)
    style = checked_style(burst.style, address)
    members = [Member(place) for place in range(len(burst.requests))]
    account = Account(burst, address, style, members, len(nodes))
    order = list(range(len(members)))
    rng.shuffle(order)
    carry = carried(burst, address, style, order[-1])
    with opened(address, nodes) as lines:
        void = _board(lines, carry, members, burst, address) or account.unconnected() or _park(lines, burst, account)
        if void:
            return account.kept_shut(lines.all, void)
        releases = _sealed(lines, burst, order)
        void = account.unsealed(lines.all)
        if style == "record":
            releases, void = _sent_ahead(lines, releases, burst)
        before = _hold(lines, burst)
        void = void or account.early(lines.all) or account.unacknowledged(lines.all, before)
        if void:
            return account.kept_shut(lines.all, void)
        gate = Gate(
            [(release.line.transport.release, release.octets) for release in releases],
            [release.after_us for release in releases],
            threads=style == "threads",
        )
        opening = gate.open()
        for line in lines.all:
            line.released()
        lines.collect(time.monotonic() + burst.timeout_s)
        return account.delivered(lines.all, releases, opening, before)


def _board(lines: Lines, carry: Carry, members: Sequence[Member], burst: Burst, address: Address) -> str:
    void = carry.board(lines, members, burst.timeout_s)
    first = members[0].failure
    if first and all(member.failure for member in members):
        reason = f"no connection within {burst.timeout_s:g} s" if first is Failure.TIMED_OUT else said(first)
        raise DeliveryError(str(address), lines.all[0].detail or reason, first)
    return void


def _park(lines: Lines, burst: Burst, account: Account) -> str:
    lines.park(time.monotonic() + burst.timeout_s)
    return account.unparked(lines.all)


def _sealed(lines: Lines, burst: Burst, order: Sequence[int]) -> list[Release]:
    """Everything that is written at the gate, in the order in which it is."""
    offsets_us = burst.offsets_us or (0,) * len(order)
    turn = {place: at for at, place in enumerate(order)}
    releases, wakes = [], []
    for line in lines.all:
        if line.wake:
            wakes.append(Release(line, line.seal_wake(), (), 0))
        places = [member.place for member in line.members]
        on_line = {place: at for at, place in enumerate(places)}
        groups = [
            tuple(sorted((place for place in places if offsets_us[place] == after_us), key=turn.__getitem__))
            for after_us in sorted({offsets_us[place] for place in places})
        ]
        pieces = line.seal([[on_line[place] for place in group] for group in groups])
        releases += [
            Release(line, octets, group, offsets_us[group[0]]) for octets, group in zip(pieces, groups, strict=True)
        ]
    return wakes + sorted(releases, key=lambda release: (release.after_us, turn[release.places[0]]))


def _sent_ahead(lines: Lines, releases: Sequence[Release], burst: Burst) -> tuple[list[Release], str]:
    """Send every record but for its last byte, without which nobody can read it; why that cannot be done, or ""."""
    for release in releases:
        if len(release.octets) != _RECORD_HEAD + int.from_bytes(release.octets[3:_RECORD_HEAD], "big"):
            return list(releases), "the requests on one connection make more than one TLS record"
        release.line.send_ahead(release.octets[:-1])
    lines.park(time.monotonic() + burst.timeout_s)
    return [replace(release, octets=release.octets[-1:]) for release in releases], ""


def _hold(lines: Lines, burst: Burst) -> list[Sample | None]:
    """Give the server time to read, and to answer early if it does; the counters as they are before the gate."""
    lines.receive(time.monotonic() + burst.hold_s)
    samples = lines.settle()
    lines.receive(time.monotonic())  # a last look, as close to the gate as can be
    return samples
