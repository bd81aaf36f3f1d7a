import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.report._plain_text import encodable, line, lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("Grüße, 注文, [red]<b>", "Grüße, 注文, [red]<b>"),
    ],
)
def test_what_could_act_on_a_screen_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert line(text) == shown


@given(st.text(st.characters(codec=None, categories=None)))
def test_no_text_whatsoever_leaves_an_active_character(text: str) -> None:
    assert {unicodedata.category(character) for character in line(text)}.isdisjoint(
        {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
    )


@given(st.text())
def test_a_text_without_active_characters_is_itself(text: str) -> None:
    once = line(text)
    assert line(once) == once


def test_code_keeps_its_lines_and_its_indentation() -> None:
    assert lines("def f():\n\treturn '\x1b'\n\n    pass\n") == ["def f():", "    return '\\x1b'", "", "    pass"]


def test_an_encoding_that_lacks_a_character_gets_its_escape() -> None:
    assert encodable("für 5 €", "ascii") == "f\\xfcr 5 \\u20ac"
    assert encodable("für 5 €", "latin-1") == "für 5 \\u20ac"
    assert encodable("für 5 €", "utf-8") == "für 5 €"
