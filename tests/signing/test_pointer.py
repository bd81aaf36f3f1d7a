import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.signing import Json, PointerError, SchemeError, json_pointer, parse_json, resolve

# RFC 6901 section 5, all but the pointer to the whole document.
RFC_6901: Json = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_the_examples_of_rfc_6901_are_resolved(pointer: str, value: Json) -> None:
    assert resolve(RFC_6901, pointer) == value


def test_tilde_one_is_unescaped_before_tilde_zero() -> None:
    assert json_pointer("/~01").tokens == ("~1",)


@pytest.mark.parametrize("pointer", ["", "id", "#/id", "/~", "/~2", "/a~b"])
def test_what_is_no_pointer_to_a_member_is_refused(pointer: str) -> None:
    with pytest.raises(SchemeError, match="wanted RFC 6901"):
        json_pointer(pointer)


@pytest.mark.parametrize(
    ("pointer", "reason"),
    [
        ("/bar", "/bar is not there"),
        ("/foo/2", "/foo/2 is not there"),
        ("/foo/-", "is not there"),
        ("/foo/00", "is not there"),
        ("/foo/-1", "is not there"),
        ("/foo/\u0661", "is not there"),
        ("/foo/99999999999999999999", "is not there"),
        ("/foo/0/0", "a string has no members"),
        ("/a~1b/x", "a number has no members"),
    ],
)
def test_a_place_that_is_not_there_is_a_pointer_error(pointer: str, reason: str) -> None:
    with pytest.raises(PointerError, match=reason):
        resolve(RFC_6901, pointer)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b"\xff", "not UTF-8"),
        ("\ufeff{}".encode(), "not JSON"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a":1,"a":1}', "gives a member twice"),
        (b'{"x":[{"a":1,"\\u0061":2}]}', "gives a member twice"),
        (b"[NaN]", "holds NaN"),
        (b"-Infinity", "holds -Infinity"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"9" * 256, "an integer of more than 255 digits"),
        (b"9" * 5000, "an integer of more than 255 digits"),
    ],
)
def test_json_with_more_than_one_meaning_or_none_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(PointerError, match=reason):
        parse_json(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused_as_a_pointer_error(body: bytes) -> None:
    try:
        parse_json(body)
    except PointerError:
        return


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"id":"A"}', "A"),
        (b'{"id":17}', 17),
        (b'{"id":-0}', 0),
        ('{"id":"✓"}'.encode(), "✓"),
        (b'{"id":"\\u0000"}', "\0"),
    ],
)
def test_strings_and_integers_identify(body: bytes, value: str | int) -> None:
    assert json_pointer("/id").identifier(body) == value


def test_an_identifier_has_at_most_255_bytes() -> None:
    pointer = json_pointer("/id")
    assert pointer.identifier(b'{"id":"%s"}' % (b"a" * 255)) == "a" * 255
    assert pointer.identifier(b'{"id":-%s}' % (b"9" * 254)) == -int("9" * 254)
    for body in (b'{"id":"%s"}' % (b"a" * 256), '{{"id":"{}"}}'.format("é" * 128).encode()):
        with pytest.raises(PointerError, match="has 256 bytes; wanted 1 to 255"):
            pointer.identifier(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"id":""}', "has 0 bytes"),
        (b'{"id":null}', "is null"),
        (b'{"id":true}', "is a boolean"),
        (b'{"id":1.0}', "is a number"),
        (b'{"id":1e3}', "is a number"),
        (b'{"id":[]}', "is a list"),
        (b'{"id":{}}', "is an object"),
        (b'{"id":"\\ud800"}', "holds a lone surrogate"),
        (b"[]", "/id is not there"),
        (b"null", "null has no members"),
        (b'"id"', "a string has no members"),
    ],
)
def test_anything_else_identifies_nothing(body: bytes, reason: str) -> None:
    with pytest.raises(PointerError, match=reason):
        json_pointer("/id").identifier(body)


def test_a_pointer_shows_as_it_was_written() -> None:
    assert str(json_pointer("/a~1b")) == "/a~1b"
