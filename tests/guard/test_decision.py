from itertools import product

import pytest

from tocsin.guard._decision import DECISIONS, Outcome, Relation, State, relation_of, state_of
from tocsin.guard._store import Record

NOW = 1_000_000


def record(
    *, status: int | None = 200, body: bytes | None = b"x", answer_until: int | None = None, until: int | None = None
) -> Record:
    return Record(b"R1", status, b"[]", body, answer_until, until)


def test_the_table_is_total() -> None:
    """Whatever is stored, and whatever arrives, has an outcome; and no row is left over."""
    assert set(DECISIONS) == set(product(State, Relation))


def test_every_outcome_is_reached() -> None:
    assert set(DECISIONS.values()) == set(Outcome)


@pytest.mark.parametrize("state", [state for state in State if state is not State.FREE])
def test_another_request_under_a_used_key_never_runs_and_never_gets_the_answer(state: State) -> None:
    assert DECISIONS[state, Relation.OTHER] is Outcome.MISMATCH


@pytest.mark.parametrize("relation", list(Relation))
def test_only_a_free_key_runs(relation: Relation) -> None:
    running = [state for state in State if DECISIONS[state, relation] is Outcome.RUN]
    assert running == [State.FREE]


@pytest.mark.parametrize(
    ("stored", "state"),
    [
        (None, State.FREE),
        (record(), State.ANSWERED),
        (record(answer_until=NOW + 1, until=NOW + 1), State.ANSWERED),
        (record(answer_until=NOW), State.TOMBSTONE),
        (record(body=None), State.TOMBSTONE),
        (Record(None, 204, None, b"", None, None), State.TOMBSTONE),
        (record(until=NOW), State.FREE),
        (record(status=None, body=None), State.UNSETTLED),
        (record(status=None, body=None, until=NOW), State.UNSETTLED),
    ],
)
def test_a_record_is_what_its_times_say(stored: Record | None, state: State) -> None:
    """A claim without an answer never has its time: it may have been applied."""
    assert state_of(stored, NOW) is state


@pytest.mark.parametrize(
    ("stored", "given", "relation"),
    [
        (b"R1", b"R1", Relation.SAME),
        (b"R1", b"R2", Relation.OTHER),
        (None, b"R1", Relation.NOT_COMPARED),
        (b"R1", None, Relation.NOT_COMPARED),
        (b"B1", b"R1", Relation.NOT_COMPARED),
    ],
)
def test_fingerprints_compare_only_where_both_cover_the_same_parts(
    stored: bytes | None, given: bytes | None, relation: Relation
) -> None:
    assert relation_of(stored, given) is relation
