from collections.abc import Callable

import pytest

from tocsin.scan._errors import PlanError
from tocsin.scan._tables import Table, nearest


def table(**values: object) -> Table:
    return Table(values, "[t]", {"a", "b"} | values.keys())


def test_an_unknown_key_is_an_error_that_names_the_nearest_known_one() -> None:
    with pytest.raises(PlanError, match=r'^\[t\] has an unknown key "efects"; did you mean "effects"\?$'):
        Table({"efects": 1}, "[t]", {"effects", "floor"})


def test_far_from_every_known_key_all_of_them_are_named() -> None:
    assert nearest("zzz", ["b", "a"]) == "; known: a, b"


def test_a_key_that_is_for_later_says_not_yet_and_why_and_is_offered_for_a_typo() -> None:
    later = {"nodes": "members of a burst take turns"}
    with pytest.raises(PlanError, match=r"^\[t\] nodes: not yet: members of a burst take turns$"):
        Table({"nodes": []}, "[t]", {"a"}, later)
    with pytest.raises(PlanError, match='did you mean "nodes"'):
        Table({"node": []}, "[t]", {"a"}, later)


def test_something_else_than_a_table_is_named_with_its_value() -> None:
    with pytest.raises(PlanError, match=r"^\[t\] must be a table, not \[1, 2\]$"):
        Table([1, 2], "[t]", {"a"})


def test_a_long_value_is_cut_to_a_line() -> None:
    with pytest.raises(PlanError) as refused:
        table(a="x" * 500).whole("a")
    assert len(str(refused.value)) < 140
    assert "..." in str(refused.value)


def test_values_of_the_wanted_type_are_returned() -> None:
    given = table(a="text", b=3, c=2.5, d=True, e=["x"], f={"k": "v"})

    assert (given.text("a"), given.whole("b"), given.number("c"), given.number("b")) == ("text", 3, 2.5, 3)
    assert given.flag("d", default=False)
    assert (given.texts("e"), given.mapping("f")) == (("x",), {"k": "v"})
    assert given.any("e") == ["x"]
    assert "a" in given


def test_what_is_absent_has_its_default() -> None:
    empty = table()

    assert (empty.text("a", "x"), empty.whole("a", 7), empty.number("a", 0.5)) == ("x", 7, 0.5)
    assert not empty.flag("a", default=False)
    assert (empty.texts("a"), empty.texts("a", ("x",)), empty.mapping("a"), empty.any("a")) == ((), ("x",), {}, None)
    assert "a" not in empty


def test_what_is_absent_and_needed_is_named_with_its_type() -> None:
    with pytest.raises(PlanError, match=r'^\[t\] lacks "a": wanted a string$'):
        table().text("a")


@pytest.mark.parametrize(
    ("value", "read", "wanted"),
    [
        (1, lambda t: t.text("a"), "1: wanted a string"),
        ("1", lambda t: t.whole("a"), "'1': wanted a whole number of at least 0"),
        (1.0, lambda t: t.whole("a"), "1.0: wanted a whole number of at least 0"),
        (True, lambda t: t.whole("a"), "True: wanted a whole number of at least 0"),
        (-1, lambda t: t.whole("a"), "-1: wanted a whole number of at least 0"),
        (0, lambda t: t.whole("a", least=1), "0: wanted a whole number of at least 1"),
        ("1", lambda t: t.number("a"), "'1': wanted a number"),
        (float("nan"), lambda t: t.number("a"), "nan: wanted a number"),
        (float("inf"), lambda t: t.number("a"), "inf: wanted a number"),
        ("yes", lambda t: t.flag("a", default=True), "'yes': wanted true or false"),
        ("x", lambda t: t.texts("a"), "'x': wanted a list of strings"),
        (["x", 1], lambda t: t.texts("a"), "['x', 1]: wanted a list of strings"),
        ("x", lambda t: t.mapping("a"), "'x': wanted a table of strings"),
        ({"k": 1}, lambda t: t.mapping("a"), "{'k': 1}: wanted a table of strings"),
    ],
)
def test_a_wrong_type_is_named_with_the_value_refused_and_the_one_wanted(
    value: object, read: Callable[[Table], object], wanted: str
) -> None:
    with pytest.raises(PlanError) as refused:
        read(table(a=value))
    assert str(refused.value) == f"[t] a = {wanted}"
