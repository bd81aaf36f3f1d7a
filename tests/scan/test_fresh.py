"""Values that no service has seen: not in this scan, and not in the one before."""

import re

import pytest

from tests.scan.services.plans import plan
from tocsin.scan._errors import CannotTell
from tocsin.scan._fresh import FreshValues

VARIABLES = {
    "hex": {"fresh": "hex16"},
    "seq": {"fresh": "counter"},
    "from7": {"fresh": "counter", "start": 7},
    "tag": {"fresh": "template", "value": "code-{{n}}-x"},
    "zone": {"fresh": "list", "values": ["a", "b"]},
    "shop": {"value": "north"},
}


def fresh(*, recycle_lists: bool = False) -> FreshValues:
    return FreshValues(plan(variables=VARIABLES).variables, recycle_lists=recycle_lists)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("uuid", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("hex", r"[0-9a-f]{16}"),
        ("seq", r"\d{13}"),
        ("tag", r"code-\d{13}-x"),
    ],
)
def test_each_kind_has_its_form_and_never_comes_twice(name: str, form: str) -> None:
    made = fresh()
    values = [made.make([name])[name] for _ in range(50)]
    assert all(re.fullmatch(form, value) for value in values)
    assert len(set(values)) == 50


def test_a_counter_counts_from_its_start_and_else_from_the_time_so_that_no_two_scans_share_a_number() -> None:
    made = fresh()
    assert [made.make(["from7"])["from7"] for _ in range(3)] == ["7", "8", "9"]
    first, second = (int(made.make(["seq"])["seq"]) for _ in range(2))
    assert second == first + 1


def test_a_plain_value_stays_what_it_is() -> None:
    made = fresh()
    assert made.make(["shop", "uuid"])["shop"] == made.make(["shop"])["shop"] == "north"


def test_a_list_that_is_used_up_starts_again_only_where_a_reset_brings_the_state_back() -> None:
    again = fresh(recycle_lists=True)
    assert [again.make(["zone"])["zone"] for _ in range(3)] == ["a", "b", "a"]
    once = fresh()
    assert [once.make(["zone"])["zone"] for _ in range(2)] == ["a", "b"]
    with pytest.raises(CannotTell, match='all 2 values of the variable "zone" are used: list more, or give a'):
        once.make(["zone"])
