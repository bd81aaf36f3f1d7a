import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.findings import Json
from tocsin.report._facts import Shaped, Table, shaped


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (None, "none"),
        (17, "17"),
        (0.25, "0.25"),
        ("sku-1", "sku-1"),
        (["last-byte", "whole"], "last-byte, whole"),
        ({"201": 1, "also_seen": None}, "201: 1, also seen: none"),
        ([], "none"),
        ({}, "none"),
    ],
)
def test_a_few_values_fit_on_one_line(value: Json, text: str) -> None:
    assert shaped(value) == text


def test_many_values_get_a_line_each() -> None:
    assert shaped(list(range(7))) == ["0", "1", "2", "3", "4", "5", "6"]
    assert shaped({f"probe_{place}": "refused" for place in range(7)}) == {
        f"probe {place}": "refused" for place in range(7)
    }


def test_mappings_side_by_side_are_a_table_in_which_no_cell_is_lost() -> None:
    assert shaped([{"probe": "empty", "status": 401}, {"probe": "junk", "raised": {"500": 2}}]) == Table(
        heads=("probe", "status", "raised"),
        rows=(("empty", "401", ""), ("junk", "", "500: 2")),
    )


def test_a_table_of_named_mappings_opens_its_rows_with_the_names() -> None:
    assert shaped({"identical": {"bursts": 4}, "same_nonce": {"bursts": 0}}) == Table(
        heads=("", "bursts"), rows=(("identical", "4"), ("same nonce", "0"))
    )


def test_what_is_nested_deeper_stays_nested() -> None:
    assert shaped({"a": [{"b": {"c": [1]}}], "d": 1}) == {"a": [Table(("", "c"), (("b", "1"),))], "d": "1"}


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(categories=["L"])),
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text(st.characters(categories=["L"])), inner, max_size=8)
    ),
    max_leaves=30,
)


def texts(value: Shaped) -> str:
    """All that is shown, in one string."""
    if isinstance(value, str):
        return value
    if isinstance(value, Table):
        return " ".join([*value.heads, *(cell for row in value.rows for cell in row)])
    if isinstance(value, list):
        return " ".join(map(texts, value))
    assert isinstance(value, dict)
    return " ".join(f"{key} {texts(inner)}" for key, inner in value.items())


def leaves(value: Json) -> list[str]:
    """Every key and every text or number of a value."""
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *leaves(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in leaves(inner)]
    return [value] if isinstance(value, str) else [json.dumps(value)] if type(value) is int else []


@given(jsons)
def test_nothing_is_left_out(value: Json) -> None:
    shown = texts(shaped(value))
    assert [leaf for leaf in leaves(value) if leaf not in shown] == []
