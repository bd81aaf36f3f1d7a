"""Whatever a file holds, it is a table or one error."""

import pytest

from tocsin.toml import TomlError, parse_toml


def test_a_table_is_what_toml_says() -> None:
    text = f"whole = [{2**63 - 1}, {-(2**63)}]\nat = 1979-05-27\n[[list]]\nyes = true\nhalf = 0.5"
    table = parse_toml(text)
    assert table["whole"] == [2**63 - 1, -(2**63)]
    assert table["list"] == [{"yes": True, "half": 0.5}]
    assert str(table["at"]) == "1979-05-27"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name oops", "Expected '=' after a key in a key/value pair (at line 1, column 6)"),
        ("a = " + "[" * 5000, "it is nested too deeply"),
        ("a = " + "{a = " * 5000, "it is nested too deeply"),
        ("a = " + "9" * 5000, "an integer has more than 64 bits"),
        (f"a = [[{{b = {2**63}}}]]", "an integer has more than 64 bits"),
        (f"a = {-(2**63) - 1}", "an integer has more than 64 bits"),
    ],
)
def test_what_is_no_table_is_one_error(text: str, reason: str) -> None:
    with pytest.raises(TomlError) as refused:
        parse_toml(text)
    assert str(refused.value) == reason


def test_keys_that_nest_deeply_are_refused_as_values_are() -> None:
    assert parse_toml("a" + ".a" * 99 + " = 1")
    with pytest.raises(TomlError, match="nested too deeply"):
        parse_toml("a" + ".a" * 100 + " = 1")
