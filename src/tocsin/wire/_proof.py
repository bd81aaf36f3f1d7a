"""What the kernel says about a connection -> whether the burst left as planned. PURE.

Rule: what is due at the gate is as few data segments per write as hold it, one but for long writes, after a prefix that
the peer's kernel has acknowledged. More, fewer or repeated segments mean that the requests did not land together.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Offsets in `struct tcp_info` of include/uapi/linux/tcp.h. The struct only ever grows, so they hold wherever it is at
# least this long; tcpi_data_segs_out is there since Linux 4.6.
_SEGMENT_BYTES: Final = 16
_UNACKED: Final = 24
_ROUND_TRIP: Final = 68
_TOTAL_RETRANS: Final = 100
_NOTSENT_BYTES: Final = 144
_DATA_SEGS_OUT: Final = 156
TCP_INFO_BYTES: Final = 160
# A datagram of QUIC has 1200 bytes, and a frame that does not fit is cut only where it may be.
_FULL_DATAGRAM_BYTES: Final = 1100
_U32: Final = struct.Struct("=I")
_WRAP: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of a connection's counters.

    Args:
        data_segments: data segments sent so far, repeated ones included.
        unacknowledged: how many of them the peer's kernel has not confirmed.
        unsent_bytes: what lies in our own kernel, because the peer's buffer is full.
        retransmissions: how many segments were repeated so far.
        segment_bytes: how much a segment holds at most.
        round_trip_us: how long an acknowledgement takes, smoothed.
    """

    data_segments: int
    unacknowledged: int
    unsent_bytes: int
    retransmissions: int
    segment_bytes: int
    round_trip_us: int

    @property
    def settled(self) -> bool:
        """Whether the peer's kernel has everything that was sent."""
        return not self.unacknowledged and not self.unsent_bytes


def parse_tcp_info(raw: bytes) -> Sample | None:
    """Read a TCP_INFO of Linux; None where the kernel is too old to count data segments."""
    if len(raw) < TCP_INFO_BYTES:
        return None
    return Sample(
        data_segments=_counter(raw, _DATA_SEGS_OUT),
        unacknowledged=_counter(raw, _UNACKED),
        unsent_bytes=_counter(raw, _NOTSENT_BYTES),
        retransmissions=_counter(raw, _TOTAL_RETRANS),
        segment_bytes=max(_counter(raw, _SEGMENT_BYTES), 1),
        round_trip_us=_counter(raw, _ROUND_TRIP),
    )


def _counter(raw: bytes, offset: int) -> int:
    value: int = _U32.unpack_from(raw, offset)[0]
    return value


def parked_fault(sample: Sample | None) -> str:
    """What can be said against a member whose prefix has been sent; "" if nothing, or if there is no sample to tell."""
    return (
        "" if sample is None or sample.settled else "had a prefix that the server's kernel did not acknowledge in time"
    )


def datagrams_fault(flights: Sequence[Sequence[int]]) -> str:
    """What can be said against the members of a connection over UDP, before the gate opens; "" if nothing.

    Args:
        flights: for each write at the gate, how many bytes each of its datagrams has.
    """
    for sizes in flights:
        due = max(-(-sum(sizes) // _FULL_DATAGRAM_BYTES), 1)
        if len(sizes) > due:
            return f"is completed by one of {len(sizes)} datagrams, where {due} would hold what was withheld"
    return ""


def release_fault(before: Sample, after: Sample, writes: Sequence[int]) -> str:
    """What can be said against the members of a connection; "" if nothing.

    Args:
        before: as the connection was before the gate.
        after: as it was when all had been written, with the repetitions that there were until the end.
        writes: how many bytes each write at the gate had.
    """
    # Repeats first: a repeated segment is counted among the data segments too.
    if after.retransmissions != before.retransmissions:
        return "had segments retransmitted after the gate opened, so it did not land with the others"
    segments = (after.data_segments - before.data_segments) % _WRAP
    due = sum(max(-(-size // before.segment_bytes), 1) for size in writes)
    if segments != due:
        return f"sent {segments} segments at the gate, where {due} {'was' if due == 1 else 'were'} due"
    return ""
