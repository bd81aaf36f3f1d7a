from itertools import product

import pytest

from tocsin.signing import Message, MessageId, SchemeError
from tocsin.signing._message_id import FoundId, delimiters_of_id, find_message_id, is_delimited

LINES = ("\n", "\n")


def in_header(*values: str, name: str = "Idempotency-Key") -> FoundId:
    message = Message("POST", "/", tuple((name, value) for value in values), b"")
    return find_message_id(MessageId(header=name), message, LINES)


@pytest.mark.parametrize(
    ("value", "identifier"),
    [
        ("order-17", "order-17"),
        ('"order-17"', "order-17"),
        ('"a\\"b\\\\c"', 'a"b\\c'),
        ('a"b', 'a"b'),
        ("a" * 255, "a" * 255),
        ('"' + "a" * 255 + '"', "a" * 255),
        ("!~", "!~"),
    ],
)
def test_bare_and_quoted_spellings_of_an_idempotency_key_are_one_id(value: str, identifier: str) -> None:
    assert in_header(value) == FoundId(identifier)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "is not 1 to 255 visible ASCII"),
        ('""', "is not 1 to 255 visible ASCII"),
        ("a" * 256, "is not 1 to 255 visible ASCII"),
        ("a b", "is not 1 to 255 visible ASCII"),
        ('"a b"', "is not 1 to 255 visible ASCII"),
        (" a", "is not 1 to 255 visible ASCII"),
        ("caf\u00e9", "is not 1 to 255 visible ASCII"),
        ("a\x7f", "is not 1 to 255 visible ASCII"),
        ("a\0", "is not 1 to 255 visible ASCII"),
        ("\ud800", "is not 1 to 255 visible ASCII"),
        ('"', "is no structured-field string"),
        ('"abc', "is no structured-field string"),
        ('"abc"x', "is no structured-field string"),
        ('"abc";p=1', "is no structured-field string"),
        ('"a\\x"', "is no structured-field string"),
        ('"a\\', "is no structured-field string"),
        ('"a\\"', "is no structured-field string"),
    ],
)
def test_a_malformed_idempotency_key_is_no_id(value: str, reason: str) -> None:
    found = in_header(value)
    assert found.value is None
    assert reason in found.error


def test_a_key_must_be_there_exactly_once() -> None:
    assert in_header().error == "Idempotency-Key is missing"
    assert in_header("a", "a").error == "Idempotency-Key is given more than once"


def test_only_the_idempotency_key_is_a_structured_field() -> None:
    """Quotes around another header's id belong to it: two ids must not become one."""
    assert in_header('"msg_1"', name="webhook-id") == FoundId('"msg_1"')
    assert in_header('"x', name="webhook-id") == FoundId('"x')


def test_an_id_in_the_body_keeps_its_type() -> None:
    rule = MessageId(pointer="/id")
    found = [find_message_id(rule, Message("POST", "/", (), body), ("", "")) for body in (b'{"id":17}', b'{"id":"17"}')]
    assert found == [FoundId(17), FoundId("17")]


def test_a_body_without_id_says_why() -> None:
    found = find_message_id(MessageId(pointer="/id"), Message("POST", "/", (), b"[]"), ("", ""))
    assert found == FoundId(None, "/id is not there")


def test_a_scheme_without_message_id_finds_none_and_nothing_wrong() -> None:
    assert find_message_id(None, Message("POST", "/", (), b"{}"), ("", "")) == FoundId(None)


def test_an_id_cannot_contain_what_separates_it() -> None:
    message = Message("POST", "/", (("webhook-id", "msg.1700000000"),), b"")
    found = find_message_id(MessageId(header="webhook-id"), message, ("", "."))
    assert found.error == "webhook-id contains what separates it in the signed content"


@pytest.mark.parametrize(
    ("text", "before", "after", "verdict"),
    [
        ("abc", "", "", True),
        ("a.c", "", "", True),
        ("abc", ".", ".", True),
        ("a.c", "", ".", False),
        ("a.c", ".", "", False),
        ("a:", "", "::", False),
        ("a:", "::", "", True),
        (":a", "::", "", False),
        (":a", "", "::", True),
        ("a::b", "::", "::", False),
    ],
)
def test_a_text_is_delimited_if_its_ends_can_be_found_again(
    text: str, before: str, after: str, *, verdict: bool
) -> None:
    assert is_delimited(text, (before, after)) is verdict


@pytest.mark.parametrize(
    ("header", "pointer", "reason"),
    [
        (None, None, "wanted either a header or a pointer"),
        ("X-Id", "/id", "wanted either a header or a pointer"),
        ("X Id", None, "is no field name"),
        (None, "id", "wanted RFC 6901"),
    ],
)
def test_a_wrong_place_is_refused_when_it_is_declared(header: str | None, pointer: str | None, reason: str) -> None:
    with pytest.raises(SchemeError, match=reason):
        MessageId(header=header, pointer=pointer)


def test_a_place_says_where_it_is() -> None:
    assert str(MessageId(header="Idempotency-Key")) == "header Idempotency-Key"
    assert str(MessageId(pointer="/id")) == "/id in the body"


def test_a_delimiter_that_no_id_can_hold_need_not_be_looked_for() -> None:
    """A line break stands beside most ids, and to look for it costs more than to find the id."""
    ids = [text for length in (1, 2, 3) for text in texts("a.", length)]
    delimiters = [text for length in (0, 1, 2, 3) for text in texts(".\n", length)]
    for pair in product(delimiters, delimiters):
        assert [is_delimited(text, pair) for text in ids] == [
            is_delimited(text, delimiters_of_id(pair)) for text in ids
        ]
    assert delimiters_of_id((".\n", "." * 300)) == ("", "." * 300)


def texts(characters: str, length: int) -> list[str]:
    return ["".join(chosen) for chosen in product(characters, repeat=length)]
