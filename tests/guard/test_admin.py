import pytest

from tocsin.guard._admin import Chosen, Kept, KeyRange, select
from tocsin.guard._decision import State, state_of
from tocsin.guard._store import Record

KEPT = Kept(bytes(32), 1, "main", "/order", b"R1", 1000, 2000, 3000, 201, 5)


def named(name: str) -> str:
    return f":{name}"


@pytest.mark.parametrize(
    ("digits", "first", "last"),
    [("a", "a0", "af"), ("ab", "ab", "ab"), ("ABc", "abc0", "abcf"), ("0" * 63, "0" * 64, "0" * 63 + "f")],
)
def test_a_prefix_is_a_range_of_keys_even_with_an_odd_number_of_digits(digits: str, first: str, last: str) -> None:
    found = KeyRange.of_prefix(digits)
    assert (found.first.hex(), found.last.hex()) == (first.ljust(64, "0"), last.ljust(64, "f"))


@pytest.mark.parametrize("digits", ["", "0" * 65, "xyz", "0x1f", "+f", "1_0", "a b", "é"])
def test_what_is_no_prefix_of_a_key_is_refused(digits: str) -> None:
    with pytest.raises(ValueError, match="wanted 1 to 64 hexadecimal digits"):
        KeyRange.of_prefix(digits)


def test_every_value_that_a_person_gives_is_a_placeholder() -> None:
    keys = KeyRange(b"a", b"b")
    sql, values = select(Chosen("t'; DROP", "o'; DROP", 7, keys, is_unsettled=True), named, end="LIMIT 1")
    assert "DROP" not in sql
    assert values == {"tenant": "t'; DROP", "operation": "o'; DROP", "since": 7, "first": b"a", "last": b"b"}
    assert "status IS NULL" in sql


def test_answers_are_read_only_when_they_are_asked_for() -> None:
    assert "headers" not in select(Chosen(), named, end="")[0]
    assert ", headers, body FROM" in select(Chosen(), named, end="", with_answers=True)[0]


def test_a_kept_claim_is_judged_as_the_guard_would_judge_it() -> None:
    assert KEPT.record == Record(b"R1", 201, b"", b"", 2000, 3000)
    stripped = Kept(bytes(32), 1, "main", "/order", None, 1000, 2000, 3000, 201, None)
    assert [state_of(kept.record, 1500) for kept in (KEPT, stripped)] == [State.ANSWERED, State.TOMBSTONE]
