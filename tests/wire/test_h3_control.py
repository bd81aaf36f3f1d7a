import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire._h3_control import GoawayReader

_SETTINGS = b"\x04\x04\x01\x50\x00\x00"


@pytest.mark.parametrize(
    ("stream", "first"),
    [
        (b"", None),
        (b"\x00" + _SETTINGS, None),
        (b"\x00" + _SETTINGS + b"\x07\x01\x0c", 12),
        (b"\x00\x07\x01\x0c\x07\x01\x04", 4),  # a later one may only say less (RFC 9114 section 5.2)
        (b"\x00\x07\x02\x41\x00", 256),
        (b"\x00\x07\x08" + b"\xc0" + (2**40).to_bytes(7, "big"), 2**40),
        (b"\x40\x00\x07\x01\x0c", 12),  # the same kind of stream in two bytes (RFC 9000 section 16)
        (b"\x00\x40\x07\x40\x01\x0c", 12),
        (b"\x02\x07\x01\x0c", None),  # QPACK's, where these bytes mean something else
        (b"\x00\x21\x80\x00\x00\x03\x07\x01\x0c\x07\x01\x08", 8),  # a frame of a kind that nobody knows
        (b"\x00\x07\x09" + bytes(9), None),  # too long to be one number
    ],
)
def test_goaway_is_found_wherever_the_stream_is_cut(stream: bytes, first: int | None) -> None:
    assert GoawayReader().receive(stream) == first
    piecemeal = GoawayReader()
    told = [piecemeal.receive(stream[at : at + 1]) for at in range(len(stream))]
    assert next((number for number in reversed(told) if number is not None), None) == first


def test_a_goaway_without_a_number_says_zero_and_one_that_is_cut_off_nothing() -> None:
    assert GoawayReader().receive(b"\x00\x07\x00") == 0
    assert GoawayReader().receive(b"\x00\x07\x04\x01") is None


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_whatever_comes_nothing_is_raised_and_little_is_kept(pieces: list[bytes]) -> None:
    reader = GoawayReader()
    for piece in pieces:
        reader.receive(b"\x00" + piece)
    assert len(reader._unread) <= 24
