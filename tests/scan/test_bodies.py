"""Every body derived from another one is what its name says, whatever the plan's body looks like."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.findings import Json
from tocsin.scan import _bodies

ORDER = b'{"id":"a-1","lines":[{"sku":"x","qty":1.50}],"note":""}'

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(document=documents, spaced=st.booleans())
def test_a_respelling_is_the_same_document_in_other_bytes(document: object, *, spaced: bool) -> None:
    body = json.dumps(document, ensure_ascii=False, separators=None if spaced else (",", ":")).encode()
    for name, other in _bodies.respelled(body).items():
        assert other != body, name
        assert json.loads(other) == document, name


def test_a_respelling_keeps_the_digits_of_numbers() -> None:
    assert _bodies.respelled(ORDER) == {
        "spacing": b'{"id": "a-1", "lines": [{"sku": "x", "qty": 1.50}], "note": ""}',
        "member_order": b'{"note":"","lines":[{"sku":"x","qty":1.50}],"id":"a-1"}',
        "escapes": rb'{"\u0069d":"\u0061-1","\u006cines":[{"\u0073ku":"\u0078","\u0071ty":1.50}],"\u006eote":""}',
    }


def test_a_spaced_body_is_respelled_without_spaces() -> None:
    assert _bodies.respelled(b'{"a": 1}') == {"spacing": b'{"a":1}', "escapes": rb'{"\u0061": 1}'}


@pytest.mark.parametrize("body", [b"7", b"[]", b"{}"])
def test_where_there_is_nothing_to_spell_otherwise_there_is_no_respelling(body: bytes) -> None:
    assert _bodies.respelled(body) == {}


def test_malformed_json_is_cut_off_mistyped_and_incomplete() -> None:
    found = _bodies.malformed(b'{"a": 1, "b": ["x"]}')
    assert found == {
        "truncated": b'{"a": 1, "',
        "not_utf8": b'{"a": 1, "\xff\xfeb": ["x"]}',
        "empty": b"",
        "other_types": b'{"a": "seven", "b": [7]}',
        "no_object": b"[]",
        "no_members": b"{}",
        "without /a": b'{"b": ["x"]}',
        "without /b": b'{"a": 1}',
    }


def test_a_malformed_list_is_an_object_and_has_no_members_to_lack() -> None:
    assert _bodies.malformed(b"[null]")["no_object"] == b"{}"
    assert set(_bodies.malformed(b"[null]")) == {"truncated", "not_utf8", "empty", "other_types", "no_object"}


def test_what_is_no_json_is_malformed_by_its_bytes() -> None:
    assert set(_bodies.malformed(b"id=1")) == {"truncated", "not_utf8", "empty"}


def test_bodies_that_are_no_object_are_seven() -> None:
    assert len(_bodies.no_objects(ORDER)) == 7
    assert json.loads(_bodies.no_objects(ORDER)["a list"]) == [json.loads(ORDER)]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_is_no_json(body: bytes) -> None:
    assert not _bodies.is_json(body)


def test_the_difference_of_two_documents_is_where_their_values_differ() -> None:
    one: Json = {"id": "a", "to": [{"no": 1}, 2], "kept": None, "list": [1]}
    other: Json = {"id": "b", "to": [{"no": 3}, 2], "kept": None, "list": [1, 2]}
    paths = list(_bodies.differing(one, other))
    assert paths == [("id",), ("to", 0, "no"), ("list",)]
    assert [_bodies.value_at(one, path) for path in paths] == ["a", 1, [1]]
    assert _bodies.pointer(("a/b", "c~d", 0)) == "/a~1b/c~0d/0"


def test_a_value_is_replaced_or_taken_away_where_it_stands_and_nowhere_else() -> None:
    found: Json = {"to": [{"no": 1, "at": 2}, 2]}
    assert _bodies.with_value(found, ("to", 0, "no"), None) == {"to": [{"no": None, "at": 2}, 2]}
    assert _bodies.without(found, ("to", 0, "no")) == {"to": [{"at": 2}, 2]}
    assert _bodies.without(found, ("to", 1)) == {"to": [{"no": 1, "at": 2}]}
    assert _bodies.with_value(found, (), "all") == "all"


def test_an_empty_structure_and_null_have_another_type_too() -> None:
    assert _bodies.other_type_throughout({"a": [], "b": {}, "c": None}) == {"a": "seven", "b": "seven", "c": 7}
