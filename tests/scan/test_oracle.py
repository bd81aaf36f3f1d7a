"""Effects, from readings of the state."""

from decimal import Decimal

import pytest

from tests.scan.services.plans import plan
from tocsin.scan._compose import Draft
from tocsin.scan._errors import CannotTell
from tocsin.scan._number import difference, parsed, total
from tocsin.scan._oracle import Reading, extracted, read_states
from tocsin.scan._plan import State
from tocsin.wire import Response


def states(*per_effect: float, path: str = "/{{uuid}}") -> tuple[State, ...]:
    return plan(
        state=[
            {"name": f"s{place}", "request": f"GET {path}", "per_effect": each} for place, each in enumerate(per_effect)
        ]
    ).state


def reading(of: tuple[State, ...], *values: str) -> Reading:
    return Reading(of, tuple(Decimal(value) for value in values))


@pytest.mark.parametrize(
    ("per_effect", "before", "after", "effects"),
    [(1, "0", "2", 2), (-1, "5", "-2", 7), (10.5, "100", "121.0", 2), (-0.5, "1", "0.5", 1), (3, "7", "7", 0)],
)
def test_an_effect_is_the_change_of_the_state_by_per_effect(
    per_effect: float, before: str, after: str, effects: int
) -> None:
    oracle = states(per_effect)
    assert reading(oracle, after).effects_since(reading(oracle, before)) == effects


def test_of_several_oracles_the_largest_counts() -> None:
    two = states(1, -1)
    assert reading(two, "1", "2").effects_since(reading(two, "0", "5")) == 3


@pytest.mark.parametrize(("per_effect", "after"), [(1, "-1"), (-1, "1"), (2, "3"), (3, "1"), (1, "0.5")])
def test_a_change_that_no_number_of_effects_makes_is_not_guessed_at(per_effect: float, after: str) -> None:
    oracle = states(per_effect)
    with pytest.raises(CannotTell, match=r"\[\[state\]\] s0 went from 0 to .*wanted a whole number of at least 0"):
        reading(oracle, after).effects_since(reading(oracle, "0"))


def floats(of: tuple[State, ...], *values: float) -> Reading:
    return Reading(of, tuple(parsed(value) for value in values))


@pytest.mark.parametrize(
    ("before", "after", "effects"), [(100.0, 100.0 - 9.99 - 9.99, 2), (9.99, 0.0, 1), (1e6, 1e6, 0)]
)
def test_what_binary_floats_make_of_a_difference_is_no_part_of_an_effect(
    before: float, after: float, effects: int
) -> None:
    oracle = states(-9.99)
    assert floats(oracle, after).effects_since(floats(oracle, before)) == effects
    with pytest.raises(CannotTell, match="wanted a whole number"):
        floats(oracle, after - 0.01).effects_since(floats(oracle, before))


def test_a_float_that_lies_below_its_floor_by_arithmetic_alone_does_not() -> None:
    oracle = states(-0.1)
    assert not floats(oracle, 0.3 - 0.1 - 0.1 - 0.1).below(0)
    assert floats(oracle, -0.1).below(0)
    assert floats(oracle, 0.1 + 0.2).effects_above(0) == 3


def test_a_text_and_an_integer_are_exact_and_a_sum_is_as_exact_as_its_least_exact_part() -> None:
    most = Decimal("12345678901.23")
    assert difference(parsed("12345678901.24"), parsed(str(most))) == Decimal("0.01")
    assert difference(total([parsed("0.1"), parsed(10**10)]), Decimal(10**10)) == Decimal("0.1")
    assert difference(total([parsed(0.1), parsed(10**12)]), Decimal(10**12)) == 0


def test_a_reading_shows_itself_by_the_names_of_its_states() -> None:
    assert str(reading(states(1, -1), "0", "1E+1")) == "s0 = 0, s1 = 10"


def test_how_many_effects_fit_above_a_floor_is_told_by_the_states_that_effects_lower() -> None:
    assert reading(states(-2, -1, 1), "10", "4", "0").effects_above(0) == 4
    assert reading(states(-2), "9").effects_above(0) == 4
    assert reading(states(1), "9").effects_above(0) is None


def test_below_its_floor_is_a_state_that_effects_lower() -> None:
    assert reading(states(-1), "-1").below(0)
    assert not reading(states(-1), "0").below(0)
    assert not reading(states(1), "-1").below(0)


def test_a_state_that_is_the_same_one_for_all_trials_has_moved_if_its_value_has() -> None:
    shared = states(1, path="/count")
    assert reading(shared, "2").moved_since(reading(shared, "1"), {"uuid"})
    assert not reading(shared, "1").moved_since(reading(shared, "1"), {"uuid"})


def test_a_state_of_a_trials_own_resource_says_nothing_about_the_next_trials() -> None:
    own = states(1, path="/orders/{{uuid}}")
    assert not reading(own, "2").moved_since(reading(own, "1"), {"uuid"})
    assert not reading(own, "2").moved_since(reading(states(1, path="/count"), "1"), set())


def test_states_that_drafts_have_of_their_own_are_asked_once_each_and_summed() -> None:
    asked: list[str] = []

    def look(state: State, draft: Draft) -> Decimal:
        assert state.request is not None
        asked.append(state.request.target.render(draft.values))
        return Decimal(2)

    drafts = [Draft({"uuid": "a"}), Draft({"uuid": "b", "other": "1"}), Draft({"uuid": "a", "other": "2"})]
    found = read_states(states(1, path="/orders/{{uuid}}"), iter(drafts), look)

    assert (found.values, asked) == ((Decimal(4),), ["/orders/a", "/orders/b"])


def test_without_a_draft_there_is_nothing_to_sum() -> None:
    assert read_states(states(1), [], lambda *_: Decimal(1)).values == (Decimal(0),)


REQUEST = plan(setup=[{"request": "POST /items"}]).setup[0].request


@pytest.mark.parametrize(
    ("value", "text"), [('"sku-1"', "sku-1"), ("17", "17"), ('"\\u00e9 \\u4e2d"', "é 中"), ('""', "")]
)
def test_a_variable_is_taken_from_an_answer_as_text(value: str, text: str) -> None:
    assert extracted(Response(201, (), f'{{"id": {value}}}'.encode()), "/id", REQUEST) == text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", 'the answer to POST /items has nothing at "/id"'),
        (b"oops", 'the answer to POST /items has nothing at "/id"'),
        (b'{"id": true}', 'the answer to POST /items has no string or number at "/id"'),
        (b'{"id": null}', 'the answer to POST /items has no string or number at "/id"'),
        (b'{"id": {}}', 'the answer to POST /items has no string or number at "/id"'),
        (b'{"id": "a\\r\\nX-Evil: 1"}', 'the answer to POST /items has a text at "/id" that no request can hold'),
        (b'{"id": "\\ud800"}', 'the answer to POST /items has a text at "/id" that no request can hold'),
    ],
)
def test_what_cannot_stand_in_a_request_is_not_taken_from_an_answer(body: bytes, said: str) -> None:
    with pytest.raises(CannotTell) as refused:
        extracted(Response(200, (), body), "/id", REQUEST)
    assert str(refused.value) == said
