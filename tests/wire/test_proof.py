import struct
from dataclasses import replace

import pytest

from tocsin.wire._proof import Sample, datagrams_fault, parked_fault, parse_tcp_info, release_fault

_PARKED = Sample(
    data_segments=1, unacknowledged=0, unsent_bytes=0, retransmissions=0, segment_bytes=1448, round_trip_us=50
)


def test_the_counters_are_read_from_their_places() -> None:
    raw = bytearray(240)
    for offset, value in ((16, 5), (24, 1), (68, 6), (100, 2), (144, 3), (156, 4)):
        struct.pack_into("=I", raw, offset, value)
    assert parse_tcp_info(bytes(raw)) == Sample(4, 1, 3, 2, 5, 6)


def test_a_kernel_that_does_not_count_data_segments_gives_no_sample() -> None:
    assert parse_tcp_info(bytes(159)) is None


def test_a_prefix_that_the_peer_has_is_parked() -> None:
    assert parked_fault(_PARKED) == ""
    assert parked_fault(None) == ""


@pytest.mark.parametrize("waiting", [replace(_PARKED, unacknowledged=1), replace(_PARKED, unsent_bytes=1)])
def test_a_prefix_that_the_peer_may_not_have_is_a_fault(waiting: Sample) -> None:
    assert "did not acknowledge" in parked_fault(waiting)


def test_a_kernel_that_names_no_segment_size_is_not_divided_by() -> None:
    sample = parse_tcp_info(bytes(240))
    assert sample is not None
    assert sample.segment_bytes == 1


def test_one_segment_at_the_gate_is_as_planned() -> None:
    assert release_fault(_PARKED, replace(_PARKED, data_segments=2), [1]) == ""


def test_one_segment_is_one_where_the_counter_wraps() -> None:
    assert release_fault(replace(_PARKED, data_segments=2**32 - 1), replace(_PARKED, data_segments=0), [10]) == ""


def test_a_long_write_is_due_in_as_few_segments_as_hold_it() -> None:
    assert release_fault(_PARKED, replace(_PARKED, data_segments=3), [2000]) == ""
    assert release_fault(_PARKED, replace(_PARKED, data_segments=4), [2000]).endswith("where 2 were due")


def test_every_write_is_due_a_segment_of_its_own() -> None:
    assert release_fault(_PARKED, replace(_PARKED, data_segments=3), [10, 10]) == ""
    assert release_fault(_PARKED, replace(_PARKED, data_segments=2), [10, 10]) != ""


@pytest.mark.parametrize("segments", [0, 2, 20])
def test_any_other_number_of_segments_is_a_fault(segments: int) -> None:
    after = replace(_PARKED, data_segments=1 + segments)
    assert release_fault(_PARKED, after, [1]) == f"sent {segments} segments at the gate, where 1 was due"


def test_a_repeated_segment_is_a_fault_of_its_own() -> None:
    assert "retransmitted" in release_fault(_PARKED, replace(_PARKED, data_segments=3, retransmissions=1), [1])


@pytest.mark.parametrize(
    ("flights", "fault"),
    [
        ([[250]], ""),
        ([[40], [40]], ""),  # two offsets, a write for each
        ([[1200, 1190, 300]], ""),
        ([[]], ""),
        ([[40] * 20], "is completed by one of 20 datagrams, where 1 would hold what was withheld"),
        ([[40], [600, 700, 40]], "is completed by one of 3 datagrams, where 2 would hold what was withheld"),
    ],
)
def test_datagrams_are_as_full_as_they_can_be(flights: list[list[int]], fault: str) -> None:
    assert datagrams_fault(flights) == fault
