"""What is active is selected once per period, and the periods have to be right at their ends."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.signing import KeyEntry, KeyRing, Secret

INSTANTS = st.one_of(st.integers(0, 6).map(float), st.sampled_from([-math.inf, math.inf, math.nan]))
SECRETS = [Secret(bytes([65 + number]) * 16, key_id) for number, key_id in enumerate(("a", "a", "b", None))]


@st.composite
def rings(draw: st.DrawFn) -> KeyRing:
    entries = []
    for secret in SECRETS:
        begins, ends = sorted(draw(st.lists(st.integers(0, 6), min_size=2, max_size=2, unique=True)))
        open_ended = draw(st.integers(0, 3))
        entries.append(
            KeyEntry(
                secret,
                active_from_unix=-math.inf if open_ended & 1 else begins,
                retires_at_unix=math.inf if open_ended & 2 else ends,
            )
        )
    return KeyRing(entries)


@given(rings(), st.lists(INSTANTS, min_size=1, max_size=12))
def test_asked_in_any_order_a_ring_says_what_each_entry_says(keys: KeyRing, instants: list[float]) -> None:
    for now in instants:
        active = tuple(entry for entry in keys.entries if entry.active_from_unix <= now < entry.retires_at_unix)
        assert keys.active(now) == active
        for key_id in ("a", "b", "c", None):
            assert keys.named(key_id, now) == tuple(entry for entry in active if entry.secret.key_id == key_id)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_clock_that_was_wrong_once_leaves_nothing_behind(odd: float) -> None:
    keys = KeyRing.of(SECRETS[0])
    keys.active(odd)
    assert keys.active(1_700_000_000) == keys.entries
    keys.active(odd)
    assert keys.active(0) == keys.entries
