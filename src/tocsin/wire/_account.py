"""What became of a burst, told from its connections.

Rule: whatever keeps the requests from having landed together is a fault of a member, and any fault voids the burst.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tocsin.history import History, Operation
from tocsin.wire._address import Address
from tocsin.wire._burst import Burst, Delivery, Proof
from tocsin.wire._gate import Opening
from tocsin.wire._line import Line
from tocsin.wire._member import Member
from tocsin.wire._proof import Sample, parked_fault, release_fault
from tocsin.wire._styles import Style
from tocsin.wire._void import connection_fault, early_fault, gate_fault, refused_fault, sentence


@dataclass(frozen=True, slots=True)
class Release:
    """One write at the gate.

    Args:
        line: whose.
        octets: what is written.
        places: which members of the burst it completes, in this order; () for one that only wakes the server.
        after_us: how long after the gate opens.
    """

    line: Line
    octets: bytes
    places: tuple[int, ...]
    after_us: int


class Account:
    """All that is known of one burst.

    Args:
        burst: what was to be sent.
        address: where to, with the protocol that is spoken.
        style: how the members were held back.
        members: in the order of `Burst.requests`.
        nodes: among how many addresses the connections take turns.
    """

    def __init__(self, burst: Burst, address: Address, style: Style, members: Sequence[Member], nodes: int = 1) -> None:
        self._burst = burst
        self._address = address
        self._style = style
        self._members = members
        self._nodes = nodes

    def unconnected(self) -> str:
        """Why the burst is void, once the connections had to be open."""
        return self._sentence([connection_fault(member.failure) for member in self._members])

    def unparked(self, lines: Sequence[Line]) -> str:
        """The same, once all that goes early had to be there."""
        return self.early(lines) or self._of_lines(lines, [line.not_parked(self._burst.timeout_s) for line in lines])

    def early(self, lines: Sequence[Line]) -> str:
        """The same, as long as the gate is shut."""
        faults = [early_fault(member.status, member.failure) for member in self._members]
        ending = ["was on a connection that the server is about to end" if line.ending else "" for line in lines]
        return self._sentence(faults) or self._of_lines(lines, ending)

    def unsealed(self, lines: Sequence[Line]) -> str:
        """The same, once what opens the gate is made."""
        return self._of_lines(lines, [line.not_sealed() for line in lines])

    def unacknowledged(self, lines: Sequence[Line], samples: Sequence[Sample | None]) -> str:
        """The same, from the counters just before the gate opens."""
        return self._of_lines(lines, [parked_fault(sample) for sample in samples])

    def kept_shut(self, lines: Sequence[Line], void: str) -> Delivery:
        """No request is complete, so there is no operation to tell of."""
        return self._delivery(lines, void)

    def delivered(
        self,
        lines: Sequence[Line],
        releases: Sequence[Release],
        opening: Opening,
        before: Sequence[Sample | None],
    ) -> Delivery:
        """The gate was opened, and all answers that were to come are there."""
        samples = [(ahead, _after(line)) for line, ahead in zip(lines, before, strict=True)]
        verified = all(ahead is not None and after is not None for ahead, after in samples)
        proof: Proof = "tcp_info" if verified else "unverified"
        sent_ns = {
            place: at_ns for release, at_ns in zip(releases, opening.sent_ns, strict=True) for place in release.places
        }
        opened_ns = min(sent_ns.values())
        return replace(
            self._delivery(lines, self._void(lines, releases, opening, samples)),
            history=self._history(releases, opening, opened_ns),
            proof=proof,
            send_skew_us=(max(sent_ns.values()) - opened_ns) // 1000,
            gate_opened_ns=opened_ns,
            offsets_us=tuple((sent_ns[member.place] - opened_ns) // 1000 for member in self._members),
            order=_order(self._members),
            datagrams=sum(line.released_datagrams for line in lines),
        )

    def _void(
        self,
        lines: Sequence[Line],
        releases: Sequence[Release],
        opening: Opening,
        samples: Sequence[tuple[Sample | None, Sample | None]],
    ) -> str:
        faults = [refused_fault(member.failure) for member in self._members]
        for release, whole in zip(releases, opening.whole, strict=True):
            for place in release.places:
                faults[place] = faults[place] or gate_fault(whole=whole)
        for line, (before, after) in zip(lines, samples, strict=True):
            fault = line.repeated_fault()
            if before is not None and after is not None:
                writes = [len(release.octets) for release in releases if release.line is line]
                fault = fault or release_fault(before, after, writes)
            for member in line.members:
                faults[member.place] = faults[member.place] or fault
        return self._sentence(faults)

    def _history(self, releases: Sequence[Release], opening: Opening, opened_ns: int) -> History:
        in_order = sorted(zip(opening.sent_ns, range(len(releases)), strict=True))
        return History(
            tuple(
                _operation(self._burst.labels[place], self._members[place], sent_ns, opened_ns)
                for sent_ns, which in in_order
                for place in releases[which].places
            )
        )

    def _delivery(self, lines: Sequence[Line], void: str) -> Delivery:
        return Delivery(
            history=History(()),
            responses=tuple(member.response for member in self._members),
            void=void,
            proof="unverified",
            send_skew_us=0,
            failures=tuple(member.failure for member in self._members),
            protocol=self._address.protocol,
            style=self._style,
            choice=self._choice(lines),
            connections=len(lines),
        )

    def _choice(self, lines: Sequence[Line]) -> str:
        why = self._address.why
        if self._address.protocol == "http/1.1" or len(lines) == 1:
            return why
        most = max(len(line.members) for line in lines)
        limit = "what a TLS record holds" if self._style == "record" else self._limit(lines)
        because = "one for each node at least" if self._nodes > 1 else f"because of {limit}"
        return f"{why}; {len(lines)} connections with at most {most} requests each, {because}"

    def _limit(self, lines: Sequence[Line]) -> str:
        needed = -(-len(self._members) // max(lines[0].limit, 1))
        if self._address.protocol == "h3" and len(lines) > needed:
            return "what may leave at once on a new connection of QUIC"
        return "the streams that the server allows"

    def _of_lines(self, lines: Sequence[Line], faults: Sequence[str]) -> str:
        """A fault of a connection is one of all members on it."""
        found = [""] * len(self._members)
        for line, fault in zip(lines, faults, strict=True):
            for member in line.members:
                found[member.place] = fault
        return self._sentence(found)

    def _sentence(self, faults: Sequence[str]) -> str:
        return sentence(self._burst.labels, faults)


def _order(members: Sequence[Member]) -> tuple[int | None, ...]:
    """See Delivery."""
    ended = [(-1, -1) if member.answered_ns is None else (member.answered_ns, member.turn) for member in members]
    ranks = {key: rank for rank, key in enumerate(sorted({key for key in ended if key[0] >= 0}))}
    return tuple(ranks.get(key) for key in ended)


def _after(line: Line) -> Sample | None:
    """The counters as they were when all had been written; of repetitions, as many as there were at the end."""
    written, now = line.sample_of_release(), line.sample_of_end()
    if written is None or now is None:
        return None
    return replace(written, retransmissions=now.retransmissions)


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
