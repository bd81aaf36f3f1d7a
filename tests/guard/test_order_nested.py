"""Order where one operation is nested in another one's handler: both move one stream, in one transaction."""

from pathlib import Path
from typing import Any

import pytest

from tocsin.guard.stores import Granted
from tocsin.guard.stores.memory import MemoryStore
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.testing import ANSWER, claim


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made: Any = SQLiteStore(tmp_path / "store.db") if request.param == "sqlite" else MemoryStore()
    yield made
    made.close()


def moved(store: Any, name: str, number: int) -> tuple[Granted[Any], bool]:
    taken = store.take(claim(name, number=number), 1)
    assert isinstance(taken, Granted)
    return taken, taken.advance(1)


def test_what_is_nested_sees_how_far_its_stream_is_and_moves_it_on(store: Any) -> None:
    outer, is_newer = moved(store, "outer", 2)
    assert is_newer
    for name, number, wanted, is_kept in (
        ("older", 1, False, True),
        ("newer", 3, True, True),
        ("undone", 9, True, False),
    ):
        inner, is_newer = moved(store, name, number)
        assert is_newer is wanted, name
        if is_kept:
            inner.settle(ANSWER)
        else:
            inner.abandon()
    outer.settle(ANSWER)
    for name, number, wanted in (("as new", 3, False), ("the next", 4, True)):
        after, is_newer = moved(store, name, number)
        after.settle(ANSWER)
        assert is_newer is wanted, name


def test_what_was_nested_goes_with_the_outer_one(store: Any) -> None:
    outer, _ = moved(store, "outer", 2)
    inner, _ = moved(store, "inner", 3)
    inner.settle(ANSWER)
    outer.abandon()
    older, is_newer = moved(store, "older", 1)
    older.settle(ANSWER)
    assert is_newer
