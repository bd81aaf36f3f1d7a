import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.signing._mac import KeyedHash

RFC_4231 = json.loads((Path(__file__).parent / "vectors" / "rfc4231.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", RFC_4231, ids=lambda vector: f"case {vector['case']}")
@pytest.mark.parametrize("hash_name", ["sha256", "sha384", "sha512"])
def test_rfc_4231_is_reproduced(vector: dict[str, Any], hash_name: str) -> None:
    keyed = KeyedHash(bytes.fromhex(vector["key"]), hash_name)
    assert keyed.digest([bytes.fromhex(vector["data"])]).hex() == vector[hash_name]


@given(
    st.binary(min_size=1, max_size=300),
    st.lists(st.binary(max_size=200), max_size=4),
    st.sampled_from(["sha1", "sha256", "sha384", "sha512"]),
)
def test_pieces_under_a_keyed_state_give_the_hmac_of_the_whole(
    secret: bytes, pieces: list[bytes], hash_name: str
) -> None:
    keyed = KeyedHash(secret, hash_name)
    expected = hmac.new(secret, b"".join(pieces), hash_name).digest()
    assert keyed.digest(pieces) == expected
    assert keyed.digest(pieces) == expected, "the state is copied, not used up"
