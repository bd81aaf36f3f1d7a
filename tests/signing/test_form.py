import pytest

from tocsin.signing import PointerError
from tocsin.signing._form import form_members, parse_form, render_form


def test_pairs_are_decoded_in_order() -> None:
    assert parse_form(b"a=1&b=%2B1+2&a=%C3%A9&c=") == (("a", "1"), ("b", "+1 2"), ("a", "\u00e9"), ("c", ""))
    assert parse_form(b"") == ()
    assert parse_form(b"a=b=c") == (("a", "b=c"),)


@pytest.mark.parametrize(
    "body", [b"a", b"=1", b"a=1&", b"&a=1", b"a=1&&b=2", b"a=%zz", b"a=%4", b"a b=1", b"a=\xff", b"a=\n", b"a=%FF"]
)
def test_what_a_lenient_parser_would_drop_or_guess_is_no_form(body: bytes) -> None:
    with pytest.raises(PointerError, match="the body is not a form"):
        parse_form(body)


def test_members_are_there_once() -> None:
    assert form_members(b"a=1&b=2") == {"a": "1", "b": "2"}
    with pytest.raises(PointerError, match="gives a field twice"):
        form_members(b"a=1&a=1")


def test_a_form_is_rendered_as_it_is_read() -> None:
    members = {"a b": "1&2", "\u00e9": "=+%"}
    assert form_members(render_form(members)) == members
