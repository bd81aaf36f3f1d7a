"""What the kernel says about a connection -> whether the burst left as planned. PURE.

Rule: one data segment per connection is due at the gate, after a prefix that the peer's kernel has acknowledged. More,
fewer or repeated segments mean that the requests did not land together.
"""

import struct
from dataclasses import dataclass
from typing import Final

# Offsets in `struct tcp_info` of include/uapi/linux/tcp.h. The struct only ever grows, so they hold wherever it is at
# least this long; tcpi_data_segs_out is there since Linux 4.6.
_UNACKED: Final = 24
_TOTAL_RETRANS: Final = 100
_NOTSENT_BYTES: Final = 144
_DATA_SEGS_OUT: Final = 156
TCP_INFO_BYTES: Final = 160
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
    """

    data_segments: int
    unacknowledged: int
    unsent_bytes: int
    retransmissions: int

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
    )


def _counter(raw: bytes, offset: int) -> int:
    value: int = _U32.unpack_from(raw, offset)[0]
    return value


def parked_fault(sample: Sample | None) -> str:
    """What can be said against a member whose prefix has been sent; "" if nothing, or if there is no sample to tell."""
    return (
        "" if sample is None or sample.settled else "had a prefix that the server's kernel did not acknowledge in time"
    )


def release_fault(before: Sample, after: Sample) -> str:
    """What can be said against a member, from a sample before the gate and one after it; "" if nothing."""
    # Repeats first: a repeated segment is counted among the data segments too.
    if after.retransmissions != before.retransmissions:
        return "had segments retransmitted after the gate opened, so it did not land with the others"
    segments = (after.data_segments - before.data_segments) % _WRAP
    if segments != 1:
        return f"sent {segments} segments at the gate, where 1 was due"
    return ""
