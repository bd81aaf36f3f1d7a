from base64 import b64decode, urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.signing import ENCODINGS

OCTETS = bytes([0xFB, 0xEF, 0xBE, 0x01])


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("hex", "fbefbe01"),
        ("HEX", "FBEFBE01"),
        ("base64", "++++AQ=="),
        ("base64url", "----AQ"),
        ("base64url=", "----AQ=="),
    ],
)
def test_an_encoding_spells_octets_in_one_way(encoding: str, text: str) -> None:
    assert ENCODINGS[encoding](OCTETS) == text


@given(st.binary(max_size=64))
def test_every_encoding_can_be_read_back(octets: bytes) -> None:
    assert bytes.fromhex(ENCODINGS["hex"](octets)) == octets
    assert bytes.fromhex(ENCODINGS["HEX"](octets)) == octets
    assert b64decode(ENCODINGS["base64"](octets), validate=True) == octets
    assert urlsafe_b64decode(ENCODINGS["base64url="](octets)) == octets
    bare = ENCODINGS["base64url"](octets)
    assert urlsafe_b64decode(bare + "=" * (-len(bare) % 4)) == octets
